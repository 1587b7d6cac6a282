"""An embedder with a rotation of the user's own. The core applies it, as it does a plugin's; see `encoder`."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from nestvec.contract import Embedder, Encode, Encoded

if TYPE_CHECKING:
    from nestvec.types import FloatArray


class NestedEmbedder(Embedder):
    """In the form of the embedder that it stands before. Safe for threads and forks as that is.

    `closing` closes that, where it is not this one's alone.
    """

    def __init__(
        self, inner: Embedder, rotation: FloatArray, closing: Callable[[], Awaitable[None] | None] | None = None
    ) -> None:
        self.inner = inner
        self._rotation = rotation
        self._closing = closing or inner.close

    def __repr__(self) -> str:
        return f"<{self.inner!r}, nested>"

    def encode(self, request: Encode) -> Encoded | Awaitable[Encoded]:
        """The embedder's own vectors: the core turns them."""
        return self.inner.encode(request)

    def rotation(self) -> FloatArray | None:
        """The user's rotation of the model's own full vectors; it takes the place of the embedder's."""
        return self._rotation

    def count_tokens(self) -> Callable[[str], int] | None:
        """The embedder's own."""
        return self.inner.count_tokens()

    def close(self) -> Awaitable[None] | None:
        """Close the embedder."""
        return self._closing()


def own_rotation(embedder: Embedder) -> FloatArray | None:
    """The rotation of the embedder itself, whatever it is wrapped in."""
    return embedder.inner.rotation() if isinstance(embedder, NestedEmbedder) else embedder.rotation()
