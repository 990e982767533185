"""The real cluster, for the tests of this folder."""

from tests.cluster.fixture import real_cluster

__all__ = ["real_cluster"]
