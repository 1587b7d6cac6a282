"""Collections that somebody else made, as Qdrant has them: vectors, ids, payloads and what must stay as it was."""

from __future__ import annotations

import warnings
from contextlib import closing
from datetime import UTC, datetime

import numpy as np
import pytest
from qdrant_client import QdrantClient, models

from nestvec.contract import Adopt, Count, Describe, Fetch, ForeignLayout, Query, Scroll
from nestvec.contract.foreign_records import original
from nestvec.errors import BackendRefused, CollectionConflict, CollectionNotFound, Unsupported
from nestvec.filters import F, resolve, to_foreign
from nestvec.types import DENSE, Field, Metric, Record
from nestvec_qdrant.adopt import native_ids, selection
from nestvec_qdrant.filters import foreign_path, keys_of
from nestvec_qdrant.records import batch_of
from nestvec_qdrant.testing import StatusFault

COSINE = models.VectorParams(size=3, distance=models.Distance.COSINE)
UUID = "6f1c9c5e-7d1b-4c6e-9a53-0c8c1f5b2a11"
FIELDS = {"lang": Field.parse("keyword"), "year": Field.parse("integer"), "at": Field.parse("datetime")}
LANGCHAIN = ForeignLayout("theirs", text="page_content", fields={name: f"metadata.{name}" for name in FIELDS})


@pytest.fixture
def vendor(form, adapter, server):
    """Qdrant's own client on the same store."""
    if form in ("memory", "folder"):
        yield adapter.client.raw
    else:
        with closing(QdrantClient(url=server.url)) as client:
            yield client


@pytest.fixture
def langchain(vendor):
    """What LangChain's vector store writes; one record of another shape among them."""
    vendor.create_collection("theirs", COSINE)
    years = {7: 2001, UUID: 2002, 2**64 - 1: 2003}
    points = [
        models.PointStruct(
            id=key,
            vector=[1.0, float(i), 0.0],
            payload={
                "page_content": f"text {i}",
                "metadata": {"lang": "de" if i else "en", "year": year, "at": f"{year}-06-01T00:00:00+02:00"},
            },
        )
        for i, (key, year) in enumerate(years.items())
    ]
    vendor.upsert("theirs", [*points, models.PointStruct(id=0, vector=[0.0, 0.0, 1.0], payload={"metadata": "none"})])
    return vendor


def where(condition, layout=LANGCHAIN, fields=FIELDS):
    return to_foreign(resolve(condition, fields), layout.fields)


def everything(vendor, name="theirs"):
    """All that Qdrant shows of a collection but its metadata."""
    info = vendor.get_collection(name).model_dump()
    info["config"].pop("metadata")
    points, _ = vendor.scroll(name, limit=100, with_vectors=True)
    return info, [point.model_dump() for point in points], vendor.get_aliases().model_dump()


# ------------------------------------------------------------------------------------------------ vectors


def make(vendor, vectors, sparse=None):
    vendor.create_collection("theirs", vectors, sparse_vectors_config=sparse)


MULTI = COSINE.model_copy(
    update={"multivector_config": models.MultiVectorConfig(comparator=models.MultiVectorComparator.MAX_SIM)}
)
DOT = models.VectorParams(size=5, distance=models.Distance.DOT)


@pytest.mark.parametrize(
    ("vectors", "wanted", "size", "metric"),
    [
        (COSINE, None, 3, Metric.COSINE),
        (COSINE, "", 3, Metric.COSINE),
        ({"content": DOT}, None, 5, Metric.DOT),
        ({"title": COSINE, "content": DOT}, "content", 5, Metric.DOT),
        ({"content": COSINE, "tokens": MULTI}, None, 3, Metric.COSINE),
    ],
)
def test_the_vector_that_is_meant_is_described(adapter, vendor, vectors, wanted, size, metric):
    make(vendor, vectors, {"words": models.SparseVectorParams()})
    info = adapter.reading(ForeignLayout("theirs", wanted)).describe(Describe("theirs"))
    assert (dict(info.vectors), info.metric, info.record) == ({DENSE: size}, metric, None)


@pytest.mark.parametrize(
    ("vectors", "wanted", "message"),
    [
        ({"title": COSINE, "content": DOT}, None, r"not exactly one dense vector.*'title', 'content'"),
        ({"title": COSINE, "content": DOT}, "body", r"no dense vector 'body'.*'title', 'content'"),
        ({"title": COSINE}, "", r"no dense vector ''.*'title'"),
        (COSINE, "content", r"no dense vector 'content'.*only one has no name; leave foreign\.vector out"),
        ({"title": COSINE, "tokens": MULTI}, "tokens", r"'tokens' is multivector.*dense one: 'title'"),
        ({"title": COSINE}, "words", r"'words' is sparse.*dense one: 'title'"),
        ({}, None, r"not exactly one dense vector.*there is none"),
    ],
)
def test_a_vector_that_is_not_there_or_not_clear_is_a_conflict(adapter, vendor, vectors, wanted, message):
    make(vendor, vectors, {"words": models.SparseVectorParams()})
    for ask in (
        lambda layout: adapter.reading(layout).describe(Describe("theirs")),
        lambda layout: adapter.reading(layout).count(Count("theirs")),
    ):
        with pytest.raises(CollectionConflict, match=message):
            ask(ForeignLayout("theirs", wanted))


def test_a_distance_that_nestvec_does_not_know_is_a_conflict(adapter, vendor):
    make(vendor, models.VectorParams(size=3, distance=models.Distance.MANHATTAN))
    with pytest.raises(CollectionConflict, match="Manhattan"):
        adapter.reading(ForeignLayout("theirs")).describe(Describe("theirs"))


def test_the_named_vector_is_read_and_searched(adapter, vendor):
    make(vendor, {"title": COSINE, "content": DOT}, {"words": models.SparseVectorParams()})
    words = models.SparseVector(indices=[1], values=[1.0])
    rows = np.eye(5, dtype=np.float32)[:3]
    vendor.upsert(
        "theirs",
        [
            models.PointStruct(id=i, vector={"title": [1.0, 0.0, 0.0], "content": row.tolist(), "words": words})
            for i, row in enumerate(rows)
        ],
    )
    layout = ForeignLayout("theirs", "content")
    batch = adapter.reading(layout).scroll(Scroll("theirs", vectors=True))
    assert list(batch.vectors) == [DENSE]
    np.testing.assert_array_equal(batch.vectors[DENSE], rows)
    (hits,) = adapter.reading(layout).query(Query("theirs", {DENSE: 2 * rows[1:2]}, Metric.DOT, 1))
    assert [(hit.record.id, hit.score) for hit in hits] == [("1", 2.0)]
    assert adapter.reading(layout).query(Query("theirs", {DENSE: rows}, Metric.DOT, 0)) == [[], [], []]


def test_records_without_the_vector_are_passed_over(adapter, vendor):
    make(vendor, {"title": COSINE, "content": COSINE})
    both = {"title": [1.0, 0.0, 0.0], "content": [0.0, 1.0, 0.0]}
    vendor.upsert(
        "theirs",
        [models.PointStruct(id=1, vector=both), models.PointStruct(id=2, vector={"title": [1.0, 0.0, 0.0]})],
    )
    layout = ForeignLayout("theirs", "content")
    assert adapter.reading(layout).count(Count("theirs")) == 1
    for batch in (
        adapter.reading(layout).scroll(Scroll("theirs", vectors=True)),
        adapter.reading(layout).fetch(Fetch("theirs", ["1", "2"], vectors=True)),
    ):
        assert [record.id for record in batch.records] == ["1"]
        np.testing.assert_array_equal(batch.vectors[DENSE], [[0, 1, 0]])


def test_a_point_without_any_vector_is_passed_over():
    points = [models.Record(id=1, vector=None), models.Record(id=2, vector=[0.0, 1.0, 0.0])]
    batch = batch_of(points, vectors=True, layout=ForeignLayout("theirs"), vector="")
    assert [record.id for record in batch.records] == ["2"]


def test_an_unnamed_vector_beside_a_sparse_one(adapter, vendor):
    make(vendor, COSINE, {"words": models.SparseVectorParams()})
    words = models.SparseVector(indices=[1], values=[1.0])
    vendor.upsert("theirs", [models.PointStruct(id=1, vector={"": [0.0, 1.0, 0.0], "words": words})])
    batch = adapter.reading(ForeignLayout("theirs")).fetch(Fetch("theirs", ["1"], vectors=True))
    np.testing.assert_array_equal(batch.vectors[DENSE], [[0, 1, 0]])


# ---------------------------------------------------------------------------------------------------- ids


def test_numbers_and_uuids_are_ids(adapter, langchain):
    keys = {"7", UUID, str(2**64 - 1), "0"}
    pages, cursor = [], None
    while len(pages) < 5:
        page = adapter.reading(LANGCHAIN).scroll(Scroll("theirs", None, 1, cursor))
        pages += page.records
        cursor = page.cursor
        if cursor is None:
            break
    assert {record.id for record in pages} == keys
    assert all(record.document_id == record.id for record in pages)
    asked = [*keys, "8", "-1", "7.0", "their-7", "", UUID.upper(), UUID.replace("-", ""), str(2**64), "9" * 5000, "٧"]
    batch = adapter.reading(LANGCHAIN).fetch(Fetch("theirs", asked))
    assert {record.id for record in batch.records} == keys
    assert list(adapter.reading(LANGCHAIN).fetch(Fetch("theirs", ["their-7"], vectors=True)).records) == []


def test_native_ids():
    assert native_ids(["7", UUID, "07", "x", UUID.upper(), UUID.replace("-", "")]) == [7, UUID]


# ---------------------------------------------------------------------------------------------- payloads


def test_langchains_layout(adapter, langchain):
    (hits,) = adapter.reading(LANGCHAIN).query(
        Query("theirs", {DENSE: np.array([[1, 1, 0]], np.float32)}, Metric.COSINE, 1)
    )
    assert hits[0].record == Record(
        UUID, UUID, "text 1", {"lang": "de", "year": 2002, "at": "2002-06-01T00:00:00+02:00"}, {}
    )
    assert adapter.reading(LANGCHAIN).count(Count("theirs", where(F.lang == "de"))) == 2
    assert adapter.reading(LANGCHAIN).count(Count("theirs", where(F.lang != "de"))) == 2
    assert adapter.reading(LANGCHAIN).count(Count("theirs", where(F.year.exists()))) == 3
    assert adapter.reading(LANGCHAIN).count(Count("theirs")) == 4


def test_datetimes_are_strings_and_compare_as_instants(adapter, langchain):
    midnight = datetime(2002, 5, 31, 22, tzinfo=UTC)  # of June 1st, two hours east
    after = F.at > midnight
    for condition, count in ((F.at == midnight, 1), (after, 1), (F.at <= midnight, 2), (~after, 3)):
        assert adapter.reading(LANGCHAIN).count(Count("theirs", where(condition))) == count


def test_dots_lead_inside_and_quotation_marks_keep_keys_together(adapter, vendor):
    make(vendor, COSINE)
    payloads = [
        {"a": {"b": "nested"}, "a.b": "flat", "Straße nr": "x"},
        {"a": {"b.c": "half"}},
        {"a": {"b": {"c": "deep"}}},
        {"a": [{"b": "listed"}]},
    ]
    vendor.upsert(
        "theirs", [models.PointStruct(id=i, vector=[1.0, 0.0, 0.0], payload=each) for i, each in enumerate(payloads)]
    )
    paths = {"a.b": "nested", '"a.b"': "flat", 'a."b.c"': "half", "a.b.c": "deep", "Straße nr": "x"}
    for path, value in paths.items():
        layout = ForeignLayout("theirs", fields={"lang": path})
        found = adapter.reading(layout).scroll(Scroll("theirs", where(F.lang == value, layout))).records
        assert [record.metadata["lang"] for record in found] == [value], path
        read = adapter.reading(layout).scroll(Scroll("theirs")).records
        there = [original(record.metadata).get("lang") for record in read]
        assert [each for each in there if isinstance(each, str)] == [value]


def test_ids_and_texts_from_the_payload(adapter, vendor):
    make(vendor, COSINE)
    payloads = [{"doc": {"id": 12}, "body": "text"}, {"doc": {"id": "k"}, "body": 5}, {}]
    vendor.upsert(
        "theirs", [models.PointStruct(id=i, vector=[1.0, 0.0, 0.0], payload=each) for i, each in enumerate(payloads)]
    )
    layout = ForeignLayout("theirs", id="doc.id", text="body")
    records = adapter.reading(layout).scroll(Scroll("theirs")).records
    assert [(each.id, each.document_id, each.text) for each in records] == [
        ("0", "12", "text"),
        ("1", "k", None),
        ("2", "2", None),
    ]
    bare = adapter.reading(layout).scroll(Scroll("theirs", content=False)).records
    assert [(each.document_id, each.text) for each in bare] == [("12", None), ("k", None), ("2", None)]


def test_content_is_all_of_it_and_without_it_the_id_alone_is_asked_for():
    assert selection(LANGCHAIN, content=True) is True
    assert selection(LANGCHAIN, content=False) is False
    assert selection(ForeignLayout("theirs", id="doc.id", text="body"), content=False) == ["doc"]
    assert selection(ForeignLayout("theirs", id='"a.b"'), content=False) is True


@pytest.mark.parametrize("path", ["", "a..b", ".a", "a.", 'a."b', '"a"b', '""'])
def test_what_is_no_path_is_a_conflict(adapter, langchain, path):
    for layout in (ForeignLayout("theirs", text=path), ForeignLayout("theirs", fields={"lang": path})):
        with pytest.raises(CollectionConflict, match="leads nowhere"):
            adapter.reading(layout).describe(Describe("theirs"))


def test_paths():
    assert keys_of("a.b c.d") == ("a", "b c", "d")
    assert [foreign_path(path) for path in ("a.b", '"a.b"', "a[0].b", "ä")] == ["a.b", '"a.b"', '"a[0]".b', '"ä"']


def test_other_vectors_are_said_to_be_unread(adapter, vendor):
    make(vendor, {"title": COSINE, "content": COSINE}, {"words": models.SparseVectorParams()})
    info = adapter.reading(ForeignLayout("theirs", "content")).describe(Describe("theirs"))
    assert info.unread == ("vector 'title'", "vector 'words'")


# ----------------------------------------------------------------------------------------------- adoption


def test_adopting_writes_the_record_and_nothing_else(adapter, langchain, kit):
    langchain.update_collection("theirs", metadata={"owner": "them"})
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Payload indexes have no effect", UserWarning)
        langchain.create_payload_index("theirs", "metadata.year", models.PayloadSchemaType.INTEGER)
    alias = models.CreateAlias(collection_name="theirs", alias_name="current")
    langchain.update_collection_aliases([models.CreateAliasOperation(create_alias=alias)])
    before = everything(langchain)
    for record in (kit.RECORD, {"nestvec": 1, "other": {"a": "ü"}}):
        adapter.adopt(Adopt("theirs", LANGCHAIN, record))
        assert everything(langchain) == before
        assert langchain.get_collection("theirs").config.metadata == {"owner": "them", "nestvec": record}
        assert adapter.reading(LANGCHAIN).describe(Describe("theirs")).record == record


@pytest.mark.parametrize("form", ["server", "async"], indirect=True)
def test_adopting_sends_one_change(adapter, langchain, kit, server):
    server.clear_requests()
    adapter.adopt(Adopt("theirs", LANGCHAIN, kit.RECORD))
    assert [(each.method, each.path) for each in server.requests] == [("PATCH", "/collections/theirs")]


@pytest.mark.parametrize("form", ["server", "async"], indirect=True)
def test_a_server_that_wants_an_index_says_which(adapter, langchain, server):
    told = 'Bad request: Index required but not found for "metadata.lang" of one of the following types: [keyword].'
    server.inject(StatusFault(status=400, error=told), path="/collections/theirs/points/count")
    with pytest.raises(BackendRefused, match=r"metadata\.lang.*strict mode.*create that index"):
        adapter.reading(LANGCHAIN).count(Count("theirs", where(F.lang == "de")))


def test_what_is_not_there_cannot_be_adopted(adapter, kit):
    assert adapter.reading(LANGCHAIN).describe(Describe("theirs")) is None
    with pytest.raises(CollectionNotFound):
        adapter.adopt(Adopt("theirs", LANGCHAIN, kit.RECORD))
    for request in (Count("theirs"), Fetch("theirs", ["1"])):
        with pytest.raises(CollectionNotFound, match="theirs"):
            getattr(adapter.reading(LANGCHAIN), request.method)(request)


def test_there_are_no_namespaces(adapter, langchain, kit):
    layout = ForeignLayout("theirs", namespace="acme")
    for act in (
        lambda: adapter.reading(layout).describe(Describe("theirs")),
        lambda: adapter.adopt(Adopt("theirs", layout, kit.RECORD)),
    ):
        with pytest.raises(Unsupported, match=r"foreign\.namespace = 'acme'.*no namespaces; leave it out"):
            act()
    assert not langchain.get_collection("theirs").config.metadata


@pytest.mark.parametrize("form", ["server", "async"], indirect=True)
def test_types_are_known_from_indexes(adapter, vendor):
    make(vendor, COSINE)
    kinds = {
        "metadata.year": models.PayloadSchemaType.INTEGER,
        'metadata."at"': models.PayloadSchemaType.DATETIME,
        "metadata.lang": models.PayloadSchemaType.KEYWORD,
        "metadata.names[]": models.PayloadSchemaType.INTEGER,
        "other": models.PayloadSchemaType.BOOL,
        "place": models.PayloadSchemaType.GEO,
    }
    for path, kind in kinds.items():
        vendor.create_payload_index("theirs", path, kind)
    layout = ForeignLayout("theirs", fields={**LANGCHAIN.fields, "price": "metadata.price", "place": "place"})
    # An index of keywords may hold datetimes as well.
    assert adapter.reading(layout).describe(Describe("theirs")).fields == {"year": FIELDS["year"], "at": FIELDS["at"]}


def test_embedded_stores_know_no_types(kit, tmp_path):
    with closing(kit.open(kit.options(path=":memory:"))) as adapter:
        make(adapter.client.raw, COSINE)
        assert adapter.reading(LANGCHAIN).describe(Describe("theirs")).fields is None


def test_a_renewed_description_finds_a_renamed_vector(adapter, vendor):
    """Somebody else may make the collection anew at any time."""
    layout = ForeignLayout("theirs")
    for name in ("one", "two"):
        make(vendor, {name: COSINE})
        vendor.upsert("theirs", [models.PointStruct(id=1, vector={name: [1.0, 0.0, 0.0]})])
        adapter.reading(layout).describe(Describe("theirs"))
        assert adapter.reading(layout).count(Count("theirs")) == 1
        vendor.delete_collection("theirs")
