"""In what a stored collection differs from what is wanted: the one comparison that every rule reads. No I/O.

Opening refuses what differs, `apply` changes what can be changed in place, and a migration brings about the rest.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from nestvec._specs import CollectionSpec, StoredCollection
    from nestvec.capabilities import BackendCapabilities
    from nestvec.contract import CollectionInfo
    from nestvec.types import Storage


class Aspect(StrEnum):
    """What a difference is about."""

    BACKEND = "backend"
    SPACE = "space"
    #: Which vectors there are, how they are compared and kept, and whether there are namespaces.
    STRUCTURE = "structure"
    FIELD = "field"
    #: What holds for documents that are ingested next.
    SETTING = "setting"


@dataclass(frozen=True, slots=True)
class Difference:
    """One thing that is stored otherwise than wanted.

    `sentence` is for people. `in_place`: `apply` changes it; anything else takes a migration, or cannot be.
    """

    aspect: Aspect
    what: str
    stored: Any
    wanted: Any
    sentence: str
    in_place: bool = False

    @property
    def path(self) -> str:
        """Its name among all settings: `space.dimensions`, `metric`, `field 'year'`."""
        return f"space.{self.what}" if self.aspect is Aspect.SPACE else self.what


def differences(
    spec: CollectionSpec,
    info: CollectionInfo,
    stored: StoredCollection,
    can: BackendCapabilities,
    *,
    backend: str | None = None,
) -> list[Difference]:
    """Everything that differs, in the order in which it is told. `backend` is where it is stored; None: where wanted.

    `can` is what the wanted backend can do: what it changes in place is no reason to migrate.
    """
    space = [*_space(spec, stored)]
    found = [*_backend(spec, backend), *space]
    found += [each for each in _structure(spec, info, stored, can) if each.what != "vectors" or not space]
    found += _types(spec, stored)
    return found if spec.foreign is not None else [*found, *_in_place(spec, info, stored, can)]


def storage_change(
    spec: CollectionSpec, info: CollectionInfo, stored: StoredCollection
) -> tuple[Storage, Storage] | None:
    """From what to what the vectors' storage has to change, if at all: what the engine says counts, else the record."""
    was = stored.storage if info.storage is None else info.storage
    return None if spec.foreign is not None or was is spec.storage else (was, spec.storage)


def way_out(spec: CollectionSpec, what: str) -> str:
    """What helps where vectors have to be stored anew, as the end of a sentence."""
    rebuilds = what in ("storage", "funnel", "metric") and spec.foreign is None
    return f"; needs a rebuild: nestvec migrate {spec.name}" if rebuilds else ""


def _backend(spec: CollectionSpec, backend: str | None) -> Iterator[Difference]:
    if backend is not None and backend != spec.backend:
        sentence = f"backend: stored on {backend!r}, configured {spec.backend!r}"
        yield Difference(Aspect.BACKEND, "backend", backend, spec.backend, sentence)


def _space(spec: CollectionSpec, stored: StoredCollection) -> Iterator[Difference]:
    for name, (was, now) in stored.space.differences(spec.space).items():
        yield Difference(Aspect.SPACE, name, was, now, f"{name}: stored {was!r}, configured {now!r}")


def _structure(
    spec: CollectionSpec, info: CollectionInfo, stored: StoredCollection, can: BackendCapabilities
) -> Iterator[Difference]:
    vectors: tuple[str, Any, Any] = ("vectors", dict(info.vectors), spec.vectors)
    if stored.funnel != spec.funnel:
        vectors = ("funnel", list(stored.funnel), list(spec.funnel))
    pairs = [
        vectors,
        ("metric", str(info.metric), str(spec.metric)),
        ("namespaces", stored.namespaces, spec.namespaces),
    ]
    change = storage_change(spec, info, stored)
    if change is not None and change not in can.storage_updates:
        pairs.append(("storage", str(change[0]), str(change[1])))
    for what, was, now in pairs:
        if was != now:
            sentence = f"{what}: stored {was}, configured {now}{way_out(spec, what)}"
            yield Difference(Aspect.STRUCTURE, what, was, now, sentence)


def _types(spec: CollectionSpec, stored: StoredCollection) -> Iterator[Difference]:
    for name, kind in spec.fields.items():
        was = stored.known_fields.get(name, kind)
        if was != kind:
            sentence = f"field {name!r}: stored as {was}, configured as {kind}"
            yield Difference(Aspect.FIELD, f"field {name!r}", was, kind, sentence)
    if spec.foreign is None:
        yield from _projections(spec, stored)


def _projections(spec: CollectionSpec, stored: StoredCollection) -> Iterator[Difference]:
    """Fields that what is stored has from elsewhere, or not yet at all: only writing it again helps."""
    for name in spec.fields:
        was, now = stored.paths.get(name), spec.paths.get(name)
        if was != now:
            known = f"stored from {was or name!r}" if name in stored.known_fields else "not stored"
            sentence = f"field {name!r}: {known}, configured from {now or name!r}{_rewriting(spec)}"
            yield Difference(Aspect.FIELD, f"path of field {name!r}", was, now, sentence)
    if spec.open_fields and not stored.open_fields:
        sentence = f"open_fields: what is stored was not prepared for filters on undeclared fields{_rewriting(spec)}"
        yield Difference(Aspect.FIELD, "open_fields", False, True, sentence)


def _rewriting(spec: CollectionSpec) -> str:
    return f"; needs a rebuild, which embeds nothing: nestvec migrate {spec.name}"


def _in_place(
    spec: CollectionSpec, info: CollectionInfo, stored: StoredCollection, can: BackendCapabilities
) -> Iterator[Difference]:
    for name, was, now, sentence in _declarations(spec, info, stored):
        yield Difference(Aspect.FIELD, f"field {name!r}", was, now, sentence, in_place=True)
    yield from _storage(spec, info, stored, can)
    if spec.chunking != stored.chunking:
        sentence = "chunking changed: it holds for what is ingested next"
        yield Difference(Aspect.SETTING, "chunking", stored.chunking, spec.chunking, sentence, in_place=True)
    if spec.keep_empty and not stored.keep_empty:
        sentence = 'empty = "keep": note it, so that searches leave documents without a text out'
        yield Difference(Aspect.SETTING, "empty", "refuse", "keep", sentence, in_place=True)
    if stored.open_fields and not spec.open_fields:
        sentence = "open_fields = false: it holds for what is ingested next, and for filters"
        yield Difference(Aspect.SETTING, "open_fields", True, False, sentence, in_place=True)
    if spec.store_text != stored.store_text:
        sentence = f"store_text = {str(spec.store_text).lower()}: it holds for what is ingested next"
        yield Difference(Aspect.SETTING, "store_text", stored.store_text, spec.store_text, sentence, in_place=True)


def _declarations(
    spec: CollectionSpec, info: CollectionInfo, stored: StoredCollection
) -> Iterator[tuple[str, Any, Any, str]]:
    """Fields that come, whose index is incomplete, or that go: name, stored and wanted type, sentence."""
    indexed = info.fields if info.fields is not None else stored.fields
    for name, kind in spec.fields.items():
        if name not in stored.fields:
            yield name, None, kind, f"add field {name!r} ({kind})"
    for name, kind in spec.fields.items():
        if name in stored.fields and name not in indexed:
            yield name, kind, kind, f"complete the index of field {name!r}"
    for name, kind in stored.fields.items():
        if name not in spec.fields:
            yield name, kind, None, f"no longer declare field {name!r} (its values stay)"


def _storage(
    spec: CollectionSpec, info: CollectionInfo, stored: StoredCollection, can: BackendCapabilities
) -> Iterator[Difference]:
    change = storage_change(spec, info, stored)
    if change is not None and change in can.storage_updates:
        was, now = map(str, change)
        sentence = f"storage: {was} becomes {now}, in place: no record is written again"
        yield Difference(Aspect.STRUCTURE, "storage", was, now, sentence, in_place=True)
    elif change is None and spec.storage is not stored.storage:
        sentence = f"storage: note that it is {spec.storage} now"
        noted = (str(stored.storage), str(spec.storage))
        yield Difference(Aspect.SETTING, "noted storage", *noted, sentence, in_place=True)
