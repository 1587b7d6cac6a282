"""The generations of a collection on one backend: which of them is read and written, and what the others are."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, fields, replace
from enum import StrEnum
from typing import Any

from nestvec._collections import write_fence as gates
from nestvec._collections.opening import OpenCollection
from nestvec._collections.write_fence import Gate, Place
from nestvec._migration.report import Stage
from nestvec._specs import StoredCollection
from nestvec.contract import CollectionInfo, Describe, ListCollections, ReadNote, ResolveAlias, WriteNote
from nestvec.errors import CollectionError, CollectionNotFound, SpaceError

#: The name of the note in which a generation keeps where it comes from.
NOTE = "migration"
#: In the record of a generation that is not finished.
SHADOW = "shadow"


class Standing(StrEnum):
    """What a generation is."""

    LIVE = "live"
    SHADOW = "shadow"
    RETIRED = "retired"


@dataclass(frozen=True, slots=True)
class Journal:
    """The note of a generation that a migration makes, or made: where it comes from, and how far it is.

    `left` is when the pointer left the place that it comes from (seconds since 1970), once it has. `back`: it was live
    before, and this goes back to it.
    """

    id: str
    source: Place
    stage: Stage = Stage.COPYING
    started: float = 0.0
    left: float | None = None
    back: bool = False

    def to_text(self) -> str:
        """JSON."""
        return json.dumps({"version": 1, **asdict(self)})

    @classmethod
    def from_text(cls, text: str, physical: str) -> Journal:
        """Read what `to_text` wrote. Raises `CollectionError` for anything else."""
        try:
            value: dict[str, Any] = json.loads(text)
            known = {item.name: value[item.name] for item in fields(cls)} if value["version"] == 1 else {}
            return cls(**known | {"source": Place(**known["source"]), "stage": Stage(known["stage"])})
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise CollectionError(
                f"the note {NOTE!r} of collection {physical!r} cannot be read ({error!r}): another version of nestvec "
                f"migrates it, or it was changed by hand; run that version again"
            ) from error


@dataclass(frozen=True, slots=True)
class Generation:
    """A physical collection of nestvec's own. `stored` is None where its record cannot be read."""

    place: Place
    number: int
    standing: Standing
    info: CollectionInfo
    stored: StoredCollection | None
    gate: Gate | None
    journal: Journal | None


async def generations(collection: OpenCollection) -> list[Generation]:
    """All generations on the collection's backend, oldest first; live is the one that can be read by its name."""
    spec, rules = collection.spec, collection.capabilities.names
    pointed = await collection.backend.resolve_alias(ResolveAlias(collection.alias))
    names = await collection.backend.list_collections(ListCollections())
    numbered = sorted((number, name) for name in names if (number := rules.generation(spec.name, name)) is not None)
    found = []
    for number, physical in numbered:
        each = await generation(collection, number, physical, pointed)
        if each is not None:
            found.append(each)
    return found


async def generation(collection: OpenCollection, number: int, physical: str, pointed: str | None) -> Generation | None:
    """One of them; None where there is no such collection (any more), or it is not nestvec's."""
    info = await collection.backend.describe(Describe(physical))
    if info is None or info.record is None:
        return None
    try:
        stored = StoredCollection.read(info.record, physical)
    except SpaceError:
        stored = None
    if stored is not None and (stored.foreign is not None or stored.name != collection.spec.name):
        return None  # adopted, under whatever name
    try:
        gate = await gates.read_fence(physical)
        journal = await read_journal(physical)
    except CollectionNotFound:  # dropped meanwhile
        return None
    place = Place(collection.spec.backend, physical)
    moved = gate is not None and gate.state is FenceState.MOVED
    standing = Standing.LIVE if physical == pointed and not moved else Standing.RETIRED
    if standing is Standing.RETIRED and info.record.get(SHADOW):
        standing = Standing.SHADOW
    return Generation(place, number, standing, info, stored, gate, journal)


async def read_journal(physical: str) -> Journal | None:
    """Where a generation comes from; None: `apply` made it."""
    text = await collection.backend.read_note(ReadNote(physical, NOTE))
    return None if text is None else Journal.from_text(text, physical)


async def write_journal(physical: str, journal: Journal, **changes: Any) -> Journal:
    """Keep it, with changes; returns it."""
    changed = replace(journal, **changes)
    await collection.backend.write_note(WriteNote(physical, NOTE, changed.to_text()))
    return changed
