"""Loopback addresses for pods: 127.x.y.1 to 127.x.y.254, each given to one pod at a time."""

from __future__ import annotations

import random
import socket
from collections import deque


class NoAddressLeft(Exception):
    """All addresses are in use."""


class AddressPool:
    """The addresses of one local cluster, which no other one on this machine uses.

    The block is held by a socket in the abstract namespace, which goes away with the process.
    """

    def __init__(self) -> None:
        self._guard: socket.socket | None = None
        self._free: deque[str] = deque()

    def open(self) -> None:
        """Reserve a block of addresses."""
        self._guard = socket.socket(socket.AF_UNIX)
        while not self._free:
            block = f"127.{random.randint(64, 254)}.{random.randint(0, 255)}"  # noqa: S311 - no secret
            try:
                self._guard.bind(f"\0jupyter-kube-{block}")
            except OSError:
                continue
            self._free.extend(f"{block}.{host}" for host in range(1, 255))

    def take(self) -> str:
        """Take the address that has been free for longest.

        Raises
        ------
        NoAddressLeft
            If there is none.

        """
        if not self._free:
            msg = "failed to allocate for range 0: no IP addresses available in range set"
            raise NoAddressLeft(msg)
        return self._free.popleft()

    def release(self, address: str) -> None:
        """Give an address back."""
        self._free.append(address)

    def close(self) -> None:
        """Give the block back."""
        if self._guard is not None:
            self._guard.close()
            self._guard = None
        self._free.clear()
