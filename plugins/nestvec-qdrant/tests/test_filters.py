"""Compiled filters find exactly what the reference evaluator finds."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from qdrant_client import models

from nestvec._metadata import check_metadata
from nestvec.contract import Count, Scroll
from nestvec.errors import Unsupported
from nestvec.filters import And, F, Or, matches, resolve
from nestvec.filters.tree import MAX_DEPTH
from nestvec.types import Field, FieldType, Record
from nestvec_qdrant.filters import compile_filter, field_at, field_path
from nestvec_qdrant.records import payload_of
from nestvec_testing.strategies import filters_for, metadata_for

FIELDS = {
    **{kind.value: Field(kind) for kind in FieldType},
    **{f"{kind.value}s": Field(kind, many=True) for kind in FieldType},
    "a.b[0] c": Field(FieldType.INTEGER),
    "straße": Field(FieldType.KEYWORD),
}
HUGE = (2**53, 2**53 + 1, -(2**60) - 1, 2**63 - 1, -(2**63))


def sample(size):
    """Metadata of every kind, the same at every run."""
    found = []

    @settings(max_examples=size, database=None, derandomize=True, suppress_health_check=list(HealthCheck))
    @given(metadata_for(FIELDS))
    def collect(metadata):
        found.append(check_metadata(metadata, FIELDS))

    collect()
    return [*found, *({"integer": number, "integers": [number, 0]} for number in HUGE)]


def identified(metadata):
    return {str(number): each for number, each in enumerate(metadata)}


@pytest.fixture(scope="module")
def metadata():
    return sample(120)


@pytest.fixture(scope="module", params=["memory", "server"])
def stored(request, kit, metadata, server_process):
    """An adapter that holds the sample, its documents named by number."""
    server_process.reset()
    options = {"path": ":memory:"} if request.param == "memory" else {"url": server_process.url}
    adapter = kit.open(kit.options(**options))
    adapter.create(kit.create(fields=FIELDS))
    records = [
        Record(kit.identity(number), str(number), None, each, {"chunk": number, "layout": "l"})
        for number, each in enumerate(metadata)
    ]
    from nestvec.contract import Write

    adapter.write(Write("docs_1", records, kit.vectors(*[[1, 0, 0]] * len(records))))
    yield adapter
    adapter.close()


def found_by(adapter, where):
    page = adapter.scroll(Scroll("docs_1", where, limit=1000, content=False))
    assert page.cursor is None
    return {record.document_id for record in page.records}


def expected(metadata, where):
    return {name for name, each in identified(metadata).items() if matches(where, each)}


@settings(max_examples=250, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(filters_for(FIELDS))
def test_any_filter_finds_what_it_means(stored, metadata, where):
    resolved = resolve(where, FIELDS)
    assert found_by(stored, resolved) == expected(metadata, resolved)


EDGES = [
    F.keyword.in_([]),
    ~F.keyword.in_([]),
    F.keywords.contains_any([]),
    F.keywords.contains_all([]),
    F.float == -0.0,
    F.float < 0.0,
    F.float > -0.0,
    F.integer == 1,
    F.boolean == True,  # noqa: E712 - a filter
    F.integer >= 2**53 - 1,
    F.integer <= -(2**53) + 1,
    F["a.b[0] c"] > 0,
    F["straße"].exists(),
    *(F.integer == number for number in HUGE),
    *(F.integers.contains(number) for number in HUGE),
]


@pytest.mark.parametrize("where", EDGES, ids=str)
def test_edges(stored, metadata, where):
    for each in (where, ~where):
        resolved = resolve(each, FIELDS)
        assert found_by(stored, resolved) == expected(metadata, resolved)


@pytest.mark.parametrize("number", HUGE)
def test_ranges_that_doubles_cannot_express_are_unsupported(stored, number):
    for where in (F.integer < number, F.integer <= number, F.integer > number, F.integer >= number):
        with pytest.raises(Unsupported, match=r"2\*\*53"):
            stored.count(Count("docs_1", resolve(where, FIELDS)))


def test_filters_join_the_tenant(kit):
    where = resolve((F.keyword == "a") | (F.integer == 1), FIELDS)
    own = models.FieldCondition(key="tenant", match=models.MatchValue(value="acme"))
    compiled = compile_filter(where, "acme")
    assert compiled.must == [own, compile_filter(where)]
    assert compiled.should is None, "an OR beside the tenant's condition must not be mixed up with it"
    assert compile_filter(None, "acme").must == [own]
    assert compile_filter(None) is None


def depth(value):
    if isinstance(value, dict):
        return 1 + max(map(depth, value.values()), default=0)
    return 1 + max(map(depth, value), default=0) if isinstance(value, list) else 0


def test_the_deepest_filter_fits_into_the_servers_json(stored, metadata):
    where = F.integer > 0
    for level in range(MAX_DEPTH - 1):
        shallow = Or.of(F.keyword == "a", F.float > level) if level % 2 else F.boolean == True  # noqa: E712
        where = (And if level % 2 else Or).of(shallow, where)
    resolved = resolve(where, FIELDS)
    body = compile_filter(resolved, "t").model_dump(exclude_none=True)
    assert depth({"searches": [{"filter": body}]}) < 128
    assert found_by(stored, resolved) == expected(metadata, resolved)


@given(st.text(st.characters(exclude_categories=["Cs"], exclude_characters='"'), min_size=1))
def test_paths_lead_back_to_their_fields(name):
    assert field_at(field_path(name)) == name


def test_other_paths_are_no_fields():
    assert [field_at(path) for path in ("tenant", "nestvec.chunk", "metadata", "metadata.a.b", "metadata.a[]")] == [
        None
    ] * 5
    assert field_at("metadata.straße") == "straße"


# ------------------------------------------------------------------- Qdrant's own engine, where it is installed


def _engine_filter(edge, compiled):
    """The client's model as the engine's."""

    def bounds(limits, convert=lambda value: value):
        given = {name: getattr(limits, name) for name in ("gt", "gte", "lt", "lte")}
        return {name: convert(value) for name, value in given.items() if value is not None}

    def condition(one):
        if isinstance(one, models.Filter):
            return _engine_filter(edge, one)
        if isinstance(one, models.IsEmptyCondition):
            return edge.IsEmptyCondition(one.is_empty.key)
        if isinstance(one, models.HasIdCondition):
            return edge.HasIdCondition(set(one.has_id))
        if isinstance(one.match, models.MatchAny):
            return edge.FieldCondition(one.key, match=edge.MatchAny(one.match.any))
        if isinstance(one.match, models.MatchValue):
            return edge.FieldCondition(one.key, match=edge.MatchValue(one.match.value))
        if isinstance(one.range, models.DatetimeRange):
            limits = edge.RangeDateTime(**bounds(one.range, lambda value: value.isoformat()))
            return edge.FieldCondition(one.key, range=limits)
        return edge.FieldCondition(one.key, range=edge.RangeFloat(**bounds(one.range)))

    clauses = {name: getattr(compiled, name) for name in ("must", "should", "must_not")}
    return edge.Filter(**{name: [condition(one) for one in each] for name, each in clauses.items() if each})


@pytest.mark.parametrize("indexed", [False, True])
def test_qdrants_own_engine_agrees(kit, metadata, tmp_path, indexed):
    edge = pytest.importorskip("qdrant_edge", reason="needs qdrant-edge-py, the engine of the server in process")
    # Its Python binding turns booleans into integers, so they are left out.
    fields = {name: field for name, field in FIELDS.items() if field.type is not FieldType.BOOLEAN}
    vectors = {"dense": edge.EdgeVectorParams(size=1, distance=edge.Distance.Cosine)}
    (tmp_path / "shard").mkdir()
    shard = edge.EdgeShard.create(str(tmp_path / "shard"), edge.EdgeConfig(vectors=vectors))
    for name, field in fields.items() if indexed else ():
        kind = getattr(edge.PayloadSchemaType, field.type.capitalize())
        shard.update(edge.UpdateOperation.create_field_index(field_path(name), kind))
    points = [
        edge.Point(number, {"dense": [1.0]}, payload_of(Record(str(number), str(number), None, each, {}), None))
        for number, each in enumerate(metadata)
    ]
    shard.update(edge.UpdateOperation.upsert_points(points))

    @settings(max_examples=150, deadline=None)
    @given(filters_for(fields) | st.sampled_from([F.integer == number for number in HUGE]))
    def agree(where):
        resolved = resolve(where, fields)
        wanted = _engine_filter(edge, compile_filter(resolved))
        page, _ = shard.scroll(edge.ScrollRequest(limit=1000, filter=wanted))
        assert {str(point.id) for point in page} == expected(metadata, resolved)

    agree()
