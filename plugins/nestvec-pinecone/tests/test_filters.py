"""Filters: what they become, and that they mean the same as the reference, whichever way the server negates."""

from __future__ import annotations

from datetime import UTC, datetime
from itertools import chain

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nestvec.errors import Unsupported
from nestvec.filters import F, matches, resolve, system
from nestvec.types import FieldType
from nestvec_pinecone.filters import compile_filter
from nestvec_pinecone.records import metadata_of
from nestvec_pinecone.testing.filters import check_filter, selects
from nestvec_testing.data import PARSED, record
from nestvec_testing.strategies import filters_for, metadata_for

NESTVEC = {"nestvec_text": PARSED["lang"], "nestvec_system_chunk": PARSED["year"]}
FIELDS = {**PARSED, **NESTVEC}


@pytest.mark.parametrize("finds_missing", [False, True])
@settings(max_examples=400, deadline=None, derandomize=True, database=None)
@given(metadata=metadata_for(FIELDS), where=filters_for(FIELDS))
def test_compiled_filters_mean_the_same(finds_missing, metadata, where):
    resolved = resolve(where, FIELDS)
    made = record("d", metadata)
    stored = metadata_of(made, "stamp", "docs-1")
    compiled = check_filter(compile_filter(resolved))
    found = selects(compiled, stored, finds_missing=finds_missing)
    assert found is matches(resolved, made.metadata, {**made.system, "document_id": "d"})


@pytest.mark.parametrize(
    ("where", "compiled"),
    [
        (F.lang == "de", {"lang": {"$eq": "de"}}),
        ((F.lang == "de") & (F.year >= 2020), {"$and": [{"lang": {"$eq": "de"}}, {"year": {"$gte": 2020}}]}),
        (F.lang != "de", {"$or": [{"lang": {"$exists": False}}, {"lang": {"$ne": "de"}}]}),
        (~(F.year < 5), {"$or": [{"year": {"$exists": False}}, {"year": {"$gte": 5}}]}),
        (F.lang.in_(["a", "b"]), {"lang": {"$in": ["a", "b"]}}),
        (F.lang.in_([]), {"nestvec_document_id": {"$exists": False}}),
        (~F.lang.in_([]), {"nestvec_document_id": {"$exists": True}}),
        (F.tags.contains_all(["a", "b"]), {"$and": [{"tags": {"$eq": "a"}}, {"tags": {"$eq": "b"}}]}),
        (F.open.in_([True, False]), {"$or": [{"open": {"$eq": True}}, {"open": {"$eq": False}}]}),
        (F.sizes.contains(3), {"sizes": {"$in": ["3"]}}),
        (F.seen >= datetime(1970, 1, 1, 0, 0, 1, tzinfo=UTC), {"seen": {"$gte": 1_000_000}}),
        (system("chunk", FieldType.INTEGER) == 0, {"nestvec_system_chunk": {"$eq": 0}}),
    ],
)
def test_compiled_form(where, compiled):
    assert compile_filter(resolve(where, PARSED)) == compiled


@pytest.mark.parametrize(("count", "parts"), [(10_000, [10_000]), (10_001, [10_000, 1]), (20_000, [10_000, 10_000])])
def test_long_lists_are_several(count, parts):
    values = list(range(count))
    found = compile_filter(resolve(F.year.in_(values), PARSED))
    lists = [each["year"]["$in"] for each in found.get("$or", [found])]
    assert ([len(each) for each in lists], [*chain(*lists)]) == (parts, values)
    missing, *others = compile_filter(resolve(~F.year.in_(values), PARSED))["$or"]
    (none,) = others
    lists = [each["year"]["$nin"] for each in none.get("$and", [none])]
    assert ([len(each) for each in lists], [*chain(*lists)]) == (parts, values)
    assert missing == {"year": {"$exists": False}}


@pytest.mark.parametrize("where", [F.year == 2**53, F.year <= -(2**53), F.seen > datetime(2300, 1, 1, tzinfo=UTC)])
def test_numbers_that_are_not_exact_as_doubles_are_refused(where):
    with pytest.raises(Unsupported, match="doubles"):
        compile_filter(resolve(where, PARSED))


@given(st.integers(-(2**53) + 1, 2**53 - 1), st.integers(-(2**63), 2**63 - 1))
@settings(max_examples=300, deadline=None, derandomize=True, database=None)
def test_ranges_are_right_for_stored_integers_of_any_size(bound, stored):
    made = record("d", {"year": stored})
    kept = {key: float(value) if type(value) is int else value for key, value in metadata_of(made, "s", "x").items()}
    for where in (F.year >= bound, F.year > bound, ~(F.year < bound), F.year == bound):
        resolved = resolve(where, PARSED)
        assert selects(compile_filter(resolved), kept, finds_missing=False) is matches(resolved, made.metadata)
