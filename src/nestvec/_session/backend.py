"""A backend as rules see it: every request of the contract as a typed method that is awaited."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from nestvec._session.session import Session
    from nestvec.contract import (
        Adapter,
        Adopt,
        BackendRequest,
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
        FullAdapter,
        ListCollections,
        ListTenants,
        Query,
        ReadNote,
        Remove,
        ResolveAlias,
        Scroll,
        SetAlias,
        Update,
        Write,
        WriteNote,
    )


class Backend:
    """Sends requests through a session, which repeats them where that makes sense.

    What a request is answered with stands at the request. Raises what adapters raise: `BackendError`,
    `CollectionNotFound`, `Unsupported`.
    """

    __slots__ = ("_session", "_view")

    def __init__(self, session: Session, view: Callable[[FullAdapter], Adapter] | None = None) -> None:
        self._session, self._view = session, view

    def of_tenant(self, tenant: str) -> Backend:
        """The same backend, seen by one tenant."""
        return Backend(self._session, lambda adapter: adapter.of_tenant(tenant))

    def reading(self, layout: ForeignLayout) -> Backend:
        """The same backend, for reading a collection that somebody else made."""
        return Backend(self._session, lambda adapter: adapter.reading(layout))

    def _send(self, request: BackendRequest) -> Coroutine[Any, Any, Any]:
        return self._session.send(self._view, request)

    async def describe(self, request: Describe) -> CollectionInfo | None:
        """A physical collection as the backend describes it, or None."""
        answer: CollectionInfo | None = await self._send(request)
        return answer

    async def create(self, request: Create) -> None:
        """Create a collection, with what optional powers it needs (`CreateExtended`)."""
        await self._send(request)

    async def drop(self, request: Drop) -> None:
        """Delete a collection."""
        await self._send(request)

    async def list_collections(self, request: ListCollections) -> list[str]:
        """The names of all physical collections."""
        answer: list[str] = await self._send(request)
        return answer

    async def write(self, request: Write) -> None:
        """Insert or replace records."""
        await self._send(request)

    async def remove(self, request: Remove) -> None:
        """Delete records by id."""
        await self._send(request)

    async def fetch(self, request: Fetch) -> Batch:
        """Read records by id."""
        answer: Batch = await self._send(request)
        return answer

    async def scroll(self, request: Scroll) -> Batch:
        """Read a page of all records that match."""
        answer: Batch = await self._send(request)
        return answer

    async def count(self, request: Count) -> int:
        """How many records match."""
        answer: int = await self._send(request)
        return answer

    async def query(self, request: Query) -> list[list[Found]]:
        """Search, in steps if the query has them (`QueryStaged`)."""
        answer: list[list[Found]] = await self._send(request)
        return answer

    async def resolve_alias(self, request: ResolveAlias) -> str | None:
        """The physical collection that an alias leads to, or None."""
        answer: str | None = await self._send(request)
        return answer

    async def set_alias(self, request: SetAlias) -> None:
        """Let an alias lead to a collection."""
        await self._send(request)

    async def drop_alias(self, request: DropAlias) -> None:
        """Delete an alias."""
        await self._send(request)

    async def write_note(self, request: WriteNote) -> None:
        """Keep or remove a note."""
        await self._send(request)

    async def read_note(self, request: ReadNote) -> str | None:
        """The text of a note, or None."""
        answer: str | None = await self._send(request)
        return answer

    async def update(self, request: Update) -> None:
        """Change a collection in place."""
        await self._send(request)

    async def list_tenants(self, request: ListTenants) -> list[str]:
        """The tenants that have records."""
        answer: list[str] = await self._send(request)
        return answer

    async def adopt(self, request: Adopt) -> None:
        """Keep nestvec's record of somebody else's collection."""
        await self._send(request)
