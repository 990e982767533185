"""A Jupyter Server whose cluster is behind the proxy, and what tests do with its kernels."""

from __future__ import annotations

import json
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import yaml

from jupyter_kube import naming
from jupyter_kube.kube import objects
from jupyter_kube.kube.client import KubeClient
from jupyter_kube.kube.watch import Reflector
from jupyter_kube.localcluster.access import Tokens
from jupyter_kube.session import JupyterServer, running_server
from tests.conformance.conftest import Target

REACHES = ("port-forward", "pod-ip")


def serving(
    target: Target, kubeconfig: Path, folder: Path, reach: str = "auto", **profile: Any
) -> AbstractAsyncContextManager[JupyterServer]:
    """Run a server with one profile, ``python``, on the cluster of a kubeconfig."""
    small = {"image": target.image, "cpu": "10m", "memory": "256Mi", **profile}
    settings = target.settings(python=small) | {"kubeconfig": str(kubeconfig)}
    return running_server(folder, {"KubeConfig": settings, "KubeProvisioner": {"reach": reach}})


async def gone(client: KubeClient) -> None:
    """Wait until no pod and no Secret of a kernel is left in the namespace."""
    for resource in (objects.PODS, objects.SECRETS):
        reflector = Reflector(client, resource, labels=naming.SELECTOR)
        await reflector.start()
        try:
            await reflector.synced()
            for name in list(reflector.items):
                await reflector.wait_for(name, lambda item: item is None, 40)
        finally:
            await reflector.close()


async def account_kubeconfig(client: KubeClient, target: Target, account: str, path: Path) -> Path:
    """Write the kubeconfig of a service account in the target's namespace."""
    content = yaml.safe_load(target.kubeconfig.read_text())
    (user,), (cluster,) = content["users"], content["clusters"]
    if target.real:
        place = objects.SERVICE_ACCOUNTS.path(target.namespace, account, "token")
        made = await client.request("POST", place, body={"spec": {"expirationSeconds": 3600}})
        token = made["status"]["token"]
    else:
        owner = user["user"]["token"]
        token = Tokens(owner).of_account(target.namespace, account)
        # the local cluster's address ends in its owner's token
        server = cluster["cluster"]["server"].removesuffix(f"/as/{owner}")
        cluster["cluster"]["server"] = server
    user["user"] = {"token": token}
    path.touch(mode=0o600)
    path.write_text(json.dumps(content))
    return path
