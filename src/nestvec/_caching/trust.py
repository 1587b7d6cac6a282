"""What is looked at before diskcache opens a folder: it believes whatever its database says.

A setting becomes an attribute of the cache (the folder that it works in among them) or a PRAGMA; a trigger is run with
each value; a journal beside the database can have SQLite delete any file.
"""

from __future__ import annotations

import os
import sqlite3
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from nestvec.folders import Untrusted, check_file, check_owner

#: Settings that are counters, or the user's choice.
_NUMBERS: Final = frozenset({"count", "size", "hits", "misses", "size_limit"})
_BESIDE: Final = ("", "-wal", "-shm", "-journal")


class ForeignDatabase(sqlite3.DatabaseError):
    """The database holds what no cache of nestvec's does."""


@dataclass(frozen=True, slots=True)
class Contents:
    """What a database is made of: kind, name and SQL of all that is in its schema, and diskcache's settings."""

    schema: frozenset[tuple[str, str, str | None]]
    settings: dict[str, Any]

    @classmethod
    def read(cls, connection: sqlite3.Connection) -> Contents:
        """Of an opened database. Raises what sqlite3 raises."""
        schema = frozenset(connection.execute("SELECT type, name, sql FROM sqlite_master"))
        tables = {name for kind, name, _ in schema if kind == "table"}
        rows = connection.execute("SELECT key, value FROM Settings") if "Settings" in tables else ()
        return cls(schema, dict(rows))


def names(database: str) -> list[str]:
    """The files that SQLite makes for a database of that name."""
    return [database + suffix for suffix in _BESIDE]


def checked_folder(path: Path) -> Path:
    """The folder itself, where `path` is a link. Raises `Untrusted` for one that others could put anything into."""
    check_owner(path)
    folder = path.resolve()
    if os.path.expandvars(folder) != str(folder):
        raise Untrusted(f"{folder}: diskcache would take the $ in it for a variable; choose another path")
    return folder


def check_files(database: Path) -> None:
    """Raises `ForeignDatabase` where one of a database's files leads elsewhere."""
    try:
        for name in names(database.name):
            check_file(database.with_name(name))
    except Untrusted as error:
        raise ForeignDatabase(str(error)) from error


def check_contents(found: Contents, fresh: Contents) -> None:
    """Raises `ForeignDatabase` for anything that is not in a `fresh` database."""
    for kind, name, _ in sorted(found.schema - fresh.schema, key=str):
        raise ForeignDatabase(f"it has a {kind} {name!r} that is not nestvec's")
    for key, value in found.settings.items():
        if key not in fresh.settings:
            raise ForeignDatabase(f"it has a setting {key!r} that is not nestvec's")
        if not isinstance(value, int) if key in _NUMBERS else value != fresh.settings[key]:
            raise ForeignDatabase(f"its setting {key!r} is not nestvec's")
