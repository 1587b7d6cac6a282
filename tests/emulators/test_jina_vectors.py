"""The emulated vectors: what they promise to tests, and that late chunking is what its formula says."""

from __future__ import annotations

import math
import re
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nestvec.errors import PluginNotFound
from nestvec_testing.emulators.jina import JinaEmulator, count_tokens, late_vectors, plain_vectors
from nestvec_testing.emulators.jina.tokens import cut
from nestvec_testing.emulators.jina.vectors import NEAR, WHOLE, WINDOW
from nestvec_testing.emulators.jina.words import LEXICON, Lexicon

V3 = "jina-embeddings-v3"
TEXTS = st.lists(st.text(st.sampled_from("abz .,7é日\n\u0301"), max_size=40), min_size=1, max_size=5)


def vectors(response):
    assert response.status_code == 200, response.text
    return np.array([item["embedding"] for item in response.json()["data"]], np.float32)


def cosine(one, other):
    return float(one @ other / np.linalg.norm(one) / np.linalg.norm(other))


class TestTokens:
    @given(TEXTS)
    def test_are_what_is_documented(self, texts):
        for text in texts:
            letters = sum(-(-len(run) // 4) for run in re.findall(r"[^\W\d_]+", text))
            others = sum(1 for character in re.sub(r"[^\W\d_]+", "", text) if not character.isspace())
            assert count_tokens(text) == LEXICON.count(text) == letters + others + 2

    @settings(max_examples=40)
    @given(st.text(max_size=40), st.integers(2, 12))
    def test_a_cut_text_is_the_longest_start_that_fits(self, text, limit):
        short = cut(text, limit)
        assert text.startswith(short)
        assert count_tokens(short) == min(limit, count_tokens(text))


class TestPlain:
    @given(TEXTS, st.integers(1, 1024), st.sampled_from([None, "retrieval.query"]))
    def test_a_shorter_vector_is_a_prefix(self, texts, dimensions, task):
        full, short = plain_vectors(texts, task=task), plain_vectors(texts, task=task, dimensions=dimensions)
        prefix = full[:, :dimensions] / np.linalg.norm(full[:, :dimensions], axis=1, keepdims=True)
        assert np.isfinite(short).all()
        assert np.allclose(short, prefix, atol=1e-5)
        raw = plain_vectors(texts, task=task, normalized=False)[:, :dimensions]
        assert np.array_equal(raw, plain_vectors(texts, task=task, dimensions=dimensions, normalized=False))

    @given(TEXTS)
    def test_neighbours_in_the_request_do_not_matter(self, texts):
        together = plain_vectors(texts, dimensions=64)
        assert np.array_equal(together, np.concatenate([plain_vectors([text], dimensions=64) for text in texts]))

    def test_another_process_has_the_same(self):
        fresh = Lexicon()
        fresh.words(["something else first"])
        (words,) = fresh.words(["annual leave"])
        ones, rows = np.ones(2), np.zeros(2, np.intp)
        (known,) = LEXICON.words(["annual leave"])
        assert np.array_equal(fresh.sums(rows, words, ones, 1, 64), LEXICON.sums(rows, known, ones, 1, 64))
        assert np.allclose(plain_vectors(["annual leave"], dimensions=3), [[0.651, 0.647, 0.398]], atol=0.001)

    def test_forgetting_changes_nothing(self, monkeypatch):
        before = plain_vectors(["annual leave, thirty days"])
        monkeypatch.setattr("nestvec_testing.emulators.jina.words._REMEMBERED", 1)
        assert np.array_equal(plain_vectors(["annual leave, thirty days"]), before)

    @pytest.mark.parametrize("dimensions", [64, 256, 1024])
    def test_texts_that_share_words_are_near(self, dimensions):
        texts = ["How many days of annual leave?", "Annual leave is thirty days a year.", "The cat sat on a mat."]
        one, near, far = plain_vectors(texts, dimensions=dimensions)
        assert cosine(one, near) > 0.3 > cosine(one, far) + 0.1
        assert cosine(one, plain_vectors(["HOW many DAYS of annual leave!"], dimensions=dimensions)[0]) > 0.99

    def test_models_have_nothing_in_common_and_tasks_much(self):
        text = ["annual leave is thirty days a year"]
        query, passage = (plain_vectors(text, task=f"retrieval.{side}")[0] for side in ("query", "passage"))
        assert 0.3 < cosine(query, passage) < 0.9
        v2, v4 = (plain_vectors(text, f"jina-embeddings-{model}")[0] for model in ("v2-base-en", "v4"))
        assert abs(cosine(v2, passage[:768])) < 0.4
        assert abs(cosine(v4[:1024], passage)) < 0.4

    def test_nothing_has_a_vector_too(self):
        empty = plain_vectors(["", "  ", "word"])
        assert np.array_equal(empty[0], empty[1])
        assert abs(cosine(empty[0], empty[2])) < 0.3


def by_the_formula(texts, limit=8192):
    """Late chunking, token by token."""
    marks = plain_vectors([""], normalized=False)[0].astype(float)
    spans, tokens = [], []
    for text in texts:
        start = len(tokens)
        tokens.append(marks)
        for word in re.findall(r"[^\W\d_]+|\d+|\S", text):
            number = count_tokens(word) - 2
            whole = plain_vectors([word], normalized=False)[0].astype(float)
            tokens += [(whole * (number + 2) - 2 * marks) / number] * number
        tokens.append(marks)
        spans.append((start, len(tokens)))
    tokens = np.array(tokens[:limit])
    mixed = np.empty_like(tokens)
    for at, own in enumerate(tokens):
        places = [at + step for step in range(-WINDOW, WINDOW + 1) if step]
        around = sum(tokens[place] if 0 <= place < len(tokens) else own for place in places)
        mixed[at] = (1 - NEAR - WHOLE) * own + NEAR / (2 * WINDOW) * around + WHOLE * tokens.mean(0)
    return np.array([mixed[slice(*span)].mean(0) if span[0] < len(tokens) else marks for span in spans], np.float32)


class TestLate:
    @pytest.mark.parametrize("limit", [8192, 150, 40, 7])
    def test_the_formula(self, limit):
        texts = [
            "Berlin is the capital of Germany, 2026.",
            "",
            "It has " + "many inhabitants; " * 20,
            "The city grows.",
        ]
        assert np.allclose(late_vectors(texts, normalized=False, limit=limit), by_the_formula(texts, limit), atol=1e-6)

    @given(st.text(max_size=50))
    def test_one_text_alone_is_plain(self, text):
        assert np.allclose(late_vectors([text]), plain_vectors([text]), atol=1e-6)

    def test_neighbours_matter(self):
        chunk = "It has nearly four million inhabitants."
        berlin = late_vectors(["Berlin is the capital of Germany.", chunk])[1]
        madrid = late_vectors(["Madrid is the capital of Spain.", chunk])[1]
        question = plain_vectors(["Berlin Germany"])[0]
        assert cosine(berlin, plain_vectors([chunk])[0]) < 0.97
        assert cosine(berlin, question) > cosine(madrid, question) + 0.05

    def test_near_ones_matter_more(self):
        between, question = "x " * 2 * WINDOW, plain_vectors(["Berlin"])[0]
        near, far = late_vectors(["Berlin " * 30, "and", between, "and"])[[1, 3]]
        assert cosine(near, question) > cosine(far, question) + 0.05

    def test_a_shorter_vector_is_a_prefix(self):
        texts = ["one two", "three"]
        short, full = late_vectors(texts, dimensions=32, normalized=False), late_vectors(texts, normalized=False)
        assert np.array_equal(short, full[:, :32])

    def test_through_the_api(self, described):
        texts = ["Berlin is the capital of Germany.", "It has nearly four million inhabitants."]
        replied = described.post(texts, late_chunking=True, task="retrieval.passage", dimensions=64)
        assert np.array_equal(vectors(replied), late_vectors(texts, task="retrieval.passage", dimensions=64))
        assert replied.json()["usage"]["total_tokens"] == sum(map(count_tokens, texts))
        v4 = described.post(texts, model="jina-embeddings-v4", late_chunking=True)
        assert np.array_equal(vectors(v4), late_vectors(texts, "jina-embeddings-v4", "text-matching"))

    def test_beyond_the_limit_it_is_cut_in_silence(self, described):
        texts = ["x " * 5000, "y " * 5000, "z"]
        replied = described.post(texts, late_chunking=True, dimensions=16)
        assert replied.json()["usage"] == {"total_tokens": 8192, "prompt_tokens": 8192}
        assert np.array_equal(vectors(replied), late_vectors(texts, dimensions=16))
        assert np.array_equal(vectors(replied)[2], plain_vectors([""], dimensions=16)[0])

    def test_beyond_the_limit_it_is_refused_where_that_is_wanted(self, described):
        described.emulator.dial(strict_late=True, late_tokens=20)
        assert described.post(["x", "y " * 14], late_chunking=True).json()["usage"]["total_tokens"] == 19
        replied = described.post(["x", "y " * 16], late_chunking=True)
        assert (replied.status_code, replied.json()["errors"][0]["field"]) == (422, "input")
        assert described.post(["x", "y " * 16]).status_code == 200
        assert described.post(["x", "y " * 16], late_chunking=True, truncate=True).json()["usage"]["total_tokens"] == 20


class TestSources:
    def test_the_cheapest(self, described):
        described.emulator.dial(vectors="constant")
        replied = described.post(["one", "two"], dimensions=16)
        assert np.allclose(vectors(replied), 0.25)
        assert replied.json()["usage"]["total_tokens"] == 6

    def test_an_installed_embedder(self, described):
        described.emulator.dial(embedder="e5")
        texts = ["Annual leave is thirty days a year.", "The cat sat on a mat."]
        full = vectors(described.post(texts, task="retrieval.passage"))
        assert full.shape == (2, 1024)
        assert not full[:, 384:].any()
        prefix = vectors(described.post(texts, task="retrieval.passage", dimensions=64))
        assert np.allclose(prefix, full[:, :64] / np.linalg.norm(full[:, :64], axis=1, keepdims=True), atol=1e-5)
        question = vectors(described.post("Wie viel Urlaub habe ich?", task="retrieval.query"))[0]
        as_passage = vectors(described.post("Wie viel Urlaub habe ich?", task="retrieval.passage"))[0]
        assert cosine(question, full[0]) > cosine(question, full[1]) + 0.02
        assert cosine(question, as_passage) < 0.999
        late = vectors(described.post(texts, task="retrieval.passage", late_chunking=True))
        assert 0.5 < cosine(full[1], late[1]) < 0.9999
        alone = vectors(described.post(texts[0], task="retrieval.passage", late_chunking=True))
        assert np.allclose(alone[0], full[0], atol=1e-6)

    def test_an_embedder_that_is_not_there(self):
        emulator = JinaEmulator(embedder="nowhere")
        with pytest.raises(PluginNotFound, match="nowhere"):
            emulator.start()
        emulator.close()

    @pytest.mark.parametrize("dimensions", [256, 1024])
    def test_they_are_quick(self, dimensions):
        """A generous bound: it takes a tenth of it."""
        words = [f"word{chr(97 + n % 26)}{chr(97 + n // 26)}" for n in range(600)]
        texts = [" ".join(words[(n * 7 + k * 13) % 600] for k in range(100)) for n in range(256)]
        plain_vectors(texts[:10])
        took = math.inf
        for _ in range(3):
            started = time.thread_time()
            plain_vectors(texts, dimensions=dimensions)
            took = min(took, time.thread_time() - started)
        assert took < 0.15
