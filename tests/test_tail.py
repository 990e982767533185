"""What is told of the last that a process wrote."""

from __future__ import annotations

import subprocess
import sys

from jupyter_kube.tail import Tail, last_words

CRASH = """\
loading libfast.so
terminate called after throwing an instance of 'std::bad_alloc'
Fatal Python error: Aborted

Current thread 0x00007f (most recent call first):
  File "<frozen importlib._bootstrap>", line 241 in _call_with_frames_removed
  File "/opt/site/fast/__init__.py", line 3 in <module>
  File "<cell>", line 2 in <module>
  File "/tmp/ipykernel_61/2407193827.py", line 1 in <module>
  File "<podside.child>", line 198 in run
  File "/opt/site/IPython/core/interactiveshell.py", line 3670 in run_code
  File "/usr/lib/python3.11/asyncio/events.py", line 80 in _run
  File "/opt/site/ipykernel/kernelapp.py", line 758 in start
  File "/opt/site/ipykernel_launcher.py", line 18 in <module>
  File "<string>", line 21 in <module>

Extension modules: fast._core, numpy.core (total: 2)
"""


def test_the_last_lines_are_told_without_empty_ones() -> None:
    lines = [f"step {number}" for number in range(20)]
    assert last_words("\n\n".join(lines)) == lines[-12:]
    assert last_words("") == []


def test_of_a_progress_bar_the_last_state_is_told_and_of_a_long_line_its_beginning() -> None:
    assert last_words("1/3\r2/3\r3/3\r\n" + "x" * 1000) == ["3/3", "x" * 200]


def test_of_a_crash_what_was_written_before_it_and_whose_calls_led_there() -> None:
    assert last_words(CRASH) == [
        "loading libfast.so",
        "terminate called after throwing an instance of 'std::bad_alloc'",
        "Fatal Python error: Aborted",
        '  File "/opt/site/fast/__init__.py", line 3 in <module>',
        '  File "<cell>", line 2 in <module>',
        '  File "/tmp/ipykernel_61/2407193827.py", line 1 in <module>',
    ]


def test_a_crash_far_down_hides_nothing_that_was_written_before_it() -> None:
    source = (
        "import faulthandler, os\n"
        "def down(n):\n"
        "    if n: down(n - 1)\n"
        "    os.write(2, b'heap corrupted\\n'); os.abort()\n"
        "faulthandler.enable(all_threads=False)\n"
        "down(90)\n"
    )
    crash = subprocess.run([sys.executable, "-c", source], stderr=subprocess.PIPE, check=False)
    words = last_words(crash.stderr.decode().replace("<string>", "<cell>"))
    assert words[:2] == ["heap corrupted", "Fatal Python error: Aborted"]
    assert words[2] == '  File "<cell>", line 4 in down'
    assert len(words) == 12


def test_only_the_end_is_kept() -> None:
    tail = Tail()
    for _ in range(1000):
        tail.feed(b"x" * 999 + b"\n")
    tail.feed("\xe9t\xe9\n".encode())
    tail.feed(b"\xff\n")
    assert tail.words.splitlines()[-2:] == ["\xe9t\xe9", "\ufffd"]
    assert len(tail._data) <= 16 * 1024
