"""The emulator itself, driven by the real SDK: what Pinecone promises, refuses and delays."""

from __future__ import annotations

import numpy as np
import pinecone
import pytest
from pinecone.errors import exceptions

from nestvec_pinecone.testing import Cut, HttpStatus, Lag, Malformed, PineconeEmulator, PineconeSettings
from nestvec_pinecone.testing.errors import PineconeRefusal
from nestvec_pinecone.testing.filters import check_filter, selects

QUICK = pinecone.RetryConfig(max_retries=0)


@pytest.fixture
def control(emulator):
    client = pinecone.Pinecone(api_key=emulator.api_key, host=emulator.url, retry_config=QUICK)
    yield client
    client.close()


@pytest.fixture
def index(control, emulator):
    model = control.indexes.create(name="docs", dimension=2, metric="cosine", timeout=-1)
    client = pinecone.Index(host=model.host, api_key=emulator.api_key)
    yield client
    client.close()


def refused(status, call):
    with pytest.raises(exceptions.ApiError) as caught:
        call()
    assert caught.value.status_code == status
    return caught.value.message


class TestControlPlane:
    @pytest.mark.parametrize("name", ["Upper", "under_score", "-x", "x-", "x" * 46])
    def test_names(self, emulator, name):
        with pinecone.Pinecone(api_key=emulator.api_key, host=emulator.url, retry_config=QUICK) as client:
            body = {"name": name, "schema": {"fields": {"_values": {"type": "dense_vector", "dimension": 2}}}}
            refused(422, lambda: client._http.post("/indexes", json=body))

    def test_an_index_has_one_name(self, control, index):
        refused(409, lambda: control.indexes.create(name="docs", dimension=2, timeout=-1))

    @pytest.mark.parametrize("dimension", [0, 20_001])
    def test_dimensions(self, control, dimension):
        refused(400, lambda: control.indexes.create(name="x", dimension=dimension, timeout=-1))

    def test_tags_are_merged_deleted_and_limited(self, control, index, emulator):
        control.indexes.configure("docs", tags={"a": "1", "b": "2"})
        assert control.indexes.configure("docs", tags={"a": "", "c": "3"}).tags == {"b": "2", "c": "3"}
        control.indexes.configure("docs", tags={f"t{i}": "x" for i in range(18)})
        refused(400, lambda: control.indexes.configure("docs", tags={"one": "more"}))
        assert len(control.indexes.describe("docs").tags) == 20
        control.indexes.configure("docs", tags={"b": "", "one": "more"})
        for value in ("x" * 121, "{}", "a,b", "ü", "a\n"):
            raw = {"tags": {"wrong": value}}
            refused(400, lambda raw=raw: control._http.patch("/indexes/docs", json=raw))

    def test_missing_indexes(self, control):
        for call in (control.indexes.describe, control.indexes.delete):
            refused(404, lambda call=call: call("missing"))
        assert [index.name for index in control.indexes.list()] == []

    def test_deletion_protection(self, control, index):
        control.indexes.configure("docs", deletion_protection="enabled")
        refused(403, lambda: control.indexes.delete("docs", timeout=-1))

    def test_creation_and_deletion_take_their_time(self, control, emulator):
        emulator.dial(creating=2, deleting=2)
        control.indexes.create(name="slow", dimension=2, timeout=-1)
        states = [control.indexes.describe("slow").status.state for _ in range(3)]
        assert states == ["Initializing", "Initializing", "Ready"]
        control.indexes.delete("slow", timeout=-1)
        assert [control.indexes.describe("slow").status.state for _ in range(2)] == ["Terminating"] * 2
        refused(404, lambda: control.indexes.describe("slow"))


class TestRecords:
    def test_all_at_once_or_nothing(self, index):
        good = {"id": "good", "values": [1, 0]}
        for bad in (
            {"id": "x", "values": [1, 0, 0]},
            {"id": "x", "values": [0, 0]},
            {"id": "é", "values": [1, 0]},
            {"id": "", "values": [1, 0]},
            {"id": "x" * 513, "values": [1, 0]},
            {"id": "x", "values": [1, 0], "metadata": {"a": None}},
            {"id": "x", "values": [1, 0], "metadata": {"a": {"b": 1}}},
            {"id": "x", "values": [1, 0], "metadata": {"a": [1]}},
            {"id": "x", "values": [1, 0], "metadata": {"$a": 1}},
            {"id": "x", "values": [1, 0], "metadata": {"a": "x" * 41_000}},
        ):
            refused(400, lambda bad=bad: index._http.post("/vectors/upsert", json={"vectors": [good, bad]}))
        assert index.fetch(ids=["good"]).vectors == {}

    def test_sizes(self, index):
        many = [{"id": str(i), "values": [1, 0]} for i in range(1001)]
        refused(400, lambda: index._http.post("/vectors/upsert", json={"vectors": many}))
        heavy = [{"id": str(i), "values": [1, 0], "metadata": {"a": "x" * 40_000}} for i in range(60)]
        refused(413, lambda: index._http.post("/vectors/upsert", json={"vectors": heavy}))
        index.upsert(vectors=[("a", [1, 0])])
        refused(400, lambda: index._http.post("/vectors/delete", json={"ids": [str(i) for i in range(1001)]}))
        refused(414, lambda: index.fetch(ids=[f"{i:036}" for i in range(900)]))
        for top in (0, 10_001):
            refused(400, lambda top=top: index._http.post("/query", json={"topK": top, "vector": [1, 0]}))

    def test_an_answer_that_is_too_large(self, index):
        for start in range(0, 120, 40):
            index.upsert(vectors=[(str(i), [1, i], {"a": "x" * 39_000}) for i in range(start, start + 40)])
        assert len(index.query(vector=[1, 0], top_k=120).matches) == 120
        refused(400, lambda: index.query(vector=[1, 0], top_k=120, include_metadata=True))

    @pytest.mark.parametrize(
        ("metric", "scores"),
        [("cosine", [1.0, 0.0, -1.0]), ("dotproduct", [2.0, 0.0, -2.0]), ("euclidean", [0.0, 5.0, 16.0])],
    )
    def test_scores(self, control, emulator, metric, scores):
        model = control.indexes.create(name=metric, dimension=2, metric=metric, timeout=-1)
        with pinecone.Index(host=model.host, api_key=emulator.api_key) as index:
            rows = {"same": [2, 0], "across": [0, 1], "opposite": [-2, 0]}
            index.upsert(vectors=list(rows.items()))
            factor = 1 if metric != "dotproduct" else 0.5
            vector = [2 * factor, 0] if metric == "dotproduct" else [2, 0]
            found = index.query(vector=vector, top_k=3).matches
        assert [match.id for match in found] == list(rows)
        assert np.allclose([match.score for match in found], scores, atol=1e-6)

    def test_pages(self, index):
        index.upsert(vectors=[(f"{i:03}", [1, i], {"even": i % 2 == 0}) for i in range(250)], namespace="n")
        assert [item.id for page in index.list(namespace="n") for item in page.vectors] == [
            f"{i:03}" for i in range(250)
        ]
        found, token = [], None
        while True:
            page = index.fetch_by_metadata(filter={"even": True}, namespace="n", limit=40, pagination_token=token)
            found += page.vectors
            token = page.pagination.next if page.pagination else None
            if token is None:
                break
        assert found == [f"{i:03}" for i in range(0, 250, 2)]

    def test_updates_and_dry_runs(self, index):
        index.upsert(vectors=[("a", [1, 0], {"x": 1}), ("b", [0, 1], {"x": 2})])
        assert index.update(filter={"x": {"$gt": 0}}, set_metadata={"y": "z"}, dry_run=True).matched_records == 2
        assert index.fetch(ids=["a"]).vectors["a"].metadata == {"x": 1}
        assert index.update(filter={"x": 1}, set_metadata={"y": "z"}).matched_records == 1
        index.update(id="b", values=[1, 1])
        found = index.fetch(ids=["a", "b"]).vectors
        assert (found["a"].metadata, found["b"].values) == ({"x": 1, "y": "z"}, [1, 1])

    def test_deleting(self, index):
        assert "Namespace" in refused(404, lambda: index.delete(ids=["a"], namespace="never"))
        for selector in ({"ids": ["a"]}, {"filter": {"x": 1}}, {"delete_all": True}):
            index.upsert(vectors=[("a", [1, 0], {"x": 1}), ("b", [0, 1], {"x": 2})])
            index.delete(**selector)
            assert set(index.fetch(ids=["a", "b"]).vectors) == (set() if "delete_all" in selector else {"b"})

    def test_namespaces_and_stats(self, index):
        index.upsert(vectors=[("a", [1, 0])])
        index.upsert(vectors=[("a", [1, 0]), ("b", [1, 0])], namespace="n")
        stats = index.describe_index_stats()
        assert {name: each.vector_count for name, each in stats.namespaces.items()} == {"__default__": 1, "n": 2}
        assert [each.name for each in index.list_namespaces_paginated(prefix="n").namespaces] == ["n"]
        assert index.fetch(ids=["a"], namespace="__default__").vectors.keys() == {"a"}
        index.delete_namespace(name="n")
        assert [each.name for each in index.list_namespaces_paginated().namespaces] == ["__default__"]
        refused(400, lambda: index.describe_index_stats(filter={"x": 1}))


class TestConsistency:
    def test_reads_until_a_write_is_seen(self, index, emulator):
        emulator.dial(fetch=Lag(reads=2), query=Lag(reads=1))
        lsn = index.upsert(vectors=[("a", [1, 0])]).response_info.lsn_committed
        assert [len(index.fetch(ids=["a"]).vectors) for _ in range(4)] == [0, 0, 1, 1]
        answers = [index.query(vector=[1, 0], top_k=1) for _ in range(3)]
        assert [len(each.matches) for each in answers] == [0, 1, 1]
        assert [each.response_info.is_reconciled(lsn) for each in answers] == [False, True, True]

    def test_writes_are_seen_in_order_and_by_the_clock(self, index, emulator):
        now = [100.0]
        emulator.clock = lambda: now[0]
        emulator.dial(query=Lag(seconds=10))
        index.upsert(vectors=[("a", [1, 0])])
        now[0] += 6
        index.delete(ids=["a"])
        index.upsert(vectors=[("b", [1, 0])])
        seen = []
        for _ in range(4):
            seen.append([match.id for match in index.query(vector=[1, 0], top_k=3).matches])
            now[0] += 4
        assert seen == [[], ["a"], ["a"], ["b"]]


class TestFaults:
    def test_statuses_keys_and_cuts(self, index, emulator):
        with pinecone.Index(host=index.host, api_key="wrong") as other:
            refused(401, lambda: other.fetch(ids=["a"]))
        index._http._client._transport._config = QUICK
        emulator.inject(HttpStatus(status=429, retry_after=7), path="/query")
        with pytest.raises(exceptions.RateLimitError) as caught:
            index.query(vector=[1, 0], top_k=1)
        assert caught.value.retry_after == 7
        emulator.inject(Cut(), path="/query")
        with pytest.raises(exceptions.PineconeConnectionError):
            index.query(vector=[1, 0], top_k=1)
        emulator.inject(Malformed(), path="/query")
        with pytest.raises(exceptions.ResponseParsingError):
            index.query(vector=[1, 0], top_k=1)
        emulator.inject(Cut(applied=True), path="/vectors/upsert", skip=1)
        index.upsert(vectors=[("a", [1, 0])])
        with pytest.raises(exceptions.PineconeConnectionError):
            index.upsert(vectors=[("b", [1, 0])])
        assert set(index.fetch(ids=["a", "b"]).vectors) == {"a", "b"}
        assert emulator.pending_faults == 0

    def test_the_journal_keeps_no_key(self, index, emulator):
        index.fetch(ids=["a"])
        assert emulator.exchanges
        assert emulator.api_key not in repr(emulator.exchanges) + repr(PineconeSettings())


class TestFilters:
    record = {"s": "a", "n": 2.0, "b": True, "l": ["x", "y"]}

    @pytest.mark.parametrize(
        ("where", "found"),
        [
            ({}, True),
            ({"s": "a"}, True),
            ({"s": "a", "n": 3}, False),
            ({"n": {"$gt": 1, "$lt": 3}}, True),
            ({"n": {"$gte": 2}}, True),
            ({"s": {"$gt": 1}}, False),
            ({"l": "x"}, True),
            ({"l": {"$ne": "x"}}, False),
            ({"l": {"$in": ["z", "y"]}}, True),
            ({"l": {"$nin": ["z"]}}, True),
            ({"b": {"$eq": 1}}, False),
            ({"b": True}, True),
            ({"m": {"$exists": False}}, True),
            ({"n": {"$exists": False}}, False),
            ({"$or": [{"s": "b"}, {"n": 2}]}, True),
            ({"$and": [{"s": "b"}, {"n": 2}]}, False),
        ],
    )
    def test_meaning(self, where, found):
        assert selects(check_filter(where), self.record, finds_missing=False) is found

    @pytest.mark.parametrize("where", [{"m": {"$ne": 1}}, {"m": {"$nin": ["a"]}}])
    def test_negation_of_missing_fields_is_a_setting(self, where):
        assert [selects(where, self.record, finds_missing=each) for each in (False, True)] == [False, True]

    @pytest.mark.parametrize(
        "where",
        [
            {"s": None},
            {"s": ["a"]},
            {"s": {}},
            {"s": {"$gt": "a"}},
            {"s": {"$in": []}},
            {"s": {"$in": [True]}},
            {"s": {"$regex": "a"}},
            {"s": {"$exists": 1}},
            {"s": {"$not": {"$eq": "a"}}},
            {"$or": []},
            {"$and": {"s": "a"}},
            {"$nor": [{"s": "a"}]},
            ["s"],
        ],
    )
    def test_what_is_no_filter(self, where):
        with pytest.raises(PineconeRefusal) as caught:
            check_filter(where)
        assert caught.value.status == 400


def test_starting_twice_and_closing_twice():
    emulator = PineconeEmulator()
    with emulator:
        first = emulator.url
    emulator.close()
    with emulator:
        assert emulator.url.startswith("http://127.0.0.1:")
    assert first


def test_importing_it_needs_no_server():
    import subprocess
    import sys

    script = (
        "import sys, nestvec_pinecone.testing;"
        "heavy = {'starlette', 'uvicorn', 'pinecone', 'yaml', 'jsonschema'} & set(sys.modules);"
        "sys.exit(str(heavy) if heavy else 0)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
