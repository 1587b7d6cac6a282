"""What each request of the contract does on Pinecone, decided once for both clients.

Each operation is a generator: it yields steps, is sent their results or thrown their errors, and returns the
answer.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final, TypeVar

import numpy as np

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
    ForeignLayout,
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
from nestvec.errors import BackendDenied, BackendRefused, CollectionConflict, CollectionNotFound
from nestvec.filters import Filter, matches
from nestvec_pinecone import notes, polling
from nestvec_pinecone.calls import Call, Operation, Together, chunked, in_address
from nestvec_pinecone.errors import NoNamespace, Unreachable
from nestvec_pinecone.filters import EVERYTHING, compile_filter
from nestvec_pinecone.foreign import check_layout, comparable, namespace_of, possible
from nestvec_pinecone.indexes import IndexCatalog
from nestvec_pinecone.keys import plain_name, tenant_of
from nestvec_pinecone.namespaces import counted, listed
from nestvec_pinecone.options import PineconeOptions
from nestvec_pinecone.places import Catalog, Place, metric_of, one_vector
from nestvec_pinecone.plugin import MAX_IDS, MAX_TOP_K
from nestvec_pinecone.polling import Polling, Visibility, Written
from nestvec_pinecone.ranking import best
from nestvec_pinecone.records import batch_of, record_of
from nestvec_pinecone.shared import NamespaceCatalog
from nestvec_pinecone.writes import bodies

T = TypeVar("T")

#: A reply to a question may have 4 MB and a record 40 KB: more hits than these come without content.
_HITS_WITH_CONTENT: Final = 100
#: Records that come with their vectors and texts in one page.
_PAGE: Final = 256
#: Names in an error.
_SHOWN: Final = 20
#: Ids in one page of a listing.
_LISTED: Final = 100


@dataclass(slots=True)
class Operations:
    """The operations on one Pinecone. Safe for threads: what is remembered is replaced as a whole."""

    options: PineconeOptions
    declared: BackendCapabilities
    polling: Polling = field(default_factory=Polling)
    catalog: Catalog = field(init=False)
    visibility: Visibility = field(init=False)
    _places: dict[str, Place] = field(default_factory=dict)
    _namespaces: set[tuple[str, str]] = field(default_factory=set)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        options = self.options
        self.visibility = Visibility(self.polling, options.visible_timeout)
        if options.index_host is None:
            self.catalog = IndexCatalog(options, self.polling)
        else:
            self.catalog = NamespaceCatalog(options, self.visibility, options.index_host)

    def capabilities(self) -> Operation[BackendCapabilities]:
        """The declared ones; within one index, only its own metric."""
        if not isinstance(self.catalog, NamespaceCatalog):
            return self.declared
        stats = yield from self.catalog.stats()
        if stats.metric is None:
            return self.declared
        return replace(self.declared, metrics=frozenset({metric_of(stats.metric, self.options.place)}))

    # ------------------------------------------------------------ collections

    def resolve_alias(self, request: ResolveAlias) -> Operation[str | None]:
        """See `Catalog`."""
        return self.catalog.resolve_alias(request.name)

    def list_collections(self, _: ListCollections | None = None) -> Operation[list[str]]:
        """See `Catalog`."""
        return self.catalog.names()

    def describe(self, request: Describe) -> Operation[CollectionInfo | None]:
        """See `Catalog`. Raises `CollectionConflict` for a namespace of somebody else's index that is not there."""
        if request.foreign is not None:
            check_layout(request.foreign)
        info = yield from self.catalog.describe(request.physical, request.foreign)
        if info is not None and request.foreign is not None and namespace_of(request.foreign):
            yield from self._at(request.physical, self._check_namespace, request.foreign)
        return info

    def create(self, request: Create) -> Operation[None]:
        """See `Catalog`."""
        self._forget(request.physical)
        return self.catalog.create(request)

    def update(self, request: Update) -> Operation[None]:
        """See `Catalog`."""
        return self.catalog.update(request)

    def adopt(self, request: Adopt) -> Operation[None]:
        """See `Catalog`."""
        check_layout(request.foreign)
        return self.catalog.adopt(request)

    def set_alias(self, request: SetAlias) -> Operation[None]:
        """See `Catalog`."""
        return self.catalog.set_alias(request)

    def drop_alias(self, request: DropAlias) -> Operation[None]:
        """See `Catalog`."""
        return self.catalog.drop_alias(request.name)

    def drop(self, request: Drop) -> Operation[None]:
        """See `Catalog`."""
        self._forget(request.physical)
        yield from self.catalog.drop(request.physical)
        self._forget(request.physical)

    def write_note(self, request: WriteNote) -> Operation[None]:
        """Keep a note where no collection has records; then wait until reads see it."""
        return self._beside(request, lambda place: notes.write(place, self.visibility, request.name, request.text))

    def read_note(self, request: ReadNote) -> Operation[str | None]:
        """By its key."""
        return self._beside(request, lambda place: notes.read(place, self.visibility, request.name))

    def _beside(self, request: WriteNote | ReadNote, work: Callable[[Place], Operation[T]]) -> Operation[T]:
        # Notes are beside the whole, whoever made it: an index that somebody else made is a place, too.
        return self._at(request.physical, work, ForeignLayout(request.physical))

    # ---------------------------------------------------------------- records

    def write(self, request: Write) -> Operation[None]:
        """Upsert in order, one request after the other; then wait until reads see it."""
        if not request.records:
            return

        def work(place: Place) -> Operation[None]:
            namespace = place.namespace(request.tenant)
            lsn = None
            parts = list(bodies(request, namespace))  # all are checked before the first is sent
            for part in parts:
                lsn = yield from polling.upsert(place.host, part.content, part.count)
            yield from self._settle(place, Written(namespace, lsn, present=(parts[-1].last, parts[-1].stamp)))
            if request.tenant is not None:
                yield from self._announce(place, namespace)

        yield from self._at(request.physical, work)

    def remove(self, request: Remove) -> Operation[None]:
        """Delete by id, in order; then wait until reads see it."""

        def work(place: Place) -> Operation[None]:
            for namespace in (yield from self._spaces(place, request.tenant)):
                yield from self._remove(place, namespace, request.ids)

        yield from self._at(request.physical, work)

    def fetch(self, request: Fetch) -> Operation[Batch]:
        """Read by id. Vectors and texts always come along: Pinecone can not leave them out."""

        def work(place: Place) -> Operation[Batch]:
            spaces = yield from self._spaces(place, request.tenant)
            ids = list(possible(request.ids))
            found = yield from self._by_id(place, [(space, key) for space in spaces for key in ids])
            return batch_of(found, place.dimension, vectors=request.vectors, foreign=request.foreign)

        return (yield from self._at(request.physical, work, request.foreign))

    def scroll(self, request: Scroll) -> Operation[Batch]:
        """Read a page; the cursor names a namespace and Pinecone's own token."""

        def work(place: Place) -> Operation[Batch]:
            spaces = yield from self._spaces(place, request.tenant)
            start = ((spaces or [""])[0], None)
            space, token = start if request.cursor is None else json.loads(str(request.cursor))
            found, following = yield from self._page(place, space, request.where, token, min(request.limit, _PAGE))
            later = [each for each in spaces if each > space]
            next_page = (space, following) if following else (later[0], None) if later else None
            cursor = None if next_page is None else json.dumps(next_page)
            return batch_of(found, place.dimension, vectors=request.vectors, cursor=cursor, foreign=request.foreign)

        return (yield from self._at(request.physical, work, request.foreign))

    def count(self, request: Count) -> Operation[int]:
        """Count exactly."""

        def work(place: Place) -> Operation[int]:
            total = 0
            for space in (yield from self._spaces(place, request.tenant)):
                total += yield from self._count(place, space, request.where)
            return total

        return (yield from self._at(request.physical, work, request.foreign))

    def tenants(self, request: Tenants) -> Operation[list[str]]:
        """The names behind the collection's namespaces. A namespace stays when its records are gone."""

        def work(place: Place) -> Operation[list[str]]:
            names = list[str]()
            for namespace, records in (yield from counted(place, scan=self.options.scan)) if place.tenants else ():
                tenant = tenant_of(namespace, place.prefix)
                # Pinecone's own number may lag behind: what it calls empty is counted.
                if tenant is not None and (records or (yield from self._count(place, namespace, None))):
                    names.append(tenant)
            return names

        return (yield from self._at(request.physical, work))

    def query(self, request: Query) -> Operation[list[list[Found]]]:
        """Search with all questions, some at a time."""
        rows = one_vector(request.vectors, request.physical)
        if request.limit < 1:
            return [[] for _ in rows]
        top = request.offset + request.limit
        if top > MAX_TOP_K:
            raise BackendRefused(
                f"collection {request.physical!r}: Pinecone gives the best {MAX_TOP_K} hits, but offset + limit is "
                f"{top}; ask for fewer, or narrow the search with a filter"
            )

        def work(place: Place) -> Operation[list[list[Found]]]:
            spaces = yield from self._spaces(place, request.tenant)
            ranked = yield from self._ranked(place, spaces, request, rows, top)
            return (yield from self._with_content(place, ranked, top))

        return (yield from self._at(request.physical, work, request.foreign))

    # ------------------------------------------------------------ parts

    def _at(
        self, physical: str, work: Callable[[Place], Operation[T]], foreign: ForeignLayout | None = None
    ) -> Operation[T]:
        """Work at a collection's place; if the place that was remembered is gone, look it up again, once."""
        known = self._places.get(physical)
        place = known or (yield from self._locate(physical, foreign))
        try:
            return (yield from work(place.seen(foreign)))
        except (CollectionNotFound, Unreachable):
            if known is None:
                raise
            self._forget(physical)
            again = yield from self._locate(physical, foreign)
            if again == known:
                raise
        return (yield from work(again.seen(foreign)))

    def _locate(self, physical: str, foreign: ForeignLayout | None) -> Operation[Place]:
        place = yield from self.catalog.locate(physical, foreign)
        if self.catalog.lasting:
            with self._lock:
                self._places[physical] = place
        return place

    def _forget(self, physical: str) -> None:
        with self._lock:
            self._places.pop(physical, None)
            self._namespaces = {each for each in self._namespaces if each[0] != physical}

    def _spaces(self, place: Place, tenant: str | None) -> Operation[list[str]]:
        """The namespaces that a request is about: a tenant's, or all of the collection's."""
        if tenant is not None or not place.tenants:
            return [place.namespace(tenant)]
        return (yield from listed(place, scan=self.options.scan))

    def _check_namespace(self, place: Place) -> Operation[None]:
        if place.default in (yield from listed(replace(place, prefix=place.default), scan=self.options.scan)):
            return
        names = yield from listed(place, scan=self.options.scan)
        there = ", ".join(repr(name or "__default__") for name in names[:_SHOWN]) or "none"
        raise CollectionConflict(
            f"index {place.physical!r} has no namespace {place.default!r}; set foreign.namespace to one that it has "
            f"({there}), or leave it out for the default one"
        )

    def _settle(self, place: Place, written: Written) -> Operation[None]:
        yield from self.visibility.settle(place.host, place.dimension, written)

    def _announce(self, place: Place, namespace: str) -> Operation[None]:
        """Wait until a tenant's new namespace is listed, so that a count of all tenants finds it."""
        if (place.physical, namespace) in self._namespaces:
            return

        def check() -> Operation[bool]:
            names = yield from listed(place, scan=self.options.scan)
            return namespace in names

        seconds = self.options.visible_timeout
        yield from self.polling.until(check, seconds, lambda: self.visibility.late(namespace))
        with self._lock:
            self._namespaces = {*self._namespaces, (place.physical, namespace)}

    def _remove(self, place: Place, namespace: str, ids: Sequence[str]) -> Operation[None]:
        lsn = None
        try:
            for part in chunked(ids, MAX_IDS):
                lsn = yield from polling.delete(place.host, namespace, ids=list(part))
        except NoNamespace:
            return  # nothing was ever written there
        if ids:
            yield from self._settle(place, Written(namespace, lsn, gone=ids))

    def _by_id(self, place: Place, wanted: Sequence[tuple[str, str]]) -> Operation[list[Any]]:
        """The SDK's vectors for (namespace, id); missing ones are left out."""
        calls = [
            Call(place.host, "fetch", {"ids": list(part), "namespace": space})
            for space in dict.fromkeys(space for space, _ in wanted)
            for part in in_address([key for each, key in wanted if each == space])
        ]
        replies = yield Together(calls)
        return [vector for reply in replies if reply is not None for vector in reply.vectors.values()]

    # ------------------------------------------------------------ filtered reading

    def _page(
        self, place: Place, space: str, where: Filter | None, token: str | None, limit: int
    ) -> Operation[tuple[list[Any], str | None]]:
        """Some of the SDK's vectors that match, and the token of the next page."""
        # Of somebody else's records there is no key that all of them have, to find them by.
        if self.options.scan or (place.foreign is not None and where is None):
            return (yield from self._scanned(place, space, where, token, limit))
        arguments = {"filter": compile_filter(where) or EVERYTHING, "namespace": space, "limit": limit}
        try:
            reply = yield Call(place.host, "fetch_by_metadata", {**arguments, "pagination_token": token})
        except NoNamespace:
            return [], None
        return list(reply.vectors.values()), reply.pagination.next if reply.pagination else None

    def _scanned(
        self, place: Place, space: str, where: Filter | None, token: str | None, limit: int
    ) -> Operation[tuple[list[Any], str | None]]:
        """The same by listing ids, fetching them, and looking at each."""
        arguments = {"namespace": space, "limit": min(limit, _LISTED), "pagination_token": token}
        try:
            reply = yield Call(place.host, "list_paginated", arguments)
        except NoNamespace:
            return [], None
        found = yield from self._by_id(place, [(space, item.id) for item in reply.vectors])
        kept = [vector for vector in found if _matches(where, vector, place.foreign)]
        return kept, reply.pagination.next if reply.pagination else None

    def _count(self, place: Place, space: str, where: Filter | None) -> Operation[int]:
        """By a dry run of an update, which changes nothing and tells how many records it would have changed."""
        if place.foreign is not None and where is None:
            stats = yield Call(place.host, "describe_index_stats")
            return sum(each.vector_count for name, each in stats.namespaces.items() if plain_name(name) == space)
        if not self.options.scan:
            try:
                arguments = {"filter": compile_filter(where) or EVERYTHING, "namespace": space, "dry_run": True}
                reply = yield Call(place.host, "update", arguments)
            except NoNamespace:
                return 0
            except (BackendRefused, BackendDenied):
                reply = None  # no dry runs on this server, or with a key that only reads: read what matches
            if reply is not None and reply.matched_records is not None:
                return int(reply.matched_records)
        total, token, more = 0, None, True
        while more:
            found, token = yield from self._page(place, space, where, token, _PAGE)
            total, more = total + len(found), token is not None
        return total

    # ------------------------------------------------------------ searching

    def _ranked(
        self, place: Place, spaces: Sequence[str], request: Query, rows: Any, top: int
    ) -> Operation[list[list[tuple[str, Any, float]]]]:
        """For each question its hits as (namespace, match, score), best first."""
        shared: dict[str, Any] = {"top_k": top, "include_metadata": top <= _HITS_WITH_CONTENT}
        where = compile_filter(request.where)
        if where is not None:
            shared["filter"] = where
        calls = [
            Call(place.host, "query", {**shared, "vector": row.tolist(), "namespace": space})
            for row in np.asarray(rows, np.float32)
            for space in spaces
        ]
        replies = yield Together(calls)
        answers = []
        for start in range(0, len(calls), len(spaces) or 1):
            part = zip(spaces, replies[start : start + len(spaces)], strict=True)
            hits = [(space, match) for space, reply in part if reply is not None for match in reply.matches]
            answers.append(best(request, hits))
        return answers if spaces else [[] for _ in rows]

    def _with_content(
        self, place: Place, ranked: list[list[tuple[str, Any, float]]], top: int
    ) -> Operation[list[list[Found]]]:
        """Records for the hits; long lists came without content, which is read by id."""
        if top <= _HITS_WITH_CONTENT:
            return [
                [Found(record_of(match.id, match.metadata, place.foreign), score) for _, match, score in hits]
                for hits in ranked
            ]
        wanted = list(dict.fromkeys((space, match.id) for hits in ranked for space, match, _ in hits))
        found = yield from self._by_id(place, wanted)
        records = {vector.id: record_of(vector.id, vector.metadata, place.foreign) for vector in found}
        return [[Found(records[match.id], score) for _, match, score in hits if match.id in records] for hits in ranked]


def _matches(where: Filter | None, vector: Any, foreign: ForeignLayout | None) -> bool:
    if foreign is not None:
        return matches(where, comparable(vector.metadata or {}))
    record = record_of(vector.id, vector.metadata)
    return matches(where, record.metadata, {**record.system, "document_id": record.document_id})
