"""Embedding: `Encode` asks, an `Embedder` answers."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar

from nestvec.types import Span, Usage

if TYPE_CHECKING:
    from nestvec.errors import NestvecError
    from nestvec.types import FloatArray


@dataclass(frozen=True, slots=True)
class Group:
    """The chunks of one document (or one question). `key` names it in failures; spans index `text`."""

    key: str
    text: str
    spans: tuple[Span, ...]

    def texts(self) -> list[str]:
        """The chunks' texts, in order."""
        return [self.text[start:end] for start, end in self.spans]


@dataclass(frozen=True, slots=True)
class Encode:
    """Embed every span of every group for one task.

    Answered with `Encoded`. `dimensions` is the length of the vectors wanted. Under `late`, the spans of a
    group are embedded in the context of their whole text, and no two groups ever share a context.
    """

    method: ClassVar[str] = "encode"
    groups: tuple[Group, ...]
    task: str | None
    dimensions: int
    late: bool = False
    #: To be computed now: a cache may not answer it, nor keep the answer. For measuring an embedder.
    fresh: bool = False
    #: Asked now and then by embedders that may take long: whether the caller was interrupted.
    cancelled: Callable[[], bool] | None = field(default=None, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class EncodeFailure:
    """One group that could not be embedded, and why. `span` is the guilty span's number where known."""

    group: int
    error: NestvecError
    span: int | None = None


@dataclass(frozen=True, slots=True)
class Encoded:
    """The answer to `Encode`.

    `vectors[i]` has shape (spans of group i, dimensions), float32 — or is None where `failures` names
    group i. An embedder returns a whole group or fails it; it never drops a span.
    """

    vectors: tuple[FloatArray | None, ...]
    failures: tuple[EncodeFailure, ...] = ()
    usage: Usage = field(default_factory=Usage)


class Embedder(ABC):
    """Turns texts into vectors.

    `encode` and `close` are plain `def` or `async def`, by the same rule as the methods of `nestvec.contract.Adapter`:
    what `open` returns never suspends and is safe to call from several threads; what `open_async` returns is awaited.
    """

    @abstractmethod
    def encode(self, request: Encode) -> Encoded | Awaitable[Encoded]:
        """Embed. Raises `EmbedderError` when no group can be served; failures of single groups go in the reply."""

    def rotation(self) -> FloatArray | None:
        """The nesting rotation whose fingerprint the capabilities name: shape (full, full), or None."""
        return None

    def count_tokens(self) -> Callable[[str], int] | None:
        """A counter of this model's tokens, or None where the embedder has no tokenizer at hand."""
        return None

    def close(self) -> Awaitable[None] | None:
        """Release resources. Safe to call twice."""
        return None
