"""How PyTorch's and Paddle's ranks are connected before the cell, so that it need not do it.

This module travels into pods: standard library only, and the framework where it is asked for.
"""

from __future__ import annotations

import contextlib
import importlib
import io
import os
import sys
import warnings
from collections.abc import Callable, Iterator
from typing import Any


def connect(framework: str) -> Callable[[], None]:
    """Join the group of all ranks, as the environment describes it; return what leaves it.

    Where the framework is not installed nothing happens: the cell's own import will tell.
    """
    if framework not in _CONNECT:
        return _nothing
    try:
        return _CONNECT[framework]()
    except ModuleNotFoundError:
        return _nothing


@contextlib.contextmanager
def alone(framework: str) -> Iterator[None]:
    """Be the only rank of a group for a while, in a process that is no worker."""
    if framework != "pytorch":  # the others need nothing for a single rank
        yield
        return
    distributed: Any = importlib.import_module("torch.distributed")
    if not distributed.is_available() or distributed.is_initialized():
        yield
        return
    distributed.init_process_group("gloo", store=distributed.HashStore(), rank=0, world_size=1)
    try:
        yield
    finally:
        distributed.destroy_process_group()


def bare(value: Any) -> Any:
    """Return the model in a wrapper for several ranks, which only works among them."""
    kind = type(value)
    if kind.__name__ == "DistributedDataParallel" and kind.__module__.startswith("torch."):
        return value.module
    if kind.__name__ == "DataParallel" and kind.__module__.startswith("paddle."):
        return value._layers
    return value


def subset(data: Any, indexes: range) -> Any:
    """Return a part of a data set of PyTorch's or Paddle's; None for any other kind of data."""
    for module in ("torch.utils.data", "paddle.io"):
        package = sys.modules.get(module)
        if package is not None and isinstance(data, package.Dataset):
            return package.Subset(data, indexes)
    return None


def _pytorch() -> Callable[[], None]:
    torch: Any = importlib.import_module("torch")
    if torch.cuda.is_available():
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    torch.distributed.init_process_group()  # gloo for tensors in memory, NCCL for those on GPUs

    def leave() -> None:
        if torch.distributed.is_initialized():
            torch.distributed.destroy_process_group()

    return leave


def _paddle() -> Callable[[], None]:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "No ccache found")  # a compiler's cache: nothing compiles
        paddle: Any = importlib.import_module("paddle")
    if not paddle.device.cuda.device_count():
        os.environ.setdefault("PADDLE_DISTRI_BACKEND", "gloo")  # it would look for NCCL
    with contextlib.redirect_stderr(io.StringIO()):  # it prints how its own flags differ
        paddle.distributed.init_parallel_env()
    return _nothing


def _nothing() -> None:
    pass


_CONNECT: dict[str, Callable[[], Callable[[], None]]] = {"pytorch": _pytorch, "paddle": _paddle}
