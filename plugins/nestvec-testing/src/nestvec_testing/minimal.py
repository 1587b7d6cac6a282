"""The least that is a backend: ten methods over dictionaries, no optional power. What the core adds shows on it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from nestvec.capabilities import BackendCapabilities
from nestvec.contract import (
    Adapter,
    BackendPlugin,
    Batch,
    CollectionInfo,
    Count,
    Create,
    Describe,
    Drop,
    Fetch,
    Found,
    ListCollections,
    Query,
    Remove,
    Scroll,
    Write,
)
from nestvec.errors import BackendRefused, CollectionNotFound
from nestvec.filters import Filter, matches
from nestvec.hookspecs import hookimpl
from nestvec.options import Options
from nestvec.types import DENSE, Record
from nestvec_testing.scoring import scores

if TYPE_CHECKING:
    from nestvec.types import FloatArray

CAPABILITIES = BackendCapabilities(embedded=True, exact=True, stores_exact=True)


@dataclass(slots=True)
class _Table:
    info: CollectionInfo
    rows: dict[str, tuple[Record, FloatArray]] = field(default_factory=dict)


class MinimalOptions(Options):
    """There is nothing to choose."""


class MinimalAdapter(Adapter):
    """Records by id, in dictionaries. One lock makes it safe for threads."""

    def __init__(self, options: MinimalOptions | None = None) -> None:
        self._tables: dict[str, _Table] = {}
        self._lock = threading.Lock()

    def capabilities(self) -> BackendCapabilities:
        """The declared ones."""
        return CAPABILITIES

    def describe(self, request: Describe) -> CollectionInfo | None:
        """See `Adapter`."""
        found = self._tables.get(request.physical)
        return found.info if found else None

    def create(self, request: Create) -> None:
        """See `Adapter`."""
        info = CollectionInfo(request.physical, request.vectors, request.metric, request.record, request.fields)
        self._tables.setdefault(request.physical, _Table(info))

    def drop(self, request: Drop) -> None:
        """See `Adapter`."""
        self._tables.pop(request.physical, None)

    def list_collections(self, request: ListCollections) -> list[str]:
        """See `Adapter`."""
        return list(self._tables)

    def write(self, request: Write) -> None:
        """See `Adapter`."""
        table, rows = self._table(request.physical), request.vectors[DENSE]
        given = {name: matrix.shape[1] for name, matrix in request.vectors.items()}
        if given != dict(table.info.vectors):
            raise BackendRefused(
                f"collection {request.physical!r} takes vectors {dict(table.info.vectors)}, not {given}"
            )
        with self._lock:
            for record, row in zip(request.records, rows, strict=True):
                table.rows[record.id] = (record, row.copy())

    def remove(self, request: Remove) -> None:
        """See `Adapter`."""
        table = self._table(request.physical)
        with self._lock:
            for identity in request.ids:
                table.rows.pop(identity, None)

    def fetch(self, request: Fetch) -> Batch:
        """See `Adapter`."""
        table = self._table(request.physical)
        with self._lock:
            found = [table.rows[identity] for identity in request.ids if identity in table.rows]
        return _batch(table, found, vectors=request.vectors)

    def scroll(self, request: Scroll) -> Batch:
        """See `Adapter`. The cursor is the last id that was read: writes meanwhile move no page."""
        table, after = self._table(request.physical), str(request.cursor or "")
        found = sorted(self._matching(table, request.where), key=lambda row: row[0].id)
        rest = [row for row in found if row[0].id > after]
        page = rest[: request.limit]
        cursor = page[-1][0].id if len(rest) > len(page) else None
        return _batch(table, page, vectors=request.vectors, cursor=cursor)

    def count(self, request: Count) -> int:
        """See `Adapter`."""
        return len(self._matching(self._table(request.physical), request.where))

    def query(self, request: Query) -> list[list[Found]]:
        """See `Adapter`."""
        table = self._table(request.physical)
        rows = self._matching(table, request.where)
        matrix = _matrix(table, [vector for _, vector in rows])
        ranked = [scores(matrix, question, table.info.metric) for question in request.vectors[DENSE]]
        return [_best(request, [record for record, _ in rows], row) for row in ranked]

    def _table(self, physical: str) -> _Table:
        found = self._tables.get(physical)
        if found is None:
            raise CollectionNotFound(f"there is no collection {physical!r} in memory")
        return found

    def _matching(self, table: _Table, where: Filter | None) -> list[tuple[Record, FloatArray]]:
        with self._lock:
            rows = list(table.rows.values())
        return [row for row in rows if matches(where, row[0].metadata, _system(row[0]))]


def _system(record: Record) -> Mapping[str, object]:
    return {**record.system, "document_id": record.document_id}


def _matrix(table: _Table, vectors: list[FloatArray]) -> FloatArray:
    return np.stack(vectors) if vectors else np.zeros((0, table.info.vectors[DENSE]), np.float32)


def _batch(
    table: _Table, rows: Iterable[tuple[Record, FloatArray]], *, vectors: bool, cursor: str | None = None
) -> Batch:
    listed = list(rows)
    found = {DENSE: _matrix(table, [vector for _, vector in listed])} if vectors else None
    return Batch([record for record, _ in listed], found, cursor)


def _best(request: Query, records: list[Record], row: FloatArray) -> list[Found]:
    least = -np.inf if request.threshold is None else request.threshold
    order = [int(i) for i in np.argsort(-row, kind="stable") if row[i] >= least]
    return [Found(records[i], float(row[i])) for i in order[request.offset : request.offset + request.limit]]


@hookimpl
def nestvec_backend() -> BackendPlugin:
    """For tests, not installed: a backend for which the core does all that is optional."""
    opened: Callable[[MinimalOptions], Adapter] = MinimalAdapter
    return BackendPlugin(
        name="minimal",
        summary="In this process, with no optional power, for tests.",
        options=MinimalOptions,
        capabilities=lambda _: CAPABILITIES,
        open=opened,
        embedded=lambda _: {},
    )
