"""Collections that were shrunk: handles whose configuration still says the longer vectors go on with the shorter ones.

Whoever shrinks leaves the note `supersedes` on the new generation: {"version": 1, "dimensions": 1024} says that it
takes the place of one with 1,024 dimensions, in a space that is the same otherwise. Where that one had been shrunk,
too, "earlier" lists the sizes that it took the place of.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from nestvec._collections.opening import CollectionState, OpenCollection, locate
from nestvec._damaged import DAMAGED
from nestvec._specs import StoredCollection
from nestvec.contract import ReadNote
from nestvec.errors import CollectionError, CollectionNotFound, SpaceMismatch, SpaceUnknown

if TYPE_CHECKING:
    from nestvec._specs import CollectionSpec

#: The name of the note.
NOTE = "supersedes"
_VERSION = 1


@dataclass(frozen=True, slots=True)
class Supersedes:
    """What the note says: how many dimensions the collection had that this one takes the place of, and had before."""

    dimensions: int
    earlier: tuple[int, ...] = ()

    @property
    def sizes(self) -> frozenset[int]:
        """All of them."""
        return frozenset((self.dimensions, *self.earlier))

    def to_text(self) -> str:
        """JSON."""
        earlier = {"earlier": list(self.earlier)} if self.earlier else {}
        return json.dumps({"version": _VERSION, "dimensions": self.dimensions, **earlier})

    @classmethod
    def from_text(cls, text: str, physical: str) -> Supersedes:
        """Read what `to_text` wrote. Raises `CollectionError` for anything else."""
        try:
            return cls._parse(json.loads(text))
        except DAMAGED as error:
            raise CollectionError(
                f"the note {NOTE!r} of collection {physical!r} cannot be read ({error!r}): another version of nestvec "
                f"shrank it, or it was changed by hand; write the dimensions that are stored into the configuration"
            ) from error

    @classmethod
    def _parse(cls, value: dict[str, Any]) -> Supersedes:
        dimensions, earlier = value["dimensions"], tuple(value.get("earlier", ()))
        if value["version"] != _VERSION or any(type(size) is not int or size < 1 for size in (dimensions, *earlier)):
            raise ValueError(value)
        return cls(dimensions, earlier)


async def find_superseding(collection: OpenCollection, mismatch: SpaceMismatch) -> CollectionState | None:
    """A state for what the collection was shrunk to; None where it was not, and the mismatch stands.

    Raises `CollectionError` where the note that would say so cannot be read.
    """
    if set(mismatch.differences) != {"dimensions"}:
        return None
    physical, info = await locate(collection)
    if physical is None or info is None:
        return None
    try:
        spec = await superseding_spec(collection, StoredCollection.read(info.record, physical), physical)
    except (CollectionNotFound, SpaceUnknown):  # gone, or another one, meanwhile
        return None
    return None if spec is None else replace(collection.state, spec=spec, target=None, admission=None)


async def superseding_spec(
    collection: OpenCollection, stored: StoredCollection, physical: str
) -> CollectionSpec | None:
    """The spec at the dimensions that are stored, if the collection was shrunk to them from those of this spec."""
    spec = collection.spec
    if spec.foreign is not None or set(stored.space.differences(spec.space)) != {"dimensions"}:
        return None
    text = await collection.backend.read_note(ReadNote(physical, NOTE))
    if text is None or spec.space.dimensions not in Supersedes.from_text(text, physical).sizes:
        return None
    return derived(spec, stored)


async def superseding(
    collection: OpenCollection, size: int, stored: StoredCollection, physical: str
) -> Supersedes | None:
    """The note of what a stored collection is shrunk to, of this size; the collection's spec is what the configuration
    says.

    Whoever follows what is stored, because it says or supersedes his size, is to follow what comes of it.
    """
    spec = collection.spec
    same = not set(stored.space.differences(spec.space)) - {"dimensions"}
    text = await collection.backend.read_note(ReadNote(physical, NOTE)) if same else None
    known = Supersedes.from_text(text, physical).sizes if text is not None else frozenset()
    whole = spec.space.dimensions
    if whole == size and not known:
        return None  # the configuration says it already
    stored_size = {stored.space.dimensions} if same else set()
    sizes = sorted({whole, *stored_size, *known} - {size}, reverse=True)
    return Supersedes(sizes[0], tuple(sizes[1:]))


def derived(spec: CollectionSpec, stored: StoredCollection) -> CollectionSpec:
    """The spec with the dimensions that are stored, and the stored funnel: its lengths were those that still fit."""
    return replace(spec, space=replace(spec.space, dimensions=stored.space.dimensions), funnel=stored.funnel)


def advice(spec: CollectionSpec, stored: StoredCollection) -> str:
    """What to write into the configuration of a collection that was shrunk, in a sentence."""
    size = stored.space.dimensions
    funnel = f" and funnel = {list(stored.funnel)}" if stored.funnel != spec.funnel else ""
    return f"was shrunk to {size} dimensions: write dimensions = {size}{funnel}"
