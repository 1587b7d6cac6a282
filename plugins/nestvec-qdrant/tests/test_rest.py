"""Bodies written from arrays say what the client's models say, fit the API's description, and replies read alike."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from qdrant_client import models

from nestvec.contract import Count, Fetch, Query, Scroll
from nestvec.errors import BackendUnavailable
from nestvec.filters import resolve
from nestvec.types import DENSE, Field, FieldType, Metric
from nestvec_qdrant import rest
from nestvec_qdrant.errors import UnexpectedReply
from nestvec_qdrant.filters import compile_filter
from nestvec_qdrant.records import found_of, query_requests, record_of
from nestvec_qdrant.testing import MalformedFault
from nestvec_testing.strategies import filters_for

FIELDS = {kind.value: Field(kind) for kind in FieldType} | {"tags": Field(FieldType.KEYWORD, many=True)}
FILTERS = st.none() | filters_for(FIELDS).map(lambda where: resolve(where, FIELDS))
FLOATS = st.floats(width=32, allow_nan=False, allow_infinity=False)


def plain(model: Any) -> Any:
    return json.loads(model.model_dump_json(by_alias=True, exclude_unset=True, exclude_none=True))


def numbers(row: Any) -> list[float]:
    return np.array(row, np.float32).tolist()


@settings(max_examples=150, deadline=None)
@given(
    rows=st.lists(st.lists(FLOATS, min_size=3, max_size=3), min_size=1, max_size=3),
    where=FILTERS,
    tenant=st.sampled_from([None, "acme", 'a "quoted" one']),
    limit=st.integers(1, 1000),
    offset=st.integers(0, 50),
    threshold=st.none() | FLOATS,
    metric=st.sampled_from(Metric),
)
def test_questions_are_what_the_clients_models_say(
    rows: Any, where: Any, tenant: Any, limit: int, offset: int, threshold: Any, metric: Metric
) -> None:
    request = Query("docs_1", {DENSE: np.array(rows, np.float32)}, metric, limit, offset, threshold, where)
    try:
        compiled = compile_filter(where, tenant)
    except Exception as error:
        with pytest.raises(type(error)):
            rest.filter_json(where, tenant)
        return
    bodies = rest.query_bodies(request, DENSE, rest.filter_json(where, tenant), payload=True)
    asked = query_requests(request, DENSE, compiled, True)
    for body, model in zip(bodies, asked, strict=True):
        ours, theirs = json.loads(body), plain(model)
        assert numbers(ours.pop("query")) == numbers(theirs.pop("query")), "float32 must survive bit for bit"
        if not theirs["offset"]:
            del theirs["offset"]  # which is the default
        assert ours == theirs
    batch = json.loads(rest.batch_body(bodies))
    assert [each["limit"] for each in batch["searches"]] == [limit] * len(rows)
    models.QueryRequestBatch.model_validate(batch)


@settings(max_examples=50, deadline=None)
@given(where=FILTERS, limit=st.integers(1, 500), offset=st.none() | st.uuids().map(str), vectors=st.booleans())
def test_pages_are_what_the_clients_models_say(where: Any, limit: int, offset: Any, vectors: bool) -> None:
    try:
        compiled = compile_filter(where, None)
    except Exception:
        return
    model = models.ScrollRequest(
        filter=compiled, limit=limit, offset=offset, with_payload=["document_id"], with_vector=vectors
    )
    body = rest.scroll_body(rest.filter_json(where, None), limit, offset, ["document_id"], vectors)
    assert json.loads(body) == plain(model)


def test_points_by_id_are_what_the_clients_models_say() -> None:
    ids = ["00000000-0000-5000-8000-000000000001", 7]
    model = models.PointRequest(ids=ids, with_payload=True, with_vector=False)
    assert json.loads(rest.fetch_body(ids, True, False)) == plain(model)


POINT = {
    "id": "00000000-0000-5000-8000-000000000001",
    "version": 3,
    "score": 0.25,
    "payload": {"document_id": "d", "text": "t", "metadata": {"n": 2**63 - 1, "x": 0.1}, "nestvec": {"chunk": 0}},
    "vector": {"dense": [0.5, 1.0]},
}


@pytest.mark.parametrize("metric", Metric)
@pytest.mark.parametrize("threshold", [None, 0.25, 0.3])
@pytest.mark.parametrize("change", [{}, {"id": 7}, {"score": 1}, {"payload": None}, {"payload": {}}])
def test_replies_are_read_as_the_clients_models_read_them(metric: Metric, threshold: Any, change: Any) -> None:
    request = Query("docs_1", {DENSE: np.zeros((1, 2), np.float32)}, metric, 5, threshold=threshold)
    told = POINT | change
    theirs = found_of(request, [models.ScoredPoint.model_validate(told)])
    ours = found_of(request, rest.answer_of({"points": [told]}))
    assert ours == theirs
    assert record_of(rest.Point(told)) == record_of(models.Record.model_validate(told))


ODD = [
    None, 3, "text", [], {}, {"points": None}, {"points": {}}, {"points": [3]}, {"points": [{"id": None}]},
    {"points": [{"id": 1.5}]}, {"points": [{**POINT, "score": "high"}]}, {"points": [{**POINT, "payload": []}]},
    {"points": [POINT], "next_page_offset": [1]},
]  # fmt: skip


@pytest.mark.parametrize("told", ODD)
def test_a_reply_of_another_shape_is_not_understood(told: Any) -> None:
    with pytest.raises(UnexpectedReply):
        rest.page_of(told)


@pytest.mark.parametrize("told", [None, {}, [], [{"points": []}], [{"points": []}] * 3, [{"points": []}, {}]])
def test_answers_that_are_not_those_to_the_questions(told: Any) -> None:
    with pytest.raises(UnexpectedReply):
        rest.answers_of(told, 2)


ANOTHER = {**POINT, "vector": {"other": [1]}}
#: What is answered to each request, and is no answer to it.
REPLIES: list[tuple[str, Any]] = [
    *((method, told) for method in ("scroll", "query", "queries") for told in ODD[:-1]),
    ("scroll", ODD[-1]),
    *(("fetch", told) for told in [None, {}, "text", [3], [POINT, ANOTHER]]),
    ("scroll", {"points": [POINT, ANOTHER]}),
    ("queries", [{"points": []}]),
]


@pytest.mark.parametrize(("method", "told"), REPLIES, ids=range(len(REPLIES)))
def test_adapters_say_that_an_answer_cannot_be_understood(
    remote: Any, server: Any, kit: Any, method: str, told: Any
) -> None:
    kit.fill(remote, [kit.record(1)])
    request = {
        "scroll": Scroll("docs_1", limit=3, vectors=True),
        "fetch": Fetch("docs_1", [kit.identity(1)], vectors=True),
        "query": Query("docs_1", kit.vectors([1, 0, 0]), Metric.COSINE, 1),
        "queries": Query("docs_1", kit.vectors([1, 0, 0], [0, 1, 0]), Metric.COSINE, 1),
    }[method]
    content = json.dumps({"result": told, "status": "ok", "time": 0.0}).encode()
    server.inject(MalformedFault(content=content), path="*/points*", times=1)
    with pytest.raises(BackendUnavailable, match=r"docs_1.*cannot be understood"):
        getattr(remote, request.method)(request)
    assert remote.count(Count("docs_1")) == 1


# ------------------------------------------------------------------ the API's own description


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(where=FILTERS, tenant=st.sampled_from([None, "acme"]))
def test_bodies_fit_the_apis_description(description: Any, where: Any, tenant: Any) -> None:
    try:
        filtered = rest.filter_json(where, tenant)
    except Exception:
        return
    rows = np.array([[0.5, 1e-7, 3e38]], np.float32)
    request = Query("docs_1", {DENSE: rows}, Metric.COSINE, 5, 2, 0.5)
    (body,) = rest.query_bodies(request, DENSE, filtered, payload=True)
    description("QueryRequest", body)
    description("QueryRequestBatch", rest.batch_body([body, body]))
    description("ScrollRequest", rest.scroll_body(filtered, 10, None, ["document_id"], True))
    description("PointRequest", rest.fetch_body(["00000000-0000-5000-8000-000000000001"], True, False))
