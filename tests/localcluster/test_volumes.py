import stat

import pytest

from jupyter_kube.localcluster.environment import MissingReference
from jupyter_kube.localcluster.volumes import Volumes

OBJECTS = {
    ("Secret", "s"): {"a": b"1", "b": b"2"},
    ("ConfigMap", "c"): {"file": b"text"},
}


def volumes(tmp_path, *specs, claims=None):
    pod = {
        "metadata": {"name": "p", "namespace": "ns", "labels": {"app": "x"}},
        "spec": {"volumes": list(specs), "containers": []},
    }
    return Volumes(
        pod,
        tmp_path / "v",
        lambda kind, name: OBJECTS.get((kind, name)),
        (claims if claims is not None else {}).get,
        lambda: "token",
    )


def folder_of(made, **mount):
    return made.mounts({"volumeMounts": [{"name": "v", "mountPath": "/m", **mount}]})["/m"]


def made(tmp_path, spec, **mount):
    volumes_made = volumes(tmp_path, {"name": "v", **spec})
    volumes_made.make()
    return tmp_path / folder_of(volumes_made, **mount)


def test_a_secret_shows_its_keys_with_its_mode(tmp_path):
    folder = made(tmp_path, {"secret": {"secretName": "s", "defaultMode": 0o400}})
    assert (folder / "a").read_bytes() == b"1"
    assert stat.S_IMODE((folder / "b").stat().st_mode) == 0o400


def test_items_choose_keys_and_paths(tmp_path):
    item = {"key": "file", "path": "sub/renamed", "mode": 0o755}
    folder = made(tmp_path, {"configMap": {"name": "c", "items": [item]}})
    assert (folder / "sub/renamed").read_text() == "text"
    assert stat.S_IMODE((folder / "sub/renamed").stat().st_mode) == 0o755


def test_a_projection_joins_sources(tmp_path):
    sources = [
        {"secret": {"name": "s", "items": [{"key": "a", "path": "a"}]}},
        {"configMap": {"name": "c"}},
        {
            "downwardAPI": {
                "items": [{"path": "labels", "fieldRef": {"fieldPath": "metadata.labels"}}]
            }
        },
        {"serviceAccountToken": {"path": "token"}},
    ]
    folder = made(tmp_path, {"projected": {"sources": sources}})
    assert sorted(path.name for path in folder.iterdir()) == ["a", "file", "labels", "token"]
    assert (folder / "labels").read_text() == 'app="x"'


def test_an_empty_folder_may_have_sub_paths(tmp_path):
    folder = made(tmp_path, {"emptyDir": {}}, subPath="deep/er")
    assert folder.is_dir()
    assert folder.name == "er"


def test_a_host_path_is_the_path_itself(tmp_path):
    target = tmp_path / "host"
    assert (
        made(tmp_path, {"hostPath": {"path": str(target), "type": "DirectoryOrCreate"}}) == target
    )
    assert target.is_dir()


def test_a_claim_leads_to_its_folder_once_it_is_bound(tmp_path):
    claims = {}
    each = volumes(
        tmp_path, {"name": "v", "persistentVolumeClaim": {"claimName": "data"}}, claims=claims
    )
    with pytest.raises(MissingReference, match='persistentvolumeclaim "data" is not bound'):
        each.make()
    claims["data"] = tmp_path
    each.make()
    assert folder_of(each) == str(tmp_path)


def test_what_is_missing_is_named_with_its_volume(tmp_path):
    with pytest.raises(MissingReference) as caught:
        made(tmp_path, {"secret": {"secretName": "none"}})
    assert str(caught.value) == 'MountVolume.SetUp failed for volume "v" : secret "none" not found'


def test_what_is_optional_may_be_missing(tmp_path):
    folder = made(tmp_path, {"secret": {"secretName": "none", "optional": True}})
    assert not list(folder.iterdir())


@pytest.mark.parametrize("path", ["../out", "/abs", "a/../../b"])
def test_paths_out_of_a_volume_are_refused(tmp_path, path):
    with pytest.raises(MissingReference, match="must be relative"):
        made(tmp_path, {"secret": {"secretName": "s", "items": [{"key": "a", "path": path}]}})
    assert not (tmp_path / "out").exists()
