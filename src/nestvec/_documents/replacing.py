"""Writing new versions of documents in the place of old ones: the one writer of ingestion, migration and copies.

The order is that of `nestvec._documents.layout`: chunks, then heads, then the removal of what was there. So whatever
breaks off, a reader sees one whole version. Where other processes may write, too, an intent comes first and goes last,
and what there is to be removed is looked at instead of computed (`nestvec._documents.tidying`).
"""

from __future__ import annotations

import secrets
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np

from nestvec._collections.intents import Intent
from nestvec._collections.opening import TurnEnded, WriteTurn, write_within_lease
from nestvec._documents.funnel import named
from nestvec._documents.layout import Head, chunk_ids
from nestvec._documents.tidying import POLLS, Look, Verdict, current_revisions, judge, look, remove, without
from nestvec.contract import Write
from nestvec.errors import BackendRefused
from nestvec.types import DENSE

if TYPE_CHECKING:
    from nestvec._collections.opening import OpenCollection, Target
    from nestvec.types import FloatArray, Record

#: How many turns a replacement is given, and by how many records a turn is a lease longer.
TURNS = 3
_RECORDS_A_LEASE = 1000
#: Seconds that a turn has at least, however short leases are.
_SHORTEST = 1.0


@dataclass(frozen=True, slots=True)
class Replacement:
    """A document to be written: its records, the head first, and a row of `vectors` for each.

    `vectors` are the full ones, shape (records, dimensions). `old` is the head of the version that is there.
    """

    document_id: str
    records: Sequence[Record]
    vectors: FloatArray
    old: Head | None = None

    @property
    def chunk_ids(self) -> list[str]:
        """Of all records but the head, last to first."""
        return [record.id for record in self.records[1:]][::-1]

    @property
    def chunked(self) -> bool:
        """Whether it takes more than one record to be written, or to be removed."""
        return len(self.records) > 1 or (self.old is not None and self.old.chunks > 1)

    def under(self, revision: int | str, tenant: str | None) -> Replacement:
        """The same, to be written under another revision."""
        ids = chunk_ids(tenant, self.document_id, revision, range(len(self.records)))
        records = [
            replace(record, id=identity, system={**record.system, "revision": revision})
            for record, identity in zip(self.records, ids, strict=True)
        ]
        return replace(self, records=records)


@dataclass(slots=True)
class ReplacementOutcome:
    """What became of replacements.

    `superseded` are those in whose place another writer's version is by now. `removed` counts chunks that went.
    """

    stored: list[Replacement] = field(default_factory=list)
    superseded: list[Replacement] = field(default_factory=list)
    refused: list[tuple[Replacement, BackendRefused]] = field(default_factory=list)
    removed: int = 0


def begin_turn(collection: OpenCollection, records: int = 1) -> WriteTurn:
    """A turn for writing so many records to a shared collection: a lease, and more where they are many."""
    length = max(collection.state.lease, _SHORTEST) * (1 + records / _RECORDS_A_LEASE)
    return WriteTurn(secrets.token_hex(8), collection.clock() + length)


async def replace_documents(
    collection: OpenCollection, target: Target, replacements: Sequence[Replacement], turn: WriteTurn | None
) -> ReplacementOutcome:
    """Write them, in as many requests as the backend needs. Raises what the backend raises, except `BackendRefused`.

    Whatever is refused is halved until the guilty document is alone. Where the turn ends before all is written, it is
    begun again in another one.
    """
    outcome, turns = ReplacementOutcome(), 1
    if not replacements:
        return outcome
    intent, waiting = _intent(collection, replacements, turn), [replacements]
    while waiting:
        part = waiting.pop()
        try:
            await _write(collection, target, part, turn, intent)
        except BackendRefused as error:
            if len(part) == 1:
                await remove(collection, target, part[0].chunk_ids)  # some may have been written
                outcome.refused.append((part[0], error))
            else:
                middle = len(part) // 2
                waiting += [part[middle:], part[:middle]]
        except TurnEnded as ended:
            if turns == TURNS:
                raise ended.reason from ended
            turns, turn = turns + 1, begin_turn(collection, sum(len(each.records) for each in replacements))
            turn.soil()  # what the last one sent may still arrive
            replacements = [each.under(turn.revision, collection.tenant) for each in replacements]
            intent = _intent(collection, replacements, turn)
            outcome, waiting = ReplacementOutcome(), [replacements]
        else:
            outcome.stored += part
    if turn is not None:
        await _put_in_order(collection, target, outcome, turn, intent)
    elif stale := _stale(collection, outcome.stored):
        outcome.removed = await remove(collection, target, stale)
    return outcome


async def _write(
    collection: OpenCollection,
    target: Target,
    replacements: Sequence[Replacement],
    turn: WriteTurn | None,
    first: Sequence[Record],
) -> None:
    """Chunks, then heads; before both of them the intent, which costs no request of its own."""
    chunks = [record for each in replacements for record in each.records[1:]]
    if chunks:
        rows = np.concatenate([each.vectors[1:] for each in replacements])
        request = _writing(collection, target, [*first, *chunks], _after(first, rows))
        await write_within_lease(collection, target, request, turn)
        first = ()
    heads, rows = [each.records[0] for each in replacements], np.stack([each.vectors[0] for each in replacements])
    request = _writing(collection, target, [*first, *heads], _after(first, rows))
    await write_within_lease(collection, target, request, turn)


def _intent(collection: OpenCollection, replacements: Sequence[Replacement], turn: WriteTurn | None) -> list[Record]:
    return [] if turn is None else intent_of(collection, [each.document_id for each in replacements], turn).records()


def intent_of(collection: OpenCollection, documents: Sequence[str], turn: WriteTurn) -> Intent:
    """What a turn says about these documents."""
    return Intent(turn.revision, frozenset(documents), collection.state.wall() + turn.ends - collection.clock())


async def announce(
    collection: OpenCollection, target: Target, documents: Sequence[str], turn: WriteTurn
) -> list[Record]:
    """Say what is about to be done to these documents, in a request of its own; returns what says it."""
    records = intent_of(collection, documents, turn).records()
    await _write_intent(collection, target, records, turn)
    return records


async def settle(
    collection: OpenCollection,
    target: Target,
    look_again: Callable[[], Awaitable[Verdict]],
    turn: WriteTurn,
    intent: Sequence[Record],
) -> tuple[int, set[str]]:
    """End a turn: remove what is left over, and with it the intent, in one request unless somebody is in the way.

    Then it is looked at again, a few times; in the end the intent stays, and says that it is over. It stays as it is
    where a request may yet take effect. Returns how many leftovers went, and the documents that are contested.
    """
    removed = 0
    for pause in (*POLLS, None):
        verdict = await look_again()
        done = turn.clean and not verdict.contested
        await remove(collection, target, [*verdict.removable, *(record.id for record in intent if done)])
        removed += len(verdict.leftovers)
        if not verdict.contested or pause is None:
            break
        await collection.session.wait(pause)
    if turn.clean and verdict.contested:
        over = [replace(record, system={**record.system, "until": 0}) for record in intent]
        await _write_intent(collection, target, over, None)
    return removed, verdict.contested


async def _write_intent(
    collection: OpenCollection, target: Target, records: Sequence[Record], turn: WriteTurn | None
) -> None:
    vectors = np.zeros((len(records), collection.spec.space.dimensions), np.float32)
    vectors[:, 0] = -1  # some databases take no zeros
    await write_within_lease(collection, target, _writing(collection, target, records, vectors), turn)


def _after(intents: Sequence[Record], rows: FloatArray) -> FloatArray:
    """Vectors for the intents before the others': as far as can be from what they stand for, and none zero."""
    return np.concatenate([np.repeat(-rows[:1], len(intents), axis=0), rows]) if intents else rows


def _stale(collection: OpenCollection, stored: Sequence[Replacement]) -> list[str]:
    """The old versions' chunks, last to first; their heads are overwritten."""
    return [
        identity
        for each in stored
        if each.old is not None
        for identity in chunk_ids(collection.tenant, each.document_id, each.old.revision, range(1, each.old.chunks))[
            ::-1
        ]
    ]


async def _put_in_order(
    collection: OpenCollection, target: Target, outcome: ReplacementOutcome, turn: WriteTurn, intent: Sequence[Record]
) -> None:
    """Look at what is there now, remove what is left over, and take the intent back unless somebody is in the way."""
    written = {each.document_id: each for each in outcome.stored}
    # Where a document has had one record all along, another one is seldom found beside its head, which is known.
    chunked = [key for key, each in written.items() if each.chunked]
    single = [key for key, each in written.items() if not each.chunked]
    ended = {each.document_id: each.old.revision for each in outcome.stored if each.old is not None}
    beaten: set[str] = set()

    async def look_again() -> Verdict:
        nonlocal beaten
        seen = await look(collection, target, chunked, single)
        beaten = await _beaten(collection, target, seen, turn)
        verdict = await judge(collection, target, without(seen, turn), written.keys() - beaten, ended)
        own = [identity for key in beaten for identity in seen.stored[key].of(turn.revision)] if turn.clean else []
        return replace(verdict, done=[*own, *verdict.done])

    outcome.removed, _ = await settle(collection, target, look_again, turn, intent)
    outcome.superseded = [written[key] for key in written if key in beaten]
    outcome.stored = [each for each in outcome.stored if each.document_id not in beaten]


async def _beaten(collection: OpenCollection, target: Target, seen: Look, turn: WriteTurn) -> set[str]:
    """Documents that are somebody else's version by now, or gone; what is written under the turn never comes back."""
    others = ((key, found) for key, found in seen.stored.items() if found.head or found.chunks)
    perhaps = {key for key, found in others if found.revision != turn.revision}
    now = await current_revisions(collection, target, perhaps)
    return {key for key in perhaps if now.get(key) != turn.revision}


async def write_records(
    collection: OpenCollection, target: Target, records: Sequence[Record], vectors: FloatArray
) -> None:
    """Write records with their full vectors, shape (records, dimensions), and with the prefixes of a funnel."""
    await write_within_lease(collection, target, _writing(collection, target, records, vectors))


def _writing(collection: OpenCollection, target: Target, records: Sequence[Record], vectors: FloatArray) -> Write:
    spec = collection.spec
    return Write(target.physical, records, named(spec, vectors) if spec.funnel else {DENSE: vectors})
