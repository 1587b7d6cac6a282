"""Exporting: every document with its texts, metadata, chunks and vectors, as it is stored, into one file."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from nestvec._archives.content import ArchivedChunk, ArchivedDocument, ArchiveHeader
from nestvec._archives.files import ArchiveWriter, check_destination, writing
from nestvec._collections.checks import check_tenant
from nestvec._collections.opening import OpenCollection, Target, on_target
from nestvec._documents.layout import Head, hash_text, span_of
from nestvec._documents.reading import ids, text_of, whole
from nestvec._hosts.admission import read_canaries
from nestvec._metadata import Projection, hash_metadata
from nestvec._migration.copy import check_shared
from nestvec._session.answers import pages
from nestvec.contract import Scroll
from nestvec.types import DENSE

if TYPE_CHECKING:
    from pathlib import Path

    from nestvec._documents.reading import Part
    from nestvec.types import FloatArray, Record

#: Documents that are read at once.
_PAGE = 64


@dataclass(frozen=True, slots=True)
class ExportReport:
    """What an export wrote.

    Attributes:
        collection: The collection's name.
        path: The file.
        documents, chunks: How many are in it.
        space: The fingerprint of the space of their vectors.
        checksum: What an import compares.
    """

    collection: str
    path: str
    documents: int
    chunks: int
    space: str
    checksum: str

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values.

        Returns:
            The fields by name.

        Example:
            >>> docs.export_to("docs.jsonl").to_dict()["documents"]
            3
        """
        return {name: getattr(self, name) for name in self.__slots__}


async def export(
    collection: OpenCollection, path: Path, *, overwrite: bool, progress: Callable[[int], object] | None
) -> ExportReport:
    """Write all documents, of one namespace where there are such. The file is there when it is whole, or not at all."""
    check_tenant(collection.spec, collection.tenant)
    check_destination(path, overwrite=overwrite)
    return await on_target(collection, partial(_export, collection, path, overwrite, progress))


async def _export(
    collection: OpenCollection,
    path: Path,
    overwrite: bool,
    progress: Callable[[int], object] | None,
    target: Target,
) -> ExportReport:
    spec = collection.spec
    canaries = await read_canaries(collection, target)
    fields = {name: str(kind) for name, kind in spec.fields.items()}
    note = None if canaries is None else canaries.to_text()
    header = ArchiveHeader(spec.name, collection.tenant, spec.space, spec.metric, fields, note)
    if target.foreign is not None and target.foreign.id is not None:
        await check_shared(collection, target, target.foreign.id, _PAGE)
    with writing(path, header, overwrite=overwrite) as writer:
        await _fill(collection, target, writer, progress or (lambda done: done))
    tally = writer.tally
    return ExportReport(spec.name, str(path), tally.documents, tally.chunks, spec.space.fingerprint, tally.checksum)


async def _fill(
    collection: OpenCollection, target: Target, writer: ArchiveWriter, tell: Callable[[int], object]
) -> None:
    async for documents in (_own_pages if target.foreign is None else _foreign_pages)(collection, target):
        await collection.session.waiting.outside(writer.add, documents)
        tell(writer.tally.documents)


async def _own_pages(collection: OpenCollection, target: Target) -> AsyncIterator[list[ArchivedDocument]]:
    """In the order of their ids, each of one version; those that are deleted meanwhile are left out."""
    names = await ids(collection)
    for start in range(0, len(names), _PAGE):
        block = names[start : start + _PAGE]
        found = await whole(collection, target, block, vectors=True)
        yield [_own(found[key], collection.spec.projection) for key in block if key in found]


async def _foreign_pages(collection: OpenCollection, target: Target) -> AsyncIterator[list[ArchivedDocument]]:
    """Each record of an adopted collection as a document, as a copy makes it."""
    projection = collection.spec.projection
    async for batch in pages(collection.records, Scroll(target.physical, None, _PAGE, vectors=True)):
        assert batch.vectors is not None  # noqa: S101 - asked for
        rows = batch.vectors[DENSE]
        yield [_adopted(record, row, projection) for record, row in zip(batch.records, rows, strict=True)]


def _own(parts: Sequence[Part], projection: Projection) -> ArchivedDocument:
    records = [record for record, _ in parts]
    head = Head.of(records[0])
    text = None if any(record.text is None for record in records) else text_of(records)
    return ArchivedDocument(
        records[0].document_id,
        text,
        projection.given(records[0].metadata),
        head.document_hash,
        head.metadata_hash,
        head.layout,
        [_chunk(record, text) for record in records],
        np.stack([row for _, row in parts if row is not None]),
    )


def _chunk(record: Record, text: str | None) -> ArchivedChunk:
    start, end = span_of(record)
    implied = text is not None and text[start:end] == record.text
    return ArchivedChunk(start, end, str(record.system["hash"]), None if implied else record.text)


def _adopted(record: Record, row: FloatArray, projection: Projection) -> ArchivedDocument:
    text = record.text or ""
    metadata = projection.given(record.metadata)
    hashes = (hash_text(text), hash_metadata(Projection({}).project(metadata).stored))
    chunk = ArchivedChunk(0, len(text), hashes[0])
    return ArchivedDocument(record.document_id, record.text, metadata, *hashes, "adopted", [chunk], row[None])
