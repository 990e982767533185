"""Kubeflow's SDK at work; runs in an environment of its own, without this project.

Each JSON line is one TrainJob: ``name``, ``workers``, ``runtime``, ``code``, and ``follow``: all
ranks ``at once``, each in a thread, or ``in turn``; else only wait until they run.
"""

import sys
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from kubeflow.common.types import KubernetesBackendConfig
from kubeflow.trainer import CustomTrainer, TrainerClient
from kubeflow.trainer.options import Name
from loop import serve


def run(code):
    """Do what the other arms' ranks do; of this function only the text travels."""
    exec(code, {})


def work(client, asked):
    """Create one job and print its lines to the end."""
    name, workers = asked["name"], asked["workers"]
    trainer = CustomTrainer(func=run, func_args={"code": asked["code"]}, num_nodes=workers)
    client.train(runtime=asked["runtime"], trainer=trainer, options=[Name(name)])
    print("@@created", flush=True)
    client.wait_for_job_status(name, status={"Running", "Complete"})

    def follow(step):
        for line in client.get_job_logs(name, step=step, follow=True):
            sys.stdout.write(f"{line}\n")

    steps = [f"node-{rank}" for rank in range(workers)]
    if asked["follow"] == "at once":
        with ThreadPoolExecutor(workers) as several:
            list(several.map(follow, steps))
    elif asked["follow"] == "in turn":
        for step in steps:
            follow(step)


def main():
    """Do what is asked."""
    kubeconfig, namespace = sys.argv[1:]
    settings = KubernetesBackendConfig(config_file=kubeconfig, namespace=namespace)
    client = TrainerClient(settings)
    serve(partial(work, client))


main()
