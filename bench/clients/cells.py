"""A notebook's kernel without the notebook: runs each cell that it is given, as JSON lines."""

from __future__ import annotations

from IPython.core.interactiveshell import InteractiveShell

from bench.clients.loop import serve


def main() -> None:
    """Read cells until there are no more."""
    shell = InteractiveShell.instance()
    shell.run_cell("%load_ext jupyter_kube")
    serve(lambda asked: shell.run_cell(asked["cell"]))


if __name__ == "__main__":
    main()
