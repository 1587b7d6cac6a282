"""Adapters that are broken in one way each."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from functools import partial
from typing import Any, Final

import numpy as np

from nestvec.contract import (
    Batch,
    CollectionInfo,
    Count,
    Create,
    Describe,
    Fetch,
    Found,
    Point,
    Query,
    Remove,
    Resolve,
    Scroll,
    Update,
    Write,
)
from nestvec.errors import CollectionNotFound
from nestvec.filters import And, Filter, Not, Or, leaves, matches
from nestvec.testing.data import record
from nestvec.testing.memory import MemoryAdapter
from nestvec.testing.mutants.base import Mutant, register
from nestvec.types import Metric, Record

ADAPTERS: Final[list[Mutant]] = []
mutant = partial(register, ADAPTERS)
_FULL = 64

# ---------------------------------------------------------------- collections


@mutant("test_collection_has_the_chosen_dimensions", "exactly the chosen dimensions")
class PadsToFull(MemoryAdapter):
    """Creates the model's full size and pads."""

    def create(self, request: Create) -> None:
        super().create(replace(request, vectors=dict.fromkeys(request.vectors, _FULL)))

    def write(self, request: Write) -> None:
        rows = {name: _padded(matrix) for name, matrix in request.vectors.items()}
        super().write(replace(request, vectors=rows))


@mutant("test_description_is_what_was_created", "the record is stored on the collection")
class ForgetsTheRecord(MemoryAdapter):
    """Stores no space with the collection."""

    def create(self, request: Create) -> None:
        super().create(replace(request, record={}))


@mutant("test_foreign_collections_are_left_alone", "a foreign collection keeps its record")
class AdoptsForeignCollections(MemoryAdapter):
    """Stamps whatever it looks at."""

    def describe(self, request: Describe) -> CollectionInfo | None:
        found = super().describe(request)
        strange = found is not None and (found.record or {}).get("nestvec") != 1
        return replace(found, record={"nestvec": 2}) if found is not None and strange else found


@mutant("test_description_is_what_was_created", "the metric as created")
class AlwaysCosine(MemoryAdapter):
    """Ignores the metric."""

    def create(self, request: Create) -> None:
        super().create(replace(request, metric=Metric.COSINE))


@mutant("test_creating_again_keeps_the_data", "create repeated must keep the data")
class Recreates(MemoryAdapter):
    """Drops what is there before it creates."""

    def create(self, request: Create) -> None:
        self._collections.pop(request.physical, None)
        super().create(request)


@mutant("test_update_replaces_the_record_only", "update keeps the data")
class UpdateDropsData(MemoryAdapter):
    """Updates by making the collection anew."""

    def update(self, request: Update) -> None:
        super().update(request)
        self._collections[request.physical].points.clear()


@mutant("test_pointers_lead_and_move", "upper and lower case")
class CaseBlindPointers(MemoryAdapter):
    """Takes docs for Docs."""

    def resolve(self, request: Resolve) -> str | None:
        lowered = {name.lower(): physical for name, physical in self._pointers.items()}
        return lowered.get(request.name.lower())


@mutant("test_pointers_lead_and_move", "leads where it was last pointed")
class CachesPointers(MemoryAdapter):
    """Resolves once and for all."""

    def __init__(self, options: Any = None) -> None:
        super().__init__(options)
        self._cache: dict[str, str] = {}

    def resolve(self, request: Resolve) -> str | None:
        found = super().resolve(request)
        return self._cache.setdefault(request.name, found) if found else None


@mutant("test_pointing_does_not_hide_a_collection", "hide a collection of that name")
class HidesCollections(MemoryAdapter):
    """Points over a collection of that name."""

    def point(self, request: Point) -> None:
        self._pointers[request.name] = request.physical


@mutant("test_missing_collection_is_not_found", "a vendor exception escapes")
class LetsVendorExceptionsOut(MemoryAdapter):
    """Does not map its engine's errors."""

    def count(self, request: Count) -> int:
        return len(self._collections[request.physical].points) and super().count(request)


@mutant("test_missing_collection_is_not_found", "nothing was raised")
class InventsCollections(MemoryAdapter):
    """Answers for collections that are not there."""

    def scroll(self, request: Scroll) -> Batch:
        try:
            return super().scroll(request)
        except CollectionNotFound:
            return Batch(())


# ---------------------------------------------------------------- records


@mutant("test_removing_by_id", "removed records are gone")
class NeverRemoves(MemoryAdapter):
    """Says yes and does nothing."""

    def remove(self, request: Remove) -> None:
        self._collection(request.physical)


@mutant("test_deleting_documents", "a deleted document is gone")
class RemovesOneOnly(MemoryAdapter):
    """Takes the first id of a list."""

    def remove(self, request: Remove) -> None:
        super().remove(replace(request, ids=request.ids[:1]))


@mutant("test_more_than_one_request_holds", "stores each of them")
class DropsTheLastRecord(MemoryAdapter):
    """Loses the last record of a full batch."""

    def write(self, request: Write) -> None:
        kept = len(request.records) - (len(request.records) > 1000)
        rows = {name: matrix[:kept] for name, matrix in request.vectors.items()}
        super().write(replace(request, records=request.records[:kept], vectors=rows))


@mutant("test_writing_replaces_by_id", "replaces")
class FirstWriteWins(MemoryAdapter):
    """Inserts, but never replaces."""

    def write(self, request: Write) -> None:
        known = self._collection(request.physical).points
        fresh = [i for i, each in enumerate(request.records) if each.id not in known]
        rows = {name: matrix[fresh] for name, matrix in request.vectors.items()}
        super().write(replace(request, records=[request.records[i] for i in fresh], vectors=rows))


@mutant("test_more_than_one_request_holds", "gives each record")
class FetchesTheFirstHundred(MemoryAdapter):
    """Cuts long lists of ids in silence."""

    def fetch(self, request: Fetch) -> Batch:
        return super().fetch(replace(request, ids=request.ids[:100]))


@mutant("test_scrolling_covers_each_record_once", "covers each record exactly once")
class SkipsAtPageEdges(MemoryAdapter):
    """Starts the next page one too late."""

    def scroll(self, request: Scroll) -> Batch:
        batch = super().scroll(request)
        return replace(batch, cursor=None if batch.cursor is None else int(batch.cursor) + 1)


@mutant("test_only_our_records_are_seen", "reserved records are not")
class ShowsReservedRecords(MemoryAdapter):
    """Keeps a record of its own among the user's."""

    def create(self, request: Create) -> None:
        super().create(request)
        rows = {name: np.ones((1, size), np.float32) for name, size in request.vectors.items()}
        super().write(Write(request.physical, [record("__nestvec__")], rows))


@mutant("test_vectors_of_another_size_are_refused", "vector of another size")
class TakesAnySize(MemoryAdapter):
    """Cuts and pads what does not fit."""

    def write(self, request: Write) -> None:
        sizes = self._collection(request.physical).info.vectors
        rows = {name: np.resize(matrix, (len(matrix), sizes[name])) for name, matrix in request.vectors.items()}
        super().write(replace(request, vectors=rows))


@mutant("test_vectors_come_back", "bit for bit")
class StoresHalfPrecision(MemoryAdapter):
    """Promises exact storage and keeps float16."""

    def write(self, request: Write) -> None:
        rows = {name: matrix.astype(np.float16).astype(np.float32) for name, matrix in request.vectors.items()}
        super().write(replace(request, vectors=rows))


@mutant("test_metadata_keep_their_types", "keeps its type int")
class IntegersBecomeFloats(MemoryAdapter):
    """Knows one kind of number."""

    def write(self, request: Write) -> None:
        super().write(replace(request, records=[_mapped(each, _to_float) for each in request.records]))


@mutant("test_metadata_keep_their_types", "keeps its value")
class ForgetsMicroseconds(MemoryAdapter):
    """Stores whole seconds."""

    def write(self, request: Write) -> None:
        super().write(replace(request, records=[_mapped(each, _to_seconds) for each in request.records]))


@mutant("test_ids_of_every_kind", "id")
class StripsIds(MemoryAdapter):
    """Tidies document ids up."""

    def write(self, request: Write) -> None:
        tidy = [replace(each, document_id=each.document_id.strip()) for each in request.records]
        super().write(replace(request, records=tidy))


@mutant("test_lean_reading_keeps_the_bookkeeping", "without content keeps system fields")
class LeanMeansEmpty(MemoryAdapter):
    """Leaves the bookkeeping out, too."""

    def fetch(self, request: Fetch) -> Batch:
        batch = super().fetch(request)
        return (
            batch if request.content else replace(batch, records=[replace(each, system={}) for each in batch.records])
        )


# ---------------------------------------------------------------- searching


@mutant("test_scores_and_order", "hits come best first")
class InvertsScores(MemoryAdapter):
    """Takes a distance for a score."""

    def query(self, request: Query) -> list[list[Found]]:
        everything = super().query(replace(request, limit=10**6, offset=0))
        ends = slice(request.offset, request.offset + request.limit)
        return [[replace(each, score=-each.score) for each in answer[::-1][ends]] for answer in everything]


@mutant("test_scores_and_order", "minus the unsquared euclidean distance")
class SquaresEuclidean(MemoryAdapter):
    """Leaves the square in."""

    def query(self, request: Query) -> list[list[Found]]:
        if request.metric is not Metric.EUCLIDEAN:
            return super().query(request)
        return [[replace(each, score=-(each.score**2)) for each in answer] for answer in super().query(request)]


@mutant("test_scores_and_order", "cosine similarity")
class RescalesCosine(MemoryAdapter):
    """Maps cosine to 0 … 1."""

    def query(self, request: Query) -> list[list[Found]]:
        if request.metric is not Metric.COSINE:
            return super().query(request)
        return [[replace(each, score=(1 + each.score) / 2) for each in answer] for answer in super().query(request)]


@mutant("test_threshold", "a threshold lets")
class IgnoresThreshold(MemoryAdapter):
    """Returns everything."""

    def query(self, request: Query) -> list[list[Found]]:
        return super().query(replace(request, threshold=None))


@mutant("test_pages_without_gaps_or_doubles", "no gaps and no doubles")
class IgnoresOffset(MemoryAdapter):
    """Every page is the first one."""

    def query(self, request: Query) -> list[list[Found]]:
        return super().query(replace(request, offset=0))


@mutant("test_many_questions_and_none", "have their own answers")
class AnswersOneQuestion(MemoryAdapter):
    """Gives everybody the first one's answer."""

    def query(self, request: Query) -> list[list[Found]]:
        answers = super().query(request)
        return [answers[0] for _ in answers]


@mutant("test_searching_with_a_filter", "the best of what matches")
class FiltersAfterwards(MemoryAdapter):
    """Filters what the search found."""

    def query(self, request: Query) -> list[list[Found]]:
        return [
            [each for each in answer if _holds(request.where, each.record)]
            for answer in super().query(replace(request, where=None))
        ]


@mutant("test_every_operator_on_every_value", "selects the same records as the reference")
class IgnoresFilters(MemoryAdapter):
    """Counts everything."""

    def count(self, request: Count) -> int:
        return super().count(replace(request, where=None))


@mutant("test_missing_fields", "negation also finds records without the field")
class ThreeValuedLogic(MemoryAdapter):
    """Like SQL: the negation of a comparison with nothing is nothing."""

    def scroll(self, request: Scroll) -> Batch:
        return super().scroll(replace(request, where=_sql(request.where)))

    def count(self, request: Count) -> int:
        return super().count(replace(request, where=_sql(request.where)))


@mutant("test_tenants_are_kept_apart", "tenant")
class LeaksTenants(MemoryAdapter):
    """Searches all tenants."""

    def query(self, request: Query) -> list[list[Found]]:
        return super().query(replace(request, tenant=None))


@mutant("test_tenants_are_kept_apart", "each tenant counts its own")
class CountsAllTenants(MemoryAdapter):
    """Counts all tenants."""

    def count(self, request: Count) -> int:
        return super().count(replace(request, tenant=None))


def _padded(matrix: Any) -> Any:
    wide = np.zeros((len(matrix), _FULL), np.float32)
    wide[:, : matrix.shape[1]] = matrix
    return wide


def _mapped(each: Record, change: Any) -> Record:
    changed = {
        name: [change(item) for item in value] if isinstance(value, list) else change(value)
        for name, value in each.metadata.items()
    }
    return replace(each, metadata=changed)


def _to_float(value: Any) -> Any:
    small = isinstance(value, int) and not isinstance(value, bool) and abs(value) < 2**53
    return float(value) if small else value


def _to_seconds(value: Any) -> Any:
    return value.replace(microsecond=0) if isinstance(value, datetime) else value


def _holds(where: Filter | None, each: Record) -> bool:
    return matches(where, each.metadata, {**each.system, "document_id": each.document_id})


def _sql(where: Filter | None) -> Filter | None:
    from nestvec.filters import Exists

    if isinstance(where, And | Or):
        return type(where)(tuple(filter(None, map(_sql, where.children))))
    if isinstance(where, Not):
        return And.of(where, *(Exists(leaf.field) for leaf in leaves(where.child)))
    return where
