"""Loopback addresses for pods: each pod of a local cluster gets one of 127.x.0.0/16."""

from __future__ import annotations

import itertools
import random
import socket
from collections.abc import Iterator


class AddressPool:
    """The addresses of one local cluster, which no other one on this machine uses.

    The block is held by a socket in the abstract namespace, which goes away with the process.
    """

    def __init__(self) -> None:
        self._guard: socket.socket | None = None
        self._addresses: Iterator[str] = iter(())

    def open(self) -> None:
        """Reserve a block of addresses.

        Raises
        ------
        OSError
            If local clusters hold them all.

        """
        blocks = random.sample(range(64, 255), 191)
        self._guard = socket.socket(socket.AF_UNIX)
        for block in blocks:
            try:
                self._guard.bind(f"\0jupyter-kube-127.{block}")
            except OSError:
                continue
            self._addresses = itertools.cycle(
                f"127.{block}.{third}.{last}" for third in range(256) for last in range(1, 255)
            )
            return
        self.close()
        msg = "no loopback addresses are left: too many local clusters on this machine"
        raise OSError(msg)

    def take(self) -> str:
        """Take the next address; it comes again only after 65,000 others."""
        return next(self._addresses)

    def close(self) -> None:
        """Give the block back."""
        if self._guard is not None:
            self._guard.close()
            self._guard = None
