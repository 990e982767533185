import asyncio
import subprocess
import sys
from types import SimpleNamespace

from bench.place import Place
from bench.process import kernel_process
from bench.startup import imported_early

METRICS = """\
# TYPE apiserver_flowcontrol_dispatched_requests_total counter
apiserver_flowcontrol_dispatched_requests_total{flow_schema="bench-1a-auto",priority_level="w"} 7
apiserver_flowcontrol_dispatched_requests_total{flow_schema="bench-1a-floor",priority_level="w"} 2
apiserver_flowcontrol_dispatched_requests_total{flow_schema="service-accounts"} 1e+06
apiserver_flowcontrol_rejected_requests_total{flow_schema="bench-1a-auto"} 3
"""


def test_requests_are_counted_by_account(tmp_path):
    cluster = SimpleNamespace(kubectl=lambda *_arguments: METRICS)
    assert Place(cluster, "bench-1a", tmp_path).requests() == {"auto": 7, "floor": 2}


def test_a_kernels_process_is_found_and_its_end_seen():
    child = "import os, sys; print(os.getpid(), os.readlink('/proc/self/ns/pid'), flush=True)"
    command = [sys.executable, "-c", f"{child}; sys.stdin.read()"]

    async def follow():
        pipe = subprocess.PIPE
        with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True) as process:
            said = process.stdout.readline()

            async def run(_code):
                return SimpleNamespace(text=said)

            found = await kernel_process(SimpleNamespace(run=run))
            gone = asyncio.create_task(found.gone())
            await asyncio.sleep(0)
            early = gone.done()
            process.stdin.close()
            await gone
            return early, process.wait()

    assert asyncio.run(follow()) == (False, 0)


def test_a_servers_start_imports_nothing_of_the_kubernetes_client():
    assert imported_early() == []
