"""Adapters that answer every request in one place, for plugins whose operations are written once for all clients."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, Any

from nestvec.contract.adapters import Adapter, AsyncAdapter

if TYPE_CHECKING:
    from nestvec.contract.adapters import BackendRequest
    from nestvec.contract.collections import (
        CollectionInfo,
        Create,
        Describe,
        Drop,
        DropAlias,
        ListCollections,
        ReadNote,
        ResolveAlias,
        SetAlias,
        Update,
        WriteNote,
    )
    from nestvec.contract.foreign import Adopt
    from nestvec.contract.records import Batch, Count, Fetch, Found, Query, Remove, Scroll, Tenants, Write


class SingleAdapter(Adapter):
    """An adapter that answers every request in one place."""

    @abstractmethod
    def perform(self, request: BackendRequest) -> Any:
        """Answer any request, as the method of its name is to."""

    def resolve_alias(self, request: ResolveAlias) -> str | None:
        """See `Adapter`."""
        answer: str | None = self.perform(request)
        return answer

    def describe(self, request: Describe) -> CollectionInfo | None:
        """See `Adapter`."""
        answer: CollectionInfo | None = self.perform(request)
        return answer

    def list_collections(self, request: ListCollections) -> list[str]:
        """See `Adapter`."""
        answer: list[str] = self.perform(request)
        return answer

    def create(self, request: Create) -> None:
        """See `Adapter`."""
        self.perform(request)

    def update(self, request: Update) -> None:
        """See `Adapter`."""
        self.perform(request)

    def adopt(self, request: Adopt) -> None:
        """See `Adapter`."""
        self.perform(request)

    def set_alias(self, request: SetAlias) -> None:
        """See `Adapter`."""
        self.perform(request)

    def drop_alias(self, request: DropAlias) -> None:
        """See `Adapter`."""
        self.perform(request)

    def drop(self, request: Drop) -> None:
        """See `Adapter`."""
        self.perform(request)

    def write_note(self, request: WriteNote) -> None:
        """See `Adapter`."""
        self.perform(request)

    def read_note(self, request: ReadNote) -> str | None:
        """See `Adapter`."""
        answer: str | None = self.perform(request)
        return answer

    def write(self, request: Write) -> None:
        """See `Adapter`."""
        self.perform(request)

    def remove(self, request: Remove) -> None:
        """See `Adapter`."""
        self.perform(request)

    def fetch(self, request: Fetch) -> Batch:
        """See `Adapter`."""
        answer: Batch = self.perform(request)
        return answer

    def scroll(self, request: Scroll) -> Batch:
        """See `Adapter`."""
        answer: Batch = self.perform(request)
        return answer

    def count(self, request: Count) -> int:
        """See `Adapter`."""
        answer: int = self.perform(request)
        return answer

    def tenants(self, request: Tenants) -> list[str]:
        """See `Adapter`."""
        answer: list[str] = self.perform(request)
        return answer

    def query(self, request: Query) -> list[list[Found]]:
        """See `Adapter`."""
        answer: list[list[Found]] = self.perform(request)
        return answer


class AsyncSingleAdapter(AsyncAdapter):
    """The asynchronous form of `SingleAdapter`."""

    @abstractmethod
    async def perform(self, request: BackendRequest) -> Any:
        """Answer any request, as the method of its name is to."""

    async def resolve_alias(self, request: ResolveAlias) -> str | None:
        """See `Adapter`."""
        answer: str | None = await self.perform(request)
        return answer

    async def describe(self, request: Describe) -> CollectionInfo | None:
        """See `Adapter`."""
        answer: CollectionInfo | None = await self.perform(request)
        return answer

    async def list_collections(self, request: ListCollections) -> list[str]:
        """See `Adapter`."""
        answer: list[str] = await self.perform(request)
        return answer

    async def create(self, request: Create) -> None:
        """See `Adapter`."""
        await self.perform(request)

    async def update(self, request: Update) -> None:
        """See `Adapter`."""
        await self.perform(request)

    async def adopt(self, request: Adopt) -> None:
        """See `Adapter`."""
        await self.perform(request)

    async def set_alias(self, request: SetAlias) -> None:
        """See `Adapter`."""
        await self.perform(request)

    async def drop_alias(self, request: DropAlias) -> None:
        """See `Adapter`."""
        await self.perform(request)

    async def drop(self, request: Drop) -> None:
        """See `Adapter`."""
        await self.perform(request)

    async def write_note(self, request: WriteNote) -> None:
        """See `Adapter`."""
        await self.perform(request)

    async def read_note(self, request: ReadNote) -> str | None:
        """See `Adapter`."""
        answer: str | None = await self.perform(request)
        return answer

    async def write(self, request: Write) -> None:
        """See `Adapter`."""
        await self.perform(request)

    async def remove(self, request: Remove) -> None:
        """See `Adapter`."""
        await self.perform(request)

    async def fetch(self, request: Fetch) -> Batch:
        """See `Adapter`."""
        answer: Batch = await self.perform(request)
        return answer

    async def scroll(self, request: Scroll) -> Batch:
        """See `Adapter`."""
        answer: Batch = await self.perform(request)
        return answer

    async def count(self, request: Count) -> int:
        """See `Adapter`."""
        answer: int = await self.perform(request)
        return answer

    async def tenants(self, request: Tenants) -> list[str]:
        """See `Adapter`."""
        answer: list[str] = await self.perform(request)
        return answer

    async def query(self, request: Query) -> list[list[Found]]:
        """See `Adapter`."""
        answer: list[list[Found]] = await self.perform(request)
        return answer
