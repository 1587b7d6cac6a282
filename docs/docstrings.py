"""Docstrings in sections: read from `Args:`, `Attributes:`, `Returns:`, `Yields:`, `Raises:` and `Example:`.

A docstring of one line that begins with "See" refers to another one: `Collection.search` explains the asynchronous one,
too. An entry of several names explains them together; "As in `Collection.search`." takes their explanations from there.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from dataclasses import dataclass, field

SECTIONS = ("Args", "Attributes", "Returns", "Yields", "Raises", "Example")
_HEADING = re.compile(rf"^({'|'.join(SECTIONS)}):$", re.MULTILINE)
_ENTRY = re.compile(r"^(\*{0,2}\w+(?:, \w+)*): (.+)$")
_REFERENCE = re.compile(r"See `([\w.]+)`[.;:]")
_ELSEWHERE = re.compile(r"As in `([\w.]+)`\.")


@dataclass(frozen=True)
class Docstring:
    """What a docstring says, by section. Entries are kept as written: one may explain several names."""

    prose: str = ""
    args: dict[str, str] = field(default_factory=dict)
    attributes: dict[str, str] = field(default_factory=dict)
    raises: dict[str, str] = field(default_factory=dict)
    returns: str = ""
    yields: str = ""
    example: str = ""

    @property
    def summary(self) -> str:
        """The first paragraph."""
        return self.prose.partition("\n\n")[0]

    @property
    def twin(self) -> str | None:
        """The name of the object whose docstring explains this one."""
        found = _REFERENCE.match(self.prose)
        return found.group(1) if found else None


def parse(value: object) -> Docstring:
    """Read an object's docstring. Raises `ValueError` for a section that cannot be read."""
    text = inspect.getdoc(value) or ""
    prose, *rest = _HEADING.split(text)
    sections = {name: inspect.cleandoc(body) for name, body in zip(rest[::2], rest[1::2], strict=True)}
    if [name for name in SECTIONS if name in sections] != rest[::2]:
        raise ValueError(f"sections come once and in this order: {', '.join(SECTIONS)}; not {', '.join(rest[::2])}")
    return Docstring(
        prose.strip(),
        _entries(sections.get("Args", "")),
        _entries(sections.get("Attributes", "")),
        _entries(sections.get("Raises", "")),
        _joined(sections.get("Returns", "")),
        _joined(sections.get("Yields", "")),
        sections.get("Example", ""),
    )


def names(entries: dict[str, str]) -> list[str]:
    """All names that a section explains, in its order."""
    return [name for each in entries for name in each.split(", ")]


def single(entries: dict[str, str]) -> Iterator[tuple[str, str, str | None]]:
    """Each name with its explanation; or with the name of the object that has it."""
    for each, told in entries.items():
        found = _ELSEWHERE.fullmatch(told)
        for name in each.split(", "):
            yield name, told, found.group(1) if found else None


def _entries(body: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for line in re.sub(r"\n\s+", " ", body).splitlines():
        entry = _ENTRY.match(line)
        if entry is None:
            raise ValueError(f"expected `name: what it is`, not {line!r}")
        found[entry.group(1)] = entry.group(2)
    return found


def _joined(body: str) -> str:
    return re.sub(r"\s*\n\s*", " ", body)
