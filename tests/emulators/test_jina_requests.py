"""What the emulated API takes and refuses, and what its replies look like."""

from __future__ import annotations

import base64
import json

import httpx
import numpy as np
import pytest

from nestvec_testing.emulators.jina import JinaEmulator, count_tokens, plain_vectors
from nestvec_testing.emulators.jina.models import MODELS

V2, V3, V4 = "jina-embeddings-v2-base-de", "jina-embeddings-v3", "jina-embeddings-v4"
NANO, SMALL = "jina-embeddings-v5-text-nano", "jina-embeddings-v5-text-small"
CODE = "jina-code-embeddings-0.5b"


def vectors(response):
    assert response.status_code == 200, response.text
    return np.array([item["embedding"] for item in response.json()["data"]], np.float32)


def refused(response, field):
    """A 422 that names the field."""
    assert response.status_code == 422, response.text
    (error,) = response.json()["errors"]
    assert error["field"] == field
    assert set(error) == {"field", "message", "type", "input"}
    return error["message"]


class TestModels:
    def test_each_has_the_fields_of_its_description(self, contract):
        for name, model in MODELS.items():
            assert set(contract.fields(name)) == model.fields
            tasks = contract.fields(name).get("task", {"anyOf": [{"enum": []}]})
            assert sorted(tasks["anyOf"][0]["enum"]) == sorted(model.tasks)
            assert tasks.get("default") == model.default_task
            most = contract.fields(name).get("dimensions", {"anyOf": [{"maximum": 768}]})["anyOf"][0]["maximum"]
            assert model.dimensions == (768 if name == NANO else most)

    @pytest.mark.parametrize("model", MODELS)
    def test_a_request_with_nothing_but_what_must_be(self, described, model):
        assert vectors(described.post(["one", "two"], model=model)).shape == (2, MODELS[model].dimensions)

    @pytest.mark.parametrize("model", [V3, V4, SMALL, NANO, CODE])
    def test_dimensions_end_at_the_models_own(self, described, model):
        most = MODELS[model].dimensions
        assert vectors(described.post(model=model, dimensions=most)).shape == (1, most)
        assert vectors(described.post(model=model, dimensions=1)).shape == (1, 1)
        for wrong in (0, -1, most + 1):
            assert f"1 to {most}" in refused(described.post(model=model, dimensions=wrong), "dimensions")
        for wrong in ("256", 25.6, True):
            refused(described.post(model=model, dimensions=wrong), "dimensions")

    @pytest.mark.parametrize(
        ("model", "task"),
        [(V3, "separation"), (V4, "code.query"), (SMALL, "clustering"), (CODE, "code2nl.passage")],
    )
    def test_tasks_are_the_models_own(self, described, model, task):
        assert described.post(model=model, task=task).status_code == 200
        others = {"separation", "code.query", "clustering", "code2nl.passage"} - {task}
        for other in others:
            assert task in refused(described.post(model=model, task=other), "task")

    @pytest.mark.parametrize(
        ("model", "task"), [(V4, "text-matching"), (SMALL, "text-matching"), (CODE, "nl2code.query"), (V3, None)]
    )
    def test_default_tasks(self, described, model, task):
        spelt, other = described.post(model=model, task=task), described.post(model=model, task=MODELS[model].tasks[1])
        plain = vectors(described.post(model=model))
        assert np.array_equal(vectors(spelt), plain)
        assert not np.allclose(vectors(other), plain)

    def test_an_unknown_model(self, described):
        response = described.post(model="jina-embeddings-v9")
        assert (response.status_code, response.json()["code"]) == (400, "INPUT_MODEL_NOT_FOUND")
        assert V3 in response.json()["detail"]

    @pytest.mark.parametrize(
        ("model", "field", "value"),
        [
            (V2, "dimensions", 256),
            (V2, "task", "text-matching"),
            (V2, "late_chunking", True),
            (V4, "normalized", True),
            (SMALL, "late_chunking", False),
            (CODE, "normalized", True),
            (V3, "return_multivector", False),
            (V3, "dimension", 256),
        ],
    )
    def test_the_check_of_fields_is_closed(self, jina, contract, model, field, value):
        body = {"model": model, "input": "text", field: value}
        assert contract.request_problems(body) != []
        assert model in refused(jina.post(model=model, **{field: value}), field)
        jina.emulator.dial(closed=False)
        assert len(vectors(jina.post(model=model, **{field: value}))[0]) == MODELS[model].dimensions

    def test_nulls_are_as_good_as_nothing(self, described):
        fields = dict.fromkeys(["dimensions", "task", "normalized", "truncate", "late_chunking", "embedding_type"])
        assert np.array_equal(vectors(described.post(**fields)), vectors(described.post()))

    def test_multivectors_are_refused(self, described):
        assert "dimensions" in refused(
            described.post(model=V4, return_multivector=True, dimensions=8), "return_multivector"
        )
        assert "not emulated" in refused(described.post(model=V4, return_multivector=True), "return_multivector")
        refused(described.post(model=V4, return_tokenized_input=True), "return_tokenized_input")
        assert described.post(model=V4, return_multivector=False).status_code == 200


class TestInput:
    @pytest.mark.parametrize(
        ("given", "texts"),
        [
            ("one", ["one"]),
            ({"text": "one"}, ["one"]),
            (["one", {"text": "two"}], ["one", "two"]),
            (["", " "], ["", " "]),
        ],
    )
    def test_forms(self, described, given, texts):
        response = described.post(given)
        assert np.array_equal(vectors(response), plain_vectors(texts))
        assert [item["index"] for item in response.json()["data"]] == list(range(len(texts)))
        assert described.emulator.exchanges[-1].texts == texts

    def test_what_is_no_unicode(self, jina):
        content = json.dumps({"model": V3, "input": ["\ud800", "nul \x00"]})
        assert np.array_equal(vectors(jina.send(content)), plain_vectors(["\ud800", "nul \x00"]))

    @pytest.mark.parametrize(
        ("given", "field"),
        [
            ([], "input"),
            (None, "input"),
            (7, "input"),
            (["one", 7], "input.1"),
            ([["one"]], "input.0"),
            ({"txt": "one"}, "input.text"),
            (["one", {"text": "two", "title": "t"}], "input.1.title"),
            ({"image": "https://example.org/a.png"}, "input.text"),
        ],
    )
    def test_what_is_no_text(self, described, given, field):
        refused(described.post(given), field)

    @pytest.mark.parametrize("field", ["normalized", "truncate", "late_chunking"])
    def test_flags(self, described, field):
        refused(described.post(**{field: "yes"}), field)

    @pytest.mark.parametrize("content", [b"", b"{", b"[1]", b'"x"', b"[" * 100_000])
    def test_what_is_no_object(self, described, content):
        refused(described.send(content), "body")

    def test_fields_that_must_be(self, described):
        refused(described.send(b'{"input": "x"}'), "model")
        refused(described.send(b'{"model": 3, "input": "x"}'), "model")
        refused(described.send(b'{"model": "jina-embeddings-v3"}'), "input")

    def test_the_number_of_inputs(self, described):
        assert len(described.post(["x"] * 2048, dimensions=1).json()["data"]) == 2048
        assert "2048" in refused(described.post(["x"] * 2049), "input")
        described.emulator.dial(max_inputs=2)
        refused(described.post(["x"] * 3), "input")

    def test_the_size_of_the_body(self, jina):
        jina.emulator.dial(max_body=100)
        assert jina.post("x").status_code == 200
        response = jina.post("x" * 100)
        assert response.status_code == 413
        assert "100 bytes" in response.json()["detail"]

    def test_other_paths_and_methods(self, jina):
        assert jina.client.get(jina.emulator.url + "/health").json() == {"status": "ok"}
        assert jina.client.get(jina.emulator.base_url + "/embeddings").status_code == 405
        assert jina.client.post(jina.emulator.base_url + "/rerank").status_code == 404
        assert [each.path for each in jina.emulator.exchanges] == ["/v1/embeddings", "/v1/rerank"]


class TestTokens:
    @pytest.mark.parametrize(
        ("text", "tokens"),
        [
            ("", 2),
            ("word", 3),
            ("words", 4),
            ("Annual leave!", 7),
            ("2026", 6),
            ("a_b", 5),
            ("日本語処理", 4),
            ("½²", 3),
        ],
    )
    def test_are_counted(self, described, text, tokens):
        assert count_tokens(text) == tokens
        assert described.post(text).json()["usage"] == {"total_tokens": tokens, "prompt_tokens": tokens}

    def test_of_all_inputs(self, described):
        texts = ["one two three", {"text": "four"}, ""]
        assert described.post(texts).json()["usage"]["total_tokens"] == 6 + 3 + 2

    @pytest.mark.parametrize(("model", "limit"), [(V3, 8192), (V2, 8192), (NANO, 8192), (SMALL, 32768), (CODE, 32768)])
    def test_the_models_limit(self, described, model, limit):
        fits, over = "x " * (limit - 2), "x " * (limit - 1)
        assert described.post(fits, model=model).json()["usage"]["total_tokens"] == limit
        assert f"{limit + 1} tokens" in refused(described.post(["x", over], model=model), "input.1")

    def test_truncation(self, described):
        described.emulator.dial(max_tokens=9)
        text = "one two three four five six seven"
        assert "takes 9" in refused(described.post(text, truncate=False), "input")
        response = described.post(["x", text], truncate=True)
        assert response.json()["usage"]["total_tokens"] == 3 + 9
        assert np.array_equal(vectors(response), plain_vectors(["x", "one two three four five six"]))

    def test_truncation_within_a_word(self, described):
        described.emulator.dial(max_tokens=4)
        response = described.post("uncharacteristically", truncate=True)
        assert np.array_equal(vectors(response), plain_vectors(["uncharac"]))


class TestReplies:
    TEXTS = ("annual leave", "thirty days")

    def test_base64(self, described):
        response = described.post(self.TEXTS, embedding_type="base64", dimensions=100)
        rows = [np.frombuffer(base64.b64decode(item["embedding"]), "<f4") for item in response.json()["data"]]
        assert np.array_equal(rows, plain_vectors(self.TEXTS, dimensions=100))

    def test_signs(self, described):
        signs = np.packbits(plain_vectors(self.TEXTS, dimensions=64) > 0, axis=1)
        unsigned = described.post(self.TEXTS, embedding_type="ubinary", dimensions=64).json()["data"]
        signed = described.post(self.TEXTS, embedding_type="binary", dimensions=64).json()["data"]
        assert [item["embedding"] for item in unsigned] == signs.tolist()
        assert [item["embedding"] for item in signed] == (signs.astype(int) - 128).tolist()

    def test_one_type_in_a_list_is_that_type(self, described):
        assert isinstance(described.post(embedding_type=["base64"]).json()["data"][0]["embedding"], str)
        assert isinstance(described.post(embedding_type=[]).json()["data"][0]["embedding"], list)

    @pytest.mark.parametrize("kind", ["int8", ["float", "int8"], ["float", "base64"], 3])
    def test_types_that_are_not(self, described, kind):
        refused(described.post(embedding_type=kind), "embedding_type")

    def test_without_normalisation(self, described):
        raw = vectors(described.post(self.TEXTS, normalized=False, dimensions=256))
        assert np.array_equal(raw, plain_vectors(self.TEXTS, dimensions=256, normalized=False))
        unit = vectors(described.post(self.TEXTS, normalized=True, dimensions=256))
        assert not np.allclose(np.linalg.norm(raw, axis=1), 1, atol=0.05)
        assert np.allclose(raw / np.linalg.norm(raw, axis=1, keepdims=True), unit, atol=1e-6)


class TestKeys:
    @pytest.mark.parametrize(
        ("header", "code"),
        [
            (None, "AUTH_MISSING_API_KEY"),
            ("Bearer", "AUTH_INVALID_FORMAT"),
            ("Basic abc", "AUTH_INVALID_FORMAT"),
            ("Bearer short", "AUTH_INVALID_FORMAT"),
            (f"Bearer jina_{'9' * 60}", "AUTH_INVALID_API_KEY"),
        ],
    )
    def test_wrong_ones(self, described, header, code):
        response = described.with_key(header)
        assert (response.status_code, response.json()["code"]) == (401, code)
        assert "short" not in response.text
        assert "999" not in response.text

    def test_several(self, described):
        described.emulator.dial(keys=("first", "second"), unpaid=("second",))
        assert described.with_key("Bearer first").status_code == 200
        poor = described.with_key("Bearer second")
        assert (poor.status_code, poor.json()["code"]) == (403, "AUTHZ_INSUFFICIENT_BALANCE")
        assert described.with_key("Bearer third").json()["code"] == "AUTH_INVALID_API_KEY"

    def test_any(self, described):
        described.emulator.dial(keys=None)
        assert [described.with_key(each).status_code for each in ("Bearer x", None)] == [200, 200]

    def test_are_nowhere_to_be_seen(self, jina):
        jina.post()
        key = jina.emulator.api_key
        assert key not in repr(jina.emulator.settings)
        assert key not in repr(jina.emulator.exchanges)


class TestLooking:
    def test_the_journal(self, jina):
        jina.post(["one", "two"], task="separation")
        (exchange,) = jina.emulator.journal.requests
        assert exchange.body == {"model": V3, "input": ["one", "two"], "task": "separation"}
        assert exchange.texts == ["one", "two"]
        assert (exchange.status, exchange.answer["model"]) == (200, V3)
        assert exchange.ended >= exchange.started
        assert jina.emulator.journal.peak == 1

    def test_counters(self, jina):
        jina.post(["one", "two"])
        jina.post(model="no")
        jina.post(dimensions=0)
        counters = jina.emulator.counters
        assert (counters.requests, counters.texts, counters.tokens) == (1, 2, 6)
        assert counters.refused == {"INPUT_MODEL_NOT_FOUND": 1, "422": 1}
        jina.emulator.reset()
        assert jina.emulator.counters.requests == len(jina.emulator.exchanges) == 0

    def test_an_emulator_of_ones_own(self):
        with JinaEmulator(keys=("k",), max_inputs=1) as emulator:
            emulator.dial(max_inputs=5)
            emulator.reset()
            assert emulator.settings.max_inputs == 1
            assert emulator.api_key == "k"
            assert emulator.base_url == emulator.url + "/v1"
            headers = {"Authorization": "Bearer k"}
            body = {"model": V3, "input": ["a", "b"]}
            assert httpx.post(f"{emulator.base_url}/embeddings", json=body, headers=headers).status_code == 422
        emulator.close()


def test_the_description_is_skipped_or_missed(find_contract, tmp_path):
    nowhere = {"NESTVEC_CONTRACTS": str(tmp_path)}
    with pytest.raises(pytest.skip.Exception, match=r"no jina-openapi\.json"):
        find_contract(nowhere)
    with pytest.raises(pytest.fail.Exception, match="CI must not go without"):
        find_contract({**nowhere, "CI": "true"})


def test_the_check_of_replies_is_closed(contract):
    good = {"model": V3, "usage": {"total_tokens": 1, "prompt_tokens": 1}, "data": [{"index": 0, "embedding": [0.5]}]}
    assert contract.reply_problems(200, good) == []
    assert contract.reply_problems(200, {**good, "took": 3}) != []
    assert contract.reply_problems(200, {**good, "data": [{"index": 0, "embedding": None}]}) != []
    assert contract.reply_problems(418, {"detail": "x"}) != []
    assert contract.reply_problems(400, {"message": "x"}) != []
