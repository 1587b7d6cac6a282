"""Collections as namespaces of one index, for when there is no control plane.

A reserved namespace holds one record for each collection, for each of its notes, and for each alias. It is never
searched.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, ClassVar, Final
from urllib.parse import urlsplit

from nestvec.contract import (
    Adopt,
    CollectionInfo,
    Create,
    DropAlias,
    ForeignLayout,
    ListCollections,
    ResolveAlias,
    SetAlias,
    Update,
)
from nestvec.errors import BackendRefused, CollectionConflict, CollectionNotFound
from nestvec.types import DENSE, Metric
from nestvec_pinecone import visibility
from nestvec_pinecone.adopt import namespace_of
from nestvec_pinecone.catalog import CollectionRequest
from nestvec_pinecone.client import PineconeClient
from nestvec_pinecone.errors import NoNamespace
from nestvec_pinecone.records import one_vector
from nestvec_pinecone.reserved import ReservedRecords, forget_notes
from nestvec_pinecone.schema import METRIC_NAMES, IndexLocation, check_same, metric_of
from nestvec_pinecone.tenants import list_namespaces
from nestvec_pinecone.visibility import Written

#: No namespace of a collection is called so: theirs begin with an index name, a hyphen and a number.
RESERVED: Final = "nestvec_catalog"
_COLLECTION: Final = "collection:"
_ALIAS: Final = "pointer:"
#: The record of a namespace that somebody else made.
_ADOPTED: Final = "adopted:"
_PAGE: Final = 100


@dataclass(slots=True)
class NamespaceCatalog:
    """All collections in one index. Their vectors have the index's size and metric."""

    client: PineconeClient
    host: str
    _stats: Any = None

    # A collection that somebody else dropped leaves no error behind, just nothing: so it is looked up each time.
    lasting: ClassVar[bool] = False

    async def only_metric(self) -> Metric | None:
        """That of the index, if it says so."""
        stats = await self.stats(None)
        return None if stats.metric is None else metric_of(stats.metric, self.client.options.place)

    async def resolve_alias(self, request: ResolveAlias) -> str | None:
        """One record names the target: replacing it is the switch."""
        found = await self._read(request, _ALIAS + request.name)
        return None if found is None else str(found["physical"])

    async def list_collections(self, request: ListCollections) -> list[str]:
        """By listing the records of collections; and the index itself, of which namespaces can be adopted."""
        found = await self._reserved(request).keys(_COLLECTION)
        return [self.own_name, *(each.removeprefix(_COLLECTION) for each in found)]

    @property
    def own_name(self) -> str:
        """What the index is called. Its address begins with it; only the control plane knows it for certain."""
        parts = urlsplit(self.host)
        label = (parts.hostname or "").split(".")[0] if ".svc." in parts.netloc else parts.path.rpartition("/")[2]
        return label.rpartition("-")[0] or label or parts.netloc

    async def describe(self, request: CollectionRequest, foreign: ForeignLayout | None = None) -> CollectionInfo | None:
        """From the collection's record; of a foreign one, from what the index says of itself."""
        physical = request.physical
        if foreign is not None:
            return await self._describe_foreign(request, foreign) if physical == self.own_name else None
        found = await self._read(request, _COLLECTION + physical)
        if found is None:
            return None
        metric = metric_of(found["metric"], physical)
        return CollectionInfo(physical, {DENSE: int(found["dimension"])}, metric, json.loads(found["record"]))

    async def create(self, request: Create, *, tenants: bool) -> None:
        """Write the collection's record, if the index is of the right kind."""
        size, metric = one_vector(request.vectors, request.physical), METRIC_NAMES[request.metric]
        found = await self.describe(request)
        if found is not None:
            check_same(request, found)
            return
        stats = await self.stats(request)
        for what, has, wanted in (("dimensions", stats.dimension, size), ("metric", stats.metric, metric)):
            if has is not None and has != wanted:
                raise BackendRefused(
                    f"collection {request.physical!r} wants {what} {wanted}, but the index at {self.host} has {has}"
                    f"; use an index made for it, or leave index_host out and let nestvec make one"
                )
        values = {"dimension": size, "metric": metric, "tenants": tenants, "record": _packed(request.record)}
        await self._put(request, _COLLECTION + request.physical, values)

    async def update(self, request: Update) -> None:
        """Replace the record."""
        found = await self._collection(request)
        await self._put(request, _COLLECTION + request.physical, {**found, "record": _packed(request.record)})

    async def adopt(self, request: Adopt) -> None:
        """Keep the record of a namespace among nestvec's own."""
        location = await self.locate(request, foreign=True)
        key = _ADOPTED + namespace_of(request.layout)
        if request.record is not None:
            await self._put(request, key, {"record": _packed(request.record)})
        elif await self._read(request, key) is not None:
            await self._reserved(request).delete([key], location.dimension)

    async def set_alias(self, request: SetAlias) -> None:
        """Replace the alias's record."""
        await self._collection(request)
        hidden = await self._read(request, _COLLECTION + request.name)
        if hidden is not None:
            raise BackendRefused(f"alias {request.name!r} would hide a collection of that name; choose another name")
        await self._put(request, _ALIAS + request.name, {"physical": request.physical})

    async def drop_alias(self, request: DropAlias) -> None:
        """Delete the alias's record."""
        key = _ALIAS + request.name
        if await self._read(request, key) is not None:
            stats = await self.stats(request)
            await self._reserved(request).delete([key], int(stats.dimension))

    async def drop(self, request: CollectionRequest) -> None:
        """Empty the collection's namespaces, then forget it: broken off, it is still known and can be dropped again."""
        key = _COLLECTION + request.physical
        found = await self._read(request, key)
        if found is None:
            return
        location = self._location(request.physical, found)
        namespaces = await list_namespaces(self.client, request, location)
        for namespace in sorted({location.default, *namespaces}):
            await self._clear(request, namespace)
        await forget_notes(self.client, request, location)
        await self._reserved(request).delete([key], location.dimension)

    async def locate(self, request: CollectionRequest, *, foreign: bool = False) -> IndexLocation:
        """The collection's namespaces, or the index itself. Raises `CollectionNotFound`."""
        physical = request.physical
        if foreign and physical == self.own_name:
            stats = await self.stats(request)
            return IndexLocation(physical, self.host, int(stats.dimension), tenants=False, notes=RESERVED)
        return self._location(physical, await self._collection(request))

    async def stats(self, request: object) -> Any:
        """The index's description of itself, asked once."""
        if self._stats is None:
            self._stats = await self.client.call(request, self.host, "describe_index_stats")
        return self._stats

    async def _describe_foreign(self, request: CollectionRequest, foreign: ForeignLayout) -> CollectionInfo:
        physical, namespace = request.physical, namespace_of(foreign)
        if namespace == RESERVED or await self._read(request, _COLLECTION + namespace) is not None:
            raise CollectionConflict(
                f"namespace {namespace!r} of index {physical!r} is nestvec's own: leave adopt and foreign out"
            )
        stats = await self.stats(request)
        if stats.dimension is None or stats.metric is None:
            raise CollectionConflict(
                f"the index at {self.host} does not tell its dimensions and metric, so it cannot be checked; leave "
                f"index_host out, and the control plane is asked"
            )
        found = await self._read(request, _ADOPTED + namespace)
        record = None if found is None else json.loads(found["record"])
        return CollectionInfo(physical, {DENSE: int(stats.dimension)}, metric_of(stats.metric, physical), record)

    def _location(self, physical: str, found: Any) -> IndexLocation:
        tenants = bool(found["tenants"])
        return IndexLocation(physical, self.host, int(found["dimension"]), tenants, physical, f"{physical}_", RESERVED)

    async def _collection(self, request: CollectionRequest) -> Any:
        found = await self._read(request, _COLLECTION + request.physical)
        if found is None:
            raise CollectionNotFound(
                f"the index at {self.host} has no collection {request.physical!r}; create it with `nestvec apply` or "
                f"apply()"
            )
        return found

    def _reserved(self, request: object) -> ReservedRecords:
        return ReservedRecords(self.client, request, self.host, RESERVED)

    async def _read(self, request: object, key: str) -> Any:
        return await self._reserved(request).read(key)

    async def _put(self, request: object, key: str, values: dict[str, Any]) -> None:
        stats = await self.stats(request)
        await self._reserved(request).put(key, values, int(values.get("dimension") or stats.dimension))

    async def _clear(self, request: object, namespace: str) -> None:
        try:
            some = await self.client.call(request, self.host, "list_paginated", namespace=namespace, limit=_PAGE)
            lsn = await visibility.delete(self.client, request, self.host, namespace, deleteAll=True)
        except NoNamespace:
            return
        stats = await self.stats(request)
        written = Written(namespace, lsn, gone=[item.id for item in some.vectors])
        await visibility.settle(self.client, request, self.host, int(stats.dimension), written)


def _packed(record: Any) -> str:
    return json.dumps(dict(record), ensure_ascii=False, separators=(",", ":"))
