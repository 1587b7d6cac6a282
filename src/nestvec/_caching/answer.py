"""What happens to a request in front of a cache: found, asked for, kept.

It looks once, asks the embedder at most once for all that is missing, and keeps that.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate, pairwise
from typing import TYPE_CHECKING, Protocol

import numpy as np

from nestvec._caching.keys import keys_of
from nestvec._caching.values import pack, unpack
from nestvec.capabilities import ModelCapabilities
from nestvec.contract import Encode, Encoded, EncodeFailure, Group
from nestvec.encoding.vectors import checked, truncate, without_direction
from nestvec.types import Usage

if TYPE_CHECKING:
    from nestvec.types import FloatArray


class CachedValues(Protocol):
    """Values of a cache under their keys. Neither method raises: a cache may lose whatever it likes."""

    async def look(self, keys: Sequence[bytes]) -> list[bytes | None]:
        """The value of each key, or None, in order."""

    async def keep(self, values: Sequence[tuple[bytes, bytes]]) -> None:
        """Keep values under their keys."""


class AwaitedEmbedder(Protocol):
    """An embedder whose `encode` is awaited, whatever its form."""

    async def encode(self, request: Encode) -> Encoded:
        """See `Embedder.encode`."""


@dataclass(frozen=True, slots=True)
class _Part:
    """What is asked for of one group: the numbers of its spans, and of its first span in the whole request."""

    group: int
    spans: tuple[int, ...]
    first: int

    @property
    def rows(self) -> list[int]:
        """The spans' numbers in the whole request."""
        return [self.first + span for span in self.spans]

    def of(self, group: Group) -> Group:
        """The group to ask for."""
        return Group(group.key, group.text, tuple(group.spans[span] for span in self.spans))

    def renumbered(self, failure: EncodeFailure) -> EncodeFailure:
        """A failure of this part, in the numbers of the whole request."""
        span = next((own for i, own in enumerate(self.spans) if i == failure.span), None)
        return replace(failure, group=self.group, span=span)


async def answer(request: Encode, model: ModelCapabilities, cache: CachedValues, embedder: AwaitedEmbedder) -> Encoded:
    """Answer from the cache what it holds; ask for the rest in one request, and keep that.

    Only what is missing is asked for: chunks, or under late chunking whole documents, since their chunks are embedded
    together. Failed documents are not kept. `fresh` requests pass by the cache. Raises what the embedder raises, and
    `EmbedderInvalidReply` for a reply that breaks the contract: nothing of it is kept.
    """
    if request.fresh:
        return await embedder.encode(request)
    keys = keys_of(request, model)
    found = await cache.look(keys)
    rows, known = _read(keys, found, request.dimensions, model)
    bounds = list(accumulate((len(group.spans) for group in request.groups), initial=0))
    parts = list(_missing(request, known, bounds))
    usage = Usage(cached=len(keys) - sum(len(part.spans) for part in parts))
    failures: tuple[EncodeFailure, ...] = ()
    if parts:
        rest = replace(request, groups=tuple(part.of(request.groups[part.group]) for part in parts))
        reply = checked(rest, await embedder.encode(rest), model)
        fresh = [row for row in _place(parts, reply, rows) if not known[row]]
        await cache.keep([(keys[row], pack(keys[row], rows[row])) for row in fresh])
        failures = tuple(parts[failure.group].renumbered(failure) for failure in reply.failures)
        usage += reply.usage
    failed = {failure.group for failure in failures}
    vectors = (None if i in failed else rows[start:end] for i, (start, end) in enumerate(pairwise(bounds)))
    return Encoded(tuple(vectors), failures, usage)


def _read(
    keys: Sequence[bytes], found: Sequence[bytes | None], dimensions: int, model: ModelCapabilities
) -> tuple[FloatArray, list[bool]]:
    """Shape (spans, dimensions), and which of the rows were found. What cannot serve counts as not found."""
    rows = np.empty((len(found), dimensions), np.float32)
    known = [False] * len(found)
    by_size: dict[int, list[tuple[int, FloatArray]]] = {}
    for number, (key, value) in enumerate(zip(keys, found, strict=True)):
        vector = unpack(key, value) if value is not None else None
        if vector is not None and _serves(len(vector), dimensions, model):
            by_size.setdefault(len(vector), []).append((number, vector))
    for size, some in by_size.items():
        whole = np.stack([vector for _, vector in some])
        cut = whole if size == dimensions else truncate(whole, dimensions, normalized=model.normalized)
        rows[[number for number, _ in some]] = cut
        for (number, _), lost in zip(some, without_direction(cut), strict=True):
            known[number] = not lost
    return rows, known


def _serves(size: int, dimensions: int, model: ModelCapabilities) -> bool:
    """Whether a cached vector of `size` answers a request for `dimensions`.

    A longer one does where the model itself was trained for prefixes. Those of a nested model mean nothing before the
    core has turned them.
    """
    return size == dimensions or (size > dimensions and model.matryoshka and model.rotation is None)


def _missing(request: Encode, known: Sequence[bool], bounds: Sequence[int]) -> Iterator[_Part]:
    for number, (start, end) in enumerate(pairwise(bounds)):
        missing = tuple(span for span in range(end - start) if not known[start + span])
        if missing:
            yield _Part(number, tuple(range(end - start)) if request.late else missing, start)


def _place(parts: Sequence[_Part], reply: Encoded, rows: FloatArray) -> list[int]:
    """Put what was embedded in its places; returns their numbers."""
    placed: list[int] = []
    for part, block in zip(parts, reply.vectors, strict=True):
        if block is not None:
            rows[part.rows] = block
            placed += part.rows
    return placed
