"""Searching coarse to fine, and storing small: what the core writes, asks for, compares and refuses."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from nestvec._documents.funnel import candidates
from nestvec._specs import StoredCollection
from nestvec.capabilities import Power
from nestvec.contract import Create, Query, QueryStaged, Stage, Update
from nestvec.encoding.quantised import as_binary, as_int8
from nestvec.encoding.vectors import truncate
from nestvec.errors import CollectionConflict, ConfigError
from nestvec.types import DENSE, Document, Storage, prefix_name
from nestvec_testing import BackendUnderTest
from nestvec_testing.bench import Bench
from nestvec_testing.data import document

FUNNEL = {"dimensions": 32, "funnel": [4, 16], "oversampling": 2}


@pytest.fixture
def bench() -> Iterator[Bench]:
    with Bench(BackendUnderTest("memory", {"store": "funnels"})) as made:
        yield made


def queries(bench: Bench) -> list[Query]:
    return [request for request in bench.requests if isinstance(request, Query)]


# ------------------------------------------------------------ vectors


def test_every_vector_of_a_record_is_written_and_asked_for(bench: Bench) -> None:
    session = bench.applied(FUNNEL)
    session.docs.upsert([document(f"d{i}", seed=i) for i in range(3)])
    session.docs.search("winter")
    (query,) = queries(bench)
    (stored,) = [collection for name, collection in bench.adapter._collections.items() if name == bench.physical()]
    for vectors in (query.vectors, *(point.vectors for point in stored.points.values())):
        full = np.atleast_2d(vectors[DENSE])
        assert set(vectors) == {DENSE, "dense_4", "dense_16"}
        for size in (4, 16):
            np.testing.assert_array_equal(np.atleast_2d(vectors[prefix_name(size)]), truncate(full, size))


def test_kept_vectors_of_unchanged_chunks_keep_their_prefixes(bench: Bench) -> None:
    session = bench.applied({**FUNNEL, "chunking": {"size": 20}})
    session.docs.upsert([Document("a", "The first sentence. The second sentence.")])
    session.docs.upsert([Document("a", "The first sentence. Quite another one here.")])
    (page,) = session.docs.scroll(vectors=True)
    (stored,) = [collection for name, collection in bench.adapter._collections.items() if name == bench.physical()]
    for record, full in zip(page.records, page.vectors, strict=True):
        np.testing.assert_array_equal(stored.points[record.id].vectors["dense_4"], truncate(full[None], 4)[0])


# ------------------------------------------------------------ stages


def test_each_stage_takes_more_candidates_than_the_next(bench: Bench) -> None:
    session = bench.applied(FUNNEL)
    session.docs.upsert([document("a")])
    session.docs.search("winter", limit=10, offset=5)
    (query,) = queries(bench)
    assert query.stages == (Stage("dense_4", 60), Stage("dense_16", 30))
    assert (query.limit, query.offset, query.rescore) == (10, 5, None)


def test_groups_ask_every_stage_for_more(bench: Bench) -> None:
    session = bench.applied({**FUNNEL, "chunking": {"size": 20}})
    session.docs.upsert([Document(f"d{i}", "winter river stone engine " * 20) for i in range(6)])
    hits = session.docs.search("winter", limit=6, group_by_document=True)
    assert len({hit.document_id for hit in hits}) == 6
    asked = queries(bench)
    assert len(asked) > 1
    assert all(query.stages[-1].limit == 2 * query.limit for query in asked)


@pytest.mark.parametrize(("storage", "rescore"), [("float32", None), ("float16", None), ("int8", 20), ("binary", 40)])
def test_candidates_of_a_quantised_index_are_rescored(bench: Bench, storage: str, rescore: int | None) -> None:
    session = bench.applied({"storage": storage})
    session.docs.upsert([document("a")])
    session.docs.search("winter", limit=7, offset=3)
    (query,) = queries(bench)
    staged = isinstance(query, QueryStaged)
    assert staged == (rescore is not None)
    assert not staged or (query.stages, query.rescore) == ((), rescore)


@given(st.integers(1, 2000), st.floats(1, 20), st.integers(1, 4), st.one_of(st.none(), st.integers(2000, 20_000)))
def test_the_rule_of_candidates(wanted: int, oversampling: float, steps: int, most: int | None) -> None:
    number = candidates(wanted, oversampling, steps, most)
    assert wanted <= number
    assert number <= candidates(wanted, oversampling, steps + 1, most)
    assert most is None or number <= most
    assert number == most or number >= wanted * oversampling**steps


# ------------------------------------------------------------ what is stored about it, and what changes


def test_records_say_only_what_is_not_usual(bench: Bench) -> None:
    bench.applied()
    assert not {"storage", "funnel"} & set(bench.describe().record or {})
    other = bench.applied(collections={"other": {**FUNNEL, "storage": "int8"}})
    record = bench.describe("other").record or {}
    assert (record["storage"], record["funnel"]) == ("int8", [4, 16])
    assert other.plan()[0].action == "none"


def test_a_record_written_before_there_were_funnels_is_read(bench: Bench) -> None:
    bench.applied()
    record = bench.describe().record
    assert set(record or {}) == {
        "nestvec", "name", "generation", "space", "metric", "fields", "retired", "chunking", "namespaces", "store_text",
    }  # fmt: skip
    stored = StoredCollection.read(record, "docs_1")
    assert (stored.storage, stored.funnel) == (Storage.FLOAT32, ())


@pytest.mark.parametrize("funnel", [[], [4], [4, 8]])
def test_another_funnel_is_a_conflict_that_names_the_way_out(bench: Bench, funnel: list[int]) -> None:
    bench.applied(FUNNEL)
    session = bench.session({**FUNNEL, "funnel": funnel})
    (change,) = session.plan()
    assert change.action == "conflict"
    assert change.details[0] == (
        f"funnel: stored [4, 16], configured {funnel}; needs a rebuild: nestvec migrate {bench.name}"
    )
    with pytest.raises(CollectionConflict, match=rf"funnel \[4, 16\].*nestvec migrate {bench.name}"):
        session.docs.search("winter")


def test_oversampling_is_taken_at_query_time(bench: Bench) -> None:
    bench.applied(FUNNEL).docs.upsert([document("a")])
    session = bench.session({**FUNNEL, "oversampling": 3})
    assert session.plan()[0].action == "none"
    session.docs.search("winter", limit=10)
    assert [stage.limit for stage in queries(bench)[-1].stages] == [90, 30]


@pytest.mark.parametrize(("was", "now"), [("float32", "int8"), ("int8", "binary"), ("binary", "float32")])
def test_storage_that_changes_in_place_is_an_update(bench: Bench, was: str, now: str) -> None:
    bench.applied({"storage": was}).docs.upsert([document("a")])
    session = bench.session({"storage": now})
    session.docs.search("winter")  # what is not applied yet does not stop a search
    assert queries(bench)[-1].rescore is not None
    (change,) = session.plan()
    assert (change.action, change.details) == (
        "update", (f"storage: {was} becomes {now}, in place: no record is written again",),
    )  # fmt: skip
    session.apply()
    assert [request.storage for request in bench.requests if isinstance(request, Update)] == [Storage(now)]
    assert bench.describe().storage is Storage(now)
    assert session.plan()[0].action == "none"


def test_storage_that_needs_a_rebuild_says_so(bench: Bench) -> None:
    bench.applied()
    session = bench.session({"storage": "float16"})
    (change,) = session.plan()
    assert change.action == "conflict"
    assert change.details[0] == (
        f"storage: stored float32, configured float16; needs a rebuild: nestvec migrate {bench.name}"
    )
    with pytest.raises(CollectionConflict, match="needs a rebuild"):
        session.docs.search("winter")


def test_drift_of_the_engine_is_noticed(bench: Bench) -> None:
    session = bench.applied({"storage": "int8"})
    info = bench.describe()
    bench.raw(Update(info.physical, info.fields or {}, info.record or {}, Storage.FLOAT32))
    assert session.plan()[0].details == ("storage: float32 becomes int8, in place: no record is written again",)


def test_a_change_that_was_interrupted_is_completed(bench: Bench) -> None:
    bench.applied()
    info = bench.describe()
    bench.raw(Update(info.physical, info.fields or {}, info.record or {}, Storage.BINARY))
    session = bench.session({"storage": "binary"})
    assert session.plan()[0].action == "update"
    session.apply()
    assert (bench.describe().record or {})["storage"] == "binary"
    assert session.plan()[0].action == "none"


def test_creating_says_how_vectors_are_kept(bench: Bench) -> None:
    session = bench.session({**FUNNEL, "storage": "binary"})
    details = session.plan()[0].details
    assert details[2:] == ("storage: binary", "funnel: candidates by prefixes of 4, 16 dimensions")
    session.apply()
    (create,) = [request for request in bench.requests if isinstance(request, Create)]
    assert create.storage is Storage.BINARY
    assert create.vectors == {"dense_4": 4, "dense_16": 16, DENSE: 32}


# ------------------------------------------------------------ copies


@pytest.mark.parametrize("source", [{}, {"funnel": [8]}, FUNNEL], ids=["none", "another", "the same"])
@pytest.mark.parametrize("storage", list(Storage))
def test_a_copy_has_the_prefixes_of_its_own_funnel(bench: Bench, source: dict[str, Any], storage: Storage) -> None:
    blocks = {"a": {"dimensions": 32, **source}, "b": {**FUNNEL, "storage": storage.value}}
    session = bench.applied(collections=blocks)
    session["a"].upsert([document(f"d{i}", seed=i) for i in range(5)])
    report = session.copy("a", "b")
    assert report.records == report.verified == 5
    points = bench.adapter._collections[bench.physical("b")].points
    for point in points.values():
        tolerance = 1e-3 if storage is Storage.FLOAT16 else 1e-6
        prefix = truncate(point.vectors[DENSE][None], 4)[0]
        np.testing.assert_allclose(point.vectors["dense_4"], prefix, atol=tolerance)


# ------------------------------------------------------------ configuration


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ({"funnel": [16, 4]}, "write lengths of at least 1, each once and ascending, not [16, 4]"),
        ({"funnel": [4, 4]}, "each once and ascending"),
        ({"funnel": [0, 4]}, "of at least 1"),
        ({"funnel": [4, 32]}, "32 cannot be used; recording-v3 gives prefixes of at least 1 dimensions"),
        ({"funnel": [4.5]}, "funnel"),
        ({"oversampling": 0.5}, "oversampling"),
        ({"oversampling": float("inf")}, "oversampling"),
        ({"storage": "int4"}, "storage"),
        ({"adopt": True, "storage": "int8"}, "leave storage and funnel out"),
        ({"adopt": True, "funnel": [4]}, "leave storage and funnel out"),
    ],
)
def test_what_makes_no_sense_is_refused(bench: Bench, settings: dict[str, Any], problem: str) -> None:
    with pytest.raises(ConfigError) as caught:
        bench.session({"dimensions": 32, **settings})
    assert problem in str(caught.value)


@pytest.mark.parametrize(
    ("changes", "settings", "problem"),
    [
        (
            {"powers": frozenset(Power) - {Power.FUNNELS}},
            {"funnel": [4]},
            "cannot search coarse to fine; leave funnel out (it is too old)",
        ),
        ({"max_vectors": 2}, {"funnel": [4, 8]}, "at most 2 vectors a record; give the funnel at most 1 lengths"),
        (
            {"storage": frozenset({"float32"})},
            {"storage": "int8"},
            "storage: backend 'store' has no 'int8'; it has float32 (it has no quantisation)",
        ),
    ],
)
def test_what_the_backend_lacks_is_refused_with_its_reason(
    changes: dict[str, Any], settings: dict[str, Any], problem: str
) -> None:
    plugin = BackendUnderTest("memory").load()
    why = {"funnels": "it is too old", "storage": "it has no quantisation"}
    can = replace(plugin.capabilities(None), **changes, why_not=why)
    with (
        Bench(BackendUnderTest(replace(plugin, capabilities=lambda _: can))) as bench,
        pytest.raises(ConfigError) as caught,
    ):
        bench.session({"dimensions": 32, **settings})
    assert problem in str(caught.value)


# ------------------------------------------------------------ the kit's own arithmetic

ROWS = arrays.arrays(
    np.float32, st.tuples(st.integers(1, 5), st.integers(1, 20)), elements=st.floats(-100, 100, width=32)
)


@settings(max_examples=50)
@given(ROWS)
def test_int8_is_off_by_half_a_step_at_most(rows: Any) -> None:
    steps = np.abs(rows).max(axis=1, keepdims=True) / 127
    assert (np.abs(as_int8(rows) - rows) <= steps * 0.5001 + 1e-30).all()


@settings(max_examples=50)
@given(ROWS)
def test_binary_keeps_the_signs(rows: Any) -> None:
    kept = as_binary(rows)
    assert ((kept > 0) >= (rows > 0)).all() or not np.abs(rows).max(axis=1).all()
    assert (np.sign(kept)[rows < 0] <= 0).all()
    assert len(set(np.abs(kept[0]).tolist())) == 1
