"""Each promise links the test that holds it, and the test is there."""

from __future__ import annotations

import ast
import re
from functools import lru_cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
GUARANTEES, SECURITY = ROOT / "docs" / "concepts" / "guarantees.md", ROOT / "SECURITY.md"
#: A test's name, and the file that it is in.
_HELD = re.compile(r"\[`(\w+)`\]\(([^)\s]+\.py)\)")
_ITEM = re.compile(r"^- .*(?:\n  .*)*", re.MULTILINE)
_SECTION = re.compile(r"^##+ (.*)\n((?:(?!^##).*\n?)*)", re.MULTILINE)
#: Sections of what is not promised, or not defended.
_WITHOUT = re.compile(r"\bnot\b|Reporting", re.IGNORECASE)

LINKS = [
    (page, name, path)
    for page in (GUARANTEES, SECURITY)
    for name, path in _HELD.findall(page.read_text(encoding="utf-8"))
]


@lru_cache
def defined(file: Path) -> set[str]:
    """The names of all test functions and classes in a file, also of those within classes."""
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
    nodes = ast.walk(ast.parse(file.read_text(encoding="utf-8")))
    return {node.name for node in nodes if isinstance(node, kinds) and node.name.lower().startswith("test")}


def promises() -> list[str]:
    """What the pages promise, item by item."""
    return [
        item
        for page in (GUARANTEES, SECURITY)
        for title, body in _SECTION.findall(page.read_text(encoding="utf-8"))
        if not _WITHOUT.search(title)
        for item in _ITEM.findall(body)
    ]


@pytest.mark.parametrize(("page", "name", "path"), LINKS, ids=[f"{page.name}:{name}" for page, name, _ in LINKS])
def test_the_test_that_holds_a_promise_is_there(page: Path, name: str, path: str) -> None:
    file = (page.parent / path).resolve()
    assert file.is_file(), f"{page.name} links to {path}: there is no such file"
    assert name in defined(file), f"{page.name} links to {name}: it is not in {path}"


@pytest.mark.parametrize("promise", promises())
def test_a_promise_is_held_by_a_test(promise: str) -> None:
    assert _HELD.search(promise), f"no test is linked that holds this: {promise}"


def test_there_are_promises() -> None:
    assert len(promises()) > 40
    assert len(LINKS) > len(promises())


@pytest.mark.parametrize("page", [GUARANTEES, SECURITY], ids=lambda page: page.name)
def test_links_to_tests_name_one(page: Path) -> None:
    named = {path for _, path in _HELD.findall(page.read_text(encoding="utf-8"))}
    linked = set(re.findall(r"\]\(([^)\s]+\.py)[^)]*\)", page.read_text(encoding="utf-8")))
    assert linked == named, "a link to a file of tests says which test"
