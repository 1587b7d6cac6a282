"""From which generation to which: decided from those that there are. No I/O."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from nestvec._collections.differences import Difference, differences
from nestvec._collections.write_fence import FenceState
from nestvec._migration.generations import CANDIDATE_MARK, GenerationRole
from nestvec.errors import CollectionConflict, Unsupported

if TYPE_CHECKING:
    from nestvec._collections.write_fence import GenerationPlace
    from nestvec._migration.generations import Generation, Generations
    from nestvec._specs import CollectionSpec
    from nestvec.capabilities import BackendCapabilities


def require_migratable(spec: CollectionSpec) -> None:
    """Raise `Unsupported` for a collection that somebody else made."""
    if spec.foreign is not None:
        raise Unsupported(
            f"collection {spec.name!r} was adopted: nothing of {spec.foreign.collection!r} is altered, so it cannot "
            f"be migrated; copy it into a collection of nestvec's own: nestvec copy {spec.name} NEW"
        )


def is_previous(before: CollectionSpec | None, live: Generation) -> bool:
    """Whether the configuration says that the collection was just this before: then it is to be migrated from there."""
    return before is not None and before.space == live.record.space


def spec_of(generation: Generation, like: CollectionSpec) -> CollectionSpec:
    """The spec by which a generation was made; what no record keeps (embedder, oversampling) is as in `like`."""
    stored, info = generation.record, generation.info
    return replace(
        like,
        space=stored.space,
        backend=generation.place.backend,
        metric=stored.metric,
        fields=stored.known_fields,
        paths=stored.paths,
        open_fields=stored.open_fields,
        keep_empty=stored.keep_empty,
        chunking=stored.chunking,
        namespaces=stored.namespaces,
        store_text=stored.store_text,
        options=None,
        storage=stored.storage if info.storage is None else info.storage,
        funnel=stored.funnel,
    )


def differing(wanted: CollectionSpec, live: Generation, can: BackendCapabilities) -> list[Difference]:
    """What the live generation has otherwise. Raises `CollectionConflict` where not even a migration helps."""
    stored = live.record
    if stored.namespaces != wanted.namespaces:
        raise CollectionConflict(
            f"collection {wanted.name!r} has namespaces = {str(stored.namespaces).lower()}, and a migration does not "
            f"change that: set it back, or give the new settings a collection name of their own and ingest again"
        )
    return differences(wanted, live.info, stored, can, backend=live.place.backend)


def migrates(found: list[Difference]) -> bool:
    """Whether it takes a migration to bring the differences about."""
    return any(not each.in_place for each in found)


def require_only_shrunk(shrunk: CollectionSpec, live: Generation, can: BackendCapabilities) -> None:
    """Raise `CollectionConflict` where a collection was shrunk, and is to be migrated for another reason, too."""
    more = [each.path for each in differing(shrunk, live, can) if not each.in_place]
    if more:
        size = shrunk.space.dimensions
        raise CollectionConflict(
            f"collection {shrunk.name!r} was shrunk to {size} dimensions, and differs from the configuration in more: "
            f"{', '.join(more)}. Nothing was changed. Write dimensions = {size}, and migrate it then; or, to embed it "
            f"anew at the size that the configuration says, add [collections.{shrunk.name}.previous] with dimensions = "
            f"{size}"
        )


def reusable(wanted: CollectionSpec, live: Generation, found: Generations) -> Generation | None:
    """The generation that a migration goes on with, or that was all this already and was gone back from.

    A candidate has to come from the live generation; a retired one needs to be exactly what is wanted.
    """
    known = live.record
    for each in sorted(found.others, key=lambda one: -one.number):
        if each.place.backend != wanted.backend:
            continue
        record = dict(each.info.record or {})
        if each.role is GenerationRole.CANDIDATE:
            elsewhere = each.note is not None and each.note.source != live.place
            if not elsewhere and record == wanted.record(each.number, known) | {CANDIDATE_MARK: True}:
                return each
        elif _without_retired(record) == _without_retired(wanted.record(each.number)):
            return each
    return None


def _without_retired(record: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in record.items() if key != "retired"}


def require_free(live: Generation, found: Generations, going_on: Generation | None) -> None:
    """Raise `CollectionConflict` where another migration broke off while it switched: only that one may end it."""
    fence = live.fence
    if fence is None or fence.state is not FenceState.SWITCHING:
        return
    if going_on is not None and going_on.note is not None and going_on.note.id == fence.by:
        return
    name = live.record.name
    there = next((each for each in found.all if each.note is not None and each.note.id == fence.by), None)
    back = there is not None and there.note is not None and there.note.back
    command = f"`nestvec {'rollback' if back else 'migrate'} {name}`{'' if back else ' (or shrink, if that it was)'}"
    raise CollectionConflict(
        f"collection {name!r}: going from {live.place} to {fence.to} was interrupted while it switched, and writers "
        f"wait for its end. Set the configuration back to what it was then, and run {command} again; then go on"
    )


def origin_of(live: Generation) -> GenerationPlace:
    """Where the live generation came from. Raises `Unsupported` where no migration made it."""
    if live.note is None:
        raise Unsupported(
            f"collection {live.record.name!r} ({live.place}) was not made by a migration: there is nothing to go back "
            f"to"
        )
    return live.note.source
