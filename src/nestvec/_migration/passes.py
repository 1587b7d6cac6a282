"""Passes over two generations: each brings the target to what the source holds. Running one again changes nothing.

A pass reads the bookkeeping of every record of the source and looks up, by computed ids, what the target has of it.
What differs is brought over document by document, in the order of `nestvec._documents.layout`; what is gone is removed.
So a pass may be interrupted anywhere: the next one sees what is there.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from nestvec._chunking import EMPTY, GIVEN
from nestvec._collections.opening import open_to_read
from nestvec._documents.deleting import delete
from nestvec._documents.layout import Head, head_id, read_states, sweep
from nestvec._migration.bringing import bring
from nestvec._migration.routes import Way
from nestvec._migration.transfer import (
    SAMPLE,
    PassProgress,
    Phase,
    SampledDocument,
    Transfer,
    TransferStatistics,
    quiet,
)
from nestvec.contract import Count, Fetch, ListTenants, Scroll
from nestvec.types import FailedDocument

if TYPE_CHECKING:
    from nestvec._documents.layout import DocumentState

#: Records read at once; documents removed, and at least embedded, at once.
PAGE, BLOCK = 1000, 64


async def run_pass(transfer: Transfer, phase: Phase) -> TransferStatistics:
    """Bring the target to what the source holds now, in every namespace."""
    origin = await open_to_read(transfer.source)
    total = await transfer.source.backend.count(Count(origin.physical))
    statistics, read = TransferStatistics(), 0
    for tenant in await _tenants(transfer):
        job = transfer.of_tenant(tenant)
        done, read = await _forward(job, phase, read=read, total=total)
        statistics += done + await _backward(job)
    return statistics


async def _tenants(transfer: Transfer) -> Sequence[str | None]:
    source, target = transfer.source, transfer.target
    if not source.spec.namespaces:
        return [None]
    origin, place = await open_to_read(source), await open_to_read(target)
    here = await source.backend.list_tenants(ListTenants(origin.physical))
    there = await target.backend.list_tenants(ListTenants(place.physical))
    return sorted({*here, *there})


async def _forward(transfer: Transfer, phase: Phase, *, read: int, total: int) -> tuple[TransferStatistics, int]:
    """Bring over what differs; returns that, and how many records the documents have that were seen by now."""
    origin = await open_to_read(transfer.source)
    statistics = TransferStatistics()
    cursor: str | int | None = None

    def tell(chunks: int, brought: int) -> None:
        if transfer.progress is not None:
            seen = min(read + chunks, total)
            transfer.progress(PassProgress(phase, seen, total, statistics.brought + brought))

    while True:
        batch = await transfer.source.records.scroll(Scroll(origin.physical, None, PAGE, cursor, content=False))
        heads = {r.document_id: Head.of(r) for r in batch.records if r.system.get("chunk") == 0}
        for block in _blocks(list(heads), PAGE // 4):
            statistics += await _compare(transfer, {key: heads[key] for key in block}, tell)
            read += sum(heads[key].chunks for key in block)
            tell(0, 0)
        cursor = batch.cursor
        if cursor is None:
            return statistics, read


async def _compare(
    transfer: Transfer, heads: Mapping[str, Head], tell: Callable[[int, int], None]
) -> TransferStatistics:
    """Look up what the target has of these documents, and bring over those that differ."""
    place = await open_to_read(transfer.target)
    states = await read_states(transfer.target, place, list(heads))
    same = {key: state.sound for key, state in states.items() if _same(transfer, heads[key], state)}
    chunks = sum(head.chunks for head in same.values() if head is not None)
    statistics = TransferStatistics(seen=len(heads), chunks=chunks, sample=_sample(transfer, heads))
    differing = [key for key in heads if key not in same]
    if transfer.dry:
        return statistics + _failed(differing, "its latest version is not in the other generation")
    littered = {key: states[key] for key in same if states[key].debris}
    if littered:
        await sweep(transfer.target, place, littered)
    for portion in _portions(transfer, {key: heads[key].chunks for key in differing}):
        statistics += await bring(transfer, portion)
        chunks += sum(heads[key].chunks for key in portion)
        tell(chunks, statistics.brought)
    return statistics


def _failed(keys: Sequence[str], reason: str) -> TransferStatistics:
    return TransferStatistics(failed=tuple(FailedDocument(key, f"document {key!r:.80}: {reason}") for key in keys))


def _portions(transfer: Transfer, sizes: Mapping[str, int]) -> Iterator[list[str]]:
    """Documents to be brought over at once: as many chunks as are embedded at once, or are a page; one at least."""
    model = transfer.target.spec.model
    most = max(BLOCK, model.batch * model.concurrency) if transfer.way is Way.EMBED else PAGE
    portion: list[str] = []
    for key, size in sizes.items():
        if portion and sum(sizes[each] for each in portion) + size > most:
            yield portion
            portion = []
        portion.append(key)
    if portion:
        yield portion


def _same(transfer: Transfer, head: Head, state: DocumentState) -> bool:
    there = state.sound
    if there is None:
        return False
    if transfer.used:
        return (head.document_hash, head.metadata_hash) == (there.document_hash, there.metadata_hash)
    if transfer.way is not Way.EMBED:
        return there.version == head.version
    # What came split stays as it is split.
    layout = head.layout if head.layout in (GIVEN, EMPTY) else transfer.target.spec.layout
    known = (head.document_hash, head.metadata_hash, layout)
    return known == (there.document_hash, there.metadata_hash, there.layout)


def _sample(transfer: Transfer, keys: Iterable[str]) -> tuple[SampledDocument, ...]:
    tenant = transfer.source.tenant
    return tuple(sorted(SampledDocument(_digest(tenant, key), tenant, key) for key in keys)[:SAMPLE])


def _digest(tenant: str | None, key: str) -> str:
    return hashlib.blake2b(f"{tenant!r}/{key}".encode(errors="backslashreplace"), digest_size=8).hexdigest()


async def _backward(transfer: Transfer) -> TransferStatistics:
    """Remove what the source no longer has, also what an interrupted pass left of it."""
    gone = await _gone(transfer)
    if transfer.dry:
        return _failed(gone, "it was deleted, and the other generation still has it")
    target = quiet(transfer.target)
    for block in _blocks(gone, BLOCK):
        await delete(target, block)
    return TransferStatistics(deleted=len(gone))


async def _gone(transfer: Transfer) -> list[str]:
    """Ids of documents of which the target has any record, and the source no head."""
    source, target = transfer.source, transfer.target
    origin, place = await open_to_read(source), await open_to_read(target)
    gone: dict[str, None] = {}
    cursor: str | int | None = None
    while True:
        batch = await target.records.scroll(Scroll(place.physical, None, PAGE, cursor, content=False))
        keys = list(dict.fromkeys(record.document_id for record in batch.records))
        for block in _blocks(keys, PAGE // 4):
            ids = {key: head_id(source.tenant, key) for key in block}
            heads = await source.records.fetch(Fetch(origin.physical, list(ids.values()), content=False))
            present = {record.id for record in heads.records}
            gone |= dict.fromkeys(key for key in block if ids[key] not in present)
        cursor = batch.cursor
        if cursor is None:
            return list(gone)


def _blocks(keys: Sequence[str], size: int) -> Iterator[Sequence[str]]:
    for start in range(0, len(keys), size):
        yield keys[start : start + size]
