"""Where a run takes place: a namespace of its own, and an account per arm.

Each arm acts as its own ServiceAccount, and each account has a FlowSchema of its own: so the API
server itself counts the requests of each arm, whatever client it uses.
"""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.cluster import Cluster

Rights = Sequence[tuple[str, Sequence[str], Sequence[str]]]
"""(API group, resources, verbs)."""
READ = ("get", "list", "watch")

_COUNTED = re.compile(
    r'^apiserver_flowcontrol_dispatched_requests_total\{.*flow_schema="([^"]+)".*\} (\S+)$',
    re.MULTILINE,
)


@dataclass(frozen=True)
class Place:
    """The cluster as a run uses it."""

    cluster: Cluster
    namespace: str
    folder: Path
    accounts: Sequence[str] = ()

    def kubeconfig(self, account: str) -> Path:
        """Return the kubeconfig of one account."""
        return self.folder / f"{account}.kubeconfig"

    def token(self, account: str) -> str:
        """Ask for a token of one account."""
        length = "--duration=4h"
        return self.cluster.kubectl(
            "create", "token", account, "-n", self.namespace, length
        ).strip()

    @property
    def api(self) -> dict[str, Any]:
        """The API server: its ``server`` and ``certificate-authority-data``."""
        view = self.cluster.kubectl(
            "config", "view", "--raw", "--minify", "--flatten", "-o", "json"
        )
        api: dict[str, Any] = json.loads(view)["clusters"][0]["cluster"]
        return api

    def requests(self) -> dict[str, float]:
        """Return how many requests each account has made so far; port-forwards are not counted."""
        metrics = self.cluster.kubectl("get", "--raw", "/metrics")
        counted: dict[str, float] = {}
        for schema, number in _COUNTED.findall(metrics):
            account = schema.removeprefix(f"{self.namespace}-")
            if account != schema:
                counted[account] = counted.get(account, 0) + float(number)
        return counted


@contextmanager
def place(cluster: Cluster, accounts: Mapping[str, Rights], folder: Path) -> Iterator[Place]:
    """Make a namespace with `accounts` and their rights; delete it and all in it at the end."""
    here = Place(cluster, f"bench-{secrets.token_hex(3)}", folder, tuple(accounts))
    schemas = [_flow_schema(here, account) for account in accounts]
    try:
        cluster.apply(
            {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": here.namespace}}
        )
        for account, rights in accounts.items():
            cluster.apply(*_account(here, account, rights))
        cluster.apply(*schemas)
        for account in accounts:
            here.kubeconfig(account).write_text(json.dumps(_kubeconfig(here, account)))
            here.kubeconfig(account).chmod(0o600)
        yield here
    finally:
        names = [schema["metadata"]["name"] for schema in schemas]
        cluster.kubectl("delete", "flowschema", "--ignore-not-found", *names)
        # Jobs first: they replace their pods, and hold those that go before they have ended.
        inside = ("-n", here.namespace, "--all", "--ignore-not-found")
        cluster.kubectl("delete", "jobs", *inside, "--cascade=orphan")
        cluster.kubectl("delete", "pods", *inside, "--grace-period=0", "--force")
        cluster.kubectl("delete", "namespace", here.namespace, "--ignore-not-found")


def _account(here: Place, account: str, rights: Rights) -> list[dict[str, Any]]:
    meta = {"name": account, "namespace": here.namespace}
    rules = [
        {"apiGroups": [group], "resources": list(resources), "verbs": list(verbs)}
        for group, resources, verbs in rights
    ]
    rbac = "rbac.authorization.k8s.io"
    return [
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": meta},
        {"apiVersion": f"{rbac}/v1", "kind": "Role", "metadata": meta, "rules": rules},
        {
            "apiVersion": f"{rbac}/v1",
            "kind": "RoleBinding",
            "metadata": meta,
            "roleRef": {"apiGroup": rbac, "kind": "Role", "name": account},
            "subjects": [{"kind": "ServiceAccount", **meta}],
        },
    ]


def _flow_schema(here: Place, account: str) -> dict[str, Any]:
    subject = {"name": account, "namespace": here.namespace}
    every = ["*"]
    return {
        "apiVersion": "flowcontrol.apiserver.k8s.io/v1",
        "kind": "FlowSchema",
        "metadata": {"name": f"{here.namespace}-{account}"},
        "spec": {
            "priorityLevelConfiguration": {"name": "workload-low"},  # as accounts have by default
            "matchingPrecedence": 1000,
            "distinguisherMethod": {"type": "ByUser"},
            "rules": [
                {
                    "subjects": [{"kind": "ServiceAccount", "serviceAccount": subject}],
                    "resourceRules": [
                        {
                            "apiGroups": every,
                            "resources": every,
                            "verbs": every,
                            "namespaces": every,
                            "clusterScope": True,
                        }
                    ],
                    "nonResourceRules": [{"verbs": every, "nonResourceURLs": every}],
                }
            ],
        },
    }


def _kubeconfig(here: Place, account: str) -> dict[str, Any]:
    context = {"cluster": "here", "user": account, "namespace": here.namespace}
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "here",
        "clusters": [{"name": "here", "cluster": here.api}],
        "users": [{"name": account, "user": {"token": here.token(account)}}],
        "contexts": [{"name": "here", "context": context}],
    }
