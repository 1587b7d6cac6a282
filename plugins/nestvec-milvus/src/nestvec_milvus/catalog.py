"""The contract's requests about collections as a whole, and what is cached of a server and its collections."""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from nestvec.capabilities import BackendCapabilities
from nestvec.contract import (
    Adopt,
    CollectionInfo,
    Create,
    CreateExtended,
    Describe,
    Drop,
    DropAlias,
    ForeignLayout,
    ListCollections,
    ReadNote,
    ResolveAlias,
    SetAlias,
    Update,
    WriteNote,
)
from nestvec.errors import BackendError, BackendRefused, BackendUnavailable, CollectionNotFound
from nestvec.masking import masked
from nestvec.types import Storage
from nestvec_milvus import creation, schema
from nestvec_milvus.adopt import ForeignColumns, foreign_columns, not_loaded
from nestvec_milvus.client import MilvusConnection, common, pairs
from nestvec_milvus.fresh import FreshRecords
from nestvec_milvus.options import MilvusOptions, capabilities
from nestvec_milvus.schema import Columns
from nestvec_milvus.server import ServerVersion
from nestvec_milvus.storage import check_change, first_of, indexes_of, search_parameters, storage_of, vector_index

#: Documented under this name: it tells how loading goes.
_LOG = logging.getLogger("nestvec_milvus.adapter")
#: How often a collection is taken out of memory again that a reader brought back before its index was dropped.
_TRIES = 40
_PAUSE = 0.05
#: Pauses while a collection is loaded, and seconds between two pieces of news.
_FIRST_PAUSE, _LONGEST_PAUSE = 0.02, 0.25
_NEWS = 1.0
_NO_INDEX = re.compile(r"no (vector )?index|index (not found|doesn.t exist)", re.IGNORECASE)
_INDEX_NOT_FOUND = "index not found"
_INVALID_NAME = "invalid collection name"


@dataclass(slots=True)
class DescriptionCache:
    """The server's version and the columns of collections, as last read. What turns out to be outdated is read again.

    Safe for threads: each entry is written in one step.
    """

    server: ServerVersion | None = None
    columns: dict[str, Columns] = field(default_factory=dict)
    fresh: dict[str, FreshRecords] = field(default_factory=dict)

    def fresh_in(self, physical: str) -> FreshRecords:
        """What was written to a collection here."""
        return self.fresh.setdefault(physical, FreshRecords())


@dataclass(frozen=True, eq=False, repr=False)
class MilvusCatalog:
    """The requests about collections. `tenant` and `layout` are those of a view, which shares client and cache."""

    client: MilvusConnection
    options: MilvusOptions
    tenant: str | None = None
    layout: ForeignLayout | None = None
    cache: DescriptionCache = field(default_factory=DescriptionCache)

    async def capabilities(self) -> BackendCapabilities:
        """The declared ones, refined by what the server says that it is. Asks anew each time."""
        self.cache.server = None
        server = await self._server(None)
        return server.refine(capabilities(self.options))

    async def resolve_alias(self, request: ResolveAlias) -> str | None:
        """Look the alias up. A collection's own name is none."""
        return await self._resolved(request, request.name)

    async def list_collections(self, request: ListCollections) -> list[str]:
        """The names of all collections; aliases are not among them."""
        reply = await self.client.call(request, "ShowCollections")
        return list(reply.collection_names)

    async def describe(self, request: Describe) -> CollectionInfo | None:
        """Describe a collection by its own name: Milvus would follow an alias."""
        if self.layout is None:
            return await self._describe(request, request.physical)
        found = await self._described_foreign(request, request.physical, self.layout)
        if found is None or found.physical != request.physical:
            return None
        self.cache.columns[request.physical] = found
        return found.info(found.metric, None)

    async def create(self, request: Create) -> None:
        """See `create_extended`."""
        if not isinstance(request, CreateExtended):
            plain = (request.physical, request.vectors, request.metric, request.fields, request.record)
            request = CreateExtended(*plain, options=request.options)
        await self.create_extended(request)

    async def create_extended(self, request: CreateExtended) -> None:
        """Create a collection with its indexes, or complete one that was begun, and let it be loaded.

        The first read waits for the end of loading, which takes a server seconds even if there is nothing to load.
        """
        with self.client.lock:
            server = await self._server(request)
            creation.check_request(request, server)
            await self._create_columns(request, server)
            present = {each.field_name for each in await self._indexes(request, request.physical)}
            for column, parameters in creation.indexes(request, server).items():
                if column not in present:
                    await self._create_index(request, request.physical, column, parameters)
            await self._begin_loading(request, request.physical, creation.options_of(request).replicas)

    async def _create_columns(self, request: CreateExtended, server: ServerVersion) -> None:
        found = await self._describe(request, request.physical)
        if found is None:
            try:
                await self.client.call(request, "CreateCollection", **creation.creation(request, server))
            except BackendRefused:
                # Somebody else may have been quicker; if it is the same collection, all is well.
                found = await self._describe(request, request.physical)
                if found is None:
                    raise
        if found is not None:
            creation.check_same(request, found)

    async def update(self, request: Update) -> None:
        """Replace the record. Columns cannot be added: later fields are filtered on in the JSON metadata.

        Another storage is another index of what searches begin with. The record comes last: until then, an update that
        was interrupted is still to be made. Raises `Unsupported` where no index can bring the storage about.
        """
        if request.storage is not None:
            await self._rebuild(request, request.physical, request.storage)
        done = {schema.CHANGING_PROPERTY: ""} if request.storage is not None else {}
        await self._write_record(request, done)

    async def adopt(self, request: Adopt) -> None:
        """Keep the record in the collection's properties, beside those that it has; nothing else is altered."""
        await self._write_record(request, {})

    async def _write_record(self, request: Update | Adopt, more: Mapping[str, str]) -> None:
        # A removed one is left empty: old servers cannot delete a property.
        text = "" if request.record is None else schema.record_property(request.record, request.physical)
        record = {schema.RECORD_PROPERTY: text}
        await self._alter(request, request.physical, {**record, **more})
        self.cache.columns.pop(request.physical, None)

    async def _rebuild(self, request: Update, physical: str, storage: Storage) -> None:
        """Give what searches begin with the index that the storage needs, and load the collection with it.

        Milvus alters indexes only of collections that are out of memory. Done again after an interruption, it goes on.
        """
        server = await self._server(request)
        reply = await self.client.call(request, "DescribeCollection", collection_name=physical)
        columns, options = schema.columns_of(reply), schema.options_kept(reply)
        check_change(physical, columns.half, storage, server)
        descriptions = await self._indexes(request, physical)
        first = first_of(columns.vectors)
        if storage_of(columns.vectors, columns.half, descriptions) is not storage:
            metric = columns.metric or schema.metric_of(physical, columns.vectors, descriptions)
            search = search_parameters(columns.vectors, storage, options, server)
            changing = {schema.SEARCH_PROPERTY: search, schema.CHANGING_PROPERTY: storage.value}
            await self._alter(request, physical, changing)
            for each in descriptions:
                if each.field_name == first:
                    await self._drop_index(request, physical, each)
            index = indexes_of(columns.vectors, storage, options, server)[first]
            parameters = vector_index(index, schema.METRICS[metric], options)
            await self._create_index(request, physical, first, parameters)
        await self._begin_loading(request, physical, options.replicas)
        await self._load(request, physical)

    async def _drop_index(self, request: Update, physical: str, index: Any) -> None:
        """Take the collection out of memory, and its index away, before a reader loads it again."""
        names = {"field_name": index.field_name, "index_name": index.index_name}
        for last in (*[False] * _TRIES, True):
            await self.client.call(request, "ReleaseCollection", collection_name=physical)
            try:
                await self.client.call(request, "DropIndex", collection_name=physical, **names)
            except BackendRefused as error:
                if last or "loaded" not in str(error):
                    raise
            else:
                return
            await self.client.sleep(_PAUSE)

    async def set_alias(self, request: SetAlias) -> None:
        """Switch the alias, in one step for everybody."""
        with self.client.lock:
            current = await self._resolved(request, request.name)
            if current == request.physical:
                return
            target = await self._described(request, request.physical)
            if target is None or target.physical != request.physical:
                raise self._missing(request.physical)
            method = "CreateAlias" if current is None else "AlterAlias"
            await self.client.call(request, method, collection_name=request.physical, alias=request.name)

    async def drop_alias(self, request: DropAlias) -> None:
        """Delete the alias. It is looked up first: what there is of that name may be a collection, or nothing."""
        with self.client.lock:
            if await self._resolved(request, request.name) is not None:
                await self.client.call(request, "DropAlias", alias=request.name)

    async def drop(self, request: Drop) -> None:
        """Delete a collection, and the aliases that lead to it: Milvus would keep it for their sake."""
        name = {"collection_name": request.physical}
        self.cache.columns.pop(request.physical, None)
        self.cache.fresh.pop(request.physical, None)
        with self.client.lock:
            try:
                described = await self.client.call(request, "DescribeCollection", **name)
                if described.schema.name != request.physical:
                    return  # an alias
                aliases = described.aliases or (await self.client.call(request, "ListAliases", **name)).aliases
                for alias in aliases:
                    await self.client.call(request, "DropAlias", alias=alias)
                await self.client.call(request, "DropCollection", **name)
            except CollectionNotFound:
                return

    async def write_note(self, request: WriteNote) -> None:
        """Keep a note as a property of its own; others are left alone. No description that is cached changes by it."""
        note = {schema.note_property(request.name): schema.note_value(request.text)}
        await self._alter(request, request.physical, note)

    async def read_note(self, request: ReadNote) -> str | None:
        """Look it up among the properties."""
        reply = await self.client.call(request, "DescribeCollection", collection_name=request.physical)
        return schema.note_of(reply, request.name)

    # ------------------------------------------------------------ what is there; `request` is for errors

    async def _server(self, request: object | None) -> ServerVersion:
        server = self.cache.server
        if server is None:
            reply = await self.client.call(request, "GetVersion")
            options = self.options
            server = ServerVersion.of(reply.version, self.client.place, cloud=options.cloud, stated=options.version)
            self.cache.server = server
        return server

    async def _columns(self, request: object, physical: str) -> Columns:
        """The columns as they are now. Raises `CollectionNotFound`."""
        self.cache.columns.pop(physical, None)
        found: Columns | None
        if self.layout is None:
            found = await self._described(request, physical)
        else:
            found = await self._described_foreign(request, physical, self.layout)
        if found is None or found.physical != physical:
            raise self._missing(physical)
        self.cache.columns[physical] = found
        return found

    async def _resolved(self, request: object, alias: str) -> str | None:
        found = await self._described(request, alias)
        return None if found is None or found.physical == alias else found.physical

    async def _describe(self, request: object, physical: str) -> CollectionInfo | None:
        found = await self._described(request, physical)
        if found is None or found.physical != physical:
            return None
        try:
            indexes = await self._indexes(request, physical)
        except CollectionNotFound:
            return None  # dropped meanwhile
        if self.cache.columns.get(physical, found) != found:
            self.cache.columns[physical] = found
        metric = found.metric or schema.metric_of(physical, found.vectors, indexes)
        storage = storage_of(found.vectors, found.half, indexes) if found.record is not None else None
        server = await self._server(request)
        # What nestvec does not offer on this server, as an index that was chosen by an option, is none of its storages.
        return found.info(metric, storage if storage in server.storage else None)

    async def _described(self, request: object, name: str) -> Columns | None:
        """The collection that a name or alias leads to."""
        try:
            reply = await self.client.call(request, "DescribeCollection", collection_name=name)
        except CollectionNotFound:
            return None
        return schema.columns_of(reply)

    async def _described_foreign(self, request: object, name: str, layout: ForeignLayout) -> ForeignColumns | None:
        try:
            reply = await self.client.call(request, "DescribeCollection", collection_name=name)
        except CollectionNotFound:
            return None
        except BackendRefused as error:
            if _INVALID_NAME not in str(error).lower():
                raise
            return None  # nothing can be called so
        return foreign_columns(reply, await self._indexes(request, name), layout)

    async def _indexes(self, request: object, physical: str) -> Any:
        try:
            reply = await self.client.call(request, "DescribeIndex", collection_name=physical)
        except BackendRefused as error:
            if _INDEX_NOT_FOUND not in str(error).lower() and "no index" not in str(error).lower():
                raise
            return []
        return reply.index_descriptions

    def _missing(self, physical: str) -> CollectionNotFound:
        return CollectionNotFound(
            f"{self.client.place} has no collection {physical!r}; create it with `nestvec apply` or apply()"
        )

    async def _alter(self, request: object, physical: str, properties: Mapping[str, Any]) -> None:
        await self.client.call(request, "AlterCollection", collection_name=physical, properties=pairs(properties))

    async def _create_index(self, request: object, physical: str, column: str, given: Mapping[str, Any]) -> None:
        names = {"collection_name": physical, "field_name": column, "index_name": column}
        await self.client.call(request, "CreateIndex", **names, extra_params=pairs(given))

    # ------------------------------------------------------------ on the way into memory: nothing else is searched

    async def _begin_loading(self, request: object, physical: str, replicas: int) -> None:
        await self.client.call(request, "LoadCollection", collection_name=physical, replica_number=replicas)

    async def _load(self, request: object, physical: str, changing: Storage | None = None) -> None:
        """Load a collection, and wait for it. Somebody else's must be on its way already, unless it is in this process.

        Raises `BackendUnavailable` after `load_timeout` seconds of waiting, or at once where an index is missing
        because the storage is `changing`; `BackendRefused` for a collection that cannot be loaded because it lacks an
        index for another reason, `CollectionConflict` for one that is not ours to load.
        """
        place, timeout = self.client.place, self.options.load_timeout
        waited, told, pause = 0.0, 0.0, _FIRST_PAUSE
        while not await self._is_loaded(request, physical, changing):
            if waited >= min(told + _NEWS, timeout):
                told, news = waited, await self._loading_news(request, physical)
                if waited >= timeout:
                    raise BackendUnavailable(
                        f"{place} did not load collection {physical!r} into memory within {timeout:g} seconds "
                        f"({news}); try again later, give the server more memory, or set a longer load_timeout"
                    )
                _LOG.info("%s is loading collection %r into memory: %s", place, physical, masked(str(news)))
            await self.client.sleep(pause)
            waited, pause = waited + pause, min(pause * 1.5, _LONGEST_PAUSE)

    async def _is_loaded(self, request: object, physical: str, changing: Storage | None) -> bool:
        """Whether it is; what is not even on its way is brought on it."""
        reply = await self.client.call(request, "GetLoadState", collection_name=physical)
        if reply.state not in (common.LoadState.LoadStateLoaded, common.LoadState.LoadStateLoading):
            if self.layout is not None and not self.client.embedded:
                raise not_loaded(physical, self.client.place)
            # Released, by somebody or by a restart. What is being loaded keeps its number of replicas.
            await self._load_again(request, physical, changing)
        return bool(reply.state == common.LoadState.LoadStateLoaded)

    async def _load_again(self, request: object, physical: str, changing: Storage | None) -> None:
        place = self.client.place
        try:
            await self._begin_loading(request, physical, replicas=1)
        except BackendRefused as error:
            if not _NO_INDEX.search(str(error)):
                raise
            if changing is not None:
                raise BackendUnavailable(
                    f"{place}: the index of collection {physical!r} is being replaced, as its storage becomes "
                    f"{changing}; try again. If that was interrupted, `nestvec apply` with this storage completes it"
                ) from error
            raise BackendRefused(
                f"{place} cannot load collection {physical!r} into memory: its vectors have no index. Its creation was "
                f"interrupted, or somebody dropped the index; create one on the server, or run `nestvec apply` if "
                f"the collection is not in use yet"
            ) from error

    async def _loading_news(self, request: object, physical: str) -> str:
        """How far loading has come, and which indexes it still waits for."""
        try:
            reply = await self.client.call(request, "GetLoadingProgress", collection_name=physical)
            parts = [f"{reply.progress} % loaded"]
        except BackendError as error:
            parts = [f"it says: {error}"]  # why it goes wrong on the server: too little memory, for example
        try:
            reply = await self.client.call(request, "DescribeIndex", collection_name=physical)
        except BackendError:
            return parts[0]  # without an index there is none to wait for
        for each in reply.index_descriptions:
            if each.state == common.IndexState.InProgress:
                built = f"{each.indexed_rows} of {each.total_rows} rows"
                parts.append(f"the index of {each.field_name!r} is being built, {built}")
            elif each.state == common.IndexState.Failed:
                parts.append(f"building the index of {each.field_name!r} failed: {each.index_state_fail_reason}")
        return "; ".join(parts)
