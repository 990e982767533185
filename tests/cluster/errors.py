"""What the test cluster raises."""

from __future__ import annotations


class ClusterFailed(RuntimeError):
    """The test cluster cannot be built, started or ended; the text says which part and why."""


class ClusterInUse(ClusterFailed):
    """The test cluster is not ended, since tests are using it."""
