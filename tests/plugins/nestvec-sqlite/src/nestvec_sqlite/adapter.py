"""The adapter: one method for each request of nestvec's contract.

The SQL below is put together from fixed text and `Where`s only; every value is a bound parameter.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nestvec.capabilities import BackendCapabilities
from nestvec.contract import (
    Adapter,
    Batch,
    CollectionInfo,
    Count,
    Create,
    Describe,
    Drop,
    DropAlias,
    Fetch,
    Found,
    ListCollections,
    Query,
    ReadNote,
    Remove,
    ResolveAlias,
    Scroll,
    SetAlias,
    Tenants,
    Update,
    Write,
    WriteNote,
)
from nestvec.errors import BackendRefused, CollectionNotFound
from nestvec_sqlite.plugin import CAPABILITIES
from nestvec_sqlite.ranking import best, scores
from nestvec_sqlite.rows import RECORD, about, info_of, matrix, record_of, rows_of
from nestvec_sqlite.store import Store
from nestvec_sqlite.where import Where, compile_filter, join

if TYPE_CHECKING:
    from nestvec.filters import Filter
    from nestvec.types import FloatArray


class SqliteAdapter(Adapter):
    """Collections in one SQLite file. Safe to share between threads, which take turns; not across a fork."""

    def __init__(self, path: Path) -> None:
        self._store = Store(path)

    def capabilities(self) -> BackendCapabilities:
        """The declared ones: there is no server to ask."""
        return CAPABILITIES

    def close(self) -> None:
        """Release the file. Safe to call twice."""
        self._store.close()

    # ------------------------------------------------------------ collections as a whole

    def resolve_alias(self, request: ResolveAlias) -> str | None:
        """See `Adapter`."""
        with self._store.transaction() as db:
            row = db.execute("SELECT physical FROM pointers WHERE name = ?", (request.name,)).fetchone()
        return row[0] if row else None

    def describe(self, request: Describe) -> CollectionInfo | None:
        """See `Adapter`."""
        with self._store.transaction() as db:
            return _find(db, request.physical)

    def list_collections(self, request: ListCollections) -> list[str]:
        """See `Adapter`."""
        with self._store.transaction() as db:
            return [name for (name,) in db.execute("SELECT physical FROM collections ORDER BY physical")]

    def create(self, request: Create) -> None:
        """See `Adapter`."""
        wanted = about(request)
        with self._store.transaction() as db:
            db.execute("INSERT INTO collections VALUES (?, ?) ON CONFLICT DO NOTHING", (request.physical, wanted))
            if _find(db, request.physical) != info_of(request.physical, wanted):
                raise BackendRefused(f"collection {request.physical!r} exists and differs; choose another name")

    def update(self, request: Update) -> None:
        """See `Adapter`."""
        with self._store.transaction() as db:
            info = _info(db, request.physical)
            changed = about(Create(info.physical, info.vectors, info.metric, request.fields, request.record))
            db.execute("UPDATE collections SET about = ? WHERE physical = ?", (changed, request.physical))

    def set_alias(self, request: SetAlias) -> None:
        """See `Adapter`."""
        with self._store.transaction() as db:
            _info(db, request.physical)
            if _find(db, request.name) is not None:
                raise BackendRefused(f"pointer {request.name!r} would hide the collection of that name")
            db.execute("INSERT OR REPLACE INTO pointers VALUES (?, ?)", (request.name, request.physical))

    def drop_alias(self, request: DropAlias) -> None:
        """See `Adapter`."""
        with self._store.transaction() as db:
            db.execute("DELETE FROM pointers WHERE name = ?", (request.name,))

    def drop(self, request: Drop) -> None:
        """See `Adapter`. Its records, notes and pointers go with it."""
        with self._store.transaction() as db:
            db.execute("DELETE FROM collections WHERE physical = ?", (request.physical,))

    def write_note(self, request: WriteNote) -> None:
        """See `Adapter`."""
        key = (request.physical, request.name)
        with self._store.transaction() as db:
            _info(db, request.physical)
            if request.text is None:
                db.execute("DELETE FROM notes WHERE physical = ? AND name = ?", key)
            else:
                db.execute("INSERT OR REPLACE INTO notes VALUES (?, ?, ?)", (*key, request.text))

    def read_note(self, request: ReadNote) -> str | None:
        """See `Adapter`."""
        key = (request.physical, request.name)
        with self._store.transaction() as db:
            _info(db, request.physical)
            row = db.execute("SELECT text FROM notes WHERE physical = ? AND name = ?", key).fetchone()
        return row[0] if row else None

    # ------------------------------------------------------------ records

    def write(self, request: Write) -> None:
        """See `Adapter`. One transaction, so all of the request or nothing becomes durable."""
        with self._store.transaction() as db:
            vectors = _vectors(_info(db, request.physical), request.vectors)
            db.executemany(
                "INSERT INTO records (physical, tenant, id, text, metadata, system, vector) "
                "VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET text = excluded.text, "
                "metadata = excluded.metadata, system = excluded.system, vector = excluded.vector",
                rows_of(request, vectors),
            )

    def remove(self, request: Remove) -> None:
        """See `Adapter`."""
        where = join("AND", [_scope(request.physical, request.tenant), _ids(request.ids)])
        with self._store.transaction() as db:
            _info(db, request.physical)
            db.execute(f"DELETE FROM records WHERE {where.sql}", where.parameters)

    def fetch(self, request: Fetch) -> Batch:
        """See `Adapter`."""
        where = join("AND", [_scope(request.physical, request.tenant), _ids(request.ids)])
        with self._store.transaction() as db:
            info = _info(db, request.physical)
            rows = _select(db, f"{RECORD}, vector", where)
        return _batch(info, rows, vectors=request.vectors)

    def scroll(self, request: Scroll) -> Batch:
        """See `Adapter`. The cursor is the `seq` of the last record read: writes meanwhile move no page."""
        after = Where("seq > ?", (int(request.cursor or 0),))
        where = join("AND", [_scope(request.physical, request.tenant, request.where), after])
        with self._store.transaction() as db:
            info = _info(db, request.physical)
            rows = _select(db, f"{RECORD}, vector, seq", where, limit=request.limit + 1)
        page = rows[: request.limit]
        return _batch(info, page, vectors=request.vectors, cursor=page[-1][-1] if len(rows) > len(page) else None)

    def count(self, request: Count) -> int:
        """See `Adapter`."""
        where = _scope(request.physical, request.tenant, request.where)
        with self._store.transaction() as db:
            _info(db, request.physical)
            ((number,),) = _select(db, "count(*)", where)
        return int(number)

    def tenants(self, request: Tenants) -> list[str]:
        """See `Adapter`. Records of nobody in particular have the empty name."""
        sql = "SELECT DISTINCT tenant FROM records WHERE physical = ? AND tenant <> ''"
        with self._store.transaction() as db:
            _info(db, request.physical)
            return [name for (name,) in db.execute(sql, (request.physical,))]

    def query(self, request: Query) -> list[list[Found]]:
        """See `Adapter`. Exhaustive: reads every vector that passes the filter, then the records of the best."""
        where = _scope(request.physical, request.tenant, request.where)
        with self._store.transaction() as db:
            info = _info(db, request.physical)
            questions = _vectors(info, request.vectors)
            rows = _select(db, "seq, vector", where)
            stored = matrix([blob for _, blob in rows], questions.shape[1])
            ranked = [scores(stored, question, info.metric) for question in questions]
            return [[Found(_record(db, rows[i][0]), float(row[i])) for i in best(row, request)] for row in ranked]


def _find(db: sqlite3.Connection, physical: str) -> CollectionInfo | None:
    row = db.execute("SELECT about FROM collections WHERE physical = ?", (physical,)).fetchone()
    return info_of(physical, row[0]) if row else None


def _info(db: sqlite3.Connection, physical: str) -> CollectionInfo:
    info = _find(db, physical)
    if info is None:
        raise CollectionNotFound(f"the SQLite file has no collection {physical!r}; create it with `nestvec apply`")
    return info


def _vectors(info: CollectionInfo, vectors: Mapping[str, FloatArray]) -> FloatArray:
    """The one matrix of a request, if its name and its dimensions are the collection's."""
    given = {name: rows.shape[1] for name, rows in vectors.items()}
    if given != info.vectors:
        raise BackendRefused(f"collection {info.physical!r} takes vectors {dict(info.vectors)}, not {given}")
    (rows,) = vectors.values()
    return rows


def _scope(physical: str, tenant: str | None, where: Filter | None = None) -> Where:
    """What every statement on records is restricted to. Without a tenant: the records of all of them."""
    parts = [Where("physical = ?", (physical,)), compile_filter(where)]
    return join("AND", parts if tenant is None else [*parts, Where("tenant = ?", (tenant,))])


def _ids(ids: Sequence[str]) -> Where:
    # One parameter for any number of ids: SQLite limits how many there may be.
    return Where("id IN (SELECT value FROM json_each(?))", (json.dumps(list(ids)),))


def _select(db: sqlite3.Connection, columns: str, where: Where, limit: int = -1) -> list[Any]:
    sql = f"SELECT {columns} FROM records WHERE {where.sql} ORDER BY seq LIMIT ?"
    return db.execute(sql, (*where.parameters, limit)).fetchall()


def _record(db: sqlite3.Connection, seq: int) -> Any:
    return record_of(*db.execute(f"SELECT {RECORD} FROM records WHERE seq = ?", (seq,)).fetchone())


def _batch(info: CollectionInfo, rows: Sequence[Any], *, vectors: bool, cursor: int | None = None) -> Batch:
    records = [record_of(*row[:4]) for row in rows]
    ((name, dimensions),) = info.vectors.items()
    found = {name: matrix([row[4] for row in rows], dimensions)} if vectors else None
    return Batch(records, found, cursor)
