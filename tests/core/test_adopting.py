"""Adopting a collection that somebody else made: what is checked, what is said, what is refused."""

from __future__ import annotations

import numpy as np
import pytest

from nestvec import ValueCount
from nestvec._client import aconnect, connect
from nestvec.errors import CollectionConflict, ConfigError, InvalidInput, SpaceUnknown, Unsupported
from nestvec.filters import F
from nestvec.runtime import Runtime
from nestvec.types import Document
from nestvec_testing.memory import make_foreign
from nestvec_testing.registry import test_registry

SIZE = 32
TEXTS = [f"{word} river stone winter {i}" for i, word in enumerate(["boat", "lamp", "harbour", "violin", "desert"] * 4)]


def payload(i):
    return {"key": f"k{i}", "body": TEXTS[i], "info": {"lang": "de" if i % 2 else "en", "year": 2000 + i}}


def values(*, embedder=None, foreign=None, **settings):
    block = {
        "backend": "store",
        "dimensions": SIZE,
        "adopt": True,
        "fields": {"lang": "keyword", "year": "integer"},
        "foreign": {
            "collection": "articles",
            "text": "body",
            "fields": {"lang": "info.lang", "year": "info.year"},
            **(foreign or {}),
        },
        **settings,
    }
    own = {"backend": "store", "dimensions": SIZE, "fields": {"lang": "keyword", "year": "integer"}}
    return {
        "backends": {"store": {"use": "memory"}},
        "embedders": {"model": {"use": "recording", **(embedder or {})}},
        "collections": {"legacy": {k: v for k, v in block.items() if v is not None}, "own": own},
    }


@pytest.fixture
def registry():
    return test_registry()


@pytest.fixture
def opened(registry):
    clients, adapters = [], {}

    def open_one(**changes):
        client = connect(values(**changes), Runtime(registry))
        clients.append(client)
        if not adapters:
            adapters["store"] = client.adapter("store")
            rows = client.embed(TEXTS, task="retrieval.passage", dimensions=SIZE)
            make_foreign(adapters["store"], "articles", {"": rows}, [payload(i) for i in range(len(TEXTS))])
        client._connections.adapters.put("store", adapters["store"])
        return client

    yield open_one
    for client in clients:
        client.close()


def details(client):
    return "\n".join(client.plan("legacy")[0].details)


def test_the_plan_says_what_is_checked_and_what_is_not(opened):
    client = opened()
    (change,) = client.plan("legacy")
    assert change.action == "adopt"
    assert "20 records of 32 dimensions" in details(client)
    assert "embeds up to 8 of its texts" in details(client)
    assert not client._connections.embedders.opened or client.embedder("model").requests[-1].task == "retrieval.passage"
    assert "foreign.verify is false" in details(opened(foreign={"verify": False}))
    assert "no texts to embed" in details(opened(foreign={"text": None}))


def test_planning_embeds_nothing(opened):
    opened()  # embeds what it stores
    client = opened()
    client.plan("legacy")
    assert not client._connections.embedders.opened


def test_the_model_itself_is_compared_and_no_cache_of_it(opened, tmp_path):
    """The stored vectors were embedded behind this cache, so it would say that they are right whatever the model is."""
    client = opened(embedder={"cache": {"path": str(tmp_path / "cache")}})
    before = len(client.embedder("model").inner.requests)
    client.apply("legacy")
    (asked,) = list(client.embedder("model").inner.requests)[before:]
    assert asked.fresh
    assert len(asked.groups) == 8


def test_reading(opened):
    client = opened()
    client.apply("legacy")
    docs = client["legacy"]
    hit = docs.search(TEXTS[3], limit=1)[0]
    assert (hit.text, hit.document_id, hit.metadata, hit.span) == (
        TEXTS[3],
        "theirs-3",
        {"lang": "de", "year": 2003, "key": "k3"},
        (0, len(TEXTS[3])),
    )
    assert docs.count() == 20
    assert docs.count(F.year >= 2010) == 10
    assert docs.get("theirs-4") == Document("theirs-4", TEXTS[4], {"lang": "en", "year": 2004, "key": "k4"})
    assert docs.get("nothing") is None
    assert sum(len(page.records) for page in docs.scroll(page=6, vectors=True)) == 20
    found = docs.matrix(F.year >= 2010, group_by_document=True)
    assert (found.document_ids, found.texts) == ([f"theirs-{i}" for i in range(10, 20)], TEXTS[10:])
    np.testing.assert_array_equal(found.vectors, docs.matrix(F.year >= 2010).vectors)
    grouped = docs.search(TEXTS[3], limit=3, group_by_document=True)
    assert grouped[0].document_id == "theirs-3"
    (status,) = client.status("legacy")
    assert (status.documents, status.generation, status.outdated) == (20, None, 0)


def test_ids_from_a_field(opened):
    client = opened(foreign={"id": "key"})
    client.apply("legacy")
    assert client["legacy"].search(TEXTS[3], limit=1)[0].document_id == "k3"
    assert client["legacy"].get("k3") == Document("k3", TEXTS[3], {"lang": "de", "year": 2003})
    assert client["legacy"].get("theirs-3") is None
    assert client["legacy"].matrix().document_ids == [f"k{i}" for i in range(20)]
    with pytest.raises(
        Unsupported, match=r"'legacy' was adopted with document ids from 'key'.*leave group_by_document"
    ):
        client["legacy"].matrix(group_by_document=True)


def test_writing_is_refused_and_says_where_to_go(opened):
    client = opened()
    client.apply("legacy")
    for act in (lambda: client["legacy"].upsert([Document("a", "text")]), lambda: client["legacy"].delete("a")):
        with pytest.raises(Unsupported, match=r"'legacy' was adopted.*nestvec copy legacy NEW"):
            act()
    with pytest.raises(Unsupported, match="cannot copy into it"):
        client.copy("own", "legacy")


def test_copying_makes_documents_of_records_without_embedding(opened):
    client = opened()
    client.apply()
    before = len(client.embedder("model").requests)
    report = client.copy("legacy", "own", page=7)
    assert (report.records, report.written) == (20, 20)
    assert client.copy("legacy", "own").unchanged == 20
    assert len(client.embedder("model").requests) == before
    assert client["own"].get("theirs-4") == Document("theirs-4", TEXTS[4], {"lang": "en", "year": 2004, "key": "k4"})
    assert client["own"].count(F.lang == "de") == 10
    again = client["own"].upsert([Document("theirs-4", "another text")])
    assert again.documents == 1
    assert client["own"].count() == client["own"].count(chunks=True) == 20


def test_shared_ids_are_refused_where_they_are_met(opened):
    client = opened(foreign={"id": "info.lang"})
    client.apply()
    with pytest.raises(CollectionConflict, match=r"several of its records have the id 'en'.*leave foreign\.id out"):
        client.copy("legacy", "own", page=3)
    assert client["own"].count() == 0, "nothing was copied"
    with pytest.raises(CollectionConflict, match=r"several of its records have the id 'de'.*leave foreign\.id out"):
        client["legacy"].get("de")
    assert client["legacy"].get("fr") is None


def test_documents_with_ids_of_their_own_are_copied(opened):
    client = opened(foreign={"id": "info.year"})
    client.apply()
    assert client.copy("legacy", "own", page=7).written == 20
    wanted = Document("2004", TEXTS[4], {"lang": "en", "year": 2004, "key": "k4"})
    assert client["legacy"].get("2004") == client["own"].get("2004") == wanted
    assert client["legacy"].get("x") is client["legacy"].get("2999") is None


def test_ids_inside_of_json_text_cannot_be_looked_up(opened):
    client = opened(foreign={"id": "node.id", "json_text": ["node"], "verify": False})
    client.adapter("store")._collections["articles"].points["theirs-0"].record.metadata["node"] = '{"id": "n0"}'
    client.apply("legacy")
    assert client["legacy"].search(TEXTS[0], limit=1)[0].document_id == "n0"
    with pytest.raises(Unsupported, match=r"inside of JSON text.*leave foreign\.id out"):
        client["legacy"].get("n0")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"dimensions": 16}, "dimensions: it has 32, configured 16"),
        ({"metric": "dot"}, "metric: it has cosine, configured dot"),
        ({"foreign": {"collection": "artikels"}}, "no collection 'artikels' to adopt; it has: articles"),
        ({"foreign": {"vector": "body"}}, "foreign.vector"),
        (
            {"foreign": {"text": "boddy"}},
            "has a text under 'boddy'; they have 'key', 'body', 'info.lang'; did you mean 'body'?",
        ),
        (
            {"foreign": {"id": "kee"}},
            "under 'kee'; they have 'key', 'body', 'info.lang', 'info.year'; did you mean 'key'?",
        ),
        (
            {"foreign": {"fields": {"lang": "lang"}}},
            "has anything under 'lang'; they have 'key', 'body', 'info', 'info.lang', 'info.year'",
        ),
        (
            {"foreign": {"metadata": "inf"}},
            "foreign.metadata: no record has an object under 'inf'; they have 'info'; did you mean 'info'?",
        ),
        (
            {"foreign": {"json_text": ["node"]}},
            "foreign.json_text: no record has JSON text under 'node'; they have 'key', 'body', 'info', 'info.lang'",
        ),
        ({"foreign": {"text": "boddy"}}, "`nestvec adopt --look legacy` proposes some. Nothing was changed"),
    ],
)
def test_what_does_not_fit_is_a_conflict(opened, changes, message):
    client = opened(**changes)
    assert message in details(client)
    assert client.plan("legacy")[0].action == "conflict"
    with pytest.raises(CollectionConflict):
        client.apply("legacy")
    assert client.adapter("store")._collections["articles"].info.record is None


def test_vectors_of_another_model_are_refused_with_the_measured_likeness(opened):
    opened()
    client = opened(embedder={"model": "recording-v2"})
    with pytest.raises(CollectionConflict, match=r"median cosine -?0\.\d+ of 8 records.*foreign\.verify"):
        client.apply("legacy")
    assert client.plan("legacy")[0].action == "adopt"


def test_vectors_of_another_task_are_refused(opened):
    opened()
    with pytest.raises(CollectionConflict, match="task 'text-matching'"):
        opened(purpose="matching").apply("legacy")


def test_without_verifying_it_is_adopted_as_declared(opened):
    opened()
    client = opened(embedder={"model": "recording-v2"}, foreign={"verify": False})
    client.apply("legacy")
    assert client["legacy"].count() == 20
    assert not client._connections.embedders.opened


def test_before_adoption_it_is_unknown_and_afterwards_guarded(opened):
    client = opened()
    with pytest.raises(SpaceUnknown, match="adopt"):
        client["legacy"].search("river")
    client.apply("legacy")
    assert opened().plan("legacy")[0].action == "none"
    other = opened(embedder={"model": "recording-v2"})
    assert other.plan("legacy")[0].action == "conflict"


def test_another_mapping_is_an_update(opened):
    opened().apply("legacy")
    client = opened(foreign={"id": "key"})
    assert client.plan("legacy")[0].action == "update"
    client.apply("legacy")
    assert client.plan("legacy")[0].action == "none"
    broken = opened(foreign={"text": "boddy"})
    assert broken.plan("legacy")[0].action == "conflict"


def test_own_and_adopted_are_not_mixed_up(opened):
    client = opened()
    client.apply()
    own = opened(foreign={"collection": "own_1"})
    assert "nestvec's own: leave adopt and foreign out" in details(own)
    with pytest.raises(CollectionConflict, match="leave adopt"):
        own["legacy"].count()


def test_a_foreign_collection_under_our_name_offers_adoption(opened, registry):
    client = opened()
    plain = values()
    plain["collections"] = {"articles": {"dimensions": SIZE}}
    other = connect(plain, Runtime(registry))
    other._connections.adapters.put("store", client.adapter("store"))
    assert "adopt = true" in other.plan()[0].details[0]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"adopt": False}, "set adopt = true, or leave it out"),
        ({"namespaces": True}, "leave namespaces out"),
        ({"foreign": {"fields": {"color": "info.color"}}}, "foreign.fields names color, which fields does not"),
        ({"foreign": {"txt": "body"}}, "foreign.txt: unknown key; did you mean 'text'?"),
        ({"foreign": {"preset": "langchane"}}, "foreign: there is no preset 'langchane' for this backend"),
    ],
)
def test_mistakes_in_the_file_are_named(changes, message):
    with pytest.raises(ConfigError) as caught:
        connect(values(**changes), Runtime(test_registry()))
    assert message in str(caught.value)


def test_a_backend_that_reads_only_its_own_says_so():
    plain = values()
    plain["backends"]["store"] = {"use": "sqlite", "path": ":memory:"}
    with pytest.raises(ConfigError, match="reads only what nestvec made"):
        connect(plain, Runtime(test_registry()))


async def test_asynchronously(opened, registry):
    source = opened()
    async with aconnect(values(), Runtime(registry)) as client:
        client._connections.adapters.put("store", source.adapter("store"))
        await client.apply()
        assert (await client["legacy"].search(TEXTS[3], limit=1))[0].document_id == "theirs-3"
        await client.copy("legacy", "own")
        assert await client["own"].count() == 20
        with pytest.raises(Unsupported):
            await client["legacy"].upsert([Document("a", "text")])


def test_a_filter_on_what_is_not_declared_is_refused(opened):
    client = opened()
    client.apply("legacy")
    with pytest.raises(InvalidInput, match="unknown field 'color'"):
        client["legacy"].count(F.color == "red")


def test_vectors_come_as_they_are(opened):
    client = opened()
    client.apply("legacy")
    (page,) = client["legacy"].scroll(page=50, vectors=True)
    rows = client.embed(TEXTS, task="retrieval.passage", dimensions=SIZE)
    np.testing.assert_array_equal(page.vectors, rows)


def test_listing_and_the_values_of_fields(opened):
    client = opened()
    client.apply("legacy")
    docs = client["legacy"]
    listed = list(docs.documents(F.year >= 2018, vectors=True))
    assert [each.id for each in listed] == ["theirs-18", "theirs-19"]
    assert all(each.vector is not None and each.text in TEXTS for each in listed)
    assert [each.id for each in docs.documents(after="theirs-8")] == ["theirs-9"]
    assert docs.distinct("lang", F.year < 2003) == (ValueCount("en", 2), ValueCount("de", 1))
    assert docs.value_range("year") == (2000, 2019)
    with pytest.raises(InvalidInput, match=r"unknown field 'key'.*unless the collection is adopted"):
        docs.distinct("key")
