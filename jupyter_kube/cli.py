"""``jupyter kube …``: what people and scripts run from a terminal."""

from __future__ import annotations

import argparse
import asyncio
import errno
import sys
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

from . import __version__, config, naming, needs
from .errors import KubeError


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code."""
    options = _parser().parse_args(argv)
    try:
        code: int = options.run(options)
    except KubeError as error:
        print(f"{error}" + (f" [{error.obj}]" if error.obj else ""), file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="jupyter kube", description="Notebook kernels and training jobs on Kubernetes."
    )
    parser.add_argument("--version", action="version", version=__version__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    cluster = argparse.ArgumentParser(add_help=False)
    cluster.add_argument("--context", default="", help="context of your kubeconfig")
    cluster.add_argument("--namespace", "-n", default="", help="namespace to work in")

    def command(name: str, run: Callable[..., int], help_: str, *parents: Any) -> Any:
        sub = commands.add_parser(name, help=help_, description=help_, parents=list(parents))
        sub.set_defaults(run=run)
        return sub

    demo = command("demo", _demo, "Show the whole way: a kernel and a training job.", cluster)
    demo.add_argument("--profile", default="", help="profile to start the kernel from")
    demo.add_argument("--lab", action="store_true", help="open JupyterLab and stay")
    demo.add_argument("--keep", action="store_true", help="leave the finished job there")

    local = command("local", _local, "Run the local cluster until Ctrl-C.")
    local.add_argument("--kubeconfig", default="", help="file to write its credentials to")
    local.add_argument("--port", type=_port, default=0, help="port to listen on (default: any)")
    local.add_argument("--gpus", type=int, default=4, help="GPUs its node pretends to have")

    install = command("install", _install, "Install a kernelspec for each profile.", cluster)
    install.add_argument("--sys-prefix", action="store_true", help="into this environment only")

    doctor = command("doctor", _doctor, "Say what works and what is missing.", cluster)
    doctor.add_argument("--json", action="store_true", help="print JSON")

    command("ls", _ls, "List kernels and jobs.", cluster)
    logs = command("logs", _logs, "Print the log of a kernel's or a worker's pod.", cluster)
    logs.add_argument("pod", help="name of the pod, as `jupyter kube ls` prints it")
    logs.add_argument("--follow", "-f", action="store_true", help="go on until it ends")
    kill = command("kill", _kill, "Stop a kernel or a job.", cluster)
    kill.add_argument("name", help="name of a kernel's pod or of a job")
    clean = command("gc", _gc, "Remove what has ended: finished jobs and kernels.", cluster)
    clean.add_argument("--dry-run", action="store_true", help="only say what would be removed")
    return parser


def _demo(options: argparse.Namespace) -> int:
    from . import demo

    return demo.run(
        demo.Options(
            context=options.context,
            namespace=options.namespace,
            profile=options.profile,
            lab=options.lab,
            keep=options.keep,
        )
    )


def _local(options: argparse.Namespace) -> int:
    needs.local_cluster()
    from .localcluster import LocalCluster
    from .localcluster.cluster import may_write_kubeconfig

    path = Path(options.kubeconfig or "kubeconfig-local").absolute()
    if not may_write_kubeconfig(path):
        raise KubeError(
            f"{path} is not overwritten",
            "it exists, and no local cluster wrote it",
            "Name another file with --kubeconfig.",
        )

    async def serve() -> None:
        cluster = LocalCluster(port=options.port, gpus=options.gpus)
        try:
            await cluster.start()
            cluster.write_kubeconfig(path)
            print(f"The local cluster listens at {cluster.url}. Use it with:", flush=True)
            print(f"  export KUBECONFIG={path}", flush=True)
            await _until_signal()
        finally:
            await cluster.stop()
            cluster.remove_kubeconfig(path)

    try:
        asyncio.run(serve())
    except OSError as error:
        raise KubeError(
            "the local cluster cannot start",
            f"{error.strerror}" + (f": {error.filename}" if error.filename else ""),
            "Choose another --port, or leave it out."
            if error.errno == errno.EADDRINUSE
            else "Check --kubeconfig and --port.",
        ) from error
    return 0


def _port(text: str) -> int:
    """Read a port of this machine; 0 means any."""
    if not text.isdecimal() or int(text) > 65535:
        raise argparse.ArgumentTypeError(f"{text} is no port (0 to 65535)")
    return int(text)


async def _until_signal() -> None:
    """Wait for Ctrl-C or SIGTERM."""
    import signal

    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    await stop.wait()


def _install(options: argparse.Namespace) -> int:
    from .kernels import specs

    settings = config.load(context=options.context, namespace=options.namespace)
    prefix = sys.prefix if options.sys_prefix else None
    for folder in specs.install(settings, prefix=prefix):
        print(f"Installed {folder}")
    return 0


def _doctor(options: argparse.Namespace) -> int:
    from . import doctor

    return doctor.run(context=options.context, namespace=options.namespace, as_json=options.json)


def _with_client(options: argparse.Namespace, work: Callable[[Any], Awaitable[int]]) -> int:
    """Run ``work(client)`` against the chosen cluster."""

    async def connected() -> int:
        from .kube.client import KubeClient

        settings = config.load(context=options.context, namespace=options.namespace)
        client = await KubeClient.connect(settings)
        try:
            return await work(client)
        finally:
            await client.close()

    return asyncio.run(connected())


def _ls(options: argparse.Namespace) -> int:
    async def work(client: Any) -> int:
        from .kube import objects
        from .kube.pods import pod_state

        found = await objects.list_(client, objects.PODS, labels=naming.SELECTOR)
        rows = [("KIND", "POD", "STATE", "PROFILE OR JOB", "USER")]
        for pod in found["items"]:
            meta = pod["metadata"]
            labels, notes = meta["labels"], meta.get("annotations", {})
            state = pod_state(pod)
            text = f"{state.phase}: {state.message}" if state.message else state.phase
            of = labels.get(naming.JOB) or labels.get(naming.PROFILE, "")
            kind = labels.get(naming.COMPONENT, "")
            rows.append((kind, meta["name"], text, of, notes.get(naming.USER, "")))
        _print_table(rows)
        return 0

    return _with_client(options, work)


def _print_table(rows: Sequence[tuple[str, ...]]) -> None:
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    for row in rows:
        cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        print("  ".join(cells).rstrip())


def _logs(options: argparse.Namespace) -> int:
    async def work(client: Any) -> int:
        from .kube import logs

        if options.follow:
            async for line in logs.follow(client, options.pod):
                print(line.text, flush=True)
        else:
            for line in await logs.read(client, options.pod):
                print(line.text)
        return 0

    return _with_client(options, work)


def _kill(options: argparse.Namespace) -> int:
    async def work(client: Any) -> int:
        from .kube import objects

        for resource in (objects.JOBS, objects.PODS):
            found = await objects.list_(
                client,
                resource,
                labels=naming.SELECTOR,
                fields=f"metadata.name={options.name}",
            )
            for item in found["items"]:
                await objects.delete(client, resource, item["metadata"]["name"])
                print(f"Stopped {item['metadata']['name']}.")
                return 0
        raise KubeError(
            f'there is no kernel or job "{options.name}"', next="See `jupyter kube ls`."
        )

    return _with_client(options, work)


def _gc(options: argparse.Namespace) -> int:
    async def work(client: Any) -> int:
        from .kube import objects

        jobs = await objects.list_(client, objects.JOBS, labels=naming.SELECTOR)
        kernels = await objects.list_(
            client, objects.PODS, labels=naming.selector(component="kernel")
        )
        ended = [(objects.JOBS, job) for job in jobs["items"] if _job_ended(job)]
        ended += [(objects.PODS, pod) for pod in kernels["items"] if _pod_ended(pod)]
        for resource, item in ended:
            name = item["metadata"]["name"]
            print(f"{'Would remove' if options.dry_run else 'Removing'} {name}")
            if not options.dry_run:
                await objects.delete(client, resource, name)
        return 0

    return _with_client(options, work)


def _job_ended(job: dict[str, Any]) -> bool:
    conditions = job.get("status", {}).get("conditions", [])
    return any(c["type"] in {"Complete", "Failed"} and c["status"] == "True" for c in conditions)


def _pod_ended(pod: dict[str, Any]) -> bool:
    return pod.get("status", {}).get("phase") in {"Succeeded", "Failed"}


if __name__ == "__main__":
    sys.exit(main())
