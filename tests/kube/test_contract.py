"""What we rely on of the client library, for its oldest and its newest allowed version."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any

import pytest
from kubernetes.aio.client.configuration import Configuration
from kubernetes.aio.config import incluster_config
from kubernetes.aio.config.config_exception import ConfigException
from kubernetes.aio.config.kube_config import KubeConfigLoader, KubeConfigMerger

from .fake import kubeconfig


def load(path: Path, **settings: Any) -> KubeConfigLoader:
    merged = KubeConfigMerger(str(path))
    return KubeConfigLoader(merged.config, config_base_path=None, **settings)


def test_a_configuration_of_our_own_is_not_the_default_one() -> None:
    mine = Configuration()
    mine.host = "https://mine"
    assert Configuration().host != "https://mine"


async def test_the_loader_fills_in_what_we_read(tmp_path: Path) -> None:
    (tmp_path / "ca.crt").write_text("the authority")
    path = kubeconfig(
        tmp_path,
        "https://kube:6443/",
        {"token": "t", "client-certificate-data": "bWU=", "client-key-data": "a2V5"},
        **{
            "certificate-authority": "ca.crt",
            "tls-server-name": "name",
            "proxy-url": "http://proxy:1",
            "insecure-skip-tls-verify": True,
        },
    )
    loader, configuration = load(path), Configuration()
    await loader.load_and_set(configuration)
    assert configuration.host == "https://kube:6443"
    assert configuration.api_key["BearerToken"] == "Bearer t"
    assert Path(configuration.ssl_ca_cert).read_text() == "the authority", "relative to its file"
    assert Path(configuration.cert_file).read_text() == "me"
    assert Path(configuration.key_file).read_text() == "key"
    assert Path(configuration.key_file).stat().st_mode & 0o077 == 0
    assert configuration.tls_server_name == "name"
    assert configuration.proxy == "http://proxy:1"
    assert configuration.verify_ssl is False
    assert loader.current_context["name"] == "test"
    assert loader.current_context["context"]["namespace"] == "here"


async def test_a_token_file_is_read_at_each_load(tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("one")
    loader = load(kubeconfig(tmp_path, "https://kube", {"tokenFile": str(token)}))
    configuration = Configuration()
    await loader.load_and_set(configuration)
    token.write_text("two")
    await loader.load_and_set(configuration)
    assert configuration.api_key["BearerToken"] == "Bearer two"


def test_a_user_can_be_taken_apart(tmp_path: Path) -> None:
    path = kubeconfig(tmp_path, "https://kube", {"exec": {"command": "c"}})
    loader = load(path)
    assert loader._user.value == {"exec": {"command": "c"}}
    assert loader._user.path == str(path)


def test_files_are_merged_and_the_first_one_wins(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
    first = kubeconfig(tmp_path / "a", "https://first")
    second = kubeconfig(tmp_path / "b", "https://second")
    merged = KubeConfigMerger(f"{first}:{second}")
    assert [c["cluster"]["server"] for c in merged.config.value["clusters"]] == ["https://first"]


def test_an_unknown_context_is_a_config_exception(tmp_path: Path) -> None:
    with pytest.raises(ConfigException):
        load(kubeconfig(tmp_path, "https://kube"), active_context="none")


def test_the_service_account_is_loaded_into_a_given_configuration() -> None:
    parameters = inspect.signature(incluster_config.load_incluster_config).parameters
    assert list(parameters)[:2] == ["client_configuration", "try_refresh_token"]
    assert incluster_config.SERVICE_TOKEN_FILENAME.startswith("/var/run/secrets/kubernetes.io/")
