"""The protocol, without a connection: bodies, replies, refusals."""

from __future__ import annotations

import base64
import json

import numpy as np
import pytest

from nestvec.embedders.jina.options import JinaOptions
from nestvec.embedders.jina.wire import (
    Busy,
    Failed,
    Refused,
    Throttled,
    TooLarge,
    TooSlow,
    body,
    decode,
    refusal,
    remaining,
    retry_after,
)
from nestvec.encoding.models import FIELDS, MODELS
from nestvec.errors import EmbedderDenied, EmbedderInvalidReply


def reply(rows, *, places=None, tokens=7, encode=True):
    places = range(len(rows)) if places is None else places
    data = [
        {"object": "embedding", "index": i, "embedding": base64.b64encode(row.astype("<f4").tobytes()).decode()}
        if encode
        else {"object": "embedding", "index": i, "embedding": row.tolist()}
        for i, row in zip(places, rows, strict=True)
    ]
    usage = {"total_tokens": tokens, "prompt_tokens": tokens}
    return json.dumps({"object": "list", "model": "m", "usage": usage, "data": data}).encode()


ROWS = np.random.default_rng(1).standard_normal((3, 5)).astype(np.float32)


@pytest.mark.parametrize("model", MODELS)
def test_exactly_the_declared_fields(model):
    known = MODELS[model]
    options = JinaOptions(model=model)
    task = known.tasks[0] if known.tasks else None
    sent = json.loads(body(options, ["a", "b"], task, known.dimensions, late=known.late_chunking))
    wanted = {"model": model, "input": ["a", "b"], "embedding_type": "base64", "truncate": False}
    wanted |= {"task": task} if "task" in known.fields else {}
    wanted |= {"dimensions": known.dimensions} if "dimensions" in known.fields else {}
    wanted |= {"late_chunking": True} if "late_chunking" in known.fields else {}
    wanted |= {"normalized": True} if "normalized" in known.fields else {}
    assert sent == wanted
    assert known.fields <= set(FIELDS)


def test_no_task_is_no_field():
    assert "task" not in json.loads(body(JinaOptions(), ["a"], None, 64, late=False))


def test_another_name_on_the_server():
    options = JinaOptions(served_model="deployment-7", truncate=True)
    sent = json.loads(body(options, ["ü\u2028"], "retrieval.query", 64, late=False))
    assert (sent["model"], sent["truncate"], sent["input"]) == ("deployment-7", True, ["ü\u2028"])


@pytest.mark.parametrize("encode", [True, False])
def test_replies_in_any_order(encode):
    rows, tokens = decode(reply(ROWS[[2, 0, 1]], places=[2, 0, 1], encode=encode), 3, 5)
    np.testing.assert_array_equal(rows, ROWS)
    assert (rows.dtype, tokens) == (np.float32, 7)


NAN = ROWS.copy()
NAN[1, 3] = np.nan


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (reply(ROWS[:2]), "2 vectors to 3 texts"),
        (reply(ROWS, places=[0, 1, 1]), "one text twice"),
        (reply(ROWS, places=[0, 1, -1]), "one text twice"),
        (reply(ROWS, places=[0, 1, 3]), "one text twice"),
        (reply(ROWS[:, :4]), "vectors of 4 numbers; 5 dimensions"),
        (reply(NAN), "NaN or infinity to text 1 of 3"),
        (reply(ROWS)[:-40], "not whole JSON"),
        (b"<!DOCTYPE html><html>", "HTML instead of JSON; is base_url right"),
        (b"[]", "another shape"),
        (b'{"data": [{"index": 0, "embedding": {"a": 1}}]}', "a dict where a vector belongs"),
        (b'{"data": [{"index": 0, "embedding": "%%%"}]}', "vectors of 0 numbers"),
        (b'{"data": [{"index": 0, "embedding": "abc"}]}', "not whole JSON"),
        (b'{"data": null}', "another shape"),
        (b'{"data": 5}', "another shape"),
        (b"", "not whole JSON"),
    ],
)
def test_replies_that_cannot_be_used(content, message):
    with pytest.raises(EmbedderInvalidReply, match=message):
        decode(content, 3, 5)


def error(status, code="", detail="it says why", headers=None, **more):
    content = json.dumps({"detail": detail, "code": code, **more}).encode()
    return refusal(status, content, headers or {}, JinaOptions())


@pytest.mark.parametrize(
    ("status", "code", "kind", "message"),
    [
        (401, "AUTH_INVALID_API_KEY", EmbedderDenied, "does not know the key .it says: it says why.; check api_key"),
        (403, "AUTHZ_INSUFFICIENT_BALANCE", EmbedderDenied, "no balance left"),
        (403, "", EmbedderDenied, "the key may not do this"),
        (400, "INPUT_MODEL_NOT_FOUND", EmbedderDenied, "no model 'jina-embeddings-v3' there"),
        (404, "", EmbedderDenied, "check model, served_model and base_url"),
        (400, "", Refused, "refused the text"),
        (413, "", TooLarge, "no request of this size"),
        (500, "INTERNAL_ERROR", Failed, "status 500"),
        (503, "SERVICE_UNAVAILABLE", Busy, "status 503"),
        (504, "SERVICE_TIMEOUT", TooSlow, "status 504"),
        (418, "", EmbedderDenied, "status 418"),
    ],
)
def test_refusals_in_plain_words(status, code, kind, message):
    found = error(status, code)
    assert type(found) is kind
    with pytest.raises(kind, match=message):
        raise found


def test_a_refused_field_is_named():
    found = error(422, detail="Validation failed", errors=[{"field": "input.3", "message": "too long", "type": "x"}])
    assert "Validation failed; input.3: too long" in str(found)


@pytest.mark.parametrize(
    ("code", "limit"),
    [
        ("RATE_REQUEST_LIMIT_EXCEEDED", "requests"),
        ("RATE_TOKEN_LIMIT_EXCEEDED", "tokens"),
        ("RATE_CONCURRENCY_LIMIT_EXCEEDED", "concurrency"),
        ("RATE_IP_LIMIT_EXCEEDED", "address"),
        ("", "requests"),
    ],
)
def test_quotas_by_kind(code, limit):
    found = error(429, code, headers={"retry-after": "12"})
    assert isinstance(found, Throttled)
    assert (found.limit, found.wait) == (limit, 12.0)


@pytest.mark.parametrize("content", [b"<html>login</html>", b"plain words", b"[1]", b"\xff\xfe"])
def test_error_bodies_of_any_kind(content):
    assert "<html" not in str(refusal(500, content, {}, JinaOptions()))


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"retry-after": "1.5"}, 1.5),
        ({"retry-after": "-3"}, 0.0),
        ({"retry-after": "soon"}, None),
        # The server's clock is years off; only its own dates are compared.
        ({"retry-after": "Tue, 01 Jan 2008 00:00:30 GMT", "date": "Tue, 01 Jan 2008 00:00:00 GMT"}, 30.0),
        ({"retry-after": "Tue, 01 Jan 2008 00:00:00 GMT", "date": "Tue, 01 Jan 2008 00:00:10 GMT"}, 0.0),
        ({"retry-after": "Tue, 01 Jan 2008 00:00:00 GMT"}, 0.0),
    ],
)
def test_how_long_to_wait(headers, seconds):
    assert retry_after(headers) == seconds


def test_what_is_left():
    headers = {"x-ratelimit-remaining-requests": "41", "x-ratelimit-remaining-tokens": "x"}
    assert (remaining(headers, "requests"), remaining(headers, "tokens")) == (41, None)
