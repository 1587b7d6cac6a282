"""Documents that come split, or with vectors: checked, and made what a document is that was split here.

What the layout of other documents says is in the hashes of these: a document that comes with other vectors, or split in
another way, is another version of it. A chunk with a vector is known by its text and that vector, so that no vector
that was given is ever taken for one that was embedded.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, overload

import numpy as np

from nestvec._chunking import GIVEN, LAYOUT_VERSION, joined
from nestvec._documents.layout import LONGEST_TEXT, hash_text
from nestvec._documents.upsert import IncomingDocument, PreparedDocument, check_document
from nestvec._metadata import hash_metadata
from nestvec.encoding.vectors import scaled, without_direction
from nestvec.errors import InvalidDocument, InvalidInput
from nestvec.types import Chunk, Document
from nestvec.values import is_unicode

if TYPE_CHECKING:
    from nestvec._specs import CollectionSpec
    from nestvec.types import FloatArray, Metadata, Span

_HALF = 16


def prepare_given(spec: CollectionSpec, item: IncomingDocument) -> PreparedDocument:
    """Check such a document. Raises `InvalidDocument`."""
    document = item.document
    chunks = _chunks(spec, document)
    texts = _texts(document, chunks)
    text = document.text if document.text is not None else joined(texts)[0]
    # What has a vector needs no text.
    labelled = replace(document, text="-" if isinstance(text, str) and not text.strip() else text)
    projected = check_document(labelled, spec.projection)
    given = _vectors(spec, document, chunks)
    spans = _spans(document, chunks, text)
    own = texts if any(text[start:end] != part for (start, end), part in zip(spans, texts, strict=True)) else None
    if spec.space.late_chunking and len(given) < len(chunks):
        _check_late(document, given, own, spans)
    hashes = tuple(_chunk_hash(part, given.get(number)) for number, part in enumerate(texts))
    return PreparedDocument(
        id=document.id,
        text=text,
        metadata=projected.stored,
        misfits=projected.misfits,
        spans=spans,
        hashes=hashes,
        document_hash=f"{hash_text(text)}-{_digest(spec, spans, hashes)}",
        metadata_hash=hash_metadata(projected.stored),
        layout=GIVEN,
        source=item,
        own_texts=own,
        given=given,
    )


def is_text_of(text: str, known_by: object) -> bool:
    """Whether this is the text of a chunk that is known by that: the first half of it is the text's."""
    return hash_text(text)[:_HALF] == str(known_by)[:_HALF]


def _chunk_hash(text: str, vector: FloatArray | None) -> str:
    known = hash_text(text)
    return known if vector is None else known[:_HALF] + hashlib.sha256(vector.tobytes()).hexdigest()[:_HALF]


def _digest(spec: CollectionSpec, spans: Sequence[Span], hashes: Sequence[str]) -> str:
    canonical = json.dumps([LAYOUT_VERSION, spec.store_text, spans, hashes])
    return hashlib.sha256(canonical.encode()).hexdigest()[:_HALF]


def _about(document: Document) -> str:
    return f"document {document.id!r:.80}"


def _chunks(spec: CollectionSpec, document: Document) -> Sequence[Chunk]:
    chunks = document.chunks
    if document.vector is None and chunks is None:
        raise InvalidDocument(
            f"{_about(document)} has no vector, and collection {spec.name!r} has no embedder that would make one; give "
            f"the document its vector: {spec.space.dimensions} numbers"
        )
    if document.vector is not None and chunks is not None:
        raise InvalidDocument(f"{_about(document)} has chunks and a vector of its own; give each chunk its vector")
    if chunks is None:
        return [Chunk(document.text if document.text is not None else "", document.vector)]
    if not isinstance(chunks, tuple) or not chunks or not all(isinstance(each, Chunk) for each in chunks):
        raise InvalidDocument(f"{_about(document)}: chunks must be a list of one or more nestvec.Chunk objects")
    return chunks


def _texts(document: Document, chunks: Sequence[Chunk]) -> tuple[str, ...]:
    for number, chunk in enumerate(chunks):
        where = _place(document, number)
        if not isinstance(chunk.text, str):
            raise InvalidDocument(f"{where}: the text must be a string, not {type(chunk.text).__name__}")
        if document.chunks is not None and not is_unicode(chunk.text):
            raise InvalidDocument(f"{where}: its text has a lone surrogate: not valid Unicode; repair the source")
    return tuple(chunk.text for chunk in chunks)


def _vectors(spec: CollectionSpec, document: Document, chunks: Sequence[Chunk]) -> dict[int, FloatArray]:
    """The vectors that are given, as they are stored, by chunk."""
    numbers = [number for number, chunk in enumerate(chunks) if chunk.vector is not None]
    for number, chunk in enumerate(chunks):
        where = _place(document, number)
        if chunk.vector is not None:
            _check_vector(spec, where, chunk.vector)
        elif spec.without_embedder:
            raise InvalidDocument(f"{where} has no vector, and collection {spec.name!r} has no embedder; give it one")
        elif not chunk.text.strip():
            raise InvalidDocument(f"{where} has neither a text nor a vector: nothing to embed")
    if not numbers:
        return {}
    rows: FloatArray = np.array([chunks[number].vector for number in numbers], dtype=np.float32)
    infinite = set(np.flatnonzero(~np.isfinite(rows).all(axis=1)).tolist())
    for row in sorted({*infinite, *np.flatnonzero(without_direction(rows)).tolist()}):
        what = "has NaN or infinity" if row in infinite else "is zero, or so short or long that it has no direction"
        raise InvalidDocument(f"{_place(document, numbers[row])}: its vector {what}; give finite numbers, not all zero")
    return dict(zip(numbers, scaled(rows) if spec.space.normalized else rows, strict=True))


def _place(document: Document, number: int) -> str:
    return _about(document) if document.chunks is None else f"{_about(document)}, chunk {number}"


def _check_vector(spec: CollectionSpec, where: str, vector: Any) -> None:
    size, space = spec.space.dimensions, spec.space
    if not isinstance(vector, np.ndarray) or vector.dtype != np.float32 or vector.ndim != 1:
        shape = f"an array of shape {vector.shape}" if isinstance(vector, np.ndarray) else type(vector).__name__
        raise InvalidDocument(f"{where}: a vector is a list or a one-dimensional array of {size} numbers, not {shape}")
    if len(vector) == size:
        return
    told = f"{where}: its vector has {len(vector)} numbers; collection {spec.name!r} holds vectors of {size} dimensions"
    if len(vector) == spec.model.dimensions and space.rotation is None:
        how = ", scaled to length 1" if space.normalized else ""
        raise InvalidDocument(f"{told}: of a full vector of {space.model}, give the first {size} numbers{how}")
    raise InvalidDocument(f"{told} of {space.model}")


def _spans(document: Document, chunks: Sequence[Chunk], text: str) -> tuple[Span, ...]:
    """Where the chunks are: as said, as found in the text one after the other, or in their texts joined."""
    texts = [chunk.text for chunk in chunks]
    said = [chunk.span for chunk in chunks if chunk.span is not None]
    if not said:
        return _found(texts, text) or joined(texts)[1]
    if len(said) < len(chunks):
        raise InvalidDocument(
            f"{_about(document)}: some of its chunks have spans and others not; give all of them, or none"
        )
    most = len(text) if document.text is not None else LONGEST_TEXT
    return tuple(_span(f"{_about(document)}, chunk {number}", span, most) for number, span in enumerate(said))


def _span(where: str, span: Any, most: int) -> Span:
    whole = isinstance(span, tuple | list) and len(span) == 2 and all(type(each) is int for each in span)
    if not whole or not 0 <= span[0] <= span[1] <= most:
        raise InvalidDocument(
            f"{where}: a span is (start, end), characters of the document's text with 0 <= start <= end <= {most}, not "
            f"{span!r:.60}"
        )
    return span[0], span[1]


def _found(texts: Sequence[str], text: str) -> tuple[Span, ...] | None:
    """Each begins after the one before does: they may overlap. None if one is not there."""
    spans, start = [], -1
    for part in texts:
        start = text.find(part, start + 1)
        if start < 0:
            return None
        spans.append((start, start + len(part)))
    return tuple(spans)


def _check_late(
    document: Document, given: Mapping[int, FloatArray], own: Sequence[str] | None, spans: Sequence[Span]
) -> None:
    """What late chunking embeds: all chunks of a document, in its text, in their order."""
    if given:
        raise InvalidDocument(
            f"{_about(document)}: some of its chunks have vectors and others not, but late chunking embeds all "
            f"chunks of a document together; give all of their vectors, or none"
        )
    if own is not None or list(spans) != sorted(spans):
        raise InvalidDocument(
            f"{_about(document)}: late chunking embeds chunks within their document; give the document's text, of "
            f"which they are parts, in their order"
        )


# ------------------------------------------------------------ in bulk


class DocumentRows(Sequence[Document]):
    """One-chunk documents made of columns, each when it is asked for."""

    def __init__(
        self,
        ids: Sequence[str | int],
        texts: Sequence[str],
        vectors: FloatArray,
        metadata: Sequence[Metadata] | None,
    ) -> None:
        self._ids, self._texts, self._vectors, self._metadata = ids, texts, vectors, metadata

    def __len__(self) -> int:
        return len(self._ids)

    @overload
    def __getitem__(self, row: int) -> Document: ...
    @overload
    def __getitem__(self, row: slice) -> list[Document]: ...
    def __getitem__(self, row: int | slice) -> Document | list[Document]:
        """A row as a document."""
        if isinstance(row, slice):
            return [self[each] for each in range(*row.indices(len(self)))]
        metadata = {} if self._metadata is None else self._metadata[row]
        return Document(_plain(self._ids[row]), self._texts[row], metadata, self._vectors[row])


def _plain(identity: Any) -> Any:
    """An id that came in an array of numpy's."""
    return identity.item() if isinstance(identity, np.generic) else identity


def document_rows(ids: Any, texts: Any, vectors: Any, metadata: Any = None) -> DocumentRows:
    """Columns as documents. Raises `InvalidInput` unless there is one of each for every document."""
    try:
        array = np.asarray(vectors)
    except (TypeError, ValueError, RuntimeError) as error:
        raise InvalidInput(f"vectors must be an array of numbers of shape (documents, dimensions): {error}") from error
    if array.ndim != 2 or array.dtype.kind not in "fiu":
        raise InvalidInput(
            f"vectors must be an array of numbers of shape (documents, dimensions), not one of shape {array.shape} and "
            f"type {array.dtype}"
        )
    columns = {"ids": ids, "texts": texts, "metadata": metadata}
    for name, column in columns.items():
        if column is None and name == "metadata":
            continue
        if isinstance(column, str | bytes) or not hasattr(column, "__len__") or not hasattr(column, "__getitem__"):
            raise InvalidInput(f"{name} must be a list, one for each vector, not {type(column).__name__}")
        if len(column) != len(array):
            raise InvalidInput(f"there are {len(column)} {name} for {len(array)} vectors; give one for each")
    return DocumentRows(ids, texts, array, metadata)
