"""Fixtures for the tests of kernels."""

from .serving import cluster, jp_server_config, kubeconfig, server  # noqa: F401 - fixtures
