"""The documents name what there is, and lead to it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from jupyter_kube import cli, train
from jupyter_kube.config import KubeConfig
from jupyter_kube.kernels.manager import KubeMappingKernelManager
from jupyter_kube.kernels.provisioner import KubeProvisioner
from jupyter_kube.magicline import kube_parser, train_parser

ROOT = Path(__file__).parent.parent
DEVELOPERS = ROOT / "docs" / "developers"
PACKAGE = ROOT / "jupyter_kube"
DESCRIBED = {
    "train": ("training.md",),
    "kernels": ("kernels.md", "link.md", "files.md"),
    "handlers": ("rest.md",),
    "widgets": ("panel.md",),
    "localcluster": ("local-cluster.md", "local-cluster-api.md"),
}


def links(page):
    return re.findall(r"\]\(([^)#:]+)\)", page.read_text())


@pytest.mark.parametrize("page", [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")], ids=str)
def test_a_link_leads_somewhere(page):
    assert [link for link in links(page) if not (page.parent / link).exists()] == []


@pytest.mark.parametrize("page", [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")], ids=str)
def test_a_table_begins_with_its_head(page):
    """Rows after a blank line are no table to a reader, but lines with bars in them."""
    lines = ["", *page.read_text().splitlines(), ""]
    begins = [
        n
        for n, line in enumerate(lines)
        if line.startswith("|") and not lines[n - 1].startswith("|")
    ]
    assert [lines[n] for n in begins if not re.fullmatch(r"\|( -+ \|)+", lines[n + 1])] == []


@pytest.mark.parametrize("picture", [*ROOT.glob("docs/pictures/*")], ids=lambda path: path.name)
def test_a_picture_is_shown_and_small(picture):
    pages = [ROOT / "README.md", *ROOT.glob("docs/users/*.md")]
    assert any(picture.name in page.read_text() for page in pages)
    assert picture.stat().st_size < (2**20 if picture.suffix == ".gif" else 100_000)


def test_nobody_is_told_to_install_from_an_index_what_was_not_released_there():
    """Whoever registers our name first would be installed."""
    files = [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("deploy/*")]
    files += [*ROOT.glob("binder/post*"), *PACKAGE.rglob("*.py"), *ROOT.glob("examples/*.ipynb")]
    files += ROOT.glob("labextension/src/**/*.ts*")
    told = re.compile(r"pip install( -\S+)* \W{0,2}jupyter[-_]kube")
    assert [path.name for path in files if told.search(path.read_text())] == []


def test_every_page_for_users_is_found_from_their_first():
    users = ROOT / "docs" / "users"
    linked = {*links(users / "index.md"), "index.md"}
    assert {page.name for page in users.glob("*.md")} <= linked


def test_every_page_for_developers_is_found_from_the_first():
    linked = {*links(DEVELOPERS / "architecture.md"), "architecture.md"}
    assert {page.name for page in DEVELOPERS.glob("*.md")} == linked
    assert {f"developers/{name}" for name in linked} <= set(links(ROOT / "docs" / "index.md"))


def test_the_layout_names_every_module_and_package():
    text = (DEVELOPERS / "architecture.md").read_text()
    modules = {path.name for path in PACKAGE.glob("[a-z]*.py")}
    packages = {f"{path.parent.name}/" for path in PACKAGE.glob("*/__init__.py")}
    assert {name for name in modules | packages if f"`{name}`" not in text} == set()


@pytest.mark.parametrize(("package", "pages"), DESCRIBED.items())
def test_every_module_of_a_package_is_described(package, pages):
    text = "".join((DEVELOPERS / page).read_text() for page in pages)
    words = set(re.findall(r"[\w]+\.py", text))
    modules = {path.name for path in (PACKAGE / package).glob("[a-z]*.py")}
    assert modules - words == set()


def test_the_reference_has_every_setting_as_its_help_says_it():
    rows = [
        f"| `{owner.__name__}.{name}` | `{trait.default_value!r}` | {plain(trait.help)} |"
        for owner in (KubeConfig, KubeMappingKernelManager, KubeProvisioner)
        for name, trait in sorted(owner.class_own_traits(config=True).items())
        if name != "profiles"  # has a page of its own
    ]
    page = (ROOT / "docs" / "reference" / "settings.md").read_text()
    assert [row for row in rows if row not in page] == []
    assert page.count("\n| `") == len(rows) + 1


def test_the_reference_has_the_command_line_as_its_help_says_it():
    page = (ROOT / "docs" / "reference" / "cli.md").read_text()
    head, *sections = re.split(r"^## jupyter kube ", page, flags=re.MULTILINE)
    commands = commands_of(cli._parser())
    shared = rows_of(commands["ls"])
    assert rows_in(head) == shared
    assert [section.split()[0] for section in sections] == list(commands)
    for section, (name, parser) in zip(sections, commands.items(), strict=True):
        assert section.startswith(f"{name}\n\n{parser.description}\n")
        own = rows_of(parser)
        assert (own[: len(shared)] == shared) == (name != "local")
        assert rows_in(section) == [row for row in own if row not in shared]


def test_the_image_for_the_demo_begins_with_that_of_a_profile_that_names_none():
    page = (ROOT / "docs" / "reference" / "cli.md").read_text()
    assert f"FROM {KubeConfig().profile().image}\n" in page


def rows_in(text):
    return re.findall(r"^\| `.*$", text, re.MULTILINE)


def rows_of(parser):
    """The rows of a table of options, or of what a command takes."""
    rows = []
    for action in parser._actions:
        if action.dest == "help":
            continue
        first, *others = action.option_strings or [action.metavar]
        value = f" {action.metavar}" if action.option_strings and action.metavar else ""
        names = ", ".join(f"`{name}`" for name in (f"{first}{value}", *others))
        rows.append(f"| {names} | {action.help} |")
    return rows


def plain(text):
    return " ".join(text.split()).replace("``", "`")


def test_the_reference_has_all_of_the_python_interface():
    page = (ROOT / "docs" / "reference" / "python.md").read_text()
    described = set(re.findall(r"auto\w+:: jupyter_kube\.train\.\w+\.(\w+)", page))
    assert set(train.__all__) <= described


def test_users_read_about_every_option_of_the_magics():
    pages = [(ROOT / "docs" / "users" / name).read_text() for name in ("training.md", "files.md")]
    for option in options_of(train_parser()):
        assert f"`{option}" in pages[0]
    for name, parser in commands_of(kube_parser()).items():
        said = " ".join(re.findall(rf"%kube {name}\b.*", "\n".join(pages)))
        assert said
        assert [option for option in options_of(parser) if option not in said] == []


def options_of(parser):
    """The spelling of each option that users read, the first one."""
    options = [action.option_strings for action in parser._actions if action.dest != "help"]
    return [names[0] for names in options if names]


def commands_of(parser):
    (commands,) = (a.choices for a in parser._actions if isinstance(a.choices, dict))
    return commands


def test_users_read_about_words_that_kernels_say():
    page = (ROOT / "docs" / "users" / "kernels.md").read_text()
    said = "".join(
        p.read_text() for name in (".", "kube", "kernels") for p in PACKAGE.glob(f"{name}/*.py")
    )
    rows = re.findall(r"^\| `(.+?)` ", page, re.MULTILINE)
    assert len(rows) > 15
    for row in rows:
        if row.startswith("0/9 nodes"):
            continue  # the scheduler's
        parts = re.split(r"""[0-9…“”":;,`]|\(| X""", row)
        assert any(len(part) > 6 and part.strip() in said for part in parts), row


def test_the_table_of_faults_names_the_tests_that_bear_their_numbers():
    """Both ways: what the table says is there, and nothing is there that it does not say."""
    page = (DEVELOPERS / "faults.md").read_text()
    said, borne = set(), set()
    for faults, modules in re.findall(r"^\| (F[^|]*?)\|.*\|([^|]*)\|$", page, re.MULTILINE):
        numbers = [int(number) for number in re.findall(r"F(\d+)", faults)]
        said |= {(numbers[0], module) for module in re.findall(r"`([\w/]+)`", modules)}
        together = dict.fromkeys(numbers, numbers[0])
        borne |= {(together[n], m) for n, m in _bearers() if n in together}
    assert said == borne
    assert {number for number, _ in _bearers()} - {number for number, _ in said} == {11}  # with F10


def _bearers():
    for path in (ROOT / "tests").rglob("test_*.py"):
        for name in re.findall(r"def test_((?:f\d\d_)+)", path.read_text()):
            for number in re.findall(r"\d\d", name):
                yield int(number), str(path.relative_to(ROOT / "tests")).removesuffix(".py")
