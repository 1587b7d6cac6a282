"""What each request of the contract does on Qdrant, over a server's client or the engine in this process."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

from qdrant_client import models

from nestvec.contract import Adapter, Batch, CreateExtended, QueryStaged
from nestvec.contract.powers import Adoption, Aliases, Funnels, Notes, Tenancy, Updates, VectorStorage
from nestvec.errors import BackendRefused, BackendUnavailable, CollectionNotFound
from nestvec.types import DENSE
from nestvec_qdrant import rest, schema
from nestvec_qdrant.adopt import check_layout, foreign_info, native_ids, select_vector, selection
from nestvec_qdrant.client import open_client
from nestvec_qdrant.errors import UnexpectedReply, translate
from nestvec_qdrant.filters import TENANT, check_fields, compile_filter
from nestvec_qdrant.options import QdrantOptions, declared_capabilities
from nestvec_qdrant.records import (
    ESSENTIAL,
    batch_of,
    found_of,
    grpc_batches,
    local_points,
    of_tenant,
    query_requests,
    rest_bodies,
)
from nestvec_qdrant.storage import storage_change

if TYPE_CHECKING:
    from qdrant_client import AsyncQdrantClient

    from nestvec.capabilities import BackendCapabilities
    from nestvec.contract import (
        Adopt,
        BackendRequest,
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
        ListTenants,
        Query,
        ReadNote,
        Remove,
        ResolveAlias,
        Scroll,
        SetAlias,
        Update,
        VendorClient,
        Write,
        WriteNote,
    )

    Read: TypeAlias = Fetch | Scroll | Count | Query

T = TypeVar("T")
_IDS = 1000
_QUESTIONS = 64
_TENANTS = 1000
_NO_INDEX = "no appropriate index"


def open_adapter(options: QdrantOptions, *, blocking: bool) -> QdrantAdapter:
    """The adapter for these options. Raises what `open_client` raises."""
    return QdrantAdapter(open_client(options, blocking=blocking), options)


@dataclass(frozen=True, eq=False, repr=False)
class QdrantAdapter(Adapter, Aliases, Notes, Updates, Tenancy, Adoption, VectorStorage, Funnels):
    """Qdrant, through a client whose methods are awaited: the asynchronous one, or a blocking one that never suspends.

    Over a blocking client it is safe for threads; over the asynchronous one it belongs to an event loop. Not to be used
    across a fork. Views for a tenant or a foreign layout share the client.
    """

    client: VendorClient[AsyncQdrantClient]
    options: QdrantOptions
    #: Whose records it is about; None for those of all tenants.
    tenant: str | None = None
    #: How it reads collections that somebody else made; None for nestvec's own.
    layout: ForeignLayout | None = None
    #: The selected vectors of foreign collections, by collection and layout's vector. Each description renews them.
    _selected: dict[tuple[str, str | None], str] = field(default_factory=dict)

    def __repr__(self) -> str:
        return f"<QdrantAdapter {self.client.place}>"

    def of_tenant(self, tenant: str) -> QdrantAdapter:
        """A view for the tenant's records alone."""
        return replace(self, tenant=tenant)

    def reading(self, layout: ForeignLayout) -> QdrantAdapter:
        """A view that reads a foreign collection."""
        return replace(self, layout=layout)

    async def capabilities(self) -> BackendCapabilities:
        """The declared ones, if the server is recent enough."""
        await self._check_server(None)
        return declared_capabilities(self.options)

    async def close(self) -> None:
        """Close connections, and unlock the folder of an embedded store."""
        await self.client.close()

    def _calls(self, request: BackendRequest | None) -> AsyncQdrantClient:
        return self.client.on_behalf_of(request)

    # ------------------------------------------------------------ collections

    async def describe(self, request: Describe | Create | Read) -> CollectionInfo | None:
        """Describe a collection by its own name: Qdrant would follow an alias."""
        if self.layout is not None:
            check_layout(self.layout)
        if request.physical not in await self.list_collections(request):
            return None
        try:
            info = await self._calls(request).get_collection(collection_name=request.physical)
        except CollectionNotFound:
            return None  # dropped meanwhile
        if self.layout is None:
            return schema.collection_info(request.physical, info, embedded=self.client.embedded)
        vector = select_vector(request.physical, info, self.layout)
        self._selected[request.physical, self.layout.vector] = vector
        return foreign_info(request.physical, info, self.layout, vector, embedded=self.client.embedded)

    async def list_collections(self, request: ListCollections | Describe | Create | Read) -> list[str]:
        """The names of all collections; aliases are not among them."""
        found = await self._calls(request).get_collections()
        return [collection.name for collection in found.collections]

    async def create(self, request: Create) -> None:
        """Create a collection without tenants, of float32."""
        plain = (request.physical, request.vectors, request.metric, request.fields, request.record, request.options)
        await self.create_extended(CreateExtended(*plain))

    async def create_extended(self, request: CreateExtended) -> None:
        """Create a collection with its indexes, or complete one that was begun."""
        check_fields(request.fields, request.physical)
        if self.client.embedded:
            schema.check_embedded(request)
        await self._check_server(request)
        found = await self.describe(request)
        if found is None:
            try:
                await self._calls(request).create_collection(**schema.create_arguments(request))
            except BackendRefused:
                # Somebody else may have been quicker; if it is the same collection, all is well.
                found = await self.describe(request)
                if found is None:
                    raise
        if found is not None:
            schema.check_same(request, found)
        await self._index(request, schema.indexes(request.fields, tenants=request.tenants))

    async def update(self, request: Update) -> None:
        """Replace the record, leaving other metadata of the collection alone, and add indexes."""
        check_fields(request.fields, request.physical)
        vectors = None
        if request.storage is not None:
            updates = declared_capabilities(self.options).storage_updates
            schema.check_update(request.physical, request.storage, updates, self.client.place)
            info = await self._calls(request).get_collection(collection_name=request.physical)
            vectors = storage_change(info, request.storage)
        await self._set_record(request, vectors)
        await self._index(request, schema.indexes(request.fields, tenants=False))

    async def adopt(self, request: Adopt) -> None:
        """Keep the record in the collection's metadata; null removes it. Raises `CollectionNotFound`, `Unsupported`."""
        check_layout(request.layout)
        await self._check_server(request)
        await self._set_record(request)

    async def drop(self, request: Drop) -> None:
        """Delete a collection."""
        await self._calls(request).delete_collection(collection_name=request.physical)

    async def write_note(self, request: WriteNote) -> None:
        """Keep a note under a key of its own in the collection's metadata; null removes a key."""
        note = {schema.note_key(request.name): request.text}
        await self._calls(request).update_collection(collection_name=request.physical, metadata=note)

    async def read_note(self, request: ReadNote) -> str | None:
        """Look it up in the collection's metadata."""
        info = await self._calls(request).get_collection(collection_name=request.physical)
        return schema.note_at(info, request.name)

    async def resolve_alias(self, request: ResolveAlias | SetAlias | DropAlias) -> str | None:
        """Look the alias up."""
        found = await self._calls(request).get_aliases()
        names = {alias.alias_name: alias.collection_name for alias in found.aliases}
        return names.get(request.name)

    async def set_alias(self, request: SetAlias) -> None:
        """Switch the alias: both actions are one request, which no reader sees half done."""
        current = await self.resolve_alias(request)
        if current == request.physical:
            return
        actions = schema.alias_actions(request.name, current, request.physical)
        await self._calls(request).update_collection_aliases(change_aliases_operations=actions)

    async def drop_alias(self, request: DropAlias) -> None:
        """Delete the alias. An engine may refuse one that is not there, so it is looked up first."""
        current = await self.resolve_alias(request)
        if current is not None:
            actions = schema.alias_actions(request.name, current, None)
            await self._calls(request).update_collection_aliases(change_aliases_operations=actions)

    async def _set_record(self, request: Update | Adopt, vectors: Mapping[str, Any] | None = None) -> None:
        # Qdrant merges by top-level key: the record is replaced as a whole, other keys are left alone.
        metadata = {schema.RECORD: None if request.record is None else dict(request.record)}
        arguments: dict[str, Any] = {} if vectors is None else {"vectors_config": vectors}
        await self._calls(request).update_collection(collection_name=request.physical, metadata=metadata, **arguments)

    async def _index(self, request: CreateExtended | Update, wanted: Mapping[str, Any]) -> None:
        if self.client.embedded:
            return  # it searches without indexes
        info = await self._calls(request).get_collection(collection_name=request.physical)
        for path, index in schema.missing_indexes(wanted, info).items():
            await self._calls(request).create_payload_index(
                collection_name=request.physical, field_name=path, field_schema=index, wait=True
            )

    async def _check_server(self, request: BackendRequest | None) -> None:
        if not self.client.embedded:
            version = await self._calls(request).info()
            schema.check_version(version.version, self.client.place)

    # ---------------------------------------------------------------- records

    async def write(self, request: Write) -> None:
        """Upsert in order, waiting until each part is applied."""
        if not request.records:
            return
        if not (self.client.embedded or self.options.grpc):
            await self._write_json(request)
            return
        batches = [local_points(request, self.tenant)] if self.client.embedded else grpc_batches(request, self.tenant)
        for points in batches:
            done = await self._calls(request).upsert(collection_name=request.physical, points=points, wait=True)
            self._check_applied(request, done.status)

    async def _write_json(self, request: Write) -> None:
        for body in rest_bodies(request, self.tenant):
            # The client's own connection, with its address, headers and errors; only the body is ours.
            reply = await self.client.call(
                request,
                "http.client.request",
                type_=dict[str, Any],
                method="PUT",
                url="/collections/{name}/points",
                path_params={"name": request.physical},
                params={"wait": "true"},
                headers={"Content-Type": "application/json"},
                content=body,
            )
            self._check_applied(request, (reply.get("result") or {}).get("status"))

    def _check_applied(self, request: Write | Remove, status: str | None) -> None:
        if str(status) != models.UpdateStatus.COMPLETED.value:
            raise BackendUnavailable(
                f"{self.client.place} took a write to collection {request.physical!r} but did not confirm it (status "
                f"{status}); it is busy, try again"
            )

    async def remove(self, request: Remove) -> None:
        """Delete by id, in order. Ids are of one tenant, as the core makes them."""
        for ids in _parts(request.ids, _IDS):
            selector = models.PointIdsList(points=list(ids))
            done = await self._calls(request).delete(
                collection_name=request.physical, points_selector=selector, wait=True
            )
            self._check_applied(request, done.status)

    async def fetch(self, request: Fetch) -> Batch:
        """Read by id. The tenant is compared here: reading by id takes no filter."""
        if self._reads_json:
            return await self._fetch_json(request)
        vector = await self._vector(request)
        payload, vectors = self._payload(request.content), self._vectors(request.vectors, vector)
        points: list[models.Record] = []
        for ids in _parts(request.ids if self.layout is None else native_ids(request.ids), _IDS):
            points += await self._calls(request).retrieve(
                collection_name=request.physical, ids=list(ids), with_payload=payload, with_vectors=vectors
            )
        points = of_tenant(points, self.tenant)
        return batch_of(points, vectors=request.vectors, layout=self.layout, vector=vector, content=request.content)

    async def _fetch_json(self, request: Fetch) -> Batch:
        points: list[rest.Point] = []
        for ids in _parts(request.ids, _IDS):
            told = await rest.ask(
                self.client, request, "", rest.fetch_body(ids, self._payload(request.content), request.vectors)
            )
            points += self._understood(request, rest.points_of, told)
        return self._understood(request, partial(batch_of, vectors=request.vectors), of_tenant(points, self.tenant))

    async def scroll(self, request: Scroll) -> Batch:
        """Read a page; the cursor is the id of the next page's first point."""
        if self._reads_json:
            return await self._scroll_json(request)
        vector = await self._vector(request)
        points, cursor = await self._calls(request).scroll(
            collection_name=request.physical,
            scroll_filter=self._having(vector, request),
            limit=request.limit,
            offset=request.cursor,
            with_payload=self._payload(request.content),
            with_vectors=self._vectors(request.vectors, vector),
        )
        # The client may parse an id to a UUID object; the contract has strings.
        following = cursor if cursor is None or isinstance(cursor, int) else str(cursor)
        return batch_of(
            points,
            vectors=request.vectors,
            cursor=following,
            layout=self.layout,
            vector=vector,
            content=request.content,
        )

    async def _scroll_json(self, request: Scroll) -> Batch:
        where = rest.filter_json(request.where, self.tenant)
        payload = self._payload(request.content)
        body = rest.scroll_body(where, request.limit, request.cursor, payload, request.vectors)
        points, cursor = self._understood(request, rest.page_of, await rest.ask(self.client, request, "/scroll", body))
        return self._understood(request, partial(batch_of, vectors=request.vectors, cursor=cursor), points)

    async def count(self, request: Count) -> int:
        """Count exactly."""
        where = self._having(await self._vector(request), request)
        found = await self._calls(request).count(collection_name=request.physical, count_filter=where, exact=True)
        return int(found.count)

    async def query(self, request: Query) -> list[list[Found]]:
        """Search with all questions, some at a time."""
        if request.limit < 1:
            return [[] for _ in request.vectors[DENSE]]
        if self._reads_json and not isinstance(request, QueryStaged):
            return await self._query_json(request)
        vector = await self._vector(request)
        asked = query_requests(request, vector, self._where(request), self._payload(content=True))
        answers: list[list[Found]] = []
        for part in _parts(asked, _QUESTIONS):
            replies = await self._calls(request).query_batch_points(collection_name=request.physical, requests=part)
            answers += [found_of(request, reply.points, self.layout) for reply in replies]
        return answers

    async def _query_json(self, request: Query) -> list[list[Found]]:
        """One question is a request of its own; several go together, some at a time."""
        where = rest.filter_json(request.where, self.tenant)
        bodies = rest.query_bodies(request, DENSE, where, payload=True)
        if len(bodies) == 1:
            told = await rest.ask(self.client, request, "/query", bodies[0])
            return [found_of(request, self._understood(request, rest.answer_of, told))]
        answers: list[list[Found]] = []
        for part in _parts(bodies, _QUESTIONS):
            told = await rest.ask(self.client, request, "/query/batch", rest.batch_body(part))
            found = self._understood(request, rest.answers_of, told, len(part))
            answers += [found_of(request, points) for points in found]
        return answers

    async def query_staged(self, request: QueryStaged) -> list[list[Found]]:
        """The same: all its steps are in one request."""
        return await self.query(request)

    async def list_tenants(self, request: ListTenants) -> list[str]:
        """Ask for the different values, and for more of them until there are fewer than asked for."""
        if self.client.embedded:
            return await self._read_tenants(request)
        limit = _TENANTS
        while True:
            try:
                found = await self._calls(request).facet(
                    collection_name=request.physical, key=TENANT, limit=limit, exact=True
                )
            except BackendRefused as error:
                if _NO_INDEX not in str(error).lower():
                    raise
                return await self._read_tenants(request)  # made without tenants, or half made
            if len(found.hits) < limit:
                return [str(hit.value) for hit in found.hits]
            limit *= 10

    async def _read_tenants(self, request: ListTenants) -> list[str]:
        """By reading: an embedded store respells values that look like UUIDs when it is asked for different ones."""
        names, cursor, more = dict[str, None](), None, True
        while more:
            points, cursor = await self._calls(request).scroll(
                collection_name=request.physical, limit=_TENANTS, offset=cursor, with_payload=[TENANT]
            )
            payloads = [point.payload or {} for point in points]
            names |= dict.fromkeys(payload[TENANT] for payload in payloads if TENANT in payload)
            more = cursor is not None
        return list(names)

    @property
    def _reads_json(self) -> bool:
        """Whether requests are written, and replies read, without the client's models."""
        return self.layout is None and not (self.client.embedded or self.options.grpc)

    def _understood(self, request: Read, read: Callable[..., T], *told: Any) -> T:
        """What a reply says. Raises `BackendUnavailable` where it is not what the API says."""
        try:
            return read(*told)
        except (UnexpectedReply, TypeError, LookupError, ValueError) as error:
            odd = error if isinstance(error, UnexpectedReply) else UnexpectedReply(f"something else ({error})")
            raise translate(odd, self.client.context(request)) from error

    async def _vector(self, request: Read) -> str:
        """The name of the vector that is read. Raises as `describe` does, and `CollectionNotFound`."""
        if self.layout is None:
            return DENSE
        key = request.physical, self.layout.vector
        if key not in self._selected and await self.describe(request) is None:
            raise CollectionNotFound(f"{self.client.place} has no collection {request.physical!r}; is its name right?")
        return self._selected[key]

    def _payload(self, content: bool) -> bool | list[str]:
        """Which parts of the payload to ask for."""
        if self.layout is not None:
            return selection(self.layout, content=content)
        return True if content else ESSENTIAL

    def _vectors(self, wanted: bool, vector: str) -> bool | list[str]:
        """Of foreign vectors only the selected one; an unnamed one cannot be asked for by name."""
        return [vector] if wanted and self.layout is not None and vector else wanted

    def _where(self, request: Scroll | Count | Query) -> models.Filter | None:
        """The filter; None selects everything."""
        if request.where is None and self.tenant is None:
            return None
        return compile_filter(request.where, self.tenant)

    def _having(self, vector: str, request: Scroll | Count) -> models.Filter | None:
        """The filter; of foreign points only those that have the vector: no search finds the others."""
        where = self._where(request)
        if self.layout is None:
            return where
        there = models.HasVectorCondition(has_vector=vector)
        return models.Filter(must=[there] if where is None else [there, where])


def _parts(items: Sequence[Any], size: int) -> Iterator[Sequence[Any]]:
    """Runs of at most `size` items."""
    for start in range(0, len(items), size):
        yield items[start : start + size]
