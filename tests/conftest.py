"""What holds for all tests: fixtures, the time servers take to start, what is never excused."""

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

QUICK = str(Path(__file__).with_name("quick"))

sys.path.insert(0, QUICK)
os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [QUICK, os.environ.get("PYTHONPATH")]))

pytest_plugins = ("pytest_jupyter.jupyter_server",)

LEFT_BEHIND = 8
"""The exit code if something failed while it was cleaned up: a second try would not show it."""

LONGEST = ("tests/conformance/test_elastic.py", "tests/faults/test_kernels.py", "tests/hub/")
"""Files that come first where several processes take whole files in order."""

_teardowns: list[str] = []


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if hasattr(config, "workerinput"):
        items.sort(key=lambda item: not item.nodeid.startswith(LONGEST))


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    if report.when == "teardown" and report.failed:
        _teardowns.append(report.nodeid)


@pytest.hookimpl(wrapper=True)
def pytest_sessionfinish(session: pytest.Session) -> Iterator[None]:
    yield
    if _teardowns and session.exitstatus == pytest.ExitCode.TESTS_FAILED:
        session.exitstatus = LEFT_BEHIND
