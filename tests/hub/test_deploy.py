"""What `deploy/` ships: read by what reads it, taken by a real API server, as narrow as it says."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from jupyter_kube import naming
from jupyter_kube.config import KubeConfig
from jupyter_kube.kernels import podspec
from jupyter_kube.kube import rbac
from jupyter_kube.models import Profile
from tests.cluster.errors import ClusterFailed

from . import chart, software
from .conftest import Site

Labels = Mapping[str, str]

KERNEL: Labels = podspec.pod(Profile("python"), "id", namespace="ns")["metadata"]["labels"]
WORKER: Labels = naming.labels("job", job="digits", role="worker")
USERS_SERVER: Labels = {"app.kubernetes.io/component": "singleuser-server"}
OWN_SERVER: Labels = {"app.kubernetes.io/name": "jupyter-kube-server"}
OTHER: Labels = {"app": "database"}


def shipped(name: str) -> list[dict[str, Any]]:
    return list(yaml.safe_load_all((chart.DEPLOY / name).read_text()))


def selects(selector: dict[str, Any], labels: Labels) -> bool:
    """Return whether a selector of the shipped policies chooses a pod."""
    assert selector.keys() == {"matchLabels"}
    return selector["matchLabels"].items() <= labels.items()


def admits(pod: Labels, source: Labels, port: int) -> bool:
    """Return whether a pod takes a connection of another in its namespace, by Kubernetes' rules.

    Rules are alternatives, as are the sources and the ports in each; a pod that no policy selects
    takes all.
    """
    policies = [p["spec"] for p in shipped("networkpolicy.yaml")]
    about = [
        p for p in policies if selects(p["podSelector"], pod) and "Ingress" in p["policyTypes"]
    ]
    return not about or any(
        any(selects(peer["podSelector"], source) for peer in rule["from"])
        and ("ports" not in rule or port in [each["port"] for each in rule["ports"]])
        for policy in about
        for rule in policy["ingress"]
    )


@pytest.mark.parametrize(
    ("pod", "source", "port", "admitted"),
    [
        (KERNEL, USERS_SERVER, podspec.PORT, True),
        (KERNEL, OWN_SERVER, podspec.PORT, True),
        (KERNEL, USERS_SERVER, 5000, False),
        (KERNEL, KERNEL, podspec.PORT, False),
        (KERNEL, WORKER, podspec.PORT, False),
        (KERNEL, OTHER, podspec.PORT, False),
        (WORKER, WORKER, 40123, True),
        (WORKER, KERNEL, 40123, False),
        (WORKER, USERS_SERVER, 40123, False),
        (OTHER, KERNEL, 5432, True),  # not ours to decide
    ],
)
def test_the_network_policies_admit_the_users_server_and_fellow_workers_only(
    pod: Labels, source: Labels, port: int, admitted: bool
) -> None:
    assert admits(pod, source, port) is admitted


def test_the_shipped_settings_are_profiles_that_servers_take() -> None:
    (settings,) = shipped("settings.yaml")
    loaded = json.loads(settings["data"]["jupyter_kube_config.json"])
    profiles = KubeConfig(**loaded["KubeConfig"]).parsed_profiles()
    assert {profile.gpus for profile in profiles.values()} == {0, 1}
    assert {profile.service_account for profile in profiles.values()} == {""}


def test_the_charts_values_fit_what_else_is_shipped() -> None:
    values = chart.values()
    spawner = chart.spawner(values)
    assert spawner["service_account"] == rbac.NAME
    (settings,) = shipped("settings.yaml")
    (volume,) = spawner["volumes"]
    assert volume["configMap"]["name"] == settings["metadata"]["name"]
    (mount,) = spawner["volume_mounts"]
    assert mount["name"] == volume["name"]
    assert spawner["environment"]["JUPYTER_CONFIG_PATH"] == mount["mountPath"]
    to_kernels, to_api = values["singleuser"]["networkPolicy"]["egress"]
    (peer,) = to_kernels["to"]
    assert selects(peer["podSelector"], KERNEL)
    assert [each["port"] for each in to_kernels["ports"]] == [podspec.PORT]
    assert "to" not in to_api


def test_the_documents_name_exactly_the_rights_that_are_shipped() -> None:
    page = (chart.DEPLOY.parent / "docs" / "operators" / "hub.md").read_text()
    section = page.partition("## Rights\n")[2].partition("\n## ")[0]
    named: dict[str, set[str]] = {}
    resource = ""
    for row in re.findall(r"^\| ([^|]*)\| ([a-z, ]+) \|", section, re.MULTILINE)[1:]:
        resource = row[0].split(" (")[0].strip() or resource
        named.setdefault(resource, set()).update(row[1].split(", "))
    assert named == {each: set(verbs) for _, (each,), verbs in rbac.RULES}


def test_the_kustomization_names_all_manifests() -> None:
    (kustomization,) = shipped("kustomization.yaml")
    others = {"kustomization.yaml", chart.VALUES.name}
    there = {path.name for path in chart.DEPLOY.glob("*.yaml")} - others
    assert set(kustomization["resources"]) == there


@pytest.mark.cluster
def test_the_api_server_takes_all_without_a_warning(site: Site, namespace: str) -> None:
    said = site.kubectl("apply", "-n", namespace, "--dry-run=server", "-k", str(chart.DEPLOY))
    assert said.err == ""
    kinds = ["serviceaccount", "role", "rolebinding", "configmap", "networkpolicy"]
    assert {line.split("/")[0].split(".")[0] for line in said.out.splitlines()} == set(kinds)
    egress = chart.values()["singleuser"]["networkPolicy"]["egress"]
    policy = {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"name": "singleuser"},
        "spec": {
            "podSelector": {"matchLabels": dict(USERS_SERVER)},
            "policyTypes": ["Egress"],
            "egress": egress,
        },
    }
    assert site.dry_run(namespace, policy) == ""


@pytest.mark.cluster
def test_a_pod_that_is_not_restricted_would_be_refused(site: Site, namespace: str) -> None:
    pod = podspec.pod(Profile("python"), "id", namespace=namespace)
    assert site.dry_run(namespace, pod) == ""
    pod["spec"]["hostNetwork"] = True
    with pytest.raises(ClusterFailed, match="restricted"):
        site.dry_run(namespace, pod)


@pytest.mark.cluster
@pytest.mark.timeout(300)
def test_kubespawner_knows_every_setting_of_the_charts_values(tmp_path: Path) -> None:
    settings = tmp_path / "settings.json"
    settings.write_text(json.dumps(chart.spawner(chart.values())))
    check = (
        "import json, sys, kubespawner\n"
        "traits = kubespawner.KubeSpawner.class_traits(config=True)\n"
        "print(*(json.load(open(sys.argv[1])).keys() - traits.keys()))\n"
    )
    argv = [software.hub_python(), "-c", check, settings]
    done = subprocess.run(argv, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""
