"""Whatever is written, replaced and removed: reads, filters and searches answer as the reference in memory does."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from nestvec.contract import Batch, Count, Fetch, ListTenants, Query, Remove, Scroll, Write
from nestvec.filters import F, Filter, matches, resolve
from nestvec.types import DENSE, Metric, Record
from nestvec_embedded.adapter import EmbeddedAdapter
from nestvec_embedded.ranking import ComparedRows, lengths_of, rank
from nestvec_testing.strategies import filters_for, metadata_for

from .conftest import CREATE, FIELDS, opened, record, write

IDS = [f"r{number}" for number in range(8)]
TENANTS = [None, "acme", "oscorp"]


class Stores(RuleBasedStateMachine):
    """A folder, closed and opened again at any time, beside a dictionary."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = TemporaryDirectory()
        self.known: dict[tuple[str, str | None], tuple[Record, list[float]]] = {}
        self.version = 0

    @initialize()
    def begin(self) -> None:
        self.adapter = opened(Path(self.folder.name) / "store")
        self.adapter.create(CREATE)

    def teardown(self) -> None:
        self.adapter.close()
        self.folder.cleanup()

    @rule(data=st.data(), tenant=st.sampled_from(TENANTS))
    def write(self, data: Any, tenant: str | None) -> None:
        ids = data.draw(st.lists(st.sampled_from(IDS), min_size=1, max_size=5))
        rows = data.draw(st.lists(st.lists(st.integers(-3, 3), min_size=4, max_size=4), min_size=5, max_size=5))
        records = [replace(record(key, self.version), metadata=data.draw(metadata_for(FIELDS))) for key in ids]
        self.version += 1
        vectors = np.array(rows[: len(ids)], np.float32)
        self.seen(tenant).write(Write("docs_1", records, {DENSE: vectors}))
        for each, row in zip(records, vectors.tolist(), strict=True):
            self.known[each.id, tenant] = each, row

    @rule(ids=st.lists(st.sampled_from(IDS), max_size=4), tenant=st.sampled_from(TENANTS))
    def remove(self, ids: list[str], tenant: str | None) -> None:
        self.seen(tenant).remove(Remove("docs_1", ids))
        for key in list(self.known):
            if key[0] in ids and tenant in (None, key[1]):
                del self.known[key]

    @rule()
    def reopen(self) -> None:
        self.adapter.close()
        self.adapter = opened(Path(self.folder.name) / "store")

    @rule(where=filters_for(FIELDS), tenant=st.sampled_from(TENANTS), metric=st.sampled_from(Metric), data=st.data())
    def compare(self, where: Filter, tenant: str | None, metric: Metric, data: Any) -> None:
        resolved, seen = resolve(where, FIELDS), self.seen(tenant)
        fitting = {key: row for key, (each, row) in self.of(tenant) if matches(resolved, each.metadata)}
        assert seen.count(Count("docs_1", resolved)) == len(fitting)
        assert paged(seen, Scroll("docs_1", resolved, limit=2)) == sorted(key[0] for key in fitting)
        question = np.array(data.draw(st.lists(st.integers(-2, 2), min_size=4, max_size=4)), np.float32)
        answer = seen.query(Query("docs_1", {DENSE: question[None]}, metric, 3, where=resolved))[0]
        expected = sorted((score(row, question, metric) for row in fitting.values()), reverse=True)[:3]
        assert [found.score for found in answer] == pytest.approx(expected, abs=1e-6)

    @invariant()
    def everything_is_there(self) -> None:
        assert self.adapter.count(Count("docs_1")) == len(self.known)
        assert set(self.adapter.list_tenants(ListTenants("docs_1"))) == {key[1] for key in self.known} - {None}
        for tenant in TENANTS[1:]:
            read = self.seen(tenant).fetch(Fetch("docs_1", IDS, vectors=True))
            assert {each.id: (each.text, row.tolist()) for each, row in rows_of(read)} == {
                key[0]: (each.text, row) for key, (each, row) in self.of(tenant)
            }

    def seen(self, tenant: str | None) -> EmbeddedAdapter:
        return self.adapter if tenant is None else self.adapter.of_tenant(tenant)

    def of(self, tenant: str | None) -> list[tuple[Any, tuple[Record, list[float]]]]:
        return [(key, value) for key, value in self.known.items() if tenant in (None, key[1])]


def rows_of(batch: Batch) -> list[tuple[Record, Any]]:
    assert batch.vectors is not None
    return list(zip(batch.records, batch.vectors[DENSE], strict=True))


def paged(adapter: EmbeddedAdapter, request: Scroll) -> list[str]:
    ids: list[str] = []
    while True:
        page = adapter.scroll(request)
        ids += [each.id for each in page.records]
        if page.cursor is None:
            return ids
        assert len(page.records) == request.limit
        request = replace(request, cursor=page.cursor)


def score(row: list[float], question: Any, metric: Metric) -> float:
    one = np.array(row, np.float64)
    if metric is Metric.EUCLIDEAN:
        return -float(np.linalg.norm(one - question))
    lengths = 1.0 if metric is Metric.DOT else np.linalg.norm(one) * np.linalg.norm(question)
    return float(one @ question / lengths) if lengths else 0.0


Stores.TestCase.settings = settings(
    max_examples=25, stateful_step_count=15, deadline=None, suppress_health_check=list(HealthCheck)
)
TestStores = Stores.TestCase


# ---------------------------------------------------------------- filters


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.lists(metadata_for(FIELDS), min_size=1, max_size=6), filters_for(FIELDS))
def test_filters_mean_what_the_reference_says(adapter: EmbeddedAdapter, stored: Any, where: Filter) -> None:
    adapter.remove(Remove("docs_1", IDS))
    records = [replace(record(key), metadata=each) for key, each in zip(IDS, stored, strict=False)]
    adapter.write(write(*records))
    resolved = resolve(where, FIELDS)
    expected = [each.id for each in records if matches(resolved, each.metadata)]
    assert paged(adapter, Scroll("docs_1", resolved)) == expected
    assert adapter.count(Count("docs_1", resolved)) == len(expected)


LONG = "a" * 300
TEXTS = ["", "ab", "b", "a\0b", "ä", "aä", LONG, f"{LONG}b", f"b{LONG}", LONG[:256], LONG[:257], "ÿ", "\U0010ffff"]


@pytest.mark.parametrize("wanted", [*TEXTS, "aab", "ba"])
def test_parts_of_strings_long_ones_too(adapter: EmbeddedAdapter, wanted: str) -> None:
    records = [record(f"r{number}", keyword=text) for number, text in enumerate(TEXTS)]
    adapter.write(write(*records))
    field = F.keyword
    wheres = [field == wanted, ~(field == wanted), field.in_([wanted, "b"])]
    if wanted:
        wheres += [field.starts_with(wanted), field.contains_text(wanted), field.ends_with(wanted)]
    for where in wheres:
        resolved = resolve(where, FIELDS)
        expected = sorted(each.id for each in records if matches(resolved, each.metadata))
        assert paged(adapter, Scroll("docs_1", resolved)) == expected, where


def test_bounds_of_a_list_may_be_kept_by_different_values(adapter: EmbeddedAdapter) -> None:
    adapter.write(write(record("r0", integer_list=[1, 9], integer=5), record("r1", integer_list=[5], integer=9)))
    both = resolve((F.integer_list.contains(1)) & (F.integer_list.contains(9)), FIELDS)
    assert paged(adapter, Scroll("docs_1", both)) == ["r0"]
    between = resolve((F.integer > 4) & (F.integer < 6) & (F.integer >= 5), FIELDS)
    assert paged(adapter, Scroll("docs_1", between)) == ["r0"]


# ---------------------------------------------------------------- ranking


@pytest.mark.parametrize("metric", Metric)
@pytest.mark.parametrize("part", [None, 0.02, 0.9])
def test_ranking_is_exact(metric: Metric, part: float | None) -> None:
    generator = np.random.default_rng(3)
    matrix = generator.standard_normal((3000, 24)).astype(np.float32) * generator.uniform(0.1, 4, (3000, 1))
    matrix = matrix.astype(np.float32)
    matrix[7] = 0
    questions = generator.standard_normal((5, 24)).astype(np.float32)
    slots = None if part is None else np.flatnonzero(generator.random(3000) < part)
    chosen = np.arange(3000) if slots is None else slots
    candidates = ComparedRows(matrix, lengths_of(matrix), 3000, slots)
    for question, (best, scores) in zip(questions, rank(candidates, questions, metric, 20), strict=True):
        expected = np.array([score(matrix[slot].tolist(), question.astype(np.float64), metric) for slot in chosen])
        assert best.tolist() == chosen[np.argsort(-expected, kind="stable")[:20]].tolist()
        assert scores == pytest.approx(np.sort(expected)[::-1][:20])


def test_equal_vectors_stand_in_a_fixed_order_and_pages_do_not_overlap(adapter: EmbeddedAdapter) -> None:
    records = [record(f"r{number}") for number in range(500)]
    adapter.write(Write("docs_1", records, {DENSE: np.full((500, 4), 0.3, np.float32)}))
    ids = []
    for offset in range(0, 60, 20):
        asked = Query("docs_1", {DENSE: np.full((1, 4), 0.7, np.float32)}, Metric.COSINE, 20, offset)
        ids += [found.record.id for found in adapter.query(asked)[0]]
    assert len(set(ids)) == 60
