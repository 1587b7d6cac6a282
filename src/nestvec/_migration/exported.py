"""Documents as an exported file has them: each a line of JSON, between a header and a footer that vouches for it all.

A document is written whole: its text in its chunks, its metadata as they were given, its vectors, and by what it is
known to be unchanged. So nothing is embedded when it is read again, nor when its source is ingested afterwards.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from nestvec._damaged import DAMAGED
from nestvec._documents.layout import Head, span_of
from nestvec._metadata import from_json, to_json
from nestvec.errors import InvalidInput
from nestvec.spaces import EmbeddingSpace

if TYPE_CHECKING:
    from nestvec._documents.reading import Part
    from nestvec._specs import CollectionSpec
    from nestvec.types import FloatArray

VERSION: Final = 1
_MARK: Final = "nestvec_export"


@dataclass(frozen=True, slots=True)
class ExportedChunk:
    """A chunk: its text (None where texts are not stored), where it is, and by what its vector is known."""

    text: str | None
    start: int
    end: int
    hash: str


@dataclass(frozen=True, slots=True)
class ExportedDocument:
    """A document: float32 vectors of shape (chunks, dimensions)."""

    id: str
    metadata: Mapping[str, Any]
    document_hash: str
    layout: str
    chunks: tuple[ExportedChunk, ...]
    vectors: FloatArray

    @classmethod
    def of(cls, spec: CollectionSpec, parts: Sequence[Part]) -> ExportedDocument:
        """A stored document, of all of its records and their vectors."""
        ordered = sorted(parts, key=lambda part: int(part[0].system["chunk"]))
        head = Head.of(ordered[0][0])
        chunks = tuple(
            ExportedChunk(record.text, *span_of(record), str(record.system["hash"])) for record, _ in ordered
        )
        rows = np.stack([row for _, row in ordered if row is not None])
        metadata = spec.projection.given(ordered[0][0].metadata)
        return cls(ordered[0][0].document_id, metadata, head.document_hash, head.layout, chunks, rows)

    def line(self) -> bytes:
        """As a line of a file."""
        chunks = [[each.text, each.start, each.end, each.hash] for each in self.chunks]
        vectors = base64.b64encode(np.ascontiguousarray(self.vectors, "<f4").tobytes()).decode("ascii")
        known = {"document_hash": self.document_hash, "layout": self.layout}
        return _line({"id": self.id, "metadata": to_json(self.metadata), **known, "chunks": chunks, "vectors": vectors})

    @classmethod
    def read(cls, line: bytes, dimensions: int, where: str) -> ExportedDocument:
        """Read a line. Raises `InvalidInput`, beginning with `where`, for one that nestvec did not write."""
        try:
            value = json.loads(line)
            raw = base64.b64decode(value["vectors"], validate=True)
            rows = np.frombuffer(raw, "<f4").astype(np.float32)
            found = cls(
                _text(value["id"]),
                from_json(value["metadata"]),
                _text(value["document_hash"]),
                _text(value["layout"]),
                tuple(_chunk(each) for each in value["chunks"]),
                rows.reshape(len(value["chunks"]), dimensions),
            )
        except (*DAMAGED, binascii.Error) as error:
            raise InvalidInput(f"{where} is no document of an export ({error!r:.120}); nothing was imported") from error
        if not found.chunks or not found.id or not np.isfinite(found.vectors).all():
            raise InvalidInput(f"{where} has no id, no chunks, or a vector that is not finite; nothing was imported")
        return found


@dataclass(frozen=True, slots=True)
class ExportHeader:
    """What an export is of: the collection's name and space, its metric and fields."""

    collection: str
    space: EmbeddingSpace
    metric: str
    fields: Mapping[str, str]

    @classmethod
    def of(cls, spec: CollectionSpec) -> ExportHeader:
        """Of a collection."""
        fields = {name: str(kind) for name, kind in spec.fields.items()}
        return cls(spec.name, spec.space, spec.metric.value, fields)

    def line(self) -> bytes:
        """As the first line of a file."""
        about = {"collection": self.collection, "metric": self.metric, "fields": dict(self.fields)}
        return _line({_MARK: VERSION, **about, "space": self.space.to_dict(), "fingerprint": self.space.fingerprint})

    @classmethod
    def read(cls, line: bytes, path: object) -> ExportHeader:
        """Read it. Raises `InvalidInput` for a file that is no export, or of another version."""
        try:
            value = json.loads(line)
            version = value[_MARK]
            space = EmbeddingSpace.from_dict(value["space"]) if version == VERSION else None
            sound = space is not None and space.fingerprint == value["fingerprint"]
            names = _text(value["collection"]), _text(value["metric"]), dict(value["fields"])
        except DAMAGED as error:
            raise InvalidInput(
                f"{path} is no export of nestvec: its beginning says nothing of a space ({error!r:.100}); `nestvec "
                f"ingest` reads files of documents"
            ) from error
        if space is None:
            raise InvalidInput(f"{path} is an export of version {version!r:.20}; this nestvec reads version {VERSION}")
        if not sound:
            raise InvalidInput(f"{path} was changed: the fingerprint in it is not that of its space")
        collection, metric, fields = names
        return cls(collection, space, metric, fields)


class Checksum:
    """Counts documents, and adds up what was written: the footer."""

    def __init__(self) -> None:
        self.documents = 0
        self._digest = hashlib.sha256()

    def add(self, line: bytes) -> None:
        """A document's line, or the header's."""
        self._digest.update(line)

    def line(self) -> bytes:
        """The footer."""
        return _line({"documents": self.documents, "sha256": self._digest.hexdigest()})


def _line(value: Mapping[str, Any]) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(f"expected a string, got {type(value).__name__}")
    return value


def _chunk(value: Any) -> ExportedChunk:
    text, start, end, known = value
    if text is not None:
        _text(text).encode()
    if not (type(start) is int and type(end) is int and 0 <= start <= end):
        raise ValueError("a chunk is nowhere in its text")
    return ExportedChunk(text, start, end, _text(known))
