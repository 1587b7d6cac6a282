"""How much embedding a collection takes: texts of a sample, counted as they would be sent, and what that means for all.

Record ids are hashes, and most engines read in their order: so the documents that come first are a fair sample. Among
some thousands of them those with the smallest hashes are taken, which spreads the sample where an engine reads in
another order.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from nestvec._chunking import Splitter
from nestvec._collections.opening import HEADS
from nestvec._documents.layout import Head
from nestvec._documents.reading import text_of, whole
from nestvec._migration.passes import BLOCK, PAGE
from nestvec.contract import Group, ListTenants, Scroll
from nestvec.encoding.estimate import SPECIALS, TokenEstimate
from nestvec.encoding.packing import items_of, windows
from nestvec.errors import EmbedderRefused

if TYPE_CHECKING:
    from nestvec._collections.opening import OpenCollection, Target
    from nestvec._specs import CollectionSpec
    from nestvec.types import Record

#: About how many records' texts are read; documents among which they are chosen; namespaces that are looked into.
SAMPLE, CANDIDATES, NAMESPACES = 1000, 5000, 50
_PAGE = 1000


@dataclass(frozen=True, slots=True)
class Effort:
    """What embedding some documents takes. `stored` are their chunks as they are stored, `chunks` those that it makes.

    `requests` counts windows under late chunking, else it is 0. `textless` are documents without a stored text,
    `refused` those of which the model takes no window: neither is in the other figures.
    """

    documents: int = 0
    stored: int = 0
    chunks: int = 0
    tokens: int = 0
    requests: int = 0
    textless: int = 0
    refused: int = 0

    def __add__(self, other: Effort) -> Effort:
        return Effort(*(one + two for one, two in zip(self._figures(), other._figures(), strict=True)))

    def _figures(self) -> tuple[int, ...]:
        return (
            self.documents,
            self.stored,
            self.chunks,
            self.tokens,
            self.requests,
            self.textless,
            self.refused,
        )


class EffortMeter:
    """Counts what embedding a text takes, split and packed as for a collection."""

    def __init__(self, spec: CollectionSpec, count: Callable[[str], int] | None, folder: Path | None) -> None:
        self._spec = spec
        self._estimate = TokenEstimate(count)
        self._splitter = Splitter(spec.chunking, count or self._estimate.tokens, folder)

    @property
    def exact(self) -> bool:
        """Whether tokens are counted, or estimated from characters."""
        return self._estimate.exact

    def document(self, key: str, text: str, stored: int) -> Effort:
        """What one document takes."""
        group = Group(key, text, self._splitter.split(key, text))
        items = items_of(0, group, self._estimate)
        if not self._spec.space.late_chunking:
            tokens = sum(item.tokens + SPECIALS for item in items)
            return Effort(1, stored, len(items), tokens)
        limit = self._spec.model.max_tokens
        try:
            planned = windows(group, items, limit) if limit is not None else []
        except EmbedderRefused:
            return Effort(refused=1)
        spans = [items[each.first : each.end] for each in planned] or [items]
        tokens = sum(sum(item.tokens for item in span) + SPECIALS for span in spans)
        return Effort(1, stored, len(items), tokens, len(spans))


async def sample(
    collection: OpenCollection, target: Target, texts: Mapping[str, str], meter: EffortMeter, share: float
) -> Effort:
    """What the documents of a sample take. `share`: how many documents there are for each record.

    `texts` are those of documents whose texts are not stored, by document hash.
    """
    chosen = await _choose(collection, target, max(1, math.ceil(SAMPLE * share)))
    effort = Effort()
    for tenant, keys in chosen.items():
        view = collection.of_tenant(tenant)
        for start in range(0, len(keys), BLOCK):
            found = await whole(view, target, keys[start : start + BLOCK])
            for key, parts in found.items():
                effort += _one(key, [record for record, _ in parts], texts, meter)
    return effort


def _one(key: str, records: Sequence[Record], texts: Mapping[str, str], meter: EffortMeter) -> Effort:
    stored = all(record.text is not None for record in records)
    text = text_of(records) if stored else texts.get(Head.of(records[0]).text_hash)
    return Effort(textless=1) if text is None else meter.document(key, text, len(records))


async def _choose(collection: OpenCollection, target: Target, size: int) -> dict[str | None, list[str]]:
    """Documents by namespace: those with the smallest hashes among the first ones."""
    tenants: Sequence[str | None] = [None]
    if target.stored.namespaces:
        every = await collection.backend.list_tenants(ListTenants(target.physical))
        tenants = sorted(every, key=_digest)[:NAMESPACES]
    seen: list[tuple[str, str | None, str]] = []
    for tenant in tenants:
        keys = await _first(collection.of_tenant(tenant), target, max(_PAGE, CANDIDATES // len(tenants)))
        seen += [(_digest(key), tenant, key) for key in keys]
    chosen: dict[str | None, list[str]] = {}
    for _, tenant, key in sorted(seen, key=lambda each: each[0])[:size]:
        chosen.setdefault(tenant, []).append(key)
    return chosen


async def _first(collection: OpenCollection, target: Target, most: int) -> list[str]:
    keys: list[str] = []
    cursor: str | int | None = None
    while len(keys) < most:
        batch = await collection.records.scroll(Scroll(target.physical, HEADS, _PAGE, cursor, content=False))
        keys += [record.document_id for record in batch.records]
        cursor = batch.cursor
        if cursor is None:
            break
    return keys


def _digest(key: str) -> str:
    return hashlib.blake2b(key.encode(errors="backslashreplace"), digest_size=8).hexdigest()


@dataclass(frozen=True, slots=True)
class EmbeddingCost:
    """What embedding all documents takes, so far as it can be known."""

    tokens: int | None = 0
    requests: int | None = 0
    money: float | None = 0.0
    seconds: float | None = None


def embedding_cost(
    effort: Effort, spec: CollectionSpec, documents: int, chunks: int, price: float | None
) -> EmbeddingCost:
    """From a sample to all: tokens and chunks grow with the stored chunks, windows with the documents.

    `documents` and `chunks` are those that have yet to be embedded. All unknown where a text is missing.
    """
    if documents == 0:
        return EmbeddingCost(seconds=_least(spec, 0, 0))
    if effort.textless or not effort.stored:
        return EmbeddingCost(None, None, None, None)
    tokens = math.ceil(effort.tokens * chunks / effort.stored)
    requests = _requests(effort, spec, documents, chunks)
    return EmbeddingCost(
        tokens, requests, None if price is None else tokens * price / 1e6, _least(spec, tokens, requests)
    )


def _requests(effort: Effort, spec: CollectionSpec, documents: int, chunks: int) -> int:
    """How many requests there are at least: what is brought over together goes to the embedder together."""
    if spec.space.late_chunking:
        return math.ceil(effort.requests * documents / effort.documents)
    model = spec.model
    together = max(BLOCK, model.batch * model.concurrency)
    portions = max(math.ceil(chunks / together), math.ceil(documents / (PAGE // 4)))
    each = effort.chunks * chunks / effort.stored / portions
    return portions * max(1, math.ceil(each / model.batch))


def _least(spec: CollectionSpec, tokens: int, requests: int) -> float | None:
    """The least seconds that the quota allows."""
    quotas = [(tokens, spec.model.tokens_per_minute), (requests, spec.model.requests_per_minute)]
    least = [60 * amount / quota for amount, quota in quotas if quota]
    return max(least) if least else None
