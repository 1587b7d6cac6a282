"""Every page can be reached from the README, links to headings find them, and blocks of configuration are TOML."""

from __future__ import annotations

import re
import shlex
import tomllib
from pathlib import Path

import click
import pytest

from nestvec._cli import main

ROOT = Path(__file__).parents[2]
README = ROOT / "README.md"
PAGES = sorted(
    [
        *ROOT.glob("*.md"),
        *(page for folder in ("docs", "examples", "benchmarks", "plugins") for page in (ROOT / folder).rglob("*.md")),
        *(ROOT / "tests" / "plugins").glob("*/README.md"),
    ]
)
NAMES = [str(page.relative_to(ROOT)) for page in PAGES]
_LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
_BLOCK = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)


def prose(page: Path) -> str:
    """The page without its blocks of code."""
    return _BLOCK.sub("", page.read_text(encoding="utf-8"))


def links(page: Path) -> list[tuple[Path, str]]:
    """Where the page's links into this repository lead, and the heading that they name."""
    found = [link.partition("#") for link in _LINK.findall(prose(page)) if "://" not in link]
    return [((page.parent / path).resolve() if path else page, heading) for path, _, heading in found]


def headings(page: Path) -> set[str]:
    """The names by which headings can be linked, as GitHub makes them."""
    told = re.findall(r"^#+ (.+)$", prose(page), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in told}


def test_every_page_is_reached_from_the_readme() -> None:
    reached, waiting = {README}, [README]
    while waiting:
        targets = [path / "README.md" if path.is_dir() else path for path, _ in links(waiting.pop())]
        new = {path for path in targets if path.suffix == ".md" and path.is_file()} - reached
        reached |= new
        waiting += new
    assert not [name for name, page in zip(NAMES, PAGES, strict=True) if page not in reached]


def test_the_readme_lists_every_how_to_once() -> None:
    listed = [path for path, heading in links(README) if path.parent.name == "how-to" and not heading]
    more = README.read_text(encoding="utf-8").partition("\n## More\n")[2]
    for page in (ROOT / "docs" / "how-to").glob("*.md"):
        assert page in listed
        assert more.count(f"(docs/how-to/{page.name})") == 1, page.name


@pytest.mark.parametrize("name", NAMES)
def test_links_to_headings_find_them(name: str) -> None:
    for path, heading in links(ROOT / name):
        assert not heading or heading in headings(path), f"{name} links to {path.name}#{heading}: no such heading"


@pytest.mark.parametrize("name", NAMES)
def test_configuration_blocks_are_toml(name: str) -> None:
    text = (ROOT / name).read_text(encoding="utf-8")
    for block in re.findall(r"^```toml\n(.*?)^```$", text, re.MULTILINE | re.DOTALL):
        tomllib.loads(block)


def commands(page: Path) -> list[str]:
    """The lines that run nestvec: of shell blocks, and those behind a prompt."""
    found = []
    for block in _BLOCK.findall(page.read_text(encoding="utf-8")):
        lines = re.findall(r"^(\$ )?(nestvec \w.*)$", block, re.MULTILINE)
        found += [line for prompt, line in lines if prompt or re.match(r"```(bash|sh|console)\b", block)]
    return found


def parse(line: str) -> None:
    """Parse a command line without running it. Raises `click.UsageError`."""
    name: str | None
    name, *words = shlex.split(line, comments=True)
    command: click.Command | None = main
    context: click.Context | None = None
    while command is not None:
        context = command.make_context(name, words, parent=context)
        if not isinstance(command, click.Group):
            return
        name, command, words = command.resolve_command(context, [*context._protected_args, *context.args])


SHOWN = [(name, line) for name, page in zip(NAMES, PAGES, strict=True) for line in commands(page)]


@pytest.mark.parametrize(("name", "line"), SHOWN)
def test_commands_of_the_pages_exist_with_these_options(name: str, line: str) -> None:
    parse(line)
