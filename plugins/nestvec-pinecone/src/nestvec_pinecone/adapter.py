"""What each request of the contract does on Pinecone."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from dataclasses import dataclass, field, replace
from functools import wraps
from typing import Any, Final, TypeVar

import numpy as np

from nestvec.capabilities import BackendCapabilities
from nestvec.contract import (
    Adapter,
    Adopt,
    Adoption,
    Aliases,
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
    ListCollections,
    ListTenants,
    Notes,
    Query,
    ReadNote,
    Remove,
    ResolveAlias,
    Scroll,
    SetAlias,
    Tenancy,
    Update,
    Updates,
    Write,
    WriteNote,
)
from nestvec.errors import BackendDenied, BackendRefused, CollectionNotFound
from nestvec.filters import Filter, matches
from nestvec.types import Record
from nestvec_pinecone import adopt, reserved, visibility
from nestvec_pinecone.catalog import CollectionRequest, IndexCatalog, PineconeCatalog
from nestvec_pinecone.client import PineconeClient
from nestvec_pinecone.errors import NoNamespace, PineconeUnreachable, cannot_filter
from nestvec_pinecone.filters import compile_filter, condition_of
from nestvec_pinecone.namespace_catalog import NamespaceCatalog
from nestvec_pinecone.options import MAX_TOP_K, PineconeOptions, capabilities
from nestvec_pinecone.records import batch_of, best, bodies, one_vector, possible_ids, record_of
from nestvec_pinecone.schema import IndexLocation
from nestvec_pinecone.tenants import (
    list_namespaces,
    namespace_sizes,
    plain_name,
    tenant_namespace,
    tenant_of,
    wait_until_listed,
)

T = TypeVar("T")
R = TypeVar("R", bound=CollectionRequest)

#: A reply to a question may have 4 MB and a record 40 KB: more hits than these come without content.
_HITS_WITH_CONTENT: Final = 100
#: Records that come with their vectors and texts in one page.
_PAGE: Final = 256
#: Ids in one page of a listing.
_LISTED: Final = 100


def _located(
    work: Callable[[PineconeAdapter, R, IndexLocation], Awaitable[T]],
) -> Callable[[PineconeAdapter, R], Coroutine[Any, Any, T]]:
    """Tell a method where its request's collection is; if a cached location is gone, look it up again, once."""

    @wraps(work)
    async def located(self: PineconeAdapter, request: R) -> T:
        cached = self._locations.get(request.physical)
        location = cached or await self._locate(request)
        try:
            return await work(self, request, self._readable(location))
        except (CollectionNotFound, PineconeUnreachable):
            if cached is None:
                raise
            self._forget(request.physical)
            again = await self._locate(request)
            if again == cached:
                raise
        return await work(self, request, self._readable(again))

    return located


@dataclass(repr=False)
class PineconeAdapter(Adapter, Aliases, Notes, Updates, Tenancy, Adoption):
    """Serverless indexes, or namespaces of one index.

    Over a blocking client it is safe for threads, but not across a fork; over the other one it is for one event loop.
    """

    client: PineconeClient
    catalog: PineconeCatalog
    #: The tenant that requests are about, and how to read a collection that somebody else made.
    tenant: str | None = None
    layout: ForeignLayout | None = None
    _locations: dict[str, IndexLocation] = field(default_factory=dict)
    #: Namespaces of tenants that are listed, by collection.
    _listed: dict[str, set[str]] = field(default_factory=dict)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.client.options.place}>"

    def of_tenant(self, tenant: str) -> PineconeAdapter:
        """Whose requests are about one namespace."""
        return replace(self, tenant=tenant)

    def reading(self, layout: ForeignLayout) -> PineconeAdapter:
        """For an index, or a namespace of it, that somebody else made."""
        return replace(self, layout=layout)

    async def capabilities(self) -> BackendCapabilities:
        """The declared ones; within one index, only its own metric."""
        declared, metric = capabilities(self.client.options), await self.catalog.only_metric()
        return declared if metric is None else replace(declared, metrics=frozenset({metric}))

    async def close(self) -> None:
        """Close all connections."""
        await self.client.close()

    # ------------------------------------------------------------ collections

    async def resolve_alias(self, request: ResolveAlias) -> str | None:
        return await self.catalog.resolve_alias(request)

    async def list_collections(self, request: ListCollections) -> list[str]:
        return await self.catalog.list_collections(request)

    async def describe(self, request: Describe) -> CollectionInfo | None:
        """Raises `CollectionConflict` for a namespace of somebody else's index that is not there."""
        if self.layout is not None:
            adopt.check_layout(self.layout)
        info = await self.catalog.describe(request, self.layout)
        if info is not None and self.layout is not None and adopt.namespace_of(self.layout):
            await self._check_namespace(request)
        return info

    async def create(self, request: Create) -> None:
        self._forget(request.physical)
        await self.catalog.create(request, tenants=False)

    async def create_extended(self, request: CreateExtended) -> None:
        self._forget(request.physical)
        await self.catalog.create(request, tenants=request.tenants)

    async def update(self, request: Update) -> None:
        await self.catalog.update(request)

    async def adopt(self, request: Adopt) -> None:
        adopt.check_layout(request.layout)
        await self.catalog.adopt(request)

    async def set_alias(self, request: SetAlias) -> None:
        await self.catalog.set_alias(request)

    async def drop_alias(self, request: DropAlias) -> None:
        await self.catalog.drop_alias(request)

    async def drop(self, request: Drop) -> None:
        self._forget(request.physical)
        await self.catalog.drop(request)
        self._forget(request.physical)

    async def write_note(self, request: WriteNote) -> None:
        """Keep a note where no collection has records; then wait until reads see it."""
        await PineconeAdapter._write_note(self._beside(request), request)

    async def read_note(self, request: ReadNote) -> str | None:
        """By its key."""
        return await PineconeAdapter._read_note(self._beside(request), request)

    def _beside(self, request: WriteNote | ReadNote) -> PineconeAdapter:
        """Notes are beside the whole, whoever made it: an index that somebody else made is located, too."""
        return self.reading(ForeignLayout(request.physical))

    @_located
    async def _write_note(self, request: WriteNote, location: IndexLocation) -> None:
        await reserved.write_note(self.client, request, location, request.name, request.text)

    @_located
    async def _read_note(self, request: ReadNote, location: IndexLocation) -> str | None:
        return await reserved.read_note(self.client, request, location, request.name)

    @_located
    async def list_tenants(self, request: ListTenants, location: IndexLocation) -> list[str]:
        """The names behind the collection's namespaces. A namespace stays when its records are gone."""
        names = list[str]()
        for namespace, records in await namespace_sizes(self.client, request, location) if location.tenants else ():
            tenant = tenant_of(namespace, location.prefix)
            # Pinecone's own number may lag behind: what it calls empty is counted.
            if tenant is not None and (records or await self._count(request, location, namespace, None)):
                names.append(tenant)
        return names

    # ---------------------------------------------------------------- records

    async def write(self, request: Write) -> None:
        """Upsert in order, one request after the other; then wait until reads see it."""
        if request.records:
            await self._write(request)

    @_located
    async def _write(self, request: Write, location: IndexLocation) -> None:
        namespace = self._namespace(location)
        parts = list(bodies(request, namespace))  # all are checked before the first is sent
        await visibility.write(self.client, request, location.host, location.dimension, namespace, parts)
        if self.tenant is not None and namespace not in self._listed.get(location.physical, ()):
            await wait_until_listed(self.client, request, location, namespace)
            self._listed.setdefault(location.physical, set()).add(namespace)

    @_located
    async def remove(self, request: Remove, location: IndexLocation) -> None:
        """Delete by id, in order; then wait until reads see it."""
        for namespace in await self._namespaces(request, location):
            await visibility.remove(self.client, request, location.host, location.dimension, namespace, request.ids)

    @_located
    async def fetch(self, request: Fetch, location: IndexLocation) -> Batch:
        """Read by id. Vectors and texts always come along: Pinecone cannot leave them out."""
        spaces, ids = await self._namespaces(request, location), possible_ids(request.ids)
        found = await self.client.fetch(request, location.host, [(space, key) for space in spaces for key in ids])
        return batch_of(found, location.dimension, self._record, vectors=request.vectors)

    @_located
    async def scroll(self, request: Scroll, location: IndexLocation) -> Batch:
        """Read a page; the cursor names a namespace and Pinecone's own token."""
        spaces = await self._namespaces(request, location)
        start = ((spaces or [""])[0], None)
        space, token = start if request.cursor is None else json.loads(str(request.cursor))
        limit = min(request.limit, _PAGE)
        found, following = await self._page(request, location, space, request.where, token, limit)
        later = [each for each in spaces if each > space]
        next_page = (space, following) if following else (later[0], None) if later else None
        cursor = None if next_page is None else json.dumps(next_page)
        return batch_of(found, location.dimension, self._record, vectors=request.vectors, cursor=cursor)

    @_located
    async def count(self, request: Count, location: IndexLocation) -> int:
        """Count exactly."""
        total = 0
        for space in await self._namespaces(request, location):
            total += await self._count(request, location, space, request.where)
        return total

    async def query(self, request: Query) -> list[list[Found]]:
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
        return await self._query(request)

    @_located
    async def _query(self, request: Query, location: IndexLocation) -> list[list[Found]]:
        ranked = await self._ranked(request, location)
        if request.offset + request.limit <= _HITS_WITH_CONTENT:
            return [
                [Found(self._record(match.id, match.metadata), score) for _, match, score in hits] for hits in ranked
            ]
        # Long lists came without content, which is read by id.
        wanted = list(dict.fromkeys((space, match.id) for hits in ranked for space, match, _ in hits))
        found = await self.client.fetch(request, location.host, wanted)
        records = {vector.id: self._record(vector.id, vector.metadata) for vector in found}
        return [[Found(records[match.id], score) for _, match, score in hits if match.id in records] for hits in ranked]

    async def _locate(self, request: CollectionRequest) -> IndexLocation:
        location = await self.catalog.locate(request, foreign=self.layout is not None)
        if self.catalog.lasting:
            self._locations[request.physical] = location
        return location

    def _readable(self, location: IndexLocation) -> IndexLocation:
        return location if self.layout is None else adopt.foreign_location(location, self.layout)

    def _forget(self, physical: str) -> None:
        self._locations.pop(physical, None)
        self._listed.pop(physical, None)

    def _namespace(self, location: IndexLocation) -> str:
        return location.default if self.tenant is None else tenant_namespace(self.tenant, location.prefix)

    async def _namespaces(self, request: object, location: IndexLocation) -> list[str]:
        """The namespaces that a request is about: a tenant's, or all of the collection's."""
        if self.tenant is not None or not location.tenants:
            return [self._namespace(location)]
        return await list_namespaces(self.client, request, location)

    @_located
    async def _check_namespace(self, request: CollectionRequest, location: IndexLocation) -> None:
        await adopt.check_namespace(self.client, request, location)

    def _record(self, key: str, metadata: Mapping[str, Any] | None) -> Record:
        """The record behind a vector: nestvec's own, or somebody else's as the layout says."""
        return record_of(key, metadata) if self.layout is None else adopt.read_record(key, metadata, self.layout)

    def _matches(self, where: Filter | None, vector: Any) -> bool:
        if self.layout is not None:
            return matches(where, adopt.comparable(vector.metadata or {}))
        record = record_of(vector.id, vector.metadata)
        return matches(where, record.metadata, {**record.system, "document_id": record.document_id})

    async def _page(
        self, request: object, location: IndexLocation, space: str, where: Filter | None, token: str | None, limit: int
    ) -> tuple[list[Any], str | None]:
        """Some of the SDK's vectors that match, and the token of the next page."""
        # Of somebody else's records there is no key that all of them have, to find them by.
        if self.client.options.scan or (self.layout is not None and where is None):
            return await self._scanned(request, location, space, where, token, limit)
        page = {"filter": condition_of(where), "namespace": space, "limit": limit, "pagination_token": token}
        try:
            reply = await self.client.call(request, location.host, "fetch_by_metadata", **page)
        except NoNamespace:
            return [], None
        except (BackendRefused, CollectionNotFound) as error:
            raise cannot_filter(error, self.client.options) from error.__cause__
        return list(reply.vectors.values()), reply.pagination.next if reply.pagination else None

    async def _scanned(
        self, request: object, location: IndexLocation, space: str, where: Filter | None, token: str | None, limit: int
    ) -> tuple[list[Any], str | None]:
        """The same by listing ids, fetching them, and looking at each."""
        page = {"namespace": space, "limit": min(limit, _LISTED), "pagination_token": token}
        try:
            reply = await self.client.call(request, location.host, "list_paginated", **page)
        except NoNamespace:
            return [], None
        found = await self.client.fetch(request, location.host, [(space, item.id) for item in reply.vectors])
        kept = [vector for vector in found if self._matches(where, vector)]
        return kept, reply.pagination.next if reply.pagination else None

    async def _count(self, request: object, location: IndexLocation, space: str, where: Filter | None) -> int:
        """By a dry run of an update, which changes nothing and tells how many records it would have changed."""
        if self.layout is not None and where is None:
            stats = await self.client.call(request, location.host, "describe_index_stats")
            return sum(each.vector_count for name, each in stats.namespaces.items() if plain_name(name) == space)
        if not self.client.options.scan:
            change = {"filter": condition_of(where), "namespace": space, "dry_run": True}
            try:
                reply = await self.client.call(request, location.host, "update", **change)
            except NoNamespace:
                return 0
            except CollectionNotFound as error:
                raise cannot_filter(error, self.client.options) from error.__cause__
            except (BackendRefused, BackendDenied):
                reply = None  # no dry runs on this server, or with a key that only reads: read what matches
            if reply is not None and reply.matched_records is not None:
                return int(reply.matched_records)
        total, token, more = 0, None, True
        while more:
            found, token = await self._page(request, location, space, where, token, _PAGE)
            total, more = total + len(found), token is not None
        return total

    async def _ranked(self, request: Query, location: IndexLocation) -> list[list[tuple[str, Any, float]]]:
        """For each question its hits as (namespace, match, score), best first."""
        rows = np.asarray(one_vector(request.vectors, request.physical), np.float32)
        top = request.offset + request.limit
        shared: dict[str, Any] = {"top_k": top, "include_metadata": top <= _HITS_WITH_CONTENT}
        if request.where is not None:
            shared["filter"] = compile_filter(request.where)
        spaces = await self._namespaces(request, location)
        if not spaces:
            return [[] for _ in rows]
        questions = [{**shared, "vector": row.tolist(), "namespace": space} for row in rows for space in spaces]
        replies = await self.client.together(request, location.host, "query", questions)
        answers = []
        for start in range(0, len(replies), len(spaces)):
            part = zip(spaces, replies[start : start + len(spaces)], strict=True)
            hits = [(space, match) for space, reply in part if reply is not None for match in reply.matches]
            answers.append(best(request, hits))
        return answers


def open_adapter(options: PineconeOptions, *, blocking: bool) -> PineconeAdapter:
    """An adapter whose methods never suspend, or one for an event loop. Raises `SecretError`."""
    client = PineconeClient(options, blocking=blocking)
    if options.index_host is None:
        return PineconeAdapter(client, IndexCatalog(client))
    return PineconeAdapter(client, NamespaceCatalog(client, options.index_host))
