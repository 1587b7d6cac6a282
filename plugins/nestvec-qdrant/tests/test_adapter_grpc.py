"""gRPC: a server of a few lines, enough to see what arrives and to answer with errors."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import grpc
import numpy as np
import pytest
from qdrant_client import grpc as protocol
from qdrant_client.grpc import collections_service_pb2_grpc, points_service_pb2_grpc, qdrant_pb2, qdrant_pb2_grpc

from nestvec.contract import Count, ListCollections, Query, Scroll, Write
from nestvec.errors import BackendDenied, BackendRefused, BackendUnavailable, CollectionNotFound
from nestvec.filters import F, resolve
from nestvec.types import DENSE, Metric
from nestvec_qdrant.adapter import QdrantAdapter


class Points(points_service_pb2_grpc.PointsServicer):
    """Records upserts; answers questions with one point; fails as it is told."""

    def __init__(self):
        self.calls = []
        self.error = None

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

    def QueryBatch(self, request, context):
        self._note(request, context)
        point = protocol.ScoredPoint(id=protocol.PointId(uuid="00000000-0000-5000-8000-000000000001"), score=0.5)
        point.payload["document_id"].string_value = "d"
        point.payload["metadata"].struct_value.fields["year"].integer_value = 2020
        answers = [protocol.BatchResult(result=[point]) for _ in request.query_points]
        return protocol.QueryBatchResponse(result=answers)


class Collections(collections_service_pb2_grpc.CollectionsServicer):
    def List(self, request, context):
        found = [protocol.CollectionDescription(name="docs_1")]
        return protocol.ListCollectionsResponse(collections=found)


class Root(qdrant_pb2_grpc.QdrantServicer):
    def HealthCheck(self, request, context):
        return qdrant_pb2.HealthCheckReply(title="qdrant", version="1.20.0")


@pytest.fixture
def points():
    return Points()


@pytest.fixture(params=["sync", "async"])
def adapter(request, kit, points, monkeypatch):
    server = grpc.server(ThreadPoolExecutor(2))
    points_service_pb2_grpc.add_PointsServicer_to_server(points, server)
    collections_service_pb2_grpc.add_CollectionsServicer_to_server(Collections(), server)
    qdrant_pb2_grpc.add_QdrantServicer_to_server(Root(), server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    monkeypatch.setenv("QDRANT_TEST_KEY", "s3cret")
    # Nothing listens on the REST port: whatever goes there fails.
    options = kit.options(url="http://127.0.0.1:9", grpc=True, grpc_port=port, api_key={"env": "QDRANT_TEST_KEY"})
    opened = QdrantAdapter(options) if request.param == "sync" else kit.Awaited(options)
    yield opened
    opened.close()
    server.stop(None).wait()


def test_writes_arrive_whole_and_wait(adapter, points, kit):
    rows = np.random.default_rng(1).random((3, 4), np.float32)
    adapter.write(
        Write("docs_1", [kit.record(n, "Straße", lang="de", year=n) for n in range(3)], {DENSE: rows}, 1, "t")
    )
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
    query = Query("docs_1", kit.vectors([1, 0, 0], [0, 1, 0]), Metric.EUCLIDEAN, 5, 1, -1.5, where, "acme")
    first, second = adapter.query(query)
    assert first == second
    assert (first[0].score, first[0].record.document_id, first[0].record.metadata) == (-0.5, "d", {"year": 2020})
    ((request, _),) = points.calls
    asked = request.query_points[0]
    assert (asked.using, asked.limit, asked.offset) == ("dense", 5, 1)
    assert asked.score_threshold == pytest.approx(1.5)
    assert asked.filter.must[0].field.match.keyword == "acme"


def test_collections_and_version_come_by_grpc_too(adapter):
    assert adapter.list_collections(ListCollections()) == ["docs_1"]
    assert adapter.capabilities().native_async


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
        adapter.scroll(Scroll("docs_1"))
