"""What is read and written byte by byte: paths, tables, protobuf, SPDY, long tails."""

from __future__ import annotations

import io
import zlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jupyter_kube.localcluster import paths, protobuf, spdy, tables
from jupyter_kube.localcluster.kinds import JOB, NAMESPACE, NODE, POD, SECRET
from jupyter_kube.localcluster.paths import Target
from jupyter_kube.localcluster.podlogs import tail_start


@pytest.mark.parametrize(
    ("path", "target"),
    [
        ("/api/v1/pods", Target(POD)),
        ("/api/v1/namespaces/n/pods", Target(POD, "n")),
        ("/api/v1/namespaces/n/pods/p/", Target(POD, "n", "p")),
        ("/api/v1/namespaces/n/pods/p/log", Target(POD, "n", "p", "log")),
        ("/api/v1/namespaces/n%20m/secrets/a%2Fb", Target(SECRET, "n m", "a/b")),
        ("/apis/batch/v1/namespaces/n/jobs/j/status", Target(JOB, "n", "j", "status")),
        ("/api/v1/namespaces", Target(NAMESPACE)),
        ("/api/v1/namespaces/n", Target(NAMESPACE, "", "n")),
        ("/api/v1/namespaces/n/status", Target(NAMESPACE, "", "n", "status")),
        ("/api/v1/nodes/n/status", Target(NODE, "", "n", "status")),
        ("/api/v1/pods/p", None),
        ("/api/v1/namespaces/n/nodes", None),
        ("/api/v1/namespaces/n/secrets/s/status", None),
        ("/api/v1/namespaces/n/pods/p/log/x", None),
        ("/apis/batch/v2/jobs", None),
        ("/", None),
    ],
)
def test_paths(path: str, target: Target | None) -> None:
    assert paths.parse(path) == target


@given(st.text())
def test_any_path_is_something_or_nothing(path: str) -> None:
    paths.parse(path)


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (-3, "0s"),
        (119, "119s"),
        (120, "2m"),
        (310, "5m10s"),
        (600, "10m"),
        (3 * 3600 + 20 * 60, "3h20m"),
        (9 * 3600, "9h"),
        (2 * 86400 + 4 * 3600, "2d4h"),
        (40 * 86400, "40d"),
    ],
)
def test_durations_are_written_as_kubectl_does(seconds: int, words: str) -> None:
    assert tables.duration(seconds) == words


@pytest.mark.parametrize(
    ("state", "word"),
    [
        ({"waiting": {"reason": "ImagePullBackOff"}}, "ImagePullBackOff"),
        ({"terminated": {"reason": "OOMKilled", "exitCode": 137}}, "OOMKilled"),
        ({"terminated": {"exitCode": 3}}, "ExitCode:3"),
        ({"running": {}}, "Running"),
    ],
)
def test_a_pods_state_is_one_word(state: dict[str, Any], word: str) -> None:
    status = {"phase": "Running", "containerStatuses": [{"state": state, "ready": True}]}
    assert tables.pod_status({"metadata": {}, "status": status}) == word
    going = {"metadata": {"deletionTimestamp": "x"}, "status": status}
    assert tables.pod_status(going) == "Terminating"


# -- protobuf


def varint(value: int) -> bytes:
    out = b""
    while value > 0x7F:
        out, value = out + bytes((value & 0x7F | 0x80,)), value >> 7
    return out + bytes((value,))


def field(number: int, value: bytes | str | int) -> bytes:
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    data = value.encode() if isinstance(value, str) else value
    return varint(number << 3 | 2) + varint(len(data)) + data


def message(kind: str, body: bytes) -> bytes:
    kind_meta = field(1, "v1") + field(2, kind)
    return b"k8s\0" + field(1, kind_meta) + field(2, body) + field(4, "")


def test_a_secret_is_read_from_protobuf() -> None:
    meta = field(1, "s") + field(7, 300) + field(11, field(1, "a") + field(2, "b"))
    body = field(1, meta) + field(2, field(1, "k") + field(2, b"\xff")) + field(3, "Opaque")
    assert protobuf.decode(message("Secret", body)) == {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": "s", "labels": {"a": "b"}},
        "data": {"k": "/w=="},
        "type": "Opaque",
    }


def test_numbers_and_targets_of_ports_are_read() -> None:
    port = field(3, 80) + field(4, field(1, 0) + field(2, 8080))
    named = field(3, 81) + field(4, field(1, 1) + field(3, "web"))
    spec = field(1, port) + field(1, named) + field(3, "None")
    read = protobuf.decode(message("Service", field(2, spec)))
    assert read["spec"] == {
        "ports": [{"port": 80, "targetPort": 8080}, {"port": 81, "targetPort": "web"}],
        "clusterIP": "None",
    }


@pytest.mark.parametrize("data", [b"", b"{}", message("Pod", b""), message("Secret", b"\x0a\x05a")])
def test_what_is_not_known_is_refused(data: bytes) -> None:
    with pytest.raises(ValueError, match=r"begin|reads no|ends in the middle"):
        protobuf.decode(data)


@given(st.binary(max_size=60))
def test_no_bytes_break_the_reader(data: bytes) -> None:
    try:
        protobuf.decode(message("ConfigMap", data))
    except ValueError:
        return


# -- SPDY


def syn_stream(compressor: Any, stream: int, headers: dict[str, str]) -> bytes:
    packed = len(headers).to_bytes(4, "big")
    for text in (text for pair in headers.items() for text in pair):
        packed += len(text).to_bytes(4, "big") + text.encode()
    body = stream.to_bytes(4, "big") + bytes(6) + compressor.compress(packed)
    body += compressor.flush(zlib.Z_SYNC_FLUSH)
    return b"\x80\x03\0\x01\0" + len(body).to_bytes(3, "big") + body


@given(st.integers(1, 40))
def test_frames_are_read_however_they_are_cut(size: int) -> None:
    compressor = zlib.compressobj(zdict=spdy.DICTIONARY)
    writer = spdy.Writer()
    first, second = {"streamtype": "error", "port": "80"}, {"streamtype": "data", "port": "80"}
    sent = syn_stream(compressor, 1, first) + syn_stream(compressor, 3, second)
    sent += writer.data(3, b"hello") + writer.ping(7) + writer.data(3, b"", last=True)
    reader = spdy.Reader()
    frames = [
        frame for at in range(0, len(sent), size) for frame in reader.feed(sent[at : at + size])
    ]
    assert frames == [
        spdy.Frame(spdy.SYN_STREAM, 1, headers=first),
        spdy.Frame(spdy.SYN_STREAM, 3, headers=second),
        spdy.Frame(spdy.DATA, 3, b"hello"),
        spdy.Frame(spdy.PING, 7),
        spdy.Frame(spdy.DATA, 3, last=True),
    ]


# -- logs


@given(st.lists(st.integers(0, 9).map(lambda n: b"x" * n), max_size=20), st.integers(0, 25))
def test_the_tail_of_a_log_is_found(lines: list[bytes], wanted: int) -> None:
    content = b"".join(line + b"\n" for line in lines)
    file = io.BytesIO(content)
    file.seek(tail_start(file, wanted))
    expected = lines[len(lines) - wanted :] if wanted < len(lines) else lines
    assert file.read() == b"".join(line + b"\n" for line in expected)
