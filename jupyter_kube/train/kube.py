"""The name ``kube`` in a training cell: who this worker is, and its word to the notebook.

This module travels into pods: standard library only.
"""

from __future__ import annotations

import importlib
import json
import math
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from .collective import subset
from .host import job_folder

_LONGEST_REPORT = 4096


def _never() -> bool:
    """Tell a worker that is alone whether the others are done."""
    return False


def _nobody(_step: Any, _metrics: Mapping[str, Any]) -> None:
    """Hear a report where nobody listens."""


class Kube:
    """What a training cell knows about its place in the job.

    With ``-w 0`` the same object serves in the notebook's own kernel, as the only worker.

    Attributes
    ----------
    rank
        This worker's number, from 0; the number before its lines in the notebook.
    world_size
        How many workers run the cell together. An evaluator is none of them.
    local_rank
        This worker's number in its pod.
    role
        ``worker``, ``chief`` or ``evaluator``.
    generation
        Counts the starts of all workers together, from 1.
    job
        The job's name; empty in the notebook's own kernel.

    """

    def __init__(
        self,
        *,
        rank: int = 0,
        world_size: int = 1,
        local_rank: int = 0,
        role: str = "worker",
        generation: int = 1,
        job: str = "",
        report: Callable[[Any, Mapping[str, Any]], None] = _nobody,
        over: Callable[[], bool] = _never,
        make_strategy: Callable[[], Any] | None = None,
    ) -> None:
        self.rank, self.world_size, self.local_rank = rank, world_size, local_rank
        self.role, self.generation, self.job = role, generation, job
        self._report, self._over = report, over
        self._make_strategy = make_strategy
        self._strategy: Any = None
        self._folder = ""
        self._shards = False  # whether shard() was used

    def __repr__(self) -> str:
        return f"<kube: rank {self.rank} of {self.world_size}, generation {self.generation}>"

    def report(self, step: float | None = None, **metrics: Any) -> None:
        """Tell the notebook how it goes, as in ``kube.report(step=10, loss=0.3)``.

        Parameters
        ----------
        step
            A number that grows: step or epoch.
        metrics
            Numbers, short texts or truth values; a number of NumPy or a framework will do.

        Raises
        ------
        TypeError
            If a value is none of these, or the step no number.
        ValueError
            If there are more than 4 kB of them.

        """
        plain = {name: _plain(value, name) for name, value in metrics.items()}
        plain_step = _plain(step, "step")
        if isinstance(plain_step, bool | str):  # as text: not a number, or infinite
            msg = f"step must be a number (got {step!r:.80})"
            raise TypeError(msg)
        if len(json.dumps([plain_step, plain])) > _LONGEST_REPORT:
            msg = f"a report holds at most {_LONGEST_REPORT} bytes"
            raise ValueError(msg)
        self._report(plain_step, plain)

    @property
    def over(self) -> bool:
        """Whether those who train are done: what an evaluator finds then is the last.

        An evaluator that has asked before they are is waited for, ten minutes at most; else it is
        stopped. For all others it is false.
        """
        return self._over()

    def shard(self, data: Any) -> Any:
        """Return this worker's share: every ``world_size``-th element, from ``rank`` on.

        All shares are equally long, because workers that train together must take the same number
        of steps: what does not divide is left out, fewer than ``world_size`` elements. Lists,
        arrays, tensors, tables and data sets of the same length are shared out alike. A
        ``tf.data.Dataset`` that does not know its length may give shares that differ by one.

        Raises
        ------
        ValueError
            If there are fewer elements than workers.

        """
        if self.world_size == 1 or self.rank >= self.world_size:  # alone, or an evaluator
            return data
        self._shards = True
        if hasattr(data, "shard"):  # a data set that knows how
            return self._even(data).shard(self.world_size, self.rank)
        length = data.shape[0] if hasattr(data, "shape") else len(data)
        share = slice(self.rank, self._shared(length), self.world_size)
        part = subset(data, range(length)[share])
        if part is not None:
            return part
        return data.iloc[share] if hasattr(data, "iloc") else data[share]

    def _shared(self, length: int) -> int:
        """Return how many of ``length`` elements all workers together get."""
        if length < self.world_size:
            msg = f"{length} elements cannot be shared among {self.world_size} workers"
            raise ValueError(msg)
        return length - length % self.world_size

    def _even(self, data: Any) -> Any:
        """Leave out what does not divide from a data set that knows its length."""
        length = int(data.cardinality()) if hasattr(data, "cardinality") else -1
        return data.take(self._shared(length)) if length >= 0 else data

    @property
    def strategy(self) -> Any:
        """TensorFlow's strategy for all workers; TensorFlow's default one for a single worker."""
        if self._strategy is None:
            if self._make_strategy is None:
                tensorflow: Any = importlib.import_module("tensorflow")
                self._strategy = tensorflow.distribute.get_strategy()
            else:
                self._strategy = self._make_strategy()
        return self._strategy

    @property
    def checkpoint_dir(self) -> str:
        """A folder for checkpoints.

        On storage that outlives pods, and common to all workers, where the profile mounts some;
        else a folder of this worker's own, which outlives its process but not its pod.
        """
        return self._make_folder("checkpoints")

    @property
    def output_dir(self) -> str:
        """A folder for files to keep; where it is holds as for :attr:`checkpoint_dir`."""
        return self._make_folder("output")

    def upload(self, url: str) -> str:
        """Copy all that is below :attr:`output_dir` to storage that fsspec knows.

        Parameters
        ----------
        url
            As in ``s3://team/results``. fsspec, and its package for that storage, must be in the
            image or asked for by ``--pip``; it finds credentials as it does anywhere.

        Returns
        -------
        str
            Where it is: that, and below it the job's name.

        Raises
        ------
        ImportError
            If fsspec or that package is missing.

        """
        try:
            fsspec: Any = importlib.import_module("fsspec")
        except ImportError:
            msg = "fsspec is not here: add --pip fsspec, and its package for that storage"
            raise ImportError(msg) from None
        target = f"{url.rstrip('/')}/{self.job or 'notebook'}"
        files, root = fsspec.core.url_to_fs(target)
        files.put(f"{self.output_dir}/", f"{root}/", recursive=True)
        return target

    def _make_folder(self, name: str) -> str:
        if not self._folder:
            import tempfile

            mine = job_folder(os.environ, self.job)
            self._folder = mine or tempfile.mkdtemp(prefix="jupyter-kube-")
        path = Path(self._folder) / name
        path.mkdir(parents=True, exist_ok=True)
        return str(path)


def _plain(value: Any, name: str) -> Any:
    """Turn a value into JSON's own kinds."""
    if hasattr(value, "item") and not isinstance(value, bool | int | float | str):
        value = value.item()
    elif hasattr(value, "numpy") and not isinstance(value, bool | int | float | str):
        value = value.numpy().item()
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if value is None or isinstance(value, bool | int | float | str):
        return value
    msg = f"{name} is a {type(value).__name__}; a report takes numbers, texts and truth values"
    raise TypeError(msg)
