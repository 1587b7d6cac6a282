"""How a document lies in the database: computed ids, and the bookkeeping in each record.

A document is a *head* (chunk 0) and the chunks 1, 2, …. The head's id depends on namespace and document only;
the others' also on the *revision* that the head names. To replace a document, its new chunks are written under another
revision in ascending order, then the head (one record: the switch is atomic), then the old chunks are removed in
descending order. To delete a document, its head goes first, then its chunks in descending order. So at every moment
whoever sees the head sees one complete version (both for a moment, neither never).

Where one process writes, revisions are 0 and 1 in turn. Then records of a revision that the head does not name are an
ascending run 1…k, empty if chunk 1 is absent: that is all a later run needs to find and remove what an interrupted one
left, without a scan. Where several processes may write, each change has a revision of its own, a random one, and what
is left over is found by its document's id: see `nestvec._documents.tidying`.
"""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

from nestvec._collections.opening import OpenCollection, Target, write_within_lease
from nestvec._damaged import DAMAGED
from nestvec._metadata import Projection
from nestvec.contract import Fetch, Remove
from nestvec.errors import CollectionError
from nestvec.types import Metadata, Record, Span

_NAMESPACE = uuid.UUID("6f9b1ab1-3f5e-5d5c-9a39-0d1f7a3f1c4e")
_NAMESPACE_BYTES = _NAMESPACE.bytes
REVISIONS = (0, 1)
#: Where a span may end: databases keep it as a whole number of 32 bits.
LONGEST_TEXT = 2**31 - 1


# A document's ids are asked for on looking up, comparing and writing: a batch fits into the cache.
@lru_cache(maxsize=8192)
def record_id(tenant: str | None, document_id: str, revision: int | str, chunk: int) -> str:
    """UUIDv5 over (namespace, document id, revision, chunk), length-prefixed: no two can run together.

    >>> record_id(None, "a", 0, 0) == record_id("", "a", 0, 0)
    False
    """
    owner, under, number = "-" if tenant is None else "+" + tenant, str(revision), str(chunk)
    return _uuid5(f"{len(owner)}:{owner}{len(document_id)}:{document_id}{len(under)}:{under}{len(number)}:{number}")


def _uuid5(name: str) -> str:
    """`str(uuid.uuid5(_NAMESPACE, name))`, in a third of the time: there are three for each document."""
    digits = hashlib.sha1(_NAMESPACE_BYTES + name.encode(), usedforsecurity=False).hexdigest()
    variant = "89ab"[int(digits[16], 16) & 3]
    return f"{digits[:8]}-{digits[8:12]}-5{digits[13:16]}-{variant}{digits[17:20]}-{digits[20:32]}"


def head_id(tenant: str | None, document_id: str) -> str:
    """The id of a document's first chunk, the same for every revision."""
    return record_id(tenant, document_id, 0, 0)


def chunk_ids(tenant: str | None, document_id: str, revision: int | str, chunks: range) -> list[str]:
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


def damaged_record(record: Record) -> CollectionError:
    """For a record whose bookkeeping cannot be read."""
    return CollectionError(
        f"record {record.id!r:.80} of document {record.document_id!r:.80} is damaged: its bookkeeping is not what "
        f"nestvec wrote; remove that record with the database's own client, then ingest the document again"
    )


@dataclass(frozen=True, slots=True)
class Head:
    """What the first chunk says about its document."""

    revision: int | str
    chunks: int
    document_hash: str
    metadata_hash: str
    layout: str

    @property
    def text_hash(self) -> str:
        """The hash of the document's text: all of `document_hash`, unless it came split or with vectors."""
        return self.document_hash.partition("-")[0]

    @property
    def version(self) -> str:
        """Names this version of the document; every chunk carries it."""
        return hash_text(f"{self.document_hash}/{self.metadata_hash}/{self.layout}")[:16]

    @classmethod
    def of(cls, record: Record) -> Head:
        """Read it from the record of chunk 0. Raises `CollectionError` for one that somebody changed."""
        try:
            system = record.system
            return cls(
                revision=system["revision"],
                chunks=int(system["chunks"]),
                document_hash=str(system["document_hash"]),
                metadata_hash=str(system["metadata_hash"]),
                layout=str(system["layout"]),
            )
        except DAMAGED as error:
            raise damaged_record(record) from error

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
    identity = record_id(tenant, document_id, head.revision, chunk) if chunk else head_id(tenant, document_id)
    return Record(identity, document_id, text if store_text else None, metadata, system)


def span_of(record: Record) -> Span:
    """The chunk's character range in its document; all of it in an adopted collection."""
    if not record.system:
        return 0, len(record.text or "")
    return int(record.system["start"]), int(record.system["end"])


def restored(record: Record, projection: Projection) -> Record:
    """The record with the metadata that were given."""
    return replace(record, metadata=projection.given(record.metadata), system=dict(record.system))


# ------------------------------------------------------------ what is stored of a document

_RUN = 64


@dataclass(frozen=True, slots=True)
class DocumentState:
    """What there is of a document.

    `head` is None if it is not stored. `debris` are the revisions of which there are records that no head vouches
    for. A document is `torn` if its chunks are not of the version that its head names: two writers replaced it at
    the same moment. Then its chunks are debris, too.
    """

    head: Head | None
    debris: tuple[int, ...]
    torn: bool = False
    #: The head, if all is well with its chunks.
    sound: Head | None = None


_NOTHING = DocumentState(None, ())


async def read_states(collection: OpenCollection, target: Target, ids: Sequence[str]) -> dict[str, DocumentState]:
    """The state of each document, by computed ids: no filter, no scan.

    Where several processes write, the head says it all: only what versions before them wrote, under the revisions 0
    and 1, is looked at more closely.
    """
    if not collection.shared:
        found = await _fetch(collection, target, [identity for key in ids for identity in _anchors(collection, key)])
        return {key: _state(key, found, collection.tenant) for key in ids}
    found = await _fetch(collection, target, [head_id(collection.tenant, key) for key in ids])
    early = [record.document_id for record in found.values() if Head.of(record).revision in REVISIONS]
    if early:
        found |= await _fetch(collection, target, [each for key in early for each in _anchors(collection, key)[1:]])
    return {key: _state(key, found, collection.tenant) for key in ids}


def _anchors(collection: OpenCollection, key: str) -> list[str]:
    """The ids that tell a document's state: its head's, and those that are there if a revision has any more."""
    tenant = collection.tenant
    return [head_id(tenant, key), *(marker_id(tenant, key, revision) for revision in REVISIONS)]


async def _fetch(collection: OpenCollection, target: Target, ids: Sequence[str]) -> dict[str, Record]:
    batch = await collection.records.fetch(Fetch(target.physical, ids, content=False))
    return {record.id: record for record in batch.records}


def _state(key: str, found: Mapping[str, Record], tenant: str | None) -> DocumentState:
    if not found:
        return _NOTHING
    stored = found.get(head_id(tenant, key))
    head = Head.of(stored) if stored is not None else None
    if head is not None and head.revision not in REVISIONS:
        return DocumentState(head, (), sound=head)
    markers = {revision: found.get(marker_id(tenant, key, revision)) for revision in REVISIONS}
    torn = head is not None and head.chunks > 1 and not _of_version(markers[int(head.revision)], head)
    current = head.revision if head is not None and not torn else None
    debris = tuple(revision for revision, marker in markers.items() if marker is not None and revision != current)
    return DocumentState(head, debris, torn, None if torn else head)


def _of_version(marker: Record | None, head: Head) -> bool:
    return marker is not None and marker.system.get("version") == head.version


async def sweep(collection: OpenCollection, target: Target, states: Mapping[str, DocumentState]) -> int:
    """Remove what interrupted runs left; returns how many records that were."""
    removed = 0
    for key, state in states.items():
        for revision in state.debris:
            ids = await _run(collection, target, key, revision)
            await write_within_lease(collection, target, Remove(target.physical, ids[::-1]))
            removed += len(ids)
    return removed


async def _run(collection: OpenCollection, target: Target, key: str, revision: int) -> list[str]:
    """The ids of the run 1…k of records that no head names."""
    ids: list[str] = []
    start = 1
    while True:
        block = chunk_ids(collection.tenant, key, revision, range(start, start + _RUN))
        batch = await collection.records.fetch(Fetch(target.physical, block, content=False))
        present = {record.id for record in batch.records}
        ids += [identity for identity in block if identity in present]
        if len(present) < _RUN:
            return ids
        start += _RUN
