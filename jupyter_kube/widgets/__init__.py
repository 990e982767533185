"""The panel in a notebook: ``%kube panel``.

Made of ipywidgets alone, which need no JavaScript of ours: it shows wherever these do. Importing
this package imports ipywidgets.
"""

from __future__ import annotations

from typing import Any

from IPython.display import display

from .panel import Panel

__all__ = ["Panel", "open_panel"]

_VIEW = "application/vnd.jupyter.widget-view+json"
_INSTEAD = (
    "The panel of jupyter-kube shows in JupyterLab, Notebook, VS Code and Voilà while its kernel"
    " runs; run its cell again for a new one. Without it: %kube status, %kube attach NAME."
)
"""What a front end without widgets shows, and a saved notebook."""

_open: dict[str, Panel] = {}
"""Panels by the cell that they are in: run again, a cell has one panel only."""


def open_panel(shell: Any, name: str = "", body: str = "") -> None:
    """Show a panel below the cell that runs.

    Parameters
    ----------
    shell
        The notebook's.
    name
        A job to watch in it.
    body
        The cell's own code, to be run on workers.

    """
    cell = _cell(shell)
    if cell in _open:
        _open.pop(cell).close()
    panel = Panel(shell, body.rstrip("\n"))
    if cell:
        _open[cell] = panel
    view = panel.widget._repr_mimebundle_()[_VIEW]
    display({"text/plain": _INSTEAD, _VIEW: view}, raw=True)
    panel.refresh()
    if name:
        panel.open(name)


def _cell(shell: Any) -> str:
    """Return the id of the cell that runs, where the front end tells it."""
    parent = shell.kernel.get_parent() or {}
    return str((parent.get("metadata") or {}).get("cellId") or "")
