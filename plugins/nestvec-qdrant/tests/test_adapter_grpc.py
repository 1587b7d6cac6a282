"""gRPC: a server of a few lines, enough to see what arrives and to answer with errors."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import grpc
import numpy as np
import pytest
from qdrant_client import grpc as protocol
from qdrant_client.grpc import collections_service_pb2_grpc, points_service_pb2_grpc, qdrant_pb2, qdrant_pb2_grpc

from nestvec.contract import (
    Adopt,
    Count,
    Describe,
    Fetch,
    ForeignLayout,
    ListCollections,
    ListTenants,
    Query,
    ReadNote,
    Remove,
    Scroll,
    Write,
    WriteNote,
)
from nestvec.errors import BackendDenied, BackendRefused, BackendUnavailable, CollectionNotFound
from nestvec.filters import F, resolve, to_foreign
from nestvec.types import DENSE, Field, Metric, Record


class Points(points_service_pb2_grpc.PointsServicer):
    """Records upserts; answers questions with one point; fails as it is told."""

    def __init__(self):
        self.calls = []
        self.error = None
        self.unindexed = self.last = False

    def _note(self, request, context):
        self.calls.append((request, dict(context.invocation_metadata())))
        if self.error is not None:
            context.abort(*self.error)

    def Upsert(self, request, context):
        self._note(request, context)
        done = protocol.UpdateResult(operation_id=1, status=protocol.UpdateStatus.Completed)
        return protocol.PointsOperationResponse(result=done)

    def Count(self, request, context):
        self._note(request, context)
        return protocol.CountResponse(result=protocol.CountResult(count=2))

    def Facet(self, request, context):
        self._note(request, context)
        if self.unindexed:
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, "Wrong input: No appropriate index for faceting: `tenant`.")
        hits = [protocol.FacetHit(value=protocol.FacetValue(string_value=name), count=2) for name in ("ünï", "7")]
        return protocol.FacetResponse(hits=hits)

    def QueryBatch(self, request, context):
        self._note(request, context)
        point = protocol.ScoredPoint(id=protocol.PointId(uuid="00000000-0000-5000-8000-000000000001"), score=0.5)
        point.payload["document_id"].string_value = "d"
        point.payload["metadata"].struct_value.fields["year"].integer_value = 2020
        answers = [protocol.BatchResult(result=[point]) for _ in request.query_points]
        return protocol.QueryBatchResponse(result=answers)

    def Scroll(self, request, context):
        self._note(request, context)
        vectors = protocol.VectorsOutput(vector=protocol.VectorOutput(dense=protocol.DenseVector(data=[0, 1, 0])))
        point = protocol.RetrievedPoint(id=protocol.PointId(num=7), vectors=vectors)
        point.payload["page_content"].string_value = "text"
        point.payload["metadata"].struct_value.fields["year"].integer_value = 2020
        point.payload["tenant"].string_value = "acme"
        following = None if self.last else protocol.PointId(num=8)
        return protocol.ScrollResponse(result=[point], next_page_offset=following)

    def Get(self, request, context):
        self._note(request, context)
        return protocol.GetResponse(result=[protocol.RetrievedPoint(id=each) for each in request.ids])


class Collections(collections_service_pb2_grpc.CollectionsServicer):
    """One collection of somebody else's, with a vector that has no name, and the metadata that it was sent."""

    def __init__(self):
        self.changes = []
        self.metadata = {}

    def List(self, request, context):
        found = [protocol.CollectionDescription(name="docs_1")]
        return protocol.ListCollectionsResponse(collections=found)

    def Get(self, request, context):
        size = protocol.VectorParams(size=3, distance=protocol.Distance.Cosine)
        params = protocol.CollectionParams(shard_number=1, vectors_config=protocol.VectorsConfig(params=size))
        # The client wants all of these to be there.
        config = protocol.CollectionConfig(
            params=params,
            hnsw_config=protocol.HnswConfigDiff(m=16, ef_construct=100, full_scan_threshold=10),
            optimizer_config=protocol.OptimizersConfigDiff(
                deleted_threshold=0.2, vacuum_min_vector_number=1, default_segment_number=1, flush_interval_sec=5
            ),
            wal_config=protocol.WalConfigDiff(wal_capacity_mb=32, wal_segments_ahead=0),
            metadata=self.metadata,
        )
        return protocol.GetCollectionInfoResponse(result=protocol.CollectionInfo(status=1, config=config))

    def Update(self, request, context):
        self.changes.append(request)
        self.metadata |= dict(request.metadata)
        return protocol.CollectionOperationResponse(result=True)


class Root(qdrant_pb2_grpc.QdrantServicer):
    def HealthCheck(self, request, context):
        return qdrant_pb2.HealthCheckReply(title="qdrant", version="1.20.0")


@pytest.fixture
def points():
    return Points()


@pytest.fixture
def collections():
    return Collections()


@pytest.fixture(params=["sync", "async"])
def adapter(request, kit, points, collections, monkeypatch):
    server = grpc.server(ThreadPoolExecutor(2))
    points_service_pb2_grpc.add_PointsServicer_to_server(points, server)
    collections_service_pb2_grpc.add_CollectionsServicer_to_server(collections, server)
    qdrant_pb2_grpc.add_QdrantServicer_to_server(Root(), server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    monkeypatch.setenv("QDRANT_TEST_KEY", "s3cret")
    # Nothing listens on the REST port: whatever goes there fails.
    options = kit.options(url="http://127.0.0.1:9", grpc=True, grpc_port=port, api_key={"env": "QDRANT_TEST_KEY"})
    opened = kit.open(options) if request.param == "sync" else kit.open_async(options)
    yield opened
    opened.close()
    server.stop(None).wait()


def test_writes_arrive_whole_and_wait(adapter, points, kit):
    rows = np.random.default_rng(1).random((3, 4), np.float32)
    records = [kit.record(n, "Straße", lang="de", year=n) for n in range(3)]
    adapter.of_tenant("t").write(Write("docs_1", records, {DENSE: rows}))
    ((request, metadata),) = points.calls
    assert (request.collection_name, request.wait, metadata["api-key"]) == ("docs_1", True, "s3cret")
    assert [point.id.uuid for point in request.points] == [kit.identity(n) for n in range(3)]
    sent = [np.array(point.vectors.vectors.vectors["dense"].dense.data, np.float32) for point in request.points]
    assert np.array_equal(sent, rows)
    payload = request.points[2].payload
    assert payload["metadata"].struct_value.fields["year"].integer_value == 2
    assert (payload["text"].string_value, payload["tenant"].string_value) == ("Straße", "t")


def test_questions_and_answers(adapter, points, kit):
    where = resolve(F.year >= 2020, kit.FIELDS)
    query = Query("docs_1", kit.vectors([1, 0, 0], [0, 1, 0]), Metric.EUCLIDEAN, 5, 1, -1.5, where)
    first, second = adapter.of_tenant("acme").query(query)
    assert first == second
    assert (first[0].score, first[0].record.document_id, first[0].record.metadata) == (-0.5, "d", {"year": 2020})
    ((request, _),) = points.calls
    asked = request.query_points[0]
    assert (asked.using, asked.limit, asked.offset) == ("dense", 5, 1)
    assert asked.score_threshold == pytest.approx(1.5)
    assert asked.filter.must[0].field.match.keyword == "acme"


def test_tenants_are_asked_for_exactly(adapter, points):
    assert adapter.list_tenants(ListTenants("docs_1")) == ["ünï", "7"]
    ((request, _),) = points.calls
    assert (request.collection_name, request.key, request.exact) == ("docs_1", "tenant", True)


def test_tenants_without_an_index_are_read(adapter, points):
    points.unindexed, points.last = True, True
    assert adapter.list_tenants(ListTenants("docs_1")) == ["acme"]
    asked = points.calls[-1][0]
    assert list(asked.with_payload.include.fields) == ["tenant"]
    points.error = (grpc.StatusCode.INVALID_ARGUMENT, "something else")
    with pytest.raises(BackendRefused, match="something else"):
        adapter.list_tenants(ListTenants("docs_1"))


def test_collections_and_version_come_by_grpc_too(adapter):
    assert adapter.list_collections(ListCollections()) == ["docs_1"]
    assert not adapter.capabilities().embedded


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (grpc.StatusCode.UNAUTHENTICATED, BackendDenied),
        (grpc.StatusCode.UNAVAILABLE, BackendUnavailable),
        (grpc.StatusCode.RESOURCE_EXHAUSTED, BackendUnavailable),
        (grpc.StatusCode.NOT_FOUND, CollectionNotFound),
    ],
)
def test_errors_are_mapped_and_nothing_is_retried(adapter, points, kit, code, kind):
    points.error = (code, "Collection `docs_1` doesn't exist!")
    with pytest.raises(kind, match="docs_1") as caught:
        adapter.count(Count("docs_1"))
    assert len(points.calls) == 1
    assert "s3cret" not in str(caught.value)


def test_what_a_server_does_not_know_is_refused(adapter):
    with pytest.raises(BackendRefused, match="UNIMPLEMENTED"):
        adapter.remove(Remove("docs_1", ["00000000-0000-5000-8000-000000000001"]))


def test_what_others_made_is_read(adapter, points):
    layout = ForeignLayout("docs_1", text="page_content", fields={"year": "metadata.year"})
    assert dict(adapter.reading(layout).describe(Describe("docs_1")).vectors) == {DENSE: 3}
    where = to_foreign(resolve(F.year >= 2020, {"year": Field.parse("integer")}), layout.fields)
    batch = adapter.reading(layout).scroll(Scroll("docs_1", where, vectors=True))
    assert (list(batch.records), batch.cursor) == ([Record("7", "7", "text", {"year": 2020, "tenant": "acme"}, {})], 8)
    np.testing.assert_array_equal(batch.vectors[DENSE], [[0, 1, 0]])
    ((request, _),) = points.calls
    assert request.filter.must[0].has_vector.has_vector == ""
    assert request.filter.must[1].filter.must[0].field.key == "metadata.year"
    assert request.with_payload.enable is True
    adapter.reading(layout).fetch(Fetch("docs_1", ["7", "x", "00000000-0000-5000-8000-000000000001"]))
    asked = [each.num or each.uuid for each in points.calls[1][0].ids]
    assert asked == [7, "00000000-0000-5000-8000-000000000001"]
    adapter.reading(layout).query(Query("docs_1", {DENSE: np.ones((1, 3), np.float32)}, Metric.COSINE, 5))
    assert not points.calls[2][0].query_points[0].HasField("using")


def test_what_others_made_is_adopted_by_one_change(adapter, collections, kit):
    adapter.adopt(Adopt("docs_1", ForeignLayout("docs_1"), kit.RECORD))
    (change,) = collections.changes
    assert [descriptor.name for descriptor, _ in change.ListFields()] == ["collection_name", "metadata"]
    assert change.metadata["nestvec"].struct_value.fields["name"].string_value == "docs"


def test_a_note_is_one_change_and_null_removes_it(adapter, collections):
    for text in ("Straße", "", None):
        adapter.write_note(WriteNote("docs_1", "canaries", text))
        assert adapter.read_note(ReadNote("docs_1", "canaries")) == text
    for change in collections.changes:
        assert [descriptor.name for descriptor, _ in change.ListFields()] == ["collection_name", "metadata"]
        assert set(change.metadata) == {"nestvec-note-canaries"}
    assert collections.changes[-1].metadata["nestvec-note-canaries"].WhichOneof("kind") == "null_value"
