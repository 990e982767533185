"""The operators' pages on profiles: examples that can be loaded, and a reference that is true."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from traitlets.config import Config

from jupyter_kube.config import KubeConfig
from jupyter_kube.kernels.choice import choice_of
from jupyter_kube.keys import profile_keys

OPERATORS = Path(__file__).parent.parent / "docs" / "operators"
PAGE = OPERATORS / "profiles.md"


def blocks(page: Path, language: str) -> list[str]:
    found = re.findall(
        rf"^( *)```{language}\n(.*?)^ *```$", page.read_text(), re.DOTALL | re.MULTILINE
    )
    return [re.sub(rf"(?m)^{indent}", "", text) for indent, text in found]


def settings(block: str) -> KubeConfig:
    config = Config()
    exec(block, {"c": config})
    return KubeConfig(config=config)


EXAMPLES = [
    block
    for page in sorted(OPERATORS.glob("*.md"))
    for block in blocks(page, "python")
    if "profiles" in block
]


@pytest.mark.parametrize("block", EXAMPLES)
def test_an_example_can_be_loaded(block: str) -> None:
    found = settings(block)
    assert found.wrong_profiles() == {}
    assert found.parsed_profiles()
    assert found.profile()


def test_there_are_examples() -> None:
    assert len(EXAMPLES) >= 6


def test_the_choice_in_the_example_is_one_the_example_allows() -> None:
    (text,) = blocks(PAGE, "json")
    (offer,) = (block for block in EXAMPLES if '"options"' in block)
    profile = settings(offer).profile("gpu")
    assert profile.vary(choice_of(json.loads(text), "gpu")).gpus == 2


def reference() -> str:
    """What the page must end with."""
    rows = ["| key | default | meaning | example |", "| --- | --- | --- | --- |"]
    for key in profile_keys():
        default = list(key.default) if isinstance(key.default, tuple) else key.default
        cells = (f"`{key.name}`", f"`{default!r}`", key.meaning, f"`{key.example!r}`")
        rows.append(f"| {' | '.join(cells)} |")
    return "\n".join(rows) + "\n"


def test_the_reference_lists_every_key_as_it_is() -> None:
    assert PAGE.read_text().endswith(f"\n{reference()}"), reference()


def test_the_settings_help_explains_every_key_with_an_example() -> None:
    text = KubeConfig.class_get_trait_help(KubeConfig.profiles)
    words = " ".join(text.split())
    for key in profile_keys():
        assert f"{key.name}: {' '.join(key.meaning.split())} Default: " in words
        assert repr(key.example)[:10] in words
