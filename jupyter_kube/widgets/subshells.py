"""Where what a user does in the panel is handled: this touches a private part of ipykernel.

A front end may send its messages on a subshell, a thread of its own that no running cell holds up.
From 7.4 on ipykernel overrules that: it hands a message to the loop that has last spoken on the
same comm, which for a widget made in a cell is the one that runs cells.
"""

from __future__ import annotations

from typing import Any

from . import parts

_ROUTE = "_reply_subshell_for"


def as_sent(widget: Any) -> None:
    """Have messages about a widget, and all within it, handled where the front end sends them."""
    for each in parts.tree(widget):
        if hasattr(each.comm, _ROUTE):
            setattr(each.comm, _ROUTE, lambda _data, sent_to: sent_to)
