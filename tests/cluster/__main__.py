"""The test cluster's command line: ``python -m tests.cluster --help``."""

from __future__ import annotations

import argparse
import json
import sys

from tests.cluster import ClusterFailed, down, make, status, up
from tests.cluster.layout import KUBECONFIG


def main() -> int:
    """Do what the command line says; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.cluster", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("build", help="build all parts into the cache (minutes, once a machine)")
    starter = commands.add_parser("up", help="start the cluster, or refresh its image")
    starter.add_argument("--gpus", type=int, default=4, help="GPUs to pretend (default: 4)")
    commands.add_parser("down", help="end the cluster and all its traces")
    teller = commands.add_parser("status", help="tell whether and where it runs")
    teller.add_argument("--json", action="store_true", help="as JSON")
    commands.add_parser("kubeconfig", help="print the path of the administrator's kubeconfig")
    arguments = parser.parse_args()
    try:
        return _COMMANDS[arguments.command](arguments)
    except ClusterFailed as error:
        print(error, file=sys.stderr)
        return 1


def _up(arguments: argparse.Namespace) -> int:
    cluster = up(gpus=arguments.gpus)
    print(f"export KUBECONFIG={cluster.kubeconfig}  # image {cluster.image}")
    return 0


def _down(_: argparse.Namespace) -> int:
    down()
    return 0


def _build(_: argparse.Namespace) -> int:
    make()
    return 0


def _status(arguments: argparse.Namespace) -> int:
    told = status()
    if arguments.json:
        print(json.dumps(told, indent=1))
    else:
        for name, value in told.items():
            print(f"{name}: {value}")
    return 0 if told["running"] else 3


def _kubeconfig(_: argparse.Namespace) -> int:
    print(KUBECONFIG)
    return 0 if KUBECONFIG.exists() else 3


_COMMANDS = {
    "build": _build,
    "up": _up,
    "down": _down,
    "status": _status,
    "kubeconfig": _kubeconfig,
}

if __name__ == "__main__":
    sys.exit(main())
