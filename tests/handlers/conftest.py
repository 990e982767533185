"""Fixtures for the tests of the REST API."""

from tests.kernels.serving import cluster, jp_server_config, kubeconfig, server  # noqa: F401 - fixtures
