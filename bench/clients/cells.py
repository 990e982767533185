"""A notebook's kernel without the notebook: runs each cell that it is given, as JSON lines."""

from __future__ import annotations

import json
import sys

from IPython.core.interactiveshell import InteractiveShell


def main() -> None:
    """Read cells until there are no more."""
    shell = InteractiveShell.instance()
    shell.run_cell("%load_ext jupyter_kube")
    print("@@ready", flush=True)
    for line in sys.stdin:
        shell.run_cell(json.loads(line)["cell"])
        print("@@done", flush=True)


if __name__ == "__main__":
    main()
