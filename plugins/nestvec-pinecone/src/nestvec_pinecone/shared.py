"""Collections as namespaces of one index, for when there is no control plane.

A reserved namespace holds one record for each collection, for each of its notes, and for each pointer. It is never
searched.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, ClassVar, Final
from urllib.parse import urlsplit

from nestvec.contract import Adopt, CollectionInfo, Create, ForeignLayout, SetAlias, Update
from nestvec.errors import BackendRefused, CollectionConflict, CollectionNotFound
from nestvec.types import DENSE
from nestvec_pinecone import notes, polling
from nestvec_pinecone.calls import Call, Operation
from nestvec_pinecone.errors import NoNamespace
from nestvec_pinecone.foreign import namespace_of
from nestvec_pinecone.namespaces import listed
from nestvec_pinecone.options import PineconeOptions
from nestvec_pinecone.places import METRIC_NAMES, Place, check_same, metric_of, one_vector
from nestvec_pinecone.polling import Visibility, Written
from nestvec_pinecone.reserved import Reserved

#: No namespace of a collection is called so: theirs begin with an index name, a hyphen and a number.
RESERVED: Final = "nestvec_catalog"
_COLLECTION: Final = "collection:"
_POINTER: Final = "pointer:"
#: The record of a namespace that somebody else made.
_ADOPTED: Final = "adopted:"
_PAGE: Final = 100


@dataclass(slots=True)
class NamespaceCatalog:
    """All collections in one index. Their vectors have the index's size and metric."""

    options: PineconeOptions
    visibility: Visibility
    host: str
    _stats: Any = None

    # A collection that somebody else dropped leaves no error behind, just nothing: so it is looked up each time.
    lasting: ClassVar[bool] = False

    def resolve_alias(self, name: str) -> Operation[str | None]:
        """One record names the target: replacing it is the switch."""
        found = yield from self._read(_POINTER + name)
        return None if found is None else str(found["physical"])

    def names(self) -> Operation[list[str]]:
        """By listing the records of collections; and the index itself, of which namespaces can be adopted."""
        found = yield from self._reserved.keys(_COLLECTION)
        return [self.own_name, *(each.removeprefix(_COLLECTION) for each in found)]

    @property
    def own_name(self) -> str:
        """What the index is called. Its address begins with it; only the control plane knows it for certain."""
        parts = urlsplit(self.host)
        label = (parts.hostname or "").split(".")[0] if ".svc." in parts.netloc else parts.path.rpartition("/")[2]
        return label.rpartition("-")[0] or label or parts.netloc

    def describe(self, physical: str, foreign: ForeignLayout | None = None) -> Operation[CollectionInfo | None]:
        """From the collection's record; of a foreign one, from what the index says of itself."""
        if foreign is not None:
            return (yield from self._describe_theirs(physical, foreign)) if physical == self.own_name else None
        found = yield from self._read(_COLLECTION + physical)
        if found is None:
            return None
        metric = metric_of(found["metric"], physical)
        return CollectionInfo(physical, {DENSE: int(found["dimension"])}, metric, json.loads(found["record"]))

    def create(self, request: Create) -> Operation[None]:
        """Write the collection's record, if the index is of the right kind."""
        size, metric = one_vector(request.vectors, request.physical), METRIC_NAMES[request.metric]
        found = yield from self.describe(request.physical)
        if found is not None:
            check_same(request, found)
            return
        stats = yield from self.stats()
        for what, has, wanted in (("dimensions", stats.dimension, size), ("metric", stats.metric, metric)):
            if has is not None and has != wanted:
                raise BackendRefused(
                    f"collection {request.physical!r} wants {what} {wanted}, but the index at {self.host} has {has}"
                    f"; use an index made for it, or leave index_host out and let nestvec make one"
                )
        values = {"dimension": size, "metric": metric, "tenants": request.tenants, "record": _packed(request.record)}
        yield from self._put(_COLLECTION + request.physical, values)

    def update(self, request: Update) -> Operation[None]:
        """Replace the record."""
        found = yield from self._collection(request.physical)
        yield from self._put(_COLLECTION + request.physical, {**found, "record": _packed(request.record)})

    def adopt(self, request: Adopt) -> Operation[None]:
        """Keep the record of a namespace among nestvec's own."""
        yield from self.locate(request.physical, request.foreign)
        yield from self._put(_ADOPTED + namespace_of(request.foreign), {"record": _packed(request.record)})

    def set_alias(self, request: SetAlias) -> Operation[None]:
        """Replace the pointer's record."""
        yield from self._collection(request.physical)
        hidden = yield from self._read(_COLLECTION + request.name)
        if hidden is not None:
            raise BackendRefused(f"pointer {request.name!r} would hide a collection of that name; choose another name")
        yield from self._put(_POINTER + request.name, {"physical": request.physical})

    def drop_alias(self, name: str) -> Operation[None]:
        """Delete the pointer's record."""
        found = yield from self._read(_POINTER + name)
        if found is not None:
            stats = yield from self.stats()
            yield from self._reserved.delete([_POINTER + name], int(stats.dimension))

    def drop(self, physical: str) -> Operation[None]:
        """Empty the collection's namespaces, then forget it: broken off, it is still known and can be dropped again."""
        found = yield from self._read(_COLLECTION + physical)
        if found is None:
            return
        place = self._place(physical, found)
        namespaces = yield from listed(place, scan=self.options.scan)
        for namespace in sorted({place.default, *namespaces}):
            yield from self._clear(namespace)
        yield from notes.forget(place, self.visibility)
        yield from self._reserved.delete([_COLLECTION + physical], place.dimension)

    def locate(self, physical: str, foreign: ForeignLayout | None = None) -> Operation[Place]:
        """The collection's namespaces. Raises `CollectionNotFound`."""
        if foreign is not None and physical == self.own_name:
            stats = yield from self.stats()
            return Place(physical, self.host, int(stats.dimension), tenants=False, notes=RESERVED)
        found = yield from self._collection(physical)
        return self._place(physical, found)

    def stats(self) -> Operation[Any]:
        """The index's description of itself, asked once."""
        if self._stats is None:
            self._stats = yield Call(self.host, "describe_index_stats")
        return self._stats

    def _describe_theirs(self, physical: str, foreign: ForeignLayout) -> Operation[CollectionInfo]:
        namespace = namespace_of(foreign)
        if namespace == RESERVED or (yield from self._read(_COLLECTION + namespace)) is not None:
            raise CollectionConflict(
                f"namespace {namespace!r} of index {physical!r} is nestvec's own: leave adopt and foreign out"
            )
        stats = yield from self.stats()
        if stats.dimension is None or stats.metric is None:
            raise CollectionConflict(
                f"the index at {self.host} does not tell its dimensions and metric, so it can not be checked; leave "
                f"index_host out, and the control plane is asked"
            )
        found = yield from self._read(_ADOPTED + namespace)
        record = None if found is None else json.loads(found["record"])
        return CollectionInfo(physical, {DENSE: int(stats.dimension)}, metric_of(stats.metric, physical), record)

    def _place(self, physical: str, found: Any) -> Place:
        tenants = bool(found["tenants"])
        return Place(physical, self.host, int(found["dimension"]), tenants, physical, f"{physical}_", RESERVED)

    def _collection(self, physical: str) -> Operation[Any]:
        found = yield from self._read(_COLLECTION + physical)
        if found is None:
            raise CollectionNotFound(
                f"the index at {self.host} has no collection {physical!r}; create it with `nestvec apply` or apply()"
            )
        return found

    @property
    def _reserved(self) -> Reserved:
        return Reserved(self.host, RESERVED, self.visibility)

    def _read(self, key: str) -> Operation[Any]:
        return self._reserved.read(key)

    def _put(self, key: str, values: dict[str, Any]) -> Operation[None]:
        stats = yield from self.stats()
        yield from self._reserved.put(key, values, int(values.get("dimension") or stats.dimension))

    def _clear(self, namespace: str) -> Operation[None]:
        try:
            some = yield Call(self.host, "list_paginated", {"namespace": namespace, "limit": _PAGE})
            lsn = yield from polling.delete(self.host, namespace, deleteAll=True)
        except NoNamespace:
            return
        yield from self._settle(Written(namespace, lsn, gone=[item.id for item in some.vectors]))

    def _settle(self, written: Written) -> Operation[None]:
        stats = yield from self.stats()
        yield from self.visibility.settle(self.host, int(stats.dimension), written)


def _packed(record: Any) -> str:
    return json.dumps(dict(record), ensure_ascii=False, separators=(",", ":"))
