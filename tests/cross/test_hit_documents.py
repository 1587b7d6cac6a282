"""Hits with their whole documents: read together, each once, on every engine."""

from __future__ import annotations

import pytest

from nestvec import Document
from nestvec._client import aconnect, connect
from nestvec.contract import Fetch
from nestvec_testing.memory import make_foreign
from nestvec_testing.requests import bare
from nestvec_testing.tap import tap_in_place

TEXT = "Ein langer Text mit vielen Wörtern, der in mehrere Teile zerfällt, weil sie klein sind. " * 3


def values(tmp_path, backend, **settings):
    options = {"memory": {}, "qdrant": {"path": str(tmp_path / "q")}, "sqlite": {"path": str(tmp_path / "s")}}
    return {
        "backends": {"store": {"use": backend, **options[backend]}},
        "embedders": {"model": {"use": "recording"}},
        "collections": {"docs": {"dimensions": 32, "chunking": {"size": 60}, **settings}},
    }


@pytest.fixture(params=["memory", "qdrant", "sqlite"])
def docs(request, tmp_path, runtime):
    with connect(values(tmp_path, request.param), runtime) as nv:
        nv.apply()
        nv["docs"].upsert([Document(f"d{i}", f"{i}: {TEXT}", {"n": {"i": [i, None]}}) for i in range(3)])
        yield nv["docs"]


def test_every_hit_has_its_document(docs):
    hits = docs.search("Wörter in Teilen", limit=12, documents=True)
    assert len({hit.id for hit in hits}) > len({hit.document_id for hit in hits})
    for hit in hits:
        assert hit.document == docs.get(hit.document_id)
        assert hit.document.text[slice(*hit.span)] == hit.text
    assert all(hit.document is None for hit in docs.search("Wörter"))
    vector = docs.embed(["Wörter"])[0]
    for found in (
        docs.search_many(["Wörter", "Teile"], documents=True),
        docs.search_vectors([vector], documents=True),
        [docs.search_vector(vector, documents=True, vectors=True)],
        [docs.search("Wörter", documents=True, group_by_document=True)],
    ):
        assert all(hit.document == docs.get(hit.document_id) for hits in found for hit in hits)


def test_they_are_read_together_and_each_once(tmp_path, runtime):
    with connect(values(tmp_path, "memory"), runtime) as nv:
        nv.apply()
        nv["docs"].upsert([Document(f"d{i}", f"{i}: {TEXT}") for i in range(3)])
        asked = []

        def intercept(request, perform):
            asked.append(bare(request))
            return perform(request)

        tap_in_place(nv.adapter("store"), intercept)
        hits = nv["docs"].search_many(["Wörter", "Teile"], limit=20, documents=True)
        fetched = [each for each in asked if isinstance(each, Fetch) and each.content]
        assert len(hits[0]) > 3
        heads, rest = fetched
        assert len(heads.ids) == len(set(heads.ids)) == 3
        assert len(rest.ids) == len(set(rest.ids))


def test_where_texts_are_not_stored_it_has_none(tmp_path, runtime):
    with connect(values(tmp_path, "memory", store_text=False), runtime) as nv:
        nv.apply()
        nv["docs"].upsert(Document("a", "words", {"x": 1}))
        (hit,) = nv["docs"].search("words", documents=True)
        assert (hit.text, hit.document) == (None, Document("a", "", {"x": 1}))


async def test_asynchronously_the_same(tmp_path, runtime):
    async with aconnect(values(tmp_path, "memory"), runtime) as nv:
        await nv.apply()
        await nv["docs"].upsert([Document("a", TEXT)])
        for hit in await nv["docs"].search("Wörter", documents=True):
            assert hit.document == await nv["docs"].get("a")


def test_records_of_others_that_share_an_id_are_documents_of_their_own(tmp_path, runtime):
    config = values(tmp_path, "memory")
    foreign = {"collection": "theirs", "id": "key", "text": "body", "verify": False}
    config["collections"]["theirs"] = {"dimensions": 32, "adopt": True, "foreign": foreign}
    with connect(config, runtime) as nv:
        rows = nv.embed(["one", "two"], task="retrieval.passage", dimensions=32)
        make_foreign(nv.adapter("store"), "theirs", {"": rows}, [{"key": "k", "body": each} for each in ("one", "two")])
        nv.apply("theirs")
        hits = nv["theirs"].search("one", documents=True)
        assert [hit.document.text for hit in hits] == ["one", "two"]
        assert {hit.document.id for hit in hits} == {"k"}
