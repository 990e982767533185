"""The shipped Role is the one the code asks for, and no more."""

from pathlib import Path

import yaml

from jupyter_kube.kube import rbac

SHIPPED = Path(__file__).parent.parent / "deploy" / "rbac.yaml"


def test_the_shipped_yaml_is_what_the_code_builds():
    built = rbac.manifests("ns")
    for manifest in built:
        del manifest["metadata"]["namespace"]
        for subject in manifest.get("subjects", []):
            del subject["namespace"]
    assert list(yaml.safe_load_all(SHIPPED.read_text())) == built


def test_there_is_no_wildcard_and_nothing_outside_the_namespace():
    kinds = {manifest["kind"] for manifest in rbac.manifests("ns")}
    assert kinds == {"ServiceAccount", "Role", "RoleBinding"}
    for _group, resources, verbs in rbac.RULES:
        assert "*" not in (*resources, *verbs)
        assert not {"list", "watch"} & set(verbs) or "secrets" not in resources
