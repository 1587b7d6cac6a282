"""Which hits are of their documents' current versions: searching asks the database, which knows nothing of versions.

While a document is replaced its old and its new chunks are both there, and where a writer died some of them stay until
they are removed. A head is always current. Of other chunks the head says whether they are; it is read where there may
be any that are not: on an embedded store always, which takes microseconds, and on a server while an intent speaks of
the document (`nestvec._collections.intents`), so that a search usually is one request.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, TypeAlias

from nestvec._collections.intents import is_intent
from nestvec._documents.tidying import BLOCK, alive, current_revisions, known_intents, look

if TYPE_CHECKING:
    from nestvec._collections.intents import Intent
    from nestvec._collections.opening import OpenCollection, Target
    from nestvec.contract import Found, Query

    Answers: TypeAlias = Sequence[Sequence[Found]]
    #: Asks for the first so many hits of each question.
    Ask: TypeAlias = Callable[[int], Awaitable[list[list[Found]]]]

_NONE: frozenset[str] = frozenset()
#: Hits that are asked for beyond twice those that are wanted, where some may not be current.
_SPARE = 16


async def current(collection: OpenCollection, target: Target, answers: Answers) -> list[list[Found]]:
    """The hits that are current: their own document's version, and no intents."""
    doubtful = await _doubtful(collection, target, answers)
    if doubtful is None:
        return [list(hits) for hits in answers]
    revisions = await current_revisions(collection, target, doubtful)
    return [
        [hit for hit in hits if not is_intent(hit.record) and _is_current(hit, doubtful, revisions)] for hits in answers
    ]


async def spoken_of(collection: OpenCollection, target: Target) -> frozenset[str]:
    """The documents of which there may be chunks that are not current: looked at once a lease.

    Those that a writer is at work on; and where an intent is over, those of which there are such chunks indeed. It
    stays after a request that was repeated, too, and then usually nothing is wrong.
    """
    intents = await known_intents(collection, target)
    if not intents:
        return _NONE
    state, place = collection.state, (target.physical, collection.tenant)
    known = state.looks[place]
    if known.doubtful is None:
        known = replace(known, doubtful=await _with_others(collection, target, intents))
        state.looks = {**state.looks, place: known}
    return known.doubtful or _NONE


async def _with_others(collection: OpenCollection, target: Target, intents: Sequence[Intent]) -> frozenset[str]:
    at_work = alive(collection, intents)
    doubtful = {name for each in intents if each.revision in at_work for name in each.documents}
    over = sorted({name for each in intents for name in each.documents} - doubtful)
    for start in range(0, len(over), BLOCK):
        seen = await look(collection, target, over[start : start + BLOCK])
        doubtful |= {key for key, stored in seen.stored.items() if stored.others}
    return frozenset(doubtful)


async def _doubtful(collection: OpenCollection, target: Target, answers: Answers) -> set[str] | None:
    """Documents of which the head has to say which chunks are current; None where nothing is to be looked at."""
    chunks = {hit.record.document_id for hits in answers for hit in hits if hit.record.system.get("chunk")}
    if target.foreign is not None or not chunks:
        return None
    if not collection.shared:
        return chunks
    found = chunks & await spoken_of(collection, target)
    # An intent among the hits is younger than the last look.
    return found or (set() if "" in chunks else None)


def _is_current(hit: Found, doubtful: set[str], revisions: dict[str, int | str]) -> bool:
    key, system = hit.record.document_id, hit.record.system
    return key not in doubtful or not system.get("chunk") or revisions.get(key) == system["revision"]


async def complete_current(
    collection: OpenCollection, target: Target, query: Query, ask: Ask, found: Answers
) -> list[list[Found]]:
    """The current hits of each question: where some of those found are not, more are asked for, from the beginning."""
    kept = await current(collection, target, found)
    missing = _missing(found, kept)
    if not missing or all(len(hits) < query.limit for hits in found):
        return kept
    return await first_current(collection, target, query, ask, missing)


async def first_current(
    collection: OpenCollection, target: Target, query: Query, ask: Ask, missing: int = 0
) -> list[list[Found]]:
    """The current hits of each question, of so many more than are wanted that one request should do."""
    most, wanted = collection.capabilities.max_limit, query.offset + query.limit
    asked = 2 * (wanted + missing) + _SPARE
    while True:
        asked = min(asked, most) if most else asked
        found = await ask(asked)
        kept = await current(collection, target, found)
        if asked == most or _enough(found, kept, wanted, asked):
            return [hits[query.offset : wanted] for hits in kept]
        asked = 2 * (asked + _missing(found, kept))


def _missing(found: Answers, kept: Answers) -> int:
    return max((len(hits) - len(good) for hits, good in zip(found, kept, strict=True)), default=0)


def _enough(found: Answers, kept: Answers, wanted: int, asked: int) -> bool:
    """Whether each question has all hits that are wanted, or all that there are."""
    return all(len(good) >= wanted or len(hits) < asked for hits, good in zip(found, kept, strict=True))
