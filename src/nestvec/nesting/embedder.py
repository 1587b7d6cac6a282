"""An embedder with a rotation of the user's own. The core applies it, as it does a plugin's; see `encoder`."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Generic, TypeVar

from nestvec.contract import AsyncEmbedder, Embedder, Encode, Encoded

if TYPE_CHECKING:
    from nestvec.types import FloatArray

E = TypeVar("E", Embedder, AsyncEmbedder)


class _Nested(Generic[E]):
    """What both forms share."""

    def __init__(self, inner: E, rotation: FloatArray) -> None:
        self.inner: E = inner
        self._rotation = rotation

    def __repr__(self) -> str:
        return f"<{self.inner!r}, nested>"

    def rotation(self) -> FloatArray | None:
        """The user's rotation of the model's own full vectors; it takes the place of the embedder's."""
        return self._rotation

    def count_tokens(self) -> Callable[[str], int] | None:
        """The embedder's own."""
        return self.inner.count_tokens()


class NestedEmbedder(_Nested[Embedder], Embedder):
    """Safe for threads and forks as the embedder is."""

    def encode(self, request: Encode) -> Encoded:
        """The embedder's own vectors: the core turns them."""
        return self.inner.encode(request)

    def close(self) -> None:
        """Close the embedder."""
        self.inner.close()


class AsyncNestedEmbedder(_Nested[AsyncEmbedder], AsyncEmbedder):
    """The asynchronous form."""

    async def encode(self, request: Encode) -> Encoded:
        """The embedder's own vectors: the core turns them."""
        return await self.inner.encode(request)

    async def close(self) -> None:
        """Close the embedder."""
        await self.inner.close()


def nested(embedder: Embedder | AsyncEmbedder, rotation: FloatArray) -> NestedEmbedder | AsyncNestedEmbedder:
    """The embedder with this rotation instead of its own, in its own form."""
    if isinstance(embedder, AsyncEmbedder):
        return AsyncNestedEmbedder(embedder, rotation)
    return NestedEmbedder(embedder, rotation)


def own_rotation(embedder: Embedder | AsyncEmbedder) -> FloatArray | None:
    """The rotation of the embedder itself, whatever it is wrapped in."""
    return embedder.inner.rotation() if isinstance(embedder, _Nested) else embedder.rotation()
