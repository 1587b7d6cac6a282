"""Whose vectors are given: of which space they are is said with them, or measured, before any of them is stored."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import accumulate
from typing import TYPE_CHECKING, Any

import numpy as np

from nestvec._collections.opening import on_current
from nestvec._documents.upsert import IncomingDocument, PreparedDocument, prepare
from nestvec._hosts.admission import admit
from nestvec._hosts.agreement import TOLERANCE, agreement_of
from nestvec._hosts.canaries import canary_rows
from nestvec.capabilities import ModelCapabilities, TaskPair
from nestvec.contract import Encode, Event
from nestvec.errors import HostMismatch, InvalidInput, SpaceMismatch
from nestvec.spaces import EmbeddingSpace, space_of
from nestvec.types import Document, Usage

if TYPE_CHECKING:
    from nestvec._chunking import Splitter
    from nestvec._collections.opening import OpenCollection
    from nestvec._hosts.agreement import Agreement
    from nestvec._specs import CollectionSpec
    from nestvec.types import FloatArray

MEASURE = "measure"
#: How many chunks are embedded to measure given vectors by.
SAMPLE = 8
WAYS = (
    'the fingerprint of their space (`docs.space.fingerprint`), the embedder that made them, or "measure", which '
    "embeds a few of their texts and compares"
)
_FINGERPRINT = re.compile(r"s\d+-[0-9a-f]{16}")


def require_vouched(document: Document, collection: str) -> None:
    """Raise `InvalidInput` for a document that brings vectors, and nobody says whose."""
    chunks = document.chunks if isinstance(document.chunks, tuple) else ()
    if document.vector is not None or any(getattr(chunk, "vector", None) is not None for chunk in chunks):
        raise InvalidInput(
            f"document {document.id!r:.80} has a vector, and nothing says whose vectors collection {collection!r} is "
            f"given: set vectors_from to {WAYS}"
        )


@dataclass(slots=True)
class Vouching:
    """What one ingestion says of the vectors that it brings, and what was found out about that."""

    vectors_from: Any
    #: Of documents that are all there: those that are measured.
    sample: Sequence[IncomingDocument] = ()
    #: By fingerprint: what became of measuring; None: all is well.
    measured: dict[str, HostMismatch | None] = field(default_factory=dict)

    @classmethod
    def of(cls, vectors_from: object, documents: object) -> Vouching:
        """For documents; of a stream of them, the first that come with vectors are measured."""
        vouching = cls(vectors_from)
        if vouching.measures and isinstance(documents, Sequence):
            vouching.sample = _chosen(documents)
        return vouching

    async def confirm(
        self, collection: OpenCollection, splitter: Splitter, prepared: Sequence[PreparedDocument]
    ) -> Usage:
        """Before these documents are stored: are their vectors of the collection's space? Returns what that consumed.

        Raises `SpaceMismatch`, `HostMismatch` where it was measured, and `InvalidInput`.
        """
        spec = collection.spec
        if not self.measures:
            brought = any(each.given for each in prepared)
            return await _require_space(collection, self.vectors_from) if brought else Usage()
        if spec.space.fingerprint not in self.measured and self.sample:
            prepared = prepare(spec, splitter, self.sample)[0]
        given = [each for each in prepared if each.given]
        return await self._measure(collection, given) if given else Usage()

    @property
    def measures(self) -> bool:
        """Whether nobody says whose they are, and it is found out."""
        return isinstance(self.vectors_from, str) and self.vectors_from == MEASURE

    async def _measure(self, collection: OpenCollection, chosen: Sequence[PreparedDocument]) -> Usage:
        """Once for a space: of several batches, one does it for all."""
        spec = collection.spec
        if spec.without_embedder:
            raise InvalidInput(
                f"collection {spec.name!r} has no embedder to measure vectors by; leave vectors_from out, or say "
                f"{spec.space.fingerprint!r}"
            )
        usage, key = Usage(), spec.space.fingerprint
        async with collection.session.alone():
            if key not in self.measured:
                self.measured[key], usage = await _compared(collection, chosen)
        refusal = self.measured[key]
        if refusal is not None:
            raise refusal
        return usage + await _admitted(collection)


def _chosen(documents: Sequence[Document | IncomingDocument]) -> list[IncomingDocument]:
    """Some that come with vectors, spread over all of them."""
    chosen: dict[int, IncomingDocument] = {}
    for start in range(0, len(documents), max(1, -(-len(documents) // SAMPLE))):
        for number in range(start, len(documents)):
            item = documents[number]
            incoming = item if isinstance(item, IncomingDocument) else IncomingDocument(item)
            if getattr(incoming.document, "vector", None) is not None or getattr(incoming.document, "chunks", None):
                chosen[number] = incoming
                break
    return list(chosen.values())


async def _compared(
    collection: OpenCollection, chosen: Sequence[PreparedDocument]
) -> tuple[HostMismatch | None, Usage]:
    """Embed a few of the texts as the collection does, and compare."""
    space = collection.spec.space
    sample = _parts(chosen, late=space.late_chunking)
    if not sample:
        raise InvalidInput(
            f"the vectors given to collection {collection.spec.name!r} cannot be measured: none of their texts can be "
            f"embedded; say whose they are in another way: {WAYS}"
        )
    groups = tuple(item.group(numbers) for item, numbers in sample)
    reply = await collection.session.encode(
        Encode(groups, space.index_task, space.dimensions, space.late_chunking, fresh=True)
    )
    given: FloatArray = np.stack([item.given[number] for item, numbers in sample for number in numbers])
    agreement = agreement_of(given, canary_rows(reply))
    if not agreement.alike:
        return _refusal(collection, len(given), agreement), reply.usage
    data = {"chunks": len(given), **agreement.to_dict()}
    collection.session.emit(Event("vectors_measured", collection.spec.name, data))
    return None, reply.usage


def _parts(chosen: Sequence[PreparedDocument], *, late: bool) -> list[tuple[PreparedDocument, list[int]]]:
    """Chunks to measure, spread over the documents; with late chunking whole documents, of so many chunks or more."""
    usable = [(item, [number for number in item.given if item.chunk(number).strip()]) for item in chosen]
    if not late:
        parts = [(item, [number]) for item, numbers in usable for number in numbers]
        return parts[:: max(1, -(-len(parts) // SAMPLE))]
    whole = [(item, numbers) for item, numbers in usable if item.own_texts is None and len(numbers) == len(item.spans)]
    before = accumulate((len(numbers) for _, numbers in whole), initial=0)
    return [part for part, seen in zip(whole, before, strict=False) if seen < SAMPLE]


def _refusal(collection: OpenCollection, count: int, agreement: Agreement) -> HostMismatch:
    spec = collection.spec
    return HostMismatch(
        f"the vectors given to collection {spec.name!r} are not those that its embedder {spec.embedder!r} makes of the "
        f"same texts ({spec.space.model}, task {spec.space.index_task}). Measured on {count} of them: {agreement}\n"
        f"  wanted: {TOLERANCE}\n"
        f"None of them was written. Embed the texts with {spec.space.model} for the index task, or leave the vectors "
        f"out, and they are embedded here.",
        made_by=spec.model.host or spec.embedder,
        host="vectors that were given",
        least=agreement.least,
        median=agreement.median,
    )


# ------------------------------------------------------------ whose they are said to be


async def _require_space(collection: OpenCollection, vectors_from: Any) -> Usage:
    """Raise `SpaceMismatch` unless what is said means the collection's space; where its embedder is, that may embed."""
    if isinstance(vectors_from, str) and _FINGERPRINT.fullmatch(vectors_from):
        if vectors_from == collection.spec.space.fingerprint:
            return Usage()
        raise _other_space(collection, vectors_from)
    own = await _is_own(collection, vectors_from)
    space = getattr(vectors_from, "space", vectors_from)
    if own or not isinstance(space, EmbeddingSpace):
        space = _space_of(collection.spec, vectors_from, own=own)
    if space != collection.spec.space:
        raise _other_space(collection, space)
    return await _admitted(collection) if own else Usage()


async def _admitted(collection: OpenCollection) -> Usage:
    """The collection's embedder, by which they are or were measured, has to be one that may embed here."""
    return await on_current(collection, partial(admit, collection, writing=True))


def _space_of(spec: CollectionSpec, embedder: object, *, own: bool) -> EmbeddingSpace:
    model = spec.model if own else getattr(embedder, "capabilities", None)
    if not isinstance(model, ModelCapabilities):
        raise InvalidInput(f"vectors_from is {WAYS}; not {embedder!r:.80}")
    if model.rotation is not None:
        raise InvalidInput(
            f"{model.model} is nested: what is stored are its vectors turned by rotation {model.rotation}, which the "
            f"embedder itself does not give; take vectors from the collection and say {spec.space.fingerprint!r}"
        )
    tasks = TaskPair(
        *(task if task in model.tasks else None for task in (spec.space.index_task, spec.space.query_task))
    )
    return space_of(model, spec.space.dimensions, tasks, late_chunking=spec.space.late_chunking)


async def _is_own(collection: OpenCollection, embedder: object) -> bool:
    """Whether it is the collection's embedder: what was opened, or what that stands before."""
    if isinstance(embedder, str) or collection.spec.without_embedder:
        return False
    component = collection.session.embedder
    own: object = component.opened or await component.open()
    while own is not None and own is not embedder:
        own = getattr(own, "inner", None)
    return own is embedder


def _other_space(collection: OpenCollection, space: str | EmbeddingSpace) -> SpaceMismatch:
    spec = collection.spec
    if isinstance(space, str):
        differences: dict[str, tuple[object, object]] = {"fingerprint": (spec.space.fingerprint, space)}
        said = space
    else:
        differences, said = spec.space.differences(space), space.fingerprint
    lines = "".join(f"\n  {name}: stored {was!r}, given {now!r}" for name, (was, now) in differences.items())
    return SpaceMismatch(
        f"collection {spec.name!r} holds vectors of space {spec.space.fingerprint}, and is given vectors of {said}; "
        f"they cannot be compared:{lines}\nNone of them was written. Leave the vectors out, and the texts are embedded "
        f"here; or give these a collection of their own.",
        differences,
    )
