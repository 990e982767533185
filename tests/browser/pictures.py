"""Pictures for the documentation, of the real thing: ``python -m tests.browser pictures``.

Playwright takes them (``labextension/ui-tests/tests/pictures``), here they are made small. They are
kept in ``docs/pictures``, or in the folder JUPYTER_KUBE_PICTURES.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from PIL import Image

from tests.browser.setting import ROOT, chromium, place, plain, playwright, serving

KEPT = Path(os.environ.get("JUPYTER_KUBE_PICTURES", ROOT / "docs" / "pictures"))
NAMESPACE = "ada"
_NO_DITHER = Image.Dither.NONE


async def take(arguments: Sequence[str]) -> int:
    """Take all pictures, or those that Playwright's arguments choose; keep them if all is well."""
    async with place((NAMESPACE,)) as (folder, kubeconfig, image):
        taken = folder / "pictures"
        async with serving(folder / "lab", settings(kubeconfig, image, folder / "lab")) as lab:
            code = await playwright(
                ["--project=pictures", *arguments],
                CHROMIUM=chromium(),
                KUBECONFIG=str(kubeconfig),
                PICTURES=str(taken),
                PICTURES_URL=lab.url,
                PICTURES_TOKEN=lab.token,
                PICTURES_NAMESPACE=NAMESPACE,
            )
        if code == 0:
            keep(taken)
        return code


def settings(kubeconfig: Path, image: str, folder: Path) -> dict[str, Any]:
    """Build the settings of a server that a data scientist might have, and no one disturbs."""
    base = plain(kubeconfig, image)
    quiet = folder / "settings" / "@jupyterlab" / "apputils-extension"
    quiet.mkdir(parents=True)
    told = '{"fetchNews": "false", "doNotDisturbMode": true}'
    (quiet / "notification.jupyterlab-settings").write_text(told)
    kind = {"image": image, "cpu": "500m", "memory": "1Gi"}
    gpu = {
        "display_name": "One GPU",
        "gpus": 1,
        "options": {"gpus": {"min": 1, "max": 4}, "memory": {"max": "8Gi"}},
    }
    profiles = {"python": {**kind, "display_name": "Python"}, "gpu": {**kind, **gpu}}
    return {
        **base,
        "KubeConfig": {**base["KubeConfig"], "namespace": NAMESPACE, "profiles": profiles},
        "LabApp": {**base["LabApp"], "expose_app_in_browser": True},
    }


def keep(taken: Path) -> None:
    """Make pictures small and put them beside the documentation's pages.

    A folder of frames becomes one picture that moves; a frame's name ends with how long it stays,
    in milliseconds, as in ``012-300.png``.
    """
    KEPT.mkdir(parents=True, exist_ok=True)
    for path in sorted(taken.iterdir()):
        if path.is_dir():
            _keep_moving(sorted(path.glob("*.png")), KEPT / f"{path.name}.gif")
        else:
            _palette(Image.open(path).convert("RGB")).save(KEPT / path.name, optimize=True)


def _keep_moving(files: Sequence[Path], kept: Path) -> None:
    """Make frames one picture, with colours in common so that only what changes is stored."""
    frames = [Image.open(file).convert("RGB") for file in files]
    width, height = frames[0].size
    some = frames[:: len(frames) // 4 + 1]
    film = Image.new("RGB", (width, height * len(some)))
    for number, frame in enumerate(some):
        film.paste(frame, (0, number * height))
    colours = _palette(film)
    first, *rest = [frame.quantize(palette=colours, dither=_NO_DITHER) for frame in frames]
    times = [int(file.stem.split("-")[1]) for file in files]
    first.save(kept, save_all=True, append_images=rest, duration=times, loop=0, optimize=True)


def _palette(picture: Image.Image) -> Image.Image:
    """Choose 256 colours, the few of signs and curves among them."""
    return picture.quantize(256, Image.Quantize.MAXCOVERAGE, kmeans=1, dither=_NO_DITHER)
