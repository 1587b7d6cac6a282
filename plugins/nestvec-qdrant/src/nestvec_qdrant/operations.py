"""What each request of the contract does on Qdrant, decided once for every client.

Each operation is a generator: it yields the calls to make, as `Call`s, is sent their results or thrown
their errors, and returns the answer. Vendor errors are mapped before they are thrown.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias, TypeVar

import numpy as np
from qdrant_client import models

from nestvec.capabilities import BackendCapabilities
from nestvec.contract import (
    Adopt,
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
from nestvec.errors import BackendRefused, BackendUnavailable, CollectionNotFound, Unsupported
from nestvec.types import DENSE, Metric, Storage
from nestvec_qdrant import schema
from nestvec_qdrant.filters import compile_filter
from nestvec_qdrant.foreign import check_layout, described, meant, native_ids, selection
from nestvec_qdrant.keeping import changed, questions
from nestvec_qdrant.paths import RECORD, TENANT, check_fields, note_key
from nestvec_qdrant.records import ESSENTIAL, batch_of, of_tenant, record_of
from nestvec_qdrant.writes import chunked, grpc_batches, local_points, rest_bodies

T = TypeVar("T")
Transport: TypeAlias = Literal["local", "rest", "grpc"]

_IDS = 1000
_QUESTIONS = 64
_TENANTS = 1000
_NO_INDEX = "no appropriate index"


@dataclass(frozen=True, slots=True)
class Call:
    """A call of the client's method at a dotted path."""

    method: str
    arguments: Mapping[str, Any] = field(default_factory=dict)


Operation: TypeAlias = Generator[Call, Any, T]


def call(method: str, /, **arguments: Any) -> Call:
    """A call, in the shape that it has in Python."""
    return Call(method, arguments)


@dataclass(frozen=True, slots=True)
class Operations:
    """The operations, for one kind of client. `place` is what errors call the backend."""

    transport: Transport
    place: str
    declared: BackendCapabilities
    #: The names of the vectors that are read of others' collections. Each description renews them.
    _meant: dict[tuple[str, str | None], str] = field(default_factory=dict)

    @property
    def embedded(self) -> bool:
        """Whether the engine runs in this process."""
        return self.transport == "local"

    def capabilities(self) -> Operation[BackendCapabilities]:
        """The declared ones, if the server is recent enough."""
        yield from self._check_server()
        return self.declared

    # ------------------------------------------------------------ collections

    def resolve_alias(self, request: ResolveAlias) -> Operation[str | None]:
        """Look the alias up."""
        found = yield call("get_aliases")
        names = {alias.alias_name: alias.collection_name for alias in found.aliases}
        return names.get(request.name)

    def list_collections(self, _: ListCollections | None = None) -> Operation[list[str]]:
        """The names of all collections; aliases are not among them."""
        found = yield call("get_collections")
        return [collection.name for collection in found.collections]

    def describe(self, request: Describe) -> Operation[CollectionInfo | None]:
        """Describe a collection by its own name: Qdrant would follow an alias."""
        if request.foreign is not None:
            check_layout(request.foreign)
        names = yield from self.list_collections()
        if request.physical not in names:
            return None
        try:
            info = yield call("get_collection", collection_name=request.physical)
        except CollectionNotFound:
            return None  # dropped meanwhile
        if request.foreign is None:
            return schema.described(request.physical, info, embedded=self.embedded)
        name = meant(request.physical, info, request.foreign)
        self._meant[request.physical, request.foreign.vector] = name
        return described(request.physical, info, request.foreign, name, embedded=self.embedded)

    def create(self, request: Create) -> Operation[None]:
        """Create a collection with its indexes, or complete one that was begun."""
        check_fields(request.fields, request.physical)
        if self.embedded:
            schema.check_embedded(request)
        yield from self._check_server()
        found = yield from self.describe(Describe(request.physical))
        if found is None:
            try:
                yield Call("create_collection", schema.creation(request))
            except BackendRefused:
                # Somebody else may have been quicker; if it is the same collection, all is well.
                found = yield from self.describe(Describe(request.physical))
                if found is None:
                    raise
        if found is not None:
            schema.check_same(request, found)
        yield from self._index(request.physical, schema.indexes(request.fields, tenants=request.tenants))

    def update(self, request: Update) -> Operation[None]:
        """Replace the record, leaving other metadata of the collection alone, and add indexes."""
        check_fields(request.fields, request.physical)
        recording = self._recording(request)
        if request.storage is not None:
            self._check_storage(request.physical, request.storage)
            info = yield call("get_collection", collection_name=request.physical)
            recording = Call(
                recording.method, {**recording.arguments, "vectors_config": changed(info, request.storage)}
            )
        yield recording
        yield from self._index(request.physical, schema.indexes(request.fields, tenants=False))

    def _check_storage(self, physical: str, storage: Storage) -> None:
        if not any(now == storage for _, now in self.declared.storage_updates):
            raise Unsupported(
                f"collection {physical!r}: {self.place} can not change how it keeps vectors to {storage}; it has to be "
                f"built anew"
            )

    def adopt(self, request: Adopt) -> Operation[None]:
        """Keep the record in the collection's metadata. Raises `CollectionNotFound`, `Unsupported`."""
        check_layout(request.foreign)
        yield from self._check_server()
        yield self._recording(request)

    def _recording(self, request: Update | Adopt) -> Call:
        # Qdrant merges by top-level key: the record is replaced as a whole, other keys are left alone.
        record = {RECORD: dict(request.record)}
        return call("update_collection", collection_name=request.physical, metadata=record)

    def set_alias(self, request: SetAlias) -> Operation[None]:
        """Switch the alias: both actions are one request, which no reader sees half done."""
        current = yield from self.resolve_alias(ResolveAlias(request.name))
        if current == request.physical:
            return
        actions: list[models.AliasOperations] = []
        if current is not None:
            actions.append(_without_alias(request.name))
        target = models.CreateAlias(collection_name=request.physical, alias_name=request.name)
        actions.append(models.CreateAliasOperation(create_alias=target))
        yield call("update_collection_aliases", change_aliases_operations=actions)

    def drop_alias(self, request: DropAlias) -> Operation[None]:
        """Delete the alias. An engine may refuse one that is not there, so it is looked up first."""
        if (yield from self.resolve_alias(ResolveAlias(request.name))) is not None:
            yield call("update_collection_aliases", change_aliases_operations=[_without_alias(request.name)])

    def drop(self, request: Drop) -> Operation[None]:
        """Delete a collection."""
        yield call("delete_collection", collection_name=request.physical)

    def write_note(self, request: WriteNote) -> Operation[None]:
        """Keep a note under a key of its own in the collection's metadata; null removes a key."""
        note = {note_key(request.name): request.text}
        yield call("update_collection", collection_name=request.physical, metadata=note)

    def read_note(self, request: ReadNote) -> Operation[str | None]:
        """Look it up in the collection's metadata."""
        info = yield call("get_collection", collection_name=request.physical)
        return schema.note_at(info, request.name)

    def _check_server(self) -> Operation[None]:
        if not self.embedded:
            version = yield call("info")
            schema.check_version(version.version, self.place)

    def _index(self, physical: str, wanted: Mapping[str, Any]) -> Operation[None]:
        if self.embedded:
            return  # it searches without indexes
        info = yield call("get_collection", collection_name=physical)
        for path, index in schema.missing_indexes(wanted, info).items():
            yield call(
                "create_payload_index",
                collection_name=physical,
                field_name=path,
                field_schema=index,
                wait=True,
            )

    # ---------------------------------------------------------------- records

    def write(self, request: Write) -> Operation[None]:
        """Upsert in order, waiting until each part is applied."""
        if not request.records:
            return
        if self.transport == "rest":
            yield from self._write_json(request)
            return
        batches = [local_points(request)] if self.embedded else grpc_batches(request)
        for points in batches:
            done = yield call("upsert", collection_name=request.physical, points=points, wait=True)
            self._check_applied(request.physical, done.status)

    def _write_json(self, request: Write) -> Operation[None]:
        for body in rest_bodies(request):
            # The client's own connection, with its address, headers and errors; only the body is ours.
            reply = yield call(
                "http.client.request",
                type_=dict[str, Any],
                method="PUT",
                url="/collections/{name}/points",
                path_params={"name": request.physical},
                params={"wait": "true"},
                headers={"Content-Type": "application/json"},
                content=body,
            )
            self._check_applied(request.physical, (reply.get("result") or {}).get("status"))

    def _check_applied(self, physical: str, status: Any) -> None:
        if str(status) != models.UpdateStatus.COMPLETED.value:
            raise BackendUnavailable(
                f"{self.place} took a write to collection {physical!r} but did not confirm it (status {status}); it is "
                f"busy, try again"
            )

    def remove(self, request: Remove) -> Operation[None]:
        """Delete by id, in order."""
        for ids in chunked(request.ids, _IDS):
            selector = models.PointIdsList(points=list(ids))
            done = yield call("delete", collection_name=request.physical, points_selector=selector, wait=True)
            self._check_applied(request.physical, done.status)

    def fetch(self, request: Fetch) -> Operation[Batch]:
        """Read by id. The tenant is compared here: reading by id takes no filter."""
        name = yield from self._vector(request)
        points: list[models.Record] = []
        for ids in chunked(request.ids if request.foreign is None else native_ids(request.ids), _IDS):
            found = yield call(
                "retrieve",
                collection_name=request.physical,
                ids=list(ids),
                with_payload=_content(request),
                with_vectors=_vectors(request, name),
            )
            points.extend(of_tenant(found, request.tenant))
        return batch_of(points, vectors=request.vectors, foreign=request.foreign, name=name)

    def scroll(self, request: Scroll) -> Operation[Batch]:
        """Read a page; the cursor is the id of the next page's first point."""
        name = yield from self._vector(request)
        points, cursor = yield call(
            "scroll",
            collection_name=request.physical,
            scroll_filter=_matching(request, name),
            limit=request.limit,
            offset=request.cursor,
            with_payload=_content(request),
            with_vectors=_vectors(request, name),
        )
        # The client may parse an id to a UUID object; the contract has strings.
        following = cursor if cursor is None or isinstance(cursor, int) else str(cursor)
        return batch_of(points, vectors=request.vectors, cursor=following, foreign=request.foreign, name=name)

    def count(self, request: Count) -> Operation[int]:
        """Count exactly."""
        name = yield from self._vector(request)
        where = _matching(request, name)
        found = yield call("count", collection_name=request.physical, count_filter=where, exact=True)
        return int(found.count)

    def tenants(self, request: Tenants) -> Operation[list[str]]:
        """Ask for the different values, and for more of them until there are fewer than asked for."""
        if self.embedded:
            return (yield from self._read_tenants(request.physical))
        limit = _TENANTS
        while True:
            try:
                found = yield call("facet", collection_name=request.physical, key=TENANT, limit=limit, exact=True)
            except BackendRefused as error:
                if _NO_INDEX not in str(error).lower():
                    raise
                return (yield from self._read_tenants(request.physical))  # made without tenants, or half made
            if len(found.hits) < limit:
                return [str(hit.value) for hit in found.hits]
            limit *= 10

    def _read_tenants(self, physical: str) -> Operation[list[str]]:
        """By reading: an embedded store respells values that look like UUIDs when it is asked for different ones."""
        names, cursor, more = dict[str, None](), None, True
        while more:
            points, cursor = yield call(
                "scroll",
                collection_name=physical,
                limit=_TENANTS,
                offset=cursor,
                with_payload=[TENANT],
                with_vectors=False,
            )
            names |= dict.fromkeys(point.payload[TENANT] for point in points if TENANT in (point.payload or {}))
            more = cursor is not None
        return list(names)

    def query(self, request: Query) -> Operation[list[list[Found]]]:
        """Search with all questions, some at a time."""
        if request.limit < 1:
            return [[] for _ in request.vectors[DENSE]]
        name = yield from self._vector(request)
        where = compile_filter(request.where, request.tenant)
        payload = True if request.foreign is None else selection(request.foreign, content=True)
        asked = questions(request, name, where, _threshold(request), payload)
        answers: list[list[Found]] = []
        for part in chunked(asked, _QUESTIONS):
            replies = yield call("query_batch_points", collection_name=request.physical, requests=part)
            answers.extend(_ranked(request, reply.points) for reply in replies)
        return answers

    def _vector(self, request: Fetch | Scroll | Count | Query) -> Operation[str]:
        """The name of the vector that is read. Raises as `describe` does, and `CollectionNotFound`."""
        if request.foreign is None:
            return DENSE
        key = request.physical, request.foreign.vector
        if key not in self._meant and (yield from self.describe(Describe(request.physical, request.foreign))) is None:
            raise CollectionNotFound(f"{self.place} has no collection {request.physical!r}; is its name right?")
        return self._meant[key]


def _without_alias(name: str) -> models.DeleteAliasOperation:
    return models.DeleteAliasOperation(delete_alias=models.DeleteAlias(alias_name=name))


def _content(request: Fetch | Scroll) -> bool | list[str]:
    if request.foreign is not None:
        return selection(request.foreign, content=request.content)
    return True if request.content else ESSENTIAL


def _vectors(request: Fetch | Scroll, name: str) -> bool | list[str]:
    """Of somebody else's vectors only the one that is meant; an unnamed one can not be asked for by name."""
    return [name] if request.vectors and request.foreign is not None and name else request.vectors


def _matching(request: Scroll | Count, name: str) -> models.Filter | None:
    """The filter; of somebody else's points only those that have the vector: no search finds the others."""
    where = compile_filter(request.where, request.tenant)
    if request.foreign is None:
        return where
    there = models.HasVectorCondition(has_vector=name)
    return models.Filter(must=[there] if where is None else [there, where])


def _threshold(request: Query) -> float | None:
    """A little below what is asked for: Qdrant may leave out results that lie exactly on its threshold."""
    if request.threshold is None:
        return None
    lowest = float(np.nextafter(np.float32(request.threshold), np.float32(-np.inf)))
    # Under euclidean, Qdrant scores by distance, and the threshold is the greatest distance.
    return -lowest if request.metric is Metric.EUCLIDEAN else lowest


def _ranked(request: Query, points: list[models.ScoredPoint]) -> list[Found]:
    least = -np.inf if request.threshold is None else np.float32(request.threshold)
    found = [Found(record_of(point, request.foreign), _score(request.metric, point.score)) for point in points]
    return [hit for hit in found if np.float32(hit.score) >= least]


def _score(metric: Metric, score: float) -> float:
    return 0.0 - float(score) if metric is Metric.EUCLIDEAN else float(score)
