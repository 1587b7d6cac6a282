"""Paths to values inside of metadata: keys joined by dots, as in `meta.author.name`.

A key that has dots itself is put into quotation marks where people write it (`meta."a.b"`). The canonical form, under
which values are stored and filters look for them, has a backslash before such a dot instead: databases have quotation
marks of their own.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache
from typing import Final

from nestvec.errors import InvalidInput

_QUOTED: Final = r'"((?:[^"\\]|\\.)*)"'
_BARE: Final = r'((?:[^."\\\[\]*]|\\.)+)'
_STEP: Final = re.compile(rf"(?:{_QUOTED}|{_BARE})(\.|\Z)", re.DOTALL)
_ESCAPED: Final = re.compile(r"\\(.)", re.DOTALL)
#: What cannot stand in a key of the canonical form as it is, and what stands for it.
_ESCAPES: Final = {**{each: f"\\{each}" for each in "\\.[]*#?"}, '"': "\\q", "": "\\e"}
_NEEDS: Final = re.compile(r'[\\."\[\]*#?]')
_MEANT: Final = {"q": '"', "e": ""}


@lru_cache(maxsize=1024)
def parse_path(path: str) -> tuple[str, ...]:
    r"""The keys that a path leads through. Raises `InvalidInput` for what is no path.

    >>> parse_path("meta.author.name"), parse_path('meta."a.b"'), parse_path(r"meta.a\.b")
    (('meta', 'author', 'name'), ('meta', 'a.b'), ('meta', 'a.b'))
    """
    keys, place, more = list[str](), 0, True
    while more:
        step = _STEP.match(path, place)
        if step is None:
            raise InvalidInput(f"{path!r:.80} is no path: {_problem(path)}")
        quoted, bare, dot = step.groups()
        keys.append(_ESCAPED.sub(lambda found: _MEANT.get(found[1], found[1]), bare if quoted is None else quoted))
        place, more = step.end(), dot == "."
    return tuple(keys)


def format_path(keys: Sequence[str]) -> str:
    r"""The canonical form of a path: the inverse of `parse_path`.

    >>> format_path(["meta", "author"]), format_path(["meta", "a.b"])
    ('meta.author', 'meta.a\\.b')
    """
    return ".".join(map(_step, keys))


def _step(key: str) -> str:
    if not key:
        return _ESCAPES[""]
    return _NEEDS.sub(lambda found: _ESCAPES[found[0]], key) if _NEEDS.search(key) else key


def _problem(path: str) -> str:
    if re.search(r"[\[\]*]", path):
        return "paths lead through objects, not through lists; name the list itself, and declare its field as a list"
    return 'join keys by dots, as in meta.author, and put a key that has dots itself into quotation marks: meta."a.b"'
