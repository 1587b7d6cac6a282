"""Bytes under keys in a folder, bounded in size: diskcache, which keeps them in SQLite.

Several processes may use one folder at once, and a process may end at any moment. Everything here is done by one thread
(see `cache`), because a connection belongs to the thread that opened it. What is in the folder may have been prepared
by somebody else: `trust` looks at it before diskcache does, and `BytesDisk` touches no file of any name.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

from nestvec._caching import trust
from nestvec.errors import ConfigError
from nestvec.folders import Untrusted

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
    """Keeps bytes in the database and nothing else: no pickle is made or loaded, no file written, read or removed."""

    def get(self, key: Any, raw: bool) -> bytes:
        """A key from the database."""
        if not raw:
            raise OSError("the cache holds a key that is no bytes")
        return bytes(key)

    def put(self, key: Any) -> tuple[bytes, bool]:
        """A key as the database holds it."""
        return _bytes(key), True

    def store(self, value: Any, read: bool, key: Any = None) -> tuple[int, int, None, bytes]:  # noqa: ARG002
        """A value as the database holds it: size of its file, mode, name of its file, value."""
        return 0, MODE_RAW, None, _bytes(value)

    def fetch(self, mode: int, filename: Any, value: Any, read: bool) -> bytes:  # noqa: ARG002
        """A value from the database. diskcache takes an `OSError` here for a value that is not there."""
        if mode != MODE_RAW or not isinstance(value, bytes):
            raise OSError("the cache holds a value that is no bytes")
        return value

    def remove(self, file_path: Any) -> None:
        """Nothing: no value has a file, so a name in the database is somebody's who wants that file to be deleted."""


def _bytes(value: Any) -> bytes:
    if not isinstance(value, bytes):
        raise TypeError(f"a cache keeps bytes, not {type(value).__name__}")
    return value


class Disk:
    """An opened folder, made for its owner only if it was not there. Every method may raise one of `FAILURES`."""

    def __init__(self, path: Path, size: int) -> None:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        folder = trust.checked_folder(path)
        trust.check_files(folder / DBNAME)
        _probe(folder / DBNAME)
        self._cache = _open(folder, size)

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
        folder = trust.checked_folder(path)
        try:
            with closing(Disk(folder, size)) as disk:
                return disk.clear()
        except FAILURES as error:
            if not _damaged(error):
                raise
        for name in trust.names(DBNAME):
            folder.joinpath(name).unlink(missing_ok=True)
    except FAILURES as error:
        raise ConfigError(f"the cache {path} cannot be cleared: {reason(error)}") from error
    return None


def _damaged(error: Exception) -> bool:
    """Whether the database itself is at fault: one that is locked, full or read-only is an `OperationalError`."""
    return isinstance(error, (sqlite3.DatabaseError, *_STUMBLES)) and not isinstance(error, sqlite3.OperationalError)


def reason(error: Exception) -> str:
    """What is wrong with a folder, and what to do about it."""
    if isinstance(error, Untrusted):
        return str(error)
    if _damaged(error):
        return f"its database is damaged ({error}); run nestvec cache clear"
    what = "another process holds its database" if isinstance(error, diskcache.Timeout) else str(error)
    return f"{what}; see that it is a folder that can be written to, with room on its disk"


def _open(folder: Path, size: int) -> Any:
    return diskcache.Cache(str(folder), _PATIENCE, BytesDisk, size_limit=size, **_SETTINGS)


def _probe(database: Path) -> None:
    """Raise what is wrong with a database: diskcache would wait a minute for it, or do what it says."""
    with closing(sqlite3.connect(database, timeout=_PATIENCE, isolation_level=None)) as connection:
        connection.execute("PRAGMA trusted_schema = OFF")
        connection.execute("BEGIN IMMEDIATE")
        connection.execute("ROLLBACK")
        found = trust.Contents.read(connection)
    if found.schema:
        trust.check_contents(found, _fresh())


@cache
def _fresh() -> trust.Contents:
    """What diskcache itself puts into a database."""
    with TemporaryDirectory(prefix="nestvec-cache-") as folder:
        _open(Path(folder), 0).close()
        with closing(sqlite3.connect(Path(folder, DBNAME))) as connection:
            return trust.Contents.read(connection)
