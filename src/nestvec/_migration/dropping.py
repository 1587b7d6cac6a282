"""Dropping a collection: all its generations, its alias and its notes; of an adopted one, nestvec's record alone."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from nestvec._collections.opening import HEADS, OpenCollection, locate
from nestvec._collections.write_fence import GenerationPlace
from nestvec._hosts.note import NOTE as CANARIES
from nestvec._migration.generations import CollectionLocations, Generation, Generations, find_generations
from nestvec._migration.tidy import (
    CHANGED,
    Removal,
    in_order,
    is_to_be_ended,
    is_under_way,
    remove,
    require_no_switch,
    status_of,
)
from nestvec.contract import Adopt, Count, Event, WriteNote
from nestvec.errors import CollectionConflict, CollectionNotFound

if TYPE_CHECKING:
    from nestvec._migration.tidy import GenerationStatus


@dataclass(frozen=True, slots=True)
class DropReport:
    """What dropping a collection removed, or would remove.

    Attributes:
        collection, backend: The collection's name, and the backend's in the configuration.
        documents: How many the live generation has; of an adopted collection, how many records stay.
        generations: What was done with each generation, the live one last. Notes go with them, and so does the alias.
        adopted: The collection of somebody else that stays as it is: only nestvec's record of it goes. None: it is
            nestvec's own.
    """

    collection: str
    backend: str
    documents: int
    generations: tuple[Removal, ...] = ()
    adopted: str | None = None

    @property
    def done(self) -> bool:
        """Whether nothing of the collection's stayed."""
        return all(each.removed for each in self.generations)

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values.

        Returns:
            The fields by name, `generations` as of `Removal.to_dict`.

        Example:
            >>> nv.drop("docs", dry=True).to_dict()["documents"]
            3
        """
        generations = [each.to_dict() for each in self.generations]
        counted = {"collection": self.collection, "backend": self.backend, "documents": self.documents}
        return {**counted, "generations": generations, "adopted": self.adopted}


async def drop(
    locations: CollectionLocations, *, among: Iterable[GenerationStatus] | None = None, dry: bool = False
) -> DropReport:
    """Remove all generations, the live one last: an interrupted drop goes on when it is run again.

    With `among`, only if there are no others than these. `dry`: say what would be removed. Raises
    `CollectionNotFound` where there is nothing, and `CollectionConflict` while a migration is at work, or was
    interrupted, and where there are other generations by now.
    """
    spec = locations.wanted.spec
    if spec.foreign is not None:
        return await _forget(locations.wanted, dry=dry)
    found = await find_generations(locations)
    _require_something(locations, found)
    _require_no_migration(locations, found)
    if among is not None:
        _require_agreed(spec.name, found, among)
    documents = await _documents(locations, found)
    removals = [
        await _drop(locations, each, status, dry=dry)
        for each in (*in_order(locations, found.others), *found.live)
        for status in await status_of(locations, found, each)
    ]
    backend = found.live[0].place.backend if found.live else spec.backend
    return DropReport(spec.name, backend, documents, tuple(removals))


async def _drop(locations: CollectionLocations, each: Generation, status: GenerationStatus, *, dry: bool) -> Removal:
    if dry or await remove(locations.at(each.place.backend), each):
        return Removal(status, removed=True, reason=each.role.value)
    return Removal(status, removed=False, reason=CHANGED)


def _require_something(locations: CollectionLocations, found: Generations) -> None:
    """Raise `CollectionNotFound` where there is nothing; and what speaks against using it as what it is."""
    spec = locations.wanted.spec
    try:
        found.the_live(spec)
    except CollectionNotFound as error:
        if found.all:
            return  # what is left of a drop that was interrupted, or of a migration
        backends = " and ".join(repr(collection.spec.backend) for collection in locations)
        raise CollectionNotFound(
            f"collection {spec.name!r} does not exist on backend {backends}; there is nothing to drop"
        ) from error


def _require_no_migration(locations: CollectionLocations, found: Generations) -> None:
    """Raise `CollectionConflict` while one is at work, or was interrupted: nobody can tell these two apart."""
    require_no_switch(locations, found, locations.wanted.state.wall())
    for each in found.all:
        if each.stored is None:
            raise CollectionConflict(
                f"the record of {each.place} cannot be read, so nobody knows whether it is this collection's; nothing "
                f"was removed. If it may go, drop it with the backend's own means"
            )
    name = locations.wanted.spec.name
    for each in found.others if found.live else ():
        if is_under_way(found, each):
            raise CollectionConflict(
                f"collection {name!r}: a migration to {each.place} is under way, or was interrupted; let it end "
                f"(`nestvec migrate {name}`), or remove what it began (`nestvec cleanup {name} --generation "
                f"{each.number}`), then drop the collection. Nothing was removed"
            )
        if is_to_be_ended(found, each):
            raise CollectionConflict(
                f"collection {name!r}: the switch from {each.place} was interrupted; run the same command again "
                f"(migrate, shrink or rollback), then drop the collection. Nothing was removed"
            )


def _require_agreed(name: str, found: Generations, among: Iterable[GenerationStatus]) -> None:
    agreed = {GenerationPlace(each.backend, each.physical) for each in among}
    others = [each for each in found.all if each.place not in agreed]
    if others:
        raise CollectionConflict(
            f"collection {name!r} changed meanwhile: there is {others[0].place} now; look again. Nothing was removed"
        )


async def _documents(locations: CollectionLocations, found: Generations) -> int:
    if not found.live:
        return 0
    place = found.live[0].place
    return await locations.at(place.backend).backend.count(Count(place.physical, HEADS))


async def _forget(collection: OpenCollection, *, dry: bool) -> DropReport:
    """Remove nestvec's record of an adopted collection, and its notes; whatever else is there is somebody else's."""
    spec = collection.spec
    physical, info = await locate(collection)
    if info is None or physical is None or info.record is None:
        why = "is not there" if info is None else "is not adopted"
        raise CollectionNotFound(
            f"collection {spec.name!r}: {physical!r} on backend {spec.backend!r} {why}; there is nothing to drop"
        )
    assert spec.foreign is not None  # noqa: S101 - asked only then
    records = await collection.records.count(Count(physical))
    if not dry:
        await collection.backend.write_note(WriteNote(physical, CANARIES, None))
        await collection.backend.adopt(Adopt(physical, spec.foreign, None))
        collection.session.emit(Event("collection_forgotten", spec.name, {"physical": physical}))
    return DropReport(spec.name, spec.backend, records, adopted=physical)
