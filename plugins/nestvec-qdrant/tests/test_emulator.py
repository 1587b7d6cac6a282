"""The Qdrant emulator: as good as the local engine where both answer, stricter where a server is."""

from __future__ import annotations

import importlib.metadata
import json
import socket
import threading
import warnings
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from qdrant_client import AsyncQdrantClient, QdrantClient, models
from qdrant_client.common.client_exceptions import ResourceExhaustedResponse
from qdrant_client.http.exceptions import ResponseHandlingException, UnexpectedResponse

from nestvec_qdrant.testing import CutFault, HoldFault, MalformedFault, QdrantEmulator, StatusFault

SECONDS = 10
DENSE = {"dense": models.VectorParams(size=3, distance=models.Distance.COSINE)}
UUIDS = ["6f1c2d0e-0d5c-5a41-9b7e-0a3f6d1f2b11", "0b0d5f6a-1111-5222-8333-444455556666"]


@pytest.fixture(scope="module")
def running():
    with QdrantEmulator() as server:
        yield server


@pytest.fixture
def emulator(running):
    running.reset()
    return running


@contextmanager
def connected(emulator, **options):
    client = QdrantClient(url=emulator.url, check_compatibility=False, timeout=SECONDS, **options)
    try:
        yield client
    finally:
        client.close()


@pytest.fixture
def client(emulator):
    with connected(emulator) as remote:
        yield remote


@pytest.fixture
def books(client, emulator):
    client.create_collection("books", DENSE)
    client.upsert("books", [point(1, [1, 0, 0], {"year": 2020}), point(2, [0, 1, 0], {"year": 2021})])
    emulator.clear_requests()
    return client


def point(point_id, vector, payload=None):
    return models.PointStruct(id=point_id, vector={"dense": vector}, payload=payload)


def error_of(response):
    return response.json()["status"]["error"]


# ------------------------------------------------------------------------------------------- congruence

ids = st.one_of(st.integers(0, 4), st.sampled_from(UUIDS))
vectors = st.lists(st.integers(-3, 3), min_size=3, max_size=3).filter(any)
payloads = st.fixed_dictionaries(
    {},
    optional={
        "lang": st.sampled_from(["de", "en", None]),
        "year": st.sampled_from([2020, 2021, 2021.5]),
        "ok": st.booleans(),
        "tags": st.lists(st.sampled_from("abc"), max_size=2),
        "when": st.sampled_from(["2026-01-01T00:00:00Z", "2026-06-01T12:00:00+02:00"]),
        "metadata": st.just({"a.b": 1, "c": {"d": 2}}),
    },
)
conditions = st.sampled_from(
    [
        models.FieldCondition(key="lang", match=models.MatchValue(value="de")),
        models.FieldCondition(key="ok", match=models.MatchValue(value=True)),
        models.FieldCondition(key="year", match=models.MatchValue(value=2021)),
        models.FieldCondition(key="tags", match=models.MatchAny(any=["a", "b"])),
        models.FieldCondition(key="lang", match=models.MatchExcept(**{"except": ["en"]})),
        models.FieldCondition(key="year", range=models.Range(gt=2020, lte=2021.5)),
        models.FieldCondition(key="when", range=models.DatetimeRange(gte="2026-03-01T00:00:00Z")),
        models.FieldCondition(key='metadata."a.b"', match=models.MatchValue(value=1)),
        models.FieldCondition(key="metadata.c.d", range=models.Range(gte=2)),
        models.IsEmptyCondition(is_empty=models.PayloadField(key="tags")),
        models.IsNullCondition(is_null=models.PayloadField(key="lang")),
        models.HasIdCondition(has_id=[0, 1, UUIDS[0]]),
    ]
)
filters = st.builds(
    models.Filter,
    must=st.lists(conditions, max_size=1),
    must_not=st.lists(conditions, max_size=1),
    should=st.none() | st.lists(conditions, min_size=1, max_size=2),
)
points = st.tuples(ids, vectors, payloads)
operations = st.one_of(
    st.tuples(st.just("upsert"), st.lists(points, max_size=3)),
    st.tuples(st.just("upsert_wrong_size"), ids),
    st.tuples(st.just("delete_ids"), st.lists(ids, max_size=2)),
    st.tuples(st.just("delete_filter"), filters),
    st.tuples(st.just("set_payload"), ids, payloads),
    st.tuples(st.just("query"), vectors, filters, st.integers(1, 3), st.integers(0, 2)),
    st.tuples(st.just("query_threshold"), vectors, st.sampled_from([-0.5, 0.0, 0.7])),
    st.tuples(st.just("query_batch"), vectors, vectors),
    st.tuples(st.just("scroll"), filters, st.integers(1, 3), st.none() | ids),
    st.tuples(st.just("count"), st.none() | filters),
    st.tuples(st.just("retrieve"), st.lists(ids, max_size=3)),
    st.tuples(st.just("metadata"), st.dictionaries(st.sampled_from("ab"), st.integers() | st.none())),
    st.tuples(st.just("switch"), st.sampled_from(["first", "second", "missing"])),
    st.tuples(st.just("info")),
)


def perform(client: QdrantClient, operation: tuple[Any, ...]) -> Any:
    """Carry an operation out through the alias `live`."""
    kind, *given_values = operation
    return _PERFORM[kind](client, *given_values)


def _switch(client, target):
    actions = [
        models.DeleteAliasOperation(delete_alias=models.DeleteAlias(alias_name="live")),
        models.CreateAliasOperation(create_alias=models.CreateAlias(alias_name="live", collection_name=target)),
    ]
    # A server carries out the actions before a refused one; the local engine does not. Only the part
    # both agree on is compared here.
    if target == "missing":
        actions = actions[1:]
    client.update_collection_aliases(actions)
    return {alias.alias_name: alias.collection_name for alias in client.get_aliases().aliases}


_PERFORM: dict[str, Any] = {
    "upsert": lambda c, points: c.upsert("live", [point(*p) for p in points]).status,
    "upsert_wrong_size": lambda c, i: c.upsert("live", [point(i, [1, 2])]).status,
    "delete_ids": lambda c, chosen: c.delete("live", chosen).status,
    "delete_filter": lambda c, f: c.delete("live", models.FilterSelector(filter=f)).status,
    "set_payload": lambda c, i, payload: c.set_payload("live", payload, [i]).status,
    "query": lambda c, v, f, limit, offset: (
        c.query_points("live", v, using="dense", query_filter=f, limit=limit, offset=offset, with_vectors=True).points
    ),
    "query_threshold": lambda c, v, t: c.query_points("live", v, using="dense", score_threshold=t).points,
    "query_batch": lambda c, *vs: c.query_batch_points(
        "live", [models.QueryRequest(query=v, using="dense", limit=2) for v in vs]
    ),
    "scroll": lambda c, f, limit, offset: c.scroll("live", f, limit=limit, offset=offset),
    "count": lambda c, f: c.count("live", f).count,
    "retrieve": lambda c, chosen: c.retrieve("live", chosen, with_vectors=["dense"]),
    "metadata": lambda c, metadata: c.update_collection("live", metadata=metadata),
    "switch": _switch,
    "info": lambda c: c.get_collection("live"),
}


def outcome(client: QdrantClient, operation: tuple[Any, ...]) -> Any:
    try:
        return perform(client, operation)
    except (UnexpectedResponse, ValueError, KeyError):
        return "refused"


def prepare(client: QdrantClient, first_points: list[Any]) -> None:
    for name in ("first", "second"):
        client.delete_collection(name)
        client.create_collection(name, DENSE, metadata={"name": name})
    client.upsert("first", [point(*p) for p in first_points])
    _switch(client, "first")


@pytest.fixture(scope="module")
def shared_client(running):
    with connected(running) as remote:
        yield remote


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(first_points=st.lists(points, min_size=4, max_size=8), steps=st.lists(operations, min_size=3, max_size=15))
def test_answers_equal_those_of_the_local_engine(shared_client, first_points, steps):
    local = QdrantClient(":memory:")
    for client in (shared_client, local):
        prepare(client, first_points)
    for step in steps:
        assert outcome(shared_client, step) == outcome(local, step), step


async def test_async_client(emulator):
    client = AsyncQdrantClient(url=emulator.url, check_compatibility=False)
    await client.create_collection("books", DENSE, metadata={"space": "s1"})
    await client.upsert("books", [point(1, [1, 0, 0], {"a": None})])
    found = await client.query_points("books", [1.0, 0.0, 0.0], using="dense")
    info = await client.get_collection("books")
    await client.close()
    assert [(hit.id, hit.payload) for hit in found.points] == [(1, {"a": None})]
    assert info.config.metadata == {"space": "s1"}


# ---------------------------------------------------------------------------- what the local engine lacks


def test_indexes_are_reported(books):
    books.create_payload_index("books", "year", models.PayloadSchemaType.INTEGER)
    books.create_payload_index(
        "books", "tenant", models.KeywordIndexParams(type=models.KeywordIndexType.KEYWORD, is_tenant=True)
    )
    schema = books.get_collection("books").payload_schema
    assert (schema["year"].data_type, schema["year"].params, schema["year"].points) == ("integer", None, 2)
    assert (schema["tenant"].data_type, schema["tenant"].params.is_tenant) == ("keyword", True)
    books.delete_payload_index("books", "year")
    assert set(books.get_collection("books").payload_schema) == {"tenant"}


def test_indexes_go_with_their_collection(books):
    books.create_payload_index("books", "year", models.PayloadSchemaType.INTEGER)
    assert books.delete_collection("books") is True
    assert books.delete_collection("books") is False
    books.create_collection("books", DENSE)
    assert books.get_collection("books").payload_schema == {}


def test_settings_are_reported(client):
    quantization = models.ScalarQuantization(scalar=models.ScalarQuantizationConfig(type="int8"))
    client.create_collection(
        "books",
        DENSE,
        hnsw_config=models.HnswConfigDiff(m=32),
        quantization_config=quantization,
        shard_number=2,
        on_disk_payload=False,
    )
    client.update_collection("books", hnsw_config=models.HnswConfigDiff(ef_construct=7))
    config = client.get_collection("books").config
    assert (config.hnsw_config.m, config.hnsw_config.ef_construct) == (32, 7)
    assert config.quantization_config == quantization
    assert (config.params.shard_number, config.params.on_disk_payload) == (2, False)
    client.update_collection("books", quantization_config=models.Disabled.DISABLED)
    assert client.get_collection("books").config.quantization_config is None


def test_metadata_is_merged(client):
    client.create_collection("books", DENSE, metadata={"a": 1, "b": {"c": 2}})
    client.update_collection("books", metadata={"b": {"d": 3}})
    assert client.get_collection("books").config.metadata == {"a": 1, "b": {"d": 3}}


def test_order_by_needs_a_range_index(books):
    with pytest.raises(UnexpectedResponse, match="No range index for `order_by` key: `year`"):
        books.scroll("books", order_by="year")
    books.create_payload_index("books", "year", models.PayloadSchemaType.INTEGER)
    newest = models.OrderBy(key="year", direction=models.Direction.DESC)
    assert [record.id for record in books.scroll("books", order_by=newest)[0]] == [2, 1]


def test_counting_values_needs_an_index(client):
    client.create_collection("words", DENSE)
    values = ["de", "en", ["de", "fr", "de"], None, 7, "550E8400E29B41D4A716446655440000"]
    client.upsert("words", [point(i, [1, 0, 0], {"lang": value}) for i, value in enumerate(values)])
    status, error = refusal(lambda: client.facet("words", "lang"))
    assert status == 400
    assert error.startswith("Wrong input: No appropriate index for faceting: `lang`")
    client.create_payload_index("words", "lang", models.PayloadSchemaType.TEXT)
    assert refusal(lambda: client.facet("words", "lang"))[0] == 400
    client.create_payload_index("words", "lang", models.PayloadSchemaType.KEYWORD)
    found = [(hit.value, hit.count) for hit in client.facet("words", "lang", exact=True).hits]
    assert found == [("de", 2), ("550E8400E29B41D4A716446655440000", 1), ("en", 1), ("fr", 1)]
    assert [hit.value for hit in client.facet("words", "lang", limit=1).hits] == ["de"]
    only = models.Filter(must=[models.HasIdCondition(has_id=[1, 2])])
    assert {hit.value for hit in client.facet("words", "lang", only).hits} == {"en", "de", "fr"}


def test_without_wait_a_write_is_only_acknowledged(books):
    assert books.upsert("books", [point(3, [1, 1, 1])], wait=False).status == "acknowledged"
    assert books.upsert("books", [point(3, [1, 1, 1])], wait=True).status == "completed"


def test_defaults_of_requests_that_leave_things_out(books, emulator):
    def post(path, body):
        return httpx.post(f"{emulator.url}/collections/books/points{path}", json=body).json()["result"]

    assert [record["payload"] for record in post("", {"ids": [1]})] == [{"year": 2020}]
    scrolled = post("/scroll", {})["points"]
    assert [(record["payload"], record["vector"]) for record in scrolled] == [
        ({"year": 2020}, None),
        ({"year": 2021}, None),
    ]
    assert [hit["payload"] for hit in post("/query", {})["points"]] == [None, None]


def test_collections_are_listed_in_order(client):
    for name in ("b", "a"):
        client.create_collection(name, DENSE)
    assert [found.name for found in client.get_collections().collections] == ["a", "b"]


def test_reset(books, emulator):
    alias(books, "live", "books")
    books.create_payload_index("books", "year", models.PayloadSchemaType.INTEGER)
    emulator.inject(CutFault())
    emulator.reset()
    assert (emulator.requests, emulator.pending_faults) == ((), ())
    assert books.get_collections().collections == []
    assert books.get_aliases().aliases == []


def test_point_by_id_and_batch_update(books, emulator):
    books.batch_update_points(
        "books",
        [
            models.UpsertOperation(upsert=models.PointsList(points=[point(UUIDS[0], [1, 1, 1])])),
            models.DeleteOperation(delete=models.PointIdsList(points=[1])),
        ],
    )
    assert books.count("books").count == 2
    assert httpx.get(f"{emulator.url}/collections/books/points/{UUIDS[0]}").json()["result"]["payload"] == {}
    assert httpx.get(f"{emulator.url}/collections/books/points/1").status_code == 404


# --------------------------------------------------------------------------------- what a server refuses


@pytest.mark.parametrize("bad", ["doc-1", "1", -1, 2**64, "6f1c2d0e0d5c-5a41-9b7e-0a3f6d1f2b11"])
@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("PUT", "points", lambda i: {"points": [{"id": i, "vector": {"dense": [1, 0, 0]}}]}),
        ("PUT", "points", lambda i: {"batch": {"ids": [i], "vectors": {"dense": [[1, 0, 0]]}}}),
        ("POST", "points", lambda i: {"ids": [i]}),
        ("POST", "points/delete", lambda i: {"points": [1, i]}),
        ("POST", "points/payload", lambda i: {"payload": {}, "points": [i]}),
        ("POST", "points/scroll", lambda i: {"offset": i}),
        ("POST", "points/count", lambda i: {"filter": {"must_not": [{"has_id": [i]}]}}),
        ("POST", "points/query", lambda i: {"query": {"nearest": i}, "using": "dense"}),
    ],
)
def test_ids_are_unsigned_integers_or_uuids(books, emulator, bad, method, path, body):
    response = httpx.request(method, f"{emulator.url}/collections/books/{path}", json=body(bad))
    assert response.status_code == 400
    assert "is not a valid point ID" in error_of(response)
    assert books.count("books").count == 2


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("PUT", "", {"vectors": {"size": 3, "distance": "Cosine", "metric": "l2"}}),
        ("PATCH", "", {"meta": {}}),
        ("PUT", "/index", {"field_name": "a", "field_schema": "keyword", "lookup": True}),
        ("PUT", "/points", {"points": [{"id": 1, "vectors": {"dense": [1, 0, 0]}}]}),
        ("POST", "/points", {"ids": [1], "with_vectors": True}),
        ("POST", "/points/delete", {"ids": [1]}),
        ("POST", "/points/count", {"exact": "true"}),
        ("POST", "/facet", {"key": "lang", "limits": 3}),
        ("POST", "/points/scroll", {"limit": "3"}),
        ("POST", "/points/query", {"query": [1, 0, 0], "using": "dense", "top": 3}),
        ("POST", "/points/query/batch", {"searches": [{"query": [1, 0, 0], "filter": {"mustnt": []}}]}),
        ("POST", "/points/payload", {"payload": {}, "ids": [1]}),
    ],
)
def test_bodies_are_read_strictly(books, emulator, method, path, body):
    response = httpx.request(method, f"{emulator.url}/collections/books{path}", json=body)
    assert response.status_code == 400
    assert error_of(response).startswith("Format error in JSON body")
    assert set(response.json()) == {"status", "time"}


@pytest.mark.parametrize("raw", [b"", b"{", b"[]", b"\xff"])
def test_unreadable_bodies_are_refused(books, emulator, raw):
    response = httpx.post(f"{emulator.url}/collections/books/points/query", content=raw)
    assert response.status_code == 400


@pytest.mark.parametrize("path", ["query", "scroll"])
def test_a_limit_of_zero_is_refused(books, emulator, path):
    response = httpx.post(f"{emulator.url}/collections/books/points/{path}", json={"limit": 0})
    assert response.status_code == 422
    assert "limit: value 0 invalid, must be 1 or larger" in error_of(response)


def refusal(call) -> tuple[int, str]:
    with pytest.raises(UnexpectedResponse) as caught:
        call()
    return caught.value.status_code, json.loads(caught.value.content)["status"]["error"]


def test_missing_collections(client):
    missing = (404, "Not found: Collection `nope` doesn't exist!")
    for call in (
        lambda: client.get_collection("nope"),
        lambda: client.update_collection("nope", metadata={}),
        lambda: client.upsert("nope", [point(1, [1, 0, 0])]),
        lambda: client.delete("nope", [1]),
        lambda: client.count("nope"),
        lambda: client.facet("nope", "lang"),
        lambda: client.scroll("nope"),
        lambda: client.retrieve("nope", [1]),
        lambda: client.query_points("nope", [1.0, 0.0, 0.0]),
        lambda: client.create_payload_index("nope", "a", models.PayloadSchemaType.KEYWORD),
        lambda: alias(client, "live", "nope"),
    ):
        assert refusal(call) == missing
    assert client.collection_exists("nope") is False
    assert client.delete_collection("nope") is False


def alias(client, name, target):
    create = models.CreateAlias(alias_name=name, collection_name=target)
    client.update_collection_aliases([models.CreateAliasOperation(create_alias=create)])


def test_names_that_are_taken(books):
    exists = (409, "Wrong input: Collection `books` already exists!")
    assert refusal(lambda: books.create_collection("books", DENSE)) == exists
    assert refusal(lambda: alias(books, "books", "books")) == exists
    alias(books, "live", "books")
    status, error = refusal(lambda: books.create_collection("live", DENSE))
    assert (status, "Alias with the same name already exists" in error) == (400, True)
    # An alias is followed by everything but deletion, and cannot be the target of another.
    assert books.collection_exists("live")
    assert books.delete_collection("live") is False
    assert refusal(lambda: alias(books, "second", "live"))[0] == 404


def test_alias_actions_before_a_refused_one_stay(books):
    books.create_collection("other", DENSE)
    actions = [
        models.CreateAliasOperation(create_alias=models.CreateAlias(alias_name="live", collection_name=name))
        for name in ("other", "nope")
    ]
    assert refusal(lambda: books.update_collection_aliases(actions))[0] == 404
    assert [a.alias_name for a in books.get_collection_aliases("other").aliases] == ["live"]


def test_wrong_dimensions(client):
    client.create_collection("plain", models.VectorParams(size=4, distance=models.Distance.EUCLID))
    error = (400, "Wrong input: Vector dimension error: expected dim: 4, got 3")
    assert refusal(lambda: client.query_points("plain", [1.0, 2.0, 3.0])) == error
    plain = models.PointStruct(id=1, vector=[1.0, 2.0, 3.0])
    assert refusal(lambda: client.upsert("plain", [plain])) == error
    status, message = refusal(lambda: client.query_points("plain", [1.0], using="dense"))
    assert (status, message) == (400, "Wrong input: Not existing vector name error: dense")


def test_missing_points_of_a_payload_change(books):
    assert refusal(lambda: books.set_payload("books", {"a": 1}, [1, 77])) == (
        404,
        "Not found: No point with id 77 found",
    )
    assert books.retrieve("books", [1])[0].payload == {"year": 2020, "a": 1}


def test_a_large_body_is_refused():
    with QdrantEmulator(max_body_bytes=2_000) as emulator, connected(emulator) as client:
        client.create_collection("books", DENSE)
        status, error = refusal(lambda: client.upsert("books", [point(1, [1, 0, 0], {"t": "x" * 2_000})]))
        assert status == 400
        assert "is larger than allowed (limit: 2000 bytes)" in error
        assert client.count("books").count == 0


# --------------------------------------------------------------------------------------------- credentials


def test_credentials():
    with QdrantEmulator(api_key="right", read_only_api_key="reader") as emulator:
        url = f"{emulator.url}/collections"
        assert httpx.get(url).status_code == 401
        assert httpx.get(url, headers={"api-key": "wrong"}).status_code == 401
        assert httpx.get(url, headers={"api-key": "right"}).status_code == 200
        assert httpx.get(url, headers={"Authorization": "Bearer right"}).status_code == 200
        assert httpx.get(url, headers={"api-key": "reader"}).status_code == 200
        assert httpx.delete(f"{url}/a", headers={"api-key": "reader"}).status_code == 403
        assert httpx.get(emulator.url).status_code == 200
        assert [secret for secret in ("right", "wrong", "reader") if secret in repr(emulator.requests)] == []


# -------------------------------------------------------------------------------------------------- faults


def test_status_faults(books, emulator):
    emulator.inject(StatusFault(status=503, error="no leader"), path="*/points/query", skip=1, times=2)

    def ask():
        return books.query_points("books", [1.0, 0.0, 0.0], using="dense").points

    assert ask()
    assert [refusal(ask) for _ in range(2)] == [(503, "no leader")] * 2
    assert ask()


def test_rate_limit_carries_retry_after(books, emulator):
    emulator.inject(StatusFault(status=429, error="slow down", retry_after=7), method="POST")
    with pytest.raises(ResourceExhaustedResponse) as caught:
        books.count("books")
    assert int(caught.value.retry_after_s) == 7


@pytest.mark.parametrize("applied", [False, True])
@pytest.mark.parametrize("fault", [CutFault, lambda applied: StatusFault(status=500, applied=applied)])
def test_a_failed_write_took_effect_or_not_as_asked(books, emulator, fault, applied):
    emulator.inject(fault(applied=applied), method="PUT", path="/collections/books/points")
    with pytest.raises((ResponseHandlingException, UnexpectedResponse)):
        books.upsert("books", [point(9, [1, 1, 1])])
    assert books.count("books").count == (3 if applied else 2)


def test_a_malformed_reply(books, emulator):
    emulator.inject(MalformedFault())
    with pytest.raises((ResponseHandlingException, ValueError)):
        books.query_points("books", [1.0, 0.0, 0.0], using="dense")


def test_a_held_request_is_answered_after_the_release(books, emulator):
    hold = emulator.inject(HoldFault(), method="PUT", path="*/points")
    with ThreadPoolExecutor(1) as pool:
        writing = pool.submit(books.upsert, "books", [point(9, [1, 1, 1])])
        assert hold.arrived.wait(SECONDS)
        assert books.count("books").count == 2
        hold.release()
        assert writing.result(SECONDS).status == "completed"
    assert books.count("books").count == 3


def test_pending_faults(books, emulator):
    fault = emulator.inject(CutFault(), path="/elsewhere")
    books.count("books")
    assert emulator.pending_faults == (fault,)
    emulator.clear_faults()
    assert emulator.pending_faults == ()


# ------------------------------------------------------------------------------------------------- the wire


def test_requests_are_recorded(books, emulator):
    books.upsert("books", [point(5, [0, 0, 1], {"a": 1})])
    books.get_collections()
    write, read = emulator.requests
    assert (write.method, write.path, write.query) == ("PUT", "/collections/books/points", {"wait": "true"})
    assert write.body["points"][0]["payload"] == {"a": 1}
    assert write.headers["content-type"] == "application/json"
    assert (read.method, read.path, read.body) == ("GET", "/collections", None)


# ------------------------------------------------------------------------------------------------ lifecycle


def test_the_version_is_the_clients(emulator):
    version = importlib.metadata.version("qdrant-client")
    assert httpx.get(emulator.url).json()["version"] == version
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        from qdrant_client.qdrant_remote import QdrantRemote

        QdrantRemote._check_compatibility(emulator.url, {}, None, SECONDS)
    assert emulator.requests == ()


def test_nothing_is_left_behind():
    before = set(threading.enumerate())
    with QdrantEmulator() as emulator, connected(emulator) as client:
        client.get_collections()
        port = int(emulator.url.rsplit(":", 1)[1])
    assert set(threading.enumerate()) == before
    with socket.socket() as free:
        free.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        free.bind(("127.0.0.1", port))


def test_stopping_releases_what_is_held():
    with QdrantEmulator() as emulator, connected(emulator) as client, ThreadPoolExecutor(1) as pool:
        hold = emulator.inject(HoldFault())
        waiting = pool.submit(client.get_collections)
        assert hold.arrived.wait(SECONDS)
        emulator.stop()
        assert waiting.result(SECONDS).collections == []


def test_a_restart_keeps_port_and_data(books, emulator):
    url = emulator.url
    emulator.stop()
    with pytest.raises(ResponseHandlingException):
        books.count("books")
    emulator.start()
    assert emulator.url == url
    assert books.count("books").count == 2


def test_points_on_disk(tmp_path):
    with QdrantEmulator(path=tmp_path) as emulator, connected(emulator) as client:
        client.create_collection("books", DENSE, metadata={"a": 1})
        client.upsert("books", [point(1, [1, 0, 0])])
    with QdrantEmulator(path=tmp_path) as emulator, connected(emulator) as client:
        assert client.count("books").count == 1
        assert client.get_collection("books").config.metadata == {"a": 1}


def test_many_clients_at_once(books, emulator):
    def write(number):
        with connected(emulator) as client:
            client.upsert("books", [point(100 + number, [1, number, 1])])

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(write, range(32)))
    assert books.count("books").count == 34
