"""Documents listed by id, the values of fields, whole documents with hits, dropping: the same on every engine."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

import nestvec
from nestvec import Document, F, ValueCount
from nestvec.errors import CollectionNotFound, InvalidFilter, InvalidInput
from nestvec.runtime import Runtime
from nestvec_testing.registry import test_registry

from .engines import ENGINES, PARAMETERS
from .test_metadata import opened

FIELDS = {"lang": "keyword", "n": "integer", "day": "datetime", "tags": "keyword[]", "price": "float"}
DAY = datetime(2026, 1, 31, tzinfo=UTC)
METADATA = {
    "é": {"lang": "de", "n": 3, "tags": ["x", "y"], "price": 1.5},
    "b": {"lang": "de", "n": -2, "tags": ["x"], "day": "2026-01-31"},
    "a": {"lang": "en", "n": 3, "deep": {"k": 1}},
    "c": {"n": "many", "deep": {"k": "one"}},
    "B": {},
}


@pytest.mark.parametrize("name", PARAMETERS)
def test_documents_by_id_and_the_values_of_fields(name: str, tmp_path: Path) -> None:
    with opened(name, tmp_path, fields=FIELDS, open_fields=True, chunking={"size": 20}) as docs:
        text = "one two three four five six seven"
        docs.upsert([Document(key, text, metadata) for key, metadata in METADATA.items()])
        assert [each.id for each in docs.documents()] == ["B", "a", "b", "c", "é"]
        assert [each.id for each in docs.documents(F.n == 3)] == ["a", "é"]
        assert [each.id for each in docs.documents(after="b")] == ["c", "é"]
        assert next(iter(docs.documents(vectors=True))).chunks is not None
        assert {each.id: each.metadata for each in docs.documents()} == METADATA

        assert docs.distinct("lang") == (ValueCount("de", 2), ValueCount("en", 1))
        assert docs.distinct("tags", limit=1) == (ValueCount("x", 2),)
        assert docs.distinct("n", F.lang == "de") == (ValueCount(-2, 1), ValueCount(3, 1))
        assert docs.distinct("day") == (ValueCount(DAY, 1),)
        assert docs.distinct("deep.k") == (ValueCount(1, 1), ValueCount("one", 1))
        assert (docs.value_range("n"), docs.value_range("price")) == ((-2, 3), (1.5, 1.5))
        assert docs.value_range("day", F.lang == "de") == (DAY, DAY)
        assert docs.value_range("n", F.lang == "fr") is None
        with pytest.raises(InvalidInput, match="several types"):
            docs.value_range("deep.k")
        for field in ("", "a..b", 7):
            with pytest.raises(InvalidFilter):
                docs.distinct(field)

        hits = docs.search("three", limit=8, documents=True, vectors=True)
        assert all(hit.document.text == text and hit.document.metadata == METADATA[hit.document_id] for hit in hits)
        assert all(hit.vector is not None for hit in hits)
        assert docs.search("three", limit=1)[0].document is None


def test_an_undeclared_field_has_no_values_to_tell(tmp_path: Path) -> None:
    with opened("memory", tmp_path) as docs, pytest.raises(InvalidFilter, match="declare it"):
        docs.distinct("lang")


@pytest.mark.parametrize("name", PARAMETERS)
def test_a_collection_is_dropped_with_everything_and_can_be_made_again(name: str, tmp_path: Path) -> None:
    with ENGINES[name](tmp_path) as engine:
        values = {
            "embedders": {"model": {"use": "recording"}},
            "backends": {"store": {"use": engine.use, **engine.options}},
            "collections": {"docs": {"dimensions": 8}, "other": {"dimensions": 8}},
        }
        with nestvec.connect(values, Runtime(test_registry())) as nv:
            nv.apply()
            for each in ("docs", "other"):
                nv[each].upsert(Document("a", "words"))
            (would,) = nv.drop("docs", dry=True).generations
            assert (would.removed, would.generation.chunks, nv["docs"].count()) == (True, 1, 1)
            (gone,) = nv.drop("docs").generations
            assert gone.removed
            with pytest.raises(CollectionNotFound):
                nv["docs"].count()
            with pytest.raises(CollectionNotFound, match="docs"):
                nv.drop("docs")
            assert nv["other"].count() == 1
            nv.apply()
            assert nv["docs"].count() == 0
            nv["docs"].upsert(Document("b", "more words"))
            assert nv["docs"].search("words")[0].document_id == "b"
