"""`Adapter` and `AsyncAdapter`: one method for each request to a backend."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, TypeAlias

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
from nestvec.errors import Unsupported

if TYPE_CHECKING:
    from nestvec.capabilities import BackendCapabilities

BackendRequest: TypeAlias = (
    ResolveAlias
    | Describe
    | ListCollections
    | Create
    | Update
    | Adopt
    | SetAlias
    | DropAlias
    | Drop
    | WriteNote
    | ReadNote
    | Write
    | Remove
    | Fetch
    | Scroll
    | Count
    | Tenants
    | Query
)


class Adapter(ABC):
    """Speaks to one backend. Instances must be safe to call from several threads.

    Filters arrive resolved: every leaf carries its field's type. Reserved records never show up in any
    answer. Vendor exceptions are mapped onto `nestvec.errors.BackendError` and chained. An adapter does
    not retry; the drivers do.
    """

    @abstractmethod
    def capabilities(self) -> BackendCapabilities:
        """What the connected backend really can do (declared capabilities refined by asking it)."""

    @abstractmethod
    def resolve_alias(self, request: ResolveAlias) -> str | None: ...
    @abstractmethod
    def describe(self, request: Describe) -> CollectionInfo | None: ...
    @abstractmethod
    def list_collections(self, request: ListCollections) -> list[str]: ...
    @abstractmethod
    def create(self, request: Create) -> None: ...
    @abstractmethod
    def update(self, request: Update) -> None: ...
    @abstractmethod
    def set_alias(self, request: SetAlias) -> None: ...
    @abstractmethod
    def drop_alias(self, request: DropAlias) -> None: ...
    @abstractmethod
    def drop(self, request: Drop) -> None: ...
    @abstractmethod
    def write_note(self, request: WriteNote) -> None: ...
    @abstractmethod
    def read_note(self, request: ReadNote) -> str | None: ...
    @abstractmethod
    def write(self, request: Write) -> None: ...
    @abstractmethod
    def remove(self, request: Remove) -> None: ...
    @abstractmethod
    def fetch(self, request: Fetch) -> Batch: ...
    @abstractmethod
    def scroll(self, request: Scroll) -> Batch: ...
    @abstractmethod
    def count(self, request: Count) -> int: ...
    @abstractmethod
    def tenants(self, request: Tenants) -> list[str]: ...
    @abstractmethod
    def query(self, request: Query) -> list[list[Found]]: ...

    def adopt(self, request: Adopt) -> None:
        """Optional: backends that can read what others made say so in `BackendCapabilities.adopts`."""
        raise _no_adoption(request)

    def close(self) -> None:  # noqa: B027
        """Release connections and locks. Safe to call twice."""


class AsyncAdapter(ABC):
    """The asynchronous form of `Adapter`, for backends with a native asynchronous client; same contract."""

    @abstractmethod
    async def capabilities(self) -> BackendCapabilities: ...
    @abstractmethod
    async def resolve_alias(self, request: ResolveAlias) -> str | None: ...
    @abstractmethod
    async def describe(self, request: Describe) -> CollectionInfo | None: ...
    @abstractmethod
    async def list_collections(self, request: ListCollections) -> list[str]: ...
    @abstractmethod
    async def create(self, request: Create) -> None: ...
    @abstractmethod
    async def update(self, request: Update) -> None: ...
    @abstractmethod
    async def set_alias(self, request: SetAlias) -> None: ...
    @abstractmethod
    async def drop_alias(self, request: DropAlias) -> None: ...
    @abstractmethod
    async def drop(self, request: Drop) -> None: ...
    @abstractmethod
    async def write_note(self, request: WriteNote) -> None: ...
    @abstractmethod
    async def read_note(self, request: ReadNote) -> str | None: ...
    @abstractmethod
    async def write(self, request: Write) -> None: ...
    @abstractmethod
    async def remove(self, request: Remove) -> None: ...
    @abstractmethod
    async def fetch(self, request: Fetch) -> Batch: ...
    @abstractmethod
    async def scroll(self, request: Scroll) -> Batch: ...
    @abstractmethod
    async def count(self, request: Count) -> int: ...
    @abstractmethod
    async def tenants(self, request: Tenants) -> list[str]: ...
    @abstractmethod
    async def query(self, request: Query) -> list[list[Found]]: ...

    async def adopt(self, request: Adopt) -> None:
        """Optional: backends that can read what others made say so in `BackendCapabilities.adopts`."""
        raise _no_adoption(request)

    async def close(self) -> None:  # noqa: B027
        """Release connections and locks. Safe to call twice."""


def _no_adoption(request: Adopt) -> Unsupported:
    return Unsupported(
        f"collection {request.physical!r} can not be adopted: this backend's plugin reads only what nestvec made; "
        f"ingest its texts into a collection of nestvec's own"
    )
