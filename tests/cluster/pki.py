"""Certificates and kubeconfigs of the test cluster, made with openssl for each start."""

from __future__ import annotations

import base64
import json
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.cluster.layout import API, CONTEXT

_NEW_KEY = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]


@dataclass(frozen=True)
class Identity:
    """A certificate and its key."""

    certificate: Path
    key: Path


class Authority:
    """The cluster's certificate authority, in `folder`."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(mode=0o700)
        self.folder = folder
        self.certificate = folder / "ca.crt"
        self._config = folder / "openssl.cnf"
        # The system's file would mark every certificate as an authority.
        self._config.write_text("[req]\ndistinguished_name = name\n[name]\n")
        self._request("ca", "/CN=jupyter-kube-test", ["basicConstraints=critical,CA:TRUE"], [])

    def issue(self, name: str, subject: str, addresses: Sequence[str] = ()) -> Identity:
        """Sign a certificate for `subject`, good for a client and for a server at `addresses`."""
        extensions = ["extendedKeyUsage=clientAuth,serverAuth"]
        if addresses:
            extensions.append("subjectAltName=" + ",".join(addresses))
        signer = ["-CA", str(self.certificate), "-CAkey", str(self.folder / "ca.key")]
        return self._request(name, subject, extensions, signer)

    def kubeconfig(self, path: Path, identity: Identity) -> Path:
        """Write the kubeconfig of `identity`, complete in itself, readable by its owner only."""
        cluster = {"server": API, "certificate-authority-data": _inline(self.certificate)}
        user = {
            "client-certificate-data": _inline(identity.certificate),
            "client-key-data": _inline(identity.key),
        }
        body = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": CONTEXT, "cluster": cluster}],
            "users": [{"name": CONTEXT, "user": user}],
            "contexts": [{"name": CONTEXT, "context": {"cluster": CONTEXT, "user": CONTEXT}}],
            "current-context": CONTEXT,
        }
        path.touch(mode=0o600)
        path.write_text(json.dumps(body, indent=1))
        return path

    def _request(
        self, name: str, subject: str, extensions: Sequence[str], signer: Sequence[str]
    ) -> Identity:
        made = Identity(self.folder / f"{name}.crt", self.folder / f"{name}.key")
        options = [option for text in extensions for option in ("-addext", text)]
        where = ["-keyout", str(made.key), "-out", str(made.certificate)]
        base = ["req", "-x509", "-config", str(self._config), "-days", "365", "-subj", subject]
        _openssl(*base, *_NEW_KEY, *signer, *options, *where)
        return made


def _inline(path: Path) -> str:
    return base64.b64encode(path.read_bytes()).decode()


def _openssl(*arguments: str) -> None:
    subprocess.run(["openssl", *arguments], check=True, capture_output=True)
