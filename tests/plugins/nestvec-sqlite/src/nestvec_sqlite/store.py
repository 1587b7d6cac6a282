"""One SQLite connection: its schema, its transactions, and its errors as nestvec's."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from nestvec.errors import BackendDenied, BackendError, BackendFull, BackendLocked, BackendRefused, BackendUnavailable
from nestvec_sqlite.where import instant

SCHEMA = (
    "CREATE TABLE IF NOT EXISTS collections (physical TEXT PRIMARY KEY, about TEXT NOT NULL)",
    """CREATE TABLE IF NOT EXISTS pointers (
        name TEXT PRIMARY KEY,
        physical TEXT NOT NULL REFERENCES collections ON DELETE CASCADE)""",
    # `seq` never changes while a record lives: it is the scroll's cursor and settles ties between equal scores.
    """CREATE TABLE IF NOT EXISTS records (
        seq INTEGER PRIMARY KEY,
        physical TEXT NOT NULL REFERENCES collections ON DELETE CASCADE,
        tenant TEXT NOT NULL,
        id TEXT NOT NULL,
        text TEXT,
        metadata TEXT NOT NULL,
        system TEXT NOT NULL,
        vector BLOB NOT NULL,
        UNIQUE (physical, tenant, id))""",
    """CREATE TABLE IF NOT EXISTS notes (
        physical TEXT NOT NULL REFERENCES collections ON DELETE CASCADE,
        name TEXT NOT NULL,
        text TEXT NOT NULL,
        PRIMARY KEY (physical, name))""",
)

#: SQLite's primary result codes, the error each becomes, and what to do about it.
_ERRORS: dict[int, tuple[type[BackendError], str]] = {
    sqlite3.SQLITE_BUSY: (BackendLocked, "close the other process that has the file open"),
    sqlite3.SQLITE_LOCKED: (BackendLocked, "close the other process that has the file open"),
    sqlite3.SQLITE_FULL: (BackendFull, "free some disk space"),
    sqlite3.SQLITE_READONLY: (BackendFull, "make the file and its folder writable"),
    sqlite3.SQLITE_IOERR: (BackendUnavailable, "check the disk"),
    sqlite3.SQLITE_PERM: (BackendDenied, "check the permissions of the file"),
    sqlite3.SQLITE_CANTOPEN: (BackendRefused, "check that the folder exists and may be written"),
    sqlite3.SQLITE_NOTADB: (BackendRefused, "choose another path; nothing was changed"),
    sqlite3.SQLITE_CORRUPT: (BackendRefused, "restore the file from a backup"),
}


class Store:
    """A database file that this process holds alone. Safe to share between threads; not across a fork."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.RLock()
        with self._translated():
            # No waiting for locks, and no implicit transactions: each is opened and ended below.
            self._connection = sqlite3.connect(path, timeout=0, isolation_level=None, check_same_thread=False)
        try:
            self._prepare()
        except BackendError:
            self.close()
            raise

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """All or nothing: committed at the end of the block, rolled back on any error."""
        with self._lock, self._translated():
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield self._connection
                self._connection.execute("COMMIT")
            finally:
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")

    def close(self) -> None:
        """Release the file. Safe to call twice."""
        with self._lock:
            self._connection.close()

    def _prepare(self) -> None:
        with self._translated():
            self._connection.create_function("instant", 1, instant, deterministic=True)
            self._connection.execute("PRAGMA foreign_keys = ON")
            # The lock of the first transaction is kept until the connection closes.
            self._connection.execute("PRAGMA locking_mode = EXCLUSIVE")
        with self.transaction() as connection:
            for statement in SCHEMA:
                connection.execute(statement)

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF  # drop the extended part
            kind, advice = _ERRORS.get(code, (BackendRefused, "this request can not succeed as it is"))
            raise kind(f"SQLite file {str(self._path)!r}: {error}; {advice}") from error
