"""Adapters whose search from coarse to fine, or whose quantised search, is broken in one way each."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Final

import numpy as np

from nestvec.capabilities import BackendCapabilities
from nestvec.contract import Found, Query, QueryStaged, Update, Write
from nestvec.types import DENSE
from nestvec_testing.memory import MemoryAdapter
from nestvec_testing.mutants.base import Mutant, register

COARSE: Final[list[Mutant]] = []
mutant = partial(register, COARSE)


@mutant("test_stages_go_from_coarse_to_fine", "chosen by the coarsest vector first")
class SwapsStages(MemoryAdapter):
    """Begins with the finest prefix."""

    def query(self, request: Query) -> list[list[Found]]:
        if not isinstance(request, QueryStaged):
            return super().query(request)
        limits = [stage.limit for stage in request.stages]
        turned = [replace(stage, limit=limit) for stage, limit in zip(request.stages[::-1], limits, strict=True)]
        return super().query(replace(request, stages=tuple(turned)))


@mutant("test_wide_funnels_equal_exact_search", "as wide as the collection finds what exact search finds")
class StopsAtCoarse(MemoryAdapter):
    """Orders and scores by the first stage's vector."""

    def query(self, request: Query) -> list[list[Found]]:
        if not isinstance(request, QueryStaged) or not request.stages:
            return super().query(request)
        coarse = request.stages[0].vector
        with self._lock:
            found = self._collection(request.physical)
            kept = {key: dict(point.vectors) for key, point in found.points.items()}
            sizes = dict(found.info.vectors)
            try:
                for point in found.points.values():
                    point.vectors[DENSE] = point.vectors[coarse]
                found.info = replace(found.info, vectors={**sizes, DENSE: sizes[coarse]})
                vectors = {**request.vectors, DENSE: request.vectors[coarse]}
                return super().query(replace(request, vectors=vectors))
            finally:
                for key, point in found.points.items():
                    point.vectors = kept[key]
                found.info = replace(found.info, vectors=sizes)


@mutant("test_replacing_a_record_replaces_every_vector", "a stale one was searched")
class KeepsPrefixes(MemoryAdapter):
    """Replaces the full vector alone."""

    def write(self, request: Write) -> None:
        points = self._collection(request.physical).points
        old = {each.id: points[each.id].vectors for each in request.records if each.id in points}
        super().write(request)
        for key, vectors in old.items():
            points[key].vectors |= {name: row for name, row in vectors.items() if name != DENSE}


@mutant("test_filters_and_tenants_hold_for_the_candidates", "hold for the candidates of every stage")
class FiltersLast(MemoryAdapter):
    """Chooses candidates of everything, and filters what is left."""

    def query(self, request: Query) -> list[list[Found]]:
        allowed = {item.record.id for item in self._matching(request)}
        answers = MemoryAdapter.query(self._view(_tenant=None), replace(request, where=None))
        return [[each for each in answer if each.record.id in allowed] for answer in answers]


@mutant("test_storage_keeps_and_finds", "scores are those of the stored vectors, rescored")
class LeavesRescoringOut(MemoryAdapter):
    """Answers what the quantised index says."""

    def query(self, request: Query) -> list[list[Found]]:
        return super().query(replace(request, rescore=None) if isinstance(request, QueryStaged) else request)


@mutant("test_storage_keeps_and_finds", "finds 60% of the best")
class ChoosesAtRandom(MemoryAdapter):
    """Rescores some candidates, but not good ones."""

    def query(self, request: Query) -> list[list[Found]]:
        if not isinstance(request, QueryStaged) or request.rescore is None:
            return super().query(request)
        wrong = {DENSE: np.ascontiguousarray(request.vectors[DENSE][:, ::-1])}
        every = super().query(replace(request, limit=10**6))
        candidates = super().query(replace(request, vectors=wrong, limit=request.rescore))
        kept = [{each.record.id for each in answer} for answer in candidates]
        chosen = [[each for each in answer if each.record.id in ids] for answer, ids in zip(every, kept, strict=True)]
        return [answer[: request.limit] for answer in chosen]


@mutant("test_storage_changes_in_place", "describe tells the storage as created")
class NotesStorageOnly(MemoryAdapter):
    """Keeps the record of a change, and changes nothing."""

    def update(self, request: Update) -> None:
        super().update(replace(request, storage=None))


@mutant("test_reasons_are_of_capabilities", "explains capabilities by their names")
class ExplainsNothing(MemoryAdapter):
    """Says why it has no funnels under a name that nobody looks up."""

    def capabilities(self) -> BackendCapabilities:
        return replace(super().capabilities(), why_not={"funnel": "it has one vector a record"})
