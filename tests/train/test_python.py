"""Which Python workers have, as far as it is known before there are any."""

from __future__ import annotations

import subprocess
import sys

import pytest

from jupyter_kube.errors import InvalidInput
from jupyter_kube.models import Profile
from jupyter_kube.train import payload
from jupyter_kube.train.frames import FAIL_JOB
from jupyter_kube.train.python import check_python, known_python


@pytest.mark.parametrize(
    ("image", "python", "known"),
    [
        ("python:3.12-slim", "python3", "3.12"),
        ("mirror.example:5000/library/python:3.11", "python3", "3.11"),
        ("python:3.1", "python3", "3.1"),
        ("quay.io/jupyter/scipy-notebook:python-3.13.2", "python3", "3.13"),
        ("quay.io/jupyter/scipy-notebook:x86_64-python-3.12", "python", "3.12"),
        ("python:3.12", "/opt/conda/bin/python", ""),  # another one than the image is named for
        ("anything:1", "/opt/bin/python3.14", "3.14"),
        ("team/my-python:3.12", "python3", ""),
        ("python:latest", "python3", ""),
        ("python@sha256:3.12", "python3", ""),
        ("quay.io/jupyter/scipy-notebook:2026-11-02", "python3", ""),
    ],
)
def test_what_a_profile_tells(image: str, python: str, known: str) -> None:
    assert known_python(Profile("p", image=image, python=python)) == known


def test_another_python_is_refused_before_anything_is_created() -> None:
    profile = Profile("gpu", image="python:3.12")
    check_python("3.12", profile)
    check_python("", profile)  # no functions travel
    with pytest.raises(InvalidInput) as caught:
        check_python("3.13", profile)
    assert str(caught.value) == (
        'this kernel runs Python 3.13, profile "gpu" has 3.12: functions and classes of the'
        " notebook cannot travel between them. Choose a --profile with the same version, or define"
        " them in the cell."
    )
    with pytest.raises(InvalidInput, match=r"has Python 3\.9; workers need 3\.11 or newer"):
        check_python("", Profile("old", image="python:3.9"))


def test_an_older_python_says_so_in_the_pod() -> None:
    old = f"import sys; sys.version_info = (3, 10, 1); exec({payload.BOOT!r})"
    done = subprocess.run([sys.executable, "-c", old], capture_output=True, text=True, check=False)
    assert done.returncode == FAIL_JOB
    assert done.stdout == "this image has Python 3.10, workers need 3.11 or newer\n"
