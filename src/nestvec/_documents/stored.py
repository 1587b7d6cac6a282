"""What is stored of a document, found by computed ids; and clearing up after interrupted runs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from nestvec._collections.opening import Binding, Flow, T, Target, bind_to_write, fence, send_fenced
from nestvec._documents.layout import REVISIONS, Head, chunk_ids, head_id, marker_id
from nestvec.contract import Batch, Fetch, Remove
from nestvec.errors import GenerationMoved
from nestvec.types import Record

_RUN = 64


@dataclass(frozen=True, slots=True)
class State:
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


def read_states(target: Target, ids: Sequence[str], tenant: str | None) -> Flow[dict[str, State]]:
    """The state of each document: three ids each, no filter, no scan."""
    wanted = [
        identity
        for key in ids
        for identity in (head_id(tenant, key), *(marker_id(tenant, key, revision) for revision in REVISIONS))
    ]
    batch: Batch = yield Fetch(target.physical, wanted, content=False, tenant=tenant)
    found = {record.id: record for record in batch.records}
    return {key: _state(key, found, tenant) for key in ids}


def _state(key: str, found: Mapping[str, Record], tenant: str | None) -> State:
    stored = found.get(head_id(tenant, key))
    head = Head.of(stored) if stored is not None else None
    markers = {revision: found.get(marker_id(tenant, key, revision)) for revision in REVISIONS}
    torn = head is not None and head.chunks > 1 and not _of_version(markers[head.revision], head)
    current = head.revision if head is not None and not torn else None
    debris = tuple(revision for revision, marker in markers.items() if marker is not None and revision != current)
    return State(head, debris, torn)


def _of_version(marker: Record | None, head: Head) -> bool:
    return marker is not None and marker.system.get("version") == head.version


def sweep(binding: Binding, target: Target, states: Mapping[str, State], tenant: str | None) -> Flow[int]:
    """Remove what interrupted runs left; returns how many records that were."""
    removed = 0
    for key, state in states.items():
        for revision in state.debris:
            ids = yield from _run(target, key, revision, tenant)
            yield from send_fenced(binding, target, Remove(target.physical, ids[::-1], tenant=tenant))
            removed += len(ids)
    return removed


def _run(target: Target, key: str, revision: int, tenant: str | None) -> Flow[list[str]]:
    """The ids of the run 1…k of records that no head names."""
    ids: list[str] = []
    start = 1
    while True:
        block = chunk_ids(tenant, key, revision, range(start, start + _RUN))
        batch: Batch = yield Fetch(target.physical, block, content=False, tenant=tenant)
        present = {record.id for record in batch.records}
        ids += [identity for identity in block if identity in present]
        if len(present) < _RUN:
            return ids
        start += _RUN


def on_current(binding: Binding, work: Callable[[Target], Flow[T]]) -> Flow[T]:
    """Run a writing flow on the current target; if the pointer moves meanwhile, run it again on the new one.

    What it read and wrote counts if the target is still the current one when it is done: an answer that came after
    the lease may be of a collection that somebody else has left already.
    """
    while True:
        target = yield from bind_to_write(binding)
        try:
            result = yield from work(target)
            yield from fence(binding, target)
        except GenerationMoved:
            continue
        else:
            return result
