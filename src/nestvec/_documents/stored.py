"""What is stored of a document, found by computed ids; and clearing up after interrupted runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from nestvec._collections.opening import OpenCollection, Target, write_within_lease
from nestvec._documents.layout import REVISIONS, Head, chunk_ids, head_id, marker_id
from nestvec.contract import Fetch, Remove
from nestvec.types import Record

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

    @property
    def sound(self) -> Head | None:
        """The head, if all is well with its chunks."""
        return None if self.torn else self.head


async def read_states(collection: OpenCollection, target: Target, ids: Sequence[str]) -> dict[str, DocumentState]:
    """The state of each document: three ids each, no filter, no scan."""
    tenant = collection.tenant
    wanted = [
        identity
        for key in ids
        for identity in (head_id(tenant, key), *(marker_id(tenant, key, revision) for revision in REVISIONS))
    ]
    batch = await collection.records.fetch(Fetch(target.physical, wanted, content=False))
    found = {record.id: record for record in batch.records}
    return {key: _state(key, found, tenant) for key in ids}


def _state(key: str, found: Mapping[str, Record], tenant: str | None) -> DocumentState:
    stored = found.get(head_id(tenant, key))
    head = Head.of(stored) if stored is not None else None
    markers = {revision: found.get(marker_id(tenant, key, revision)) for revision in REVISIONS}
    torn = head is not None and head.chunks > 1 and not _of_version(markers[head.revision], head)
    current = head.revision if head is not None and not torn else None
    debris = tuple(revision for revision, marker in markers.items() if marker is not None and revision != current)
    return DocumentState(head, debris, torn)


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
