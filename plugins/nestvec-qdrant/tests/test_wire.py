"""What goes over the wire, and what happens when it is cut."""

from __future__ import annotations

import asyncio
import warnings

import numpy as np
import pytest
from qdrant_client import models

from nestvec.contract import Count, Create, Fetch, ListCollections, Query, Remove, Scroll, Write
from nestvec.errors import BackendDenied, BackendRefused, BackendUnavailable, CollectionNotFound, Unsupported
from nestvec.types import DENSE, Metric
from nestvec_qdrant import records
from nestvec_qdrant.adapter import open_adapter
from nestvec_qdrant.testing import CutFault, HoldFault, MalformedFault, QdrantEmulator, StatusFault

POINTS = "/collections/docs_1/points"


@pytest.fixture(params=["sync", "async"])
def adapter(request, kit, server):
    options = kit.options(url=server.url)
    opened = kit.open(options) if request.param == "sync" else kit.open_async(options)
    opened.create(kit.create())
    server.clear_requests()
    yield opened
    opened.close()


def write_of(kit, count, size=3, text="text"):
    records = [kit.record(n, text, f"doc-{n}", lang="de", year=n) for n in range(count)]
    return Write("docs_1", records, {DENSE: np.random.default_rng(7).random((count, size), np.float32)})


# ------------------------------------------------------------------------------------------------- writes


def test_a_write_is_one_request_that_waits(adapter, server, kit):
    write = write_of(kit, 3)
    adapter.write(write)
    (request,) = server.requests
    assert (request.method, request.path, request.query) == ("PUT", POINTS, {"wait": "true"})
    assert request.headers["content-type"] == "application/json"
    assert request.headers["user-agent"].startswith("python-client/")
    (first, *_) = request.body["points"]
    assert first["payload"] == {
        "document_id": "doc-0",
        "text": "text",
        "metadata": {"lang": "de", "year": 0},
        "nestvec": {"chunk": 0, "layout": "l1"},
    }
    assert np.array_equal(np.array(first["vector"]["dense"], np.float32), write.vectors[DENSE][0])


def test_bodies_are_what_the_clients_own_models_say(kit):
    write = write_of(kit, 3)
    (body,) = records.rest_bodies(write)
    parsed = models.PointsList.model_validate_json(body)
    assert [str(point.id) for point in parsed.points] == [record.id for record in write.records]
    rows = np.array([point.vector["dense"] for point in parsed.points], np.float32)
    assert np.array_equal(rows, write.vectors[DENSE]), "float32 must survive bit for bit"


def test_bodies_are_as_short_as_float32_allows(kit):
    (body,) = records.rest_bodies(write_of(kit, 1, size=1024))
    assert len(body) < 14 * 1024


@pytest.mark.parametrize("limit", [400, 1000, 1001, 5000])
def test_batches_keep_to_the_bytes_and_the_order(kit, limit):
    write = write_of(kit, 20)
    bodies = list(records.rest_bodies(write, limit=limit))
    assert all(len(body) <= limit for body in bodies)
    sent = [str(point.id) for body in bodies for point in models.PointsList.model_validate_json(body).points]
    assert sent == [record.id for record in write.records]
    (whole,) = records.rest_bodies(write)
    assert len(bodies) <= 2 * (len(whole) // limit) + 2, "far more requests than needed"


def test_batches_keep_to_the_count(kit, monkeypatch):
    monkeypatch.setattr(records, "MAX_POINTS", 8)
    bodies = records.rest_bodies(write_of(kit, 20))
    assert [len(models.PointsList.model_validate_json(body).points) for body in bodies] == [8, 8, 4]
    assert [len(batch) for batch in records.grpc_batches(write_of(kit, 20))] == [8, 8, 4]


def test_a_request_of_more_than_the_limit_is_split(kit):
    with QdrantEmulator() as server:
        adapter = kit.open(kit.options(url=server.url))
        adapter.create(kit.create())
        server.clear_requests()
        adapter.write(write_of(kit, 40, text="x" * 1_000_000))
        assert [len(request.body["points"]) for request in server.requests] == [33, 7]
        assert adapter.count(Count("docs_1")) == 40
        adapter.close()


def test_a_record_that_is_too_large_names_its_document(adapter, server, kit):
    with pytest.raises(BackendRefused, match="doc-0"):
        adapter.write(write_of(kit, 1, text="x" * (33 * 2**20)))
    assert server.requests == ()


def test_grpc_batches_hold_the_same_points(kit):
    write = write_of(kit, 3)
    ((first, *_),) = records.grpc_batches(write)
    assert models.PointStruct.model_validate(first.model_dump()).vector == {"dense": write.vectors[DENSE][0].tolist()}


# -------------------------------------------------------------------------------------------------- reads


def test_reads_ask_for_no_more_than_they_need(adapter, server, kit):
    adapter.write(write_of(kit, 3))
    server.clear_requests()
    adapter.fetch(Fetch("docs_1", [kit.identity(1)], content=False))
    adapter.fetch(Fetch("docs_1", [kit.identity(1)], vectors=True))
    adapter.scroll(Scroll("docs_1", limit=2))
    adapter.count(Count("docs_1"))
    bodies = [request.body for request in server.requests]
    assert bodies[0] == {
        "ids": [kit.identity(1)],
        "with_payload": ["document_id", "nestvec", "tenant"],
        "with_vector": False,
    }
    assert bodies[1]["with_vector"] is True
    assert (bodies[2]["limit"], bodies[2]["with_vector"]) == (2, False)
    assert bodies[3]["exact"] is True


def test_questions_share_requests(adapter, server, kit):
    rows = np.ones((100, 3), np.float32)
    answers = adapter.query(Query("docs_1", {DENSE: rows}, Metric.COSINE, 2, offset=1))
    assert len(answers) == 100
    assert [len(request.body["searches"]) for request in server.requests] == [64, 36]
    (search, *_) = server.requests[0].body["searches"]
    assert (search["using"], search["limit"], search["offset"], search["with_payload"]) == ("dense", 2, 1, True)


@pytest.mark.parametrize(("metric", "threshold", "sent"), [(Metric.COSINE, 0.5, 0.5), (Metric.EUCLIDEAN, -1.5, 1.5)])
def test_thresholds_are_sent_a_little_wider(adapter, server, kit, metric, threshold, sent):
    """A server leaves out what lies exactly on its threshold, other than the engine in this process."""
    adapter.query(Query("docs_1", kit.vectors([1, 0, 0]), metric, 1, threshold=threshold))
    search = server.requests[0].body
    assert search["score_threshold"] == pytest.approx(sent, abs=1e-6)
    wider = search["score_threshold"] > sent if metric is Metric.EUCLIDEAN else search["score_threshold"] < sent
    assert wider


def test_removing_waits(adapter, server, kit):
    adapter.remove(Remove("docs_1", [kit.identity(n) for n in range(1500)]))
    assert [request.query.get("wait") for request in server.requests] == ["true", "true"]
    assert [len(request.body["points"]) for request in server.requests] == [1000, 500]


# --------------------------------------------------------------------------------------------------- keys


def test_keys_are_sent_and_checked(kit, monkeypatch):
    with QdrantEmulator(api_key="right", read_only_api_key="reader") as server:
        for key, denied in (("right", ()), ("wrong", ("list", "write")), ("reader", ("write",))):
            monkeypatch.setenv("QDRANT_TEST_KEY", key)
            with warnings.catch_warnings():
                warnings.simplefilter("error")
                adapter = kit.open(kit.options(url=server.url, api_key={"env": "QDRANT_TEST_KEY"}))
            calls = {
                "list": lambda adapter=adapter: adapter.list_collections(ListCollections()),
                "write": lambda adapter=adapter, key=key: adapter.create(kit.create("for_" + key[:2])),
            }
            for name, act in calls.items():
                if name not in denied:
                    act()
                    continue
                with pytest.raises(BackendDenied) as caught:
                    act()
                assert key not in str(caught.value)
            adapter.close()


# ------------------------------------------------------------------------------------------------- faults

REQUESTS = {
    "write": ("PUT", POINTS, lambda kit: write_of(kit, 2)),
    "fetch": ("POST", POINTS, lambda kit: Fetch("docs_1", [kit.identity(1)])),
    "query": ("POST", f"{POINTS}/query", lambda kit: Query("docs_1", kit.vectors([1, 0, 0]), Metric.COSINE, 1)),
    "remove": ("POST", f"{POINTS}/delete", lambda kit: Remove("docs_1", [kit.identity(1)])),
}


@pytest.mark.parametrize("method", REQUESTS)
@pytest.mark.parametrize(
    "fault",
    [
        StatusFault(status=500),
        StatusFault(status=503),
        StatusFault(status=429, retry_after=0),
        StatusFault(status=429, retry_after=1),
        StatusFault(status=429),
        CutFault(),
        CutFault(applied=True),
        MalformedFault(),
        MalformedFault(content=b"<html>proxy</html>"),
    ],
    ids=repr,
)
def test_a_failure_is_raised_once_and_not_retried(adapter, server, kit, method, fault):
    verb, path, build = REQUESTS[method]
    server.inject(fault, method=verb, path=path)
    with pytest.raises(BackendUnavailable, match="docs_1") as caught:
        getattr(adapter, method)(build(kit))
    assert len(server.requests) == 1
    assert caught.value.__cause__ is not None
    getattr(adapter, method)(build(kit))


@pytest.mark.parametrize("status", [400, 413, 422])
def test_refusals_carry_the_servers_words(adapter, server, kit, status):
    server.inject(StatusFault(status=status, error="Wrong input: this will not do"))
    with pytest.raises(BackendRefused, match="this will not do"):
        adapter.count(Count("docs_1"))


def test_a_write_that_is_only_acknowledged_is_not_done(adapter, server, kit):
    content = b'{"result": {"operation_id": 1, "status": "acknowledged"}, "status": "ok", "time": 0.0}'
    server.inject(MalformedFault(content=content), method="PUT", path=POINTS)
    with pytest.raises(BackendUnavailable, match="acknowledged"):
        adapter.write(write_of(kit, 1))


def test_a_later_part_that_fails_leaves_the_earlier_ones(adapter, server, kit, monkeypatch):
    monkeypatch.setattr(records, "MAX_POINTS", 2)
    server.inject(StatusFault(status=500), method="PUT", path=POINTS, skip=1)
    with pytest.raises(BackendUnavailable):
        adapter.write(write_of(kit, 6))
    assert sorted(record.system["chunk"] for record in adapter.scroll(Scroll("docs_1")).records) == [0, 1]


def test_a_slow_server_is_given_up(kit, server):
    adapter = kit.open(kit.options(url=server.url, timeout=1))
    server.inject(HoldFault())
    with pytest.raises(BackendUnavailable, match="timeout"):
        adapter.list_collections(ListCollections())
    adapter.close()


def test_somebody_else_creates_the_same_collection_at_the_same_time(server, kit):
    adapter = kit.open(kit.options(url=server.url))
    server.inject(
        StatusFault(status=409, error="Wrong input: Collection `docs_1` already exists!", applied=True), method="PUT"
    )
    adapter.create(kit.create())
    assert adapter.count(Count("docs_1")) == 0
    adapter.close()


def test_an_old_server_is_refused_before_anything_is_created(server, kit, monkeypatch):
    monkeypatch.setattr("importlib.metadata.version", lambda name: "1.15.4")
    adapter = kit.open(kit.options(url=server.url))
    server.clear_requests()
    with pytest.raises(Unsupported, match=r"1\.15\.4"):
        adapter.create(kit.create())
    with pytest.raises(Unsupported):
        adapter.capabilities()
    assert server.requests == ()
    adapter.close()


async def test_requests_may_overlap_and_be_cancelled(server, kit):
    adapter = open_adapter(kit.options(url=server.url), blocking=False)
    await adapter.create_extended(kit.create())
    await asyncio.gather(*(adapter.write(write_of(kit, n)) for n in (1, 2, 3)))
    held = server.inject(HoldFault(), path=f"{POINTS}/count")
    slow = asyncio.create_task(adapter.count(Count("docs_1")))
    await asyncio.to_thread(held.arrived.wait, 10)
    assert await adapter.count(Count("docs_1")) == 3
    slow.cancel()
    with pytest.raises(asyncio.CancelledError):
        await slow
    held.release()
    await adapter.close()


def test_a_missing_collection_over_the_wire(adapter, server):
    with pytest.raises(CollectionNotFound, match="nestvec apply"):
        adapter.count(Count("gone"))
    assert len(server.requests) == 1


def test_unusual_names_stay_one_segment_of_the_path(adapter, kit):
    request = Create("a b#c%d", {DENSE: 3}, Metric.DOT, {}, {"nestvec": 1})
    adapter.create(request)
    adapter.write(Write("a b#c%d", [kit.record(1)], kit.vectors([1, 0, 0])))
    assert adapter.count(Count("a b#c%d")) == 1
