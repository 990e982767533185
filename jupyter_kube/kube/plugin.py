"""Credential plugins: the programs that a kubeconfig's ``exec`` names, such as a cloud's own."""

from __future__ import annotations

import asyncio
import json
import os
import tempfile
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from ssl import SSLContext
from typing import Any

from ..errors import NotConfigured

_TIME = 60.0
"""Seconds a plugin gets; it may have to ask a person in a browser."""
_EARLY = timedelta(minutes=2)


class Plugin:
    """Runs one plugin and keeps what it gave.

    Parameters
    ----------
    spec
        The ``exec`` part of a kubeconfig's user.
    folder
        Where a command with a relative path is looked for: the kubeconfig's folder.

    """

    def __init__(self, spec: Mapping[str, Any], folder: Path) -> None:
        command = str(spec["command"])
        self._argv = [command, *map(str, spec.get("args") or ())]
        if os.sep in command:
            self._argv[0] = str(folder / command)
        version = str(spec["apiVersion"])
        info = {"apiVersion": version, "kind": "ExecCredential", "spec": {"interactive": False}}
        given = {str(e["name"]): str(e["value"]) for e in spec.get("env") or ()}
        self._env = {**os.environ, **given, "KUBERNETES_EXEC_INFO": json.dumps(info)}
        self._hint = str(spec.get("installHint") or "").strip()
        self._status: dict[str, Any] = {}

    @property
    def token(self) -> str:
        """The bearer token; "" if the plugin gives a certificate."""
        return str(self._status.get("token") or "")

    @property
    def stale(self) -> bool:
        """Whether what it gave expires soon."""
        expires = self._status.get("expirationTimestamp")
        if not expires:
            return False
        then = datetime.fromisoformat(str(expires).replace("Z", "+00:00"))
        return then - datetime.now(UTC) < _EARLY

    async def run(self) -> None:
        """Run the plugin for new credentials.

        Raises
        ------
        NotConfigured
            With the plugin's own words.

        """
        try:
            output = await self._output()
            status = json.loads(output)["status"]
            if not (status.get("token") or status.get("clientCertificateData")):
                raise ValueError("its answer has neither token nor certificate")
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            why = f"it did not answer within {_TIME:.0f} seconds"
            if not isinstance(error, TimeoutError):
                why = str(error)[:256] or type(error).__name__
            raise NotConfigured(
                f"the kubeconfig's credential plugin {self._argv[0]} gave no credentials",
                why,
                self._hint or "Run `kubectl get pods` to see it.",
            ) from error
        self._status = status

    def show_certificate(self, context: SSLContext) -> None:
        """Have new connections of a TLS context show the certificate, if there is one."""
        certificate = self._status.get("clientCertificateData")
        if not certificate:
            return
        with tempfile.NamedTemporaryFile("w", suffix=".pem") as file:  # OpenSSL reads files only
            file.write(f"{certificate}\n{self._status.get('clientKeyData', '')}\n")
            file.flush()
            context.load_cert_chain(file.name)

    async def _output(self) -> bytes:
        process = await asyncio.create_subprocess_exec(
            *self._argv,
            env=self._env,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        try:
            async with asyncio.timeout(_TIME):
                output, words = await process.communicate()
        finally:
            if process.returncode is None:
                process.kill()
                await process.communicate()
        if process.returncode:
            raise OSError(words.decode(errors="replace").strip() or f"exit {process.returncode}")
        return output
