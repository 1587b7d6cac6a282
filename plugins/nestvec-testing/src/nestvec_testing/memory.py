"""A backend in memory, in plain numpy: exact, small enough to be read, and the kit's point of comparison."""

from __future__ import annotations

import copy
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import permutations
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from nestvec.capabilities import BackendCapabilities, Power
from nestvec.contract import (
    Adapter,
    Adopt,
    BackendPlugin,
    Batch,
    CollectionInfo,
    Count,
    Create,
    CreateExtended,
    Describe,
    Drop,
    DropAlias,
    Fetch,
    ForeignLayout,
    Found,
    FullAdapter,
    ListCollections,
    ListTenants,
    Query,
    QueryStaged,
    ReadNote,
    Remove,
    ResolveAlias,
    Scroll,
    SetAlias,
    Settle,
    Stage,
    Update,
    Write,
    WriteNote,
    foreign_record,
    lookup,
)
from nestvec.encoding.quantised import approximated, kept
from nestvec.errors import BackendRefused, CollectionConflict, CollectionNotFound
from nestvec.filters import Filter, TextOp, matches
from nestvec.hookspecs import hookimpl
from nestvec.options import Options
from nestvec.types import DENSE, Metric, Record, Storage
from nestvec_testing.scoring import scores

if TYPE_CHECKING:
    from nestvec.types import FloatArray

#: Kinds of storage that turn into each other in place: they differ in the index, not in what is stored.
_INDEXES = ("float32", "int8", "binary")
CAPABILITIES = BackendCapabilities(
    powers=frozenset(Power),
    embedded=True,
    exact=True,
    stores_exact=True,
    max_vectors=None,
    storage=frozenset(Storage),
    storage_updates=frozenset(permutations(_INDEXES, 2)),
    text_filters=frozenset(TextOp),
)


@dataclass(slots=True)
class _Stored:
    record: Record
    vectors: dict[str, FloatArray]
    tenant: str | None


@dataclass(slots=True)
class _Collection:
    info: CollectionInfo
    points: dict[str, _Stored] = field(default_factory=dict)
    notes: dict[str, str] = field(default_factory=dict)


@dataclass(slots=True)
class _Store:
    collections: dict[str, _Collection] = field(default_factory=dict)
    aliases: dict[str, str] = field(default_factory=dict)
    lock: threading.RLock = field(default_factory=threading.RLock)


#: The stores that have a name; they last as long as the process.
_STORES: dict[str, _Store] = {}


class MemoryOptions(Options):
    """`store` names a store that every adapter of this process shares; without it each adapter has its own."""

    store: str | None = None


class MemoryAdapter(FullAdapter):
    """Keeps everything in dictionaries, and has every power. One lock makes it safe for threads."""

    def __init__(self, options: MemoryOptions | None = None) -> None:
        name = options.store if options is not None else None
        store = _Store() if name is None else _STORES.setdefault(name, _Store())
        self._collections, self._aliases, self._lock = store.collections, store.aliases, store.lock
        self._tenant: str | None = None
        self._layout: ForeignLayout | None = None

    def of_tenant(self, tenant: str) -> Self:
        """See `Tenancy`."""
        return self._view(_tenant=tenant)

    def reading(self, layout: ForeignLayout) -> Self:
        """See `Adoption`."""
        return self._view(_layout=layout)

    def _view(self, **changes: Any) -> Self:
        """The same store and state. What a test has put in place of a method is about the whole, and stays there."""
        view = copy.copy(self)
        view.__dict__ = {name: value for name, value in vars(self).items() if not hasattr(type(self), name)} | changes
        return view

    def capabilities(self) -> BackendCapabilities:
        """The declared ones: nothing depends on a server."""
        return CAPABILITIES

    def resolve_alias(self, request: ResolveAlias) -> str | None:
        """See `Aliases`."""
        return self._aliases.get(request.name)

    def describe(self, request: Describe) -> CollectionInfo | None:
        """See `Adapter`."""
        found = self._collections.get(request.physical)
        if found is None or self._layout is None:
            return found.info if found else None
        name = _vector(found.info, self._layout)
        others = tuple(f"vector {each!r}" for each in found.info.vectors if each != name)
        return replace(found.info, vectors={DENSE: found.info.vectors[name]}, fields=None, storage=None, unread=others)

    def list_collections(self, request: ListCollections) -> list[str]:
        """See `Adapter`."""
        return list(self._collections)

    def create(self, request: Create) -> None:
        """See `Adapter`."""
        storage = request.storage if isinstance(request, CreateExtended) else Storage.FLOAT32
        info = CollectionInfo(
            request.physical, request.vectors, request.metric, request.record, request.fields, storage
        )
        with self._lock:
            self._collections.setdefault(request.physical, _Collection(info))

    def create_extended(self, request: CreateExtended) -> None:
        """See `Tenancy`. Every collection can have tenants."""
        type(self).create(self, request)

    def update(self, request: Update) -> None:
        """See `Updates`."""
        found = self._collection(request.physical)
        storage = found.info.storage if request.storage is None else request.storage
        found.info = replace(found.info, record=request.record, fields=request.fields, storage=storage)

    def adopt(self, request: Adopt) -> None:
        """See `Adoption`."""
        found = self._collection(request.physical)
        found.info = replace(found.info, record=request.record)

    def set_alias(self, request: SetAlias) -> None:
        """See `Aliases`."""
        with self._lock:
            if request.name in self._collections:
                raise BackendRefused(f"alias {request.name!r} would hide a collection of that name")
            self._collection(request.physical)
            self._aliases[request.name] = request.physical

    def drop_alias(self, request: DropAlias) -> None:
        """See `Aliases`."""
        with self._lock:
            self._aliases.pop(request.name, None)

    def drop(self, request: Drop) -> None:
        """See `Adapter`."""
        with self._lock:
            self._collections.pop(request.physical, None)

    def write_note(self, request: WriteNote) -> None:
        """See `Notes`."""
        with self._lock:
            notes = self._collection(request.physical).notes
            notes.pop(request.name, None)
            if request.text is not None:
                notes[request.name] = request.text

    def read_note(self, request: ReadNote) -> str | None:
        """See `Notes`."""
        return self._collection(request.physical).notes.get(request.name)

    def write(self, request: Write) -> None:
        """See `Adapter`."""
        with self._lock:
            found = self._collection(request.physical)
            self._check(found.info, request.vectors)
            stored = {name: kept(rows, _storage(found.info)) for name, rows in request.vectors.items()}
            for row, record in enumerate(request.records):
                vectors = {name: rows[row].copy() for name, rows in stored.items()}
                found.points[record.id] = _Stored(record, vectors, self._tenant)

    def remove(self, request: Remove) -> None:
        """See `Adapter`."""
        with self._lock:
            found = self._collection(request.physical)
            for identity in request.ids:
                if self._mine(found.points.get(identity)):
                    del found.points[identity]

    def fetch(self, request: Fetch) -> Batch:
        """See `Adapter`."""
        with self._lock:
            points = self._collection(request.physical).points
            stored = [points[identity] for identity in request.ids if self._mine(points.get(identity))]
            return self._batch(request, stored)

    def scroll(self, request: Scroll) -> Batch:
        """See `Adapter`."""
        with self._lock:
            stored = self._matching(request)
        start = int(request.cursor or 0)
        end = start + request.limit
        batch = self._batch(request, stored[start:end])
        return replace(batch, cursor=end if end < len(stored) else None)

    def count(self, request: Count) -> int:
        """See `Adapter`."""
        with self._lock:
            return len(self._matching(request))

    def list_tenants(self, request: ListTenants) -> list[str]:
        """See `Tenancy`."""
        with self._lock:
            points = self._collection(request.physical).points
            return list({item.tenant for item in points.values() if item.tenant is not None})

    def query(self, request: Query) -> list[list[Found]]:
        """See `Adapter`."""
        with self._lock:
            info = self._collection(request.physical).info
            stored = self._matching(request)
        if self._layout is None:
            self._check(info, request.vectors)
        matrices = self._stack(info, stored)
        return [self._rank(request, stored, info, matrices, i) for i in range(len(request.vectors[DENSE]))]

    def query_staged(self, request: QueryStaged) -> list[list[Found]]:
        """See `Funnels` and `VectorStorage`."""
        return type(self).query(self, request)

    def settle(self, request: Settle) -> None:
        """See `Settling`. There is nothing to do."""
        self._collection(request.physical)

    def _rank(
        self,
        request: Query,
        stored: Sequence[_Stored],
        info: CollectionInfo,
        matrices: Mapping[str, FloatArray],
        question: int,
    ) -> list[Found]:
        """The answer to one question, step by step: the index answers first, then what is stored is compared."""
        chosen = np.arange(len(stored))
        ranked = np.zeros(0, np.float32)
        for number, step in enumerate(_steps(request, info)):
            matrix = matrices[step.vector][chosen]
            seen = matrix if number else approximated(matrix, _storage(info))
            ranked = scores(seen, request.vectors[step.vector][question], info.metric)
            order = np.argsort(-ranked, kind="stable")[: step.limit]
            chosen, ranked = chosen[order], ranked[order]
        least = -np.inf if request.threshold is None else request.threshold
        found = [(int(i), float(score)) for i, score in zip(chosen, ranked, strict=True)][request.offset :]
        return [Found(_seen(stored[i], self._layout), score) for i, score in found if score >= least]

    def _collection(self, physical: str) -> _Collection:
        try:
            return self._collections[physical]
        except KeyError as error:
            raise CollectionNotFound(f"there is no collection {physical!r} in memory") from error

    def _mine(self, item: _Stored | None) -> bool:
        return item is not None and (self._tenant is None or item.tenant == self._tenant)

    def _matching(self, request: Scroll | Count | Query) -> list[_Stored]:
        return [
            item
            for item in self._collection(request.physical).points.values()
            if self._mine(item) and _matches(request.where, item.record, self._layout)
        ]

    def _batch(self, request: Fetch | Scroll, stored: Sequence[_Stored]) -> Batch:
        info = self._collection(request.physical).info
        rows = self._stack(info, stored) if request.vectors else None
        return Batch([_seen(item, self._layout) for item in stored], rows)

    def _stack(self, info: CollectionInfo, stored: Sequence[_Stored]) -> dict[str, FloatArray]:
        """One matrix for each vector; of somebody else's collection the one that is meant."""
        rows = {
            name: np.stack([item.vectors[name] for item in stored]) if stored else np.zeros((0, size), np.float32)
            for name, size in info.vectors.items()
        }
        return rows if self._layout is None else {DENSE: rows[_vector(info, self._layout)]}

    def _check(self, info: CollectionInfo, vectors: Any) -> None:
        for name, rows in vectors.items():
            if rows.shape[1] != info.vectors.get(name):
                raise BackendRefused(
                    f"collection {info.physical!r} takes vectors of {dict(info.vectors)}, not {rows.shape[1]}"
                )


def make_foreign(
    adapter: MemoryAdapter, name: str, vectors: Mapping[str, FloatArray], payloads: Sequence[Mapping[str, Any]]
) -> None:
    """A collection that nestvec did not make: no record, payloads of any shape, ids `theirs-0`, `theirs-1`, …"""
    sizes = {each: rows.shape[1] for each, rows in vectors.items()}
    made = _Collection(CollectionInfo(name, sizes, Metric.COSINE, None))
    for i, payload in enumerate(payloads):
        key = f"theirs-{i}"
        rows = {each: matrix[i].copy() for each, matrix in vectors.items()}
        made.points[key] = _Stored(Record(key, key, None, dict(payload), {}), rows, None)
    adapter._collections[name] = made


def foreign_layout(
    adapter: MemoryAdapter, name: str, rows: FloatArray, payloads: Sequence[Mapping[str, Any]]
) -> ForeignLayout:
    """A foreign collection of the kit's payloads as they are; returns how to read it."""
    make_foreign(adapter, name, {"": rows}, payloads)
    fields = {field: field for field in ("lang", "year", "price", "open", "tags")}
    return ForeignLayout(name, id="key", text="body", fields=fields)


def _vector(info: CollectionInfo, foreign: ForeignLayout) -> str:
    """The name of the vector that is meant."""
    if foreign.vector in info.vectors:
        return str(foreign.vector)
    if foreign.vector is None and len(info.vectors) == 1:
        return next(iter(info.vectors))
    raise CollectionConflict(
        f"collection {info.physical!r} has the vectors {', '.join(map(repr, info.vectors))}; say with foreign.vector "
        f"which one to search"
    )


def _storage(info: CollectionInfo) -> Storage:
    return info.storage or Storage.FLOAT32


def _steps(request: Query, info: CollectionInfo) -> list[Stage]:
    """Rescoring is a step of its own, by the same vector."""
    stages, rescore = (request.stages, request.rescore) if isinstance(request, QueryStaged) else ((), None)
    first = (Stage(DENSE, rescore),) if rescore is not None and _storage(info).quantised else ()
    return [*(stages or first), Stage(DENSE, request.offset + request.limit)]


def _seen(item: _Stored, foreign: ForeignLayout | None) -> Record:
    """The record; of somebody else's, whose payload the metadata is, what the layout says."""
    if foreign is None:
        return item.record
    return foreign_record(item.record.id, item.record.metadata, foreign)


def _matches(where: Filter | None, record: Record, foreign: ForeignLayout | None) -> bool:
    if foreign is not None:
        payload = {
            path: lookup(record.metadata, path)
            for path in (*foreign.fields.values(), *([foreign.id] if foreign.id else []))
        }
        return where is None or matches(where, payload)
    system = {**record.system, "document_id": record.document_id}
    return where is None or matches(where, record.metadata, system)


@hookimpl
def nestvec_backend() -> BackendPlugin:
    """Registered by `nestvec_testing.registry`, not installed."""
    opened: Callable[[MemoryOptions], Adapter] = MemoryAdapter
    return BackendPlugin(
        name="memory",
        summary="In this process, in numpy, for tests.",
        options=MemoryOptions,
        capabilities=lambda _: CAPABILITIES,
        open=opened,
        embedded=lambda _: {},
    )
