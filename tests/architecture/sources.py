"""The source files of every distribution here, as syntax trees."""

from __future__ import annotations

import ast
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]
#: Where the packages lie: the core, and one folder for each plugin.
SOURCES = (ROOT / "src", *sorted(ROOT.glob("plugins/*/src")), *sorted(ROOT.glob("tests/plugins/*/src")))


@cache
def modules() -> dict[str, Path]:
    """Every module by its dotted name."""
    found = {}
    for source in SOURCES:
        for path in sorted(source.rglob("*.py")):
            parts = path.relative_to(source).with_suffix("").parts
            found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


@cache
def tree(name: str) -> ast.Module:
    """A module's syntax tree."""
    return ast.parse(modules()[name].read_text("utf-8"))


def in_rooms(*rooms: str) -> list[str]:
    """The modules of these packages of the core."""
    return [name for name in modules() if any(name == room or name.startswith(f"{room}.") for room in rooms)]
