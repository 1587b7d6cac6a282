"""Reading whole collections: page by page, or as one matrix; one row for each chunk, or for each document."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from nestvec._collections.opening import (
    HEADS,
    OpenCollection,
    Target,
    checked_filter,
    foreign_filter,
    on_target,
    open_to_read,
    with_text,
)
from nestvec._documents.layout import restored
from nestvec._documents.reading import count, text_of, whole
from nestvec.contract import Scroll
from nestvec.encoding.vectors import normalize
from nestvec.errors import GenerationMoved, InvalidInput, Unsupported
from nestvec.filters import FilterLike
from nestvec.types import DENSE, Metadata, Record

if TYPE_CHECKING:
    from nestvec._documents.reading import Part
    from nestvec.types import FloatArray

#: Records in a page of those that a matrix is filled from.
_PAGE = 1000


@dataclass(frozen=True, slots=True)
class Cursor:
    """Where reading goes on, and in which generation: another one has its own order.

    Attributes:
        physical: The physical collection.
        place: The backend's own word for the place.
        backend: The backend's name in the configuration.
    """

    physical: str
    place: str | int
    backend: str


class _Columns:
    """Records by column, in the order of the rows."""

    __slots__ = ()

    records: tuple[Record, ...]

    @property
    def ids(self) -> list[str]:
        """The records' ids, as the database has them."""
        return [record.id for record in self.records]

    @property
    def document_ids(self) -> list[str]:
        """The ids of the documents that the records belong to."""
        return [record.document_id for record in self.records]

    @property
    def texts(self) -> list[str | None]:
        """The records' texts; None where texts are not stored."""
        return [record.text for record in self.records]

    @property
    def metadata(self) -> list[Metadata]:
        """The records' metadata: those of their documents."""
        return [record.metadata for record in self.records]


@dataclass(frozen=True, slots=True)
class Page(_Columns):
    """Some records and, where asked for, their vectors. Item i of each list, and row i, belong to `records[i]`.

    Attributes:
        records: The records.
        vectors: float32 of shape (records, dimensions), C-contiguous; None if they were not asked for.
        cursor: Where the next page begins; None: this was the last.
    """

    records: tuple[Record, ...]
    vectors: FloatArray | None
    cursor: Cursor | None


@dataclass(frozen=True, slots=True)
class Matrix(_Columns):
    """Records and their vectors. Item i of each list, and row i, belong to `records[i]`; `len` counts them.

    Attributes:
        records: The records.
        vectors: float32 of shape (records, dimensions), C-contiguous, this object's own.
    """

    records: tuple[Record, ...]
    vectors: FloatArray

    def __len__(self) -> int:
        return len(self.records)


async def scroll(
    collection: OpenCollection,
    where: FilterLike | None = None,
    *,
    limit: int = 256,
    cursor: Cursor | None = None,
    vectors: bool = False,
    group_by_document: bool = False,
) -> Page:
    """One page of all records (or documents) that match, in an order of the backend's own.

    Raises `GenerationMoved` if the alias moved since the cursor was made: start again.
    """
    if isinstance(limit, bool) or not isinstance(limit, int) or limit < 1:
        raise InvalidInput(f"a page must be a whole number of at least 1, not {limit!r}")
    resolved = checked_filter(collection, where)
    by_document = group_by_document and not _of_documents(collection)

    async def use(target: Target) -> Page:
        backend = collection.spec.backend
        if cursor is not None and (cursor.backend, cursor.physical) != (backend, target.physical):
            raise GenerationMoved(
                f"collection {collection.spec.name!r} moved from {cursor.physical!r} to {target.physical!r} on backend "
                f"{backend!r} while it was read; start again"
            )
        wanted = (HEADS if resolved is None else HEADS & resolved) if by_document else foreign_filter(target, resolved)
        request = Scroll(
            target.physical,
            wanted,
            limit,
            cursor.place if cursor is not None else None,
            vectors=vectors and not by_document,
            content=not by_document,
        )
        batch = await collection.records.scroll(request)
        following = Cursor(target.physical, batch.cursor, backend) if batch.cursor is not None else None
        if by_document:
            return await _documents(collection, target, batch.records, vectors, following)
        rows = batch.vectors[DENSE] if batch.vectors is not None else None
        return Page(tuple(restored(record, collection.spec.projection) for record in batch.records), rows, following)

    return await on_target(collection, use)


def _of_documents(collection: OpenCollection) -> bool:
    """Whether each record is a document: in an adopted collection. Raises `Unsupported` where that is unknown."""
    foreign = collection.spec.foreign
    if foreign is not None and foreign.id is not None:
        raise Unsupported(
            f"collection {collection.spec.name!r} was adopted with document ids from {foreign.id!r}: records that "
            f"share one have no known order; leave group_by_document out, and each record comes for itself"
        )
    return foreign is not None


async def _documents(
    collection: OpenCollection,
    target: Target,
    heads: Sequence[Record],
    vectors: bool,
    following: Cursor | None,
) -> Page:
    """The documents of these heads, each of one version; those that were deleted meanwhile are left out."""
    ids = [head.document_id for head in heads]
    found = await whole(collection, target, ids, vectors=vectors)
    parts = [found[key] for key in ids if key in found]
    records = tuple(restored(_joined([record for record, _ in each]), collection.spec.projection) for each in parts)
    return Page(records, _means(collection, parts) if vectors else None, following)


def _joined(records: Sequence[Record]) -> Record:
    """All records of a document as one. It is none that is stored, so it has no bookkeeping."""
    head = records[0]
    return replace(head, text=None if head.text is None else text_of(records), system={})


def _means(collection: OpenCollection, documents: Sequence[Sequence[Part]]) -> FloatArray:
    """The mean of each document's vectors, at length 1 where those of the space are: shape (documents, dimensions)."""
    space = collection.spec.space
    rows = np.zeros((len(documents), space.dimensions), np.float32)
    for row, parts in zip(rows, documents, strict=True):
        row[:] = np.mean([vector for _, vector in parts if vector is not None], axis=0, dtype=np.float64)
    return normalize(rows) if space.normalized else rows


async def matrix(
    collection: OpenCollection,
    where: FilterLike | None = None,
    *,
    group_by_document: bool = False,
) -> Matrix:
    """All records (or documents) that match, with their vectors. Starts again if the alias moves meanwhile."""
    while True:
        try:
            return await _filled(collection, where, group_by_document=group_by_document)
        except GenerationMoved:
            continue  # nobody has seen what was read so far


async def _filled(collection: OpenCollection, where: FilterLike | None, *, group_by_document: bool) -> Matrix:
    """Page by page into one array of the size that was counted: there is no second copy of the vectors."""
    target = await open_to_read(collection)
    if target.foreign is None:
        where = with_text(collection.spec, target, checked_filter(collection, where))
    expected = await count(collection, where, chunks=not group_by_document)
    rows = _allocated(collection, expected)
    records: list[Record] = []
    cursor: Cursor | None = None
    while True:
        page = await scroll(
            collection,
            where,
            limit=_PAGE,
            cursor=cursor,
            vectors=True,
            group_by_document=group_by_document,
        )
        if page.records and page.vectors is not None:
            start, end = len(records), len(records) + len(page.records)
            if end > len(rows):  # others write meanwhile
                _resize(rows, max(end, len(rows) * 9 // 8))
            rows[start:end] = page.vectors
            records += page.records
        cursor = page.cursor
        if cursor is None:
            _resize(rows, len(records))
            return Matrix(tuple(records), rows)


def _allocated(collection: OpenCollection, rows: int) -> FloatArray:
    dimensions = collection.spec.space.dimensions
    try:
        return np.empty((rows, dimensions), np.float32)
    except MemoryError as error:
        raise InvalidInput(
            f"collection {collection.spec.name!r}: {rows:,} vectors of {dimensions} dimensions take "
            f"{rows * dimensions * 4 / 1e9:,.1f} GB, more than there is; read them page by page, with "
            f"scroll(vectors=True), or fewer of them, with a filter"
        ) from error


def _resize(rows: FloatArray, count: int) -> None:
    """In place. Nobody else holds this array yet."""
    if count != len(rows):
        rows.resize((count, rows.shape[1]), refcheck=False)
