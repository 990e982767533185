"""A JupyterHub with its proxy as processes of this machine, and users who visit it."""

from __future__ import annotations

import asyncio
import json
import os
import secrets
import signal
import socket
import subprocess
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
from yarl import URL

from jupyter_kube.session import JupyterServer
from tests.hub import software

_PASSWORD = "not a secret"
_PROXY_PID = "proxy.pid"
_CULLER = [
    # What jupyterhub-idle-culler asks for.
    *("list:users", "read:users:activity", "read:servers", "delete:servers"),
]


@dataclass
class Hub:
    """One running JupyterHub."""

    url: str
    culler: str
    """Token of the service that ends servers."""

    @asynccontextmanager
    async def visit(self, name: str) -> AsyncIterator[Visitor]:
        """Log in as `name` through the form, as a browser does, until the block is left."""
        jar = aiohttp.CookieJar(unsafe=True)
        async with aiohttp.ClientSession(cookie_jar=jar) as browser:
            login = f"{self.url}/hub/login"
            (await browser.get(login)).raise_for_status()
            form = {"username": name, "password": _PASSWORD, "_xsrf": _xsrf(browser, login)}
            async with browser.post(login, data=form, params={"next": "/hub/home"}) as answer:
                answer.raise_for_status()
                assert answer.url.path == "/hub/home", await answer.text()
            tokens = f"{self.url}/hub/api/users/{name}/tokens"
            xsrf = {"_xsrf": _xsrf(browser, f"{self.url}/hub/home")}
            async with browser.post(tokens, params=xsrf, json={}) as answer:
                answer.raise_for_status()
                token = (await answer.json())["token"]
        async with aiohttp.ClientSession(headers={"Authorization": f"token {token}"}) as session:
            yield Visitor(self, name, token, session)

    async def cull(self, name: str) -> None:
        """End a user's server, with the rights and the request of the idle culler."""
        url = f"{self.url}/hub/api/users/{name}/server"
        headers = {"Authorization": f"token {self.culler}"}
        async with aiohttp.ClientSession(headers=headers) as session, session.delete(url) as answer:
            answer.raise_for_status()


@dataclass
class Visitor:
    """A user who is logged in."""

    hub: Hub
    name: str
    token: str
    session: aiohttp.ClientSession

    async def start_server(self) -> JupyterServer:
        """Start the user's server and return it once it answers."""
        user = f"{self.hub.url}/hub/api/users/{self.name}"
        api = f"{user}/server"
        async with asyncio.timeout(30):  # the hub may not have done with the one before
            while (await (await self.session.get(user)).json())["pending"]:
                await asyncio.sleep(0.1)
        async with self.session.post(api) as answer:
            answer.raise_for_status()
        said: dict[str, Any] = {}
        async with asyncio.timeout(90), self.session.get(f"{api}/progress") as progress:
            async for line in progress.content:
                if line.startswith(b"data:"):
                    said = json.loads(line.removeprefix(b"data:"))
                    if said.get("ready") or said.get("failed"):
                        break
        assert said.get("ready"), said
        return self.server_of(self.name)

    def server_of(self, name: str) -> JupyterServer:
        """Return the server of any user, reached with this one's credentials."""
        return JupyterServer(f"{self.hub.url}/user/{name}", self.token)


@asynccontextmanager
async def running_hub(
    folder: Path, kubeconfig: Path, address: str, spawner: Mapping[str, Any]
) -> AsyncIterator[Hub]:
    """Run a hub and its proxy until the block is left; the users' servers end with it.

    Parameters
    ----------
    folder
        Gets all files of the hub.
    kubeconfig
        The hub's own credentials.
    address
        This machine's, as pods reach it.
    spawner
        Settings of KubeSpawner.

    """
    public, api, hub = _free_ports()
    culler = secrets.token_hex(16)
    settings = {
        "JupyterHub": {
            "bind_url": f"http://127.0.0.1:{public}",
            "hub_bind_url": f"http://{address}:{hub}",
            "spawner_class": "kubespawner.KubeSpawner",
            "authenticator_class": "dummy",
            "cleanup_servers": True,
            "services": [{"name": "culler", "api_token": culler}],
            "load_roles": [{"name": "culler", "scopes": _CULLER, "services": ["culler"]}],
        },
        "Authenticator": {"allow_all": True},
        "DummyAuthenticator": {"password": _PASSWORD},
        "ConfigurableHTTPProxy": {
            "command": software.proxy_command(),
            "api_url": f"http://127.0.0.1:{api}",
            "pid_file": _PROXY_PID,
        },
        "KubeSpawner": {"start_timeout": 90, "http_timeout": 60, **spawner},
    }
    (folder / "jupyterhub_config.json").write_text(json.dumps(settings))
    argv = [software.hub_python(), "-m", "jupyterhub", "-f", "jupyterhub_config.json"]
    log = (folder / "hub.log").open("wb")
    with log:
        process = subprocess.Popen(
            argv,
            cwd=folder,
            env=os.environ | {"KUBECONFIG": str(kubeconfig)},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    running = Hub(f"http://127.0.0.1:{public}", culler)
    try:
        await _until_up(running.url, process)
        yield running
    except BaseException:
        print((folder / "hub.log").read_text()[-20_000:])
        raise
    finally:
        process.send_signal(signal.SIGTERM)
        await asyncio.to_thread(_wait_or_kill, process, folder / _PROXY_PID)


async def _until_up(url: str, process: subprocess.Popen[bytes]) -> None:
    """Wait for the hub's answer through its proxy."""
    async with asyncio.timeout(60), aiohttp.ClientSession() as session:
        while True:
            assert process.poll() is None, "the hub ended while starting"
            try:
                async with session.get(f"{url}/hub/health") as answer:
                    if answer.status == 200:
                        return
            except aiohttp.ClientError:
                pass
            await asyncio.sleep(0.1)


def _wait_or_kill(process: subprocess.Popen[bytes], proxy: Path) -> None:
    """Wait for the hub, which ends its proxy; end both where it hangs."""
    try:
        process.wait(30)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
        if proxy.exists():  # in a session of its own
            os.kill(int(proxy.read_text()), signal.SIGKILL)


def _xsrf(browser: aiohttp.ClientSession, url: str) -> str:
    return browser.cookie_jar.filter_cookies(URL(url))["_xsrf"].value


def _free_ports() -> list[int]:
    with socket.socket() as one, socket.socket() as two, socket.socket() as three:
        for probe in (one, two, three):
            probe.bind(("", 0))
        return [probe.getsockname()[1] for probe in (one, two, three)]
