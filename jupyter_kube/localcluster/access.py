"""Who asks, and what they may do: the owner of the cluster, and service accounts by Role.

kubectl sends no credentials over plain http. So a token may also be the beginning of the path,
``/as/TOKEN/api/v1/…``, which kubeconfigs make a part of the server's address.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from .kinds import ROLE, ROLEBINDING, ApiError
from .paths import Target
from .store import Store

MASTERS = "system:masters"
PREFIX = r"(?:/as/[^/]+)?"
"""Regular expression of the part of a path that ``split_token`` takes off."""


def address(url: str, token: str) -> str:
    """Give the address under which the server knows whose token this is."""
    return f"{url}/as/{token}"


def split_token(path: str) -> tuple[str, str]:
    """Split a path into the token that it begins with (or "") and the rest."""
    match path.split("/", 3):
        case ["", "as", token, rest]:
            return token, f"/{rest}"
        case _:
            return "", path


@dataclass(frozen=True)
class User:
    """Somebody who was recognised."""

    name: str
    groups: tuple[str, ...]


class Tokens:
    """The bearer tokens of one cluster: the owner's, and one of each service account."""

    def __init__(self, owner: str) -> None:
        self._owner = owner

    def of_account(self, namespace: str, account: str) -> str:
        """Make the token of a service account."""
        text = f"{namespace}:{account}".encode()
        signature = hmac.new(self._owner.encode(), text, hashlib.sha256).hexdigest()
        return f"{base64.urlsafe_b64encode(text).decode().rstrip('=')}.{signature}"

    def user(self, token: str) -> User | None:
        """Recognise a token."""
        if hmac.compare_digest(token.encode(), self._owner.encode()):
            return User("kubernetes-admin", (MASTERS, "system:authenticated"))
        encoded = token.partition(".")[0]
        try:
            text = base64.urlsafe_b64decode(encoded + "=" * (-len(encoded) % 4)).decode()
        except ValueError:
            return None
        namespace, _, account = text.partition(":")
        if not hmac.compare_digest(token.encode(), self.of_account(namespace, account).encode()):
            return None
        groups = (
            "system:serviceaccounts", f"system:serviceaccounts:{namespace}", "system:authenticated",
        )  # fmt: skip
        return User(f"system:serviceaccount:{namespace}:{account}", groups)


@dataclass(frozen=True)
class Question:
    """May somebody do this? An empty namespace means all of them."""

    verb: str
    group: str
    resource: str
    subresource: str = ""
    namespace: str = ""
    name: str = ""

    @property
    def full_resource(self) -> str:
        """The resource with its subresource, as in rules: ``pods/log``."""
        return f"{self.resource}/{self.subresource}" if self.subresource else self.resource


def question(verb: str, target: Target) -> Question:
    """Put the question that a request raises."""
    kind = target.kind
    return Question(
        verb, kind.group, kind.plural, target.subresource, target.namespace, target.name
    )


def check(store: Store, user: User, asked: Question) -> None:
    """Refuse what a user may not do.

    Raises
    ------
    ApiError
        403, in the words of a real cluster.

    """
    if allowed(store, user, asked):
        return
    resource = f"{asked.resource}.{asked.group}" if asked.group else asked.resource
    what = f'{resource} "{asked.name}"' if asked.name else resource
    where = f'in the namespace "{asked.namespace}"' if asked.namespace else "at the cluster scope"
    text = (
        f'{what} is forbidden: User "{user.name}" cannot {asked.verb} resource '
        f'"{asked.full_resource}" in API group "{asked.group}" {where}'
    )
    details = {"name": asked.name, "group": asked.group, "kind": asked.resource}
    raise ApiError(403, "Forbidden", text, details)


def allowed(store: Store, user: User, asked: Question) -> bool:
    """Tell whether a user may do something."""
    if MASTERS in user.groups:
        return True
    if not asked.namespace:
        return False
    roles = {
        binding["roleRef"]["name"]
        for binding in store.list(ROLEBINDING, asked.namespace)
        if binding["roleRef"]["kind"] == "Role"
        and any(_is(user, each, asked.namespace) for each in binding.get("subjects") or ())
    }
    return any(
        _grants(rule, asked)
        for role in store.list(ROLE, asked.namespace)
        if role["metadata"]["name"] in roles
        for rule in role.get("rules") or ()
    )


def _is(user: User, subject: Mapping[str, Any], namespace: str) -> bool:
    name = subject["name"]
    match subject["kind"]:
        case "ServiceAccount":
            where = subject.get("namespace") or namespace
            return user.name == f"system:serviceaccount:{where}:{name}"
        case "Group":
            return name in user.groups
        case _:
            return bool(user.name == name)


def _grants(rule: Mapping[str, Any], asked: Question) -> bool:
    names = rule.get("resourceNames")
    return (
        _among(asked.verb, rule.get("verbs"))
        and _among(asked.group, rule.get("apiGroups"))
        and _among(asked.full_resource, rule.get("resources"))
        and (not names or asked.name in names)
    )


def _among(value: str, listed: list[str] | None) -> bool:
    return value in (listed or ()) or "*" in (listed or ())


def review(store: Store, user: User, body: Mapping[str, Any]) -> dict[str, Any]:
    """Answer a SelfSubjectAccessReview."""
    spec = body.get("spec") or {}
    asked = spec.get("resourceAttributes")
    if asked is None:
        yes = MASTERS in user.groups or bool(spec.get("nonResourceAttributes"))
    else:
        yes = allowed(
            store,
            user,
            Question(
                verb=asked.get("verb", ""),
                group=asked.get("group", ""),
                resource=asked.get("resource", ""),
                subresource=asked.get("subresource", ""),
                namespace=asked.get("namespace", ""),
                name=asked.get("name", ""),
            ),
        )
    return {
        "kind": "SelfSubjectAccessReview",
        "apiVersion": "authorization.k8s.io/v1",
        "metadata": {},
        "spec": dict(spec),
        "status": {"allowed": yes},
    }


def whoami(user: User) -> dict[str, Any]:
    """Answer a SelfSubjectReview."""
    return {
        "kind": "SelfSubjectReview",
        "apiVersion": "authentication.k8s.io/v1",
        "metadata": {},
        "status": {"userInfo": {"username": user.name, "groups": list(user.groups)}},
    }
