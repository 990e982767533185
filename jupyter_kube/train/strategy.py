"""TensorFlow's multi-worker strategy, so that an ordinary ``model.fit`` trains on all workers.

This module travels into pods: standard library only, and TensorFlow where it is asked for.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any


def make_strategy(shares: Callable[[], bool]) -> Any:
    """Make the strategy.

    Keras hands each data set to the strategy. TensorFlow then lets every worker read all of it and
    keep its part. Where the cell has taken its share by ``kube.shard`` this would divide twice, so
    then each worker's data are taken as they are: a batch is one worker's, an epoch its share.

    Parameters
    ----------
    shares
        Says whether the cell's data are shares already.

    """
    tf: Any = importlib.import_module("tensorflow")

    class Strategy(tf.distribute.MultiWorkerMirroredStrategy):  # type: ignore[misc]  # TensorFlow has no types
        def experimental_distribute_dataset(self, dataset: Any, options: Any = None) -> Any:
            if not shares():
                return super().experimental_distribute_dataset(dataset, options)
            return self.distribute_datasets_from_function(lambda _context: dataset)

    return Strategy()
