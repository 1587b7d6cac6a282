"""The tables of a store, and whether a file has these and no others.

A collection has tables of its own, named by its number, so that dropping it takes no longer than dropping four tables.
Strings from outside never become part of a statement.
"""

from __future__ import annotations

from typing import Final

#: What SQLite keeps of us in the file's header: who wrote it, and which layout it has.
APPLICATION: Final = 0x6E766563
LAYOUT: Final = 1

_REGISTRY: Final = {
    "collections": "CREATE TABLE collections (number INTEGER PRIMARY KEY AUTOINCREMENT, physical TEXT NOT NULL UNIQUE, "
    "about TEXT NOT NULL)",
    "aliases": "CREATE TABLE aliases (name TEXT PRIMARY KEY, number INTEGER NOT NULL REFERENCES collections ON DELETE "
    "CASCADE) WITHOUT ROWID",
    "notes": "CREATE TABLE notes (number INTEGER NOT NULL REFERENCES collections ON DELETE CASCADE, name TEXT NOT "
    "NULL, text TEXT NOT NULL, PRIMARY KEY (number, name)) WITHOUT ROWID",
}

# What is read of all records at opening is kept apart from what is read of a few, so that opening stays fast.
# `slot` is the row of the vectors' files that a record has; `lengths` are its vectors' lengths, as doubles.
_RECORDS: Final = {
    "records": "CREATE TABLE records_{n} (slot INTEGER PRIMARY KEY, id TEXT NOT NULL, tenant TEXT NOT NULL, "
    "lengths BLOB NOT NULL, checksum INTEGER NOT NULL, UNIQUE (id, tenant))",
    "contents": "CREATE TABLE contents_{n} (slot INTEGER PRIMARY KEY, system TEXT NOT NULL, content TEXT NOT NULL)",
    "paths": "CREATE TABLE paths_{n} (number INTEGER PRIMARY KEY, path TEXT NOT NULL UNIQUE)",
    "terms": "CREATE TABLE terms_{n} (path INTEGER NOT NULL, value NOT NULL, slot INTEGER NOT NULL, "
    "PRIMARY KEY (path, value, slot)) WITHOUT ROWID",
}

SETUP: Final = (*_REGISTRY.values(), f"PRAGMA application_id = {APPLICATION}", f"PRAGMA user_version = {LAYOUT}")


def creation(number: int) -> list[str]:
    """The statements that make a collection's tables."""
    return [statement.format(n=number) for statement in _RECORDS.values()]


def removal(number: int) -> list[str]:
    """The statements that drop them."""
    return [f"DROP TABLE {name}_{number:d}" for name in _RECORDS]


def expected(numbers: list[int]) -> set[str]:
    """What the schema of a store says with collections of these numbers."""
    return {*_REGISTRY.values(), *(statement for number in numbers for statement in creation(number))}
