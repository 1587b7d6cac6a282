"""Writing new versions of documents in the place of old ones: the one writer of ingestion, migration and copies.

The order is that of `nestvec._documents.layout`: chunks, then heads, then the removal of what was there. So whatever
breaks off, a reader sees one whole version.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from nestvec._collections.opening import write_within_lease
from nestvec._documents.funnel import named
from nestvec.contract import Remove, Write
from nestvec.errors import BackendRefused
from nestvec.types import DENSE

if TYPE_CHECKING:
    from nestvec._collections.opening import OpenCollection, Target
    from nestvec.types import FloatArray, Record


@dataclass(frozen=True, slots=True)
class Replacement:
    """A document to be written: its records, the head first, under their new ids, and a row of `vectors` for each.

    `vectors` are the full ones, shape (records, dimensions). `stale` are the ids of the old version's chunks, last to
    first; its head is overwritten.
    """

    document_id: str
    records: Sequence[Record]
    vectors: FloatArray
    stale: Sequence[str] = ()

    @property
    def chunk_ids(self) -> list[str]:
        """Of all records but the head, last to first."""
        return [record.id for record in self.records[1:]][::-1]


@dataclass(slots=True)
class ReplacementOutcome:
    """What is stored now, how many old chunks were removed, and what the backend refused, with its reason."""

    stored: list[Replacement] = field(default_factory=list)
    removed: int = 0
    refused: list[tuple[Replacement, BackendRefused]] = field(default_factory=list)


async def replace_documents(
    collection: OpenCollection, target: Target, replacements: Sequence[Replacement]
) -> ReplacementOutcome:
    """Write documents; where the backend refuses, halve until the guilty one is alone and the others go through.

    Of a refused document nothing stays. Raises `GenerationMoved` if the alias moves, and what else backends raise.
    """
    outcome = ReplacementOutcome()
    waiting = [replacements] if replacements else []
    while waiting:
        part = waiting.pop()
        try:
            outcome.removed += await _write(collection, target, part)
        except BackendRefused as error:
            if len(part) == 1:
                await _remove(collection, target, part[0].chunk_ids)  # some may have been written
                outcome.refused.append((part[0], error))
            else:
                middle = len(part) // 2
                waiting += [part[middle:], part[:middle]]
        else:
            outcome.stored += part
    return outcome


async def _write(collection: OpenCollection, target: Target, replacements: Sequence[Replacement]) -> int:
    """Returns how many old chunks were removed."""
    chunks = [record for each in replacements for record in each.records[1:]]
    if chunks:
        vectors = np.concatenate([each.vectors[1:] for each in replacements])
        await write_within_lease(collection, target, _writing(collection, target, chunks, vectors))
    heads, vectors = [each.records[0] for each in replacements], np.stack([each.vectors[0] for each in replacements])
    await write_within_lease(collection, target, _writing(collection, target, heads, vectors))
    return await _remove(collection, target, [identity for each in replacements for identity in each.stale])


async def write_records(
    collection: OpenCollection, target: Target, records: Sequence[Record], vectors: FloatArray
) -> None:
    """Write records with their full vectors, shape (records, dimensions), and with the prefixes of a funnel."""
    await write_within_lease(collection, target, _writing(collection, target, records, vectors))


def _writing(collection: OpenCollection, target: Target, records: Sequence[Record], vectors: FloatArray) -> Write:
    spec = collection.spec
    return Write(target.physical, records, named(spec, vectors) if spec.funnel else {DENSE: vectors})


async def _remove(collection: OpenCollection, target: Target, ids: Sequence[str]) -> int:
    if ids:
        await write_within_lease(collection, target, Remove(target.physical, ids))
    return len(ids)
