"""The embedder over real HTTP: fields, order, refusals, named failures."""

from __future__ import annotations

import json
import os
from pathlib import Path

import jsonschema
import numpy as np
import pytest

from nestvec.encoding.models import MODELS
from nestvec.errors import EmbedderDenied, EmbedderError, EmbedderInvalidReply, EmbedderRefused, EmbedderUnavailable
from nestvec_testing import EmbedderConformance, EmbedderUnderTest
from nestvec_testing.emulators.jina import (
    Cut,
    DuplicateIndex,
    Html,
    HttpStatus,
    Malformed,
    NotFiniteVectors,
    OtherDimensions,
    Reordered,
    WrongCount,
    late_vectors,
    plain_vectors,
)

from .conftest import KEY, ask, group

TEXTS = ["The river is cold.", "Annual leave is thirty days.", "東京は日本の首都です。", "def add(a, b): return a + b"]

PLAIN = plain_vectors(TEXTS, task="retrieval.passage", dimensions=64)


class TestConformance(EmbedderConformance):
    @pytest.fixture
    def embedder(self, emulator):
        return EmbedderUnderTest("jina", {"api_key": {"env": KEY}, "base_url": emulator.base_url, "backoff": 0.0})


class TestConformanceOfV2(EmbedderConformance):
    @pytest.fixture
    def embedder(self, emulator):
        options = {"api_key": {"env": KEY}, "base_url": emulator.base_url, "model": "jina-embeddings-v2-base-en"}
        return EmbedderUnderTest("jina", options)


@pytest.fixture(scope="session")
def contract():
    beside = Path(__file__).resolve().parents[2].parent / "shared" / "contracts"
    file = Path(os.environ.get("NESTVEC_CONTRACTS") or beside) / "jina-openapi.json"
    if not file.is_file():
        told = f"no API description {file}: set NESTVEC_CONTRACTS to its folder"
        if os.environ.get("CI") == "true":
            pytest.fail(f"{told}; CI must not go without")
        pytest.skip(told)
    return json.loads(file.read_text())


def closed(contract, name):
    """The schema of a request with nothing allowed that is not declared."""
    schema = dict(contract["components"]["schemas"][name])
    return schema | {"additionalProperties": False, "components": contract["components"]}


@pytest.mark.parametrize(
    ("model", "late"), [(name, late) for name, known in MODELS.items() for late in {False, known.late_chunking}]
)
def test_requests_of_every_model_on_the_wire(open_jina, emulator, contract, model, late):
    known = MODELS[model]
    body = contract["paths"]["/v1/embeddings"]["post"]["requestBody"]["content"]["application/json"]["schema"]
    schema = closed(contract, body["discriminator"]["mapping"][model].rsplit("/", 1)[1])
    size = max(known.min_dimensions, known.dimensions // 2)
    for task in known.tasks or (None,):
        reply = open_jina(model=model).encode(ask(group("a", *TEXTS), task=task, dimensions=size, late=late))
        sent = emulator.exchanges[-1].body
        jsonschema.Draft202012Validator(schema).validate(sent)
        assert sent.get("task") == task
        assert sent.get("dimensions") == (size if "dimensions" in known.fields else None)
        assert sent.get("late_chunking") == (late if "late_chunking" in known.fields else None)
        assert sent.get("normalized") == (True if "normalized" in known.fields else None)
        assert sent["embedding_type"] == "base64"
        wanted = (late_vectors if late else plain_vectors)(TEXTS, model, task, dimensions=size)
        np.testing.assert_allclose(reply.vectors[0], wanted, atol=1e-6)


def test_usage_and_order(open_jina, emulator):
    emulator.inject(Reordered())
    reply = open_jina(batch=3).encode(ask(*(group(f"d{i}", text) for i, text in enumerate(TEXTS))))
    np.testing.assert_allclose(
        np.concatenate(reply.vectors), plain_vectors(TEXTS, task="retrieval.passage", dimensions=64), atol=1e-6
    )
    assert reply.usage.requests == 2
    assert reply.usage.tokens == emulator.counters.tokens > 0
    assert (reply.usage.retries, reply.usage.windows) == (0, 0)


@pytest.mark.parametrize(
    "fault",
    [
        HttpStatus(status=429),
        HttpStatus(status=429, retry_after=0),
        HttpStatus(status=500),
        HttpStatus(status=503),
        Cut(),
        Cut(applied=True),
        Malformed(),
        Html(),
        WrongCount(by=-1),
        WrongCount(by=1),
        DuplicateIndex(),
        NotFiniteVectors(),
        OtherDimensions(),
    ],
    ids=str,
)
def test_what_passes_is_repeated(open_jina, emulator, fault):
    emulator.inject(fault)
    reply = open_jina().encode(ask(*(group(f"d{i}", text) for i, text in enumerate(TEXTS))))
    np.testing.assert_allclose(
        np.concatenate(reply.vectors), plain_vectors(TEXTS, task="retrieval.passage", dimensions=64), atol=1e-6
    )
    assert (reply.failures, reply.usage.retries, reply.usage.requests) == ((), 1, 2)


@pytest.mark.parametrize("status", [504, 408, 413])
def test_what_is_too_much_at_once_is_halved(open_jina, emulator, status):
    emulator.inject(HttpStatus(status=status))
    reply = open_jina().encode(ask(*(group(f"d{i}", text) for i, text in enumerate(TEXTS))))
    assert all(rows is not None for rows in reply.vectors)
    assert [len(each.texts) for each in emulator.exchanges] == [4, 2, 2]


@pytest.mark.parametrize(
    "fault", [HttpStatus(status=422), HttpStatus(status=400), NotFiniteVectors(containing="POISON")], ids=str
)
def test_the_guilty_text_is_found_and_named(open_jina, emulator, fault):
    emulator.poison("POISON", fault)
    documents = [group(f"doc-{i}", f"text {i} POISON" if i in (11, 40) else f"text {i}", "more") for i in range(64)]
    reply = open_jina(batch=32).encode(ask(*documents))
    assert sorted(failure.group for failure in reply.failures) == [11, 40]
    assert all("document 'doc-11'" in str(f.error) or "document 'doc-40'" in str(f.error) for f in reply.failures)
    assert [i for i, rows in enumerate(reply.vectors) if rows is None] == [11, 40]
    if isinstance(fault, HttpStatus):
        assert all(isinstance(f.error, EmbedderRefused) and "truncate = true" in str(f.error) for f in reply.failures)


def test_a_text_over_the_limit_is_named_and_truncate_is_offered_and_works(open_jina, emulator):
    emulator.dial(max_tokens=50)
    long = group("the-long-one", "word " * 100)
    reply = open_jina().encode(ask(group("short", "a few words"), long))
    assert "document 'the-long-one'" in str(reply.failures[0].error)
    assert "truncate = true" in str(reply.failures[0].error)
    assert reply.vectors[0] is not None
    assert open_jina(truncate=True).encode(ask(long)).failures == ()


def test_lone_surrogates_are_named(open_jina):
    reply = open_jina().encode(ask(group("good", "fine"), group("bad", "broken \ud800 text")))
    assert "document 'bad'" in str(reply.failures[0].error)
    assert "lone surrogate" in str(reply.failures[0].error)
    assert reply.vectors[0] is not None


@pytest.mark.parametrize(
    ("dials", "options", "message"),
    [
        ({"keys": ("jina_other",)}, {}, "does not know the key"),
        ({"unpaid": "own"}, {}, "no balance left"),
        ({}, {"served_model": "jina-embeddings-v33"}, "no model 'jina-embeddings-v33' there"),
        ({}, {"base_url": "elsewhere"}, "check model, served_model and base_url"),
    ],
)
def test_what_no_repetition_helps_is_told_at_once(open_jina, emulator, dials, options, message):
    if dials.get("unpaid"):
        dials = {"unpaid": (emulator.api_key,)}
    if "base_url" in options:
        options = {"base_url": f"{emulator.url}/elsewhere"}
    emulator.dial(**dials)
    with pytest.raises(EmbedderDenied, match=message) as caught:
        open_jina(**options).encode(ask(*(group(f"d{i}", text) for i, text in enumerate(TEXTS))))
    assert len(emulator.journal.answered) <= 1
    assert emulator.api_key not in str(caught.value)


def test_a_server_that_repeats_the_key_does_not_give_it_away(open_jina, emulator):
    emulator.inject(HttpStatus(status=401, message=f"unknown key {emulator.api_key}"))
    with pytest.raises(EmbedderDenied) as caught:
        open_jina().encode(ask(group("a", "text")))
    assert emulator.api_key not in str(caught.value)
    assert "unknown key ***" in str(caught.value)


def test_nobody_there(open_jina):
    with pytest.raises(
        EmbedderUnavailable, match=r"cannot be reached.*check base_url, the network and proxy"
    ) as caught:
        open_jina(base_url="http://127.0.0.1:9/v1").encode(ask(group("innocent", "text")))
    assert "innocent" not in str(caught.value), "no document is at fault"


def test_a_service_that_is_down_stops_the_run_and_a_flaw_does_not(open_jina, emulator):
    emulator.inject(HttpStatus(status=500), times=None)
    with pytest.raises(EmbedderUnavailable, match="status 500"):
        open_jina(attempts=3).encode(ask(*(group(f"d{i}", text) for i, text in enumerate(TEXTS))))
    assert len(emulator.exchanges) == 3
    emulator.reset()
    emulator.poison("river", HttpStatus(status=500))
    reply = open_jina(attempts=3, batch=2).encode(ask(*(group(f"d{i}", text) for i, text in enumerate(TEXTS))))
    assert [failure.group for failure in reply.failures] == [0, 1]
    assert all(isinstance(failure.error, EmbedderUnavailable) for failure in reply.failures)


def test_a_page_instead_of_json_says_so(open_jina, emulator):
    emulator.inject(Html(), times=None)
    with pytest.raises(EmbedderInvalidReply, match="HTML instead of JSON; is base_url right"):
        open_jina(attempts=2).encode(ask(group("a", "text")))


def test_another_dimension_is_not_tried_for_long(open_jina, emulator):
    emulator.inject(OtherDimensions(), times=None)
    with pytest.raises(EmbedderInvalidReply, match="vectors of 63 numbers; 64 dimensions"):
        open_jina().encode(ask(group("a", "text"), group("b", "text")))
    assert len(emulator.exchanges) == 3


def test_the_path_is_added_whatever_the_address_looks_like(open_jina, emulator):
    for base in (emulator.base_url, f"{emulator.base_url}/", f"{emulator.base_url}/embeddings"):
        assert open_jina(base_url=base).encode(ask(group("a", "text"))).failures == ()


def test_headers_and_secret_headers(open_jina, emulator, monkeypatch):
    monkeypatch.setenv("AZURE_KEY", "hush-hush")
    embedder = open_jina(headers={"x-team": "search", "api-key": {"env": "AZURE_KEY"}})
    embedder.encode(ask(group("a", "text")))
    headers = {name.lower(): value for name, value in dict(emulator.exchanges[-1].headers).items()}
    assert headers["x-team"] == "search"
    assert "hush-hush" not in repr(embedder)


def test_a_closed_embedder_says_so(open_jina):
    embedder = open_jina()
    embedder.encode(ask(group("a", "text")))
    embedder.close()
    with pytest.raises(EmbedderError, match="closed"):
        embedder.encode(ask(group("a", "text")))
