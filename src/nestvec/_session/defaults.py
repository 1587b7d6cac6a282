"""What the core does for powers that a backend lacks (`nestvec.contract.powers`), or says where it cannot."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, NoReturn, cast

from nestvec._session.answers import settled
from nestvec._session.reserved import ReservedCollection
from nestvec._session.tenants import TenantView, tenants_of
from nestvec.capabilities import Freshness, Power
from nestvec.contract import POWERS, FullAdapter
from nestvec.errors import PluginBroken, Unsupported
from nestvec.types import Storage

if TYPE_CHECKING:
    from nestvec.capabilities import BackendCapabilities
    from nestvec.contract import (
        Adapter,
        Adopt,
        Create,
        CreateExtended,
        Drop,
        DropAlias,
        ForeignLayout,
        ListCollections,
        ListTenants,
        QueryStaged,
        ReadNote,
        ResolveAlias,
        SetAlias,
        Settle,
        Update,
        WriteNote,
    )

#: What every adapter answers itself.
_OWN = ("capabilities", "describe", "write", "remove", "fetch", "scroll", "count", "query", "close")
#: What it answers itself, unless the reserved collection is in use, which they take into account.
_OWN_UNLESS_RESERVED = ("create", "drop", "list_collections")


def complete_powers(adapter: Adapter, declared: BackendCapabilities) -> FullAdapter:
    """The adapter with the core's defaults for all powers that are not declared.

    Raises `PluginBroken` for a declared one that the adapter does not inherit.
    """
    _require_inherited(adapter, declared)
    if declared.powers == frozenset(Power):
        return cast("FullAdapter", adapter)
    return CompletedAdapter(adapter, declared)


class CompletedAdapter(FullAdapter):
    """An adapter, and defaults for what it lacks.

    What the adapter answers itself is an attribute of each instance, so that nothing stands in between: a rule that
    counts calls the adapter's own `count`.
    """

    capabilities: Any = None
    describe: Any = None
    write: Any = None
    remove: Any = None
    fetch: Any = None
    scroll: Any = None
    count: Any = None
    query: Any = None
    close: Any = None

    def __init__(self, adapter: Adapter, declared: BackendCapabilities) -> None:
        self._adapter: Any = adapter
        self._declared = declared
        self._reserved = ReservedCollection(adapter, declared)
        for name in _answered_by(declared):
            setattr(self, name, getattr(adapter, name))

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {self._adapter!r}>"

    # ------------------------------------------------------------ collections, and what belongs to them

    async def create(self, request: Create) -> None:
        """The adapter's; nothing of an earlier collection of that name is left."""
        await self._reserved.forget_leftovers(request.physical)
        await settled(self._adapter.create(request))

    async def create_extended(self, request: CreateExtended) -> None:
        """The adapter's, with what it has of the powers. Records tell their tenants without it."""
        powers = self._declared.powers
        if request.storage is not Storage.FLOAT32 and Power.STORAGE not in powers:
            self._refuse(Power.STORAGE, request.physical, f"keep vectors as {request.storage}", "leave `storage` out")
        asked = replace(request, tenants=request.tenants and Power.TENANCY in powers)
        if not _keeps_both(self._declared):
            await self._reserved.forget_leftovers(request.physical)
        if asked.tenants or asked.storage is not Storage.FLOAT32:
            await settled(self._adapter.create_extended(asked))
        else:
            await settled(self._adapter.create(asked.plain()))

    async def drop(self, request: Drop) -> None:
        """The collection first: notes and aliases without one are seen by nobody, and go when it is dropped again."""
        await settled(self._adapter.drop(request))
        await self._reserved.forget(request.physical)

    async def list_collections(self, request: ListCollections) -> list[str]:
        """Without the reserved one."""
        listed = await settled(self._adapter.list_collections(request))
        return [name for name in listed if name != self._reserved.physical]

    async def resolve_alias(self, request: ResolveAlias) -> str | None:
        """From a record of nestvec's own."""
        return await self._reserved.resolve_alias(request)

    async def set_alias(self, request: SetAlias) -> None:
        """As a record of nestvec's own."""
        await self._reserved.set_alias(request)

    async def drop_alias(self, request: DropAlias) -> None:
        """By removing its record."""
        await self._reserved.drop_alias(request)

    async def write_note(self, request: WriteNote) -> None:
        """As a record of nestvec's own."""
        await self._reserved.write_note(request)

    async def read_note(self, request: ReadNote) -> str | None:
        """From a record of nestvec's own."""
        return await self._reserved.read_note(request)

    # ------------------------------------------------------------ tenants

    def of_tenant(self, tenant: str) -> Adapter:
        """By filters."""
        return TenantView(self, tenant, self._declared.max_fetch_ids)

    async def list_tenants(self, request: ListTenants) -> list[str]:
        """By reading what all records say."""
        return await tenants_of(self._adapter, request.physical, min(1024, self._declared.max_limit or 1024))

    # ------------------------------------------------------------ what only a database can have

    def update(self, request: Update) -> NoReturn:
        """Raises `Unsupported`."""
        self._refuse(
            Power.UPDATES, request.physical, "be changed in place", "`nestvec migrate` makes it anew beside the old one"
        )

    def reading(self, layout: ForeignLayout) -> NoReturn:
        """Raises `Unsupported`."""
        self._refuse_adoption(layout.collection)

    def adopt(self, request: Adopt) -> NoReturn:
        """Raises `Unsupported`."""
        self._refuse_adoption(request.physical)

    def query_staged(self, request: QueryStaged) -> NoReturn:
        """Raises `Unsupported`."""
        self._refuse(Power.FUNNELS, request.physical, "be searched coarse to fine", "leave `funnel` out")

    def settle(self, request: Settle) -> None:
        """Nothing to do. Raises `Unsupported` where nobody can tell when searches find what was written."""
        if self._declared.fresh is not Freshness.AT_ONCE:
            self._refuse(Power.SETTLING, request.physical, "be settled", "wait, and search again")

    def _refuse_adoption(self, physical: str) -> NoReturn:
        advice = "ingest its texts into a collection of nestvec's own"
        self._refuse(Power.ADOPTION, physical, "be adopted", advice)

    def _refuse(self, power: Power, physical: str, action: str, advice: str) -> NoReturn:
        reason = self._declared.why_not.get(power, _WHY_NOT[power])
        raise Unsupported(f"collection {physical!r} cannot {action}: {reason}; {advice}")


_WHY_NOT = {
    Power.UPDATES: "this backend's plugin has no updates",
    Power.ADOPTION: "this backend's plugin reads only what nestvec made",
    Power.STORAGE: "this backend's plugin stores float32 only",
    Power.FUNNELS: "this backend's plugin searches by one vector",
    Power.SETTLING: "when its searches find what was written is uncertain, and nothing hastens it",
}


def _answered_by(declared: BackendCapabilities) -> set[str]:
    """The methods of an adapter that nothing is added to."""
    inherited = {name for each in POWERS if each.power in declared.powers for name in each.__abstractmethods__}
    own = {*_OWN, *inherited} - {"create_extended"}
    return own | set(_OWN_UNLESS_RESERVED) if _keeps_both(declared) else own


def _keeps_both(declared: BackendCapabilities) -> bool:
    """Whether the database has aliases and notes, so that the reserved collection is not in use."""
    return {Power.ALIASES, Power.NOTES} <= declared.powers


def _require_inherited(adapter: Adapter, declared: BackendCapabilities) -> None:
    for each in POWERS:
        if each.power in declared.powers and not isinstance(adapter, each):
            kind = type(adapter)
            raise PluginBroken(
                f"{kind.__module__}.{kind.__qualname__} declares the power {each.power.value!r} without inheriting "
                f"nestvec.contract.{each.__name__}; inherit it, or leave the power out of the capabilities"
            )
