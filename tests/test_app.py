"""The server extension: what it sets, what it leaves alone, and what it does not touch."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from jupyter_server.services.kernels.connection.channels import ZMQChannelsWebsocketConnection
from jupyter_server.services.kernels.kernelmanager import AsyncMappingKernelManager

from jupyter_kube.kernels import news
from jupyter_kube.kernels.connection import KubeWebsocketConnection
from jupyter_kube.kernels.manager import KubeMappingKernelManager

ENABLED = {"jpserver_extensions": {"jupyter_kube": True}}


class Theirs(AsyncMappingKernelManager):
    """A manager somebody configured."""


def specs_of(app: Any) -> set[str]:
    return {name for name in app.kernel_spec_manager.find_kernel_specs() if "kube-" in name}


def test_our_classes_are_live_where_nobody_named_others(jp_configurable_serverapp: Any) -> None:
    app = jp_configurable_serverapp(config={"ServerApp": dict(ENABLED)})
    assert isinstance(app.kernel_manager, KubeMappingKernelManager)
    assert app.kernel_websocket_connection_class is KubeWebsocketConnection
    assert app.web_app.settings["kernel_websocket_connection_class"] is KubeWebsocketConnection
    assert specs_of(app) == {"kube-python"}


def test_a_front_end_that_was_there_first_hears_of_kernels(jp_configurable_serverapp: Any) -> None:
    app = jp_configurable_serverapp(config={"ServerApp": dict(ENABLED)})
    assert {news.START, news.END} <= set(app.event_logger.schemas.schema_ids)


def test_a_class_the_user_named_stays(jp_configurable_serverapp: Any) -> None:
    config = {"ServerApp": {**ENABLED, "kernel_manager_class": f"{__name__}.Theirs"}}
    app = jp_configurable_serverapp(config=config)
    assert type(app.kernel_manager) is Theirs
    assert app.kernel_websocket_connection_class is KubeWebsocketConnection


def test_a_gateway_is_left_alone(jp_configurable_serverapp: Any) -> None:
    from jupyter_server.gateway.gateway_client import GatewayClient

    GatewayClient.clear_instance()
    config = {"ServerApp": dict(ENABLED), "GatewayClient": {"url": "http://127.0.0.1:1"}}
    try:
        app = jp_configurable_serverapp(config=config)
        assert not isinstance(app.kernel_manager, KubeMappingKernelManager)
        assert app.kernel_websocket_connection_class is not KubeWebsocketConnection
    finally:
        GatewayClient.clear_instance()


def test_a_disabled_extension_changes_nothing(jp_configurable_serverapp: Any) -> None:
    app = jp_configurable_serverapp(
        config={"ServerApp": {"jpserver_extensions": {"jupyter_kube": False}}}
    )
    assert type(app.kernel_manager) is AsyncMappingKernelManager
    assert app.kernel_websocket_connection_class is ZMQChannelsWebsocketConnection
    assert specs_of(app) == set()


def test_profiles_come_from_the_servers_configuration(jp_configurable_serverapp: Any) -> None:
    config = {"ServerApp": dict(ENABLED), "KubeConfig": {"profiles": {"a": {}, "b": {}}}}
    assert specs_of(jp_configurable_serverapp(config=config)) == {"kube-a", "kube-b"}


def test_a_wrong_profile_is_left_out_in_words_and_the_others_are_offered(
    jp_configurable_serverapp: Any, capfd: pytest.CaptureFixture[str]
) -> None:
    profiles = {"a": {"memroy": "1Gi"}, "b": {}, "c": {"gpus": -1}}
    config = {
        "ServerApp": dict(ENABLED),
        "KubeConfig": {"profiles": profiles, "default_profile": "d"},
    }
    app = jp_configurable_serverapp(config=config)
    assert specs_of(app) == {"kube-b"}
    said = capfd.readouterr().err
    assert 'profile "a" has an unknown key "memroy"; did you mean memory?' in said
    assert 'profile "c": gpus must be a whole number (got -1)' in said
    assert 'there is no profile "d": there are: a, b, c' in said
    assert "Traceback" not in said


def test_settings_of_the_wrong_type_do_not_keep_the_server_from_starting(
    jp_configurable_serverapp: Any, capfd: pytest.CaptureFixture[str]
) -> None:
    config = {"ServerApp": dict(ENABLED), "KubeConfig": {"profiles": {"a": 5}}}
    assert specs_of(jp_configurable_serverapp(config=config)) == set()
    assert "No kernels on Kubernetes are offered: " in capfd.readouterr().err


def test_profiles_come_from_a_file_of_their_own(
    jp_configurable_serverapp: Any, jp_config_dir: Path
) -> None:
    settings = {"KubeConfig": {"profiles": {"from-file": {}}}}
    (jp_config_dir / "jupyter_kube_config.json").write_text(json.dumps(settings))
    app = jp_configurable_serverapp(config={"ServerApp": dict(ENABLED)})
    assert specs_of(app) == {"kube-from-file"}


def test_the_kernelspecs_go_with_the_server(
    jp_configurable_serverapp: Any, jp_asyncio_loop: Any
) -> None:
    app = jp_configurable_serverapp(config={"ServerApp": dict(ENABLED)})
    folders = list(Path(app.runtime_dir).glob("jupyter-kube-*"))
    assert len(folders) == 1
    jp_asyncio_loop.run_until_complete(app.cleanup_extensions())
    assert not folders[0].exists()


def test_loading_imports_nothing_that_talks_to_a_cluster(tmp_path: Path) -> None:
    code = (
        "import sys; from jupyter_server.serverapp import ServerApp;"
        "app = ServerApp(); app.initialize(argv=[], new_httpserver=False);"
        "print(type(app.kernel_manager).__name__,"
        " sorted({'kubernetes', 'aiohttp', 'jupyter_kube.kube.client'} & set(sys.modules)))"
    )
    folder = str(tmp_path)
    env = {**os.environ, "JUPYTER_CONFIG_DIR": folder, "JUPYTER_RUNTIME_DIR": folder}
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=env,
        cwd=folder,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip().endswith("KubeMappingKernelManager []")


def test_a_failed_start_is_logged_in_words_without_its_traceback() -> None:
    from jupyter_kube.app import _WordsOnly
    from jupyter_kube.errors import StartFailed

    def record(error: Exception) -> logging.LogRecord:
        info = (type(error), error, None)
        return logging.LogRecord("n", logging.ERROR, __file__, 1, "words", None, info)

    ours, other = record(StartFailed("no image")), record(ValueError("a bug"))
    for each in (ours, other):
        assert _WordsOnly().filter(each)
    assert ours.exc_info is None
    assert other.exc_info is not None
