"""Intents: what a writer puts beside the records that it is about to make a document's, or to remove.

Several processes may write one collection of a server, and none of them can lock it. So whoever changes a document
that has more than one record says so first, in a record of its own: an *intent* names the documents, the revision
under which their new records are written, and until when requests are sent. It is taken back when all is in order, and
stays where the writer died, met another one, or had to repeat a request. So

* a reader who finds no intent knows that every record is its document's;
* a record of a revision that has no intent is not about to become a document's, nor is any request about it under way;
* once an intent is *over*, whatever it speaks of may be put in order by anybody.

Intents have chunk number -1 and no document's id. Rules do not meet them (`WithoutIntents`), unless they ask for them.
On embedded stores, which one process writes, there are none.
"""

from __future__ import annotations

import json
import math
import uuid
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final

from nestvec._collections.write_fence import SKEW
from nestvec._damaged import DAMAGED
from nestvec._session.session import Backend
from nestvec.contract import Batch, Count, Scroll
from nestvec.filters import Filter, system
from nestvec.types import FieldType, Record
from nestvec.values import is_unicode

if TYPE_CHECKING:
    from collections.abc import Coroutine

CHUNK: Final = -1
LAYOUT: Final = "intent"
_NUMBER = system("chunk", FieldType.INTEGER)
#: Intents alone, and everything else.
INTENTS: Final[Filter] = _NUMBER == CHUNK
CHUNKS: Final[Filter] = _NUMBER > CHUNK
_NAMESPACE: Final = uuid.UUID("2a1b6c58-91a5-5b53-8c0e-6a3c1f0d7e42")
#: Characters of document ids in one record; backends keep some tens of kilobytes beside a vector.
_ROOM: Final = 12_000
_PAGE: Final = 256
#: Seconds beyond its lease for which nobody plans ahead.
_LONGEST: Final = 86_400.0


@dataclass(frozen=True, slots=True)
class Intent:
    """One writer's intent about some documents.

    `until` is the last moment at which a request about them is sent, in seconds since 1970. A request may be on its way
    for a lease more.
    """

    revision: str
    documents: frozenset[str]
    until: float
    #: The ids of its records.
    ids: tuple[str, ...] = field(default=(), compare=False)

    def over(self, now: float, lease: float) -> bool:
        """Whether no request of its writer can still arrive, by any clock that is right within `SKEW`.

        One that lies further ahead than a turn can last was damaged, or written by a clock that is wrong.
        """
        return now > self.until + lease + SKEW or self.until > now + lease + SKEW + _LONGEST

    def records(self) -> list[Record]:
        """As stored: as many records as the names of its documents take."""
        return [
            Record(intent_id(self.revision, number), "", None, {}, self._system(names))
            for number, names in enumerate(_portions(sorted(self.documents)))
        ]

    def _system(self, names: Sequence[str]) -> dict[str, str | int]:
        text = json.dumps(names, ensure_ascii=False, separators=(",", ":"))
        return {
            "chunk": CHUNK,
            "layout": LAYOUT,
            "revision": self.revision,
            "until": int(self.until) + 1,
            "documents": text,
        }


def intent_id(revision: int | str, number: int = 0) -> str:
    """The id of an intent's first record, or of another one."""
    return str(uuid.uuid5(_NAMESPACE, f"{revision}/{number}"))


def is_intent(record: Record) -> bool:
    """Whether a record is (part of) an intent."""
    return record.system.get("chunk") == CHUNK


def read_intents(records: Iterable[Record]) -> tuple[Intent, ...]:
    """The intents among some records.

    They come from a server, where anything may have happened to them. One that cannot be understood is an intent about
    no documents, and over: it holds nobody up, and whoever tidies up next removes it.
    """
    parts: dict[str, list[Intent]] = {}
    for record in records:
        if is_intent(record):
            part = _read(record)
            parts.setdefault(part.revision, []).append(part)
    return tuple(_joined(revision, found) for revision, found in parts.items())


def _read(record: Record) -> Intent:
    """One record of an intent, alone."""
    try:
        return _understood(record)
    except DAMAGED:
        return Intent("", frozenset(), 0.0, (record.id,))


def _understood(record: Record) -> Intent:
    revision, until = record.system["revision"], float(record.system["until"])
    names = json.loads(str(record.system["documents"]))
    if not isinstance(revision, str) or not math.isfinite(until) or not isinstance(names, list):
        raise ValueError(record.id)
    if not all(isinstance(name, str) and is_unicode(name) for name in names):
        raise ValueError(record.id)
    return Intent(revision, frozenset(names), until, (record.id,))


def _joined(revision: str, parts: Sequence[Intent]) -> Intent:
    names = frozenset(name for part in parts for name in part.documents)
    ids = tuple(identity for part in parts for identity in part.ids)
    return Intent(revision, names, max(part.until for part in parts), ids)


def _portions(names: Sequence[str]) -> Iterator[list[str]]:
    portion, size = list[str](), 0
    for name in names:
        if portion and size + len(name) > _ROOM:
            yield portion
            portion, size = [], 0
        portion.append(name)
        size += len(name) + 3
    yield portion


class WithoutIntents(Backend):
    """A backend whose scrolls and counts know of no intents. (Searches meet them: `nestvec._documents.current`.)"""

    __slots__ = ()

    async def scroll(self, request: Scroll) -> Batch:
        """A page without intents: it may be shorter."""
        batch = await Backend.scroll(self, request)
        kept = [row for row, record in enumerate(batch.records) if not is_intent(record)]
        if len(kept) == len(batch.records):
            return batch
        vectors = batch.vectors and {name: rows[kept] for name, rows in batch.vectors.items()}
        return replace(batch, records=[batch.records[row] for row in kept], vectors=vectors)

    def count(self, request: Count) -> Coroutine[Any, Any, int]:
        """What is counted by a filter is chosen by it."""
        return Backend.count(self, request if request.where is not None else replace(request, where=CHUNKS))


async def find_intents(records: Backend, physical: str) -> tuple[Intent, ...]:
    """All intents in a collection: one request, as a rule answered with nothing."""
    found: list[Record] = []
    cursor: str | int | None = None
    while True:
        batch = await Backend.scroll(records, Scroll(physical, INTENTS, _PAGE, cursor, content=False))
        found += batch.records
        cursor = batch.cursor
        if cursor is None:
            return read_intents(found)
