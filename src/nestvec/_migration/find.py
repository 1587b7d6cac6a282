"""From where to where: decided from the generations that there are. No I/O."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from nestvec._collections.opening import disagreements, require_origin
from nestvec._collections.write_fence import State
from nestvec._migration.generations import SHADOW, Generation, Journal, Standing
from nestvec._migration.report import Stage
from nestvec._specs import StoredCollection
from nestvec.errors import CollectionConflict, CollectionMoved, CollectionNotFound, Unsupported

if TYPE_CHECKING:
    from nestvec._collections.write_fence import Place
    from nestvec._specs import CollectionSpec
    from nestvec.capabilities import BackendCapabilities


def require_migratable(spec: CollectionSpec) -> None:
    """Raise `Unsupported` for a collection that somebody else made."""
    if spec.foreign is not None:
        raise Unsupported(
            f"collection {spec.name!r} was adopted: nothing of {spec.foreign.collection!r} is altered, so it cannot "
            f"be migrated; copy it into a collection of nestvec's own: nestvec copy {spec.name} NEW"
        )


def half_done(found: Sequence[Generation]) -> Generation | None:
    """A live generation whose migration broke off after the pointer had moved to it, if there is one.

    Or was ended, and another run opened the gate of what it had left: of two that are live, the later one counts.
    """
    live = [each for each in found if each.standing is Standing.LIVE]
    places = [each.place for each in live]
    halves = [each for each in live if each.journal is not None and each.journal.source in places]
    broken = [each for each in live if _unfinished(each.journal)]
    return max(broken or halves, key=_left, default=None)


def _left(generation: Generation) -> float:
    """When the pointer came to it; that of a journal that is not done is the last to have moved."""
    journal = generation.journal
    return math.inf if journal is None or journal.left is None else journal.left


def _unfinished(journal: Journal | None) -> bool:
    return journal is not None and journal.stage is not Stage.DONE


def the_live(spec: CollectionSpec, found: Sequence[Generation]) -> Generation:
    """The generation that is read and written.

    Raises `CollectionNotFound`, `CollectionMoved`, `CollectionConflict`, `SpaceUnknown`.
    """
    live = [each for each in found if each.standing is Standing.LIVE]
    if not live:
        _require_not_moved(spec, found)
        raise CollectionNotFound(
            f"collection {spec.name!r} does not exist on backend {spec.backend!r}, nor where it was before; create it "
            f"with `nestvec apply` or apply(), or say in [collections.{spec.name}.previous] where it is"
        )
    if len(live) > 1:
        raise CollectionConflict(
            f"collection {spec.name!r} is in use in two places, {live[0].place} and {live[1].place}, and neither came "
            f"from the other: which of them counts is not known. Nothing was changed. Take [collections.{spec.name}"
            f".previous] out to keep {live[0].place}; that is right, too, where both blocks lead to one store. Only if "
            f"they do not, drop that one with the backend's own means to migrate {live[1].place}"
        )
    require_origin(spec, stored_of(live[0]))
    return live[0]


def is_previous(before: CollectionSpec | None, live: Generation) -> bool:
    """Whether the configuration says that the collection was just this before: then it is to be migrated from there."""
    return before is not None and before.space == stored_of(live).space


def _require_not_moved(spec: CollectionSpec, found: Sequence[Generation]) -> None:
    """Raise `CollectionMoved` where a generation says that the collection went to a place that nobody told of."""
    known = {each.place for each in found}
    for each in reversed(found):
        if each.gate is not None and each.gate.to is not None and each.gate.to not in known:
            raise CollectionMoved(
                f"collection {spec.name!r} moved from {each.place} to {each.gate.to}: set [collections.{spec.name}] of "
                f"the configuration to what it is now, or, to bring it here, say in [collections.{spec.name}.previous] "
                f"where it is"
            )


def stored_of(generation: Generation) -> StoredCollection:
    """What its record says. Raises `SpaceUnknown` or `SpaceError` where it cannot be read."""
    if generation.stored is not None:
        return generation.stored
    return StoredCollection.read(generation.info.record, generation.place.physical)


def spec_of(generation: Generation, like: CollectionSpec) -> CollectionSpec:
    """The spec by which a generation was made; what no record keeps (embedder, oversampling) is as in `like`."""
    stored, info = stored_of(generation), generation.info
    return replace(
        like,
        space=stored.space,
        backend=generation.place.backend,
        metric=stored.metric,
        fields=stored.known_fields,
        chunking=stored.chunking,
        namespaces=stored.namespaces,
        store_text=stored.store_text,
        options=None,
        storage=stored.storage if info.storage is None else info.storage,
        funnel=stored.funnel,
    )


@dataclass(frozen=True, slots=True)
class Difference:
    """What the live generation has otherwise than wanted: `rebuild` takes a migration, `apply` changes the rest."""

    rebuild: tuple[str, ...] = ()
    in_place: bool = False


def differences(wanted: CollectionSpec, live: Generation, can: BackendCapabilities) -> Difference:
    """Compare. Raises `CollectionConflict` where not even a migration helps."""
    stored = stored_of(live)
    if stored.namespaces != wanted.namespaces:
        raise CollectionConflict(
            f"collection {wanted.name!r} has namespaces = {str(stored.namespaces).lower()}, and a migration does not "
            f"change that: set it back, or give the new settings a collection name of their own and ingest again"
        )
    space = [f"space.{name}" for name in stored.space.differences(wanted.space)]
    backend = ["backend"] if live.place.backend != wanted.backend else []
    other = [what for what, _, _ in disagreements(wanted, live.info, stored, can) if what != "vectors" or not space]
    fields = [f"field {name!r}" for name, kind in wanted.fields.items() if stored.known_fields.get(name, kind) != kind]
    changed = live.info.record != wanted.record(stored.generation, stored.known_fields)
    return Difference((*backend, *space, *other, *fields), in_place=changed)


def require_only_shrunk(shrunk: CollectionSpec, live: Generation, can: BackendCapabilities) -> None:
    """Raise `CollectionConflict` where a collection was shrunk, and is to be migrated for another reason, too."""
    more = differences(shrunk, live, can).rebuild
    if more:
        size = shrunk.space.dimensions
        raise CollectionConflict(
            f"collection {shrunk.name!r} was shrunk to {size} dimensions, and differs from the configuration in more: "
            f"{', '.join(more)}. Nothing was changed. Write dimensions = {size}, and migrate it then; or, to embed it "
            f"anew at the size that the configuration says, add [collections.{shrunk.name}.previous] with dimensions = "
            f"{size}"
        )


def resting_place(wanted: CollectionSpec, live: Generation, found: Sequence[Generation]) -> Generation | None:
    """The generation that a migration goes on with, or that was all this already and was gone back from.

    A shadow has to come from the live generation; a retired one needs to be exactly what is wanted.
    """
    known = stored_of(live).known_fields
    for each in sorted(found, key=lambda one: -one.number):
        if each.place.backend != wanted.backend or each.standing is Standing.LIVE:
            continue
        record = dict(each.info.record or {})
        if each.standing is Standing.SHADOW:
            theirs = each.journal is not None and each.journal.source != live.place
            if not theirs and record == wanted.record(each.number, known) | {SHADOW: True}:
                return each
        elif _without_retired(record) == _without_retired(wanted.record(each.number)):
            return each
    return None


def _without_retired(record: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in record.items() if key != "retired"}


def require_free(live: Generation, found: Sequence[Generation], going_on: Generation | None) -> None:
    """Raise `CollectionConflict` where another migration broke off while it switched: only that one may end it."""
    gate = live.gate
    if gate is None or gate.state is not State.SWITCHING:
        return
    if going_on is not None and going_on.journal is not None and going_on.journal.id == gate.by:
        return
    name = stored_of(live).name
    there = next((each for each in found if each.journal is not None and each.journal.id == gate.by), None)
    back = there is not None and there.journal is not None and there.journal.back
    command = f"`nestvec {'rollback' if back else 'migrate'} {name}`{'' if back else ' (or shrink, if that it was)'}"
    raise CollectionConflict(
        f"collection {name!r}: going from {live.place} to {gate.to} was interrupted while it switched, and writers "
        f"wait for its end. Set the configuration back to what it was then, and run {command} again; then go on"
    )


def origin_of(live: Generation) -> Place:
    """Where the live generation came from. Raises `Unsupported` where no migration made it."""
    if live.journal is None:
        raise Unsupported(
            f"collection {stored_of(live).name!r} ({live.place}) was not made by a migration: there is nothing to go "
            f"back to"
        )
    return live.journal.source
