"""A job that runs again is the same but for its name, its key and whose it is."""

import base64
import json
import zlib

import pytest

from jupyter_kube import naming
from jupyter_kube.config import KubeConfig
from jupyter_kube.errors import InvalidInput
from jupyter_kube.train import plan
from jupyter_kube.train.again import again, secrets_of
from jupyter_kube.train.cell import pack
from jupyter_kube.train.origin import Origin

SETTINGS = KubeConfig(profiles={"small": {"image": "repo/own:1"}})


def stored(secret):
    """Return a Secret as the API does."""
    plain = secret.get("stringData", {}).items()
    data = {k: base64.b64encode(v.encode()).decode() for k, v in plain}
    return {**secret, "data": {**data, **secret.get("data", {})}}


def before(value=1):
    bundle = pack("y = x", {"x": value}, outputs=["y"])
    wish = plan.Wish(workers=2, name="digits", outputs=("y",))
    made = plan.make(wish, bundle, SETTINGS, Origin("ann"), "space").manifests
    return made.job, [stored(secret) for secret in made.secrets]


def test_jobs_of_further_roles_run_again_too():
    bundle = pack("y = 1", {}, framework="tensorflow")
    wish = plan.Wish(workers=2, name="digits", chief=True, ps=1)
    first = plan.make(wish, bundle, SETTINGS, Origin("ann"), "space").manifests
    old = first.job["metadata"]["name"]
    secrets = [stored(secret) for secret in first.secrets]
    made = again(first.job, secrets, [], first.roles, user="bob").manifests
    name = made.job["metadata"]["name"]
    assert old not in json.dumps([made.job, *made.owned])
    assert [role["metadata"]["name"] for role in made.roles] == [f"{name}-worker", f"{name}-ps"]
    for each, role in zip((made.job, *made.roles), ("chief", "worker", "ps"), strict=True):
        assert each["metadata"]["labels"][naming.ROLE] == role
        labels = each["spec"]["template"]["metadata"]["labels"]
        assert (labels[naming.ROLE], labels[naming.JOB]) == (role, name)
    assert naming.ROLE not in made.service["metadata"]["labels"]


def pod(image_id):
    return {"status": {"containerStatuses": [{"imageID": image_id}]}}


@pytest.mark.parametrize("value", [1, bytes(range(256)) * 8000])
def test_nothing_of_the_earlier_ones_name_and_key_is_left(value):
    job, secrets = before(value)
    old = job["metadata"]["name"]
    assert secrets_of(job) == [secret["metadata"]["name"] for secret in secrets]
    made = again(job, secrets, user="bob")
    new = made.manifests.job
    name = new["metadata"]["name"]
    assert name.startswith("digits-")
    objects = [new, made.manifests.service, *made.manifests.secrets]
    assert old not in json.dumps(objects)
    for each in objects:
        labels = each["metadata"]["labels"]
        assert labels[naming.JOB] == name
        assert labels[naming.SUBMISSION] == made.submission
        assert labels[naming.USER_HASH] == naming.user_hash("bob")
    start = made.manifests.secrets[0]["stringData"]
    launch = json.loads(zlib.decompress(base64.b64decode(start["worker"])))
    assert launch["key"] == start["key"] == made.key.hex()
    assert launch["options"]["coordinator"] == f"{name}-0.{name}"
    assert len(made.manifests.secrets) == len(secrets)
    assert new["spec"]["completions"] == 2
    assert made.manifests.service["spec"]["selector"] == {naming.JOB: name}


@pytest.mark.parametrize(
    ("image_id", "used"),
    [
        ("docker.io/repo/own@sha256:abc", "docker.io/repo/own@sha256:abc"),
        ("docker.io/other/own@sha256:abc", "repo/own:1"),
        ("sha256:abc", "repo/own:1"),
    ],
)
def test_the_image_is_the_one_that_ran(image_id, used):
    job, secrets = before()
    made = again(job, secrets, [pod(image_id)], user="ann").manifests.job
    assert made["spec"]["template"]["spec"]["containers"][0]["image"] == used


def test_what_the_cluster_adds_is_left_out():
    job, secrets = before()
    job["spec"]["selector"] = {"matchLabels": {"batch.kubernetes.io/controller-uid": "u"}}
    job["spec"]["template"]["metadata"]["labels"]["batch.kubernetes.io/job-name"] = "j"
    job["metadata"]["uid"], job["status"] = "u", {"succeeded": 2}
    text = json.dumps(again(job, secrets, user="ann").manifests.job)
    assert "batch.kubernetes.io/" not in text
    assert "selector" not in text
    assert "status" not in json.loads(text)


def test_without_its_code_it_cannot_run_again():
    with pytest.raises(InvalidInput, match="cannot run again: its code is not in the cluster"):
        again(before()[0], [], user="ann")
