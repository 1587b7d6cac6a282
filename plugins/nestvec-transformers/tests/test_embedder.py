"""The embedder around the model: what it refuses, how it is interrupted, shared and closed."""

from __future__ import annotations

import os
import socket
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch

from nestvec.errors import EmbedderError, EmbedderInvalidReply, EmbedderRefused, Unsupported
from nestvec_transformers.model import JinaV3


@pytest.fixture
def passes(monkeypatch):
    """The forward passes, as numbers of texts; `passes.before` is called before each, with its sequences."""

    class Passes(list):
        before = staticmethod(lambda sequences: None)

    seen, real = Passes(), JinaV3.vectors

    def vectors(self, sequences, task):
        seen.append(len(sequences))
        seen.before(sequences)
        return real(self, sequences, task)

    monkeypatch.setattr(JinaV3, "vectors", vectors)
    return seen


# ---------------------------------------------------------------- texts that cannot be embedded


@pytest.mark.parametrize("over", [0, 1])
def test_a_text_beyond_the_limit_fails_its_document_and_is_never_cut(open_embedder, kit, over):
    embedder = open_embedder(max_tokens=100)
    prompt = embedder.count_tokens()("Represent the document for retrieval:")
    text = "river " * (100 - 2 - prompt + over)
    reply = embedder.encode(kit.ask("short", kit.group("big", "the sea", text), "short"))
    assert [rows is None for rows in reply.vectors] == [False, bool(over), False]
    if over:
        (failure,) = reply.failures
        assert (failure.group, failure.span, type(failure.error)) == (1, 1, EmbedderRefused)
        assert str(failure.error) == (
            "document 'big': the text has 101 tokens, prompt and marks included; jina-embeddings-v3 takes 100 here; "
            "set a smaller chunking.size"
        )
    assert np.allclose(reply.vectors[0], kit.rows(embedder, "short"), atol=1e-5)


@pytest.mark.parametrize("late", [False, True])
def test_half_a_character_fails_its_document(embedder, kit, late):
    reply = embedder.encode(kit.ask(kit.group("bad", "the sea", "the \ud800 river"), "short", late=late))
    assert [rows is None for rows in reply.vectors] == [True, False]
    (failure,) = reply.failures
    assert (failure.span, type(failure.error)) == (1, EmbedderRefused)
    assert str(failure.error).startswith("document 'bad': the text has a lone surrogate")


def test_out_of_memory_makes_batches_smaller(open_embedder, embedder, passes, kit):
    def before(sequences):
        if len(sequences) > 2:
            raise torch.OutOfMemoryError("CUDA out of memory.")

    wanted = kit.rows(embedder, *kit.TEXTS)
    passes.clear()
    passes.before = before
    assert np.allclose(kit.rows(open_embedder(), *kit.TEXTS), wanted, atol=1e-5)
    assert passes[0] > 2
    assert max(passes[-3:]) <= 2


@pytest.mark.parametrize("late", [False, True])
def test_out_of_memory_for_one_text_names_its_document(open_embedder, passes, kit, late):
    def before(sequences):
        if max(len(each.ids) for each in sequences) > 100:
            raise torch.OutOfMemoryError("CUDA out of memory.")

    passes.before = before
    big = kit.group("big", "the sea ", "river " * 150)
    reply = open_embedder().encode(kit.ask("short", big, "the sea", late=late))
    assert [rows is None for rows in reply.vectors] == [False, True, False]
    (failure,) = reply.failures
    assert isinstance(failure.error, EmbedderRefused)
    assert str(failure.error).startswith("document 'big': the memory does not suffice for its 1")
    assert failure.span == (0 if late else 1)


def test_what_torch_raises_is_told_as_the_embedders_error(open_embedder, passes, kit):
    def before(sequences):
        raise RuntimeError("CUDA error: device-side assert triggered")

    passes.before = before
    with pytest.raises(EmbedderError, match=r"jina-embeddings-v3 failed on cpu: CUDA error: device-side") as caught:
        open_embedder().encode(kit.ask("short"))
    assert isinstance(caught.value.__cause__, RuntimeError)


def test_numbers_that_are_none_fail_their_document(open_embedder, kit):
    """As half precision gives them: the model overflows on one text."""
    embedder = open_embedder()
    (token,) = embedder._model.tokenizer.encode("river", add_special_tokens=False).ids
    with torch.no_grad():
        embedder._model._model.embeddings.word_embeddings.base_layer.weight[token] = float("nan")
    reply = embedder.encode(kit.ask("the sea", kit.group("bad", "the river")))
    assert [rows is None for rows in reply.vectors] == [False, True]
    assert isinstance(reply.failures[0].error, EmbedderInvalidReply)
    assert "document 'bad': jina-embeddings-v3 gave NaN or infinity in auto; set dtype" in str(reply.failures[0].error)


def test_a_task_that_the_model_does_not_have(embedder, kit):
    with pytest.raises(Unsupported, match=r"has no task 'retrieval.passages'; did you mean 'retrieval.passage'"):
        embedder.encode(kit.ask("short", task="retrieval.passages"))


# ---------------------------------------------------------------- interrupting, sharing, closing


@pytest.mark.parametrize("late", [False, True])
def test_it_is_interrupted_between_forward_passes(open_embedder, passes, kit, late):
    request = kit.ask(*["short"] * 20, late=late, cancelled=lambda: len(passes) >= 3)
    with pytest.raises(EmbedderError, match="interrupted"):
        open_embedder(batch=1).encode(request)
    assert passes == [1, 1, 1]


def test_threads_with_other_tasks_do_not_get_each_others_adapters(embedder, kit):
    tasks = [*kit.TASKS, None] * 6
    wanted = {task: kit.rows(embedder, *kit.TEXTS, task=task) for task in (*kit.TASKS, None)}
    with ThreadPoolExecutor(6) as pool:
        found = list(pool.map(lambda task: kit.rows(embedder, *kit.TEXTS, task=task), tasks))
    for task, rows in zip(tasks, found, strict=True):
        assert np.allclose(rows, wanted[task], atol=1e-5), task


def test_a_closed_embedder_says_so(open_embedder, kit):
    embedder = open_embedder()
    embedder.close()
    embedder.close()
    for use in (lambda: embedder.encode(kit.ask("short")), embedder.count_tokens):
        with pytest.raises(EmbedderError, match="closed; connect again"):
            use()


def test_it_shows_no_path(embedder):
    assert repr(embedder) == "<TransformersEmbedder jina-embeddings-v3 at tiny-0>"


def test_tokens_are_counted_without_prompt_and_marks(embedder):
    count = embedder.count_tokens()
    assert count("") == 0
    assert count("The river") + count("carries 東京") == count("The river carries 東京") > 4


def test_a_folder_is_opened_without_the_network(open_embedder, monkeypatch, kit):
    def refuse(*address):
        raise AssertionError(f"the network was asked: {address}")

    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.setattr(socket.socket, "connect", refuse)
    kit.rows(open_embedder(), "short")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_a_forked_child_is_refused_instead_of_hanging(embedder, open_embedder, kit):
    request = kit.ask("short")
    embedder.encode(request)

    def refused(use):
        try:
            use()
        except EmbedderError as error:
            return "spawn" in str(error)

    child = os.fork()
    if child == 0:
        try:
            os._exit(40 + refused(lambda: embedder.encode(request)) + refused(open_embedder))
        finally:
            os._exit(1)  # nothing of the tests goes on here
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 42
    assert len(embedder.encode(request).vectors) == 1
