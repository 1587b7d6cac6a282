"""Reading stored documents whole, to export them; and storing what was exported. Nothing is embedded."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from nestvec._chunking import EMPTY
from nestvec._collections.checks import check_tenant, require_keeping, require_own
from nestvec._collections.opening import OpenCollection, Target, on_current, on_target, open_to_read
from nestvec._documents.layout import Head, make_record, read_states, sweep
from nestvec._documents.reading import whole
from nestvec._documents.replacing import Replacement, begin_turn, replace_documents
from nestvec._documents.tidying import tidy_after_dead
from nestvec._documents.upsert import next_revision
from nestvec._metadata import hash_metadata, misfits_of
from nestvec._migration.exported import ExportedDocument, ExportHeader
from nestvec.errors import CollectionConflict, InvalidDocument
from nestvec.spaces import require_same
from nestvec.types import FailedDocument, Report

if TYPE_CHECKING:
    from nestvec._collections.opening import WriteTurn
    from nestvec.types import FieldMisfit


@dataclass(frozen=True, slots=True)
class ExportReport:
    """What was exported.

    Attributes:
        documents: How many documents.
        chunks: How many chunks they have, each with its vector.
        path: The file.
    """

    documents: int
    chunks: int
    path: str


async def prepare_export(collection: OpenCollection) -> None:
    """Raise `Unsupported` for an adopted collection, and `InvalidName` for a call without its tenant."""
    check_tenant(collection.spec, collection.tenant)
    require_own(collection.spec, "export it (copy it into a collection of nestvec's own first)")
    await open_to_read(collection)


async def read_documents(collection: OpenCollection, ids: Sequence[str]) -> list[ExportedDocument]:
    """Those that are there, whole, in the order of their ids."""

    async def use(target: Target) -> list[ExportedDocument]:
        found = await whole(collection, target, ids, vectors=True)
        return [ExportedDocument.of(collection.spec, found[key]) for key in ids if key in found]

    return await on_target(collection, use)


async def prepare_import(collection: OpenCollection, header: ExportHeader) -> None:
    """Raise `SpaceMismatch` and `CollectionConflict` where the export's vectors cannot be this collection's."""
    check_tenant(collection.spec, collection.tenant)
    require_own(collection.spec, "import into it")
    await open_to_read(collection)
    spec = collection.spec
    require_same(header.space, spec.space, spec.name)
    if header.metric != spec.metric.value:
        raise CollectionConflict(
            f"collection {spec.name!r} compares vectors by {spec.metric}, and those of {header.collection!r} were "
            f"exported for {header.metric}; import into a collection of that metric. Nothing was imported"
        )


async def store_documents(collection: OpenCollection, documents: Sequence[ExportedDocument]) -> Report:
    """Store some of an export; what is there already is left alone."""
    return await on_current(collection, partial(_store, collection, documents))


async def _store(collection: OpenCollection, documents: Sequence[ExportedDocument], target: Target) -> Report:
    if any(document.layout == EMPTY for document in documents):
        require_keeping(collection.spec, target.stored)
    tidied = await tidy_after_dead(collection, target) if collection.shared else 0
    states = await read_states(collection, target, [document.id for document in documents])
    swept = await sweep(collection, target, states)
    turn = begin_turn(collection, sum(len(each.chunks) for each in documents)) if collection.shared else None
    changed, failed = list[Replacement](), list[FailedDocument]()
    same: list[ExportedDocument] = []
    misfits: list[FieldMisfit] = []
    for document in documents:
        try:
            head, metadata, told = _head(collection, document, states[document.id].sound, turn)
        except InvalidDocument as error:
            failed.append(FailedDocument(document.id, f"document {document.id!r:.80}: {error}"))
            continue
        misfits += told
        old = states[document.id].sound
        if old is not None and old.version == head.version and old.chunks == head.chunks:
            same.append(document)
        else:
            changed.append(_replacement(collection, document, head, metadata, old))
    outcome = await replace_documents(collection, target, changed, turn)
    refused = [FailedDocument(item.document_id, str(error)) for item, error in outcome.refused]
    return Report(
        len(same) + len(outcome.stored),
        unchanged=sum(len(each.chunks) for each in same),
        deleted=tidied + swept + outcome.removed,
        failed=(*failed, *refused),
        superseded=len(outcome.superseded),
        given=sum(len(item.records) for item in outcome.stored),
        misfits=tuple(misfits),
    )


def _head(
    collection: OpenCollection, document: ExportedDocument, old: Head | None, turn: WriteTurn | None
) -> tuple[Head, dict[str, object], tuple[FieldMisfit, ...]]:
    projection = collection.spec.projection
    projected = projection.project(document.metadata)
    head = Head(
        next_revision(old, turn),
        len(document.chunks),
        document.document_hash,
        hash_metadata(projected.stored),
        document.layout,
    )
    return head, dict(projected.stored), misfits_of(projected.misfits, projection.fields, document.id)


def _replacement(
    collection: OpenCollection,
    document: ExportedDocument,
    head: Head,
    metadata: dict[str, object],
    old: Head | None,
) -> Replacement:
    records = [
        make_record(
            tenant=collection.tenant,
            document_id=document.id,
            chunk=number,
            span=(chunk.start, chunk.end),
            text=chunk.text or "",
            text_hash=chunk.hash,
            metadata=metadata,
            head=head,
            store_text=collection.spec.store_text and chunk.text is not None,
        )
        for number, chunk in enumerate(document.chunks)
    ]
    return Replacement(document.id, records, document.vectors, old)
