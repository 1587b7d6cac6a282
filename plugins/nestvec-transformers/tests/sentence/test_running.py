"""Batches, memory, interruption, threads, forks, and texts that cannot be embedded."""

from __future__ import annotations

import os
import signal
import threading
import warnings
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise

import numpy as np
import pytest
import torch

from nestvec.encoding.tasks import PASSAGE, QUERY
from nestvec.errors import EmbedderError, EmbedderInvalidReply, EmbedderRefused
from nestvec_transformers.sentence_model import SentenceModel


@pytest.fixture
def batches(monkeypatch):
    """Spies on the forward passes; `most` texts fit into memory, and none of more characters than `longest`."""

    class Spy:
        seen: list[list[str]] = []
        most = longest = 10**9

    spy, embed = Spy(), SentenceModel.embed
    spy.seen = []

    def watched(model, texts, call):
        spy.seen.append(list(texts))
        if len(texts) > spy.most or max(map(len, texts)) > spy.longest:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB.")
        return embed(model, texts, call)

    monkeypatch.setattr(SentenceModel, "embed", watched)
    return spy


TEXTS = [f"{'word ' * (number % 17)}number {number}" for number in range(60)]


def test_texts_of_about_one_length_share_a_batch(fresh, kit, batches):
    embedder = fresh("e5", batch=8)
    batches.seen.clear()
    rows = kit.rows(embedder, *TEXTS, task=PASSAGE)
    assert [len(each) for each in batches.seen] == [8] * 7 + [4]
    spans = [(min(map(len, each)), max(map(len, each))) for each in batches.seen]
    assert all(later[1] <= earlier[1] for earlier, later in pairwise(spans))
    assert rows.shape == (60, 32)


def test_a_batch_has_so_many_tokens_with_its_padding(fresh, kit, batches):
    embedder = fresh("e5", batch_tokens=300)
    batches.seen.clear()
    kit.rows(embedder, *TEXTS, task=PASSAGE)
    count = embedder.count_tokens()
    padded = [len(each) * max(map(count, each)) for each in batches.seen]
    assert 200 < max(padded) <= 300


def test_what_does_not_fit_into_memory_is_halved(fresh, opened, kit, batches):
    embedder = fresh("e5", batch=32)
    batches.most = 5
    rows = kit.rows(embedder, *TEXTS, task=PASSAGE)
    batches.most = 10**9
    np.testing.assert_allclose(rows, kit.rows(opened("e5"), *TEXTS, task=PASSAGE), atol=1e-5)


def test_a_text_that_does_not_fit_even_alone_fails_with_its_document(fresh, kit, batches):
    embedder = fresh("e5")
    batches.longest = 100
    reply = embedder.encode(kit.ask("short", "w" * 200, "also short", task=PASSAGE))
    assert [rows is None for rows in reply.vectors] == [False, True, False]
    (failure,) = reply.failures
    assert isinstance(failure.error, EmbedderRefused)
    assert "'doc-1'" in str(failure.error)
    assert "memory" in str(failure.error)


def test_interrupted_it_ends_after_the_batch_under_way(fresh, kit, batches):
    embedder = fresh("e5", batch=2)
    batches.seen.clear()
    with pytest.raises(EmbedderError, match="interrupted; run it again"):
        embedder.encode(kit.ask(*TEXTS, task=PASSAGE, cancelled=lambda: len(batches.seen) >= 3))
    assert len(batches.seen) == 3


def test_what_the_model_s_own_code_raises_becomes_our_error(fresh, kit, monkeypatch):
    embedder = fresh("e5")
    monkeypatch.setattr(SentenceModel, "embed", lambda *_: {}["position"])
    with pytest.raises(EmbedderError, match="acme/e5 failed: KeyError") as caught:
        embedder.encode(kit.ask("text", task=PASSAGE))
    assert isinstance(caught.value.__cause__, KeyError)


# ---------------------------------------------------------------- texts that cannot be embedded


@pytest.mark.parametrize(("words", "fits"), [(512 - len("passage:") - 2, True), (512 - len("passage:") - 1, False)])
def test_no_text_is_cut_off_in_silence(opened, models, kit, words, fits):
    # A letter is a token; before the text stand those of the prompt, around both two marks.
    text = "w " * words
    reply = opened("e5").encode(kit.ask("short", text, task=PASSAGE))
    assert reply.vectors[0] is not None
    if fits:
        np.testing.assert_allclose(reply.vectors[1], models.reference("e5", [text], "passage: "), atol=1e-5)
        return
    (failure,) = reply.failures
    assert isinstance(failure.error, EmbedderRefused)
    assert str(failure.error) == (
        "document 'doc-1': the text has 513 tokens, prompt and marks included; acme/e5 takes 512 here; "
        "set a smaller chunking.size"
    )


def test_the_chunk_at_fault_is_named_and_nothing_of_its_document_embedded(opened, kit, batches):
    groups = kit.group("handbook", "short ", "w " * 600, " short"), kit.group("note", "text")
    (failure,) = opened("e5").encode(kit.ask(*groups, task=PASSAGE)).failures
    assert (failure.group, failure.span) == (0, 1)
    assert batches.seen == [["text"]]


def test_a_lower_limit_can_be_set(fresh, kit):
    embedder = fresh("e5", max_tokens=20)
    reply = embedder.encode(kit.ask("w " * 10, "w " * 11, task=PASSAGE))
    assert [failure.group for failure in reply.failures] == [1]
    assert "takes 20 here" in str(reply.failures[0].error)


def test_each_route_of_a_router_has_a_limit_of_its_own(opened, kit):
    question, passage = (opened("two").encode(kit.ask("w " * 200, task=task)) for task in (QUERY, PASSAGE))
    assert "takes 96 here" in str(question.failures[0].error)
    assert passage.failures == ()


def test_a_model_without_a_limit_takes_every_text(opened, kit):
    assert kit.rows(opened("static"), "word " * 5000).shape == (1, 32)


def test_a_text_of_which_the_model_knows_nothing_is_no_zero_vector(opened, kit):
    reply = opened("static").encode(kit.ask("", "word"))
    assert [rows is None for rows in reply.vectors] == [True, False]
    assert "knows no word" in str(reply.failures[0].error)


def test_numbers_that_are_none_fail_their_document(fresh, kit, monkeypatch):
    embedder, embed = fresh("e5"), SentenceModel.embed

    def overflowing(model, texts, call):
        rows = embed(model, texts, call)
        rows[texts.index("large"), 3] = np.inf
        return rows

    monkeypatch.setattr(SentenceModel, "embed", overflowing)
    reply = embedder.encode(kit.ask("small", "large", task=PASSAGE))
    assert [rows is None for rows in reply.vectors] == [False, True]
    assert isinstance(reply.failures[0].error, EmbedderInvalidReply)
    assert "'doc-1'" in str(reply.failures[0].error)
    assert 'dtype = "float32"' in str(reply.failures[0].error)


def test_what_is_no_text_fails_with_its_document(opened, kit):
    reply = opened("e5").encode(kit.ask("good", "bad \ud800", task=PASSAGE))
    assert [rows is None for rows in reply.vectors] == [False, True]
    assert "'doc-1'" in str(reply.failures[0].error)
    assert "lone surrogate" in str(reply.failures[0].error)


# ---------------------------------------------------------------- tokens


def test_tokens_are_counted_as_they_are_embedded(opened):
    count = opened("e5").count_tokens()
    assert count("word") == len("passage:") + 4 + 2


def test_a_model_without_a_tokenizer_at_hand_counts_none(opened):
    assert opened("static").count_tokens() is None


def test_counting_and_embedding_do_not_disturb_each_other(opened, kit):
    embedder, texts = opened("e5"), ["w " * length for length in (3, 40, 200, 400)]
    count, wanted = embedder.count_tokens(), kit.rows(embedder, *texts, task=PASSAGE)
    ready = threading.Barrier(4)

    def work(number: int) -> bool:
        ready.wait()
        if number % 2:
            return all(count(text) == len(text) // 2 + 10 for text in texts * 8)
        return bool(np.allclose(kit.rows(embedder, *texts, task=PASSAGE), wanted, atol=1e-5))

    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(work, range(4)))


# ---------------------------------------------------------------- life and death


def test_a_closed_embedder_says_so(fresh, kit):
    embedder = fresh("plain")
    embedder.close()
    embedder.close()
    with pytest.raises(EmbedderError, match=r"acme/plain.*closed"):
        embedder.encode(kit.ask("text"))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_a_forked_child_is_refused_instead_of_hanging(opened, kit):
    embedder = opened("plain")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        child = os.fork()
    if child == 0:
        signal.alarm(30)  # ends it if it hangs
        try:
            embedder.encode(kit.ask("text"))
        except EmbedderError as error:
            os._exit(42 if "spawn" in str(error) else 1)
        finally:
            os._exit(2)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 42
