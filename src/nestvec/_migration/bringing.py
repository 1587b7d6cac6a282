"""Bringing documents over to another generation: embedded from their texts, or written with the vectors they have."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from nestvec._chunking import EMPTY, GIVEN
from nestvec._collections.opening import on_current, open_to_read
from nestvec._documents.given import is_text_of
from nestvec._documents.layout import Head, chunk_ids, read_states, span_of, sweep
from nestvec._documents.reading import text_of, whole
from nestvec._documents.replacing import Replacement, begin_turn, replace_documents
from nestvec._documents.tidying import tidy_after_dead
from nestvec._documents.upsert import IncomingDocument, next_revision, prepare, store
from nestvec._metadata import misfits_of
from nestvec._migration.routes import Way
from nestvec._migration.transfer import Transfer, TransferStatistics, quiet
from nestvec.errors import CollectionError, InvalidDocument
from nestvec.types import Chunk, Document, FailedDocument, FieldMisfit, Record

if TYPE_CHECKING:
    from nestvec._collections.opening import WriteTurn
    from nestvec._documents.reading import Part
    from nestvec.types import Metadata


async def bring(transfer: Transfer, keys: Sequence[str]) -> TransferStatistics:
    """Bring documents over as they are now; those that are gone meanwhile are left to the next pass.

    Those that cannot be brought over are in the statistics, with the reason.
    """
    origin = await open_to_read(transfer.source)
    vectors = transfer.way is not Way.EMBED
    try:
        found = await whole(transfer.source, origin, keys, vectors=vectors)
    except CollectionError as error:  # one of them is torn: which one?
        if len(keys) == 1:
            return TransferStatistics(failed=(FailedDocument(keys[0], str(error)),))
        middle = len(keys) // 2
        return await bring(transfer, keys[:middle]) + await bring(transfer, keys[middle:])
    quietly = replace(transfer, target=quiet(transfer.target))
    return await (_embed if transfer.way is Way.EMBED else _write)(quietly, found)


async def _embed(transfer: Transfer, found: Mapping[str, list[Part]]) -> TransferStatistics:
    """Ingest documents from their texts. They keep their hashes, so that a later ingestion finds them unchanged."""
    heads = {key: Head.of(parts[0][0]) for key, parts in found.items()}
    incoming, failed = [], []
    for key, parts in found.items():
        records = [record for record, _ in parts]
        text = _text(transfer, records, heads[key])
        chunks = _chunks(records, text) if text is not None and heads[key].layout == GIVEN else None
        if text is None or chunks == ():
            failed.append(FailedDocument(key, f"document {key!r:.80}: {_NO_TEXT}"))
        else:
            document = Document(key, text, _metadata(transfer, records[0]), chunks=chunks)
            incoming.append(IncomingDocument(document))
    prepared, invalid = prepare(transfer.spec, transfer.splitter, incoming)
    carried = [
        replace(item, document_hash=heads[item.id].document_hash, metadata_hash=heads[item.id].metadata_hash)
        for item in prepared
    ]
    report = await on_current(transfer.target, partial(store, transfer.target, carried))
    missed = (*failed, *invalid, *report.failed)
    told = [each for item in prepared for each in misfits_of(item.misfits, transfer.spec.fields, item.id)]
    return TransferStatistics(
        brought=report.documents, chunks=report.chunks, failed=missed, usage=report.usage, misfits=tuple(told)
    )


_NO_TEXT = "its text is not stored, and none of the files given (--from) has it"


def _text(transfer: Transfer, records: Sequence[Record], head: Head) -> str | None:
    if head.layout == EMPTY or all(record.text is not None for record in records):
        return text_of(records)
    return transfer.texts.get(head.text_hash)


def _chunks(records: Sequence[Record], text: str) -> tuple[Chunk, ...]:
    """Those that a document came in, without their vectors; empty where their texts are neither stored nor in `text`.

    Whoever gave the vectors of a document chose its chunks: they are embedded as they are.
    """
    spans = [span_of(record) for record in records]
    texts = [
        text[start:end] if each.text is None else each.text for each, (start, end) in zip(records, spans, strict=True)
    ]
    known = all(is_text_of(part, each.system["hash"]) for part, each in zip(texts, records, strict=True))
    return tuple(Chunk(part, None, span) for part, span in zip(texts, spans, strict=True)) if known else ()


def _metadata(transfer: Transfer, record: Record) -> Metadata:
    """As they were given."""
    return transfer.source.spec.projection.given(record.metadata)


async def _write(transfer: Transfer, found: Mapping[str, list[Part]]) -> TransferStatistics:
    """Write documents from their records and vectors; nothing is embedded."""
    target = transfer.target
    place = await open_to_read(target)
    await tidy_after_dead(target, place)
    states = await read_states(target, place, list(found))
    await sweep(target, place, states)
    turn = begin_turn(target, sum(map(len, found.values()))) if target.shared else None
    replacements, invalid, misfits = [], [], list[FieldMisfit]()
    for key, parts in found.items():
        try:
            replacements.append(_replacement(transfer, key, parts, states[key].sound, turn, misfits))
        except InvalidDocument as error:
            invalid.append(FailedDocument(key, f"document {key!r:.80}: {error}"))
    outcome = await replace_documents(target, place, replacements, turn)
    refused = [FailedDocument(item.document_id, str(error)) for item, error in outcome.refused]
    chunks = sum(len(item.records) for item in outcome.stored)
    failed = (*refused, *invalid)
    return TransferStatistics(brought=len(outcome.stored), chunks=chunks, failed=failed, misfits=tuple(misfits))


def _replacement(
    transfer: Transfer,
    key: str,
    parts: Sequence[Part],
    old: Head | None,
    turn: WriteTurn | None,
    misfits: list[FieldMisfit],
) -> Replacement:
    """Its records under the target's ids, and its vectors. Raises `InvalidDocument` where metadata may not be so."""
    tenant = transfer.target.tenant
    revision = next_revision(old, turn)
    ids = chunk_ids(tenant, key, revision, range(len(parts)))
    wanted = transfer.spec
    projected = wanted.projection.project(_metadata(transfer, parts[0][0]))
    misfits += misfits_of(projected.misfits, wanted.fields, key)
    records = [
        replace(record, id=identity, metadata=projected.stored, system={**record.system, "revision": revision})
        for identity, (record, _) in zip(ids, parts, strict=True)
    ]
    vectors = transfer.transform(np.stack([row for _, row in parts if row is not None]))
    return Replacement(key, records, vectors, old)
