"""What a user may ask of a job: each value checked and refused in one sentence (pure).

The magic, the Python interface and REST share these checks; nothing is created before they pass.
"""

from __future__ import annotations

import keyword
import re
from collections.abc import Sequence

from .. import naming
from ..checks import LONGEST_TIME, clip, seconds, suggest
from ..errors import InvalidInput

FRAMEWORKS = ("tensorflow", "pytorch", "paddle", "python")

MOST_WORKERS = 1000
MOST_PROCS = 64
MOST_RETRIES = 100
LONGEST_NAME = 30

_LONGEST_REQUIREMENT = 500
_NAME = r"[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?"
_VERSION = r"(?:===|[~=!<>]=|[<>]) *[A-Za-z0-9][A-Za-z0-9._*+!-]*"
_CREDENTIALS = re.compile(r"://(?!git@[^/?#@]*(?:[/?#]|$))[^/?#]*@")
_REQUIREMENT = re.compile(  # of https://peps.python.org/pep-0508/ what people write
    rf"{_NAME} *(?:\[ *{_NAME}(?: *, *{_NAME})* *\])? *"
    rf"(?:{_VERSION}(?: *, *{_VERSION})*|@ *[a-z][a-z0-9+]*://[!-~]+)?(?: *;[ -~]+)?"
)


def workers(value: str | int) -> tuple[int, int]:
    """Read a number of workers, 0 to run in the kernel, or the two ends of an elastic job's.

    Returns
    -------
    least, most
        Of ``2:4``, 2 and 4; of a plain number, 0 and the number.

    Raises
    ------
    InvalidInput
        If these are no whole numbers, or above :data:`MOST_WORKERS`.

    """
    first, colon, last = str(value).partition(":")
    least, most = _whole(first), _whole(last) if colon else _whole(value)
    if least is None or most is None:
        raise InvalidInput(
            "--workers must be a whole number of at least 1, two such as 2:4 for a job that grows"
            f' and shrinks, or 0 to run in this kernel (got "{clip(value)}")'
        )
    if most > MOST_WORKERS:
        raise InvalidInput(f"--workers {clip(value)} is above the limit of {MOST_WORKERS}")
    if colon and not 1 <= least <= most:
        raise InvalidInput(
            f"--workers {clip(value)} goes from {least} to {most}",
            "write the smaller number first, at least 1, as in 1:4",
        )
    return (least if colon else 0), most


def gpus(value: str | int) -> int:
    """Read a number of whole GPUs for each worker.

    Raises
    ------
    InvalidInput
        For shares of a device and anything that is not a number.

    """
    number = _whole(value)
    if number is not None and number <= MOST_WORKERS:
        return number
    if re.fullmatch(r"[0-9]*\.[0-9]+", str(value)):
        raise InvalidInput(
            "GPUs are whole devices; for a share of one ask your administrator for a MIG or"
            " time-sliced resource"
        )
    raise InvalidInput(f'--gpus must be a whole number (got "{clip(value)}")')


def count(value: str | int, option: str, most: int = 1_000_000) -> int:
    """Read a whole number from 0 to ``most``.

    Raises
    ------
    InvalidInput
        If it is none.

    """
    number = _whole(value)
    if number is None:
        raise InvalidInput(f'{option} must be a whole number (got "{clip(value)}")')
    if number > most:
        raise InvalidInput(f"{option} {number} is above the limit of {most}")
    return number


def duration(value: str | float, option: str) -> float:
    """Read a time such as ``90s``, ``5m``, ``2h`` or ``1d`` as seconds; numbers are seconds.

    Raises
    ------
    InvalidInput
        If there is no unit, or it is not between 1 s and 30 days.

    """
    number = seconds(value) or 0.0
    if not 1 <= number <= LONGEST_TIME:
        raise InvalidInput(
            f'{option} "{clip(value)}" is not a time', "write a unit: 5s, 5m, 2h (at most 30d)"
        )
    return number


def processes(wanted: int, gpus: int) -> int:
    """Say how many processes a worker has: those wanted, else one for each GPU.

    Raises
    ------
    InvalidInput
        If they cannot divide the GPUs.

    """
    if wanted and gpus % wanted:
        raise InvalidInput(
            f"--procs {wanted} cannot divide {gpus} GPU{'s' if gpus > 1 else ''}",
            "each process of a worker gets as many as the others",
        )
    return wanted or max(gpus, 1)


def roles(
    *, chief: bool, ps: int, evaluator: bool, least: int, workers: int, procs: int, framework: str
) -> None:
    """Check who is to be there beside workers; nothing is refused where nobody is.

    Raises
    ------
    InvalidInput
        If the framework has no such roles, or the job cannot have them.

    """
    asked = {"--ps": ps, "--chief": chief, "--evaluator": evaluator}
    option = next((option for option, wanted in asked.items() if wanted), "")
    if not option:
        return
    if framework not in ("", "tensorflow"):
        raise InvalidInput(
            f"{option} is for tensorflow, and this cell is {framework}",
            "only TensorFlow's workers have roles",
        )
    if least:
        raise InvalidInput(
            f"{option} needs a fixed number of workers",
            "servers do not know each other's new addresses when workers come and go",
            "Write one number, as in -w 4.",
        )
    if procs > 1:
        raise InvalidInput(f"{option} needs one process a worker (got --procs {procs})")
    if not workers:
        raise InvalidInput(f"{option} needs workers", "-w 0 runs the cell in this kernel alone")


def base_name(value: str) -> str:
    """Check the readable part of a job's name.

    Raises
    ------
    InvalidInput
        With a better name, if one can be made from it.

    """
    if re.fullmatch(r"[a-z]([a-z0-9-]*[a-z0-9])?", value) and len(value) <= LONGEST_NAME:
        return value
    better = naming.slug(value, LONGEST_NAME)
    raise InvalidInput(
        f'name "{clip(value)}" is not allowed',
        f'lower-case letters, digits and "-", at most {LONGEST_NAME}, beginning with a letter'
        + (f'; try "{better}"' if better else ""),
    )


def framework(value: str) -> str:
    """Check a framework's name.

    Raises
    ------
    InvalidInput
        With the close one, and all there are.

    """
    if value in FRAMEWORKS:
        return value
    hint = suggest(value, FRAMEWORKS, close_to=0.85)
    raise InvalidInput(f'unknown framework "{clip(value)}"{hint} ({", ".join(FRAMEWORKS)})')


def names(value: str | Sequence[str], option: str) -> tuple[str, ...]:
    """Read variable names, from ``a,b`` or a sequence, each once.

    Raises
    ------
    InvalidInput
        For what is not a Python name.

    """
    parts = value.split(",") if isinstance(value, str) else value
    found = dict.fromkeys(part.strip() for part in parts)
    for name in found:
        if not name.isidentifier() or keyword.iskeyword(name):
            raise InvalidInput(f'{option} takes Python names, as in "x,y" (got "{clip(name)}")')
    return tuple(found)


def requirements(value: Sequence[str]) -> tuple[str, ...]:
    """Check what workers are to install: packages as pip takes them, never options or paths.

    Raises
    ------
    InvalidInput
        For the first that is none.

    """
    found = [" ".join(each.split()) for each in value]
    for each in found:
        if _CREDENTIALS.search(each):  # they are not repeated: messages stay in notebooks
            raise InvalidInput(
                "--pip takes no address with a user or a password: all can see these at the job",
                "the credentials of a private index or repository belong into the profile's"
                " env_from_secrets",
            )
        if len(each) > _LONGEST_REQUIREMENT or not _REQUIREMENT.fullmatch(each):
            raise InvalidInput(
                f'--pip "{clip(each)}" is no requirement',
                'write a package, as in einops or "einops>=0.8,<1"; options of pip belong into the'
                " profile's env, as in PIP_INDEX_URL",
            )
    return tuple(dict.fromkeys(found))


def _whole(value: str | int) -> int | None:
    """Return a number from 0 on, or nothing."""
    if isinstance(value, bool):
        return None
    if isinstance(value, int):
        return value if value >= 0 else None
    return int(value) if re.fullmatch(r"[0-9]{1,12}", str(value)) else None
