"""An embedder behind its cache. Flows and plugins do not notice."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from nestvec.caching.answer import answer
from nestvec.caching.cache import Cache
from nestvec.capabilities import ModelCapabilities
from nestvec.contract import AsyncEmbedder, Embedder, Encode, Encoded

if TYPE_CHECKING:
    from nestvec.types import FloatArray

E = TypeVar("E", Embedder, AsyncEmbedder)


class _Cached(Generic[E]):
    """What both forms share."""

    def __init__(self, inner: E, model: ModelCapabilities, cache: Cache) -> None:
        self.inner: E = inner
        self.cache = cache
        self._model = model

    def __repr__(self) -> str:
        return f"<{self.inner!r}, cached in {self.cache.path}>"

    def rotation(self) -> FloatArray | None:
        """The embedder's own."""
        return self.inner.rotation()

    def count_tokens(self) -> Callable[[str], int] | None:
        """The embedder's own."""
        return self.inner.count_tokens()


class CachedEmbedder(_Cached[Embedder], Embedder):
    """Safe for threads as the embedder is; after a fork it goes without the cache."""

    def encode(self, request: Encode) -> Encoded:
        """See `Embedder.encode`; what the cache holds is not asked for."""
        steps = answer(request, self._model)
        reply: Any = None
        while True:
            try:
                step = steps.send(reply)
            except StopIteration as stop:
                return stop.value  # type: ignore[no-any-return]
            reply = self.inner.encode(step) if isinstance(step, Encode) else self.cache.perform(step).result()

    def close(self) -> None:
        """Close the cache and the embedder."""
        self.cache.close()
        self.inner.close()


class AsyncCachedEmbedder(_Cached[AsyncEmbedder], AsyncEmbedder):
    """The asynchronous form."""

    async def encode(self, request: Encode) -> Encoded:
        """See `Embedder.encode`; what the cache holds is not asked for."""
        steps = answer(request, self._model)
        reply: Any = None
        while True:
            try:
                step = steps.send(reply)
            except StopIteration as stop:
                return stop.value  # type: ignore[no-any-return]
            if isinstance(step, Encode):
                reply = await self.inner.encode(step)
            else:
                reply = await asyncio.wrap_future(self.cache.perform(step))

    async def close(self) -> None:
        """Close the cache and the embedder."""
        await asyncio.to_thread(self.cache.close)
        await self.inner.close()
