"""TensorFlow's strategies, so that an ordinary ``model.fit`` trains on all workers.

This module travels into pods: standard library only, and TensorFlow where it is asked for.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import re
import signal
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from typing import Any, NoReturn

_GREETING = re.compile(rb"WARNING: All log messages before absl|I\d{4} |[WE]\d{4} .*cuda_")


def load_tensorflow(held: int) -> None:
    """Import TensorFlow without what its libraries say of missing GPU drivers.

    Where it is not installed nothing happens: the cell's own import will tell.

    Parameters
    ----------
    held
        A file for what is said meanwhile; it is empty again at the end, but for a crash.

    """
    with contextlib.suppress(ImportError), _holding_back(held):
        importlib.import_module("tensorflow")


def serve(held: int) -> NoReturn:
    """Be a server of TensorFlow's, which does what the chief or workers ask, until it is stopped.

    This is what parameter servers are, and workers of a job that has a chief beside them. As for
    ``held``, see :func:`load_tensorflow`.
    """
    with _holding_back(held):
        tf: Any = importlib.import_module("tensorflow")
        resolver = tf.distribute.cluster_resolver.TFConfigClusterResolver()
        server = tf.distribute.Server(
            resolver.cluster_spec(),
            job_name=resolver.task_type,
            task_index=resolver.task_id,
            protocol=resolver.rpc_layer or "grpc",
        )
    server.join()
    raise SystemExit


def make_strategy(name: str, shares: Callable[[], bool]) -> Any:
    """Make the strategy of that name.

    Keras hands each data set to the strategy. With ``MultiWorkerMirroredStrategy`` TensorFlow then
    lets every worker read all of it and keep its part. Where the cell has taken its share by
    ``kube.shard`` this would divide twice, so then each worker's data are taken as they are: a
    batch is one worker's, an epoch its share.

    Parameters
    ----------
    name
        ``MultiWorkerMirroredStrategy`` or ``ParameterServerStrategy``.
    shares
        Says whether the cell's data are shares already.

    """
    tf: Any = importlib.import_module("tensorflow")
    if name == "ParameterServerStrategy":
        warnings.filterwarnings("ignore", "To make it possible to preserve tf.data options")
        resolver = tf.distribute.cluster_resolver.TFConfigClusterResolver()
        return tf.distribute.ParameterServerStrategy(resolver)

    class Strategy(tf.distribute.MultiWorkerMirroredStrategy):  # type: ignore[misc]  # TensorFlow has no types
        def experimental_distribute_dataset(self, dataset: Any, options: Any = None) -> Any:
            if not shares():
                return super().experimental_distribute_dataset(dataset, options)
            return self.distribute_datasets_from_function(lambda _context: dataset)

    strategy = Strategy()
    _end_by_sigterm()
    return strategy


def _end_by_sigterm() -> None:
    """Undo that TensorFlow passes over SIGTERM, by a handler that Python does not know of.

    Else each restart would wait for SIGKILL. One that the cell has set, or will set, stays.
    """
    in_main = threading.current_thread() is threading.main_thread()
    if in_main and signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


def without_greetings(said: bytes) -> bytes:
    """Leave out of what was written the lines about missing GPU drivers and the like."""
    lines = said.splitlines(keepends=True)
    return b"".join(line for line in lines if not _GREETING.match(line))


@contextlib.contextmanager
def _holding_back(held: int) -> Iterator[None]:
    """Hold back what is written to standard error, native code included; pass on what matters."""
    sys.stderr.flush()
    real = os.dup(2)
    os.dup2(held, 2)
    try:
        yield
    finally:
        sys.stderr.flush()
        os.dup2(real, 2)
        os.close(real)
        said = without_greetings(os.pread(held, os.fstat(held).st_size, 0))
        os.ftruncate(held, 0)
        os.lseek(held, 0, os.SEEK_SET)
        while said:
            said = said[os.write(2, said) :]
