"""What holds for all tests: fixtures, and the time that servers take to start."""

import os
import sys
from pathlib import Path

QUICK = str(Path(__file__).with_name("quick"))

sys.path.insert(0, QUICK)
os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [QUICK, os.environ.get("PYTHONPATH")]))

pytest_plugins = ("pytest_jupyter.jupyter_server",)
