"""Collections as arrays: page by page or in one piece, a row for each chunk or each document."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

import nestvec
from nestvec._client import Nestvec, aconnect
from nestvec._collections.opening import CollectionState, OpenCollection
from nestvec._documents.scroll import matrix
from nestvec._session.session import complete
from nestvec.contract import (
    Batch,
    CollectionInfo,
    Count,
    Create,
    Describe,
    Fetch,
    ReadNote,
    ResolveAlias,
    Scroll,
    SetAlias,
)
from nestvec.errors import CollectionError, InvalidInput, SpaceMismatch
from nestvec.filters import F
from nestvec.runtime import Runtime
from nestvec.types import DENSE, Document
from nestvec_testing.data import document, record, words
from nestvec_testing.memory import CAPABILITIES
from nestvec_testing.stepping import Asking, trace

SMALL = {"chunking": {"size": 60}}
SIZE = 1024
Open = Callable[..., Nestvec]


def filled(open_docs: Open, count: int = 12, **settings: Any) -> Any:
    docs = open_docs(fields={"year": "integer"}, **SMALL, **settings)["docs"]
    docs.upsert([document(f"d{i}", 6 + i % 3 * 20, seed=i, metadata={"year": i}) for i in range(count)])
    return docs


def lengths(rows: Any) -> Any:
    return np.linalg.norm(rows.astype(np.float64), axis=1)


# ---------------------------------------------------------------- what comes


def test_rows_and_columns_of_a_page_belong_together(open_docs: Open) -> None:
    docs = filled(open_docs)
    seen = 0
    for page in docs.scroll(page=5, vectors=True):
        assert isinstance(page, nestvec.Page)
        seen += len(page.records)
        assert page.vectors.shape == (len(page.records), 32)
        assert page.ids == [each.id for each in page.records]
        assert page.document_ids == [each.document_id for each in page.records]
        assert page.texts == [each.text for each in page.records]
        assert page.metadata == [each.metadata for each in page.records]
        embedded = docs._owner.embed(page.texts, task="retrieval.passage", dimensions=32)
        np.testing.assert_allclose(page.vectors, embedded, atol=1e-6)
    assert seen == docs.count(chunks=True) > docs.count()


def test_a_matrix_is_all_pages_in_their_order(open_docs: Open) -> None:
    docs = filled(open_docs)
    pages, found = list(docs.scroll(page=5, vectors=True)), docs.matrix()
    assert isinstance(found, nestvec.Matrix)
    assert found.records == tuple(each for page in pages for each in page.records)
    np.testing.assert_array_equal(found.vectors, np.concatenate([page.vectors for page in pages]))
    assert (found.vectors.dtype, found.vectors.flags.c_contiguous) == (np.float32, True)
    assert len(found) == len(found.ids) == len(found.texts) == len(found.metadata) == len(found.vectors)
    np.testing.assert_allclose(lengths(found.vectors), 1, atol=1e-6)


def test_a_matrix_is_the_callers_own(open_docs: Open) -> None:
    docs = filled(open_docs)
    docs.matrix().vectors[:] = 0
    np.testing.assert_allclose(lengths(docs.matrix().vectors), 1, atol=1e-6)


def test_a_matrix_of_what_matches(open_docs: Open) -> None:
    docs = filled(open_docs)
    found = docs.matrix(F.year >= 9)
    assert {each["year"] for each in found.metadata} == {9, 10, 11}
    assert len(found) == docs.count(F.year >= 9, chunks=True)
    nothing = docs.matrix(F.year > 99)
    assert (nothing.vectors.shape, nothing.vectors.dtype, nothing.records) == ((0, 32), np.float32, ())


def test_a_row_for_each_document(open_docs: Open) -> None:
    docs = filled(open_docs)
    chunks, found = docs.matrix(), docs.matrix(group_by_document=True)
    assert sorted(found.document_ids) == sorted(f"d{i}" for i in range(12))
    np.testing.assert_allclose(lengths(found.vectors), 1, atol=1e-6)
    for each, row in zip(found.records, found.vectors, strict=True):
        number = int(each.document_id[1:])
        assert each.text == words(6 + number % 3 * 20, number)
        assert (each.metadata, each.system) == ({"year": number}, {})
        own = chunks.vectors[np.array(chunks.document_ids) == each.document_id]
        assert (len(own) > 1) == (number % 3 > 0)
        mean = own.mean(axis=0)
        np.testing.assert_allclose(row, mean / np.linalg.norm(mean), atol=1e-6)


def test_a_mean_has_length_1_only_where_vectors_have(open_docs: Open) -> None:
    docs = filled(open_docs)
    docs.count()
    spec = replace(docs.spec, space=replace(docs.spec.space, normalized=False))
    state = replace(docs._among.live.state, spec=spec)
    found = complete(matrix(OpenCollection(state, docs._sessions[0]), group_by_document=True))
    chunks = docs.matrix()
    for each, row in zip(found.document_ids, found.vectors, strict=True):
        own = chunks.vectors[np.array(chunks.document_ids) == each]
        np.testing.assert_allclose(row, own.mean(axis=0), atol=1e-6)


def test_pages_of_documents(open_docs: Open) -> None:
    docs = filled(open_docs)
    pages = list(docs.scroll(F.year < 10, page=4, vectors=True, group_by_document=True))
    assert [page.vectors.shape for page in pages] == [(4, 32), (4, 32), (2, 32)]
    assert sorted(each for page in pages for each in page.document_ids) == sorted(f"d{i}" for i in range(10))
    (page,) = docs.scroll(group_by_document=True)
    assert page.vectors is None
    assert page.texts[0] == docs.get(page.document_ids[0]).text


def test_texts_that_are_not_stored_are_none(open_docs: Open) -> None:
    docs = filled(open_docs, store_text=False)
    assert set(docs.matrix().texts) == set(docs.matrix(group_by_document=True).texts) == {None}


def test_a_tenants_own(open_docs: Open) -> None:
    docs = open_docs(namespaces=True, **SMALL)["docs"]
    for tenant in ("acme", "other"):
        docs.namespace(tenant).upsert([document(f"{tenant}{i}", 30, seed=i) for i in range(3)])
    for grouped in (False, True):
        found = docs.namespace("acme").matrix(group_by_document=grouped)
        assert set(found.document_ids) == {"acme0", "acme1", "acme2"}


async def test_asynchronously(runtime: Runtime) -> None:
    values = {
        "backends": {"store": {"use": "memory"}},
        "embedders": {"model": {"use": "recording"}},
        "collections": {"docs": {"dimensions": 16, **SMALL}},
    }
    async with aconnect(values, runtime) as client:
        await client.apply()
        docs = client["docs"]
        await docs.upsert([document(f"d{i}", 30, seed=i) for i in range(5)])
        pages = [page async for page in docs.scroll(page=2, vectors=True, group_by_document=True)]
        found = await docs.matrix(group_by_document=True)
        assert [len(page.records) for page in pages] == [2, 2, 1]
        assert (await docs.embed(["text"])).shape == (1, 16)
        neighbours = await docs.search_vectors(found.vectors, limit=1, group_by_document=True)
        assert [hits[0].document_id for hits in neighbours] == found.document_ids
        assert (await docs.matrix()).vectors.shape == (await docs.count(chunks=True), 16)
        np.testing.assert_array_equal(found.vectors, np.concatenate([page.vectors for page in pages]))


def test_a_pages_vectors_find_their_neighbours(open_docs: Open) -> None:
    docs = filled(open_docs, 9)
    for page in docs.scroll(page=5, vectors=True):
        answers = docs.search_vectors(page.vectors, limit=3, threshold=0.2, where=F.year < 7)
        assert [len(hits) for hits in answers] != [0] * len(page.records)
        for row, hits in zip(page.vectors, answers, strict=True):
            assert hits == docs.search_vector(row, limit=3, threshold=0.2, where=F.year < 7)
    assert docs.search_vectors(np.zeros((0, 32), np.float32)) == []


# ---------------------------------------------------------------- new texts, to compare with them


@pytest.mark.parametrize(
    ("purpose", "task"),
    [
        ("retrieval", "retrieval.query"),
        ("matching", "text-matching"),
        ("clustering", "separation"),
        ("classification", "classification"),
    ],
)
def test_new_texts_are_embedded_as_questions_of_the_collection(open_docs: Open, purpose: str, task: str) -> None:
    client = open_docs(purpose=purpose)
    docs, texts = client["docs"], [words(6, seed) for seed in range(3)]
    docs.upsert([Document(str(i), text) for i, text in enumerate(texts)])
    made = docs.embed(texts)
    assert (made.dtype, made.shape) == (np.float32, (3, 32))
    assert client.embedder("model").requests[-1].task == task  # type: ignore[attr-defined]
    np.testing.assert_array_equal(made, client.embed(texts, task=task, dimensions=32))
    stored = docs.matrix()
    same = np.allclose(stored.vectors[np.argsort(stored.document_ids)], made, atol=1e-6)
    assert same == (purpose != "retrieval"), "with one task on both sides, a new text is embedded as a stored one"
    assert docs.embed([]).shape == (0, 32)
    assert docs.count() == 3


def test_new_texts_are_checked_like_questions(open_docs: Open) -> None:
    docs = open_docs()["docs"]
    for texts in ("a text", ["fine", " "], ["\ud800"], [None], None):
        with pytest.raises(InvalidInput):
            docs.embed(texts)  # type: ignore[arg-type]


def test_new_texts_of_another_space_are_refused_before_they_cost(open_docs: Open) -> None:
    client = open_docs()
    other = open_docs(apply=False, purpose="matching")
    other._connections.adapters.put("store", client.adapter("store"))
    with pytest.raises(SpaceMismatch, match="index_task"):
        other["docs"].embed(["text"])
    assert not other._connections.embedders.opened


# ---------------------------------------------------------------- while others write


def intercepted(docs: Any, method: str, act: Callable[[Any], None]) -> None:
    """Let `act(request)` happen just before each request of this kind."""
    adapter = docs._owner.adapter("store")
    perform = getattr(adapter, method)

    def first(request: Any) -> Any:
        act(request)
        return perform(request)

    setattr(adapter, method, first)


def test_a_document_that_is_replaced_meanwhile_comes_in_one_version(open_docs: Open) -> None:
    docs = filled(open_docs, 3)
    new = document("d1", 70, seed=99, metadata={"year": 5})
    replaced: list[int] = []

    def meanwhile(request: Fetch) -> None:
        if request.vectors and len(request.ids) > 3 and not replaced:  # heads are read, their chunks come next
            replaced.append(1)
            docs.upsert(new)

    intercepted(docs, "fetch", meanwhile)
    found = docs.matrix(group_by_document=True)
    assert replaced
    assert dict(zip(found.document_ids, found.texts, strict=True))["d1"] == new.text
    expected = docs.matrix(group_by_document=True)
    np.testing.assert_allclose(found.vectors, expected.vectors, atol=1e-6)


def test_a_document_that_is_deleted_meanwhile_is_left_out(open_docs: Open) -> None:
    docs = filled(open_docs, 4)
    intercepted(docs, "fetch", lambda request: docs.delete("d2") if request.vectors else None)
    assert sorted(docs.matrix(group_by_document=True).document_ids) == ["d0", "d1", "d3"]


def test_a_document_that_is_never_whole_is_an_error(open_docs: Open) -> None:
    docs = filled(open_docs, 4)
    store = docs._owner.adapter("store")._collections["docs_1"].points
    del store[next(key for key, each in store.items() if each.record.system["chunk"] == 1)]
    with pytest.raises(CollectionError, match=r"document 'd1' is not whole.*ingest it again"):
        docs.matrix(group_by_document=True)
    assert len(docs.matrix()) == docs.count(chunks=True)


def test_a_matrix_starts_again_in_another_generation(open_docs: Open, clock: Any) -> None:
    docs = filled(open_docs, 3)
    adapter = docs._owner.adapter("store")
    adapter.create(Create("docs_2", docs.spec.vectors, docs.spec.metric, {}, docs.spec.record(2)))

    def switch(request: Scroll) -> None:
        clock.now += 100
        adapter.set_alias(SetAlias("docs", "docs_2"))

    def pages_of_one(request: Scroll) -> Any:
        found = perform(request)
        if request.physical == "docs_1":
            switch(request)
        return found

    perform = adapter.scroll
    adapter.scroll = lambda request: pages_of_one(
        Scroll(request.physical, limit=1, cursor=request.cursor, vectors=True)
    )
    assert docs.matrix().vectors.shape == (0, 32), "the new generation is empty"


# ---------------------------------------------------------------- one array, no second copy


def opened(open_docs: Open) -> OpenCollection:
    spec = open_docs(apply=False, embedder={"dimensions": SIZE}, dimensions=SIZE)["docs"].spec
    return OpenCollection(CollectionState(spec, CAPABILITIES, lambda: 0.0), Asking())


def answers(made: OpenCollection, counted: int, pages: list[int]) -> dict[type, Any]:
    """A collection of which so many records were counted, and that comes in pages of such sizes."""
    spec = made.spec
    info = CollectionInfo("docs_1", spec.vectors, spec.metric, spec.record(1), spec.fields)
    same = record("d0")
    left = list(enumerate(pages))

    def page(request: Scroll) -> Batch:
        number, size = left.pop(0)
        assert (request.cursor, request.vectors) == (str(number) if number else None, True)
        rows = np.full((size, SIZE), number, np.float32)
        return Batch(
            [same] * size, {DENSE: rows if size else np.zeros((0, 0), np.float32)}, str(number + 1) if left else None
        )

    return {ResolveAlias: "docs_1", Describe: info, ReadNote: None, Count: counted, Scroll: page}


def test_the_vectors_are_never_held_twice(open_docs: Open) -> None:
    made = opened(open_docs)
    replies = answers(made, 4000, [100] * 40)
    tracemalloc.start()
    try:
        found = trace(matrix(made), replies).result
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert found.vectors.nbytes == 4000 * SIZE * 4
    assert peak < 1.3 * found.vectors.nbytes
    assert found.vectors[:, 0].tolist() == [number for number in range(40) for _ in range(100)]


@pytest.mark.parametrize(("counted", "pages"), [(5, [3, 3, 0, 9]), (0, [2]), (50, [3, 4]), (7, [7, 0]), (3, [0])])
def test_what_others_write_and_delete_meanwhile_fits(open_docs: Open, counted: int, pages: list[int]) -> None:
    made = opened(open_docs)
    found = trace(matrix(made), answers(made, counted, pages)).result
    assert found.vectors.shape == (sum(pages), SIZE)
    assert len(found.records) == sum(pages)
    assert found.vectors[:, -1].tolist() == [number for number, size in enumerate(pages) for _ in range(size)]


def test_more_than_fits_into_memory_is_refused_in_words(open_docs: Open) -> None:
    made = opened(open_docs)
    with pytest.raises(InvalidInput, match=r"'docs': 1,000,000,000,000,000 vectors of 1024 .* page by page"):
        trace(matrix(made), answers(made, 10**15, [1]))


def test_bad_pages_are_refused(open_docs: Open) -> None:
    docs = filled(open_docs, 1)
    docs.upsert(Document("x", "text"))
    for page in (0, True, 2.5):
        with pytest.raises(InvalidInput, match="page"):
            list(docs.scroll(page=page))
