"""Kernelspecs: what Jupyter reads is what the profiles say."""

from __future__ import annotations

from pathlib import Path

import pytest
from jupyter_client.kernelspec import KernelSpecManager

from jupyter_kube.config import KubeConfig
from jupyter_kube.errors import InvalidInput
from jupyter_kube.kernels import specs
from jupyter_kube.models import Profile


def test_jupyter_finds_what_is_written(tmp_path: Path) -> None:
    specs.write(tmp_path, [Profile("python"), Profile("gpu", display_name="A GPU")])
    manager = KernelSpecManager(kernel_dirs=[str(tmp_path)], ensure_native_kernel=False)
    assert set(manager.find_kernel_specs()) == {"kube-python", "kube-gpu"}
    spec = manager.get_kernel_spec("kube-gpu")
    assert spec.display_name == "A GPU"
    assert spec.interrupt_mode == "message"
    assert spec.metadata["supported_encryption"] == ["curve"]
    assert specs.provisioner_config(spec) == {"profile": "gpu"}
    assert (Path(spec.resource_dir) / "logo-svg.svg").read_text().startswith("<svg")


def test_other_kernelspecs_are_not_ours(tmp_path: Path) -> None:
    native = KernelSpecManager(kernel_dirs=[str(tmp_path)]).get_kernel_spec("python3")
    assert specs.provisioner_config(native) is None


def test_installing_writes_every_profile_below_the_prefix(tmp_path: Path) -> None:
    config = KubeConfig(profiles={"a": {}, "b": {}})
    folders = specs.install(config, prefix=str(tmp_path))
    base = tmp_path / "share" / "jupyter" / "kernels"
    assert folders == [base / "kube-a", base / "kube-b"]
    assert all((folder / "kernel.json").is_file() for folder in folders)


def test_a_wrong_profile_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput):
        specs.install(KubeConfig(profiles={"a": {}, "B": {}}), prefix=str(tmp_path))
    assert list(tmp_path.iterdir()) == []
