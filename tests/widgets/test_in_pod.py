"""The panel in a kernel that is a pod without credentials: its server does what it asks."""

from jupyter_kube.localcluster import LocalCluster
from jupyter_kube.session import running_server

RUNS = """
import threading
from jupyter_kube import train
from jupyter_kube.widgets.jobbox import JobBox
job = train.submit("print('rank', kube.rank)\\nx = kube.world_size", workers=2, outputs=("x",))
ended = threading.Event()
box = JobBox(job, globals(), mine=True, on_phase=list, on_end=ended.set, on_close=print)
assert ended.wait(60)
print(type(job._desk).__name__, box.phase, x)
job.cancel()
"""


async def test_a_kernel_in_a_pod_has_the_panel_by_its_server(tmp_path):
    with LocalCluster().run_in_thread() as cluster:
        cluster.write_kubeconfig(tmp_path / "kubeconfig")
        settings = {
            "kubeconfig": str(tmp_path / "kubeconfig"),
            "profiles": {"python": {"image": "py:1"}},
        }
        async with running_server(tmp_path, {"KubeConfig": settings}) as server:
            kernel = await server.start_kernel("kube-python")
            socket = await server.connect(kernel["id"])
            for code in ("%load_ext jupyter_kube", "%kube panel", RUNS):
                reply = await socket.run(code, 90)
                assert reply.status == "ok", reply.text
            assert reply.text == "ServersDesk succeeded 2\n"
            socket.close()
            await server.request("DELETE", f"api/kernels/{kernel['id']}")
