import pytest
from hypothesis import given
from hypothesis import strategies as st

from jupyter_kube.localcluster.environment import (
    MissingReference,
    command_line,
    declared,
    expand,
    relocate,
)

POD = {
    "metadata": {
        "name": "p",
        "namespace": "ns",
        "uid": "u1",
        "labels": {"app": "x", "batch.kubernetes.io/job-completion-index": "3"},
        "annotations": {"note": 'a "b"'},
    },
    "spec": {"nodeName": "local", "serviceAccountName": "sa", "containers": []},
    "status": {"podIP": "127.1.2.3", "podIPs": [{"ip": "127.1.2.3"}], "hostIP": "127.0.0.1"},
}
OBJECTS = {
    ("Secret", "s"): {"key": b"value", "not a name=": b"x", "raw": b"\xff"},
    ("ConfigMap", "c"): {"mode": b"fast"},
}


def fetch(kind, name):
    return OBJECTS.get((kind, name))


def environment(*entries, **container):
    return declared({"env": list(entries), **container}, POD, fetch)


def ref(name, **source):
    return {"name": name, "valueFrom": source}


@pytest.mark.parametrize(
    ("text", "result"),
    [
        ("$(A)/b", "1/b"),
        ("$(NONE)", "$(NONE)"),
        ("$$(A)", "$(A)"),
        ("$$$(A)", "$1"),
        ("$A", "$A"),
        ("$(A", "$(A"),
        ("a$", "a$"),
    ],
)
def test_references_are_expanded(text, result):
    assert expand(text, {"A": "1"}) == result


@given(st.text())
def test_text_without_a_dollar_stays(text):
    if "$" not in text:
        assert expand(text, {"A": "1"}) == text


def test_values_refer_to_those_before_them_only():
    known = environment(
        {"name": "B", "value": "$(A)"}, {"name": "A", "value": "1"}, {"name": "C", "value": "$(A)"}
    )
    assert known == {"B": "$(A)", "A": "1", "C": "1"}


def test_values_come_from_everywhere():
    known = environment(
        ref("S", secretKeyRef={"name": "s", "key": "key"}),
        ref("C", configMapKeyRef={"name": "c", "key": "mode"}),
        ref("NAME", fieldRef={"fieldPath": "metadata.name"}),
        ref("IP", fieldRef={"fieldPath": "status.podIP"}),
        ref("IPS", fieldRef={"fieldPath": "status.podIPs"}),
        ref(
            "INDEX",
            fieldRef={"fieldPath": "metadata.labels['batch.kubernetes.io/job-completion-index']"},
        ),
        ref("MEM", resourceFieldRef={"resource": "limits.memory", "divisor": "1Mi"}),
        ref("CPU", resourceFieldRef={"resource": "requests.cpu"}),
        ref("MAYBE", secretKeyRef={"name": "none", "key": "key", "optional": True}),
        resources={"limits": {"memory": "2Gi", "cpu": "1500m"}},
    )
    assert known == {
        "S": "value",
        "C": "fast",
        "NAME": "p",
        "IP": "127.1.2.3",
        "IPS": "127.1.2.3",
        "INDEX": "3",
        "MEM": "2048",
        "CPU": "2",
    }


def test_whole_objects_come_with_a_prefix_and_valid_names_only():
    known = environment(envFrom=[{"secretRef": {"name": "s"}, "prefix": "P_"}])
    assert set(known) == {"P_key", "P_raw"}


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        (ref("S", secretKeyRef={"name": "none", "key": "k"}), 'secret "none" not found'),
        (ref("C", configMapKeyRef={"name": "none", "key": "k"}), 'configmap "none" not found'),
        (ref("S", secretKeyRef={"name": "s", "key": "k"}), "couldn't find key k in Secret ns/s"),
    ],
)
def test_what_is_missing_is_named_as_the_kubelet_does(entry, message):
    with pytest.raises(MissingReference) as caught:
        environment(entry)
    assert str(caught.value) == message


def test_a_command_is_expanded_and_defaults_to_python():
    assert command_line({"command": ["run"], "args": ["$(A)", "$$(A)"]}, {"A": "1"}) == [
        "run",
        "1",
        "$(A)",
    ]
    assert command_line({}, {}) == ["python"]


@pytest.mark.parametrize(
    ("text", "result"),
    [
        ("/data", "/real"),
        ("/data/x", "/real/x"),
        ("/database", "/database"),
        ("/data/deep/x", "/other/x"),
        ("data", "data"),
        ("", ""),
    ],
)
def test_paths_below_a_mount_lead_to_the_real_folder(text, result):
    assert relocate(text, {"/data": "/real", "/data/deep": "/other"}) == result


def test_a_mount_path_may_end_with_a_slash():
    assert relocate("/data/x", {"/data/": "/real"}) == "/real/x"
