"""Bytes under keys in a folder, bounded in size: diskcache, which keeps them in SQLite.

Several processes may use one folder at once, and a process may end at any moment. Everything here is done by one thread
(see `cache`), because a connection belongs to the thread that opened it.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from nestvec.errors import ConfigError

try:
    import diskcache
    from diskcache.core import DBNAME, MODE_RAW
except ImportError as missing:
    raise ConfigError(
        "a cache of an embedder needs the package diskcache: pip install 'nestvec[cache]', or leave the table cache out"
    ) from missing

#: What sqlite3 and diskcache raise over a damaged database, besides saying so: names, numbers and messages in it are
#: not what they should be.
_STUMBLES: Final = (ValueError, TypeError, AttributeError)
#: What is raised where a folder is damaged, full, read-only, locked, or none.
FAILURES: Final = (sqlite3.DatabaseError, OSError, diskcache.Timeout, *_STUMBLES)
#: Seconds to wait for another process's transaction, which take some milliseconds.
_PATIENCE = 5.0
_SETTINGS: Final = {
    "eviction_policy": "least-recently-stored",  # and what is used is stored anew, see `Disk.get`
    "cull_limit": 0,  # done after each batch, not with each value
    "disk_min_file_size": 2**31 - 1,  # values stay in the database: one file to be damaged, one size to watch
    "sqlite_mmap_size": 0,  # an error on reading mapped memory is no exception, but the end of the process
}


class BytesDisk(diskcache.Disk):  # type: ignore[misc]  # diskcache has no types
    """Reads bytes and nothing else: no pickle is ever loaded, and no file opened by a name that the database holds."""

    def get(self, key: Any, raw: bool) -> bytes:
        """A key from the database."""
        if not raw:
            raise OSError("the cache holds a key that is no bytes")
        return bytes(key)

    def fetch(self, mode: int, filename: Any, value: Any, read: bool) -> bytes:  # noqa: ARG002
        """A value from the database. diskcache takes an `OSError` here for a value that is not there."""
        if mode != MODE_RAW or not isinstance(value, bytes):
            raise OSError("the cache holds a value that is no bytes")
        return value


class Disk:
    """An opened folder, made for its owner only if it was not there. Every method may raise one of `FAILURES`."""

    def __init__(self, path: Path, size: int) -> None:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        _probe(path / DBNAME)
        self._cache = diskcache.Cache(str(path), _PATIENCE, BytesDisk, size_limit=size, **_SETTINGS)

    def __len__(self) -> int:
        return len(self._cache)

    @property
    def used(self) -> int:
        """Bytes that it takes, but for a log of some megabytes that SQLite keeps beside the database."""
        return int(self._cache.volume())

    def get(self, keys: Sequence[bytes]) -> list[bytes | None]:
        """The values, in order.

        What is used first today is stored anew, so that it outlives what was not. To write that down with each use
        would make looking five times as slow, and let processes that only look wait for each other.
        """
        today = _today()
        found = [self._cache.get(key, tag=True) for key in keys]
        pairs = zip(keys, found, strict=True)
        self.put([(key, value) for key, (value, day) in pairs if value is not None and day != today])
        return [value for value, _ in found]

    def put(self, values: Sequence[tuple[bytes, bytes]]) -> None:
        """Keep values, and let go of those that were not used for most days where room is needed."""
        if not values:
            return
        today = _today()
        with self._cache.transact():
            for key, value in values:
                self._cache.set(key, value, tag=today)
        if self.used > self._cache.size_limit:
            self._cache.cull()

    def clear(self) -> int:
        """Let go of everything; returns how many values there were. Others may use the folder meanwhile."""
        return int(self._cache.clear())

    def close(self) -> None:
        """Close the connection."""
        self._cache.close()


def _today() -> int:
    return int(time.time() // 86_400)


@dataclass(frozen=True, slots=True)
class CacheState:
    """What is in a folder: vectors, and bytes on disk. `problem`: why it cannot be used, and what to do."""

    vectors: int = 0
    used: int = 0
    problem: str | None = None


def inspect(path: Path, size: int) -> CacheState:
    """Look into a folder; one that is not there is empty, and is not made."""
    try:
        if not path.exists():
            return CacheState()
        with closing(Disk(path, size)) as disk:
            return CacheState(len(disk), disk.used)
    except FAILURES as error:
        return CacheState(problem=reason(error))


def clear(path: Path, size: int) -> int | None:
    """Empty a folder, and return how many vectors it had; None: its database was damaged, and is removed.

    Raises `ConfigError` where that cannot be done.
    """
    try:
        if not path.exists():
            return 0
        try:
            with closing(Disk(path, size)) as disk:
                return disk.clear()
        except FAILURES as error:
            if not _damaged(error):
                raise
        for suffix in ("", "-wal", "-shm"):
            path.joinpath(DBNAME + suffix).unlink(missing_ok=True)
    except FAILURES as error:
        raise ConfigError(f"the cache {path} cannot be cleared: {reason(error)}") from error
    return None


def _damaged(error: Exception) -> bool:
    """Whether the database itself is at fault: one that is locked, full or read-only is an `OperationalError`."""
    return isinstance(error, (sqlite3.DatabaseError, *_STUMBLES)) and not isinstance(error, sqlite3.OperationalError)


def reason(error: Exception) -> str:
    """What is wrong with a folder, and what to do about it."""
    if _damaged(error):
        return f"its database is damaged ({error}); run nestvec cache clear"
    what = "another process holds its database" if isinstance(error, diskcache.Timeout) else str(error)
    return f"{what}; see that it is a folder that can be written to, with room on its disk"


def _probe(database: Path) -> None:
    """Raise what is wrong with a database: diskcache would wait a minute for it, or not say what it was."""
    with closing(sqlite3.connect(database, timeout=_PATIENCE, isolation_level=None)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        connection.execute("ROLLBACK")
