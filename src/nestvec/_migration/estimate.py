"""What a migration would do and cost. Reads only, and embeds nothing."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from nestvec._collections import superseded as shrunk
from nestvec._collections import write_fence as gates
from nestvec._collections.opening import Target
from nestvec._collections.write_fence import Place
from nestvec._documents.documents import heads_only
from nestvec._migration import find
from nestvec._migration.copy import At, Side, at
from nestvec._migration.differences import advice, changes
from nestvec._migration.generations import Generation, Standing
from nestvec._migration.measure import Effort, Measure, bill, sample
from nestvec._migration.report import MigrationPlan
from nestvec._migration.routes import Way, route
from nestvec._migration.scenes import Scene, Sides, look
from nestvec.capabilities import ModelCapabilities
from nestvec.contract import Count, ListCollections

if TYPE_CHECKING:
    from nestvec._migration.measure import Bill
    from nestvec._specs import CollectionSpec


@dataclass(frozen=True, slots=True)
class Asked:
    """What is to be estimated, and by what.

    `price` is that of a million tokens, `count` the model's tokenizer; None where there is none. `models` are those of
    the configuration. `texts` are those of documents whose texts are not stored, by document hash.
    """

    sides: Sides
    price: float | None = None
    count: Callable[[str], int] | None = None
    folder: Path | None = None
    models: Sequence[ModelCapabilities] = ()
    texts: Mapping[str, str] = field(default_factory=dict, repr=False)

    @property
    def wanted(self) -> CollectionSpec:
        """What the collection is to be."""
        return self.sides.wanted.spec


async def estimate(asked: Asked) -> MigrationPlan:
    """What a migration from what is stored to what is wanted would do and cost.

    Raises `CollectionNotFound` where no generation is live, `SpaceUnknown` where its record cannot be read, and
    `CollectionConflict` where two are live, or where namespaces would come or go.
    """
    scene = await look(asked.sides)
    half = find.half_done(scene.listed)
    live = half or find.the_live(asked.wanted, scene.listed)
    differing = find.differences(asked.wanted, live, asked.sides.wanted.capabilities)
    said = (await _nothing_needed(asked, live)) if _on_target(asked, live) else None
    if not differing.rebuild or said is not None:
        # Of a switch that is to be ended, the record differs by its mark: that is no business of `apply`.
        plan = await _nothing(asked, live, said, in_place=differing.in_place and half is None)
    else:
        plan = await _something(asked, scene, live)
    return plan if half is None else replace(plan, advice=(_TO_BE_ENDED, *plan.advice))


_TO_BE_ENDED = "a switch was interrupted after the name had moved: migrating brings it to its end first"


def _on_target(asked: Asked, live: Generation) -> bool:
    return live.place.backend == asked.wanted.backend


async def _nothing_needed(asked: Asked, live: Generation) -> str | None:
    """What to write into the configuration, where the collection was shrunk and the configuration is of before."""
    before = asked.sides.previous
    if find.is_previous(before.spec if before is not None else None, live):
        return None
    stored = find.stored_of(live)
    spec = await shrunk.shrunk_spec(asked.wanted, stored, live.place.physical)
    if spec is not None:
        find.require_only_shrunk(spec, live, asked.sides.wanted.capabilities)
    return None if spec is None else f"it {shrunk.advice(asked.wanted, stored)}"


async def _nothing(asked: Asked, live: Generation, said: str | None, *, in_place: bool) -> MigrationPlan:
    reason, tips = said or "the database holds what the configuration says", []
    if said is None and in_place:
        name = asked.wanted.name
        reason = "what differs is changed in place"
        tips.append(f"`nestvec apply {name}` does it; `nestvec plan {name}` shows what that is")
    counted = await _counted(asked, live, live.place)
    return replace(counted, way=None, reason=reason, writers_wait=0.0, advice=tuple(tips))


async def _something(asked: Asked, scene: Scene, live: Generation) -> MigrationPlan:
    was = find.spec_of(live, asked.wanted)
    found = route(was, asked.wanted)
    begun = find.resting_place(asked.wanted, live, scene.listed)
    target = begun.place if begun is not None else (await _next(asked))
    counted = await _counted(asked, live, target)
    tips, left = [*advice(was, asked.wanted, found, asked.models)], counted.documents
    if begun is not None:
        done = await target.records.count(Count(begun.place.physical, heads_only(None)))
        tips.append(_goes_on(begun, done, counted.documents, embeds=found.way is Way.EMBED))
        left = max(0, counted.documents - done)
    plan = replace(counted, way=found.way, reason=found.reason, changes=changes(was, asked.wanted, found.way))
    if found.way is Way.EMBED:
        plan, remarks = await _with_costs(asked, live, plan, left)
        tips += remarks
    return replace(plan, advice=tuple(tips))


async def _next(asked: Asked) -> Place:
    """The place of a new generation."""
    collection = asked.sides.wanted
    rules, name = collection.capabilities.names, collection.spec.name
    names = await target.backend.list_collections(ListCollections())
    taken = [number for each in names if (number := rules.generation(name, each)) is not None]
    return Place(collection.spec.backend, rules.physical(name, max(taken, default=0) + 1))


async def _counted(asked: Asked, live: Generation, target: Place) -> MigrationPlan:
    side: Side = "target" if _on_target(asked, live) else "source"
    documents: int = yield At(side, Count(live.place.physical, heads_only(None)))
    chunks: int = yield At(side, Count(live.place.physical))
    wait = gates.drain(asked.sides.wanted.lease) + gates.POLL
    return MigrationPlan(asked.wanted.name, None, "", live.place, target, documents, chunks, writers_wait=wait)


async def _with_costs(
    asked: Asked, live: Generation, plan: MigrationPlan, left: int
) -> tuple[MigrationPlan, list[str]]:
    """With what embedding the documents that are left takes, and what is to be said about that."""
    spec, stored = asked.wanted, find.stored_of(live)
    side: Side = "target" if _on_target(asked, live) else "source"
    measure = Measure(spec, asked.count, asked.folder)
    effort = Effort()
    if left:
        target = Target(live.place.physical, stored, math.inf)
        share = plan.documents / max(1, plan.chunks)
        flow = sample(target, asked.texts, measure, namespaces=stored.namespaces, share=share)
        effort = await at(side, flow)
    chunks = round(plan.chunks * left / max(1, plan.documents))
    costs = bill(effort, spec, left, chunks, asked.price)
    known = replace(plan, tokens=costs.tokens, requests=costs.requests, money=costs.money, seconds=costs.seconds)
    return known, _remarks(asked, measure, effort, costs)


def _remarks(asked: Asked, measure: Measure, effort: Effort, costs: Bill) -> list[str]:
    spec, looked = asked.wanted, effort.documents + effort.textless + effort.refused
    told = []
    if effort.textless:
        told.append(
            f"{effort.textless:,} of {looked:,} documents looked at have no stored text, so the cost is not known; "
            f"name the files that have it: nestvec migrate {spec.name} --from FILES"
        )
    if effort.refused:
        told.append(
            f"{effort.refused:,} of {looked:,} documents looked at have a chunk that is too long for late chunking "
            f"with {spec.space.model}, and would fail; set a smaller chunking.size"
        )
    if costs.tokens and not measure.exact:
        told.append(
            "tokens are estimated from characters, on the safe side; to have them counted, set tokenizer in "
            f"[embedders.{spec.embedder}] where it takes one"
        )
    quota = spec.model.tokens_per_minute or spec.model.requests_per_minute
    if costs.tokens and asked.price is None and quota:
        told.append(f"to see what it costs, set price in [embedders.{spec.embedder}]: that of a million tokens")
    return told


def _goes_on(begun: Generation, done: int, documents: int, *, embeds: bool) -> str:
    rest = "; tokens, requests, money and time are of the rest" if embeds else ""
    if begun.standing is Standing.SHADOW:
        stage = begun.journal.stage.value if begun.journal is not None else "created"
        first = f"an unfinished migration goes on with {begun.place.physical!r} (stage: {stage})"
    else:
        first = f"{begun.place.physical!r} was this before, and is used again"
        rest += ", at least: those that changed since come on top" if embeds else ""
    return f"{first}: it has {done:,} of {documents:,} documents{rest}"
