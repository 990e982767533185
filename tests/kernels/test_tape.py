"""What the companion keeps of a kernel's output, and what it concludes from it."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jupyter_kube.kernels.tape import _RUN, _STEPS, EARLIER, Losses, Parts, Tape

ANN, BEN = "ann", "ben"


class Kernel:
    """Says what a kernel would, a second apart, to a tape."""

    def __init__(self, limit: int = 1 << 20) -> None:
        self.now = 100.0
        self.tape = Tape(lambda parts: b"signed", now=self.now, limit=limit)
        self.tape.settled(self.now, self.now)
        self.count = 0
        self.cells = 0

    def say(self, kind: str, parent: dict[str, Any], **content: Any) -> None:
        self.now += 1
        self.count += 1
        header = {"msg_type": kind, "msg_id": f"k_7_{self.count}", "session": "k"}
        self.tape.hear(
            [b"", *(json.dumps(p).encode() for p in (header, parent, {}, content))], self.now
        )

    def begin(
        self, session: str = ANN, kind: str = "execute_request", **more: Any
    ) -> dict[str, Any]:
        self.cells += 1
        cell = {"msg_id": f"cell {self.cells}", "msg_type": kind, "session": session, **more}
        self.say("status", cell, execution_state="busy")
        return cell

    def end(self, cell: dict[str, Any]) -> None:
        self.say("status", cell, execution_state="idle")

    def run(self, session: str = ANN, *, error: str = "") -> None:
        cell = self.begin(session)
        self.say("execute_input", cell, execution_count=self.cells)
        self.say("stream", cell, name="stdout", text=f"{cell['msg_id']} ran")
        if error:
            self.say("error", cell, ename=error, evalue="", traceback=[])
        self.end(cell)

    def played(self, session: str = ANN, since: float = 0.0) -> tuple[list[Any], dict[str, Any]]:
        """Return types and contents of what is played, and the rest of the answer."""
        answer, frames = self.tape.recording(session, since)
        messages: list[Parts] = []
        for count in answer.pop("frames"):
            messages.append(frames[:count])
            frames = frames[count:]
        assert not frames
        return [(json.loads(m[1])["msg_type"], json.loads(m[4])) for m in messages], answer


def test_a_session_hears_its_own_output_since_the_moment_it_asks_for() -> None:
    kernel = Kernel()
    kernel.run(ANN)
    since = kernel.now + EARLIER + 0.1
    kernel.run(BEN)
    kernel.run(ANN)
    messages, answer = kernel.played(ANN, since)
    assert [kind for kind, _ in messages] == ["status", "execute_input", "stream", "status"]
    assert messages[2][1]["text"] == "cell 3 ran"
    ((parent, content),) = answer["replies"]
    assert parent["msg_id"] == "cell 3"
    assert content == {
        "status": "ok",
        "execution_count": 3,
        "user_expressions": {},
        "payload": [],
    }
    assert (answer["dropped"], answer["dropped_bytes"]) == (0, 0)
    assert answer["unheard"] == 0
    assert not answer["busy"]


def test_a_cell_that_began_before_gets_its_reply() -> None:
    kernel = Kernel()
    cell = kernel.begin()
    kernel.say("execute_input", cell, execution_count=4)
    since = kernel.now + 0.5
    kernel.end(cell)
    messages, answer = kernel.played(since=since)
    assert messages == [("status", {"execution_state": "idle"})]
    assert answer["replies"][0][1]["execution_count"] == 4


def test_an_error_is_in_the_reply_and_the_cells_behind_it_are_aborted() -> None:
    kernel = Kernel()
    kernel.run(error="ZeroDivisionError")
    kernel.end(kernel.begin())
    kernel.run()
    kernel.end(kernel.begin())  # a silent one
    _, answer = kernel.played()
    failed, aborted, ran, silent = (content for _, content in answer["replies"])
    assert (failed["status"], failed["ename"]) == ("error", "ZeroDivisionError")
    assert aborted == {"status": "aborted"}
    assert ran["status"] == silent["status"] == "ok"
    assert silent["execution_count"] is None


def test_a_reply_just_before_is_told_once_more_but_its_output_is_not() -> None:
    kernel = Kernel()
    kernel.run()
    messages, answer = kernel.played(since=kernel.now + EARLIER)
    assert messages == []
    assert len(answer["replies"]) == 1
    assert not kernel.played(since=kernel.now + EARLIER + 0.1)[1]["replies"]


@given(
    st.lists(st.tuples(st.sampled_from([ANN, BEN]), st.integers(0, 3000)), max_size=60),
    st.integers(0, 60),
    st.integers(600, 20_000),
)
def test_what_is_played_is_the_newest_in_order_and_the_rest_is_said(
    texts: list[tuple[str, int]], skipped: int, limit: int
) -> None:
    kernel = Kernel(limit)
    for number, (session, size) in enumerate(texts):
        kernel.say("stream", {"session": session}, text="x" * size, number=number)
    for session in (ANN, BEN):
        messages, answer = kernel.played(session, since=100.5 + skipped)
        wanted = [n for n, (s, _) in enumerate(texts) if s == session and n >= skipped]
        got = [content["number"] for _, content in messages]
        assert answer["dropped"] == len(wanted) - len(got)
        assert (answer["dropped_bytes"] > 0) == (answer["dropped"] > 0)
        assert got == [n for n in wanted if n in set(got)]
    assert kernel.tape._size <= limit
    assert kernel.tape._size == sum(e.cost for e in kernel.tape._entries)


def test_small_output_is_the_newest_without_a_gap() -> None:
    kernel = Kernel(20_000)
    for number in range(500):
        kernel.say("stream", {"session": ANN}, number=number)
    messages, answer = kernel.played()
    got = [content["number"] for _, content in messages]
    assert got == list(range(500 - len(got), 500))
    assert answer["dropped"] == 500 - len(got) > 0


def test_one_message_that_is_too_long_pushes_out_no_other() -> None:
    kernel = Kernel(5000)
    kernel.say("stream", {"session": ANN}, text="small")
    kernel.say("display_data", {"session": ANN}, text="x" * 6000)
    messages, answer = kernel.played()
    assert [content["text"] for _, content in messages] == ["small"]
    assert answer["dropped"] == 1
    assert answer["dropped_bytes"] > 6000


def test_replies_and_their_idles_outlive_the_output() -> None:
    kernel = Kernel(20_000)
    kernel.run()
    kernel.run(error="ValueError")
    cell = kernel.begin()
    for _ in range(500):
        kernel.say("stream", cell, text="flood")
    messages, answer = kernel.played()
    assert [content["status"] for _, content in answer["replies"]] == ["ok", "error"]
    assert [content for _, content in messages[:2]] == [{"execution_state": "idle"}] * 2
    assert messages[2][0] == "stream"
    assert answer["dropped"] == kernel.count - len(messages)


def test_replies_are_bounded_too() -> None:
    kernel = Kernel(1 << 30)
    for _ in range(40):
        cell = kernel.begin()
        kernel.say("error", cell, ename="E", evalue="", traceback=["x" * 100_000])
        kernel.end(cell)
    cell = kernel.begin()
    kernel.say("error", cell, ename="Long", evalue="", traceback=["x" * 2_000_000])
    kernel.end(cell)
    _, answer = kernel.played()
    assert 5 < len(answer["replies"]) < 12
    assert answer["replies"][-1][1]["ename"] == "Long"
    assert answer["replies"][-1][1]["traceback"] == []


def test_losses_are_merged_and_none_is_forgotten() -> None:
    losses = Losses()
    for at in range(20 * _STEPS):
        losses.add(float(at), 1, 10)
    assert losses.since(0.0) == (20 * _STEPS, 200 * _STEPS)
    assert len(losses._steps) <= _STEPS
    some, _ = losses.since(10.0 * _STEPS)
    assert 10 * _STEPS <= some <= 10 * _STEPS + 64
    assert losses.since(1e9) == (0, 0)


def test_what_the_kernel_dropped_itself_is_noticed_by_its_numbers() -> None:
    kernel = Kernel()
    cell = kernel.begin()
    kernel.count += _RUN - 1  # replies on other channels, at most
    kernel.say("stream", cell, text="a")
    assert kernel.played()[1]["dropped"] == 0
    assert not kernel.tape.suspect
    kernel.count += 500
    kernel.say("stream", cell, text="b")
    assert kernel.played()[1]["dropped"] == 500
    assert kernel.played()[1]["dropped_bytes"] == 0
    assert kernel.tape.suspect


def test_other_numbering_says_nothing() -> None:
    kernel = Kernel()
    for msg_id in ("b7c2", "k_8_900", "k_8_x", "k_8_", "_5000", "k_8_901"):
        header = json.dumps({"msg_type": "stream", "msg_id": msg_id}).encode()
        kernel.tape.hear([b"", header, b'{"session": "ann"}', b"{}", b"{}"], kernel.now)
    assert kernel.played()[1]["dropped"] == 0


# --- work ----------------------------------------------------------------------------------------


def test_work_is_cells_and_widgets_not_questions() -> None:
    kernel = Kernel()
    for kind, works in (
        ("execute_request", True),
        ("comm_msg", True),
        ("kernel_info_request", False),
        ("complete_request", False),
        ("usage_request", False),
    ):
        request = kernel.begin(kind=kind)
        assert kernel.tape.busy is works
        kernel.end(request)
        assert not kernel.tape.busy
        assert (kernel.tape.idle_since == kernel.now) is works


def test_until_it_has_answered_a_kernel_counts_as_busy() -> None:
    tape = Tape(lambda parts: b"", now=1.0)
    assert tape.busy
    tape.settled(1.0, 2.0)
    assert not tape.busy
    tape.ended("signal 9.", 3.0)
    assert tape.busy, "the next process has not answered"


def test_a_cell_that_began_before_anybody_listened_is_known_by_its_output() -> None:
    kernel = Kernel()
    cell = {"msg_id": "early", "msg_type": "execute_request", "session": ANN}
    kernel.say("stream", cell, text="still here")
    assert kernel.tape.busy
    kernel.end(cell)
    assert not kernel.tape.busy
    kernel.say("stream", cell, text="a thread of it")
    assert not kernel.tape.busy
    assert kernel.played()[1]["replies"][0][1]["status"] == "ok"


def test_a_sign_of_the_kernel_ends_what_must_have_ended_unseen() -> None:
    kernel = Kernel()
    lost = kernel.begin()
    kernel.say("execute_input", lost, execution_count=1)
    aside = kernel.begin(subshell_id="sub")
    asked = kernel.now + 0.5
    later = kernel.begin()
    kernel.tape.settled(asked, kernel.now)
    assert set(kernel.tape._open) == {aside["msg_id"], later["msg_id"]}
    messages, answer = kernel.played()
    assert messages[-1] == ("status", {"execution_state": "idle"})
    ((parent, content),) = answer["replies"]
    assert (parent, content["status"]) == (lost, "ok")


# --- ends ----------------------------------------------------------------------------------------


def test_a_death_ends_the_open_cells_with_its_cause() -> None:
    kernel = Kernel()
    kernel.run()
    cells = [kernel.begin(ANN), kernel.begin(BEN)]
    since = kernel.now + EARLIER + 0.1
    kernel.now += 5
    kernel.tape.ended("out of memory.", kernel.now)
    for session, cell in zip((ANN, BEN), cells, strict=True):
        answer, frames = kernel.tape.recording(session, since)
        assert answer["replies"] == [(cell, {"status": "aborted"})]
        assert answer["frames"] == [5, 5]
        signature, header, parent, _, content = frames[:5]
        assert signature == b"signed"
        assert json.loads(header)["msg_type"] == "stream"
        assert json.loads(parent) == cell
        words = {"name": "stderr", "text": "The kernel died: out of memory.\n"}
        assert json.loads(content) == words
        assert json.loads(frames[9]) == {"execution_state": "idle"}


def test_a_restart_ends_the_open_cells_without_a_word() -> None:
    kernel = Kernel()
    kernel.begin()
    since = kernel.now + 0.5
    kernel.now += 1
    kernel.tape.ended("", kernel.now)
    messages, answer = kernel.played(since=since)
    assert messages == [("status", {"execution_state": "idle"})]
    assert answer["replies"][0][1] == {"status": "aborted"}


def test_a_tape_that_began_later_says_so() -> None:
    kernel = Kernel()
    assert kernel.played(since=99.0)[1]["unheard"] == 1
    assert kernel.played(since=100.0)[1]["unheard"] == 0


def test_the_companions_own_questions_are_nobodys_output() -> None:
    kernel = Kernel()
    own = kernel.tape.session
    kernel.end(kernel.begin(own, kind="kernel_info_request"))
    assert kernel.played(own) == ([], kernel.played(own)[1])


@pytest.mark.parametrize("parent", ["{}", '{"session": "ann"}'])
def test_output_without_a_request_is_nobodys_work(parent: str) -> None:
    kernel = Kernel()
    header = json.dumps({"msg_type": "status", "msg_id": "k_7_1"}).encode()
    content = b'{"execution_state": "starting"}'
    kernel.tape.hear([b"", header, parent.encode(), b"{}", content], kernel.now)
    assert not kernel.tape.busy
