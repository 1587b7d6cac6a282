"""Vectors against a computation that knows neither nestvec nor sentence-transformers."""

from __future__ import annotations

import numpy as np
import pytest

from nestvec.encoding.tasks import PASSAGE, QUERY
from nestvec.errors import Unsupported

CASES = [
    ("plain", None, ""),
    ("dot", None, ""),
    ("e5", PASSAGE, "passage: "),
    ("e5", QUERY, "query: "),
    ("e5", None, ""),
    ("asking", PASSAGE, ""),
    ("asking", QUERY, "Represent this sentence for searching: "),
    ("gemma", PASSAGE, "title: none | text: "),
    ("gemma", QUERY, "task: search result | query: "),
    ("gemma", "Clustering", "task: clustering | query: "),
]


@pytest.mark.parametrize(("kind", "task", "prompt"), CASES)
def test_a_text_is_embedded_with_the_prompt_of_its_task(models, opened, kit, kind, task, prompt):
    embedder = opened(kind)
    size = models.options(kind)["dimensions"]
    rows = kit.rows(embedder, *models.TEXTS, task=task, dimensions=size)
    np.testing.assert_allclose(rows, models.reference(kind, models.TEXTS, prompt), atol=1e-5)
    assert rows.dtype == np.float32


def test_a_router_sends_questions_and_passages_through_modules_of_their_own(models, opened, kit):
    questions, passages = (kit.rows(opened("two"), *models.TEXTS, task=task) for task in (QUERY, PASSAGE))
    # The questions' side is the plain model's, of the same weights.
    np.testing.assert_allclose(questions, models.reference("plain", models.TEXTS), atol=1e-5)
    assert (np.abs(passages - questions).max(axis=1) > 1e-2).all()


@pytest.mark.parametrize("kind", ["e5", "asking", "gemma"])
def test_a_question_is_not_embedded_like_a_passage(opened, models, kit, kind):
    size = models.options(kind)["dimensions"]
    passages, questions = (
        kit.rows(opened(kind), *models.TEXTS, task=task, dimensions=size) for task in (PASSAGE, QUERY)
    )
    assert (np.abs(passages - questions).max(axis=1) > 1e-2).all()


@pytest.mark.parametrize("size", [8, 20, 47])
def test_a_prefix_is_cut_once_and_then_renormalised(opened, models, kit, size):
    rows = kit.rows(opened("gemma"), *models.TEXTS, task=PASSAGE, dimensions=size)
    np.testing.assert_allclose(rows, models.reference("gemma", models.TEXTS, "title: none | text: ", size), atol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(rows, axis=1), 1, atol=1e-6)


def test_a_default_length_of_the_model_s_own_does_not_cut_before_us(models, kit, tmp_path):
    import json

    from nestvec_transformers.sentence_embedder import SentenceEmbedder
    from nestvec_transformers.sentence_options import SentenceOptions

    folder = models.copy("gemma", tmp_path)
    file = folder / "config_sentence_transformers.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"truncate_dim": 8}))
    embedder = SentenceEmbedder(SentenceOptions(**models.options("gemma", path=str(folder))))
    rows = kit.rows(embedder, *models.TEXTS, task=PASSAGE, dimensions=48)
    np.testing.assert_allclose(rows, models.reference("gemma", models.TEXTS, "title: none | text: "), atol=1e-5)


def test_other_lengths_are_refused_also_by_the_embedder_itself(opened, kit):
    with pytest.raises(Unsupported, match="8 to 48"):
        opened("gemma").encode(kit.ask("text", task=PASSAGE, dimensions=7))
    with pytest.raises(Unsupported, match="32 only: it has no Matryoshka prefixes"):
        opened("e5").encode(kit.ask("text", task=PASSAGE, dimensions=16))


def test_neither_order_nor_company_matters(opened, models, kit):
    texts = [*models.TEXTS, *(f"number {i} " * (i % 9 + 1) for i in range(90))]
    alone = np.concatenate([kit.rows(opened("e5"), text, task=PASSAGE) for text in texts[:12]])
    together = kit.rows(opened("e5"), *texts, task=PASSAGE)
    np.testing.assert_allclose(together[:12], alone, atol=1e-5)
    np.testing.assert_allclose(kit.rows(opened("e5"), *texts[::-1], task=PASSAGE)[::-1], together, atol=1e-5)


def test_chunks_come_back_with_their_documents(opened, models, kit):
    groups = (kit.group("a", "one ", "two, longer than the others "), kit.group("none"), kit.group("b", "three"))
    reply = opened("e5").encode(kit.ask(*groups, task=PASSAGE))
    assert [part.shape for part in reply.vectors] == [(2, 32), (0, 32), (1, 32)]
    rows = np.concatenate(reply.vectors)
    wanted = models.reference("e5", ["one ", "two, longer than the others ", "three"], "passage: ")
    np.testing.assert_allclose(rows, wanted, atol=1e-5)
    words = ("passage:one", "passage:two,longerthantheothers", "passage:three")
    assert reply.usage.tokens == sum(len(each) + 2 for each in words)


def test_half_precision_gives_about_the_same_in_float32(fresh, models, kit):
    rows = kit.rows(fresh("e5", dtype="bfloat16"), *models.TEXTS, task=PASSAGE)
    wanted = models.reference("e5", models.TEXTS, "passage: ")
    assert rows.dtype == np.float32
    assert 1e-6 < np.abs(rows - wanted).max() < 0.05


def test_late_chunking_is_not_offered(opened, kit):
    with pytest.raises(Unsupported, match="late_chunking = false"):
        opened("e5").encode(kit.ask("text", task=PASSAGE, late=True))
