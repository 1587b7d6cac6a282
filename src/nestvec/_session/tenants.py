"""Tenants by default: each record says whose it is, and every request is restricted to the tenant's own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeVar

from nestvec._session.answers import pages, settled
from nestvec.contract import Adapter, Fetch, Scroll
from nestvec.filters import all_of, system
from nestvec.types import FieldType

if TYPE_CHECKING:
    from nestvec.contract import Answer, Batch, Count, Found, FullAdapter, Query, QueryStaged, Remove, Write
    from nestvec.types import Record

    R = TypeVar("R", Scroll, Count, Query, QueryStaged)

#: The key of `Record.system` that names a record's tenant.
TENANT = "tenant"


class TenantView(Adapter):
    """An adapter seen by one tenant: nothing of the others is read, counted, found or removed.

    Ids are computed from tenant and document, so tenants do not write over each other's records.
    """

    # What is not about records is the adapter's own.
    capabilities: Any = None
    describe: Any = None
    create: Any = None
    drop: Any = None
    list_collections: Any = None
    close: Any = None

    def __init__(self, adapter: FullAdapter, tenant: str, max_fetch_ids: int | None = None) -> None:
        self._adapter, self._tenant, self._max_fetch_ids = adapter, tenant, max_fetch_ids
        for name in ("capabilities", "describe", "create", "drop", "list_collections", "close"):
            setattr(self, name, getattr(adapter, name))

    def write(self, request: Write) -> Answer[None]:
        """With the tenant's name in each record."""
        records = [replace(each, system={**each.system, TENANT: self._tenant}) for each in request.records]
        return self._adapter.write(replace(request, records=records))

    async def remove(self, request: Remove) -> None:
        """Only those that are the tenant's."""
        own = await self._own(request.physical, request.ids)
        if own:
            await settled(self._adapter.remove(replace(request, ids=[each for each in request.ids if each in own])))

    async def fetch(self, request: Fetch) -> Batch:
        """Without the records of others."""
        batch = await settled(self._adapter.fetch(request))
        kept = [row for row, record in enumerate(batch.records) if self._is_own(record)]
        vectors = batch.vectors and {name: rows[kept] for name, rows in batch.vectors.items()}
        return replace(batch, records=[_stripped(batch.records[row]) for row in kept], vectors=vectors)

    async def scroll(self, request: Scroll) -> Batch:
        """Through the tenant's records."""
        batch = await settled(self._adapter.scroll(self._restricted(request)))
        return replace(batch, records=[_stripped(record) for record in batch.records])

    def count(self, request: Count) -> Answer[int]:
        """The tenant's records."""
        return self._adapter.count(self._restricted(request))

    async def query(self, request: Query) -> list[list[Found]]:
        """Among the tenant's records."""
        return _found(await settled(self._adapter.query(self._restricted(request))))

    async def query_staged(self, request: QueryStaged) -> list[list[Found]]:
        """Among the tenant's records."""
        return _found(await settled(self._adapter.query_staged(self._restricted(request))))

    def _restricted(self, request: R) -> R:
        own = system(TENANT, FieldType.KEYWORD) == self._tenant
        return replace(request, where=all_of(request.where, own))

    def _is_own(self, record: Record) -> bool:
        return record.system.get(TENANT) == self._tenant

    async def _own(self, physical: str, ids: Sequence[str]) -> set[str]:
        own: set[str] = set()
        size = self._max_fetch_ids or max(1, len(ids))
        for start in range(0, len(ids), size):
            request = Fetch(physical, ids[start : start + size], content=False)
            batch = await settled(self._adapter.fetch(request))
            own.update(record.id for record in batch.records if self._is_own(record))
        return own


async def tenants_of(adapter: Adapter, physical: str, page: int) -> list[str]:
    """The tenants of all records, each once."""
    found: set[str] = set()
    async for batch in pages(adapter, Scroll(physical, limit=page, content=False)):
        found.update(str(record.system[TENANT]) for record in batch.records if TENANT in record.system)
    return list(found)


def _found(answer: list[list[Found]]) -> list[list[Found]]:
    return [[replace(hit, record=_stripped(hit.record)) for hit in hits] for hits in answer]


def _stripped(record: Record) -> Record:
    """The record as it was given to `write`."""
    return replace(record, system={name: value for name, value in record.system.items() if name != TENANT})
