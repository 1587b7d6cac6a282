"""What a migration would do and cost. Reads only, and embeds nothing."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from nestvec._collections import superseded
from nestvec._collections.opening import HEADS, Target
from nestvec._collections.write_fence import POLL, GenerationPlace, drain
from nestvec._migration.advising import advice, changes
from nestvec._migration.effort import Effort, EffortMeter, embedding_cost, sample
from nestvec._migration.generations import (
    CollectionLocations,
    Generation,
    GenerationRole,
    Generations,
    find_generations,
    next_number,
)
from nestvec._migration.planning import differing, is_previous, migrates, require_only_shrunk, reusable, spec_of
from nestvec._migration.report import MigrationPlan
from nestvec._migration.routes import Way, route
from nestvec.contract import Count

if TYPE_CHECKING:
    from nestvec._collections.differences import Difference
    from nestvec._migration.effort import EmbeddingCost
    from nestvec._specs import CollectionSpec
    from nestvec.capabilities import ModelCapabilities


@dataclass(frozen=True, slots=True)
class EstimateRequest:
    """What is to be estimated, and by what.

    `price` is that of a million tokens, `count` the model's tokenizer; None where there is none. `models` are those of
    the configuration. `texts` are those of documents whose texts are not stored, by document hash.
    """

    locations: CollectionLocations
    price: float | None = None
    count: Callable[[str], int] | None = None
    folder: Path | None = None
    models: Sequence[ModelCapabilities] = ()
    texts: Mapping[str, str] = field(default_factory=dict, repr=False)

    @property
    def wanted(self) -> CollectionSpec:
        """What the collection is to be."""
        return self.locations.wanted.spec


async def estimate(request: EstimateRequest) -> MigrationPlan:
    """What a migration from what is stored to what is wanted would do and cost.

    Raises `CollectionNotFound` where no generation is live, `SpaceUnknown` where its record cannot be read, and
    `CollectionConflict` where two are live, or where namespaces would come or go.
    """
    found = await find_generations(request.locations)
    half = found.half_switched
    live = half or found.the_live(request.wanted)
    different = differing(request.wanted, live, request.locations.wanted.capabilities)
    said = await _nothing_needed(request, live) if live.place.backend == request.wanted.backend else None
    if not migrates(different) or said is not None:
        plan = await _nothing(request, live, said, in_place=bool(different))
    else:
        plan = await _something(request, found, live, different)
    return plan if half is None else replace(plan, advice=(_TO_BE_ENDED, *plan.advice))


_TO_BE_ENDED = "a switch was interrupted after the name had moved: migrating brings it to its end first"


async def _nothing_needed(request: EstimateRequest, live: Generation) -> str | None:
    """What to write into the configuration, where the collection was shrunk and the configuration is of before."""
    wanted, before = request.locations.wanted, request.locations.previous
    if is_previous(before.spec if before is not None else None, live):
        return None
    spec = await superseded.superseding_spec(wanted, live.record, live.place.physical)
    if spec is not None:
        require_only_shrunk(spec, live, wanted.capabilities)
    return None if spec is None else f"it {superseded.advice(request.wanted, live.record)}"


async def _nothing(request: EstimateRequest, live: Generation, said: str | None, *, in_place: bool) -> MigrationPlan:
    reason, tips = said or "the database holds what the configuration says", []
    if said is None and in_place:
        name = request.wanted.name
        reason = "what differs is changed in place"
        tips.append(f"`nestvec apply {name}` does it; `nestvec plan {name}` shows what that is")
    counted = await _counted(request, live, live.place)
    return replace(counted, way=None, reason=reason, writers_wait=0.0, advice=tuple(tips))


async def _something(
    request: EstimateRequest, found: Generations, live: Generation, different: Sequence[Difference]
) -> MigrationPlan:
    wanted = request.wanted
    was = spec_of(live, wanted)
    way = route(was, wanted)
    begun = reusable(wanted, live, found)
    counted = await _counted(request, live, begun.place if begun is not None else await _new_place(request))
    told = changes(different, way.way)
    tips, left = [*advice(was, wanted, way, told, request.models)], counted.documents
    if begun is not None:
        done = await request.locations.wanted.backend.count(Count(begun.place.physical, HEADS))
        tips.append(_goes_on(begun, done, counted.documents, embeds=way.way is Way.EMBED))
        left = max(0, counted.documents - done)
    plan = replace(counted, way=way.way, reason=way.reason, changes=told)
    if way.way is Way.EMBED:
        plan, remarks = await _with_costs(request, live, plan, left)
        tips += remarks
    return replace(plan, advice=tuple(tips))


async def _new_place(request: EstimateRequest) -> GenerationPlace:
    """The place of a new generation."""
    collection = request.locations.wanted
    number = await next_number(collection)
    return GenerationPlace(
        collection.spec.backend, collection.capabilities.names.physical(collection.spec.name, number)
    )


async def _counted(request: EstimateRequest, live: Generation, target: GenerationPlace) -> MigrationPlan:
    backend = request.locations.at(live.place.backend).backend
    documents = await backend.count(Count(live.place.physical, HEADS))
    chunks = await backend.count(Count(live.place.physical))
    wait = drain(request.locations.wanted.state.lease) + POLL
    return MigrationPlan(request.wanted.name, None, "", live.place, target, documents, chunks, writers_wait=wait)


async def _with_costs(
    request: EstimateRequest, live: Generation, plan: MigrationPlan, left: int
) -> tuple[MigrationPlan, list[str]]:
    """With what embedding the documents that are left takes, and what is to be said about that."""
    spec = request.wanted
    meter, effort = EffortMeter(spec, request.count, request.folder), Effort()
    if left:
        target = Target(live.place.physical, live.record, math.inf)
        share = plan.documents / max(1, plan.chunks)
        effort = await sample(request.locations.at(live.place.backend), target, request.texts, meter, share)
    chunks = round(plan.chunks * left / max(1, plan.documents))
    costs = embedding_cost(effort, spec, left, chunks, request.price)
    known = replace(plan, tokens=costs.tokens, requests=costs.requests, money=costs.money, seconds=costs.seconds)
    return known, _remarks(request, meter, effort, costs)


def _remarks(request: EstimateRequest, meter: EffortMeter, effort: Effort, costs: EmbeddingCost) -> list[str]:
    spec, looked = request.wanted, effort.documents + effort.textless + effort.refused
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
    if costs.tokens and not meter.exact:
        told.append(
            "tokens are estimated from characters, on the safe side; to have them counted, set tokenizer in "
            f"[embedders.{spec.embedder}] where it takes one"
        )
    quota = spec.model.tokens_per_minute or spec.model.requests_per_minute
    if costs.tokens and request.price is None and quota:
        told.append(f"to see what it costs, set price in [embedders.{spec.embedder}]: that of a million tokens")
    return told


def _goes_on(begun: Generation, done: int, documents: int, *, embeds: bool) -> str:
    rest = "; tokens, requests, money and time are of the rest" if embeds else ""
    if begun.role is GenerationRole.CANDIDATE:
        stage = begun.note.stage.value if begun.note is not None else "created"
        first = f"an unfinished migration goes on with {begun.place.physical!r} (stage: {stage})"
    else:
        first = f"{begun.place.physical!r} was this before, and is used again"
        rest += ", at least: those that changed since come on top" if embeds else ""
    return f"{first}: it has {done:,} of {documents:,} documents{rest}"
