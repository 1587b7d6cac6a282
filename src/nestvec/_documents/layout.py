"""How a document lies in the database: computed ids, and the bookkeeping in each record.

A document is a *head* (chunk 0) and the chunks 1, 2, …. The head's id depends on namespace and document only;
the others' also on the *revision*, 0 or 1, that the head names. To replace a document, its new chunks are
written under the other revision in ascending order, then the head (one record: the switch is atomic), then the
old chunks are removed in descending order. To delete a document, its head goes first, then its chunks in descending
order. So at every moment

* whoever sees the head sees one complete version (both for a moment, neither never), and
* records of the revision that the head does not name are an ascending run 1…k, empty if chunk 1 is absent.

That is all a later run needs to find and remove what an interrupted one left, without a scan.
"""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache

from nestvec._metadata import restore_metadata
from nestvec.types import Field, Metadata, Record, Span

_NAMESPACE = uuid.UUID("6f9b1ab1-3f5e-5d5c-9a39-0d1f7a3f1c4e")
REVISIONS = (0, 1)


# A document's ids are asked for on looking up, comparing and writing: a batch fits into the cache.
@lru_cache(maxsize=8192)
def record_id(tenant: str | None, document_id: str, revision: int, chunk: int) -> str:
    """UUIDv5 over (namespace, document id, revision, chunk), length-prefixed: no two can run together.

    >>> record_id(None, "a", 0, 0) == record_id("", "a", 0, 0)
    False
    """
    parts = ("-" if tenant is None else "+" + tenant, document_id, str(revision), str(chunk))
    name = "".join([f"{len(part)}:{part}" for part in parts])
    return _uuid5(name)


def _uuid5(name: str) -> str:
    """`str(uuid.uuid5(_NAMESPACE, name))`, in a third of the time: there are three for each document."""
    digits = hashlib.sha1(_NAMESPACE.bytes + name.encode(), usedforsecurity=False).hexdigest()
    variant = "89ab"[int(digits[16], 16) & 3]
    return f"{digits[:8]}-{digits[8:12]}-5{digits[13:16]}-{variant}{digits[17:20]}-{digits[20:32]}"


def head_id(tenant: str | None, document_id: str) -> str:
    """The id of a document's first chunk, the same for every revision."""
    return record_id(tenant, document_id, 0, 0)


def chunk_ids(tenant: str | None, document_id: str, revision: int, chunks: range) -> list[str]:
    """The ids of some chunks of one revision. Chunk 0 is the head."""
    return [
        record_id(tenant, document_id, revision, chunk) if chunk else head_id(tenant, document_id) for chunk in chunks
    ]


def marker_id(tenant: str | None, document_id: str, revision: int) -> str:
    """The record that is there exactly if a revision has any besides the head."""
    return record_id(tenant, document_id, revision, 1)


def hash_text(text: str) -> str:
    """32 hexadecimal digits of SHA-256 over the UTF-8 text."""
    return hashlib.sha256(text.encode()).hexdigest()[:32]


@dataclass(frozen=True, slots=True)
class Head:
    """What the first chunk says about its document."""

    revision: int
    chunks: int
    document_hash: str
    metadata_hash: str
    layout: str

    @property
    def version(self) -> str:
        """Names this version of the document; every chunk carries it."""
        return hash_text(f"{self.document_hash}/{self.metadata_hash}/{self.layout}")[:16]

    @classmethod
    def of(cls, record: Record) -> Head:
        """Read it from the record of chunk 0."""
        system = record.system
        return cls(
            revision=int(system["revision"]),
            chunks=int(system["chunks"]),
            document_hash=str(system["document_hash"]),
            metadata_hash=str(system["metadata_hash"]),
            layout=str(system["layout"]),
        )

    def system(self) -> dict[str, str | int]:
        """Its bookkeeping, as stored."""
        return {
            "chunks": self.chunks,
            "document_hash": self.document_hash,
            "metadata_hash": self.metadata_hash,
        }


def make_record(
    *,
    tenant: str | None,
    document_id: str,
    chunk: int,
    span: Span,
    text: str,
    text_hash: str,
    metadata: Metadata,
    head: Head,
    store_text: bool,
) -> Record:
    """The record of one chunk. Chunk 0 carries the head."""
    system: dict[str, str | int] = {
        "chunk": chunk,
        "start": span[0],
        "end": span[1],
        "hash": text_hash,
        "revision": head.revision,
        "version": head.version,
        "layout": head.layout,
    }
    if chunk == 0:
        system |= head.system()
    (identity,) = chunk_ids(tenant, document_id, head.revision, range(chunk, chunk + 1))
    return Record(identity, document_id, text if store_text else None, metadata, system)


def span_of(record: Record) -> Span:
    """The chunk's character range in its document; all of it in an adopted collection."""
    if not record.system:
        return 0, len(record.text or "")
    return int(record.system["start"]), int(record.system["end"])


def restored(record: Record, fields: Mapping[str, Field]) -> Record:
    """The record with the values of declared fields as those fields' types."""
    return replace(record, metadata=restore_metadata(record.metadata, fields), system=dict(record.system))
