"""What a configuration is made of, whoever wrote it: tables, lists and values as TOML has them, and no others.

Checked before anything else is: what reads the values would stumble over these, each in a way of its own.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from nestvec.errors import ConfigError
from nestvec.values import INT64_MAX, INT64_MIN, describe, is_unicode

#: Tables and lists within each other; the deepest key that there is lies at half of it.
DEEPEST = 16
TOO_DEEP = f"is nested too deeply: tables and lists lie at most {DEEPEST} deep; flatten it"


def check_plain(data: Mapping[str, Any], subject: str) -> None:
    """Raise `ConfigError` where there is something in the data that no configuration can hold."""
    if _depth(data) > DEEPEST:
        raise ConfigError(f"{subject} {TOO_DEEP}")
    problems = [f"{key or 'file'}: {problem}" for key, problem in _problems(data, "")]
    if problems:
        raise ConfigError(f"{subject} has mistakes:", problems)


def _depth(data: Mapping[str, Any]) -> int:
    """How deep tables and lists lie within each other, or a number beyond the greatest allowed."""
    level: list[Any] = [data]
    depth = 0
    while level and depth <= DEEPEST:
        inner = (item for value in level for item in (value.values() if isinstance(value, Mapping) else value))
        level = [item for item in inner if isinstance(item, Mapping | list | tuple)]
        depth += 1
    return depth


def _problems(value: Any, key: str) -> Iterator[tuple[str, str]]:
    """Keys, and what is wrong there. Values are not shown: they may be secrets in the wrong place."""
    if isinstance(value, Mapping):
        for name, item in value.items():
            yield from _named(name, item, key)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _problems(item, key)
    elif isinstance(value, str) and "\0" in value:
        yield key, "holds the character NUL, which nothing here can hold; take it out"
    elif isinstance(value, str) and not is_unicode(value):
        yield key, "is not valid Unicode: it has a lone surrogate; write it anew"
    elif isinstance(value, int) and not INT64_MIN <= value <= INT64_MAX:
        yield key, "expected a whole number of at most 64 bits"


def _named(name: object, item: Any, table: str) -> Iterator[tuple[str, str]]:
    if not isinstance(name, str):
        yield table, f"expected keys that are strings, got {describe(name)}"
    elif "\0" in name or not is_unicode(name):
        yield f"{table}.{name}".lstrip("."), "the key holds the character NUL, or is not valid Unicode; rename it"
    else:
        yield from _problems(item, f"{table}.{name}" if table else name)
