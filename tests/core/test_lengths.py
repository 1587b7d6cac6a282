"""What is stored and asked has length 1 where the model says so, whatever its host does; what cannot have one fails."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nestvec import Document, Nestvec
from nestvec.contract import Encode, Encoded, EncodeFailure, Group
from nestvec.encoding.vectors import finish, fitting
from nestvec.errors import EmbedderInvalidReply, IngestFailed
from nestvec_testing.recording import RecordingEmbedder, RecordingOptions, capabilities

GROUP = Group("a", "text", ((0, 4),))
MODEL = capabilities(RecordingOptions(dimensions=8))


@pytest.fixture
def change(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[Group, Any], Any]], None]:
    """Have the embedder's host change its vectors."""
    plain = RecordingEmbedder.encode

    def install(how: Callable[[Group, Any], Any]) -> None:
        def encode(self: Any, request: Encode) -> Encoded:
            reply = plain(self, request)
            rows = (
                None if each is None else how(group, each)
                for group, each in zip(request.groups, reply.vectors, strict=True)
            )
            return Encoded(tuple(rows), reply.failures, reply.usage)

        monkeypatch.setattr(RecordingEmbedder, "encode", encode)

    return install


def test_a_host_that_does_not_renormalise_scores_no_more_than_one(
    open_docs: Callable[..., Nestvec], change: Callable[..., None]
) -> None:
    change(lambda group, rows: rows * np.float32(3 if "loud" in group.text else 0.4))
    for metric in ("dot", "cosine"):
        docs = open_docs(metric=metric)["docs"]
        docs.upsert([Document("loud", "loud words"), Document("low", "low words")])
        for hit in docs.search("loud words", limit=2):
            assert hit.score <= 1 + 1e-6
        stored = docs.get_many(["loud", "low"], vectors=True)
        assert np.linalg.norm([each.vector for each in stored], axis=1) == pytest.approx(1, abs=1e-6)


@pytest.mark.parametrize("bad", [0.0, np.nan, np.inf, 1e30])
def test_a_vector_that_cannot_have_a_length_is_the_failure_of_its_document(
    open_docs: Callable[..., Nestvec], change: Callable[..., None], bad: float
) -> None:
    change(lambda group, rows: np.full_like(rows, bad) if "broken" in group.text else rows)
    docs = open_docs()["docs"]
    with pytest.raises(IngestFailed, match="'bad'") as told:
        docs.upsert([Document("good", "sound words"), Document("bad", "broken words")])
    assert [each.document_id for each in told.value.report.failed] == ["bad"]
    assert docs.get("good") is not None
    with pytest.raises(EmbedderInvalidReply, match="no direction"):
        docs.search("broken question")


@given(st.sampled_from([np.float16, np.float32]), st.integers(0, 50))
def test_what_is_one_but_for_rounding_stays_bit_for_bit(kind: Any, seed: int) -> None:
    rows = np.random.default_rng(seed).normal(size=(4, 32))
    rows = (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(kind).astype(np.float32)
    assert fitting(0, GROUP, rows, MODEL) is rows


@given(st.floats(0.01, 100), st.integers(0, 50))
def test_everything_else_is_scaled_and_keeps_its_direction(factor: float, seed: int) -> None:
    rows = np.random.default_rng(seed).normal(size=(3, 8)).astype(np.float32) * np.float32(factor)
    found = fitting(0, GROUP, rows, MODEL)
    assert not isinstance(found, EncodeFailure)
    lengths = np.linalg.norm(rows.astype(np.float64), axis=1)
    assert np.abs(np.linalg.norm(found.astype(np.float64), axis=1) - 1).max() < 1.1e-3
    assert np.allclose(found * lengths[:, None], rows, rtol=2e-3, atol=1e-4 * factor)


def test_a_model_that_does_not_normalise_is_left_alone() -> None:
    from dataclasses import replace

    model = replace(MODEL, normalized=False)
    rows = np.full((1, 8), 2.0, np.float32)
    reply = finish(Encode((GROUP,), None, 8), Encoded((rows,)), model, None)
    assert (reply.vectors[0] == rows).all()


def test_a_query_vector_of_any_length_scores_no_more_than_one(open_docs: Callable[..., Nestvec]) -> None:
    docs = open_docs(metric="dot")["docs"]
    docs.upsert(Document("a", "some words"))
    (row,) = docs.embed(["some words"])
    assert docs.search(vector=row * 7)[0].score == pytest.approx(docs.search(vector=row)[0].score)
