"""What the test cluster raises."""

from __future__ import annotations


class ClusterFailed(RuntimeError):
    """The test cluster cannot be built, started or ended; the text says which part and why."""
