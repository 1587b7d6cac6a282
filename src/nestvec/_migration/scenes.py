"""All generations of a collection, on the backend where it is wanted and on the one where it was. Reads only."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from nestvec._collections.opening import OpenCollection, require_own
from nestvec._migration.copy import Side, at
from nestvec._migration.generations import Generation, Standing, generations
from nestvec.errors import CollectionNotFound


@dataclass(frozen=True, slots=True)
class Sides:
    """A collection as it is wanted ("target"), and where it was before, if on another backend ("source")."""

    wanted: OpenCollection
    previous: OpenCollection | None = None

    def collection(self, side: Side) -> OpenCollection:
        """That of a side. A collection that was never elsewhere has only one."""
        if side == "target" or self.previous is None:
            return self.wanted
        return self.previous

    def __iter__(self) -> Iterator[Side]:
        yield "target"
        if self.previous is not None and self.previous.spec.backend != self.wanted.spec.backend:
            yield "source"


@dataclass(frozen=True, slots=True)
class Scene:
    """What there is. Generations of the side "source" come first, oldest first."""

    generations: tuple[tuple[Side, Generation], ...]

    @property
    def listed(self) -> list[Generation]:
        """The generations, those where it is wanted first."""
        first = [each for side, each in self.generations if side == "target"]
        return first + [each for side, each in self.generations if side == "source"]

    @property
    def live(self) -> tuple[Side, Generation] | None:
        """The one that is read and written; where it is wanted, if there are two while a switch comes to its end."""
        found = [(side, each) for side, each in self.generations if each.standing is Standing.LIVE]
        return next((pair for pair in found if pair[0] == "target"), found[0] if found else None)


async def look(sides: Sides) -> Scene:
    """Find all generations. Raises `Unsupported` for an adopted collection, which has none."""
    require_own(sides.wanted.spec, "have generations of it")
    found: list[tuple[Side, Generation]] = []
    for side in sides:
        listed = await at(side, generations(sides.collection(side)))
        found[:0] = [(side, each) for each in listed]
    return Scene(tuple(found))


def nothing_live(sides: Sides) -> CollectionNotFound:
    """The error where no generation is live."""
    spec = sides.wanted.spec
    backends = " and ".join(repr(sides.collection(side).spec.backend) for side in sides)
    hint = (
        ""
        if sides.previous is not None
        else (f"; if it is on another backend, say so: [collections.{spec.name}.previous] with its backend")
    )
    return CollectionNotFound(
        f"no generation of collection {spec.name!r} is live on backend {backends}; create it with `nestvec apply`{hint}"
    )
