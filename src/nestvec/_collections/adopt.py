"""Adopting a collection that somebody else made: what can be checked is checked, the rest is said."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from nestvec._collections.foreign_layouts import contents
from nestvec._collections.opening import OpenCollection
from nestvec.contract import Adopt, Batch, CollectionInfo, Count, Encode, Event, Group, ListCollections, Scroll
from nestvec.encoding.vectors import normalize
from nestvec.errors import CollectionConflict
from nestvec.filters import F, resolve, to_foreign
from nestvec.types import DENSE, FieldType

if TYPE_CHECKING:
    from nestvec._specs import CollectionSpec
    from nestvec.contract import ForeignLayout
    from nestvec.types import FloatArray, Record

#: How many records are looked at, and how many of their texts are embedded again.
_SAMPLE, _COMPARED = 64, 8
#: The same model and task give cosines above .999, int8 storage above .995; another task of one model stays below.
_LIKENESS = 0.99
#: What an engine may have and can be read as: instants are often kept as ISO 8601 text.
_READABLE = {(FieldType.KEYWORD, FieldType.DATETIME)}


async def missing(collection: OpenCollection) -> tuple[str, ...]:
    """Why there is nothing to adopt."""
    spec = collection.spec
    assert spec.foreign is not None  # noqa: S101 - asked only then
    names = await collection.backend.list_collections(ListCollections())
    there = ", ".join(sorted(names)[:20]) or "none"
    return (f"backend {spec.backend!r} has no collection {spec.foreign.collection!r} to adopt; it has: {there}",)


def mismatches(spec: CollectionSpec, info: CollectionInfo) -> list[str]:
    """What can be seen of a foreign collection, and is not what the configuration says."""
    pairs = [
        ("dimensions", info.vectors.get(DENSE), spec.space.dimensions),
        ("metric", info.metric.value, spec.metric.value),
    ]
    found = [f"{what}: it has {has}, configured {wanted}" for what, has, wanted in pairs if has != wanted]
    known = info.fields or {}
    return found + [
        f"field {name!r}: it has {known[name]}, configured as {kind}"
        for name, kind in spec.fields.items()
        if name in known and known[name].type is not kind.type and (known[name].type, kind.type) not in _READABLE
    ]


async def describe(collection: OpenCollection, info: CollectionInfo) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """What adopting it means, and what speaks against it: both in sentences for people."""
    spec = collection.spec
    wrong = mismatches(spec, info)
    if wrong:
        return (), (*wrong, "set the configuration to what the collection has; nothing was changed")
    total = await collection.records.count(Count(info.physical))
    sample = await _sample(collection, info.physical)
    empty = await _nowhere(collection, info.physical, sample)
    if empty:
        advice = (
            f"set collections.{spec.name}.foreign to the names that it uses; `nestvec adopt --look {spec.name}` "
            f"proposes some. Nothing was changed"
        )
        return (), (*empty, advice)
    found = f"{info.physical!r}: {total} records of {spec.space.dimensions} dimensions, {spec.metric.value}"
    unread = (f"not read, and not copied: {', '.join(info.unread)}",) if info.unread else ()
    return (f"{found}; read in place, never written to", _vouching(spec), *unread), ()


async def adopt(collection: OpenCollection, info: CollectionInfo) -> None:
    """Compare a few vectors with what the model gives for their texts, then keep the record of the space.

    Raises `CollectionConflict`, having changed nothing, where they are not alike.
    """
    spec = collection.spec
    assert spec.foreign is not None  # noqa: S101 - asked only then
    if _comparable(spec):
        await _compare(collection, info.physical)
    await collection.backend.adopt(Adopt(info.physical, spec.foreign, spec.record(1)))
    collection.session.emit(Event("collection_adopted", spec.name, {"physical": info.physical}))


async def _sample(collection: OpenCollection, physical: str) -> Batch:
    return await collection.records.scroll(Scroll(physical, limit=_SAMPLE, vectors=True))


async def _nowhere(collection: OpenCollection, physical: str, sample: Batch) -> list[str]:
    """What is mapped to names that no record has: a misspelt mapping would read nothing, in silence.

    Each is told with the names that there are instead.
    """
    spec, foreign, records = collection.spec, collection.spec.foreign, sample.records
    assert foreign is not None  # noqa: S101
    if not records:
        return []
    there = await contents(collection.backend, foreign)
    found = [
        f"foreign.json_text: no record has JSON text under {key!r}; {there.told(key)}"
        for key in foreign.json
        if not any(isinstance(payload.get(key), Mapping) for payload in there.payloads)
    ]
    if foreign.text is not None and not any(record.text for record in records):
        names = there.told(foreign.text, "keyword")
        found.append(f"foreign.text: none of {len(records)} records has a text under {foreign.text!r}; {names}")
    if foreign.id is not None and all(record.document_id == record.id for record in records):
        names = there.told(foreign.id, "keyword", "integer")
        found.append(f"foreign.id: none of {len(records)} records has anything under {foreign.id!r}; {names}")
    if foreign.metadata is not None and foreign.metadata not in there.kinds:
        names = there.told(foreign.metadata, "object")
        found.append(f"foreign.metadata: no record has an object under {foreign.metadata!r}; {names}")
    for name, path in foreign.fields.items():
        if not any(name in record.metadata for record in records):
            where = to_foreign(resolve(F[name].exists(), spec.fields), foreign.fields)
            if not await collection.records.count(Count(physical, where)):
                found.append(
                    f"foreign.fields.{name}: no record has anything under {path!r}; {there.told(path, filtered=True)}"
                )
    return found


def _comparable(spec: CollectionSpec) -> bool:
    has_text = spec.foreign is not None and spec.foreign.text is not None
    return spec.verify and has_text and not spec.space.late_chunking


def _vouching(spec: CollectionSpec) -> str:
    claim = f"{spec.space.model}, task {spec.space.index_task}" if spec.space.index_task else spec.space.model
    if _comparable(spec):
        return (
            f"applying embeds up to {_COMPARED} of its texts and refuses unless {claim} gives the vectors that it has"
        )
    if not spec.verify:
        why = "foreign.verify is false"
    elif spec.space.late_chunking:
        why = "late-chunked vectors depend on neighbours that are not known"
    else:
        why = "it has no texts to embed (foreign.text)"
    return f"whether its vectors come from {claim} is not checked, because {why}: adopting it declares so"


async def _compare(collection: OpenCollection, physical: str) -> None:
    """Raise `CollectionConflict` unless the model gives the stored vectors for the stored texts."""
    spec, sample = collection.spec, await _sample(collection, physical)
    chosen = [i for i, record in enumerate(sample.records) if (record.text or "").strip()][:_COMPARED]
    if not chosen:
        return
    texts = [_text(sample.records[i]) for i in chosen]
    groups = tuple(Group(f"record {i}", text, ((0, len(text)),)) for i, text in zip(chosen, texts, strict=True))
    reply = await collection.session.encode(Encode(groups, spec.space.index_task, spec.space.dimensions, fresh=True))
    if reply.failures:
        raise reply.failures[0].error
    assert sample.vectors is not None  # noqa: S101 - asked for
    fresh = np.concatenate([rows for rows in reply.vectors if rows is not None])
    likeness = float(np.median(_cosines(sample.vectors[DENSE][chosen], fresh)))
    if likeness < _LIKENESS:
        raise CollectionConflict(
            f"collection {physical!r} cannot be adopted as {spec.name!r}: its vectors are not what "
            f"{spec.space.model} gives for their texts with task {spec.space.index_task!r} (median cosine "
            f"{likeness:.3f} of {len(chosen)} records; the same model gives over {_LIKENESS}). Set the embedder, tasks "
            f"and dimensions that it was made with — or foreign.verify = false, if another text than "
            f"{_where(spec.foreign)!r} was embedded. Nothing was changed."
        )


def _where(foreign: ForeignLayout | None) -> str | None:
    return foreign.text if foreign is not None else None


def _text(record: Record) -> str:
    return record.text or ""


def _cosines(one: FloatArray, two: FloatArray) -> FloatArray:
    products: FloatArray = np.einsum("ij,ij->i", normalize(one), normalize(two))
    return products
