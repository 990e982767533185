"""What the peers' clients are told, and what is heard of them."""

import json
import subprocess
import sys
from pathlib import Path

CLIENTS = Path(__file__).parents[2] / "bench" / "clients"


def test_a_client_goes_on_after_a_job_that_failed():
    program = "from loop import serve\nserve(lambda asked: print(6 // asked['by']))"
    asked = "".join(json.dumps({"by": number}) + "\n" for number in (0, 2))
    said = subprocess.run(
        [sys.executable, "-c", program],
        cwd=CLIENTS,
        input=asked,
        check=True,
        capture_output=True,
        text=True,
    ).stdout.splitlines()
    assert said[0] == "@@ready"
    assert said[1].startswith("@@failed ZeroDivisionError(")
    assert said[2:] == ["@@done", "3", "@@done"]
