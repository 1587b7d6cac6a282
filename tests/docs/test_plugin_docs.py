"""The pages for plugin authors: quoted snippets are verbatim, and the embedder that they show passes the kit."""

from __future__ import annotations

import importlib
import re
import sys
import textwrap
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from nestvec.contract import BackendPlugin, EmbedderPlugin
from nestvec.registry import BACKENDS, EMBEDDERS, Registry
from nestvec_testing import EmbedderConformance, EmbedderUnderTest

ROOT = Path(__file__).parents[2]
SQLITE = ROOT / "tests" / "plugins" / "nestvec-sqlite"
#: A file's name on a line of its own, and the block below it.
LABELLED = re.compile(r"^`(\S+)`\n\n```\w+\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def page(name: str) -> str:
    return (ROOT / "docs" / "how-to" / name).read_text(encoding="utf-8")


def snippets(name: str) -> list[tuple[str, str]]:
    return LABELLED.findall(page(name))


@pytest.mark.parametrize("name", ["write-a-backend.md", "write-an-embedder.md"])
def test_every_block_says_which_file_it_is_of(name: str) -> None:
    assert len(snippets(name)) == len(re.findall(r"^```\w", page(name), re.MULTILINE)) > 3


@pytest.mark.parametrize(("place", "text"), snippets("write-a-backend.md"))
def test_what_is_quoted_of_the_template_is_verbatim(place: str, text: str) -> None:
    assert text in (SQLITE / place).read_text(encoding="utf-8")


def test_the_template_is_announced_as_the_page_says() -> None:
    project = tomllib.loads((SQLITE / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert project["entry-points"] == {BACKENDS: {"sqlite": "nestvec_sqlite.plugin"}}
    assert isinstance(Registry().backend("sqlite"), BackendPlugin)


def test_every_module_of_the_template_is_in_its_table() -> None:
    modules = {path.name for path in SQLITE.glob("src/*/*.py")} - {"__init__.py"}
    readme = (SQLITE / "README.md").read_text(encoding="utf-8")
    assert set(re.findall(r"^\| `(\w+\.py)` ", readme, re.MULTILINE)) == modules


@pytest.fixture
def trigrams(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The distribution of the embedder page, as pip would install it."""
    files = dict(snippets("write-an-embedder.md"))
    project = tomllib.loads(files["pyproject.toml"])["project"]
    for place, text in files.items():
        if place.startswith("src/"):
            target = tmp_path / place.removeprefix("src/")
            target.parent.mkdir(exist_ok=True)
            target.write_text(text, encoding="utf-8")
    info = tmp_path / "nestvec_trigrams-0.1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n")
    ((group, entries),) = project["entry-points"].items()
    lines = [f"[{group}]", *(f"{name} = {module}" for name, module in entries.items())]
    (info / "entry_points.txt").write_text("\n".join(lines))
    monkeypatch.syspath_prepend(tmp_path)
    yield tmp_path
    for name in [name for name in sys.modules if name.startswith("nestvec_trigrams")]:
        del sys.modules[name]


def test_the_embedder_of_the_page_is_found_by_its_entry_point(trigrams: Path) -> None:
    registry = Registry()
    assert "trigrams" in registry.names(EMBEDDERS)
    assert isinstance(registry.embedder("trigrams"), EmbedderPlugin)
    assert "nestvec_trigrams.embedder" not in sys.modules


def test_the_conformance_test_of_the_page_is_the_one_that_runs_here(trigrams: Path) -> None:
    namespace: dict[str, object] = {}
    exec(dict(snippets("write-an-embedder.md"))["tests/test_conformance.py"], namespace)
    shown = namespace["TestTrigrams"]
    assert isinstance(shown, type)
    assert issubclass(shown, EmbedderConformance)
    quoted = textwrap.indent('return EmbedderUnderTest("nestvec_trigrams.plugin", {"dimensions": 256})', " " * 8)
    assert quoted in page("write-an-embedder.md")


class TestTrigrams(EmbedderConformance):
    @pytest.fixture
    def embedder(self, trigrams: Path) -> EmbedderUnderTest:
        return EmbedderUnderTest("nestvec_trigrams.plugin", {"dimensions": 256})


def test_white_space_fails_alone(trigrams: Path) -> None:
    from nestvec.contract import Encode, Group

    embedder = importlib.import_module("nestvec_trigrams.embedder").TrigramEmbedder()
    groups = (Group("a", "text", ((0, 4),)), Group("b", "  ", ((0, 2),)))
    reply = embedder.encode(Encode(groups, None, 32))
    assert [rows is None for rows in reply.vectors] == [False, True]
    assert [failure.group for failure in reply.failures] == [1]
