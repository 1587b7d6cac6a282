"""Vectors that come with documents: whose they are is said, they are checked, kept apart, and come out again."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from nestvec import Chunk, Document
from nestvec._chunking import Splitter
from nestvec._client import Nestvec, aconnect, connect
from nestvec._client.ingestion import Intake
from nestvec._documents.upsert import prepare
from nestvec.errors import HostMismatch, IngestFailed, InvalidInput, SpaceMismatch
from nestvec.runtime import Runtime
from nestvec_testing.data import words

Open = Callable[..., Nestvec]
PASSAGE = "retrieval.passage"
LONG = "one two three four five six seven eight"
SMALL = {"chunking": {"size": 20}}


def opened(open_docs: Open, **settings: Any) -> Any:
    return open_docs(**{**SMALL, **settings})["docs"]


def made(docs: Any, *texts: str) -> Any:
    """What the collection's embedder makes of texts."""
    return docs._owner.embed(list(texts), task=docs.space.index_task, dimensions=docs.space.dimensions)


def asked(docs: Any) -> int:
    """How often the embedder was asked since the last time."""
    requests = docs._owner.embedder("model").requests
    count = len(requests)
    requests.clear()
    return count


def stored(docs: Any, key: str) -> Any:
    """The vectors of a document, chunk by chunk."""
    (found,) = docs.get_many([key], vectors=True)
    return found.vector[None] if found.chunks is None else np.stack([chunk.vector for chunk in found.chunks])


def failures(docs: Any, *documents: Document, **how: Any) -> list[str]:
    report = docs.upsert(documents, on_failure="report", **{"vectors_from": docs.space.fingerprint, **how})
    return [failure.error for failure in report.failed]


# ---------------------------------------------------------------- values


def test_vectors_become_float32_and_do_not_disturb_comparing() -> None:
    one, other = Document("a", "text", vector=[1, 2]), Document("a", "text", vector=np.array([3.0, 4.0]))
    assert one.vector.dtype == other.vector.dtype == np.float32
    assert one == other == Document("a", "text")
    assert hash(Chunk("x", [1.0])) == hash(Chunk("x"))
    assert "array" not in repr(Document("a", "t", vector=np.zeros(4), chunks=[Chunk("t", np.zeros(4))]))
    again = pickle.loads(pickle.dumps(Document("a", chunks=[Chunk("t", [1.0, 2.0], (0, 1))])))
    assert again.chunks[0].vector.tolist() == [1, 2]
    rows = np.ones((2, 3), np.float32)
    assert np.shares_memory(Document("a", "t", vector=rows[0]).vector, rows)


# ---------------------------------------------------------------- in


def test_a_document_with_a_vector_is_one_chunk_and_nothing_is_embedded(open_docs: Open) -> None:
    docs = opened(open_docs)
    vector = made(docs, LONG)[0]
    asked(docs)
    report = docs.upsert(Document("a", LONG, {"n": 1}, vector), vectors_from=docs.space.fingerprint)
    assert (report.documents, report.given, report.embedded, report.unchanged, report.chunks) == (1, 1, 0, 0, 1)
    assert not asked(docs)
    assert docs.count(chunks=True) == 1
    found = docs.get("a", vectors=True)
    assert (found.text, found.metadata, found.chunks) == (LONG, {"n": 1}, None)
    np.testing.assert_array_equal(found.vector, vector)
    assert docs.search(vector=vector)[0].score == pytest.approx(1, abs=1e-5)


def test_chunks_are_kept_as_they_come_and_those_without_a_vector_are_embedded(open_docs: Open) -> None:
    docs = opened(open_docs)
    vector = made(docs, "second part")[0]
    chunks = [Chunk("first part, which would be split in two"), Chunk("second part", vector)]
    report = docs.upsert(Document("a", chunks=chunks), vectors_from=docs.space.fingerprint)
    assert (report.given, report.embedded, report.chunks) == (1, 1, 2)
    found = docs.get("a", vectors=True)
    assert [chunk.text for chunk in found.chunks] == [chunk.text for chunk in chunks]
    assert found.text == "\n\n".join(chunk.text for chunk in chunks)
    np.testing.assert_allclose(stored(docs, "a"), made(docs, *(chunk.text for chunk in chunks)), atol=1e-6)
    hit = docs.search("second part", vectors=True, limit=1)[0]
    assert found.text[slice(*hit.span)] == hit.text


def test_chunks_alone_need_nobody_to_vouch(open_docs: Open) -> None:
    docs = opened(open_docs)
    chunks = [Chunk("a b"), Chunk("c d")]
    assert docs.upsert(Document("a", chunks=chunks)).embedded == 2
    assert docs.upsert(Document("a", chunks=chunks)).unchanged == 2
    assert docs.upsert(Document("a", chunks=[Chunk("a b"), Chunk("c e")])).embedded == 1  # the other is kept


@pytest.mark.parametrize(
    ("text", "chunks", "spans"),
    [
        ("ab cd ab", [Chunk("ab"), Chunk("cd"), Chunk("ab")], [(0, 2), (3, 5), (6, 8)]),
        ("abcabc", [Chunk("abca"), Chunk("bcab"), Chunk("abc")], [(0, 4), (1, 5), (3, 6)]),
        ("ab ab", [Chunk("ab"), Chunk("ab")], [(0, 2), (3, 5)]),
        ("abc", [Chunk("x: abc")], [(0, 6)]),
        (None, [Chunk("ab"), Chunk("cd")], [(0, 2), (4, 6)]),
        ("abcd", [Chunk("head: ab", None, (0, 2)), Chunk("cd", None, (2, 4))], [(0, 2), (2, 4)]),
    ],
)
def test_where_chunks_are_is_said_or_found_or_counted(open_docs: Open, text: Any, chunks: Any, spans: Any) -> None:
    docs = opened(open_docs)
    docs.upsert(Document("a", text, chunks=chunks))
    rows = sorted(
        (row.system["chunk"], row.system["start"], row.system["end"], row.text) for row in docs.matrix().records
    )
    assert [(start, end) for _, start, end, _ in rows] == spans
    assert [text for *_, text in rows] == [chunk.text for chunk in chunks]


def test_columns_are_stored_in_bulk(open_docs: Open) -> None:
    docs = opened(open_docs, fields={"n": "integer"})
    texts = [words(4, seed=i) for i in range(600)]
    vectors = made(docs, *texts)
    asked(docs)
    how = {"metadata": [{"n": i} for i in range(600)], "vectors_from": docs.space.fingerprint}
    reports: list[Any] = []
    report = docs.upsert_records(np.arange(600), texts, vectors.astype(np.float64) * 3, progress=reports.append, **how)
    assert (report.given, len(reports), asked(docs)) == (600, 3, 0)
    assert docs.get(7).metadata == {"n": 7}
    np.testing.assert_allclose(stored(docs, "7")[0], vectors[7], atol=1e-6)


@pytest.mark.parametrize(
    ("columns", "told"),
    [
        ((["a"], ["x", "y"], np.ones((2, 32))), "1 ids for 2 vectors"),
        ((["a", "b"], ["x"], np.ones((2, 32))), "1 texts for 2 vectors"),
        ((["a", "b"], ["x", "y"], np.ones((2, 32)), [{}]), "1 metadata for 2 vectors"),
        ((["a", "b"], ["x", "y"], np.ones(32)), "shape (32,)"),
        ((["a", "b"], ["x", "y"], [[1.0], [1.0, 2.0]]), "shape (documents, dimensions)"),
        ((["a"], ["x"], [["1"]]), "array of numbers"),
        ((["a"], "x", np.ones((1, 32))), "texts must be a list"),
    ],
)
def test_columns_that_do_not_fit_are_refused(open_docs: Open, columns: Any, told: str) -> None:
    docs = opened(open_docs)
    with pytest.raises(InvalidInput, match=told.replace("(", r"\(").replace(")", r"\)")):
        docs.upsert_records(*columns, vectors_from=docs.space.fingerprint)
    assert docs.count() == 0


# ---------------------------------------------------------------- checks, document by document


def test_each_bad_vector_is_a_failure_of_its_document_alone(open_docs: Open) -> None:
    docs = opened(open_docs)
    good = made(docs, "good")[0]
    bad = {
        "size": (good[:5], "5 numbers; collection 'docs' holds vectors of 32 dimensions"),
        "full": (np.ones(64), "give the first 32 numbers, scaled to length 1"),
        "nan": (np.full(32, np.nan), "NaN or infinity"),
        "huge": (np.full(32, 1e300), "NaN or infinity"),
        "zero": (np.zeros(32), "no direction"),
        "flat": (good[None], "shape (1, 32)"),
        "words": (["a", "b"], "not list"),
        "text": ("0.5", "not str"),
        "ragged": ([[1], [1, 2]], "not list"),
        "truth": ([True] * 32, "not list"),
    }
    told = failures(
        docs,
        *(Document(key, "text", vector=value) for key, (value, _) in bad.items()),
        Document("ok", "good", vector=good),
    )
    assert len(told) == len(bad)
    for (key, (_, reason)), error in zip(bad.items(), told, strict=True):
        assert reason in error, error
        assert repr(key) in error
    assert docs.count() == 1


def test_bad_chunks_are_failures(open_docs: Open) -> None:
    docs = opened(open_docs)
    vector = made(docs, "x")[0]
    bad = {
        "both": (Document("both", "t", vector=vector, chunks=[Chunk("t")]), "chunks and a vector of its own"),
        "none": (Document("none", "t", chunks=[]), "one or more"),
        "strings": (Document("strings", "t", chunks=["t"]), "one or more"),  # type: ignore[list-item]
        "blank": (Document("blank", chunks=[Chunk(" ")]), "neither a text nor a vector"),
        "kind": (Document("kind", chunks=[Chunk(5, vector)]), "must be a string"),  # type: ignore[arg-type]
        "surrogate": (Document("surrogate", "t", chunks=[Chunk("\ud800", vector)]), "lone surrogate"),
        "half": (
            Document("half", "ab", chunks=[Chunk("a", None, (0, 1)), Chunk("b")]),
            "some of its chunks have spans",
        ),
        "far": (Document("far", "ab", chunks=[Chunk("a", None, (0, 3))]), "0 <= start <= end <= 2"),
        "odd": (Document("odd", "ab", chunks=[Chunk("a", None, (1.0, 2))]), "a span is"),  # type: ignore[arg-type]
        "inside": (
            Document("inside", chunks=[Chunk("a"), Chunk("b", vector[:3])]),
            "chunk 1: its vector has 3 numbers",
        ),
    }
    told = failures(docs, *(document for document, _ in bad.values()))
    for (key, (_, reason)), error in zip(bad.items(), told, strict=True):
        assert reason in error, error
        assert repr(key) in error
    assert docs.count() == 0


def test_a_blank_text_may_have_a_vector(open_docs: Open) -> None:
    docs = opened(open_docs)
    rows = made(docs, "x", "y", "z")
    documents = [
        Document("a", "", vector=rows[0]),
        Document("b", None, vector=rows[1]),
        Document("c", chunks=[Chunk("", rows[2])]),
    ]
    assert failures(docs, *documents) == []
    assert [found.text for found in docs.get_many(["a", "b", "c"])] == ["", "", ""]


@pytest.mark.parametrize("metric", ["cosine", "dot", "euclidean"])
def test_what_is_stored_has_length_1_where_the_space_has(open_docs: Open, metric: str) -> None:
    docs = opened(open_docs, metric=metric)
    vector = made(docs, "x")[0]
    docs.upsert_records(["a", "b"], ["x", "x"], np.stack([vector * 7, vector]), vectors_from=docs)
    for key in "ab":
        assert np.linalg.norm(stored(docs, key)) == pytest.approx(1, abs=1e-6)
    np.testing.assert_array_equal(stored(docs, "b")[0], vector)  # bit for bit


def test_vectors_of_length_1_stay_what_they_are_bit_for_bit(open_docs: Open) -> None:
    docs = opened(open_docs)
    texts = [words(3, seed=i) for i in range(100)]
    vectors = made(docs, *texts) * np.float32(1 + 2e-7)  # as somebody else's arithmetic rounds
    docs.upsert_records(range(100), texts, vectors, vectors_from=docs)
    found = docs.get_many(range(100), vectors=True)
    np.testing.assert_array_equal(np.stack([each.vector for each in found]), vectors)


def test_what_was_read_out_goes_in_again_bit_for_bit(open_docs: Open) -> None:
    """Vectors that an embedder sent in float16 have other lengths than 1, and stay as they came."""
    docs = opened(open_docs)
    texts = [words(3, seed=i) for i in range(50)]
    vectors = made(docs, *texts).astype(np.float16).astype(np.float32)
    assert np.abs(np.linalg.norm(vectors, axis=1) - 1).max() > 1e-5
    docs.upsert_records(range(50), texts, vectors, vectors_from=docs)
    found = docs.get_many(range(50), vectors=True)
    np.testing.assert_array_equal(np.stack([each.vector for each in found]), vectors)


# ---------------------------------------------------------------- whose they are


def test_vectors_that_nobody_vouches_for_are_refused(open_docs: Open) -> None:
    docs = opened(open_docs)
    for document in (Document("a", "x", vector=np.ones(32)), Document("a", chunks=[Chunk("x", np.ones(32))])):
        with pytest.raises(InvalidInput, match=r"(?s)'a' has a vector.*fingerprint.*embedder.*\"measure\""):
            docs.upsert(document)
    assert docs.count() == 0


def test_whose_they_are_is_told_by_fingerprint_space_or_embedder(open_docs: Open) -> None:
    docs = opened(open_docs)
    vector = made(docs, "x")[0]
    own = docs._owner.embedder("model")
    for number, who in enumerate(
        [docs.space.fingerprint, docs.space, docs, own, SimpleNamespace(capabilities=docs.spec.model)]
    ):
        assert docs.upsert(Document(number, "x", vector=vector), vectors_from=who).given == 1


def test_another_space_is_refused_by_name(open_docs: Open) -> None:
    docs = opened(open_docs)
    vector, other = made(docs, "x")[0], replace(docs.space, index_task="text-matching")
    for who in (other.fingerprint, other, SimpleNamespace(capabilities=replace(docs.spec.model, model="other"))):
        with pytest.raises(SpaceMismatch, match=docs.space.fingerprint) as caught:
            docs.upsert(Document("a", "x", vector=vector), vectors_from=who)
        assert caught.value.differences
    for nonsense in ("docs", 5, object(), [1]):
        with pytest.raises(InvalidInput, match="fingerprint"):
            docs.upsert(Document("a", "x", vector=vector), vectors_from=nonsense)
    assert docs.count() == 0


def test_a_nested_models_own_vectors_are_not_those_that_are_stored(open_docs: Open) -> None:
    docs = opened(open_docs, dimensions=64, embedder={"rotation": "r-reversed"})
    with pytest.raises(InvalidInput, match="nested"):
        docs.upsert(Document("a", "x", vector=np.ones(64)), vectors_from=docs._owner.embedder("model"))


def test_an_embedder_that_may_not_embed_here_vouches_for_nothing(runtime: Runtime) -> None:
    def client(**embedder: Any) -> Nestvec:
        values = {
            "backends": {"store": {"use": "memory", "store": "vouching"}},
            "embedders": {"model": {"use": "recording", **embedder}},
            "collections": {"docs": {"dimensions": 32, **SMALL}},
        }
        return connect(values, runtime)

    with client(host="one") as first, client(host="two", skew="prompt") as second:
        first.apply()
        first["docs"].upsert(Document("a", "x"))
        docs: Any = second["docs"]
        for who in (second.embedder("model"), "measure"):
            with pytest.raises(HostMismatch, match="holds vectors of host 'one'"):
                docs.upsert(Document("b", "x", vector=made(docs, "x")[0]), vectors_from=who)
        assert docs.count() == 1


def test_measured_vectors_are_taken_where_they_agree(open_docs: Open) -> None:
    docs = opened(open_docs)
    events: list[Any] = []
    docs._sessions[0].notify = events.append
    texts = [words(5, seed=i) for i in range(300)]
    vectors = made(docs, *texts)
    asked(docs)
    report = docs.upsert_records(range(300), texts, vectors, vectors_from="measure")
    assert (report.given, report.usage.requests, asked(docs)) == (300, 1, 1)
    (measured,) = [event for event in events if event.name == "vectors_measured"]
    assert measured.data["chunks"] == 8
    assert measured.data["least"] == pytest.approx(1)


@pytest.mark.parametrize("stream", [False, True])
def test_measured_vectors_of_another_kind_are_refused_and_nothing_is_written(open_docs: Open, stream: bool) -> None:
    docs = opened(open_docs, embedder={"host": "here"})
    texts = [words(5, seed=i) for i in range(600)]
    asking = docs._owner.embed(texts, task="retrieval.query", dimensions=32)
    documents = [Document(i, text, vector=row) for i, (text, row) in enumerate(zip(texts, asking, strict=True))]
    with pytest.raises(HostMismatch, match=r"(?s)least cosine 0\.\d+.*None of them was written") as caught:
        docs.upsert(iter(documents) if stream else documents, vectors_from="measure")
    assert caught.value.least < 0.995
    assert docs.count() == 0
    assert docs.hosts() == {}  # it left no canaries, either


def test_the_sample_is_of_all_documents_that_are_there(open_docs: Open) -> None:
    docs = opened(open_docs)
    texts = [words(5, seed=i) for i in range(600)]
    vectors = made(docs, *texts)
    vectors[300:] = vectors[300:][::-1]
    with pytest.raises(HostMismatch):
        docs.upsert_records(range(600), texts, vectors, vectors_from="measure")
    assert docs.count() == 0


def test_without_any_text_there_is_nothing_to_measure_by(open_docs: Open) -> None:
    docs = opened(open_docs)
    with pytest.raises(InvalidInput, match="cannot be measured"):
        docs.upsert(Document("a", "", vector=np.ones(32)), vectors_from="measure")


def test_late_chunked_vectors_are_measured_within_their_document(open_docs: Open) -> None:
    docs = opened(open_docs, late_chunking=True, embedder={"model": "recording-v3"})
    docs.upsert(Document("a", LONG))
    whole = docs.get("a", vectors=True)
    assert len(whole.chunks) > 1
    assert docs.upsert(replace(whole, id="b"), vectors_from="measure").given == len(whole.chunks)
    alone = made(docs, *(chunk.text for chunk in whole.chunks))
    apart = [replace(chunk, vector=row) for chunk, row in zip(whole.chunks, alone, strict=True)]
    with pytest.raises(HostMismatch):
        docs.upsert(Document("c", whole.text, chunks=apart), vectors_from="measure")


# ---------------------------------------------------------------- late chunking


def test_late_chunking_takes_all_vectors_of_a_document_or_none(open_docs: Open) -> None:
    docs = opened(open_docs, late_chunking=True)
    row = made(docs, "x")[0]
    mixed = Document("m", "ab cd", chunks=[Chunk("ab", row), Chunk("cd")])
    strange = Document("s", "ab cd", chunks=[Chunk("title: ab"), Chunk("cd")])
    back = Document("b", "ab cd", chunks=[Chunk("cd", None, (3, 5)), Chunk("ab", None, (0, 2))])
    told = failures(docs, mixed, strange, back)
    assert ["have vectors and others not" in told[0], "within their document" in told[1], "order" in told[2]] == [
        True
    ] * 3
    parts = Document("p", "ab cd", chunks=[Chunk("ab "), Chunk("cd")])
    assert docs.upsert(parts).embedded == 2
    given = docs.get("p", vectors=True)
    assert docs.upsert(given, vectors_from=docs).given == 2
    docs.upsert(parts)
    np.testing.assert_allclose(stored(docs, "p"), np.stack([chunk.vector for chunk in given.chunks]))


# ---------------------------------------------------------------- again


def test_the_same_vector_is_unchanged_and_another_one_is_written(open_docs: Open) -> None:
    docs = opened(open_docs)
    one, two = made(docs, "x", "y")
    write = lambda vector: docs.upsert(Document("a", "x", vector=vector), vectors_from=docs)  # noqa: E731
    assert write(one).given == 1
    assert (write(one).unchanged, write(one * 4).unchanged) == (1, 1)
    assert write(two).given == 1
    np.testing.assert_array_equal(stored(docs, "a")[0], two)


def test_a_text_alone_is_embedded_anew_over_a_vector_that_was_given(open_docs: Open) -> None:
    docs = opened(open_docs)
    wrong = made(docs, "something else")[0]
    docs.upsert([Document("a", "short", vector=wrong), Document("b", LONG, vector=wrong)], vectors_from=docs)
    report = docs.upsert([Document("a", "short"), Document("b", LONG)])
    assert (report.unchanged, report.given) == (0, 0)
    assert report.embedded == docs.count(chunks=True) > 2
    np.testing.assert_allclose(stored(docs, "a"), made(docs, "short"), atol=1e-6)


def test_a_vector_that_was_given_is_never_taken_for_an_embedded_one(open_docs: Open) -> None:
    docs = opened(open_docs)
    wrong = made(docs, "something else")[0]
    docs.upsert(Document("a", chunks=[Chunk("p q", wrong), Chunk("r s")]), vectors_from=docs)
    report = docs.upsert(Document("a", chunks=[Chunk("p q"), Chunk("r s")]))
    assert (report.embedded, report.unchanged) == (1, 1)
    np.testing.assert_allclose(stored(docs, "a"), made(docs, "p q", "r s"), atol=1e-6)


def test_equal_texts_of_a_document_keep_their_own_vectors(open_docs: Open) -> None:
    docs = opened(open_docs)
    one, two, three = made(docs, "x", "y", "same")
    docs.upsert(Document("a", chunks=[Chunk("same", one), Chunk("same", two), Chunk("same")]), vectors_from=docs)
    np.testing.assert_allclose(stored(docs, "a"), np.stack([one, two, three]), atol=1e-6)


def test_new_metadata_keep_the_vectors(open_docs: Open) -> None:
    docs = opened(open_docs)
    rows = made(docs, "x", "y")
    chunks = [Chunk("x", rows[0]), Chunk("y", rows[1]), Chunk("z")]
    docs.upsert(Document("a", chunks=chunks), vectors_from=docs)
    report = docs.upsert(Document("a", metadata={"n": 1}, chunks=chunks), vectors_from=docs)
    assert (report.given, report.unchanged, report.embedded) == (2, 1, 0)


def test_documents_without_vectors_have_the_hashes_that_they_always_had(open_docs: Open) -> None:
    docs = opened(open_docs)
    docs.upsert(Document("a", "short"))
    (record,) = docs.matrix().records
    assert record.system["document_hash"] == record.system["hash"] == "f9b0078b5df596d2ea19010c001bbd00"
    assert record.system["layout"] == docs.spec.layout


def test_what_came_split_is_not_outdated(open_docs: Open) -> None:
    docs = opened(open_docs)
    docs.upsert([Document("a", chunks=[Chunk("x"), Chunk("y")]), Document("b", "x")])
    assert docs._owner.status("docs")[0].outdated == 0


# ---------------------------------------------------------------- out


def test_what_comes_out_can_go_in_again(open_docs: Open) -> None:
    docs = opened(open_docs)
    docs.upsert([Document("a", LONG, {"n": 1}), Document("b", "short")])
    before = docs.get_many(["a", "b"], vectors=True)
    assert before[0].chunks is not None
    assert before[1].vector is not None
    assert docs.get("a") == Document("a", LONG, {"n": 1})
    docs.delete(everything=True)
    asked(docs)
    report = docs.upsert(before, vectors_from=docs.space.fingerprint)
    assert (report.given, report.embedded, asked(docs)) == (docs.count(chunks=True), 0, 0)
    after = docs.get_many(["a", "b"], vectors=True)
    assert after == before
    np.testing.assert_array_equal(after[0].chunks[1].vector, before[0].chunks[1].vector)
    np.testing.assert_array_equal(after[1].vector, before[1].vector)
    assert docs.upsert(after, vectors_from=docs.space.fingerprint).given == 0


@pytest.mark.parametrize("by_document", [False, True])
def test_hits_have_their_vectors_for_one_more_request(open_docs: Open, by_document: bool) -> None:
    docs = opened(open_docs)
    docs.upsert([Document("a", LONG), Document("b", "short")])
    how = {"group_by_document": by_document}
    plain, hits = docs.search("short", **how), docs.search("short", vectors=True, **how)
    assert plain == hits
    assert all(hit.vector is None for hit in plain)
    query = docs.embed(["short"])[0]
    for hit in hits:
        assert float(hit.vector @ query) == pytest.approx(hit.score, abs=1e-5)
    assert docs.search_many(["short"], vectors=True, **how)[0][0].vector is not None
    assert docs.search_vector(query, vectors=True, **how)[0].vector is not None
    assert docs.search("short", vectors=True, limit=1, offset=50) == []


@pytest.mark.parametrize("times", [1, 9])
def test_a_hit_never_has_the_vector_of_another_version(open_docs: Open, times: int, monkeypatch: Any) -> None:
    docs = opened(open_docs)
    docs.upsert(Document("a", "version 0"))
    adapter = docs._owner.adapter("store")
    query, asked = adapter.query, 0

    def replacing(request: Any) -> Any:
        nonlocal asked
        found, asked = query(request), asked + 1
        if asked <= times:
            docs.upsert(Document("a", f"version {asked}"))
        return found

    monkeypatch.setattr(adapter, "query", replacing)
    (hit,) = docs.search("version", vectors=True)
    if times > 1:
        assert hit.vector is None
    else:
        assert (hit.text, asked) == ("version 1", 2)
        np.testing.assert_allclose(hit.vector, made(docs, hit.text)[0], atol=1e-6)


def test_a_question_is_a_text_or_a_vector(open_docs: Open) -> None:
    docs = opened(open_docs)
    docs.upsert(Document("a", "short"))
    query = docs.embed(["short"])[0]
    asked(docs)
    assert docs.search(vector=query) == docs.search_vector(query)
    assert not asked(docs)
    with pytest.raises(InvalidInput, match="not both"):
        docs.search("short", vector=query)
    with pytest.raises(InvalidInput, match="one of the two"):
        docs.search()


async def test_the_asynchronous_client_does_the_same(runtime: Runtime) -> None:
    values = {
        "backends": {"store": {"use": "memory"}},
        "embedders": {"model": {"use": "recording"}},
        "collections": {"docs": {"dimensions": 32, **SMALL}},
    }
    async with aconnect(values, runtime) as client:
        await client.apply()
        docs = client["docs"]
        texts = [LONG, "short"]
        vectors = await client.embed(texts, task=PASSAGE, dimensions=32)
        assert (await docs.upsert_records(["a", "b"], texts, vectors, vectors_from="measure")).given == 2
        with pytest.raises(HostMismatch):
            await docs.upsert_records(["c", "d"], texts, vectors[::-1], vectors_from="measure")
        found = await docs.get("a", vectors=True)
        assert (await docs.upsert(found, vectors_from=docs)).unchanged == 1
        hit = (await docs.search(vector=vectors[1], limit=1, vectors=True))[0]
        np.testing.assert_allclose(hit.vector, vectors[1], atol=1e-6)
        with pytest.raises(IngestFailed, match="5 numbers"):
            await docs.upsert(Document("e", "x", vector=np.ones(5)), vectors_from=docs)
        with pytest.raises(InvalidInput, match="vectors_from"):
            await docs.upsert(Document("e", "x", vector=np.ones(32)))


# ---------------------------------------------------------------- no embedder


def test_without_an_embedder_every_document_brings_its_vector_and_nobody_is_asked(open_docs: Open) -> None:
    docs = opened(open_docs)
    spec, splitter = replace(docs.spec, embedder="none"), Splitter(docs.spec.chunking)
    vector = made(docs, "x")[0]
    documents = [
        Document("a", "x"),
        Document("b", "x", vector=vector),
        Document("c", chunks=[Chunk("x", vector), Chunk("y")]),
    ]
    incoming = [Intake(spec).admit(document) for document in documents]
    prepared, failed = prepare(spec, splitter, [item for item in incoming if item is not None])
    assert [item.id for item in prepared] == ["b"]
    assert [failure.document_id for failure in failed] == ["a", "c"]
    assert "no embedder" in failed[0].error
    assert "chunk 1 has no vector" in failed[1].error
