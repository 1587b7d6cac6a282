"""What is there already, equal ids, metadata alone, and documents without a text: the same on every engine."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from nestvec import ID, Document, F
from nestvec.errors import CollectionError, IngestFailed, InvalidInput
from nestvec_testing.recording import RecordingEmbedder

from .engines import PARAMETERS
from .test_metadata import opened

LONG = "one two three four five six seven eight nine ten eleven twelve"


@pytest.fixture
def embedded(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Texts that were embedded."""
    texts: list[str] = []
    plain = RecordingEmbedder.encode

    def encode(self: Any, request: Any) -> Any:
        texts.extend(group.text for group in request.groups)
        return plain(self, request)

    monkeypatch.setattr(RecordingEmbedder, "encode", encode)
    return texts


@pytest.mark.parametrize("name", PARAMETERS)
def test_what_is_stored_is_replaced_skipped_or_a_failure(name: str, tmp_path: Path, embedded: list[str]) -> None:
    with opened(name, tmp_path) as docs:
        docs.upsert(Document("a", "old"))
        embedded.clear()
        report = docs.upsert([Document("a", "new"), Document("b", "fresh")], on_existing="skip")
        assert (report.documents, report.skipped, docs.get("a").text) == (1, 1, "old")
        with pytest.raises(IngestFailed, match="'a' is stored already") as told:
            docs.upsert([Document("a", "new"), Document("c", "third")], on_existing="fail")
        assert [each.document_id for each in told.value.report.failed] == ["a"]
        assert (docs.get("a").text, docs.get("c").text) == ("old", "third")
        assert "new" not in embedded, "nothing is embedded for what is left alone"
        assert docs.upsert([Document("a", "new")]).documents == 1
        assert docs.get("a").text == "new"


@pytest.mark.parametrize("many", [1, 400])
def test_of_equal_ids_the_first_the_last_or_none(tmp_path: Path, many: int) -> None:
    def documents() -> list[Document]:
        between = [Document(f"x{number}", f"text {number}") for number in range(many)]
        return [Document("a", "first"), *between, Document("a", "middle"), Document("a", "last")]

    with opened("memory", tmp_path) as docs:
        for given in (documents(), iter(documents())):
            assert docs.upsert(given, duplicates="last").skipped == 2
            assert docs.get("a").text == "last"
        report = docs.upsert(documents(), duplicates="first")
        assert (report.skipped, report.failed, docs.get("a").text) == (2, (), "first")
        with pytest.raises(IngestFailed) as told:
            docs.upsert(documents())
        assert [each.document_id for each in told.value.report.failed] == ["a", "a"]
        for wrong in ({"duplicates": "all"}, {"on_existing": "merge"}):
            with pytest.raises(InvalidInput, match=next(iter(wrong))):
                docs.upsert(documents(), **wrong)


@pytest.mark.parametrize("name", PARAMETERS)
def test_metadata_alone_change_by_id_and_by_filter_and_nothing_is_embedded(
    name: str, tmp_path: Path, embedded: list[str]
) -> None:
    with opened(name, tmp_path, fields={"n": "integer", "lang": "keyword"}, chunking={"size": 20}) as docs:
        docs.upsert([Document(f"d{n}", LONG, {"n": n, "deep": {"x": [n]}}) for n in range(3)])
        before = docs.get_many(["d0", "d1"], vectors=True)
        embedded.clear()
        assert docs.update_metadata("d0", {"lang": "de", "n": 7}).documents == 1
        assert docs.get("d0").metadata == {"n": 7, "lang": "de", "deep": {"x": [0]}}
        assert docs.update_metadata(where=F.n >= 2, changes={"seen": None}, remove=["deep"]).documents == 2
        assert docs.get("d2").metadata == {"n": 2, "seen": None}
        assert docs.update_metadata(["d1"], {"only": True}, replace=True).documents == 1
        assert docs.get("d1").metadata == {"only": True}
        assert docs.count(F.n == 1) == 0
        assert docs.count(F.lang == "de") == 1
        assert docs.count(F.lang == "de", chunks=True) == docs.get("d0", vectors=True).chunks.__len__()
        assert docs.update_metadata("d1", {"only": True}).unchanged > 0
        assert embedded == []
        for old, new in zip(before, docs.get_many(["d0", "d1"], vectors=True), strict=True):
            assert (old.text, [each.text for each in old.chunks]) == (new.text, [each.text for each in new.chunks])
            assert all((a.vector == b.vector).all() for a, b in zip(old.chunks, new.chunks, strict=True))
        docs.upsert([Document("d0", LONG, {"n": 7, "lang": "de", "deep": {"x": [0]}})])
        assert embedded == [], "a later ingestion finds it unchanged"
        with pytest.raises(IngestFailed, match="'nobody' is not stored"):
            docs.update_metadata(["d0", "nobody"], {"n": 8})
        assert docs.get("d0").metadata["n"] == 8
        assert docs.count() == 3


def test_what_is_no_change_is_refused(tmp_path: Path) -> None:
    with opened("memory", tmp_path) as docs:
        for arguments, words in [
            ({}, "nothing to change"),
            ({"changes": {"a": 1}}, "say which documents"),
            ({"document_ids": "a", "where": ID == "a", "changes": {"a": 1}}, "not both"),
            ({"document_ids": "a", "changes": {"a": 1}, "remove": ["a"]}, "set and removed"),
            ({"document_ids": "a", "remove": "key"}, "must be a list"),
            ({"where": {}, "changes": {"a": 1}}, "every document"),
        ]:
            with pytest.raises(InvalidInput, match=words):
                docs.update_metadata(**arguments)


@pytest.mark.parametrize("name", PARAMETERS)
def test_documents_without_a_text_are_kept_and_not_found_by_searches(
    name: str, tmp_path: Path, embedded: list[str]
) -> None:
    with opened(name, tmp_path, fields={"n": "integer"}, empty="keep") as docs:
        texts = {"none": None, "empty": "", "blank": " \n", "text": "words"}
        report = docs.upsert([Document(key, text, {"n": 1}) for key, text in texts.items()])
        assert report.documents == 4
        assert [each.text for each in docs.get_many(list(texts))] == list(texts.values())
        assert (docs.count(), docs.count(F.n == 1)) == (4, 4)
        assert {hit.document_id for hit in docs.search("words", limit=10)} == {"text"}
        assert {hit.document_id for hit in docs.search("words", limit=10, where=F.n == 1)} == {"text"}
        assert docs.matrix().document_ids == docs.matrix({"n": 1}).document_ids == ["text"], (
            "their vectors mean nothing"
        )
        assert docs.matrix(group_by_document=True).document_ids == ["text"]
        embedded.clear()
        assert docs.upsert([Document(key, text, {"n": 1}) for key, text in texts.items()]).documents == 4
        assert embedded == []
        docs.upsert(Document("none", "now words", {"n": 1}))
        assert {hit.document_id for hit in docs.search("words", limit=10)} == {"text", "none"}
        docs.upsert(Document("text", None))
        assert {hit.document_id for hit in docs.search("words", limit=10)} == {"none"}
        assert docs.delete("empty") == 1


def test_documents_without_a_text_are_refused_unless_they_are_to_be_kept(tmp_path: Path) -> None:
    with opened("memory", tmp_path) as docs, pytest.raises(IngestFailed, match='empty = "keep"'):
        docs.upsert(Document("empty", ""))
    with opened("memory", tmp_path) as docs, pytest.raises(IngestFailed, match="must be a string, not NoneType"):
        docs.upsert(Document("none", None))


def test_they_wait_until_the_database_knows(tmp_path: Path) -> None:
    import nestvec
    from nestvec.runtime import Runtime
    from nestvec_testing.registry import test_registry

    def configuration(**block: Any) -> dict[str, Any]:
        return {
            "embedders": {"model": {"use": "recording"}},
            "backends": {"store": {"use": "sqlite", "path": str(tmp_path / "store.db")}},
            "collections": {"docs": {"dimensions": 4, **block}},
        }

    with nestvec.connect(configuration(), Runtime(test_registry())) as nv:
        nv.apply()
    with nestvec.connect(configuration(empty="keep"), Runtime(test_registry())) as nv:
        with pytest.raises(CollectionError, match="nestvec apply"):
            nv["docs"].upsert(Document("empty", ""))
        nv.apply()
        nv["docs"].upsert([Document("empty", ""), Document("text", "words")])
    with nestvec.connect(configuration(), Runtime(test_registry())) as nv:
        nv.apply()
        assert {hit.document_id for hit in nv["docs"].search("words", limit=5)} == {"text"}
