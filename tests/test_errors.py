"""API answers become our errors, and errors become sentences."""

import pytest

from jupyter_kube import errors


@pytest.mark.parametrize(
    ("code", "message", "kind"),
    [
        (400, "bad", errors.InvalidManifest),
        (401, "Unauthorized", errors.AccessDenied),
        (403, 'pods is forbidden: User "x" cannot create', errors.AccessDenied),
        (403, 'pods "x" is forbidden: exceeded quota: q', errors.QuotaExceeded),
        (404, 'pods "x" not found', errors.NotFound),
        (409, "exists", errors.Conflict),
        (410, "too old resource version", errors.Expired),
        (418, "teapot", errors.ClusterError),
        (422, "invalid", errors.InvalidManifest),
        (429, "slow down", errors.ClusterUnavailable),
        (500, "oops", errors.ClusterUnavailable),
        (503, "", errors.ClusterUnavailable),
    ],
)
def test_each_code_has_its_class(code, message, kind):
    error = errors.from_status(code, {"message": message, "reason": "R"}, what="create pod x")
    assert type(error) is kind
    assert error.reason == "R"
    assert (message or f"HTTP {code}") in str(error)


def test_a_status_names_its_object():
    body = {"message": "m", "details": {"kind": "pods", "name": "x"}}
    assert errors.from_status(404, body).obj == "pods/x"


def test_long_messages_are_cut_so_that_nothing_secret_leaks():
    error = errors.from_status(422, {"message": "x" * 5000}, what="create")
    assert len(error.why) == 256


def test_f17_a_policys_words_are_shown_whole():
    policy = "denied: " + "because " * 60
    for code in (403, 422):  # an admission policy may choose
        assert errors.from_status(code, {"message": policy}, what="create").why == policy
    assert len(errors.from_status(403, {"message": "x" * 5000}, what="create").why) == 2000


def test_a_message_says_what_why_and_what_next():
    error = errors.KubeError("It broke", "too hot", "Cool it.")
    assert str(error) == "It broke: too hot. Cool it."
    assert str(errors.KubeError("It broke")) == "It broke"


def test_a_final_answer_promises_no_other_try():
    assert errors.from_status(503, {"message": "down"}, what="x").next == errors.IS_IT_UP


def test_ipython_is_given_our_words_and_a_workers_own_traceback():
    assert errors.NotFound("no job", "gone")._render_traceback_() == ["NotFound: no job: gone"]
    remote = errors.RemoteError("E", "bad", rank=1, pod="p-1", traceback="Traceback\n  line\n")
    assert remote._render_traceback_() == [
        "Traceback",
        "  line",
        "",
        "rank 1 raised E: bad (pod p-1)",
    ]
    assert remote.__notes__ == ["Traceback\n  line"]
