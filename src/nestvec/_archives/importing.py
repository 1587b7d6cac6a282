"""Importing: what an export wrote, into a collection of the same space. Nothing is embedded."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

from nestvec._chunking import EMPTY
from nestvec._collections.checks import check_tenant, require_own
from nestvec._collections.opening import OpenCollection, Target, on_current, open_to_read
from nestvec._documents.layout import Head, make_record, read_states, sweep
from nestvec._documents.replacing import Replacement, begin_turn, replace_documents
from nestvec._documents.tidying import tidy_after_dead
from nestvec._documents.upsert import next_revision, tell
from nestvec._hosts.note import Canaries
from nestvec._migration.copy import keep_canaries
from nestvec.encoding.vectors import scaled
from nestvec.errors import InvalidDocument
from nestvec.types import FailedDocument, Report

if TYPE_CHECKING:
    from nestvec._archives.content import ArchivedDocument, ArchiveHeader
    from nestvec._archives.files import ArchiveBatch
    from nestvec._collections.opening import WriteTurn
    from nestvec._documents.layout import DocumentState
    from nestvec._documents.replacing import ReplacementOutcome


async def check(collection: OpenCollection, header: ArchiveHeader) -> None:
    """Raise unless a file of this header may be imported here, whatever is in it."""
    require_own(collection.spec, "import into it")
    check_tenant(collection.spec, collection.tenant)
    await open_to_read(collection)  # of which space it is, is known where the collection is
    header.require_fits(collection.spec)


async def accept(collection: OpenCollection, header: ArchiveHeader) -> None:
    """Let the collection's note say which host the vectors come from. Raises `HostMismatch` where two disagree."""
    await check(collection, header)
    if header.canaries is not None:
        carried = Canaries.read(header.canaries, header.space, header.collection)
        await keep_canaries(header.collection, carried, collection)


async def write(collection: OpenCollection, batch: ArchiveBatch) -> Report:
    """Store some documents; those that are there in the same version are left alone."""
    await check(collection, batch.header)
    return await on_current(collection, partial(_write, collection, batch.documents))


async def _write(collection: OpenCollection, documents: Sequence[ArchivedDocument], target: Target) -> Report:
    await tidy_after_dead(collection, target)
    states = await read_states(collection, target, [each.id for each in documents])
    swept = await sweep(collection, target, states)
    new = [each for each in documents if not _is_there(each, states[each.id])]
    turn = begin_turn(collection, sum(len(each.chunks) for each in new)) if collection.shared else None
    replacements, invalid = [], []
    for each in new:
        try:
            _require_text(collection, target, each)
            replacements.append(_replacement(collection, each, states[each.id].sound, turn))
        except InvalidDocument as error:
            invalid.append(FailedDocument(each.id, f"document {each.id!r:.80}: {error}"))
    outcome = await replace_documents(collection, target, replacements, turn)
    tell(collection, outcome)
    return _report(documents, new, outcome, invalid, swept)


def _is_there(document: ArchivedDocument, state: DocumentState) -> bool:
    return state.sound is not None and state.sound.version == _head(document, 0).version


def _head(document: ArchivedDocument, revision: int | str) -> Head:
    return Head(revision, len(document.chunks), document.document_hash, document.metadata_hash, document.layout)


def _require_text(collection: OpenCollection, target: Target, document: ArchivedDocument) -> None:
    """Where such are not expected, searches would find a document without text by a vector that means nothing."""
    if document.layout == EMPTY and not (collection.spec.keep_empty or target.stored.keep_empty):
        raise InvalidDocument('it has no text, and the collection keeps none such; set empty = "keep" and apply')


def _replacement(
    collection: OpenCollection, document: ArchivedDocument, old: Head | None, turn: WriteTurn | None
) -> Replacement:
    spec = collection.spec
    head = _head(document, next_revision(old, turn))
    metadata = spec.projection.project(document.metadata).stored
    records = []
    for number, chunk in enumerate(document.chunks):
        text = chunk.text_in(document.text)
        records.append(
            make_record(
                tenant=collection.tenant,
                document_id=document.id,
                chunk=number,
                span=(chunk.start, chunk.end),
                text=text or "",
                text_hash=chunk.hash,
                metadata=metadata,
                head=head,
                store_text=spec.store_text and text is not None,
            )
        )
    # What was adopted may have other lengths.
    vectors = scaled(document.vectors) if spec.space.normalized else document.vectors
    return Replacement(document.id, records, vectors, old)


def _report(
    documents: Sequence[ArchivedDocument],
    new: Sequence[ArchivedDocument],
    outcome: ReplacementOutcome,
    invalid: Sequence[FailedDocument],
    swept: int,
) -> Report:
    refused = [
        FailedDocument(each.document_id, f"document {each.document_id!r:.80}: {error}")
        for each, error in outcome.refused
    ]
    written = {each.id for each in new}
    return Report(
        documents=len(outcome.stored) + len(documents) - len(new),
        given=sum(len(each.records) for each in outcome.stored),
        unchanged=sum(len(each.chunks) for each in documents if each.id not in written),
        deleted=outcome.removed + swept,
        failed=(*invalid, *refused),
        superseded=len(outcome.superseded),
    )
