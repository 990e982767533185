"""The notebook's folder on this server, and what its kernel's life means for the files in it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from ..errors import KubeError
from .errands import Handler, Line
from .exchange import Exchange, FilesError
from .folder import Limits

Home = Callable[[], Path]
"""Gives a notebook's folder, which may move; raises :class:`NoHomeError`."""


class NoHomeError(FilesError):
    """There is no folder to exchange files with."""


def home_of(contents: Any, notebook: str) -> Path:
    """Return a notebook's folder.

    Parameters
    ----------
    contents
        Jupyter's contents manager.
    notebook
        The notebook's path, relative to the manager's root.

    Raises
    ------
    NoHomeError
        If there is no notebook, or it is not in a folder of this machine.

    """
    from jupyter_server.services.contents.fileio import FileManagerMixin

    if not notebook:
        raise NoHomeError("This kernel belongs to no notebook, so there is no folder to bring from")
    if not isinstance(contents, FileManagerMixin):
        raise NoHomeError(
            "The notebook's files are not on the Jupyter Server's own disk",
            f"they are kept by {type(contents).__name__}",
        )
    root = Path(str(contents.root_dir)).resolve()
    folder = (root / notebook).parent.resolve()
    if not folder.is_relative_to(root) or not folder.is_dir():
        raise NoHomeError(f"The notebook's folder is not there: {Path(notebook).parent}")
    return folder


class NotebookFiles:
    """A kernel's files, from its start to its end.

    Parameters
    ----------
    home
        Where the notebook's folder is.
    limits
        How much may travel at once.
    copied
        Whether its profile has the folder copied to the pod.
    log
        A logger.

    """

    def __init__(
        self,
        home: Home,
        limits: Limits,
        *,
        copied: bool,
        log: logging.Logger | logging.LoggerAdapter[Any],
    ) -> None:
        self._exchange, self._copied, self._log = Exchange(home, limits), copied, log
        self._line: Line | None = None
        self._bringing: asyncio.Timeout | None = None

    async def check(self) -> None:
        """See before a pod is made whether the folder may be copied to it.

        Raises
        ------
        FilesError
            If it is too much.

        """
        if not self._copied:
            return
        try:
            await self._exchange.check()
        except NoHomeError as error:
            self._log.info("No files are copied to the kernel: %s", error)
            self._copied = False
        except FilesError as error:
            raise FilesError(
                "The notebook's folder is not copied to the kernel", str(error)
            ) from error

    def connect(
        self,
        endpoint: str,
        *,
        key: bytes,
        public: bytes,
        secret: bytes,
        more: Mapping[str, Handler],
    ) -> None:
        """Connect to the companion in the pod, and do the kernel's errands from now on.

        ``more`` are errands that are not about files.
        """
        self._line = Line(
            endpoint,
            key=key,
            curve_publickey=public,
            curve_secretkey=secret,
            handlers={**self._exchange.handlers(), **more},
            log=self._log,
        )

    async def fill(self) -> None:
        """Copy the folder to the pod, before the kernel is used.

        Raises
        ------
        FilesError, CourierError
            If it does not get there.

        """
        if not self._copied or self._line is None:
            return
        report = await self._exchange.push(self._line)
        if report.failed:
            raise FilesError(
                "The notebook's folder was not copied to the kernel", report.words("the pod")
            )

    async def bring_back(self, patience: float) -> None:
        """Copy what changed back before the pod goes, or its server; what fails is logged.

        Parameters
        ----------
        patience
            Seconds there are for it.

        """
        if not self._copied or self._line is None:
            return
        try:
            async with asyncio.timeout(patience) as self._bringing:
                report = await self._exchange.pull(self._line, fit=True)
        except (KubeError, TimeoutError) as error:
            why = str(error) or "there was no more time for it"
            self._log.warning(
                "Files that changed in the kernel's pod were not brought back: %s", why
            )
            return
        except Exception:  # what a pod says is not to keep it from being ended
            self._log.exception("files that changed in the kernel's pod were not brought back")
            return
        finally:
            self._bringing = None
        if report.landed or report.failed or report.left:
            self._log.info("%s", report.words("the notebook's folder"))

    def hurry(self, patience: float) -> None:
        """Leave no more than so many seconds to files that are being brought back."""
        if self._bringing is not None and not self._bringing.expired():
            by = asyncio.get_running_loop().time() + patience
            self._bringing.reschedule(min(by, self._bringing.when() or by))

    async def close(self) -> None:
        """Hang up."""
        line, self._line = self._line, None
        if line is not None:
            await line.close()
