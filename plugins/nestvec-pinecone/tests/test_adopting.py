"""Indexes that somebody else made: namespaces, flat metadata, tags, and what must stay as it was."""

from __future__ import annotations

from contextlib import closing

import numpy as np
import pinecone
import pytest

from nestvec.contract import Adopt, Count, Describe, Drop, Fetch, ForeignLayout, ListCollections, Query, Scroll
from nestvec.errors import BackendRefused, CollectionConflict, CollectionNotFound, Unsupported
from nestvec.filters import F, resolve, to_foreign
from nestvec.types import DENSE, Field, Metric, Record
from nestvec_pinecone.client import in_address
from nestvec_pinecone.namespace_catalog import NamespaceCatalog
from nestvec_pinecone.options import PineconeOptions

FIELDS = {
    "lang": Field.parse("keyword"),
    "year": Field.parse("integer"),
    "tags": Field.parse("keyword[]"),
    "at": Field.parse("datetime"),
    "sizes": Field.parse("integer[]"),
}
#: As LangChain's vector store writes.
LAYOUT = ForeignLayout("theirs", text="text", fields={name: name for name in FIELDS})
ONES = {DENSE: np.ones((1, 3), np.float32)}
TAGS = {"owner": "them", "nestvec": "of no meaning"}
VECTORS = [
    ("a", [1.0, 0.0, 0.0], {"text": "one", "lang": "de", "year": 2001, "tags": ["x", "y"], "at": "2001-01-01"}),
    ("b", [0.0, 1.0, 0.0], {"text": "two", "lang": "en", "year": 2002, "the.key": "k"}),
    ("c", [0.0, 0.0, 1.0], None),
]


def where(condition, layout=LAYOUT):
    return to_foreign(resolve(condition, FIELDS), layout.fields)


@pytest.fixture
def theirs(emulator):
    """Three records in the default namespace, one in another."""
    with closing(pinecone.Pinecone(api_key=emulator.api_key, host=emulator.url)) as client:
        place = pinecone.ServerlessSpec(cloud="aws", region="us-east-1")
        client.indexes.create(name="theirs", dimension=3, metric="dotproduct", spec=place, tags=TAGS)
    with closing(pinecone.Index(host=emulator.host("theirs"), api_key=emulator.api_key)) as index:
        index.upsert(vectors=[{"id": key, "values": row, "metadata": kept} for key, row, kept in VECTORS])
        index.upsert(vectors=[("d", [1.0, 1.0, 1.0], {"text": "four"})], namespace="acme")
        yield index


@pytest.fixture(params=["indexes", "one index", "old"])
def adapter(request, open_adapter, theirs, emulator):
    """Through the control plane, within the index, and on a server of an older API."""
    if request.param == "indexes":
        return open_adapter()
    emulator.dial(recent=request.param != "old")
    return open_adapter(index_host=emulator.host("theirs"), scan=request.param == "old")


def namespaced(namespace, **more):
    return ForeignLayout("theirs", namespace=namespace, **more)


def ids(adapter, condition, layout=LAYOUT):
    """By scrolling; counting must agree."""
    view, resolved = adapter.reading(layout), where(condition, layout)
    found = view.scroll(Scroll("theirs", resolved)).records
    assert view.count(Count("theirs", resolved)) == len(found)
    (hits,) = view.query(Query("theirs", ONES, Metric.DOT, 9, where=resolved))
    assert sorted(hit.record.id for hit in hits) == sorted(record.id for record in found)
    return "".join(sorted(record.id for record in found))


def everything(emulator):
    """All that Pinecone shows of the index but nestvec's record."""
    with closing(pinecone.Pinecone(api_key=emulator.api_key, host=emulator.url)) as client:
        model = client.indexes.describe(name="theirs").to_dict()
    tags = {key: value for key, value in model.pop("tags").items() if not key.startswith("nestvec-record-")}
    with closing(pinecone.Index(host=emulator.host("theirs"), api_key=emulator.api_key)) as index:
        stats = index.describe_index_stats().to_dict()
        stats.pop("response_info", None)
        records = [
            {key: (list(each.values), each.metadata) for key, each in reply.vectors.items()}
            for reply in (index.fetch(ids=list("abcd"), namespace=name) for name in ("", "acme"))
        ]
    names = {name: count for name, count in stats["namespaces"].items() if name != "nestvec_catalog"}
    return model, tags, names, records


# ------------------------------------------------------------------------------------------------ reading


def test_it_is_described_as_it_is(adapter):
    info = adapter.reading(LAYOUT).describe(Describe("theirs"))
    assert (dict(info.vectors), info.metric, info.record) == ({DENSE: 3}, Metric.DOT, None)
    assert adapter.reading(LAYOUT).describe(Describe("another")) is None
    assert "theirs" in adapter.list_collections(ListCollections())


def test_records_are_read_as_the_layout_says(adapter):
    batch = adapter.reading(LAYOUT).fetch(Fetch("theirs", ["a", "b", "c", "z", "", "x" * 600], vectors=True))
    found = {record.id: record for record in batch.records}
    assert found["a"] == Record(
        "a", "a", "one", {"lang": "de", "year": 2001.0, "tags": ["x", "y"], "at": "2001-01-01"}, {}
    )
    assert found["c"] == Record("c", "c", None, {}, {})
    rows = {record.id: row.tolist() for record, row in zip(batch.records, batch.vectors[DENSE], strict=True)}
    assert rows == {key: row for key, row, _ in VECTORS}
    layout = ForeignLayout("theirs", id="year", fields={"lang": "the.key"})
    records = {each.id: each for each in adapter.reading(layout).scroll(Scroll("theirs")).records}
    assert [(records[key].document_id, records[key].metadata) for key in "abc"] == [
        ("2001", {"text": "one", "lang_2": "de", "tags": ["x", "y"], "at": "2001-01-01"}),
        ("2002", {"lang": "k", "text": "two", "lang_2": "en"}),
        ("c", {}),
    ]
    assert adapter.reading(layout).count(Count("theirs", where(F.lang == "k", layout))) == 1


def test_filters_are_on_their_keys(adapter):
    for condition, wanted in (
        (F.lang == "de", "a"),
        (F.lang != "de", "bc"),
        (F.year >= 2002, "b"),
        (F.year == 2001, "a"),
        (~(F.year > 2001), "ac"),
        (F.tags.contains("x"), "a"),
        (F.lang.in_([]), ""),
        (F.lang.not_in([]), "abc"),
        (F.tags.contains_any([]) | (F.lang == "en"), "b"),
        (F.at.exists(), "a"),
        (~F.sizes.exists(), "abc"),
    ):
        assert ids(adapter, condition) == wanted, condition


def test_what_pinecone_cannot_hold_is_not_compared(adapter, emulator):
    for condition, kind in ((F.at > "2001-01-01", "datetime"), (F.sizes.contains(1), r"integer\[\]")):
        with pytest.raises(Unsupported, match=f"declared as {kind}; declare what the index holds"):
            adapter.reading(LAYOUT).query(Query("theirs", ONES, Metric.DOT, 9, where=where(condition)))
    assert not emulator.sent("/query")


def test_pages_have_an_end(adapter, theirs):
    many = [(f"id-{i:04}", [1.0, 0.0, 0.0], {"lang": "de", "text": "x"}) for i in range(230)]
    theirs.upsert(vectors=many)
    for condition, wanted in ((None, 233), (F.lang == "de", 231)):
        found, cursor, pages = [], None, 0
        while pages == 0 or cursor is not None:
            asked = where(condition) if condition is not None else None
            page = adapter.reading(LAYOUT).scroll(Scroll("theirs", asked, 60, cursor, vectors=True))
            assert len(page.records) == len(page.vectors[DENSE]) <= 60
            found += [record.id for record in page.records]
            cursor, pages = page.cursor, pages + 1
        assert len(found) == len(set(found)) == wanted
    (hits,) = adapter.reading(LAYOUT).query(Query("theirs", {DENSE: np.eye(3, dtype=np.float32)[:1]}, Metric.DOT, 150))
    assert len(hits) == 150
    assert {hit.record.metadata.get("lang") for hit in hits} == {"de"}


def test_counting_everything_is_one_look_at_the_statistics(adapter, emulator):
    adapter.reading(LAYOUT).describe(Describe("theirs"))
    emulator.forget()
    assert adapter.reading(LAYOUT).count(Count("theirs")) == 3
    assert adapter.reading(namespaced("acme")).count(Count("theirs")) == 1
    assert {each.path for each in emulator.exchanges if each.index} == {"/describe_index_stats"}


def test_long_ids_do_not_make_the_address_too_long(adapter, theirs, emulator):
    keys = [f"{i:03}-" + "ä/".encode().hex() * 60 for i in range(40)]
    for start in range(0, 40, 20):
        theirs.upsert(vectors=[(key, [1.0, 0.0, 0.0], {"text": "x"}) for key in keys[start : start + 20]])
    emulator.forget()
    assert len(adapter.reading(LAYOUT).fetch(Fetch("theirs", keys)).records) == 40
    assert len(emulator.sent("/vectors/fetch")) > 1
    assert [len(part) for part in in_address(["x" * 10] * 250)] == [100, 100, 50]
    assert list(in_address(["%" * 3000, "b"])) == [["%" * 3000], ["b"]]


# --------------------------------------------------------------------------------------------- namespaces


def test_one_namespace_is_read(adapter):
    layout = namespaced("acme", text="text")
    assert adapter.reading(layout).describe(Describe("theirs")) is not None
    assert [record.text for record in adapter.reading(layout).scroll(Scroll("theirs")).records] == ["four"]
    assert adapter.reading(namespaced("__default__")).count(Count("theirs")) == 3
    assert list(adapter.reading(layout).fetch(Fetch("theirs", ["a"])).records) == []


def test_a_namespace_that_is_not_there_is_a_conflict(adapter):
    with pytest.raises(CollectionConflict, match=r"no namespace 'acm';.*'__default__', 'acme'"):
        adapter.reading(namespaced("acm")).describe(Describe("theirs"))


@pytest.mark.parametrize(
    ("layout", "message"),
    [
        (ForeignLayout("theirs", "dense"), r"foreign\.vector = 'dense'.*leave it out"),
        (ForeignLayout("theirs", text="$text"), r"no key '\$text'"),
        (ForeignLayout("theirs", fields={"lang": ""}), "no key ''"),
    ],
)
def test_what_a_layout_cannot_say(adapter, kit, layout, message):
    with pytest.raises(CollectionConflict, match=message):
        adapter.reading(layout).describe(Describe("theirs"))
    with pytest.raises(CollectionConflict, match=message):
        adapter.adopt(Adopt("theirs", layout, kit.RECORD))


# ----------------------------------------------------------------------------------------------- adopting


def test_adopting_writes_the_record_and_nothing_else(adapter, kit, emulator):
    before = everything(emulator)
    for record in (kit.RECORD, {"nestvec": 1, "name": "docs", "long": "ü" * 500}):
        adapter.adopt(Adopt("theirs", LAYOUT, record))
        assert everything(emulator) == before
        assert adapter.reading(LAYOUT).describe(Describe("theirs")).record == record
    assert adapter.reading(LAYOUT).count(Count("theirs")) == 3


def test_what_is_not_there_cannot_be_adopted(adapter, kit, emulator):
    with pytest.raises(CollectionNotFound, match="another"):
        adapter.adopt(Adopt("another", LAYOUT, kit.RECORD))
    with pytest.raises(CollectionNotFound, match="another"):
        adapter.reading(LAYOUT).count(Count("another"))


def record_of(layout, name="docs"):
    return {"nestvec": 1, "name": name, "foreign": layout.to_dict()}


def test_the_tags_vouch_for_one_namespace(open_adapter, theirs):
    adapter, acme = open_adapter(), namespaced("acme")
    adapter.adopt(Adopt("theirs", acme, record_of(acme)))
    assert adapter.reading(acme).describe(Describe("theirs")).record == record_of(acme)
    assert adapter.reading(LAYOUT).describe(Describe("theirs")).record is None
    with pytest.raises(CollectionConflict, match=r"adopted already, as 'docs'.*index_host"):
        adapter.adopt(Adopt("theirs", LAYOUT, record_of(LAYOUT, "others")))
    assert adapter.reading(acme).describe(Describe("theirs")).record == record_of(acme)
    adapter.adopt(Adopt("theirs", LAYOUT, record_of(LAYOUT)))
    assert adapter.reading(LAYOUT).describe(Describe("theirs")).record == record_of(LAYOUT)
    adapter.adopt(Adopt("theirs", namespaced("__default__"), record_of(LAYOUT, "renamed")))


def test_own_collections_are_described_as_own(open_adapter, kit):
    adapter = open_adapter()
    adapter.create(kit.create())
    assert adapter.reading(ForeignLayout("docs-1")).describe(Describe("docs-1")).record == kit.RECORD


def test_full_tags_are_left_as_they_are(open_adapter, theirs, kit, emulator):
    emulator.index("theirs").tags = {f"tag-{i}": "x" for i in range(20)}
    before = dict(emulator.index("theirs").tags)
    with pytest.raises(BackendRefused, match=r"would have 2\d tags.*of the 20"):
        open_adapter().adopt(Adopt("theirs", LAYOUT, kit.RECORD))
    assert emulator.index("theirs").tags == before


# ------------------------------------------------------------------------------------------ within one index


@pytest.fixture
def shared(open_adapter, theirs, emulator):
    return open_adapter(index_host=emulator.host("theirs"))


def test_each_namespace_has_a_record_of_its_own(shared):
    acme = namespaced("acme")
    for layout in (LAYOUT, acme):
        shared.adopt(Adopt("theirs", layout, record_of(layout)))
    assert [shared.reading(layout).describe(Describe("theirs")).record for layout in (LAYOUT, acme)] == [
        record_of(LAYOUT),
        record_of(acme),
    ]
    assert shared.list_collections(ListCollections()) == ["theirs"]
    assert shared.describe(Describe("theirs")) is None
    shared.drop(Drop("theirs"))
    assert shared.reading(LAYOUT).count(Count("theirs")) == 3


def test_nestvecs_own_namespaces_are_not_adopted(shared, kit):
    shared.create(kit.create(metric=Metric.DOT))
    shared.write(kit.write([kit.record(0)]))
    for namespace in ("docs-1", "nestvec_catalog"):
        with pytest.raises(CollectionConflict, match="nestvec's own"):
            shared.reading(namespaced(namespace)).describe(Describe("theirs"))
    assert sorted(shared.list_collections(ListCollections())) == ["docs-1", "theirs"]


@pytest.mark.parametrize(
    ("address", "name"),
    [
        ("https://articles-1a2b3c4.svc.aped-4627-b74a.pinecone.io", "articles"),
        ("my-articles-1a2b3c4.svc.us-east1-gcp.pinecone.io", "my-articles"),
        ("http://localhost:5081", "localhost:5081"),
    ],
)
def test_the_address_says_what_the_index_is_called(address, name):
    options = PineconeOptions.model_validate({"index_host": address})
    assert NamespaceCatalog(None, options.index_host).own_name == name
