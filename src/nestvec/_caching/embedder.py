"""An embedder behind its cache. Flows and plugins do not notice."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from nestvec._caching.answer import Keep, Look, answer
from nestvec._caching.cache import Cache
from nestvec._session import asynchronous, sync
from nestvec.capabilities import ModelCapabilities
from nestvec.contract import AsyncEmbedder, Embedder, Encode, Encoded

if TYPE_CHECKING:
    from nestvec.types import FloatArray

E = TypeVar("E", Embedder, AsyncEmbedder)


@dataclass(frozen=True, slots=True)
class _Ports:
    """Where the steps of an answer go."""

    inner: Embedder
    cache: Cache
    turn: AbstractContextManager[object] = field(default_factory=nullcontext)

    def answer(self, step: Look | Keep | Encode) -> Any:
        return self.inner.encode(step) if isinstance(step, Encode) else self.cache.perform(step).result()


@dataclass(frozen=True, slots=True)
class _AsyncPorts:
    inner: AsyncEmbedder
    cache: Cache

    async def answer(self, step: Look | Keep | Encode) -> Any:
        if isinstance(step, Encode):
            return await self.inner.encode(step)
        return await asyncio.wrap_future(self.cache.perform(step))


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
        return sync.run(answer(request, self._model), _Ports(self.inner, self.cache))

    def close(self) -> None:
        """Close the cache and the embedder."""
        self.cache.close()
        self.inner.close()


class AsyncCachedEmbedder(_Cached[AsyncEmbedder], AsyncEmbedder):
    """The asynchronous form."""

    async def encode(self, request: Encode) -> Encoded:
        """See `Embedder.encode`; what the cache holds is not asked for."""
        return await asynchronous.run(answer(request, self._model), _AsyncPorts(self.inner, self.cache))

    async def close(self) -> None:
        """Close the cache and the embedder."""
        await asyncio.to_thread(self.cache.close)
        await self.inner.close()
