"""Vectors that have no direction: of zeros, or so short or long that a database's float32 cannot compare them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np
import pytest

from nestvec import AsyncNestvec, Document, Nestvec
from nestvec._caching.answer import _read
from nestvec._caching.values import pack
from nestvec.contract import Encode, Encoded, Group
from nestvec.encoding.vectors import check_vectors, finish, without_direction
from nestvec.errors import EmbedderInvalidReply, IngestFailed, InvalidInput
from nestvec.runtime import Runtime
from nestvec_testing.recording import RecordingEmbedder, RecordingOptions, capabilities

BAD = "faulty"
FACTORS = {"zeros": 0.0, "denormal": 1e-40, "far too short": 1e-25, "far too long": 1e25}
WORDS = "no direction"


class Faulty(RecordingEmbedder):
    """Answers texts with a certain word in them with vectors that are scaled to nothing, or far beyond everything."""

    def __init__(self, factor: float = 0.0) -> None:
        super().__init__(RecordingOptions(batch=4))
        self.factor = factor

    def encode(self, request: Encode) -> Encoded:
        reply = super().encode(request)
        rows = []
        for group, vectors in zip(request.groups, reply.vectors, strict=True):
            assert vectors is not None
            scale = [[self.factor if BAD in text else 1.0] for text in group.texts()]
            rows.append((vectors * np.array(scale)).astype(np.float32))
        return replace(reply, vectors=tuple(rows))


@pytest.fixture(params=FACTORS.values(), ids=FACTORS)
def docs(request: pytest.FixtureRequest, open_docs: Callable[..., Nestvec]) -> Nestvec:
    nv = open_docs(fields={"lang": "keyword"})
    nv._connections.embedders.put("model", Faulty(request.param))
    return nv


def documents() -> Iterator[Document]:
    """Twelve, of which two hold a text that the embedder fails on; one has a good chunk, too."""
    for number in range(12):
        text = f"text {number}" if number not in (3, 7) else f"text {number} is {BAD}"
        yield Document(f"d{number}", f"{'good words ' * 100}\n\n{text}" if number == 7 else text)


def test_such_documents_fail_alone(docs: Nestvec) -> None:
    report = docs["docs"].upsert(documents(), on_failure="report")
    assert {failure.document_id for failure in report.failed} == {"d3", "d7"}
    assert all(WORDS in failure.error and failure.document_id in failure.error for failure in report.failed)  # type: ignore[operator]
    assert (report.documents, docs["docs"].count(chunks=False)) == (10, 10)
    assert docs["docs"].get("d7") is None, "its good chunk is not there either"
    with pytest.raises(IngestFailed, match=WORDS):
        docs["docs"].upsert([Document("d3", BAD)])


def test_such_a_document_stays_what_it_was(docs: Nestvec) -> None:
    docs["docs"].upsert([Document("a", "first")])
    docs["docs"].upsert([Document("a", BAD)], on_failure="report")
    (kept,) = [docs["docs"].get("a")]
    assert kept is not None
    assert kept.text == "first"


@pytest.mark.parametrize("ask", ["search", "embed", "client's embed", "dimensions"])
def test_such_a_question_is_an_error(docs: Nestvec, ask: str) -> None:
    docs["docs"].upsert([Document("a", "first")])
    texts = [f"{BAD} {number}" for number in range(300)]
    calls: dict[str, Callable[[], object]] = {
        "search": lambda: docs["docs"].search(BAD),
        "embed": lambda: docs["docs"].embed([BAD]),
        "client's embed": lambda: docs.embed(["good", BAD]),
        "dimensions": lambda: docs.dimensions(texts=texts, embedder="model"),
    }
    with pytest.raises(EmbedderInvalidReply, match=WORDS):
        calls[ask]()


def test_nesting_learns_nothing_from_such_texts(open_docs: Callable[..., Nestvec]) -> None:
    nv = open_docs(embedder={"matryoshka": False}, dimensions=64)
    nv._connections.embedders.put("model", Faulty())
    with pytest.raises(EmbedderInvalidReply, match=WORDS):
        nv.nest(texts=[f"{BAD} {number}" for number in range(300)], embedder="model")


def test_late_chunking_fails_the_document_too(open_docs: Callable[..., Nestvec]) -> None:
    nv = open_docs(late_chunking=True)
    nv._connections.embedders.put("model", Faulty())
    report = nv["docs"].upsert(documents(), on_failure="report")
    assert {failure.document_id for failure in report.failed} == {"d3", "d7"}


def test_the_asynchronous_client_does_the_same(open_docs: Callable[..., Nestvec], runtime: Runtime) -> None:
    config = open_docs().config

    async def ingest() -> set[str | None]:
        async with AsyncNestvec(config, runtime) as nv:
            nv._connections.embedders.put("model", Faulty())
            await nv.apply()
            report = await nv["docs"].upsert(documents(), on_failure="report")
            with pytest.raises(EmbedderInvalidReply, match=WORDS):
                await nv["docs"].search(BAD)
            return {failure.document_id for failure in report.failed}

    assert asyncio.run(ingest()) == {"d3", "d7"}


def test_a_prefix_that_lost_its_direction_is_a_failure() -> None:
    model = replace(capabilities(RecordingOptions(dimensions=4)), rotation="0" * 16)
    rows = np.array([[1, 0, 0, 0], [0, 0, 0, 1]], np.float32)
    groups = (Group("a", "x", ((0, 1),)), Group("b", "y", ((0, 1),)))
    request = Encode(groups, None, 2)
    reply = finish(request, Encoded((rows[:1], rows[1:])), model, np.eye(4, dtype=np.float32))
    assert [rows is None for rows in reply.vectors] == [False, True]
    (failure,) = reply.failures
    assert (failure.group, failure.span) == (1, 0)
    assert "'b'" in str(failure.error)


def test_a_cached_vector_of_zeros_counts_as_missing() -> None:
    zeros, ones = np.zeros(8, np.float32), np.eye(8, dtype=np.float32)[7]
    model = capabilities(RecordingOptions(dimensions=8))
    found = [pack(b"a", zeros), pack(b"b", ones)]
    assert _read([b"a", b"b"], found, 8, model)[1] == [False, True]
    assert _read([b"a", b"b"], found, 4, model)[1] == [False, False], "nor has its prefix a direction"


def test_vectors_to_search_with(open_docs: Callable[..., Nestvec]) -> None:
    docs = open_docs()["docs"]
    for factor in FACTORS.values():
        with pytest.raises(InvalidInput, match=WORDS):
            docs.search_vectors(np.full((2, 32), factor, np.float32))


def test_what_has_a_direction() -> None:
    rows = np.ones((6, 16)) * np.array([[1.0], [1e-9], [1e9], [0.0], [np.nan], [np.inf]])
    assert list(without_direction(rows.astype(np.float32))) == [False, False, False, True, True, True]
    check_vectors(np.zeros((1, 4), np.float32), 1, 4, "m")  # its group fails, not the whole reply
