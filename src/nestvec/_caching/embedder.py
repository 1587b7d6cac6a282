"""An embedder behind its cache. Rules and plugins do not notice."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from nestvec._caching.answer import answer
from nestvec._caching.cache import Cache
from nestvec._session.answers import settled
from nestvec._session.session import complete
from nestvec.capabilities import ModelCapabilities
from nestvec.contract import Embedder, Encode, Encoded

if TYPE_CHECKING:
    from nestvec.types import FloatArray

T = TypeVar("T")


class CachedEmbedder(Embedder):
    """In the form of the embedder that it stands before: `native` says that its methods are awaited in an event loop.

    `closing` closes that, where it is not this one's alone. Safe for threads as the embedder is; after a fork it goes
    without the cache.
    """

    def __init__(
        self,
        inner: Embedder,
        model: ModelCapabilities,
        cache: Cache,
        *,
        native: bool = False,
        closing: Callable[[], Any] | None = None,
    ) -> None:
        self.inner = inner
        self.cache = cache
        self._model = model
        self._native = native
        self._closing = closing or inner.close
        self._values = _Values(cache, native)
        self._asked = _Asked(inner)

    def __repr__(self) -> str:
        return f"<{self.inner!r}, cached in {self.cache.path}>"

    def encode(self, request: Encode) -> Encoded | Awaitable[Encoded]:
        """See `Embedder.encode`; what the cache holds is not asked for."""
        reply = answer(request, self._model, self._values, self._asked)
        return reply if self._native else complete(reply)

    def rotation(self) -> FloatArray | None:
        """The embedder's own."""
        return self.inner.rotation()

    def count_tokens(self) -> Callable[[str], int] | None:
        """The embedder's own."""
        return self.inner.count_tokens()

    def close(self) -> Awaitable[None] | None:
        """Close the cache and the embedder."""
        if self._native:
            return self._close()
        self.cache.close()
        closed: Awaitable[None] | None = self._closing()
        return closed

    async def _close(self) -> None:
        await asyncio.to_thread(self.cache.close)
        await settled(self._closing())


@dataclass(frozen=True, slots=True)
class _Values:
    """The cache, whose own thread does the work: it is awaited in an event loop, or waited for."""

    cache: Cache
    native: bool

    async def look(self, keys: Sequence[bytes]) -> list[bytes | None]:
        return await self._of(self.cache.look(keys))

    async def keep(self, values: Sequence[tuple[bytes, bytes]]) -> None:
        await self._of(self.cache.keep(values))

    async def _of(self, work: Future[T]) -> T:
        return await asyncio.wrap_future(work) if self.native else work.result()


@dataclass(frozen=True, slots=True)
class _Asked:
    """The embedder, awaited whatever form it has. A blocking one never suspends."""

    inner: Embedder

    async def encode(self, request: Encode) -> Encoded:
        return await settled(self.inner.encode(request))
