"""The adapter: one method for each request of nestvec's contract, which says what it does.

Statements are fixed text, and compiled filters. Values are bound by name: the request's fields, and a few more.
"""

import json
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np

from nestvec import contract
from nestvec.capabilities import BackendCapabilities
from nestvec.contract import CollectionInfo, Describe
from nestvec.errors import BackendRefused
from nestvec.types import DENSE
from nestvec_sqlite.client import SqliteClient
from nestvec_sqlite.filters import compile_filter
from nestvec_sqlite.options import CAPABILITIES
from nestvec_sqlite.records import RECORD, columns_of, from_json, record_of, to_json


@dataclass(frozen=True)
class SqliteAdapter(contract.Adapter, contract.Aliases, contract.Notes, contract.Updates, contract.Tenancy):
    """Collections in one SQLite file, seen by everybody or by one tenant."""

    client: SqliteClient
    tenant: str | None = None

    def capabilities(self) -> BackendCapabilities:
        return CAPABILITIES  # there is no server to ask

    def close(self) -> None:
        self.client.close()

    def describe(self, request: Describe) -> CollectionInfo | None:
        rows = self._run("SELECT about FROM collections WHERE physical = :physical", request)
        return CollectionInfo.from_dict(request.physical, from_json(rows[0][0])) if rows else None

    def create(self, request: contract.Create) -> None:
        made = CollectionInfo(request.physical, request.vectors, request.metric, request.record, request.fields)
        about = to_json(made.to_dict())
        self._run("INSERT INTO collections VALUES (:physical, :about) ON CONFLICT DO NOTHING", request, about=about)
        if self.describe(Describe(request.physical)) != CollectionInfo.from_dict(request.physical, from_json(about)):
            raise BackendRefused(f"collection {request.physical!r} exists and differs; choose another name")

    create_extended = create  # every collection is ready for tenants

    def list_collections(self, request: contract.ListCollections) -> list[str]:
        return [name for (name,) in self._run("SELECT physical FROM collections", request)]

    def update(self, request: contract.Update) -> None:
        fields = to_json({name: str(field) for name, field in request.fields.items()})
        sql = "UPDATE collections SET about = json_set(about, '$.fields', json(:fields), '$.record', json(:record))"
        self._run(f"{sql} WHERE physical = :physical", request, fields=fields, record=to_json(request.record))

    def drop(self, request: contract.Drop) -> None:
        self._run("DELETE FROM collections WHERE physical = :physical", request)  # and with it all that it has

    def resolve_alias(self, request: contract.ResolveAlias) -> str | None:
        rows = self._run("SELECT physical FROM pointers WHERE name = :name", request)
        return rows[0][0] if rows else None

    def set_alias(self, request: contract.SetAlias) -> None:
        if self.describe(Describe(request.name)):
            raise BackendRefused(f"alias {request.name!r} would hide the collection of that name")
        self._run("INSERT OR REPLACE INTO pointers VALUES (:name, :physical)", request)

    def drop_alias(self, request: contract.DropAlias) -> None:
        self._run("DELETE FROM pointers WHERE name = :name", request)

    def write_note(self, request: contract.WriteNote) -> None:
        removing = "DELETE FROM notes WHERE physical = :physical AND name = :name"
        keeping = "INSERT OR REPLACE INTO notes VALUES (:physical, :name, :text)"
        self._run(removing if request.text is None else keeping, request)

    def read_note(self, request: contract.ReadNote) -> str | None:
        rows = self._run("SELECT text FROM notes WHERE physical = :physical AND name = :name", request)
        return rows[0][0] if rows else None

    def write(self, request: contract.Write) -> None:
        sql = f"""INSERT INTO records (physical, tenant, vector, {RECORD}) VALUES (?, ?, ?, ?, ?, ?, ?)
            ON CONFLICT DO UPDATE SET (vector, text, metadata, system) =
            (excluded.vector, excluded.text, excluded.metadata, excluded.system)"""
        pairs = zip(request.records, self._vectors(request), strict=True)
        rows = [(request.physical, self.tenant or "", row.tobytes(), *columns_of(record)) for record, row in pairs]
        with self.client.transaction(request.physical) as db:
            db.executemany(sql, rows)

    def remove(self, request: contract.Remove) -> None:
        self._records("DELETE", request)

    def fetch(self, request: contract.Fetch) -> contract.Batch:
        return self._batch(request, self._records(f"SELECT seq, vector, {RECORD}", request))

    def scroll(self, request: contract.Scroll) -> contract.Batch:
        page = "AND seq > coalesce(:cursor, 0) ORDER BY seq LIMIT :limit + 1"  # one more shows whether others follow
        rows = self._records(f"SELECT seq, vector, {RECORD}", request, page)
        cursor = rows[-2][0] if len(rows) > request.limit else None
        return self._batch(request, rows[: request.limit], cursor)

    def count(self, request: contract.Count) -> int:
        return int(self._records("SELECT count(*)", request)[0][0])

    def query(self, request: contract.Query) -> list[list[contract.Found]]:
        scored = f"SELECT score(vector, :question, :metric) AS score, {RECORD}"
        best = "AND (:threshold IS NULL OR score >= :threshold) ORDER BY score DESC, seq LIMIT :limit OFFSET :offset"
        answers = [self._records(scored, request, best, question=row.tobytes()) for row in self._vectors(request)]
        return [[contract.Found(record_of(*record), score) for score, *record in rows] for rows in answers]

    def of_tenant(self, tenant: str) -> Self:
        return replace(self, tenant=tenant)

    def list_tenants(self, request: contract.ListTenants) -> list[str]:
        return [name for (name,) in self._records("SELECT DISTINCT tenant", request, "AND tenant <> ''")]

    def _records(self, verb: str, request: Any, rest: str = "", **values: Any) -> list[Any]:
        """The rows of a statement on the records that a request is about."""
        tenant = "" if self.tenant is None else "AND tenant = :tenant"
        ids = "AND id IN (SELECT value FROM json_each(:ids))" if hasattr(request, "ids") else ""
        values |= {"tenant": self.tenant, "ids": json.dumps(list(getattr(request, "ids", ())))}
        sql = f"{verb} FROM records WHERE physical = :physical {tenant} {ids} AND $where {rest}"
        return self._run(sql, request, **values)

    def _run(self, sql: str, request: Any, **more: Any) -> list[Any]:
        """The rows of a statement. The request's collection must be there, unless that is the question."""
        values = {name: getattr(request, name) for name in request.__dataclass_fields__} | more
        is_asking = isinstance(request, Describe | contract.Create | contract.Drop)
        with self.client.transaction(None if is_asking else values.get("physical")) as db:
            where = "TRUE" if values.get("where") is None else compile_filter(values["where"], db)
            return db.execute(sql.replace("$where", where), values).fetchall()

    def _vectors(self, request: contract.Write | contract.Query) -> Any:
        """The vectors of a request, as they are stored. Raises `BackendRefused` where the collection has other ones."""
        given = {name: rows.shape[1] for name, rows in request.vectors.items()}
        info = self.describe(Describe(request.physical))
        if info is not None and given != info.vectors:
            raise BackendRefused(f"collection {request.physical!r} takes vectors {info.vectors}, not {given}")
        return request.vectors[DENSE].astype("<f4")

    def _batch(self, request: Any, rows: list[Any], cursor: int | None = None) -> contract.Batch:
        info = self.describe(Describe(request.physical)) if request.vectors else None
        stored = np.frombuffer(bytearray().join(row[1] for row in rows), "<f4")
        vectors = {DENSE: stored.reshape(len(rows), info.vectors[DENSE])} if info else None
        return contract.Batch([record_of(*columns) for _, _, *columns in rows], vectors, cursor)
