"""Who we are: kubeconfigs of every sort, renewal, TLS, proxies."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import socket
import ssl
import sys
import tracemalloc
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
import yaml
from aiohttp import web

from jupyter_kube.config import KubeConfig
from jupyter_kube.errors import AccessDenied, ClusterError, NotConfigured
from jupyter_kube.kube import credentials, transport
from jupyter_kube.kube import plugin as plugin_module
from jupyter_kube.kube.client import KubeClient
from tests.cluster.pki import Authority

from .fake import FakeApi, kubeconfig, ok, status, stream

PLUGIN = """
import json, pathlib, sys
folder = pathlib.Path(sys.argv[1])
runs = folder / "runs"
runs.write_text(runs.read_text() + "x" if runs.exists() else "x")
if (folder / "broken").exists():
    sys.exit("no network here")
print(json.dumps({
    "apiVersion": "client.authentication.k8s.io/v1",
    "kind": "ExecCredential",
    "status": json.loads((folder / "status").read_text()),
}))
"""


def connect(path: Path, **settings: str) -> Any:
    return KubeClient.connect(KubeConfig(kubeconfig=str(path), **settings))


def only(token: str) -> Any:
    """Answer 200 to one token, 401 to all others."""

    async def answer(request: web.Request) -> web.StreamResponse:
        good = request.headers.get("Authorization") == f"Bearer {token}"
        return await (ok({}) if good else status(401, "Unauthorized"))(request)

    return answer


class Plugin:
    """A credential plugin that gives what it is told to and counts its runs."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "plugin.py").write_text(PLUGIN)
        self.user: dict[str, dict[str, Any]] = {
            "exec": {
                "apiVersion": "client.authentication.k8s.io/v1",
                "command": sys.executable,
                "args": [str(folder / "plugin.py"), str(folder)],
                "interactiveMode": "Never",
            }
        }

    def gives(self, **status: str) -> None:
        (self.folder / "status").write_text(json.dumps(status))

    @property
    def runs(self) -> int:
        path = self.folder / "runs"
        return len(path.read_text()) if path.exists() else 0


@pytest.fixture
def plugin(tmp_path: Path) -> Plugin:
    return Plugin(tmp_path)


@pytest.fixture
def aged(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let every token be old enough to be looked at again."""
    monkeypatch.setattr(credentials, "_FRESH", -1.0)


async def test_nothing_to_connect_with_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KUBECONFIG", f"{tmp_path}/a{os.pathsep}{tmp_path}/b")
    with pytest.raises(NotConfigured) as caught:
        await KubeClient.connect(KubeConfig())
    for word in (f"{tmp_path}/a", f"{tmp_path}/b", "service account"):
        assert word in caught.value.why


@pytest.mark.parametrize("content", ["", "[", "- 1", "current-context: x", '{"a": "b"}', "\x00"])
async def test_a_kubeconfig_that_is_none_is_refused(tmp_path: Path, content: str) -> None:
    path = tmp_path / "kubeconfig"
    path.write_text(content)
    with pytest.raises(NotConfigured, match="cannot be used"):
        await connect(path)


async def test_an_unknown_context_is_refused(tmp_path: Path) -> None:
    with pytest.raises(NotConfigured, match="elsewhere"):
        await connect(kubeconfig(tmp_path, "http://127.0.0.1:1"), context="elsewhere")


async def test_tls_verification_cannot_be_switched_off(tmp_path: Path) -> None:
    settings = {"insecure-skip-tls-verify": True}
    with pytest.raises(NotConfigured, match="insecure-skip-tls-verify"):
        await connect(kubeconfig(tmp_path, "https://127.0.0.1:1", **settings))


async def test_the_settings_namespace_wins(tmp_path: Path) -> None:
    client = await connect(kubeconfig(tmp_path, "http://127.0.0.1:1"), namespace="mine")
    assert client.namespace == "mine"
    await client.close()


async def test_the_kubeconfig_is_left_as_it_was(api: FakeApi, plugin: Plugin) -> None:
    plugin.gives(token="new")
    path = kubeconfig(plugin.folder, api.url, plugin.user)
    path.chmod(0o400)
    before = path.read_bytes()
    api.on("GET", "/x", only("new"))
    client = await connect(path)
    await client.request("GET", "/x")
    await client.close()
    assert path.read_bytes() == before


async def test_f19_a_rotated_token_file_is_read_again_after_a_refusal(
    api: FakeApi, tmp_path: Path
) -> None:
    token = tmp_path / "token"
    token.write_text("old\n")
    client = await connect(kubeconfig(tmp_path, api.url, {"tokenFile": str(token)}))
    token.write_text("new\n")
    api.on("GET", "/x", only("new"))
    await client.request("GET", "/x")
    assert [seen.headers["Authorization"] for seen in api.seen] == ["Bearer old", "Bearer new"]
    await client.close()


async def test_f19_a_token_file_is_read_again_as_it_ages(
    api: FakeApi, tmp_path: Path, aged: None
) -> None:
    token = tmp_path / "token"
    token.write_text("old")
    client = await connect(kubeconfig(tmp_path, api.url, {"tokenFile": str(token)}))
    token.write_text("new")
    api.on("GET", "/x", only("new"))
    await client.request("GET", "/x")
    assert len(api.seen) == 1
    await client.close()


async def test_f19_a_new_login_is_noticed_after_a_refusal(api: FakeApi, tmp_path: Path) -> None:
    client = await connect(kubeconfig(tmp_path, api.url, {"token": "old"}))
    path = kubeconfig(tmp_path, api.url, {"token": "a newer one"})
    elsewhere = yaml.safe_load(path.read_text())
    elsewhere["current-context"] = "theirs"  # what the client was made for stays
    path.write_text(yaml.safe_dump(elsewhere))
    api.on("GET", "/x", only("a newer one"))
    await asyncio.gather(*(client.request("GET", "/x") for _ in range(5)))
    assert api.seen[0].headers["Authorization"] == "Bearer old"
    await client.close()


async def test_f19_a_login_that_is_not_written_whole_is_read_at_the_next_refusal(
    api: FakeApi, tmp_path: Path
) -> None:
    path = kubeconfig(tmp_path, api.url, {"token": "old"})
    client = await connect(path)
    kubeconfig(tmp_path, api.url, {"token": "a newer one"})
    whole = path.read_text()
    api.on("GET", "/x", only("a newer one"))
    for part in ("", whole[: whole.index("current-context")], whole.replace("token", "tok")):
        path.write_text(part)
        with pytest.raises(AccessDenied):
            await client.request("GET", "/x")
    path.write_text(whole)
    await client.request("GET", "/x")
    assert {seen.headers.get("Authorization") for seen in api.seen[:-1]} == {"Bearer old"}
    await client.close()


async def test_a_new_logins_token_is_not_sent_to_the_server_of_the_last_one(
    api: FakeApi, tmp_path: Path
) -> None:
    client = await connect(kubeconfig(tmp_path, api.url, {"token": "old"}))
    kubeconfig(tmp_path, "https://other.example:6443/path", {"token": "theirs"})
    api.on("GET", "/x", only("theirs"))
    for _ in range(2):
        with pytest.raises(AccessDenied, match=r"https://other\.example:6443, and this .*Restart"):
            await client.request("GET", "/x")
    assert {seen.headers["Authorization"] for seen in api.seen} == {"Bearer old"}
    await client.close()


async def test_f19_credentials_refused_twice_are_not_tried_a_third_time(
    api: FakeApi, tmp_path: Path
) -> None:
    client = await connect(kubeconfig(tmp_path, api.url))
    api.on("GET", "/x", only("another"))
    with pytest.raises(AccessDenied, match="does not accept these credentials"):
        await client.request("GET", "/x")
    assert len(api.seen) == 2
    await client.close()


async def test_f19_the_plugin_runs_again_after_a_refusal_once_for_all(
    api: FakeApi, plugin: Plugin
) -> None:
    plugin.gives(token="old", expirationTimestamp="2999-01-01T00:00:00Z")
    client = await connect(kubeconfig(plugin.folder, api.url, plugin.user))
    plugin.gives(token="new", expirationTimestamp="2999-01-01T00:00:00Z")
    api.on("GET", "/x", only("new"))
    await asyncio.gather(*(client.request("GET", "/x") for _ in range(5)))
    assert plugin.runs == 2
    await client.close()


async def test_f19_the_plugin_runs_again_near_expiry_only(
    api: FakeApi, plugin: Plugin, aged: None
) -> None:
    api.on("GET", "/x", ok())
    plugin.gives(token="a", expirationTimestamp="2999-01-01T00:00:00Z")
    client = await connect(kubeconfig(plugin.folder, api.url, plugin.user))
    await client.request("GET", "/x")
    assert plugin.runs == 1
    await client.close()
    plugin.gives(token="b", expirationTimestamp="2001-01-01T00:00:00Z")
    client = await connect(kubeconfig(plugin.folder, api.url, plugin.user))
    await client.request("GET", "/x")
    assert plugin.runs == 3
    await client.close()


async def test_a_plugin_without_expiry_runs_once(api: FakeApi, plugin: Plugin, aged: None) -> None:
    api.on("GET", "/x", ok())
    plugin.gives(token="a")
    client = await connect(kubeconfig(plugin.folder, api.url, plugin.user))
    await client.request("GET", "/x")
    assert plugin.runs == 1
    await client.close()


async def test_a_broken_plugin_is_said(tmp_path: Path, plugin: Plugin) -> None:
    (tmp_path / "broken").touch()
    with pytest.raises(NotConfigured, match="gave no credentials: no network here"):
        await connect(kubeconfig(tmp_path, "http://127.0.0.1:1", plugin.user))


async def test_a_hanging_plugin_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plugin_module, "_TIME", 1.0)
    script = f"echo $$ > {tmp_path}/pid; exec sleep 1000"
    hanging = {"exec": {"apiVersion": "v1", "command": "sh", "args": ["-c", script]}}
    with pytest.raises(NotConfigured, match="did not answer within"):
        await connect(kubeconfig(tmp_path, "http://127.0.0.1:1", hanging))
    with pytest.raises(ProcessLookupError):
        os.kill(int((tmp_path / "pid").read_text()), 0)


async def test_a_plugins_failure_after_a_refusal_is_access_denied(
    api: FakeApi, plugin: Plugin
) -> None:
    plugin.gives(token="old")
    client = await connect(kubeconfig(plugin.folder, api.url, plugin.user))
    (plugin.folder / "broken").touch()
    api.on("GET", "/x", only("new"))
    with pytest.raises(AccessDenied, match="no network here"):
        await client.request("GET", "/x")
    await client.close()


async def test_a_plugins_path_is_relative_to_the_kubeconfig(api: FakeApi, plugin: Plugin) -> None:
    plugin.gives(token="good")
    script = plugin.folder / "plugin.py"
    script.write_text(f"#!{sys.executable}\n{PLUGIN}")
    script.chmod(0o700)
    plugin.user["exec"] |= {"command": "./plugin.py", "args": [str(plugin.folder)]}
    api.on("GET", "/x", only("good"))
    client = await connect(kubeconfig(plugin.folder, api.url, plugin.user))
    await client.request("GET", "/x")
    await client.close()


async def test_a_plugin_that_is_not_installed_is_said_with_its_hint(tmp_path: Path) -> None:
    spec = {"apiVersion": "v1", "command": "no-such-plugin", "installHint": "Ask Ann for it."}
    with pytest.raises(NotConfigured, match=r"no-such-plugin.*Ask Ann for it"):
        await connect(kubeconfig(tmp_path, "http://127.0.0.1:1", {"exec": spec}))


async def test_a_renewal_that_fails_is_access_denied(
    api: FakeApi, tmp_path: Path, aged: None
) -> None:
    token = tmp_path / "token"
    token.write_text("old")
    client = await connect(kubeconfig(tmp_path, api.url, {"tokenFile": str(token)}))
    token.unlink()
    with pytest.raises(AccessDenied, match="cannot be renewed"):
        await client.request("GET", "/x")
    await client.close()


async def test_f19_in_a_pod_the_service_account_is_used_and_rotates(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from kubernetes.aio.config import incluster_config

    for name in ("token", "ca.crt", "namespace"):
        (tmp_path / name).write_text({"token": "first"}.get(name, "pod-space\n"))
    ca = Authority(tmp_path / "pki").certificate
    (tmp_path / "ca.crt").write_bytes(ca.read_bytes())
    monkeypatch.setattr(credentials, "_IN_CLUSTER", tmp_path)
    monkeypatch.setattr(
        incluster_config, "SERVICE_TOKEN_FILENAME", str(tmp_path / "token"), raising=True
    )
    monkeypatch.setattr(
        incluster_config, "SERVICE_CERT_FILENAME", str(tmp_path / "ca.crt"), raising=True
    )
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "none"))
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "::1")
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", "6443")
    found = await credentials.find(KubeConfig())
    assert (found.server, found.namespace, found.context) == (
        "https://[::1]:6443",
        "pod-space",
        "in-cluster",
    )
    first = await found.token()
    (tmp_path / "token").write_text("second")
    assert await found.token() == first, "fresh yet"
    assert await found.token(refused=first) == "bearer second"
    assert (await credentials.find(KubeConfig(namespace="mine"))).namespace == "mine"
    with pytest.raises(NotConfigured):  # a context is not to be found in a pod's account
        await credentials.find(KubeConfig(context="prod"))


# TLS


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path / "pki")


def inline(path: Path) -> str:
    return base64.b64encode(path.read_bytes()).decode()


async def serve_tls(authority: Authority, address: str, *, ask: bool = False) -> FakeApi:
    identity = authority.issue("server", "/CN=server", [address])
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(identity.certificate, identity.key)
    if ask:
        context.load_verify_locations(authority.certificate)
        context.verify_mode = ssl.CERT_REQUIRED
    api = FakeApi()
    await api.start(context)
    api.on("GET", "/x", ok({"fine": True}))
    return api


async def test_the_clusters_own_authority_is_trusted_and_no_other(
    tmp_path: Path, authority: Authority
) -> None:
    api = await serve_tls(authority, "IP:127.0.0.1")
    ca = {"certificate-authority-data": inline(authority.certificate)}
    client = await connect(kubeconfig(tmp_path, api.url, **ca))
    assert await client.request("GET", "/x") == {"fine": True}
    await client.close()
    stranger = await connect(kubeconfig(tmp_path, api.url))
    with pytest.raises(ClusterError, match="cannot trust"):
        await stranger.request("GET", "/x")
    await stranger.close()
    assert len(api.seen) == 1
    await api.stop()


async def test_hundreds_of_tls_connections_take_little_memory(
    tmp_path: Path, authority: Authority
) -> None:
    number = 40
    api = await serve_tls(authority, "IP:127.0.0.1")
    api.on("GET", "/log", stream(b"line\n", end="hang", wait=api.released))
    ca = {"certificate-authority-data": inline(authority.certificate)}
    client = await connect(kubeconfig(tmp_path, api.url, **ca))
    tracemalloc.start()
    async with AsyncExitStack() as stack:
        for _ in range(number):
            chunks = await stack.enter_async_context(client.stream("/log"))
            assert await anext(chunks) == b"line\n"
        held, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    await client.close()
    await api.stop()
    assert held / number < 300e3  # both ends; with buffers as asyncio makes them over 500 kB


async def test_the_servers_name_can_be_another_than_its_address(
    tmp_path: Path, authority: Authority
) -> None:
    api = await serve_tls(authority, "DNS:kube.example")
    ca = {"certificate-authority-data": inline(authority.certificate)}
    client = await connect(
        kubeconfig(tmp_path, api.url, **ca, **{"tls-server-name": "kube.example"})
    )
    assert await client.request("GET", "/x") == {"fine": True}
    await client.close()
    await api.stop()


@pytest.mark.parametrize("by", ["kubeconfig", "plugin"])
async def test_a_client_certificate_is_shown(
    tmp_path: Path, authority: Authority, plugin: Plugin, by: str
) -> None:
    api = await serve_tls(authority, "IP:127.0.0.1", ask=True)
    me = authority.issue("me", "/CN=me")
    if by == "plugin":
        plugin.gives(
            clientCertificateData=me.certificate.read_text(), clientKeyData=me.key.read_text()
        )
        user: Any = plugin.user
    else:
        user = {
            "client-certificate-data": inline(me.certificate),
            "client-key-data": inline(me.key),
        }
    ca = {"certificate-authority-data": inline(authority.certificate)}
    client = await connect(kubeconfig(tmp_path, api.url, user, **ca))
    assert await client.request("GET", "/x") == {"fine": True}
    await client.close()
    await api.stop()


async def test_f19_a_new_logins_certificate_is_shown_on_connections_of_its_own(
    tmp_path: Path, authority: Authority
) -> None:
    api = await serve_tls(authority, "IP:127.0.0.1", ask=True)

    async def only_new(request: web.Request) -> web.StreamResponse:
        shown = request.get_extra_info("peercert")["subject"][0][0][1]
        return await (ok({}) if shown == "new" else status(401, "Unauthorized"))(request)

    def login(name: str) -> Path:
        me = authority.issue(name, f"/CN={name}")
        user = {
            "client-certificate-data": inline(me.certificate),
            "client-key-data": inline(me.key),
        }
        ca = {"certificate-authority-data": inline(authority.certificate)}
        return kubeconfig(tmp_path, api.url, user, **ca)

    client = await connect(login("old"))
    api.on("GET", "/y", only_new)
    with pytest.raises(AccessDenied):
        await client.request("GET", "/y")
    await client.request("GET", "/x")  # its connection is kept for the next request
    login("new")
    await client.request("GET", "/y")
    await client.close()
    await api.stop()


# the way there


def test_proxies_are_chosen_as_kubectl_does(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("NO_PROXY", "no_proxy", "HTTP_PROXY", "http_proxy", "https_proxy"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy:3128")
    monkeypatch.setenv("NO_PROXY", "internal.example")
    assert transport.proxy_for("https://kube.example:6443", None) == "http://proxy:3128"
    assert transport.proxy_for("https://kube.internal.example", None) is None
    assert transport.proxy_for("https://kube.example", "http://other:1") == "http://other:1"
    for local in ("https://127.0.0.1:6443", "https://localhost", "https://[::1]:1"):
        assert transport.proxy_for(local, None) is None
    assert transport.proxy_for("http://kube.example", None) is None


def test_f07_sockets_notice_a_vanished_peer() -> None:
    with transport.keepalive_socket((socket.AF_INET, socket.SOCK_STREAM, 0, "", ())) as made:
        assert made.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
        if sys.platform == "linux":
            assert made.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE) == 15
