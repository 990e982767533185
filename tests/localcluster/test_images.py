import pytest

from jupyter_kube.localcluster.images import ImageProblem, check, full_reference


@pytest.mark.parametrize(
    "image", ["python", "python:3.11", "a/b/c:x", "localhost:5000/a:1", f"a@sha256:{'0' * 64}"]
)
def test_any_image_counts_as_present(image):
    check(image, "Always", ())


@pytest.mark.parametrize(
    ("image", "policy", "reason"),
    [
        ("missing:1", "IfNotPresent", "ErrImagePull"),
        ("listed", "Always", "ErrImagePull"),
        ("missing:1", "Never", "ErrImageNeverPull"),
        ("Upper/Case:1", "Always", "InvalidImageName"),
        ("a b", "Always", "InvalidImageName"),
    ],
)
def test_problems_have_the_kubelets_reasons(image, policy, reason):
    with pytest.raises(ImageProblem) as caught:
        check(image, policy, {"listed"})
    assert caught.value.reason == reason
    assert image in str(caught.value)


@pytest.mark.parametrize(
    ("image", "full"),
    [
        ("a", "docker.io/library/a:latest"),
        ("a/b:1", "docker.io/a/b:1"),
        ("ghcr.io/a/b", "ghcr.io/a/b:latest"),
        ("localhost:5000/a", "localhost:5000/a:latest"),
    ],
)
def test_references_are_completed(image, full):
    assert full_reference(image) == full
