"""A small Kubernetes API in this process, whose pods are local processes."""

from .cluster import LocalCluster

__all__ = ["LocalCluster"]
