"""Deleting documents."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

from nestvec._collections.checks import check_tenant, require_own
from nestvec._collections.opening import OpenCollection, Target, TurnEnded, WriteTurn, on_current
from nestvec._documents.layout import chunk_ids, head_id, read_states, sweep
from nestvec._documents.reading import BLOCK, blocks, check_ids
from nestvec._documents.replacing import TURNS, announce, begin_turn, settle
from nestvec._documents.tidying import Look, Verdict, alive, judge, look, remove, tidy_after_dead, without
from nestvec.contract import Count, Event, Scroll
from nestvec.errors import CollectionError, InvalidInput
from nestvec.filters import Filter, FilterLike, resolve

if TYPE_CHECKING:
    from nestvec.types import Record


@dataclass(slots=True)
class Deletion:
    """How many documents a deletion found, over all of its tries: it may be begun again in another generation.

    Documents of a block that was broken off count where they were found, whether they are found again or not.
    """

    _done: int = 0
    _block: set[str] = field(default_factory=set)
    _broken_off: set[str] = field(default_factory=set)
    #: Documents that somebody else is about to write: what there is of them is left to that writer.
    contested: set[str] = field(default_factory=set)

    @property
    def total(self) -> int:
        """How many documents there were."""
        return self._done + len(self._broken_off | self._block)

    def begin(self) -> None:
        """A new block, or a new try of one."""
        self._broken_off |= self._block
        self._block = set()

    def found(self, ids: Iterable[str]) -> None:
        """These are about to be removed."""
        self._block.update(ids)

    def finish(self) -> None:
        """What was found of this block is gone for good."""
        self._done += len(self._block - self._broken_off)
        self._block = set()


async def delete_any(
    collection: OpenCollection,
    ids: Sequence[str | int] | str | int,
    where: FilterLike | None,
    *,
    everything: bool = False,
    deletion: Deletion | None = None,
) -> int:
    """Delete by id, by filter, or everything: exactly one of them must be given.

    Give the same `deletion` where it is begun again: it counts what all tries found.
    """
    require_own(collection.spec, "delete from it")
    chosen = check_ids(ids)
    if bool(chosen) + (where is not None) + everything != 1:
        raise InvalidInput("delete documents by id, by filter, or with everything=True: give exactly one of them")
    if everything:
        return await delete_where(collection, None, deletion)
    if where is None:
        return await delete(collection, chosen, deletion)
    if resolve(where, collection.spec.fields, open_fields=collection.spec.open_fields) is None:
        raise InvalidInput("an empty filter selects every document; to delete all of them, say everything=True")
    return await delete_where(collection, where, deletion)


async def delete(collection: OpenCollection, ids: Sequence[str], deletion: Deletion | None = None) -> int:
    """Delete documents by id; returns how many were there. What interrupted runs left goes, too."""
    check_tenant(collection.spec, collection.tenant)
    deletion = deletion or Deletion()
    for block in blocks(list(dict.fromkeys(ids))):
        await on_current(collection, partial(_delete, collection, block, deletion))
        deletion.finish()
    return deletion.total


async def delete_where(collection: OpenCollection, where: FilterLike | None, deletion: Deletion | None = None) -> int:
    """Delete all documents whose metadata match (None: all); returns how many."""
    check_tenant(collection.spec, collection.tenant)
    deletion = deletion or Deletion()
    matching = resolve(where, collection.spec.fields, open_fields=collection.spec.open_fields)
    while await on_current(collection, partial(_delete_some, collection, matching, deletion)):
        deletion.finish()
    collection.state.admission = None  # an emptied collection is free for any host
    return deletion.total


async def _delete_some(collection: OpenCollection, matching: Filter | None, deletion: Deletion, target: Target) -> bool:
    """Delete a block of those that match; returns whether there were any.

    Every chunk carries its document's metadata, so also what an interrupted run left is found.
    """
    before = await collection.records.count(Count(target.physical, matching))
    ids = await _matching(collection, target, matching, deletion.contested)
    if not ids:
        if matching is None:
            await tidy_after_dead(collection, target, fresh=True)
        return False
    await _delete(collection, ids, deletion, target)
    after = await collection.records.count(Count(target.physical, matching))
    if after >= before and not deletion.contested:
        raise CollectionError(
            f"collection {collection.spec.name!r}: {after} records match the filter and cannot be deleted; they were "
            f"not written by nestvec, or somebody else writes them all the time"
        )
    return True


async def _matching(
    collection: OpenCollection, target: Target, matching: Filter | None, contested: set[str]
) -> list[str]:
    """The documents of the first records that match, but for contested ones."""
    cursor: str | int | None = None
    while True:
        batch = await collection.records.scroll(Scroll(target.physical, matching, BLOCK, cursor, content=False))
        ids = [key for key in dict.fromkeys(record.document_id for record in batch.records) if key not in contested]
        cursor = batch.cursor
        if ids or cursor is None:
            return ids


async def _delete(collection: OpenCollection, ids: Sequence[str], deletion: Deletion, target: Target) -> None:
    """Heads go first, then chunks last to first: what an interruption leaves is found by the next run."""
    deletion.begin()
    gone = await (_delete_shared if collection.shared else _delete_own)(collection, ids, deletion, target)
    for key in gone:
        collection.session.emit(Event("document_deleted", collection.spec.name, {"document_id": key}))


async def _delete_own(
    collection: OpenCollection, ids: Sequence[str], deletion: Deletion, target: Target
) -> Sequence[str]:
    """Where one process writes: by computed ids. Returns the documents that were there."""
    states = await read_states(collection, target, ids)
    stored = {key: state for key, state in states.items() if state.head is not None}
    doomed = [head_id(collection.tenant, key) for key in stored]
    for key, state in stored.items():
        if state.sound is not None:
            doomed += chunk_ids(collection.tenant, key, state.sound.revision, range(1, state.sound.chunks))[::-1]
    deletion.found(stored)
    await remove(collection, target, doomed)
    await sweep(collection, target, states)
    return list(stored)


async def _delete_shared(
    collection: OpenCollection, ids: Sequence[str], deletion: Deletion, target: Target
) -> Sequence[str]:
    """Where others write, too: whatever is there of the documents, but for what others are about to write.

    Returns the documents that were there.
    """
    await tidy_after_dead(collection, target)
    seen = await look(collection, target, ids)
    there = [key for key in ids if seen.stored[key].head is not None]
    deletion.found(there)
    if not (there or any(found.chunks for found in seen.stored.values())):
        return there
    ended = {key: revision for key in there if (revision := seen.stored[key].revision) is not None}
    heads = [head_id(collection.tenant, key) for key in there]
    doomed = [*heads, *_of_their_own(collection, seen, there)]
    turn, intent = await _remove_announced(collection, target, ids, doomed)

    async def look_again() -> Verdict:
        seen = without(await look(collection, target, ids), turn)
        return await judge(collection, target, seen, ids, ended)

    _, contested = await settle(collection, target, look_again, turn, intent)
    deletion.contested |= contested
    return there


async def _remove_announced(
    collection: OpenCollection, target: Target, documents: Sequence[str], doomed: Sequence[str]
) -> tuple[WriteTurn, list[Record]]:
    """Say what is about to go, and remove it; returns the turn in which that was done, and what says it."""
    for number in range(1, TURNS + 1):
        turn = begin_turn(collection)
        try:
            if number > 1:
                turn.soil()  # what the last one sent may still arrive
            intent = await announce(collection, target, documents, turn)
            await remove(collection, target, doomed, turn)
        except TurnEnded as error:
            failure = error.reason
        else:
            return turn, intent
    raise failure


def _of_their_own(collection: OpenCollection, seen: Look, documents: Sequence[str]) -> list[str]:
    """The chunks of the documents' current versions; not those whose head may yet arrive once more."""
    at_work = alive(collection, seen.intents)
    return [
        identity
        for key in documents
        if (revision := seen.stored[key].revision) is not None and revision not in at_work
        for identity in seen.stored[key].of(revision)
    ]
