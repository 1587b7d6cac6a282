"""The connection to one file: its schema, its transactions, and SQLite's errors as nestvec's."""

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from nestvec import errors
from nestvec_sqlite.records import score

# The lock of the first transaction is kept until the connection closes. `seq` never changes while a record lives: it is
# the scroll's cursor, and settles ties between equal scores.
SCHEMA = """
PRAGMA foreign_keys = ON; PRAGMA locking_mode = EXCLUSIVE; BEGIN IMMEDIATE;
CREATE TABLE IF NOT EXISTS collections (physical TEXT PRIMARY KEY, about TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS pointers (name TEXT PRIMARY KEY, physical TEXT REFERENCES collections ON DELETE CASCADE);
CREATE TABLE IF NOT EXISTS notes (
    physical TEXT REFERENCES collections ON DELETE CASCADE, name TEXT, text TEXT, PRIMARY KEY (physical, name));
CREATE TABLE IF NOT EXISTS records (
    seq INTEGER PRIMARY KEY, physical TEXT NOT NULL REFERENCES collections ON DELETE CASCADE,
    tenant TEXT NOT NULL, id TEXT NOT NULL, text TEXT, metadata TEXT NOT NULL, system TEXT NOT NULL,
    vector BLOB NOT NULL, UNIQUE (physical, tenant, id));
COMMIT"""

READY = "SELECT count(*) FROM sqlite_master WHERE type = 'table' AND name = 'records'"

#: SQLite's primary result codes, the error each becomes, and what to do about it.
_ERRORS: dict[int, tuple[type[errors.BackendError], str]] = {
    sqlite3.SQLITE_BUSY: (errors.BackendLocked, "close the other process that has the file open"),
    sqlite3.SQLITE_FULL: (errors.BackendFull, "free some disk space"),
    sqlite3.SQLITE_READONLY: (errors.BackendFull, "make the file and its folder writable"),
    sqlite3.SQLITE_IOERR: (errors.BackendUnavailable, "check the disk"),
    sqlite3.SQLITE_PERM: (errors.BackendDenied, "check the permissions of the file"),
    sqlite3.SQLITE_CANTOPEN: (errors.BackendRefused, "check that the folder exists and may be written"),
    sqlite3.SQLITE_NOTADB: (errors.BackendRefused, "choose another path; nothing was changed"),
    sqlite3.SQLITE_CORRUPT: (errors.BackendRefused, "restore the file from a backup"),
}


class SqliteClient:
    """A database file that this process holds alone. Safe to share between threads; not across a fork."""

    def __init__(self, path: str | Path) -> None:
        self._path, self._lock = path, threading.Lock()
        with self._translated():
            # No waiting for locks, and no transactions but those that are begun here.
            self._db = sqlite3.connect(path, timeout=0, isolation_level=None, check_same_thread=False)
            self._begin = "BEGIN IMMEDIATE"
            try:
                self._db.create_function("score", 3, score, deterministic=True)
                self._prepare()
            except sqlite3.Error:
                self._db.close()
                raise

    def _prepare(self) -> None:
        try:
            self._db.executescript(SCHEMA)
        except sqlite3.OperationalError as error:
            # A file that may not be written can be searched, if it has its tables; writing to it fails then.
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_READONLY or not self._db.execute(READY).fetchone()[0]:
                raise
            self._begin = "BEGIN"

    @contextmanager
    def transaction(self, physical: str | None = None) -> Iterator[sqlite3.Connection]:
        """All or nothing; rolled back on any error. Raises `CollectionNotFound` where `physical` is not there."""
        with self._lock, self._translated(), self._db as db:
            db.execute(self._begin)
            if physical and not db.execute("SELECT 1 FROM collections WHERE physical = ?", (physical,)).fetchone():
                raise errors.CollectionNotFound(f"the SQLite file has no collection {physical!r}; run `nestvec apply`")
            yield db

    def close(self) -> None:
        """Release the file. Safe to call twice."""
        with self._lock:
            self._db.close()

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF  # drop the extended part
            kind, advice = _ERRORS.get(code, (errors.BackendRefused, "this request cannot succeed as it is"))
            raise kind(f"SQLite file {str(self._path)!r}: {error}; {advice}") from error
