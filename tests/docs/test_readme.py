"""The documentation runs: snippets, configuration, doctests, links, generated pages."""

from __future__ import annotations

import doctest
import importlib
import pkgutil
import re
import subprocess
import sys
import tomllib
from importlib.util import find_spec
from pathlib import Path

import pytest

import nestvec
from nestvec.config import parse_config

ROOT = Path(__file__).parents[2]
PAGES = [
    path
    for pattern in (
        "*.md",
        "docs/**/*.md",
        "plugins/*/*.md",
        "benchmarks/*.md",
        "examples/*.md",
        "tests/plugins/*/*.md",
    )
    for path in ROOT.glob(pattern)
]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def blocks(text: str, language: str) -> list[str]:
    return re.findall(rf"^```{re.escape(language)}\n(.*?)^```", text, re.MULTILINE | re.DOTALL)


def test_the_readme_has_exactly_two_set_up_commands() -> None:
    commands = blocks(README, "bash")
    assert len(commands) == 2
    assert all(len(command.strip().splitlines()) == 1 for command in commands)
    assert not any(tool in command for command in commands for tool in ("make ", "uv ", "docker"))


@pytest.mark.parametrize("number", range(len(blocks(README, "python"))))
def test_the_readme_snippets_run(number: int, capsys: pytest.CaptureFixture[str]) -> None:
    exec(compile(blocks(README, "python")[number], f"README.md, snippet {number}", "exec"), {})
    first = capsys.readouterr().out.splitlines()[0]
    assert "Urlaub" in first


@pytest.mark.parametrize("number", range(len(blocks(README, "toml"))))
def test_the_readme_configuration_is_valid(number: int) -> None:
    config = parse_config(tomllib.loads(blocks(README, "toml")[number]))
    assert "handbook" in config.collections


@pytest.mark.parametrize("page", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8")):
        if not target.startswith(("http:", "https:")):
            assert (page.parent / target).exists(), f"{page.name} links to {target}"


def modules() -> list[str]:
    found = [info.name for info in pkgutil.walk_packages(nestvec.__path__, "nestvec.")]
    return [name for name in found if not name.endswith("__main__")]


@pytest.mark.parametrize("name", modules())
def test_doctests(name: str) -> None:
    runner = doctest.DocTestRunner()
    for test in doctest.DocTestFinder().find(importlib.import_module(name)):
        if "Example:\n" not in (test.docstring or ""):  # those of the public face: see test_reference
            runner.run(test)
    assert runner.failures == 0


def test_there_are_doctests() -> None:
    finder = doctest.DocTestFinder()
    assert sum(bool(test.examples) for name in modules() for test in finder.find(importlib.import_module(name))) >= 3


@pytest.mark.skipif(
    find_spec("nestvec_transformers") is None,
    reason="they tell of every plugin: pip install -r requirements-models.txt",
)
def test_the_generated_pages_are_up_to_date() -> None:
    command = [sys.executable, str(ROOT / "docs/generate.py"), "--check"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_the_core_names_no_database() -> None:
    pattern = re.compile(r"qdrant|milvus|pinecone|chroma|weaviate", re.IGNORECASE)
    named = [
        f"{path.relative_to(ROOT)}: {line.strip()}"
        for path in (ROOT / "src").rglob("*.py")
        if path.name != "emulate.py"  # says what to install for an emulator
        for line in path.read_text(encoding="utf-8").splitlines()
        if pattern.search(line)
    ]
    assert not named, "\n".join(named)
