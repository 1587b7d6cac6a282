"""The vectors of hits: a database's search gives none, so they are read by id afterwards, all in one request."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING

from nestvec.contract import Fetch
from nestvec.types import DENSE

if TYPE_CHECKING:
    from nestvec._collections.opening import OpenCollection, Target
    from nestvec.contract import Found
    from nestvec.types import FloatArray

_ATTEMPTS = 4


async def found_with_vectors(
    collection: OpenCollection, ask: Callable[[Target], Awaitable[list[list[Found]]]], target: Target
) -> tuple[list[list[Found]], dict[str, FloatArray]]:
    """The answers, and the vectors of their records by id. Asks again where some were replaced in between."""
    for _ in range(_ATTEMPTS):
        found = await ask(target)
        vectors = await _vectors(collection, target, found)
        if all(hit.record.id in vectors for hits in found for hit in hits):
            break
    return found, vectors


async def _vectors(
    collection: OpenCollection, target: Target, found: Sequence[Sequence[Found]]
) -> dict[str, FloatArray]:
    """Of those records that are still of the version that was found."""
    versions = {hit.record.id: hit.record.system.get("version") for hits in found for hit in hits}
    if not versions:
        return {}
    batch = await collection.records.fetch(Fetch(target.physical, list(versions), vectors=True, content=False))
    assert batch.vectors is not None  # noqa: S101 - asked for
    return {
        record.id: row
        for record, row in zip(batch.records, batch.vectors[DENSE], strict=True)
        if record.system.get("version") == versions[record.id]
    }
