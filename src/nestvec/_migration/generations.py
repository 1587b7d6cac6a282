"""The generations of a collection: which there are, which of them is read and written, and what the others are."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass, fields, replace
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from nestvec._collections.checks import require_origin
from nestvec._collections.write_fence import FenceState, GenerationPlace, WriteFence, read_fence
from nestvec._damaged import DAMAGED
from nestvec._migration.report import MigrationStage
from nestvec._specs import StoredCollection
from nestvec.contract import CollectionInfo, Describe, ListCollections, ReadNote, ResolveAlias, WriteNote
from nestvec.errors import CollectionConflict, CollectionError, CollectionMoved, CollectionNotFound, SpaceError

if TYPE_CHECKING:
    from nestvec._collections.opening import OpenCollection
    from nestvec._session.session import Backend
    from nestvec._specs import CollectionSpec

#: The name of the note in which a generation keeps where it comes from.
NOTE = "migration"
#: The mark of a candidate, in its record.
CANDIDATE_MARK = "shadow"


class GenerationRole(StrEnum):
    """What a generation is.

    Attributes:
        LIVE: It is read and written.
        CANDIDATE: A migration fills it, or was broken off.
        RETIRED: It was live once.
    """

    LIVE = "live"
    CANDIDATE = "candidate"
    RETIRED = "retired"


@dataclass(frozen=True, slots=True)
class MigrationNote:
    """The progress note of a generation that a migration makes, or made: where it comes from, and how far it is.

    `left` is when the alias left the place that it comes from (seconds since 1970), once it has. `back`: it was live
    before, and this goes back to it.
    """

    id: str
    source: GenerationPlace
    stage: MigrationStage = MigrationStage.COPYING
    started: float = 0.0
    left: float | None = None
    back: bool = False

    @property
    def done(self) -> bool:
        """Whether the migration came to its end."""
        return self.stage is MigrationStage.DONE

    def to_text(self) -> str:
        """JSON."""
        return json.dumps({"version": 1, **asdict(self)})

    @classmethod
    def from_text(cls, text: str, physical: str) -> MigrationNote:
        """Read what `to_text` wrote. Raises `CollectionError` for anything else."""
        try:
            value: dict[str, Any] = json.loads(text)
            known = {item.name: value[item.name] for item in fields(cls)} if value["version"] == 1 else {}
            return cls(
                **known | {"source": GenerationPlace(**known["source"]), "stage": MigrationStage(known["stage"])}
            )
        except DAMAGED as error:
            raise CollectionError(
                f"the note {NOTE!r} of collection {physical!r} cannot be read ({error!r}): another version of nestvec "
                f"migrates it, or it was changed by hand; run that version again"
            ) from error


async def read_note(backend: Backend, physical: str) -> MigrationNote | None:
    """Where a generation comes from; None: `apply` made it."""
    text = await backend.read_note(ReadNote(physical, NOTE))
    return None if text is None else MigrationNote.from_text(text, physical)


async def write_note(backend: Backend, physical: str, note: MigrationNote, **changes: Any) -> MigrationNote:
    """Keep it, with changes; returns it."""
    changed = replace(note, **changes)
    await backend.write_note(WriteNote(physical, NOTE, changed.to_text()))
    return changed


@dataclass(frozen=True, slots=True)
class Generation:
    """A physical collection of nestvec's own. `stored` is None where its record cannot be read."""

    place: GenerationPlace
    number: int
    role: GenerationRole
    info: CollectionInfo
    stored: StoredCollection | None
    fence: WriteFence | None
    note: MigrationNote | None

    @property
    def moved(self) -> bool:
        """Whether its fence says that the collection went elsewhere."""
        return self.fence is not None and self.fence.state is FenceState.MOVED

    @property
    def record(self) -> StoredCollection:
        """What its record says. Raises `SpaceUnknown` or `SpaceError` where it cannot be read."""
        if self.stored is not None:
            return self.stored
        return StoredCollection.read(self.info.record, self.place.physical)


@dataclass(frozen=True, slots=True)
class CollectionLocations:
    """A collection as it is wanted, and as it was before, if the configuration says so: maybe on another backend."""

    wanted: OpenCollection
    previous: OpenCollection | None = None

    def at(self, backend: str) -> OpenCollection:
        """The one on a backend."""
        if self.previous is None or self.wanted.spec.backend == backend:
            return self.wanted
        return self.previous

    def __iter__(self) -> Iterator[OpenCollection]:
        """One for each backend, that where it is wanted first."""
        yield self.wanted
        if self.previous is not None and self.previous.spec.backend != self.wanted.spec.backend:
            yield self.previous


@dataclass(frozen=True, slots=True)
class Generations:
    """All generations of a collection: those on the backend where it is wanted first; on each, oldest first."""

    all: tuple[Generation, ...]

    @property
    def live(self) -> list[Generation]:
        """Those that can be read by the collection's name: one, or two while a switch comes to its end."""
        return [each for each in self.all if each.role is GenerationRole.LIVE]

    @property
    def others(self) -> list[Generation]:
        """Those that nobody reads by the collection's name."""
        return [each for each in self.all if each.role is not GenerationRole.LIVE]

    @property
    def half_switched(self) -> Generation | None:
        """A live generation whose migration broke off after the alias had moved to it, if there is one.

        Or was ended, and another run lifted the fence of what it had left: of two that are live, the later one counts.
        """
        places = [each.place for each in self.live]
        halves = [each for each in self.live if each.note is not None and each.note.source in places]
        broken = [each for each in self.live if each.note is not None and not each.note.done]
        return max(broken or halves, key=_arrived, default=None)

    def the_live(self, spec: CollectionSpec) -> Generation:
        """The generation that is read and written.

        Raises `CollectionNotFound`, `CollectionMoved`, `CollectionConflict`, `SpaceUnknown`.
        """
        live = self.live
        if not live:
            self._require_not_moved(spec)
            raise CollectionNotFound(
                f"collection {spec.name!r} does not exist on backend {spec.backend!r}, nor where it was before; create "
                f"it with `nestvec apply` or apply(), or say in [collections.{spec.name}.previous] where it is"
            )
        if len(live) > 1:
            raise _two_live(spec, live[0], live[1])
        require_origin(spec, live[0].record)
        return live[0]

    def _require_not_moved(self, spec: CollectionSpec) -> None:
        """Raise `CollectionMoved` where one says that the collection went to a place that nobody told of."""
        known = {each.place for each in self.all}
        for each in reversed(self.all):
            if each.fence is not None and each.fence.to is not None and each.fence.to not in known:
                raise CollectionMoved(
                    f"collection {spec.name!r} moved from {each.place} to {each.fence.to}: set "
                    f"[collections.{spec.name}] of the configuration to what it is now, or, to bring it here, say in "
                    f"[collections.{spec.name}.previous] where it is"
                )


def _arrived(generation: Generation) -> float:
    """When the alias came to it; that of a note that is not done is the last to have moved."""
    note = generation.note
    return math.inf if note is None or note.left is None else note.left


def _two_live(spec: CollectionSpec, one: Generation, two: Generation) -> CollectionConflict:
    return CollectionConflict(
        f"collection {spec.name!r} is in use in two places, {one.place} and {two.place}, and neither came from the "
        f"other: which of them counts is not known. Nothing was changed. Take [collections.{spec.name}.previous] out "
        f"to keep {one.place}; that is right, too, where both blocks lead to one store. Only if they do not, drop that "
        f"one with the backend's own means to migrate {two.place}"
    )


async def find_generations(locations: CollectionLocations) -> Generations:
    """All that there are. Reads only."""
    found: list[Generation] = []
    for collection in locations:
        found += await generations_on(collection)
    return Generations(tuple(found))


async def generations_on(collection: OpenCollection) -> list[Generation]:
    """Those on the collection's backend, oldest first."""
    spec, rules, backend = collection.spec, collection.capabilities.names, collection.backend
    aliased = await backend.resolve_alias(ResolveAlias(collection.state.alias))
    names = await backend.list_collections(ListCollections())
    numbered = sorted((number, name) for name in names if (number := rules.generation(spec.name, name)) is not None)
    found = []
    for number, physical in numbered:
        each = await read_generation(collection, number, physical, aliased)
        if each is not None:
            found.append(each)
    return found


async def next_number(collection: OpenCollection) -> int:
    """A number that no generation on the backend has, whoever made it."""
    spec, rules = collection.spec, collection.capabilities.names
    names = await collection.backend.list_collections(ListCollections())
    taken = [number for name in names if (number := rules.generation(spec.name, name)) is not None]
    return max(taken, default=0) + 1


async def read_generation(
    collection: OpenCollection, number: int, physical: str, aliased: str | None
) -> Generation | None:
    """One of them, `aliased` being where the alias leads; None where there is none (any more), or not nestvec's."""
    backend = collection.backend
    info = await backend.describe(Describe(physical))
    if info is None or info.record is None:
        return None
    try:
        stored = StoredCollection.read(info.record, physical)
    except SpaceError:
        stored = None
    if stored is not None and (stored.foreign is not None or stored.name != collection.spec.name):
        return None  # adopted, under whatever name
    try:
        fence = await read_fence(backend, physical)
        note = await read_note(backend, physical)
    except CollectionNotFound:  # dropped meanwhile
        return None
    role = _role(info, fence, aliased=physical == aliased)
    return Generation(GenerationPlace(collection.spec.backend, physical), number, role, info, stored, fence, note)


def _role(info: CollectionInfo, fence: WriteFence | None, *, aliased: bool) -> GenerationRole:
    moved = fence is not None and fence.state is FenceState.MOVED
    if aliased and not moved:
        return GenerationRole.LIVE
    marked = info.record is not None and info.record.get(CANDIDATE_MARK)
    return GenerationRole.CANDIDATE if marked else GenerationRole.RETIRED
