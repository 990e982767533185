"""kubeflow-training's SDK at work; runs in an environment of its own, without this project.

Each JSON line is one TFJob: ``name``, ``namespace``, ``workers``, ``image``, ``code``, ``limits``,
and ``retry``: follow at once and again, as impatient users do, or wait as its guide says.
"""

import contextlib
import sys
import time
from functools import partial

from kubeflow.training import TrainingClient
from kubeflow.training.models import (
    KubeflowOrgV1ReplicaSpec,
    KubeflowOrgV1TFJob,
    KubeflowOrgV1TFJobSpec,
)
from kubernetes.client import (
    V1Container,
    V1ObjectMeta,
    V1PodSpec,
    V1PodTemplateSpec,
    V1ResourceRequirements,
)
from loop import serve

KIND = "TFJob"


def job(asked):
    """Build the TFJob, whose pods are those of the other arms."""
    container = V1Container(
        name="tensorflow",
        image=asked["image"],
        command=["python3", "-u", "-c", asked["code"]],
        resources=V1ResourceRequirements(**asked["resources"]),
    )
    spec = V1PodSpec(containers=[container], automount_service_account_token=False)
    worker = KubeflowOrgV1ReplicaSpec(
        replicas=asked["workers"],
        restart_policy="OnFailure",
        template=V1PodTemplateSpec(spec=spec),
    )
    return KubeflowOrgV1TFJob(
        api_version="kubeflow.org/v1",
        kind=KIND,
        metadata=V1ObjectMeta(name=asked["name"], namespace=asked["namespace"]),
        spec=KubeflowOrgV1TFJobSpec(
            run_policy={"cleanPodPolicy": "None"}, tf_replica_specs={"Worker": worker}
        ),
    )


def work(client, asked):
    """Create one job and print its lines to the end."""
    client.create_job(job(asked), namespace=asked["namespace"])
    print("@@created", flush=True)
    name = asked["name"]
    if not asked["retry"]:
        client.wait_for_job_conditions(name, job_kind=KIND, expected_conditions={"Running"})
        client.get_job_logs(name, job_kind=KIND, is_master=False, follow=True)
        return
    logs = {}
    while not logs:
        with contextlib.suppress(Exception):
            logs, _ = client.get_job_logs(name, job_kind=KIND, is_master=False, follow=True)
        time.sleep(0.1)


def main():
    """Do what is asked."""
    kubeconfig, namespace = sys.argv[1:]
    client = TrainingClient(config_file=kubeconfig, namespace=namespace, job_kind=KIND)
    serve(partial(work, client))


main()
