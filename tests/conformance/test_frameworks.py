"""Each framework trains on several workers: the example notebooks, in a real IPython."""

from __future__ import annotations

import json
import os
import re
from dataclasses import replace
from pathlib import Path

import pytest

from jupyter_kube.kube.client import KubeClient
from tests.cluster import images
from tests.train.test_frameworks import DDP, FLEET, LOOP

from .conftest import Target
from .test_files import claim_on
from .test_jobs import _nothing_stays, ipython, output  # noqa: F401 - a fixture among them

EXAMPLES = Path(__file__).parents[2] / "examples"

pytestmark = pytest.mark.timeout(240)


@pytest.fixture(
    params=[
        pytest.param("local", marks=pytest.mark.frameworks),
        pytest.param("real", marks=pytest.mark.cluster),
    ]
)
def target(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Target:
    """Each cluster, with the frameworks in its workers and in the notebook."""
    path = [str(images.frameworks()), *filter(None, [os.environ.get("PYTHONPATH")])]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(path))
    if request.param == "real":
        found: Target = request.getfixturevalue("real_target")
        return replace(found, profile={**found.profile, "memory": "2Gi"})
    found = request.getfixturevalue("local_cluster")
    env = {"PYTHONPATH": path[0]}
    return replace(found, profile={**found.profile, "memory": "2Gi", "env": env})


@pytest.mark.parametrize("name", ["02-pytorch", "03-paddle", "04-python"])
async def test_an_example_trains_on_two_workers(
    name: str, target: Target, tmp_path: Path, client: KubeClient
) -> None:
    text = await trained(name, target, tmp_path)
    assert re.search(r"-\w{4} · \w+ · 2 workers", text)


@pytest.mark.cluster
@pytest.mark.parametrize("target", ["real"], indirect=True)
async def test_a_chief_trains_on_a_parameter_server_until_an_evaluator_is_content(
    target: Target, tmp_path: Path, client: KubeClient
) -> None:
    folder = tmp_path / "kept"
    folder.mkdir()
    folder.chmod(0o777)
    stored = replace(target, profile={**target.profile, "pvcs": {"kept": "/data"}})
    async with claim_on(folder, client, "kept"):
        text = await trained("05-parameter-server", stored, tmp_path)
    assert re.search(r"-\w{4} · tensorflow · chief, 2 workers, ps, evaluator", text)
    assert list(folder.glob(".jupyter-kube/digits-*/checkpoints/good")), text


async def trained(name: str, target: Target, folder: Path) -> str:
    """Run an example and see that its model has learned; returns what it printed."""
    notebook = json.loads((EXAMPLES / f"{name}.ipynb").read_text())
    cells = ["".join(c["source"]) for c in notebook["cells"] if c["cell_type"] == "code"]
    code, text = await output(ipython(target, folder, *cells), 220)
    assert code == 0, text
    accuracy = re.search(r"^accuracy .*: (0\.\d+)$", text, re.MULTILINE)
    assert accuracy, text
    assert float(accuracy[1]) > 0.8
    return text


@pytest.mark.cluster
@pytest.mark.parametrize("target", ["real"], indirect=True)
@pytest.mark.parametrize(
    ("line", "cell", "said", "ranks"),
    [
        ("-w 2", LOOP, "2 ", 2),
        ("-w 2 --procs 2", FLEET, "weights ", 4),
        ("-w 2 --procs 2", DDP, "weights .* 4 1", 4),
    ],
    ids=["loop", "fleet", "ddp"],
)
async def test_cells_run_on_a_real_cluster_as_they_do_on_loopback(
    line: str,
    cell: str,
    said: str,
    ranks: int,
    target: Target,
    tmp_path: Path,
    client: KubeClient,
) -> None:
    code, text = await output(ipython(target, tmp_path, f"%%kubetrain {line}\n{cell}"), 220)
    assert code == 0, text
    found = dict(re.findall(rf"^\[(\d)\] ({said}.*\d.*|{said})$", text, re.MULTILINE))
    assert sorted(found) == [str(rank) for rank in range(ranks)], text
    assert len(set(found.values())) == 1, text
