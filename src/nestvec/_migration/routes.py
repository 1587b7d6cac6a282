"""How each vector of a new generation is had: as it is, computed from the stored one, or embedded anew. No I/O."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

import numpy as np

from nestvec.encoding.vectors import nest, truncate
from nestvec.errors import Unsupported
from nestvec.types import Metric

if TYPE_CHECKING:
    from nestvec._specs import CollectionSpec
    from nestvec.types import FloatArray


class Way(StrEnum):
    """How the vectors of a new generation are had.

    Attributes:
        COPY: As they are.
        DERIVE: Computed from the stored ones: cut, turned, scaled.
        EMBED: Embedded anew, from the stored texts.
    """

    COPY = "copy"
    DERIVE = "derive"
    EMBED = "embed"


@dataclass(frozen=True, slots=True)
class Route:
    """The way from a stored collection to a wanted one. `reason` says, in a clause, why nothing cheaper will do."""

    way: Way
    reason: str = ""
    #: The nesting rotation changes: stored vectors are turned back by the one and on by the other.
    rotated: bool = False


def route(stored: CollectionSpec, wanted: CollectionSpec) -> Route:
    """The cheapest way that loses nothing. Raises `Unsupported` where nobody could embed what has to be."""
    found = _cheapest(stored, wanted)
    if found.way is Way.EMBED and wanted.without_embedder:
        raise Unsupported(
            f'collection {wanted.name!r} has embedder = "none", and documents would have to be embedded anew '
            f"({found.reason}): ingest them with their new vectors into a collection of another name"
        )
    return found


def _cheapest(stored: CollectionSpec, wanted: CollectionSpec) -> Route:
    was, now = stored.space, wanted.space
    differing = set(was.differences(now))
    if not now.normalized and stored.metric is Metric.COSINE and wanted.metric is not Metric.COSINE:
        return Route(Way.EMBED, "under cosine the lengths of vectors need not be stored")
    if differing - {"dimensions", "rotation"}:
        return Route(Way.EMBED, f"another {', '.join(sorted(differing - {'dimensions'})).replace('_', ' ')}")
    if not differing:
        return Route(Way.COPY)
    if now.dimensions > was.dimensions:
        return Route(Way.EMBED, f"the stored vectors have {was.dimensions} dimensions and {now.dimensions} are wanted")
    rotated = "rotation" in differing
    if rotated and was.dimensions != wanted.model.dimensions:
        return Route(Way.EMBED, f"a rotation needs whole vectors, and {was.dimensions} dimensions are stored")
    if now.dimensions < was.dimensions and not wanted.model.matryoshka:
        return Route(Way.EMBED, f"{now.model} has no Matryoshka prefixes")
    return Route(Way.DERIVE, rotated=rotated)


@dataclass(frozen=True, slots=True)
class Transform:
    """From stored vectors to wanted ones: turned, cut, scaled back to length 1."""

    dimensions: int
    normalized: bool = True
    rotation: FloatArray | None = None

    def __call__(self, rows: FloatArray) -> FloatArray:
        """Shape (n, stored dimensions) in, (n, `dimensions`) out."""
        turned = rows if self.rotation is None else nest(rows, self.rotation)
        if turned.shape[1] == self.dimensions:
            return turned
        return truncate(turned, self.dimensions, normalized=self.normalized)


def transform(way: Route, wanted: CollectionSpec, was: FloatArray | None, now: FloatArray | None) -> Transform:
    """What the route makes of stored vectors, given the rotations of both spaces, each of shape (full, full) or None.

    They are only looked at where the rotation changes: vectors are turned back by the old one (its transpose: it is
    orthogonal) and on by the new one, in one matrix.
    """
    space = wanted.space
    if not way.rotated:
        return Transform(space.dimensions, space.normalized)
    back = None if was is None else was.T.astype(np.float64)
    on = None if now is None else now.astype(np.float64)
    turn = on if back is None else back if on is None else back @ on
    rotation = None if turn is None else np.ascontiguousarray(turn, dtype=np.float32)
    return Transform(space.dimensions, space.normalized, rotation)
