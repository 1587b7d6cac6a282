"""Adapters whose searching, filtering or keeping apart is broken in one way each."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any, Final

from nestvec.capabilities import Freshness
from nestvec.contract import Batch, Count, Found, ListTenants, Query, Scroll, Settle, Write
from nestvec.filters import And, Exists, Filter, Leaf, Not, Or, Text, TextOp, leaves, matches, rebuild
from nestvec.types import Metric, Record
from nestvec_testing.memory import CAPABILITIES, MemoryAdapter
from nestvec_testing.mutants.base import Mutant, register

SEARCHING: Final[list[Mutant]] = []
mutant = partial(register, SEARCHING)


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


@mutant("test_fresh_records_are_found", "searches find at once what was written")
class SearchesTheIndexed(MemoryAdapter):
    """Searches only what was there at the last settling."""

    def __init__(self, options: Any = None) -> None:
        super().__init__(options)
        self._indexed: set[str] = set()

    def settle(self, request: Settle) -> None:
        self._indexed |= set(self._collection(request.physical).points)

    def query(self, request: Query) -> list[list[Found]]:
        answers = super().query(request)
        return [[each for each in answer if each.record.id in self._indexed] for answer in answers]


@mutant("test_fresh_records_are_found", "once the collection has settled what was written")
class SettlesInWords(SearchesTheIndexed):
    """Says that it has settled before it has."""

    declared = replace(CAPABILITIES, fresh=Freshness.WHEN_SETTLED)

    def settle(self, request: Settle) -> None:
        self._collection(request.physical)


@mutant("test_fresh_records_are_found", "settling comes to an end within")
class NeverSettles(MemoryAdapter):
    """Does not come to an end with it."""

    declared = replace(CAPABILITIES, fresh=Freshness.WHEN_SETTLED)

    def settle(self, request: Settle) -> str:  # type: ignore[override]  # what is answered in vain
        return f"still at it after {request.timeout:g} s"


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


@mutant("test_parts_of_strings", "selects the same records as the reference")
class LooksAnywhere(MemoryAdapter):
    """Takes every part of a string for any."""

    def count(self, request: Count) -> int:
        return super().count(replace(request, where=_changed(request.where, _anywhere)))


@mutant("test_parts_of_strings", "which the backend does not declare")
class LooksUndeclared(MemoryAdapter):
    """Looks for parts of strings, and does not say so."""

    declared = replace(CAPABILITIES, text_filters=frozenset())


@mutant("test_undeclared_names", "selects the same records as the reference")
class KnowsPlainNames(MemoryAdapter):
    """Takes a dot in a name for a step into something."""

    def count(self, request: Count) -> int:
        return super().count(replace(request, where=_changed(request.where, _first_step)))


@mutant("test_ids_of_documents", "selects the same records as the reference")
class MixesIdsUp(MemoryAdapter):
    """Looks for a document's id in the metadata."""

    def count(self, request: Count) -> int:
        return super().count(replace(request, where=_changed(request.where, _in_metadata)))


def _changed(where: Filter | None, change: Callable[[Leaf], Filter]) -> Filter | None:
    return None if where is None else rebuild(where, change)


def _anywhere(leaf: Leaf) -> Filter:
    return replace(leaf, op=TextOp.CONTAINS) if isinstance(leaf, Text) else leaf


def _first_step(leaf: Leaf) -> Filter:
    return replace(leaf, field=replace(leaf.field, name=leaf.field.name.split(".")[0]))


def _in_metadata(leaf: Leaf) -> Filter:
    return replace(leaf, field=replace(leaf.field, scope="metadata"))


@mutant("test_tenants_are_kept_apart", "tenant")
class LeaksTenants(MemoryAdapter):
    """Searches all tenants."""

    def query(self, request: Query) -> list[list[Found]]:
        return MemoryAdapter.query(self._view(_tenant=None), request)


@mutant("test_tenants_are_kept_apart", "each tenant counts its own")
class CountsAllTenants(MemoryAdapter):
    """Counts all tenants."""

    def count(self, request: Count) -> int:
        return MemoryAdapter.count(self._view(_tenant=None), request)


@mutant("test_tenants_are_named", "each tenant that has records is named once")
class FoldsTenants(MemoryAdapter):
    """Names tenants in lower case."""

    def list_tenants(self, request: ListTenants) -> list[str]:
        return list({name.lower() for name in super().list_tenants(request)})


@mutant("test_tenants_are_named", "a collection without tenants has none")
class NamesNobody(MemoryAdapter):
    """Takes records without a tenant for those of one without a name."""

    def list_tenants(self, request: ListTenants) -> list[str]:
        points = self._collection(request.physical).points
        return list({item.tenant or "" for item in points.values()})


@mutant("test_tenants_that_lost_their_records_are_not_named", "until it has lost its last record")
class RemembersTenants(MemoryAdapter):
    """Names everybody who ever had records."""

    def __init__(self, options: Any = None) -> None:
        super().__init__(options)
        self._ever: dict[str, None] = {}

    def write(self, request: Write) -> None:
        super().write(request)
        if self._tenant is not None:
            self._ever[self._tenant] = None

    def list_tenants(self, request: ListTenants) -> list[str]:
        return list(self._ever)


def _holds(where: Filter | None, each: Record) -> bool:
    return matches(where, each.metadata, {**each.system, "document_id": each.document_id})


def _sql(where: Filter | None) -> Filter | None:
    if isinstance(where, And | Or):
        return type(where)(tuple(filter(None, map(_sql, where.children))))
    if isinstance(where, Not):
        return And.of(where, *(Exists(leaf.field) for leaf in leaves(where.child)))
    return where
