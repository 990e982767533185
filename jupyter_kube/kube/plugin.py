"""Credential plugins: the programs that a kubeconfig's ``exec`` names, such as a cloud's own."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
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
        if Path(command).name != command:
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
            status = json.loads(await asyncio.to_thread(self._output))["status"]
            if not (status.get("token") or status.get("clientCertificateData")):
                raise ValueError("its answer has neither token nor certificate")
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise NotConfigured(
                f"the kubeconfig's credential plugin {self._argv[0]} gave no credentials",
                str(error)[:256] or type(error).__name__,
                self._hint or "Run `kubectl get pods` to see it.",
            ) from error
        self._status = status

    def show_certificate(self, context: SSLContext) -> None:
        """Have new connections of a TLS context show the certificate, if there is one."""
        certificate = self._status.get("clientCertificateData")
        if not certificate:
            return
        with tempfile.TemporaryDirectory() as folder:  # OpenSSL reads files only
            file = Path(folder) / "client.pem"
            key = self._status.get("clientKeyData", "")
            file.write_text(f"{certificate}\n{key}\n", encoding="utf-8")
            context.load_cert_chain(file)

    def _output(self) -> bytes:
        """Run it here and now: an event loop on Windows may have no processes."""
        try:
            done = subprocess.run(
                self._argv,
                env=self._env,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=_TIME,
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            raise OSError(f"it did not answer within {_TIME:.0f} seconds") from error
        if done.returncode:
            words = done.stderr.decode(errors="replace").strip()
            raise OSError(words or f"it ended with exit code {done.returncode}")
        return done.stdout
