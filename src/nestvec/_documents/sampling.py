"""Samples of what a collection holds, or of texts, and their vectors at full size.

A sample is those of all candidates whose keyed hash is smallest: even, the same for the same seed whatever order a
backend reads in, and gathered in one pass in the memory of the sample alone. It comes in the order of the hashes, so
any part of it is a sample, too.
"""

from __future__ import annotations

import hashlib
import heapq
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from nestvec._collections.opening import OpenCollection, Target, on_target, with_text
from nestvec._documents.reading import tenants as tenants_of
from nestvec._documents.search import check_texts
from nestvec._session.answers import pages
from nestvec.contract import Encode, Fetch, Group, Scroll
from nestvec.errors import InvalidInput, Unsupported
from nestvec.types import DENSE

if TYPE_CHECKING:
    from nestvec._session.session import Session
    from nestvec.types import FloatArray

I = TypeVar("I")  # noqa: E741

_PAGE, _BLOCK = 1000, 128

#: Hears how many vectors were read or embedded, and how many there will be.
SampleProgress = Callable[[int, int], object]


@dataclass(frozen=True, slots=True)
class StoredSample:
    """Some stored vectors, shape (n, d), and the ids of the records and documents that row i belongs to."""

    records: tuple[str, ...]
    documents: tuple[str, ...]
    vectors: FloatArray


def check_sample(size: int) -> None:
    """Raise `InvalidInput` unless this is a number of vectors."""
    if isinstance(size, bool) or not isinstance(size, int) or size < 1:
        raise InvalidInput(f"sample must be a whole number of at least 1, not {size!r}")


def require_full(collection: OpenCollection, purpose: str, command: str) -> None:
    """Raise `Unsupported` for a collection that is truncated already."""
    spec = collection.spec
    if spec.space.dimensions < spec.model.dimensions:
        raise Unsupported(
            f"collection {spec.name!r} holds {spec.space.dimensions} of {spec.model.dimensions} dimensions: what was "
            f"cut off is needed to {purpose}; name a full-size collection, or take texts: "
            f"nestvec {command} --embedder {spec.embedder} FILE"
        )


async def stored_sample(
    collection: OpenCollection, size: int, seed: int = 0, progress: SampleProgress | None = None
) -> StoredSample:
    """At most `size` vectors of a collection as they are stored, of all its namespaces."""
    check_sample(size)

    async def use(target: Target) -> StoredSample:
        tenants: Sequence[str | None] = [None]
        if collection.spec.namespaces:
            tenants = await tenants_of(collection)
        smallest = _Smallest(size, seed)
        for number, tenant in enumerate(tenants):
            await _look(collection.of_tenant(tenant), target, number, smallest)
        chosen = smallest.sorted()
        return await _fetched(collection, target, tenants, chosen, progress)

    return await on_target(collection, use)


def choose_texts(texts: Iterable[str], size: int, seed: int = 0) -> list[str]:
    """A sample of the texts, each once. Raises `InvalidInput` for one that cannot be embedded."""

    def checked() -> Iterable[str]:
        for text in texts:
            check_texts([text])
            yield text

    return choose(checked(), size, seed, str)


def choose(items: Iterable[I], size: int, seed: int, name: Callable[[I], str]) -> list[I]:
    """A sample of items, of each name one."""
    check_sample(size)
    smallest, kept = _Smallest(size, seed), dict[str, I]()
    for item in items:
        key = name(item)
        if key not in kept and smallest.offer(key, 0):
            kept[key] = item
            if len(kept) > 2 * size:
                kept = {key: kept[key] for key, _ in smallest.sorted()}
    return [kept[key] for key, _ in smallest.sorted()]


async def embedded_sample(
    session: Session, texts: Sequence[str], task: str | None, progress: SampleProgress | None = None
) -> FloatArray:
    """Full vectors of texts, as many at a time as the embedder takes: shape (texts, d)."""
    model = session.model
    step = model.batch * max(1, model.concurrency)
    blocks = [np.zeros((0, model.dimensions), np.float32)]
    for start in range(0, len(texts), step):
        part = texts[start : start + step]
        groups = tuple(Group(f"text {text[:40]!r}", text, ((0, len(text)),)) for text in part)
        reply = await session.encode(Encode(groups, task, model.dimensions))
        if reply.failures:
            raise reply.failures[0].error
        blocks += [rows for rows in reply.vectors if rows is not None]
        if progress is not None:
            progress(start + len(part), len(texts))
    return np.concatenate(blocks)


class _Smallest:
    """The names with the smallest hashes among all that were offered."""

    def __init__(self, size: int, seed: int) -> None:
        self._size = size
        self._salt = str(seed).encode()
        self._heap: list[tuple[int, str, int]] = []

    def offer(self, name: str, part: int) -> bool:
        """Whether the name is among them so far. `part` tells equal names of different parts apart."""
        told = b"%d\0%s" % (part, name.encode("utf-8", "surrogatepass"))
        digest = hashlib.blake2b(told, digest_size=8, key=self._salt).digest()
        item = (-int.from_bytes(digest, "big"), name, part)
        if len(self._heap) < self._size:
            heapq.heappush(self._heap, item)
            return True
        return heapq.heappushpop(self._heap, item) != item

    def sorted(self) -> list[tuple[str, int]]:
        """Names and parts, in the order of their hashes."""
        return [(name, part) for _, name, part in sorted(self._heap, reverse=True)]


async def _look(collection: OpenCollection, target: Target, number: int, smallest: _Smallest) -> None:
    """Offer all records of the collection's tenant, without reading their vectors."""
    where = with_text(collection.spec, target, None) if target.foreign is None else None
    async for batch in pages(collection.records, Scroll(target.physical, where, _PAGE, content=False)):
        for record in batch.records:
            smallest.offer(record.id, number)


async def _fetched(
    collection: OpenCollection,
    target: Target,
    tenants: Sequence[str | None],
    chosen: Sequence[tuple[str, int]],
    progress: SampleProgress | None,
) -> StoredSample:
    """The vectors of the chosen records, in their order; those that were deleted meanwhile are left out."""
    found: dict[tuple[str, int], tuple[str, FloatArray]] = {}
    for number, tenant in enumerate(tenants):
        ids = [name for name, part in chosen if part == number]
        records = collection.of_tenant(tenant).records
        for start in range(0, len(ids), _BLOCK):
            block = ids[start : start + _BLOCK]
            batch = await records.fetch(Fetch(target.physical, block, vectors=True, content=False))
            if batch.vectors is not None:
                rows = batch.vectors[DENSE]
                for record, row in zip(batch.records, rows, strict=True):
                    found[record.id, number] = record.document_id, row
            if progress is not None:
                progress(len(found), len(chosen))
    there = [key for key in chosen if key in found]
    rows_there = [found[key][1] for key in there]
    vectors = np.stack(rows_there) if rows_there else np.zeros((0, collection.spec.space.dimensions), np.float32)
    return StoredSample(tuple(name for name, _ in there), tuple(found[key][0] for key in there), vectors)
