"""Aliases and notes as records of nestvec's own, for backends that have neither.

One reserved physical collection holds them, made when the first is written. A record's id is computed from what it is
and what it is called, so writing one replaces it, as a whole and at once. `document_id` is the collection that an alias
leads to, or that a note belongs to: so both are found when it is dropped.
"""

from __future__ import annotations

import uuid
from functools import cached_property
from typing import TYPE_CHECKING, Final

import numpy as np

from nestvec._session.answers import pages, settled
from nestvec.contract import Create, Describe, Fetch, Remove, Scroll, Write
from nestvec.errors import BackendRefused, CollectionNotFound
from nestvec.filters import system
from nestvec.types import DENSE, FieldType, Metric, Record

if TYPE_CHECKING:
    from nestvec.capabilities import BackendCapabilities
    from nestvec.contract import Adapter, DropAlias, ReadNote, ResolveAlias, SetAlias, WriteNote

#: What the reserved collection is called, before the backend's rules for names. No generation of a collection is.
RESERVED: Final = "nestvec-registry"
_NAMESPACE: Final = uuid.UUID("0b8a55c8-7b0c-5d0e-8a35-6f2f0f0e9d5b")
#: Every collection has vectors. These are never searched; none is zero, which some databases refuse.
_VECTOR: Final = (1.0, 0.0)


class ReservedCollection:
    """Aliases and notes of one backend, kept in it."""

    def __init__(self, adapter: Adapter, declared: BackendCapabilities) -> None:
        self._adapter = adapter
        self._names = declared.names
        self._metric = Metric.COSINE if Metric.COSINE in declared.metrics else min(declared.metrics)
        self._page = min([256, *(most for most in (declared.max_limit, declared.max_write_records) if most)])

    @cached_property
    def physical(self) -> str:
        """Its name there. Raises `InvalidName` where the backend's names are too short for it."""
        return self._names.encode(RESERVED)

    async def resolve_alias(self, request: ResolveAlias) -> str | None:
        """Where an alias leads, or None."""
        found = await self._read(_id("alias", request.name))
        return found.document_id if found else None

    async def set_alias(self, request: SetAlias) -> None:
        """Write one record. Raises `CollectionNotFound`, and `BackendRefused` for the name of a collection."""
        if await settled(self._adapter.describe(Describe(request.name))) is not None:
            raise BackendRefused(f"alias {request.name!r} would hide the collection of that name; choose another name")
        await self._require(request.physical)
        await self._write(_record("alias", request.physical, request.name, request.name, _id("alias", request.name)))

    async def drop_alias(self, request: DropAlias) -> None:
        """Remove its record."""
        await self._remove([_id("alias", request.name)])

    async def write_note(self, request: WriteNote) -> None:
        """Write or remove one record. Raises `CollectionNotFound`."""
        await self._require(request.physical)
        identity = _id("note", request.physical, request.name)
        if request.text is None:
            await self._remove([identity])
        else:
            await self._write(_record("note", request.physical, request.name, request.text, identity))

    async def read_note(self, request: ReadNote) -> str | None:
        """The text of a note, or None. Raises `CollectionNotFound`."""
        await self._require(request.physical)
        found = await self._read(_id("note", request.physical, request.name))
        return found.text if found else None

    async def forget(self, physical: str) -> None:
        """Remove the notes of a collection that was dropped, and the aliases that lead to it."""
        await self._remove(await self._belonging(physical))

    async def forget_leftovers(self, physical: str) -> None:
        """The same before a collection is created: where dropping one of its name was interrupted, some are left.

        They are looked for before the collection is, so that nothing goes that somebody else wrote who creates it, too.
        """
        found = await self._belonging(physical)
        if found and await settled(self._adapter.describe(Describe(physical))) is None:
            await self._remove(found)

    async def _require(self, physical: str) -> None:
        if await settled(self._adapter.describe(Describe(physical))) is None:
            raise CollectionNotFound(f"there is no collection {physical!r}; create it with `nestvec apply`")

    async def _belonging(self, physical: str) -> list[str]:
        """The ids of all records that name this collection."""
        where = system("document_id", FieldType.KEYWORD) == physical
        request = Scroll(self.physical, where, limit=self._page, content=False)
        try:
            return [record.id async for batch in pages(self._adapter, request) for record in batch.records]
        except CollectionNotFound:
            return []  # nothing was ever written

    async def _read(self, identity: str) -> Record | None:
        try:
            batch = await settled(self._adapter.fetch(Fetch(self.physical, [identity])))
        except CollectionNotFound:
            return None
        return next(iter(batch.records), None)

    async def _write(self, record: Record) -> None:
        request = Write(self.physical, [record], {DENSE: np.array([_VECTOR], np.float32)})
        try:
            await settled(self._adapter.write(request))
        except CollectionNotFound:
            create = Create(self.physical, {DENSE: len(_VECTOR)}, self._metric, {}, {})
            await settled(self._adapter.create(create))
            await settled(self._adapter.write(request))

    async def _remove(self, ids: list[str]) -> None:
        try:
            for start in range(0, len(ids), self._page):
                await settled(self._adapter.remove(Remove(self.physical, ids[start : start + self._page])))
        except CollectionNotFound:
            return  # nothing was ever written


def _id(*parts: str) -> str:
    """Length-prefixed, so that no two names can run together."""
    return str(uuid.uuid5(_NAMESPACE, "".join(f"{len(part)}:{part}" for part in parts)))


def _record(kind: str, physical: str, name: str, text: str, identity: str) -> Record:
    return Record(identity, physical, text, {}, {"layout": kind, "chunk": 0, "name": name})
