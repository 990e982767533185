"""What goes from a kernel to its server and back comes out as it went in, or is refused."""

import json

import pytest

from jupyter_kube.errors import InvalidInput, JobFailed, KubeError, RemoteError
from jupyter_kube.kernels.errands import CourierError
from jupyter_kube.models import PodState
from jupyter_kube.train import wire
from jupyter_kube.train.cell import Bundle, pack
from jupyter_kube.train.feed import Line
from jupyter_kube.train.frames import Frame
from jupyter_kube.train.plan import Wish
from jupyter_kube.train.runner import Outcome
from jupyter_kube.train.view import JobView, RankView

VIEW = JobView(
    "digits-7f3a",
    "python",
    2,
    outputs=("x", "y"),
    started=1.5,
    ranks=(
        RankView(0, PodState("p-0", "running", exit_code=0), metrics={"loss": 0.5, "step": 1}),
        RankView(1, PodState("", "queued"), death={"text": "é\ud800"}),
    ),
)


@pytest.mark.parametrize(
    "value",
    [
        VIEW,
        Wish(workers=3, outputs=("a",), timeout=5.0, gpus=1),
        pack("y = x", {"x": 1}, outputs=["y"]),
        Line(1, "b\n"),
        Line(0, "a", {"text/plain": "a", "image/png": "iVBO"}),
        Outcome(VIEW, Frame("result", 0, 1, {"sizes": {"x": 3}}, b"\x00\xff")),
    ],
)
def test_values_come_out_as_they_went_in(value):
    assert wire.decode(type(value), json.loads(json.dumps(wire.encode(value)))) == value


def test_errors_come_out_as_they_went_in():
    failed = wire.decode(KubeError, wire.encode(JobFailed("a", "b", "c", obj="job/x")))
    assert type(failed) is JobFailed
    assert (str(failed), failed.obj) == ("a: b. c", "job/x")
    raised = RemoteError("ValueError", "no", rank=1, pod="p-1", traceback="Trace\n")
    outcome = wire.decode(Outcome, wire.encode(Outcome(VIEW, error=raised)))
    assert isinstance(outcome.error, RemoteError)
    assert outcome.error._render_traceback_() == raised._render_traceback_()
    assert outcome.error.__notes__ == ["Trace"]
    assert str(wire.decode(KubeError, wire.encode(CourierError("it", "is")))) == "it: is"


@pytest.mark.parametrize(
    "data",
    [
        None,
        [],
        {"workers": "2"},
        {"workers": True},
        {"workers": None},
        {"outputs": "ab"},
        {"outputs": [1]},
        {"timeout": "1h"},
        {"unknown": 1},
    ],
)
def test_what_is_no_wish_is_refused(data):
    with pytest.raises(InvalidInput, match="this is no Wish"):
        wire.decode(Wish, data)


def test_what_is_no_bundle_is_refused():
    with pytest.raises(InvalidInput, match="this is no Bundle"):
        wire.decode(Bundle, {"payload": "not base64!", "travels": []})
