"""What the contract's requests about collections do on Milvus. See `nestvec_milvus.operations`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from nestvec.capabilities import BackendCapabilities
from nestvec.contract import (
    Adopt,
    CollectionInfo,
    Create,
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
from nestvec.errors import BackendRefused, CollectionNotFound
from nestvec.types import Storage
from nestvec_milvus import foreign, layout, schema
from nestvec_milvus.keeping import check_change, first_of, indexes_of, storage_of
from nestvec_milvus.loading import load
from nestvec_milvus.remembered import Remembered
from nestvec_milvus.wire import Call, Operation, Pause, call, pairs

#: How often a collection is taken out of memory again that a reader brought back before its index was dropped.
_TRIES = 40
_PAUSE = 0.05


@dataclass(slots=True)
class Catalogue(Remembered):
    """The operations on collections as a whole."""

    def capabilities(self) -> Operation[BackendCapabilities]:
        """The declared ones, refined by what the server says that it is. Asks anew each time."""
        self._server = None
        server = yield from self._known_server()
        return server.refine(self.declared)

    def resolve_alias(self, request: ResolveAlias) -> Operation[str | None]:
        """Look the alias up. A collection's own name is no pointer."""
        found = yield from self._described(request.name)
        return None if found is None or found.physical == request.name else found.physical

    def list_collections(self, _: ListCollections | None = None) -> Operation[list[str]]:
        """The names of all collections; aliases are not among them."""
        reply = yield call("ShowCollections")
        return list(reply.collection_names)

    def describe(self, request: Describe) -> Operation[CollectionInfo | None]:
        """Describe a collection by its own name: Milvus would follow an alias."""
        if request.foreign is not None:
            return (yield from self._describe_foreign(request.physical, request.foreign))
        found = yield from self._described(request.physical)
        if found is None or found.physical != request.physical:
            return None
        try:
            indexes = yield from self._indexes(request.physical)
        except CollectionNotFound:
            return None  # dropped meanwhile
        if self._columns.get(request.physical, found) != found:
            self._columns[request.physical] = found
        metric = found.metric or schema.metric_of(request.physical, found.vectors, indexes)
        storage = storage_of(found.vectors, found.half, indexes) if found.record is not None else None
        server = yield from self._known_server()
        # What nestvec does not offer on this server, as an index that was chosen by an option, is none of its storages.
        return found.info(metric, storage if storage in server.storage else None)

    def create(self, request: Create) -> Operation[None]:
        """Create a collection with its indexes, or complete one that was begun, and let it be loaded.

        The first read waits for the end of loading, which takes a server seconds even if there is nothing to load.
        """
        server = yield from self._known_server()
        schema.check_request(request, server)
        found = yield from self.describe(Describe(request.physical))
        if found is None:
            try:
                yield call("CreateCollection", **schema.creation(request, server))
            except BackendRefused:
                # Somebody else may have been quicker; if it is the same collection, all is well.
                found = yield from self.describe(Describe(request.physical))
                if found is None:
                    raise
        if found is not None:
            schema.check_same(request, found)
        present = {each.field_name for each in (yield from self._indexes(request.physical))}
        for column, parameters in schema.indexes(request, server).items():
            if column not in present:
                yield from self._index(request.physical, column, parameters)
        replicas = schema.options_of(request).replicas
        yield call("LoadCollection", collection_name=request.physical, replica_number=replicas)

    def update(self, request: Update) -> Operation[None]:
        """Replace the record. Columns can not be added: later fields are filtered on in the JSON metadata.

        Another storage is another index of what searches begin with. The record comes last: until then, an update that
        was interrupted is still to be made. Raises `Unsupported` where no index can bring the storage about.
        """
        if request.storage is not None:
            yield from self._rebuild(request.physical, request.storage)
        yield from self._keep(request)

    def adopt(self, request: Adopt) -> Operation[None]:
        """Keep the record in the collection's properties, beside those that it has; nothing else is altered."""
        yield from self._keep(request)

    def _keep(self, request: Update | Adopt) -> Operation[None]:
        properties = {layout.RECORD_PROPERTY: schema.record_property(request.record, request.physical)}
        if isinstance(request, Update) and request.storage is not None:
            properties[layout.CHANGING_PROPERTY] = ""
        yield self._altering(request.physical, properties)
        self._columns.pop(request.physical, None)

    def _rebuild(self, physical: str, storage: Storage) -> Operation[None]:
        """Give what searches begin with the index that the storage needs, and load the collection with it.

        Milvus alters indexes only of collections that are out of memory. Done again after an interruption, it goes on.
        """
        server = yield from self._known_server()
        reply = yield call("DescribeCollection", collection_name=physical)
        columns, options = schema.columns_of(reply), schema.options_kept(reply)
        check_change(physical, columns.half, storage, server)
        descriptions = yield from self._indexes(physical)
        first = first_of(columns.vectors)
        if storage_of(columns.vectors, columns.half, descriptions) is not storage:
            metric = columns.metric or schema.metric_of(physical, columns.vectors, descriptions)
            search = schema.search_parameters(columns.vectors, storage, options, server)
            yield self._altering(physical, {layout.SEARCH_PROPERTY: search, layout.CHANGING_PROPERTY: storage.value})
            for each in descriptions:
                if each.field_name == first:
                    yield from self._drop_index(physical, each)
            index = indexes_of(columns.vectors, storage, options, server)[first]
            yield from self._index(physical, first, schema.vector_index(index, metric, options))
        yield call("LoadCollection", collection_name=physical, replica_number=options.replicas)
        yield from load(self.place, physical, self.load_timeout)

    def _drop_index(self, physical: str, index: Any) -> Operation[None]:
        """Take the collection out of memory, and its index away, before a reader loads it again."""
        for last in (*[False] * _TRIES, True):
            yield call("ReleaseCollection", collection_name=physical)
            try:
                yield call(
                    "DropIndex", collection_name=physical, field_name=index.field_name, index_name=index.index_name
                )
            except BackendRefused as error:
                if last or "loaded" not in str(error):
                    raise
                yield Pause(_PAUSE)
            else:
                return

    def set_alias(self, request: SetAlias) -> Operation[None]:
        """Switch the alias, in one step for everybody."""
        current = yield from self.resolve_alias(ResolveAlias(request.name))
        if current == request.physical:
            return
        target = yield from self._described(request.physical)
        if target is None or target.physical != request.physical:
            raise self._missing(request.physical)
        method = "CreateAlias" if current is None else "AlterAlias"
        yield call(method, collection_name=request.physical, alias=request.name)

    def drop_alias(self, request: DropAlias) -> Operation[None]:
        """Delete the alias. It is looked up first: what there is of that name may be a collection, or nothing."""
        if (yield from self.resolve_alias(ResolveAlias(request.name))) is not None:
            yield call("DropAlias", alias=request.name)

    def drop(self, request: Drop) -> Operation[None]:
        """Delete a collection, and the aliases that lead to it: Milvus would keep it for their sake."""
        self._columns.pop(request.physical, None)
        try:
            reply = yield call("DescribeCollection", collection_name=request.physical)
            if reply.schema.name != request.physical:
                return  # an alias
            for alias in (yield from self._aliases(request.physical, reply)):
                yield call("DropAlias", alias=alias)
            yield call("DropCollection", collection_name=request.physical)
        except CollectionNotFound:
            return

    def write_note(self, request: WriteNote) -> Operation[None]:
        """Keep a note as a property of its own; others are left alone. Nothing that is remembered changes by it."""
        yield self._altering(request.physical, {layout.note_property(request.name): schema.note_value(request.text)})

    def read_note(self, request: ReadNote) -> Operation[str | None]:
        """Look it up among the properties."""
        reply = yield call("DescribeCollection", collection_name=request.physical)
        return schema.note_of(reply, request.name)

    def _describe_foreign(self, physical: str, how: ForeignLayout) -> Operation[CollectionInfo | None]:
        found = yield from self._described_foreign(physical, how)
        if found is None or found.physical != physical:
            return None
        self._columns[physical] = found
        return foreign.info(found)

    def _aliases(self, physical: str, described: Any) -> Operation[list[str]]:
        if described.aliases:
            return list(described.aliases)
        reply = yield call("ListAliases", collection_name=physical)
        return list(reply.aliases)

    def _altering(self, physical: str, properties: Mapping[str, Any]) -> Call:
        return call("AlterCollection", collection_name=physical, properties=pairs(properties))

    def _index(self, physical: str, column: str, parameters: Mapping[str, Any]) -> Operation[None]:
        yield call(
            "CreateIndex",
            collection_name=physical,
            field_name=column,
            index_name=column,
            extra_params=pairs(parameters),
        )
