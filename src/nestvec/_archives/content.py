"""What is in an exported file: documents with their chunks and vectors, and a description of all of them.

Both formats hold the same. The checksum is over what documents hold, not over bytes, so it is the same in both, too.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import TYPE_CHECKING, Any

import numpy as np

from nestvec._damaged import DAMAGED
from nestvec._documents.layout import LONGEST_TEXT
from nestvec._metadata import from_json, to_json
from nestvec.encoding.vectors import without_direction
from nestvec.errors import CollectionConflict, SpaceError, SpaceMismatch
from nestvec.spaces import EmbeddingSpace
from nestvec.types import Metric
from nestvec.values import is_unicode

if TYPE_CHECKING:
    from nestvec._specs import CollectionSpec
    from nestvec.types import FloatArray

#: The version of what is in such a file: raise it when something is added that older versions would lose.
VERSION = 1


@dataclass(frozen=True, slots=True)
class ArchivedChunk:
    """A chunk without its vector. `text` is None where it is that of its span, or is not stored."""

    start: int
    end: int
    hash: str
    text: str | None = None

    def text_in(self, whole: str | None) -> str | None:
        """Its text, its document's being `whole`."""
        if self.text is not None or whole is None:
            return self.text
        return whole[self.start : self.end]


@dataclass(frozen=True, slots=True)
class ArchivedDocument:
    """A document as it was stored: by its hashes, a later ingestion of its source finds it unchanged.

    `text` is None where texts are not stored. `vectors` has a row for each chunk.
    """

    id: str
    text: str | None
    metadata: Mapping[str, Any]
    document_hash: str
    metadata_hash: str
    layout: str
    chunks: Sequence[ArchivedChunk]
    vectors: FloatArray

    def plain(self) -> dict[str, Any]:
        """JSON values, without the vectors. Metadata have datetimes as nestvec keeps them in JSON."""
        return {
            "id": self.id,
            "text": self.text,
            "metadata": to_json(self.metadata),
            "document_hash": self.document_hash,
            "metadata_hash": self.metadata_hash,
            "layout": self.layout,
            "chunks": [asdict(chunk) for chunk in self.chunks],
        }

    @classmethod
    def read(cls, values: Mapping[str, Any], vectors: FloatArray) -> ArchivedDocument:
        """Read what `plain` gave. Raises `ValueError` that says what is wrong."""
        texts = {name: _text(values, name) for name in ("id", "document_hash", "metadata_hash", "layout")}
        if not texts["id"]:
            raise ValueError("its id is empty")
        text, metadata, chunks = values.get("text"), values.get("metadata"), values.get("chunks")
        if text is not None and not isinstance(text, str):
            raise ValueError("its text is no text")
        if not isinstance(metadata, dict):
            raise ValueError("its metadata are no object")  # noqa: TRY004
        if not isinstance(chunks, list) or not chunks or len(chunks) != len(vectors):
            raise ValueError("it needs one or more chunks, each with a vector")
        read = [_chunk(chunk, number) for number, chunk in enumerate(chunks)]
        return cls(text=text, metadata=_untagged(metadata), chunks=read, vectors=vectors, **texts)


def _text(values: Mapping[str, Any], name: str) -> str:
    value = values.get(name)
    if not isinstance(value, str) or not is_unicode(value):
        raise ValueError(f"its {name} is no text")
    return value


def _untagged(metadata: dict[str, Any]) -> dict[str, Any]:
    try:
        found: dict[str, Any] = from_json(metadata)
    except DAMAGED as error:
        raise ValueError(f"its metadata cannot be read: {error!r:.100}") from error
    return found


def _chunk(values: Any, number: int) -> ArchivedChunk:
    where = f"chunk {number}"
    if not isinstance(values, dict):
        raise ValueError(f"{where} is no object")  # noqa: TRY004
    start, end, text = values.get("start"), values.get("end"), values.get("text")
    if not (type(start) is int and type(end) is int and 0 <= start <= end <= LONGEST_TEXT):
        raise ValueError(f"{where} is at {start!r:.20} to {end!r:.20} of its document")
    if not isinstance(values.get("hash"), str) or not (text is None or isinstance(text, str)):
        raise ValueError(f"{where} has no hash, or something else than a text")
    return ArchivedChunk(start, end, values["hash"], text)


def check_vectors(vectors: FloatArray, dimensions: int) -> None:
    """Raise `ValueError` unless these are as many finite numbers each, and have a direction."""
    if vectors.ndim != 2 or vectors.shape[1] != dimensions:
        raise ValueError(f"its vectors are of shape {vectors.shape}, not of {dimensions} dimensions")
    if not np.isfinite(vectors).all():
        raise ValueError("a vector has numbers that are not finite")
    if without_direction(vectors).any():
        raise ValueError("a vector is all zeros, or of a length that float32 cannot square")


@dataclass(frozen=True, slots=True)
class ArchiveHeader:
    """What stands at the head of an exported file.

    `documents`, `chunks` and `checksum` are known when all is written. `canaries` is the note that tells hosts apart.
    """

    collection: str
    namespace: str | None
    space: EmbeddingSpace
    metric: Metric
    fields: Mapping[str, str]
    canaries: str | None = None
    documents: int = 0
    chunks: int = 0
    checksum: str = "sha256:" + "0" * 64

    def to_text(self) -> str:
        """JSON, on one line."""
        named = {each.name: getattr(self, each.name) for each in fields(self)}
        plain = {**named, "space": self.space.to_dict(), "metric": self.metric.value, "fields": dict(self.fields)}
        return json.dumps({"nestvec_export": VERSION, **plain}, separators=(",", ":"))

    @classmethod
    def read(cls, text: str | bytes) -> ArchiveHeader:
        """Read what `to_text` wrote. Raises `ValueError` that says what is wrong."""
        try:
            value = json.loads(text)
            version = value["nestvec_export"]
        except DAMAGED as error:
            raise ValueError(
                "it is no export of nestvec: its beginning says nothing of a space; `nestvec ingest` reads files of "
                "documents"
            ) from error
        if version != VERSION:
            raise ValueError(f"its format has version {version!r:.20}; this nestvec reads version {VERSION}")
        try:
            return cls._parse(value)
        except (*DAMAGED, SpaceError) as error:
            raise ValueError(f"its header is damaged: {error!r:.200}") from error

    @classmethod
    def _parse(cls, value: Mapping[str, Any]) -> ArchiveHeader:
        counts = (value["documents"], value["chunks"])
        texts = (value["collection"], value["checksum"], value["canaries"] or "", value["namespace"] or "")
        if not all(type(count) is int and count >= 0 for count in counts):
            raise ValueError(f"it counts {counts!r:.60}")
        if not all(isinstance(text, str) for text in texts) or not isinstance(value["fields"], dict):
            raise TypeError("a name is no text")
        return cls(
            **{each.name: value[each.name] for each in fields(cls) if each.name not in ("space", "metric")},
            space=EmbeddingSpace.from_dict(value["space"]),
            metric=Metric(value["metric"]),
        )

    def require_fits(self, spec: CollectionSpec) -> None:
        """Raise `SpaceMismatch` or `CollectionConflict` unless the vectors are what such a collection holds."""
        differences = self.space.differences(spec.space)
        if differences:
            lines = "".join(f"\n  {name}: exported {was!r}, wanted {now!r}" for name, (was, now) in differences.items())
            raise SpaceMismatch(
                f"collection {spec.name!r} is of space {spec.space.fingerprint}, and the file, an export of "
                f"{self.collection!r}, holds vectors of {self.space.fingerprint}; they cannot be compared:{lines}\n"
                f"Nothing was imported. Import it into a collection of that space, and migrate that.",
                differences,
            )
        if self.metric is not spec.metric:
            raise CollectionConflict(
                f"collection {spec.name!r} has metric {spec.metric.value!r}, and the file, an export of "
                f"{self.collection!r}, was of one with {self.metric.value!r}; give the collection that metric. "
                f"Nothing was imported"
            )


class Tally:
    """Counts documents, and makes their checksum."""

    def __init__(self) -> None:
        self.documents = 0
        self.chunks = 0
        self._digest = hashlib.sha256()

    def add(self, document: ArchivedDocument) -> None:
        """One more, in order."""
        self.documents += 1
        self.chunks += len(document.chunks)
        plain = json.dumps(document.plain(), separators=(",", ":"), ensure_ascii=False).encode()
        rows = np.ascontiguousarray(document.vectors, "<f4").tobytes()
        self._digest.update(b"%d:%s%d:%s" % (len(plain), plain, len(rows), rows))

    @property
    def checksum(self) -> str:
        """Of all documents so far."""
        return "sha256:" + self._digest.hexdigest()

    def require(self, header: ArchiveHeader) -> None:
        """Raise `ValueError` where this is not what the header says."""
        if (self.documents, self.chunks) != (header.documents, header.chunks):
            raise ValueError(
                f"it is torn: its header tells of {header.documents:,} documents in {header.chunks:,} chunks, and "
                f"there are {self.documents:,} in {self.chunks:,}"
            )
        if self.checksum != header.checksum:
            raise ValueError("its checksum is not what its header says: it was damaged, or changed")
