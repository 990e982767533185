import os
import socket
from pathlib import Path

import pytest

from jupyter_kube.localcluster.store import CONFIGMAP, POD, SECRET, SERVICEACCOUNT, ApiError

from .nodeside import NAMESPACE, condition, node_side, python_pod

SLEEP = "import time; print('up', flush=True); time.sleep(600)"
STUBBORN = "import signal; signal.signal(15, 1); print('up', flush=True)\nwhile 1: signal.pause()"


def secret(name="s", **data):
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": name, "namespace": NAMESPACE},
        "data": data,
    }


def show(*names):
    return {
        "command": ["python", "-S", "-c", f"import os; [print(os.environ[n]) for n in {names}]"]
    }


async def logged(side, name, text="up\n"):
    """Wait until a running container has printed ``text``."""
    pod = await side.running(name)
    uid = pod["metadata"]["uid"]
    while True:
        changed = side.kubelet.log_changed(uid, "main")
        if text in side.log(pod):
            return pod
        await changed.wait()


async def test_a_pod_runs_to_its_end(tmp_path):
    async with node_side(tmp_path) as side:
        side.store.create(POD, python_pod("p", "print('hello')"))
        assert await side.ended("p") == "hello\n"
        status = side.status("p")
        assert status["phase"] == "Succeeded"
        assert status["podIP"].startswith("127.")
        ended = side.container("p")["state"]["terminated"]
        assert (ended["exitCode"], ended["reason"]) == (0, "Completed")
        assert condition(status, "Ready")["reason"] == "PodCompleted"
        assert [reason for reason, _ in side.events("p")] == [
            "Scheduled",
            "Pulled",
            "Created",
            "Started",
        ]


async def test_a_running_pod_is_ready(tmp_path):
    async with node_side(tmp_path) as side:
        side.store.create(POD, python_pod("p", SLEEP))
        await side.running("p")
        status = side.status("p")
        assert status["phase"] == "Running"
        assert {"PodScheduled", "Initialized", "Ready", "ContainersReady"} <= {
            each["type"] for each in status["conditions"] if each["status"] == "True"
        }
        assert side.container("p")["ready"] is True


@pytest.mark.parametrize(
    ("code", "expected"),
    [("raise SystemExit(3)", 3), ("import os; os.kill(os.getpid(), 9)", 137)],
)
async def test_a_failure_shows_its_exit_code(tmp_path, code, expected):
    async with node_side(tmp_path) as side:
        side.store.create(POD, python_pod("p", code))
        await side.ended("p")
        assert side.status("p")["phase"] == "Failed"
        ended = side.container("p")["state"]["terminated"]
        assert (ended["exitCode"], ended["reason"]) == (expected, "Error")


async def test_lack_of_memory_can_be_played(tmp_path):
    async with node_side(tmp_path) as side:
        side.store.create(POD, python_pod("p", SLEEP))
        pod = await logged(side, "p")
        side.kubelet.kill_as_out_of_memory(pod["metadata"]["uid"], "main")
        await side.ended("p")
        ended = side.container("p")["state"]["terminated"]
        assert (ended["exitCode"], ended["reason"]) == (137, "OOMKilled")


async def test_a_container_is_restarted_with_back_off_and_keeps_its_logs(tmp_path):
    code = (
        "import os, sys; n = len(os.listdir('.')); open(str(n), 'w'); print('run', n); "
        "sys.exit(5 if n < 2 else 0)"
    )
    async with node_side(tmp_path) as side:
        side.store.create(POD, python_pod("p", code, restartPolicy="OnFailure"))
        waiting = await side.until(
            lambda: side.container("p").get("state", {}).get("waiting", {}).get("message")
        )
        uid = side.pod("p")["metadata"]["uid"]
        assert waiting == f"back-off 10s restarting failed container=main pod=p_default({uid})"
        await side.ended("p")
        container = side.container("p")
        assert side.status("p")["phase"] == "Succeeded"
        assert container["restartCount"] == 2
        assert container["lastState"]["terminated"]["exitCode"] == 5
        logs = [side.log(side.pod("p"), restart=number) for number in range(3)]
        assert logs == ["run 0\n", "run 1\n", "run 2\n"]


async def test_deletion_ends_the_process_and_leaves_nothing(tmp_path):
    async with node_side(tmp_path) as side:
        side.store.create(POD, python_pod("p", f"import os; print(os.getpid())\n{SLEEP}"))
        pod = await logged(side, "p")
        pid = int(side.log(pod).split()[0])
        assert Path(f"/proc/{pid}").exists()
        side.store.delete(POD, NAMESPACE, "p")
        await side.until(lambda: side.pod("p") is None)
        assert not Path(f"/proc/{pid}").exists()
        assert not list((tmp_path / "p").iterdir())
        with pytest.raises(ApiError):
            side.kubelet.pod_ip(pod["metadata"]["uid"])


async def test_a_pod_may_use_its_grace_period(tmp_path):
    code = "import signal, sys; signal.signal(15, lambda *_: sys.exit(143))\n" + SLEEP
    async with node_side(tmp_path) as side:
        side.store.create(POD, python_pod("p", code))
        await logged(side, "p")
        seen = []
        side.store.subscribe(POD, lambda _type, pod, _old: seen.append(pod["status"]))
        side.store.delete(POD, NAMESPACE, "p")
        await side.until(lambda: side.pod("p") is None)
        ended = seen[-1]["containerStatuses"][0]["state"]["terminated"]
        assert ended["exitCode"] == 143
        assert seen[-1]["phase"] == "Failed"


async def test_who_ignores_the_end_is_killed_when_the_grace_is_over(tmp_path):
    async with node_side(tmp_path) as side:
        side.store.create(POD, python_pod("p", STUBBORN))
        await logged(side, "p")
        side.store.delete(POD, NAMESPACE, "p", grace_seconds=600)
        assert side.pod("p") is not None
        side.store.delete(POD, NAMESPACE, "p", grace_seconds=1)
        await side.until(lambda: side.pod("p") is None)


async def test_deletion_by_force_kills_at_once(tmp_path):
    async with node_side(tmp_path) as side:
        side.store.create(POD, python_pod("p", STUBBORN))
        await logged(side, "p")
        side.store.delete(POD, NAMESPACE, "p", grace_seconds=0)
        await side.until(lambda: side.pod("p") is None)


async def test_a_finished_pod_can_be_deleted(tmp_path):
    async with node_side(tmp_path) as side:
        side.store.create(POD, python_pod("p", ""))
        await side.ended("p")
        side.store.delete(POD, NAMESPACE, "p")
        await side.until(lambda: side.pod("p") is None)
    assert not list((tmp_path / "p").iterdir())


async def test_a_pod_that_is_active_for_too_long_fails(tmp_path):
    async with node_side(tmp_path) as side:
        side.store.create(POD, python_pod("p", SLEEP, activeDeadlineSeconds=1))
        await side.ended("p")
        status = side.status("p")
        assert (status["phase"], status["reason"]) == ("Failed", "DeadlineExceeded")


async def test_what_is_not_supported_fails_and_says_so(tmp_path):
    async with node_side(tmp_path) as side:
        init = [{"name": "first", "image": "python"}]
        side.store.create(POD, python_pod("p", "", initContainers=init))
        await side.until(lambda: side.status("p").get("phase") == "Failed")
        assert "init containers" in side.status("p")["message"]


async def test_a_command_that_cannot_start_is_tried_again(tmp_path):
    async with node_side(tmp_path) as side:
        nonsense = {"command": ["nonsense"]}
        pod = python_pod("p", "", container=nonsense, restartPolicy="OnFailure")
        side.store.create(POD, pod)
        await side.until(lambda: side.container("p").get("restartCount", 0) >= 2)
        assert side.log(side.pod("p"), restart=1) == ""


async def test_a_secret_may_come_after_its_pod(tmp_path):
    env = [{"name": "S", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}}]
    async with node_side(tmp_path) as side:
        side.store.create(POD, python_pod("p", "", container={**show("S"), "env": env}))
        side.store.create(SECRET, secret(k="dmFsdWU="))
        assert await side.ended("p") == "value\n"
        assert "Failed" not in [reason for reason, _ in side.events("p")]


async def test_a_secret_that_does_not_come_is_named(tmp_path):
    env = [{"name": "S", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}}]
    async with node_side(tmp_path) as side:
        side.store.create(POD, python_pod("p", "", container={**show("S"), "env": env}))
        await side.until(
            lambda: (
                side.container("p").get("state", {}).get("waiting")
                == {"reason": "CreateContainerConfigError", "message": 'secret "s" not found'}
            )
        )
        assert side.status("p")["phase"] == "Pending"
        assert ("Failed", 'Error: secret "s" not found') in side.events("p")
        side.store.create(SECRET, secret(k="dmFsdWU="))
        assert await side.ended("p") == "value\n"


async def test_a_volume_waits_for_its_secret(tmp_path):
    mount = {"volumeMounts": [{"name": "v", "mountPath": "/keys"}]}
    code = {"command": ["python", "-S", "-c", "print(open(__import__('sys').argv[1]).read())"]}
    pod = python_pod(
        "p",
        "",
        container={**mount, **code, "args": ["/keys/k"]},
        volumes=[{"name": "v", "secret": {"secretName": "s"}}],
    )
    async with node_side(tmp_path) as side:
        side.store.create(POD, pod)
        message = 'MountVolume.SetUp failed for volume "v" : secret "s" not found'
        await side.until(lambda: ("FailedMount", message) in side.events("p"))
        side.store.create(SECRET, secret(k="dmFsdWU="))
        assert await side.ended("p") == "value\n"


async def test_containers_of_a_pod_share_its_volumes(tmp_path):
    mount = {"volumeMounts": [{"name": "v", "mountPath": "/shared"}]}
    env = {"env": [{"name": "FILE", "value": "/shared/fifo"}], **mount}
    pod = python_pod(
        "p",
        "import os; os.mkfifo(os.environ['FILE']); print(open(os.environ['FILE']).read())",
        container=env,
        volumes=[{"name": "v", "emptyDir": {}}],
    )
    writer = (
        "import os, time\nwhile not os.path.exists('fifo'): time.sleep(0.01)\n"
        "open('fifo', 'w').write('x')"
    )
    second = {
        **pod["spec"]["containers"][0],
        "name": "second",
        "command": ["python", "-S", "-c", writer],
        "workingDir": "/shared",
    }
    pod["spec"]["containers"].append(second)
    async with node_side(tmp_path) as side:
        side.store.create(POD, pod)
        assert await side.ended("p") == "x\n"


async def test_a_container_has_folders_of_its_own_and_no_environment_of_the_server(
    tmp_path, monkeypatch
):
    monkeypatch.setenv("SERVER_SECRET", "x")
    code = "import os, json; print(json.dumps(dict(os.environ)))"
    async with node_side(tmp_path) as side:
        side.store.create(POD, python_pod("p", code, hostname="host-0"))
        env = __import__("json").loads(await side.ended("p"))
        assert "SERVER_SECRET" not in env
        assert env["HOSTNAME"] == "host-0"
        assert Path(env["HOME"]).is_relative_to(tmp_path)
        assert len(os.path.relpath(env["TMPDIR"], tmp_path)) < 10
        assert env["JUPYTER_KUBE_HOSTS_FILE"] == str(tmp_path / "hosts")


@pytest.mark.parametrize(
    ("policy", "message"), [("File", "said"), ("FallbackToLogsOnError", "said")]
)
async def test_a_container_leaves_a_message(tmp_path, policy, message):
    code = "import os; open(os.environ['OUT'], 'w').write('said'); raise SystemExit('log')"
    container = {
        "env": [{"name": "OUT", "value": "/dev/termination-log"}],
        "terminationMessagePolicy": policy,
    }
    async with node_side(tmp_path) as side:
        side.store.create(POD, python_pod("p", code, container=container))
        await side.ended("p")
        assert side.container("p")["state"]["terminated"]["message"] == message


async def test_the_log_stands_in_for_a_message(tmp_path):
    container = {"terminationMessagePolicy": "FallbackToLogsOnError"}
    async with node_side(tmp_path) as side:
        side.store.create(POD, python_pod("p", "raise SystemExit('why')", container=container))
        await side.ended("p")
        assert side.container("p")["state"]["terminated"]["message"] == "why"


async def test_a_missing_image_is_pulled_in_vain(tmp_path):
    async with node_side(tmp_path) as side:
        side.store.create(POD, python_pod("p", "", container={"image": "a/missing:1"}))
        seen = []
        await side.until(
            lambda: (
                seen.append(side.container("p").get("state", {}).get("waiting", {}))
                or seen[-1].get("reason") == "ImagePullBackOff"
            )
        )
        assert "ErrImagePull" in [each.get("reason") for each in seen]
        assert seen[-1]["message"].startswith('Back-off pulling image "a/missing:1": ErrImagePull')
        assert seen[-1]["message"].endswith("docker.io/a/missing:1: not found")


async def test_a_command_that_does_not_exist_cannot_start(tmp_path):
    async with node_side(tmp_path) as side:
        side.store.create(POD, python_pod("p", "", container={"command": ["nonsense"]}))
        await side.ended("p")
        ended = side.container("p")["state"]["terminated"]
        assert (ended["exitCode"], ended["reason"]) == (128, "StartError")
        assert 'exec: "nonsense": executable file not found' in ended["message"]


async def test_each_pod_has_an_address_to_listen_on(tmp_path):
    code = (
        "import os, socket; s = socket.create_server((os.environ['IP'], 4711)); "
        "print('up', flush=True); c, _ = s.accept(); c.send(os.environ['IP'].encode())"
    )
    env = [{"name": "IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}}]
    async with node_side(tmp_path) as side:
        for name in ("p", "q"):
            side.store.create(POD, python_pod(name, code, container={"env": env}))
        for name in ("p", "q"):
            pod = await logged(side, name)
            address = side.kubelet.pod_ip(pod["metadata"]["uid"])
            assert address == side.status(name)["podIP"]
            with socket.create_connection((address, 4711)) as connection:
                assert connection.recv(99).decode() == address


async def test_exec_runs_in_the_containers_surroundings(tmp_path):
    env = [{"name": "MARK", "value": "here"}]
    async with node_side(tmp_path) as side:
        side.store.create(POD, python_pod("p", SLEEP, container={"env": env}))
        pod = await logged(side, "p")
        script = "echo $MARK; read x; echo $x >&2; exit 5"
        process = await side.kubelet.exec(
            pod["metadata"]["uid"],
            "main",
            ["sh", "-c", script],
            stdin=True,
        )
        process.stdin.write(b"typed\n")
        assert await process.stdout.read() == b"here\n"
        assert await process.stderr.read() == b"typed\n"
        assert await process.wait() == 5


async def test_exec_ends_with_its_container(tmp_path):
    async with node_side(tmp_path) as side:
        side.store.create(POD, python_pod("p", SLEEP))
        pod = await logged(side, "p")
        process = await side.kubelet.exec(pod["metadata"]["uid"], "main", ["sleep", "600"])
        side.store.delete(POD, NAMESPACE, "p")
        await side.until(lambda: side.pod("p") is None)
        assert await process.wait() == 137


async def test_a_service_account_gets_a_kubeconfig(tmp_path):
    code = "import os; print(open(os.environ['KUBECONFIG']).read())"
    account = {
        "apiVersion": "v1",
        "kind": "ServiceAccount",
        "metadata": {"name": "submitter", "namespace": NAMESPACE},
    }
    async with node_side(tmp_path) as side:
        side.store.create(SERVICEACCOUNT, account)
        side.store.create(POD, python_pod("p", code, serviceAccountName="submitter"))
        assert "token-of-default-submitter" in await side.ended("p")
        no_token = python_pod(
            "q", code, serviceAccountName="submitter", automountServiceAccountToken=False
        )
        side.store.create(POD, no_token)
        assert "KeyError" in await side.ended("q")


async def test_a_config_map_comes_whole(tmp_path):
    config = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "c", "namespace": NAMESPACE},
        "data": {"MODE": "fast"},
    }
    container = {**show("MODE"), "envFrom": [{"configMapRef": {"name": "c"}}]}
    async with node_side(tmp_path) as side:
        side.store.create(CONFIGMAP, config)
        side.store.create(POD, python_pod("p", "", container=container))
        assert await side.ended("p") == "fast\n"


async def test_the_end_of_the_cluster_is_the_end_of_all_processes(tmp_path):
    code = "import os; print(os.getpid())\n" + STUBBORN
    async with node_side(tmp_path) as side:
        side.store.create(POD, python_pod("p", code))
        pid = int(side.log(await logged(side, "p")).split()[0])
    assert not Path(f"/proc/{pid}").exists()
    assert not list((tmp_path / "p").iterdir())
