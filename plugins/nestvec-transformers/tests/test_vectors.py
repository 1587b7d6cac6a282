"""Vectors are those of the model: equal to a computation that knows nothing of nestvec."""

from __future__ import annotations

from pathlib import Path
from runpy import run_path

import numpy as np
import pytest

reference = run_path(str(Path(__file__).with_name("reference.py")))
CLOSE = 1e-5


def off(one, other):
    return float(np.abs(one - other).max())


@pytest.mark.parametrize("task", ["retrieval.query", "retrieval.passage", "text-matching", "classification", None])
def test_plain(embedder, tiny, kit, task):
    wanted = reference["plain"](tiny, task, kit.TEXTS)
    assert off(kit.rows(embedder, *kit.TEXTS, task=task), wanted) < CLOSE
    assert wanted.shape == (len(kit.TEXTS), 1024)


def test_every_task_has_vectors_of_its_own(embedder, kit):
    by_task = {task: kit.rows(embedder, kit.TEXTS[0], task=task) for task in (*kit.TASKS, None)}
    for one, rows in by_task.items():
        for other, others in by_task.items():
            assert one == other or off(rows, others) > 0.01, (one, other)


def test_tasks_do_not_rub_off_on_each_other(embedder, kit):
    """From base to adapter and back, in every order: switching leaves nothing behind."""
    first = {task: kit.rows(embedder, kit.TEXTS[0], task=task) for task in (*kit.TASKS, None)}
    for task in (None, "separation", None, None, "retrieval.query", "separation", "retrieval.passage"):
        assert off(kit.rows(embedder, kit.TEXTS[0], task=task), first[task]) == 0.0, task


def test_the_first_call_without_a_task_finds_no_adapter_switched_on(open_embedder, tiny, kit):
    assert off(kit.rows(open_embedder(), "short", task=None), reference["plain"](tiny, None, ["short"])) < CLOSE


@pytest.mark.parametrize("dimensions", [1, 32, 300, 1024])
def test_shorter_vectors_are_renormalised_beginnings(embedder, tiny, kit, dimensions):
    rows = kit.rows(embedder, *kit.TEXTS, dimensions=dimensions)
    assert rows.dtype == np.float32
    assert off(rows, reference["plain"](tiny, "retrieval.passage", kit.TEXTS, dimensions)) < CLOSE


@pytest.mark.parametrize("settings", [{"batch": 1}, {"batch": 3}, {"batch_tokens": 40}, {"batch": 512}])
def test_batches_do_not_matter(embedder, open_embedder, kit, settings):
    texts = [*kit.TEXTS, *(" ".join(kit.document(n, n)) for n in range(1, 6))]
    alone = np.concatenate([kit.rows(embedder, text) for text in texts])
    other = open_embedder(**settings)
    assert off(kit.rows(other, *texts), alone) < CLOSE
    assert off(kit.rows(other, *texts[::-1])[::-1], alone) < CLOSE


def test_chunks_of_a_document_are_embedded_each_on_its_own(embedder, kit):
    together = kit.rows(embedder, kit.group("one", *kit.TEXTS))
    assert off(together, kit.rows(embedder, *kit.TEXTS)) < CLOSE


def test_half_the_numbers_say_nearly_the_same(embedder, open_embedder, kit):
    half = kit.rows(open_embedder(dtype="bfloat16"), *kit.TEXTS)
    assert half.dtype == np.float32
    assert np.allclose(np.linalg.norm(half, axis=1), 1, atol=1e-6)
    exact = kit.rows(embedder, *kit.TEXTS)
    assert 0 < off(half, exact) < 0.01
    assert (half * exact).sum(axis=1).min() > 0.999


def test_usage(embedder, kit):
    reply = embedder.encode(kit.ask("short", "short", task=None))
    count = embedder.count_tokens()("short")
    assert (reply.usage.tokens, reply.usage.requests, reply.usage.windows) == (2 * (count + 2), 1, 0)


def test_nothing_and_groups_of_nothing(embedder, kit):
    assert embedder.encode(kit.ask()).vectors == ()
    for late in (False, True):
        reply = embedder.encode(kit.ask(kit.group("empty"), "short", late=late))
        assert [rows.shape for rows in reply.vectors] == [(0, 1024), (1, 1024)]
