"""Documents that came split or with vectors, migrated: cut, or elsewhere embedded from their texts, chunk by chunk."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from nestvec import Chunk, Document
from nestvec.encoding.vectors import truncate

from .world import MATCHING, SHORTER

LONG = "one two three four five six seven eight nine"
CHUNKS = ["a chunk that is longer than others are split", "another one"]


def filled(docs: Any, owner: Any) -> dict[str, Any]:
    """Three documents: whole with a vector, in chunks with vectors, in chunks without; and one like any other."""
    rows = owner.embed(["x", "y", "z"], task="retrieval.passage", dimensions=32)
    documents = [
        Document("whole", LONG, {"lang": "de"}, rows[0]),
        Document("chunks", chunks=[Chunk(text, row) for text, row in zip(CHUNKS, rows[1:], strict=True)]),
        Document("plain", chunks=[Chunk(text) for text in CHUNKS]),
        Document("usual", LONG),
    ]
    docs.upsert(documents, vectors_from=docs)
    return {each.id: each for each in docs.get_many([each.id for each in documents], vectors=True)}


def vectors(document: Any) -> Any:
    return document.vector[None] if document.chunks is None else np.stack([each.vector for each in document.chunks])


def parts(document: Any) -> list[tuple[str, Any]]:
    return [] if document.chunks is None else [(each.text, each.span) for each in document.chunks]


def test_a_shorter_size_is_cut_from_the_vectors_that_were_given(world: Any) -> None:
    here = world()
    client = here.open()
    client.apply()
    before = filled(client["docs"], client)
    client = here.open(SHORTER)
    client.migrate("docs")
    docs = client["docs"]
    for key, old in before.items():
        new = docs.get(key, vectors=True)
        assert (new, parts(new)) == (old, parts(old))
        np.testing.assert_allclose(vectors(new), truncate(vectors(old), 8), atol=1e-6)
    assert not client.embedder("model").requests


def test_another_space_embeds_their_texts_in_their_own_chunks(world: Any) -> None:
    here = world()
    client = here.open()
    client.apply()
    before = filled(client["docs"], client)
    client = here.open(MATCHING)
    report = client.migrate("docs")
    assert (report.documents, report.brought, report.changed) == (4, 4, 0)
    docs = client["docs"]
    for key, old in before.items():
        new = docs.get(key, vectors=True)
        assert (new, parts(new)) == (old, parts(old))
        texts = [text for text, _ in parts(old)] or [old.text]
        wanted = client.embed(texts, task="text-matching", dimensions=32)
        np.testing.assert_allclose(vectors(new), wanted, atol=1e-6)
    assert docs.upsert(Document("usual", LONG)).unchanged > 1
    assert docs.upsert(Document("whole", LONG)).embedded > 1


@pytest.mark.parametrize("strange", [False, True])
def test_where_texts_are_not_stored_they_come_from_files_or_fail_by_name(world: Any, strange: bool) -> None:
    here = world(store_text=False)
    client = here.open()
    client.apply()
    row = client.embed(["x"], task="retrieval.passage", dimensions=32)[0]
    known = [
        Document("whole", LONG, vector=row),
        Document("split", "ab cd", chunks=[Chunk("ab", row), Chunk("cd")]),
    ]
    elsewhere = Document("strange", "ab cd", chunks=[Chunk("title: ab", row, (0, 2)), Chunk("cd", row, (3, 5))])
    docs: Any = client["docs"]
    docs.upsert([*known, elsewhere] if strange else known, vectors_from=docs)
    client = here.open(MATCHING)
    report = client.migrate("docs", documents=[Document("a", LONG), Document("b", "ab cd")])
    assert [each.document_id for each in report.failed] == (["strange"] if strange else [])
    assert report.switched is not strange
    if not strange:
        new: Any = client["docs"].get("split", vectors=True)
        wanted = client.embed(["ab", "cd"], task="text-matching", dimensions=32)
        np.testing.assert_allclose(vectors(new), wanted, atol=1e-6)
        assert [span for _, span in parts(new)] == [(0, 2), (3, 5)]
