"""What is fresh on a server: its interim index misses records, so ingestions flush and wait for the real one."""

from __future__ import annotations

from contextlib import closing

import numpy as np
import pytest
from pymilvus.grpc_gen import common_pb2, milvus_pb2, schema_pb2

from nestvec import connect
from nestvec.capabilities import Freshness, Power
from nestvec.contract import Create, Drop, Query, Settle, Write
from nestvec.filters import F, resolve
from nestvec.runtime import Runtime
from nestvec.types import DENSE, Document, Field, FieldType, Metric
from nestvec_milvus.adapter import open_adapter
from nestvec_milvus.fresh import INTERIM, LOOK, FreshRecords
from nestvec_milvus.options import MilvusCollectionOptions, MilvusOptions, capabilities
from nestvec_milvus.settling import FlushedSegments
from nestvec_testing.blocking import blocking
from nestvec_testing.data import vectors
from nestvec_testing.registry import test_registry

#: More than the 4,992 from which on the server builds its interim index.
MANY, SIZE = 6000, 384
NUMBER = {"n": Field(FieldType.INTEGER)}


def found(adapter, name, number, *, of):
    """Whether a question that has nothing to do with a record finds it, where only that one matches."""
    question = vectors(1, SIZE, seed=of + number, unit=True)
    query = Query(name, {DENSE: question}, Metric.COSINE, 10, where=resolve(F.n == number, NUMBER))
    return [each.record.metadata["n"] for each in adapter.query(query)[0]] == [number]


def created(adapter, kit, name, **options):
    """An empty collection."""
    adapter.drop(Drop(name))
    given = MilvusCollectionOptions.model_validate(options)
    adapter.create(Create(name, {DENSE: SIZE}, Metric.COSINE, NUMBER, kit.RECORD, given))
    return name


def fill(adapter, kit, name, start, end):
    """Records with a number each."""
    records = [kit.record(f"r{number}", n=number) for number in range(start, end)]
    adapter.write(Write(name, records, {DENSE: vectors(end - start, SIZE, seed=start, unit=True)}))


@pytest.fixture
def adapter(milvus_server, kit):
    with closing(blocking(open_adapter(kit.options(uri=milvus_server.uri), blocking=True))) as opened:
        yield opened
        opened.drop(Drop("fresh_1"))


def config(uri, name="fresh"):
    return {
        "backends": {"store": {"use": "milvus", "uri": uri}},
        "embedders": {"model": {"use": "recording", "dimensions": SIZE, "batch": 256}},
        "collections": {name: {"dimensions": SIZE, "fields": {"n": "integer"}}},
    }


def documents(start, end):
    return [Document(f"d{number}", f"text number {number}", {"n": number}) for number in range(start, end)]


def lost(docs, numbers):
    """Those of these records that no search finds under a filter that leaves only them."""
    return [n for n in numbers if [hit.document_id for hit in docs.search("what?", where=F.n == n)] != [f"d{n}"]]


SOME = range(7, MANY, MANY // 40)


def test_an_ingestion_ends_when_searches_find_it(milvus_server):
    with connect(config(milvus_server.uri), Runtime(test_registry())) as nv:
        nv.apply()
        docs = nv["fresh"]
        assert docs.upsert(documents(0, MANY)).unsettled is None
        assert lost(docs, SOME) == []
        stored = docs.matrix()
        questions = stored.vectors[::300]
        hits = docs.search_vectors(questions, limit=10)
        exact = np.sort(questions @ stored.vectors.T, axis=1)[:, :-11:-1]
        scores = np.array([[hit.score for hit in each] for each in hits])
        assert np.mean(scores >= exact[:, -1:] - 1e-4) >= 0.8, "0.25 by the interim index, 0.9 by HNSW"
        docs.delete(everything=True)


def test_what_several_processes_ingest_is_found(milvus_server):
    """None of them writes so much that the server builds its interim index; together they do."""
    for start in range(0, MANY, MANY // 3):
        with connect(config(milvus_server.uri, "shares"), Runtime(test_registry())) as nv:
            nv.apply()
            nv["shares"].upsert(documents(start, start + MANY // 3))
            assert lost(nv["shares"], [n for n in SOME if n < start + MANY // 3]) == []


def test_many_small_ingestions_lose_nothing(adapter, kit, monkeypatch):
    """The one that makes the server build its interim index flushes, and no other."""
    name, flushes, flushed = created(adapter, kit, "fresh_1"), [], FreshRecords.flushed
    monkeypatch.setattr(FreshRecords, "flushed", lambda fresh: (flushes.append(fresh), flushed(fresh)))
    for start in range(0, MANY, 200):
        fill(adapter, kit, name, start, start + 200)
        assert adapter.settle(Settle(name, 60.0, everything=False)) is None
        assert all(found(adapter, name, number, of=start) for number in (start, start // 2, start // 3))
    assert len(flushes) == 1


def test_little_is_not_flushed(adapter, kit):
    """On 2.3.5 less than 1,024 records in a flushed segment are searched by the interim index for ever."""
    name = created(adapter, kit, "fresh_1")
    fill(adapter, kit, name, 0, 800)
    for everything in (True, False):
        assert adapter.settle(Settle(name, 60.0, everything=everything)) is None
    assert all(found(adapter, name, number, of=9) for number in range(0, 800, 20))


def test_a_collection_that_others_wrote_settles_on_demand(milvus_server, adapter, kit):
    name = created(adapter, kit, "fresh_1")
    for start in range(0, MANY, 1000):
        fill(adapter, kit, name, start, start + 1000)
    assert not all(found(adapter, name, number, of=9) for number in SOME), (
        "this server finds everything at once: its plugin need not wait any more"
    )
    with closing(blocking(open_adapter(kit.options(uri=milvus_server.uri), blocking=True))) as other:
        hurried = other.settle(Settle(name, 0.0))
        assert "searches may miss some of the newest records" in hurried
        assert other.settle(Settle(name, 120.0)) is None
    assert all(found(adapter, name, number, of=9) for number in SOME)


def test_a_flat_index_has_nothing_to_wait_for(adapter, kit):
    name = created(adapter, kit, "fresh_1", index="FLAT")
    for start in range(0, MANY, 1000):
        fill(adapter, kit, name, start, start + 1000)
    assert all(found(adapter, name, number, of=9) for number in SOME)
    assert adapter.settle(Settle(name, 0.0)) is None
    assert adapter.settle(Settle(name, 0.0, everything=False)) is None


# ---------------------------------------------------------------- without a server


@pytest.fixture
def busy(scripted):
    """A server with 6,000 records that flushes, and never comes to the index."""
    count = schema_pb2.FieldData(scalars=schema_pb2.ScalarField(long_data=schema_pb2.LongArray(data=[12_000])))
    info = milvus_pb2.QuerySegmentInfo(segmentID=7, num_rows=6000, index_name="other", state=common_pb2.Sealed)
    flush = milvus_pb2.FlushResponse()
    flush.coll_segIDs["docs_1"].data.append(7)
    flush.coll_flush_ts["docs_1"] = 1
    scripted.replies |= {
        "Query": [milvus_pb2.QueryResults(fields_data=[count])],
        "Flush": [flush],
        "GetFlushState": [milvus_pb2.GetFlushStateResponse(flushed=True)],
        "GetPersistentSegmentInfo": [
            milvus_pb2.GetPersistentSegmentInfoResponse(
                infos=[milvus_pb2.PersistentSegmentInfo(segmentID=7, num_rows=6000)]
            )
        ],
        "GetQuerySegmentInfo": [milvus_pb2.GetQuerySegmentInfoResponse(infos=[info])],
        "DescribeIndex": [
            milvus_pb2.DescribeIndexResponse(
                index_descriptions=[milvus_pb2.IndexDescription(field_name=DENSE, index_name="vectors")]
            )
        ],
    }
    return scripted


def test_it_is_said_what_is_missing_after_the_timeout(busy, open_client):
    missing = open_client(uri=busy.uri).settle(Settle("docs_1", 0.3))
    assert "1 of its 1 flushed segments" in missing
    assert "settle again" in missing


def test_an_ingestion_asks_for_nothing_where_nothing_was_written(busy, open_client):
    client = open_client(uri=busy.uri)
    assert client.settle(Settle("docs_1", 60.0, everything=False)) is None
    assert busy.calls == []


def test_much_is_looked_at_and_little_only_once():
    fresh = FreshRecords()
    assert not fresh.worth_a_look
    fresh.wrote(["a"])
    assert fresh.worth_a_look, "what earlier processes wrote counts, too"
    fresh.seen()
    fresh.wrote(["b"])
    assert not fresh.worth_a_look
    fresh.wrote([f"c{number}" for number in range(LOOK)])
    assert fresh.worth_a_look
    fresh.wrote([f"e{number}" for number in range(INTERIM)])
    fresh.seen()
    assert fresh.worth_a_look, "so near to the interim index, every ingestion looks"
    fresh.flushed()
    assert not fresh.worth_a_look


def test_removed_records_are_not_looked_for():
    fresh = FreshRecords()
    for key in "abc":
        fresh.wrote([key])
    fresh.removed(["b", "z"])
    assert fresh.sample() == ["a", "c"]


def segments(*infos, state=common_pb2.Sealed):
    made = [milvus_pb2.QuerySegmentInfo(segmentID=n, index_name=name, state=state) for n, name in infos]
    return milvus_pb2.GetQuerySegmentInfoResponse(infos=made)


def test_a_segment_is_ready_when_every_index_over_vectors_was_seen_loaded():
    flushed = FlushedSegments({1, 2, 3}, 0)
    sizes = {1: 5000, 2: 5000, 3: 100}
    assert sorted(flushed.missing(sizes, ["a", "b"])) == [1, 2], "small segments are searched exhaustively"
    flushed.note(segments((1, "a"), (2, "other")))
    flushed.note(segments((1, "b"), (2, "a")))
    assert flushed.missing(sizes, ["a", "b"]) == [2]
    flushed.note(segments((2, "b"), state=common_pb2.Growing))
    assert flushed.missing(sizes, ["a", "b"]) == [2]
    flushed.note(segments((2, "b")))
    assert flushed.missing(sizes, ["a", "b"]) == []


def test_what_segments_were_merged_into_takes_their_place():
    flushed = FlushedSegments({4, 5}, 0)
    assert flushed.missing({3: 9000, 8: 10_000}, ["a"]) == [8]
    flushed.note(segments((8, "a")))
    assert flushed.missing({3: 9000, 8: 10_000}, ["a"]) == []


@pytest.mark.parametrize(
    ("options", "fresh", "settles"),
    [
        ({"path": ":memory:"}, Freshness.AT_ONCE, False),
        ({"uri": "http://localhost:19530"}, Freshness.WHEN_SETTLED, True),
        ({"uri": "http://localhost:19530", "version": "2.6"}, Freshness.WHEN_SETTLED, True),
        ({"uri": "https://in01.api.gcp.zillizcloud.com"}, Freshness.UNCERTAIN, False),
    ],
)
def test_what_is_declared(options, fresh, settles):
    declared = capabilities(MilvusOptions.model_validate(options))
    assert declared.fresh is fresh
    assert (Power.SETTLING in declared.powers) is settles
    assert (Power.SETTLING in declared.why_not) is (fresh is Freshness.UNCERTAIN)
