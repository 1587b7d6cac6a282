"""What a migration would do and cost. Reads only, and embeds nothing."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from nestvec.capabilities import ModelCapabilities
from nestvec.contract import Count, ListCollections
from nestvec.flows import apply as apply_flows
from nestvec.flows import gate as gates
from nestvec.flows.base import Target, disagreements
from nestvec.flows.copy import At, PairFlow, Side, at
from nestvec.flows.documents import heads_only
from nestvec.flows.gate import Place
from nestvec.flows.migrate.differences import advice, as_stored, changes, require_namespaces
from nestvec.flows.migrate.measure import Bill, Effort, Measure, bill, sample
from nestvec.flows.migrate.places import Generation, Standing
from nestvec.flows.migrate.report import MigrationPlan, Stage
from nestvec.flows.migrate.routes import Way, route
from nestvec.flows.migrate.scenes import Scene, Sides, look, nothing_live
from nestvec.specs import StoredCollection

if TYPE_CHECKING:
    from nestvec.flows.apply import Change
    from nestvec.flows.migrate.routes import Route
    from nestvec.specs import CollectionSpec


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


def estimate(asked: Asked) -> PairFlow[MigrationPlan]:
    """What a migration from what is stored to what is wanted would do and cost.

    Raises `CollectionNotFound` where no generation is live, `SpaceUnknown` where its record can not be read, and
    `CollectionConflict` where namespaces would come or go.
    """
    scene = yield from look(asked.sides)
    if scene.live is None:
        raise nothing_live(asked.sides)
    side, live = scene.live
    was = as_stored(asked.wanted, live.place.backend, live.info, _stored(live))
    require_namespaces(was, asked.wanted)
    if side == "target":
        change = yield from at("target", apply_flows.plan(asked.sides.wanted))
        if change.action != "conflict":
            return (yield from _nothing(asked, live, change))
    found = route(was, asked.wanted)
    target, begun = yield from _target(asked, scene, live)
    plan = yield from _counted(asked, side, live, found, target)
    tips, left = [*advice(was, asked.wanted, found, asked.models)], plan.documents
    if begun is not None:
        done: int = yield At("target", Count(begun.place.physical, heads_only(None)))
        tips.append(_goes_on(begun, done, plan.documents))
        left = max(0, plan.documents - done)
    plan = replace(plan, changes=changes(was, asked.wanted, found.way))
    if found.way is Way.EMBED:
        plan, remarks = yield from _with_costs(asked, side, live, plan, left)
        tips += remarks
    return replace(plan, advice=tuple(tips))


def _stored(live: Generation) -> StoredCollection:
    return StoredCollection.read(live.info.record, live.place.physical) if live.stored is None else live.stored


def _nothing(asked: Asked, live: Generation, change: Change) -> PairFlow[MigrationPlan]:
    tips: tuple[str, ...] = ()
    if change.action == "update":
        tips = (f"`nestvec apply {asked.wanted.name}` suffices: {'; '.join(change.details)}",)
    reason = "the database holds what the configuration says" if change.action == "none" else "apply suffices"
    documents: int = yield At("target", Count(live.place.physical, heads_only(None)))
    chunks: int = yield At("target", Count(live.place.physical))
    return MigrationPlan(asked.wanted.name, None, reason, live.place, live.place, documents, chunks, advice=tips)


def _target(asked: Asked, scene: Scene, live: Generation) -> PairFlow[tuple[Place, Generation | None]]:
    """Where it would go; and the shadow with which it would go on, if there is one."""
    wanted = asked.sides.wanted
    for side, each in reversed(scene.generations):
        if side == "target" and resumable(asked.sides, each, live.place):
            return each.place, each
    rules = wanted.capabilities.names
    names: Sequence[str] = yield At("target", ListCollections())
    taken = [number for name in names if (number := rules.generation(wanted.spec.name, name)) is not None]
    return Place(wanted.spec.backend, rules.physical(wanted.spec.name, max(taken, default=0) + 1)), None


def resumable(sides: Sides, each: Generation, live: Place) -> bool:
    """Whether a migration to what is wanted would go on with this generation."""
    journal, stored, binding = each.journal, each.stored, sides.wanted
    if each.standing is not Standing.SHADOW or journal is None or stored is None:
        return False
    if journal.stage is Stage.DONE or journal.source != live or stored.space != binding.spec.space:
        return False
    return not disagreements(binding.spec, each.info, stored, binding.capabilities)


def _counted(asked: Asked, side: Side, live: Generation, found: Route, target: Place) -> PairFlow[MigrationPlan]:
    documents: int = yield At(side, Count(live.place.physical, heads_only(None)))
    chunks: int = yield At(side, Count(live.place.physical))
    wait = gates.drain(asked.sides.wanted.lease) + gates.POLL
    name, reason = asked.wanted.name, found.reason
    return MigrationPlan(name, found.way, reason, live.place, target, documents, chunks, writers_wait=wait)


def _with_costs(
    asked: Asked, side: Side, live: Generation, plan: MigrationPlan, left: int
) -> PairFlow[tuple[MigrationPlan, list[str]]]:
    """With what embedding the documents that are left takes, and what is to be said about that."""
    spec, stored = asked.wanted, _stored(live)
    measure = Measure(spec, asked.count, asked.folder)
    effort = Effort()
    if left:
        target = Target(live.place.physical, stored, math.inf)
        share = plan.documents / max(1, plan.chunks)
        flow = sample(target, asked.texts, measure, namespaces=stored.namespaces, share=share)
        effort = yield from at(side, flow)
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


def _goes_on(begun: Generation, done: int, documents: int) -> str:
    stage = begun.journal.stage.value if begun.journal is not None else ""
    return (
        f"an unfinished migration goes on with {begun.place.physical!r} (stage: {stage}): {done:,} of {documents:,} "
        f"documents are there; tokens, requests, money and time are those of the rest"
    )
