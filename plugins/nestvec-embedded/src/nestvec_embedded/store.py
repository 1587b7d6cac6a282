"""One store: a folder with a file of SQLite's and files of vectors, or the same in memory.

This process holds a store alone. Each request is one transaction, on the disk when it is answered.
"""

from __future__ import annotations

import json
import re
import sqlite3
import threading
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import IO, Any, Final

from nestvec.contract import CollectionInfo, forbids_writing, shared_lock
from nestvec.errors import BackendFull, BackendRefused, CollectionNotFound
from nestvec.folders import check_tree
from nestvec_embedded import schema
from nestvec_embedded.errors import DAMAGED, damaged, translated
from nestvec_embedded.options import STORE_FILE, EmbeddedOptions
from nestvec_embedded.table import RecordTable
from nestvec_embedded.vectors import FileRows, MemoryRows, VectorRows, make_file, sync_folder

_LOCK: Final = ".lock"
_VECTORS: Final = re.compile(r"vectors-([0-9]{1,18})-[0-9]{1,4}\.f32")
#: What marks a folder of qdrant-client's engine, which was the default before.
_QDRANT: Final = "meta.json"
# The lock of the first transaction is kept until the connection closes. A schema that somebody prepared calls nothing.
_PRAGMAS: Final = (
    "PRAGMA locking_mode = EXCLUSIVE",
    "PRAGMA trusted_schema = OFF",
    "PRAGMA cell_size_check = ON",
    "PRAGMA temp_store = MEMORY",
    "PRAGMA cache_size = -32000",
)
_DURABLE: Final = (
    "PRAGMA journal_mode = WAL",
    "PRAGMA synchronous = FULL",
    "PRAGMA fullfsync = ON",
    "PRAGMA checkpoint_fullfsync = ON",
)


class Store:
    """What the adapter works on. Safe to share between threads; not across a fork. Raises `BackendError`s."""

    def __init__(self, options: EmbeddedOptions) -> None:
        self.place = options.place
        self._folder = options.folder
        self._guard = threading.RLock()
        self._tables: dict[str, RecordTable] = {}
        self._hindrance: OSError | None = None
        with ExitStack() as undo, translated(self.place):
            self._held = self._hold(undo)
            self._db = self._connect()
            undo.callback(self._db.close)
            self._prepare()
            undo.pop_all()

    # ------------------------------------------------------------ requests

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """Everything that is read within is of one state."""
        with self._guard, translated(self.place):
            yield self._db

    @contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """All or nothing, and on the disk at the end."""
        with self._guard, translated(self.place):
            if self._hindrance is not None:
                raise OSError(self._hindrance.errno, self._hindrance.strerror, self._hindrance.filename)
            try:
                with self._transaction() as db:
                    yield db
                for table in self._tables.values():
                    table.settle()
            except BaseException:
                for table in self._tables.values():
                    table.forget()
                raise

    def table(self, physical: str) -> RecordTable:
        """The records of a collection, within a request. Raises `CollectionNotFound`."""
        table = self._tables.get(physical)
        if table is None:
            number, info = self.known(physical)
            table = self._tables[physical] = RecordTable(
                self._db, number, info, self._rows(number, info), f"{self.place}"
            )
        table.load()
        return table

    def known(self, physical: str) -> tuple[int, CollectionInfo]:
        """A collection's number and description, within a request. Raises `CollectionNotFound`."""
        row = self._db.execute("SELECT number, about FROM collections WHERE physical = ?", (physical,)).fetchone()
        if row is None:
            raise CollectionNotFound(f"{self.place} has no collection {physical!r}; run `nestvec apply`")
        try:
            return row[0], _checked(CollectionInfo.from_dict(physical, json.loads(row[1])))
        except DAMAGED as error:
            raise damaged(self.place, f"the description of collection {physical!r} cannot be read") from error

    def make(self, info: CollectionInfo) -> None:
        """A new collection, within a request that writes."""
        about = (info.physical, json.dumps(info.to_dict()))
        number = self._db.execute("INSERT INTO collections (physical, about) VALUES (?, ?)", about).lastrowid
        assert number is not None  # noqa: S101 - a row was inserted
        for statement in schema.creation(number):
            self._db.execute(statement)
        if self._folder is not None:
            for path in self._paths(number, info):
                make_file(path)
            sync_folder(self._folder)

    def describe_anew(self, info: CollectionInfo) -> None:
        """Replace a collection's description, within a request that writes."""
        about = (json.dumps(info.to_dict()), info.physical)
        self._db.execute("UPDATE collections SET about = ? WHERE physical = ?", about)
        known = self._tables.get(info.physical)
        if known is not None:
            known.info = info

    def drop(self, physical: str) -> None:
        """Remove a collection, if it is there. Its files go when nothing speaks of them any more."""
        with self.writing() as db:
            row = db.execute("SELECT number FROM collections WHERE physical = ?", (physical,)).fetchone()
            if row is None:
                return
            self._let_go(self._tables.pop(physical, None))
            for statement in schema.removal(row[0]):
                db.execute(statement)
            db.execute("DELETE FROM collections WHERE number = ?", row)
        with self._guard, translated(self.place):
            self._sweep()

    def close(self) -> None:
        """Let the store go. Safe to call twice."""
        with self._guard, translated(self.place):
            for table in self._tables.values():
                self._let_go(table)
            self._tables.clear()
            self._db.close()
            _let_go_of(self._held)
            self._held = None

    # ------------------------------------------------------------ opening

    def _hold(self, undo: ExitStack) -> IO[str] | None:
        """The lock: of everybody else who writes, or, where nothing can be written, of those who do."""
        if self._folder is None:
            return None
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            check_tree(self._folder)
            self._check_foreign(self._folder)
            held = _exclusive_lock(self._folder / _LOCK)
        except OSError as error:
            if not forbids_writing(error) or not (self._folder / STORE_FILE).exists():
                raise
            self._hindrance = error
            held = shared_lock(self._folder / _LOCK)
        undo.callback(_let_go_of, held)
        return held

    def _check_foreign(self, folder: Path) -> None:
        if (folder / STORE_FILE).exists():
            return
        names = sorted(path.name for path in folder.iterdir() if path.name != _LOCK)
        if _QDRANT in names:
            raise BackendRefused(
                f'{self.place} cannot be made: the folder is one of Qdrant\'s engine. Open it with use = "qdrant", or '
                f"run `nestvec convert {folder} NEW_FOLDER` and open NEW_FOLDER here: nothing is embedded anew"
            )
        if names:
            raise BackendRefused(
                f"{self.place} cannot be made: the folder holds something else ({names[0]!r:.80}); choose an empty or "
                f"a new one"
            )

    def _connect(self) -> sqlite3.Connection:
        if self._folder is None:
            return _connection(":memory:")
        path = self._folder / STORE_FILE
        if self._hindrance is None:
            return _connection(str(path))
        if any(Path(f"{path}-{rest}").exists() for rest in ("wal", "journal")):
            raise BackendFull(
                f"{self.place} may not be written to, and whoever wrote it was interrupted: open it once where it may "
                f"be written ({self._hindrance})"
            )
        return _connection(f"{path.absolute().as_uri()}?mode=ro&immutable=1")

    def _prepare(self) -> None:
        for pragma in _PRAGMAS:
            self._db.execute(pragma)
        if self._hindrance is None:
            self._check_file()  # before anything is written to it
            if self._folder is not None:
                for pragma in _DURABLE:
                    self._db.execute(pragma)
            with self._transaction() as db:
                if not list(db.execute("SELECT 1 FROM sqlite_master")):
                    for statement in schema.SETUP:
                        db.execute(statement)
            self._db.execute("PRAGMA foreign_keys = ON")
            if self._folder is not None:
                sync_folder(self._folder)
        self._check_file(new=False)
        if self._hindrance is None:
            self._sweep()

    def _check_file(self, *, new: bool = True) -> None:
        """Raises `BackendRefused` for a file that is not as nestvec leaves it."""
        found = {str(sql) for (sql,) in self._db.execute("SELECT sql FROM sqlite_master WHERE sql IS NOT NULL")}
        found.discard("CREATE TABLE sqlite_sequence(name,seq)")
        if new and not found:
            return
        (layout,), (application,) = self._db.execute("PRAGMA user_version"), self._db.execute("PRAGMA application_id")
        if application[0] != schema.APPLICATION:
            raise damaged(self.place, f"{STORE_FILE} is another program's")
        if layout[0] > schema.LAYOUT:
            raise BackendRefused(f"{self.place} was written by a newer nestvec; upgrade nestvec-embedded")
        numbers = []
        if schema.expected([]) <= found:
            numbers = [number for (number,) in self._db.execute("SELECT number FROM collections")]
        if not all(isinstance(number, int) for number in numbers) or found != schema.expected(numbers):
            raise damaged(self.place, f"the tables in {STORE_FILE} are not those that nestvec makes")

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield self._db
            self._db.execute("COMMIT")
        except BaseException:
            if self._db.in_transaction:  # SQLite may have ended it itself
                self._db.execute("ROLLBACK")
            raise

    # ------------------------------------------------------------ files of vectors

    def _rows(self, number: int, info: CollectionInfo) -> dict[str, VectorRows]:
        if self._folder is None:
            return {name: MemoryRows(size) for name, size in info.vectors.items()}
        with ExitStack() as undo:
            rows: dict[str, VectorRows] = {}
            for (name, size), path in zip(info.vectors.items(), self._paths(number, info), strict=True):
                try:
                    rows[name] = FileRows(path, size, writable=self._hindrance is None)
                except FileNotFoundError as error:
                    raise damaged(self.place, f"collection {info.physical!r} lacks its file {path.name}") from error
                undo.callback(rows[name].close)
            undo.pop_all()
        return rows

    def _paths(self, number: int, info: CollectionInfo) -> list[Path]:
        assert self._folder is not None  # noqa: S101 - asked for folders only
        return [self._folder / f"vectors-{number}-{place}.f32" for place in range(len(info.vectors))]

    def _sweep(self) -> None:
        """Remove files of collections that are gone; they remain where a process died in between."""
        if self._folder is None:
            return
        numbers = {number for (number,) in self._db.execute("SELECT number FROM collections")}
        for path in list(self._folder.iterdir()):
            named = _VECTORS.fullmatch(path.name)
            if named and int(named[1]) not in numbers:
                path.unlink(missing_ok=True)

    def _let_go(self, table: RecordTable | None) -> None:
        for rows in table.rows.values() if table is not None else ():
            rows.close()


def _connection(name: str) -> sqlite3.Connection:
    # No waiting for locks, no transactions but those that are begun here, and the store's lock for its threads.
    return sqlite3.connect(name, timeout=0, isolation_level=None, check_same_thread=False, uri=name.startswith("file:"))


def _checked(info: CollectionInfo) -> CollectionInfo:
    sizes: Mapping[Any, Any] = info.vectors
    if not sizes or not all(isinstance(name, str) and type(size) is int and size > 0 for name, size in sizes.items()):
        raise ValueError("vectors of no size")
    return info


def _exclusive_lock(path: Path) -> IO[str] | None:
    """Raises `BlockingIOError` where another process holds it. None without such locks: SQLite has its own."""
    try:
        import fcntl
    except ImportError:  # Windows
        return None
    file = path.open("a")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BaseException:
        file.close()
        raise
    return file


def _let_go_of(held: IO[str] | None) -> None:
    """Explicitly, because a forked child has the same lock."""
    if held is None or held.closed:
        return
    with suppress(ImportError):
        import fcntl

        fcntl.flock(held, fcntl.LOCK_UN)
    held.close()
