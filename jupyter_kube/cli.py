"""``jupyter kube …``: what people and scripts run from a terminal."""

from __future__ import annotations

import argparse
import asyncio
import errno
import sys
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from . import __version__, config, needs
from .errors import KubeError

if TYPE_CHECKING:
    from .kube.client import KubeClient


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
    cluster.add_argument("--context", default="", metavar="NAME", help="context of your kubeconfig")
    cluster.add_argument(
        "--namespace", "-n", default="", metavar="NAME", help="namespace to work in"
    )

    def command(name: str, run: Callable[..., int], help_: str, *parents: Any) -> Any:
        sub = commands.add_parser(name, help=help_, description=help_, parents=list(parents))
        sub.set_defaults(run=run)
        return sub

    demo = command("demo", _demo, "Show the whole way: a kernel and a training job.", cluster)
    demo.add_argument("--profile", default="", metavar="P", help="profile to start the kernel from")
    demo.add_argument("--lab", action="store_true", help="open JupyterLab and stay")
    demo.add_argument("--keep", action="store_true", help="leave the finished job there")

    local = command("local", _local, "Run the local cluster until Ctrl-C.")
    local.add_argument(
        "--kubeconfig",
        default="kubeconfig-local",
        metavar="FILE",
        help="file to write its credentials to (default: kubeconfig-local)",
    )
    local.add_argument(
        "--port", type=_port, default=0, metavar="N", help="port to listen on (default: any)"
    )
    local.add_argument(
        "--gpus",
        type=int,
        default=4,
        metavar="N",
        help="GPUs its node pretends to have (default: 4)",
    )

    install = command("install", _install, "Install a kernelspec for each profile.", cluster)
    install.add_argument("--sys-prefix", action="store_true", help="into this environment only")

    doctor = command("doctor", _doctor, "Say what works and what is missing.", cluster)
    doctor.add_argument("--json", action="store_true", help="print JSON")

    command("ls", _ls, "List kernels, and jobs with their workers.", cluster)
    logs = command("logs", _logs, "Print the log of a kernel's or a worker's pod.", cluster)
    logs.add_argument("pod", metavar="POD", help="its name, as `jupyter kube ls` prints it")
    logs.add_argument("--follow", "-f", action="store_true", help="go on until it ends")
    kill = command("kill", _kill, "Stop a kernel or a job.", cluster)
    kill.add_argument("name", metavar="NAME", help="name of a kernel's pod or of a job")
    kill.add_argument("--all", action="store_true", help="anybody's, not only yours")
    clean = command("gc", _gc, "Remove your finished jobs and ended kernels.", cluster)
    clean.add_argument("--all", action="store_true", help="everybody's, not only yours")
    clean.add_argument("--dry-run", action="store_true", help="only say what would be removed")
    return parser


def _demo(options: argparse.Namespace) -> int:
    needs.modules("The demo", needs.from_checkout("server"), "jupyter_server", "ipykernel")
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
    from .kube import rbac
    from .localcluster import LocalCluster
    from .localcluster.cluster import may_write_kubeconfig
    from .localcluster.kinds import KINDS

    path = Path(options.kubeconfig).absolute()
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
            for manifest in rbac.manifests("default"):  # so that its kernels may submit jobs
                kind = next(kind for kind in KINDS if kind.kind == manifest["kind"])
                cluster.store.create(kind, manifest)
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


def _with_client(options: argparse.Namespace, work: Callable[[KubeClient], Awaitable[int]]) -> int:
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
    async def work(client: KubeClient) -> int:
        from . import inventory

        head = inventory.Row("KIND", "NAME", "STATE", "PROFILE", "USER")
        _print_table([head, *await inventory.rows(client)])
        return 0

    return _with_client(options, work)


def _print_table(rows: Sequence[tuple[str, ...]]) -> None:
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    for row in rows:
        cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        print("  ".join(cells).rstrip())


def _logs(options: argparse.Namespace) -> int:
    async def work(client: KubeClient) -> int:
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
    async def work(client: KubeClient) -> int:
        from . import inventory
        from .train.origin import find_origin

        user = "" if options.all else (await find_origin(client)).user
        await inventory.stop(client, options.name, user)
        print(f"Stopped {options.name}.")
        return 0

    return _with_client(options, work)


def _gc(options: argparse.Namespace) -> int:
    async def work(client: KubeClient) -> int:
        from . import inventory
        from .kube import objects
        from .train.origin import find_origin

        user = "" if options.all else (await find_origin(client)).user
        found = await inventory.ended(client, user)
        for each in found:
            if each.kept_until is not None:
                until = datetime.fromtimestamp(each.kept_until).strftime("%Y-%m-%d %H:%M")
                print(f"Keeping {each.name} until {until}, because of its --keep")
                continue
            print(f"{'Would remove' if options.dry_run else 'Removing'} {each.name}")
            if not options.dry_run:
                await objects.delete(client, each.resource, each.name, uid=each.uid)
        if not found:
            print(f"Nothing of {user}'s has ended." if user else "Nothing has ended.")
        return 0

    return _with_client(options, work)


if __name__ == "__main__":
    sys.exit(main())
