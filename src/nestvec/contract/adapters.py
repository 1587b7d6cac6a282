"""`Adapter`: what a backend's plugin implements, one method for each request.

Ten methods are obligatory. What else a database can do is an optional power, a class to inherit from beside `Adapter`
(`nestvec.contract.powers`); for what is missing the core has a default, or says that it cannot be had.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Awaitable
from typing import TYPE_CHECKING, TypeAlias, TypeVar

if TYPE_CHECKING:
    from nestvec.capabilities import BackendCapabilities
    from nestvec.contract.collections import CollectionInfo, Create, Describe, Drop, ListCollections
    from nestvec.contract.records import Batch, Count, Fetch, Found, Query, Remove, Scroll, Write

T = TypeVar("T")
#: What a method gives: plain `def` returns it, `async def` an awaitable of it. Both fulfil the contract.
Answer: TypeAlias = T | Awaitable[T]


class Adapter(ABC):
    """Speaks to one backend.

    Methods are plain `def` or `async def`, whichever suits the vendor's client. Where a plugin's `open` returns an
    adapter with `async def` methods, they never suspend: the synchronous client runs them to their end without an event
    loop, and the asynchronous one in worker threads, as it does plain methods. Only what `open_async` returns is
    awaited in an event loop. Instances from `open` must be safe to call from several threads.

    Filters arrive resolved: every leaf carries its field's type. Reserved records never show up in any answer. Vendor
    exceptions are mapped onto `nestvec.errors.BackendError` and chained. An adapter does not retry; its caller does.
    """

    @abstractmethod
    def capabilities(self) -> Answer[BackendCapabilities]:
        """What the connected backend really can do: the declared capabilities, refined by asking it."""

    @abstractmethod
    def describe(self, request: Describe) -> Answer[CollectionInfo | None]: ...
    @abstractmethod
    def create(self, request: Create) -> Answer[None]: ...
    @abstractmethod
    def drop(self, request: Drop) -> Answer[None]: ...
    @abstractmethod
    def list_collections(self, request: ListCollections) -> Answer[list[str]]: ...
    @abstractmethod
    def write(self, request: Write) -> Answer[None]: ...
    @abstractmethod
    def remove(self, request: Remove) -> Answer[None]: ...
    @abstractmethod
    def fetch(self, request: Fetch) -> Answer[Batch]: ...
    @abstractmethod
    def scroll(self, request: Scroll) -> Answer[Batch]: ...
    @abstractmethod
    def count(self, request: Count) -> Answer[int]: ...
    @abstractmethod
    def query(self, request: Query) -> Answer[list[list[Found]]]: ...

    def close(self) -> Answer[None]:
        """Release connections and locks. Safe to call twice."""
        return None
