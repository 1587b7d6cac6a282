"""Every request of the contract, on every form of the adapter."""

from __future__ import annotations

from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import pytest
from qdrant_client import QdrantClient, models

from nestvec.contract import (
    Count,
    Describe,
    Drop,
    Fetch,
    ListCollections,
    ListTenants,
    Query,
    ReadNote,
    Remove,
    ResolveAlias,
    Scroll,
    SetAlias,
    Update,
    Write,
    WriteNote,
)
from nestvec.errors import (
    BackendRefused,
    CollectionConflict,
    CollectionNotFound,
    Unsupported,
)
from nestvec.filters import F, resolve, system
from nestvec.types import DENSE, Field, FieldType, Metric
from nestvec_qdrant.options import QdrantCollectionOptions


def names(found):
    return [hit.record.id for hit in found]


# ------------------------------------------------------------------------------------------- collections


def test_a_created_collection_is_described_as_asked_for(adapter, kit, form):
    adapter.create(kit.create())
    info = adapter.describe(Describe("docs_1"))
    assert (info.physical, dict(info.vectors), info.metric) == ("docs_1", {DENSE: 3}, Metric.COSINE)
    assert info.record == kit.RECORD
    assert info.fields == (kit.FIELDS if form in ("server", "async") else None)
    assert adapter.list_collections(ListCollections()) == ["docs_1"]


@pytest.mark.parametrize("metric", list(Metric))
def test_metrics_come_back(adapter, kit, metric):
    adapter.create(kit.create(metric=metric))
    assert adapter.describe(Describe("docs_1")).metric is metric


def test_what_is_not_there_is_none(adapter):
    assert adapter.describe(Describe("docs_1")) is None
    assert adapter.resolve_alias(ResolveAlias("docs")) is None
    assert adapter.list_collections(ListCollections()) == []
    adapter.drop(Drop("docs_1"))


def test_creating_twice_is_creating_once(adapter, kit):
    kit.fill(adapter, [kit.record(1)])
    adapter.create(kit.create())
    assert adapter.count(Count("docs_1")) == 1


def test_creating_over_another_collection_is_a_conflict(adapter, kit):
    adapter.create(kit.create())
    for other in (kit.create(size=4), kit.create(metric=Metric.DOT), kit.create(record={"nestvec": 1})):
        with pytest.raises(CollectionConflict, match="docs_1"):
            adapter.create(other)
    assert adapter.describe(Describe("docs_1")).record == kit.RECORD


def test_update_replaces_the_record_as_a_whole(adapter, kit):
    adapter.create(kit.create())
    adapter.update(Update("docs_1", kit.FIELDS, {"nestvec": 1, "space": {"model": "m"}}))
    assert adapter.describe(Describe("docs_1")).record == {"nestvec": 1, "space": {"model": "m"}}


def test_update_leaves_other_metadata_alone_and_adds_indexes(remote, server, kit):
    remote.create(kit.create())
    with closing(QdrantClient(url=server.url, check_compatibility=False)) as client:
        client.update_collection("docs_1", metadata={"team": "search"})
        fields = {**kit.FIELDS, "tags": Field(FieldType.KEYWORD, many=True)}
        remote.update(Update("docs_1", fields, {**kit.RECORD, "fields": {"tags": "keyword[]"}}))
        assert client.get_collection("docs_1").config.metadata["team"] == "search"
    assert remote.describe(Describe("docs_1")).fields == fields


def test_notes_are_keys_of_their_own_beside_other_metadata(remote, server, kit):
    remote.create(kit.create())
    with closing(QdrantClient(url=server.url, check_compatibility=False)) as client:

        def kept():
            return client.get_collection("docs_1").config.metadata

        client.update_collection("docs_1", metadata={"team": "search"})
        for name in ("canaries", "move"):
            remote.write_note(WriteNote("docs_1", name, f"text of {name}"))
        own = {"nestvec": kit.RECORD, "team": "search"}
        notes = {"nestvec-note-canaries": "text of canaries", "nestvec-note-move": "text of move"}
        assert kept() == own | notes
        for name in ("canaries", "move"):
            remote.write_note(WriteNote("docs_1", name, None))
        assert kept() == own


def test_removing_a_note_where_there_is_no_metadata_yet(remote, server):
    size = models.VectorParams(size=3, distance=models.Distance.COSINE)
    with closing(QdrantClient(url=server.url, check_compatibility=False)) as client:
        client.create_collection("theirs", size)
    remote.write_note(WriteNote("theirs", "canaries", None))
    assert remote.read_note(ReadNote("theirs", "canaries")) is None
    assert remote.describe(Describe("theirs")).record is None


def test_indexes_on_a_server(remote, server, kit):
    fields = {kind.value: Field(kind) for kind in FieldType} | {"a.b[0]": Field(FieldType.KEYWORD)}
    remote.create_extended(kit.create(fields=fields, tenants=True))
    with closing(QdrantClient(url=server.url, check_compatibility=False)) as client:
        schema = client.get_collection("docs_1").payload_schema
    assert {path: index.data_type.value for path, index in schema.items()} == {
        "metadata.keyword": "keyword",
        "metadata.integer": "integer",
        "metadata.float": "float",
        "metadata.boolean": "bool",
        "metadata.datetime": "datetime",
        'metadata."a.b[0]"': "keyword",
        "document_id": "keyword",
        "nestvec.chunk": "integer",
        "nestvec.layout": "keyword",
        "tenant": "keyword",
    }
    assert schema["tenant"].params.is_tenant is True


def test_an_interrupted_creation_is_completed(remote, server, kit):
    remote.create(kit.create())
    with closing(QdrantClient(url=server.url, check_compatibility=False)) as client:
        client.delete_payload_index("docs_1", "metadata.year")
    server.clear_requests()
    remote.create(kit.create())
    made = [request.body["field_name"] for request in server.requests if request.path.endswith("/index")]
    assert made == ["metadata.year"]


@pytest.mark.parametrize("name", ['say "no"', ""])
def test_a_field_name_that_no_path_can_express_is_refused(adapter, kit, name):
    with pytest.raises(Unsupported, match="docs_1"):
        adapter.create(kit.create(fields={name: Field(FieldType.KEYWORD)}))
    assert adapter.list_collections(ListCollections()) == []


def test_collection_options_reach_the_server(remote, server, kit):
    options = QdrantCollectionOptions.model_validate(
        {"hnsw_m": 8, "on_disk": True, "on_disk_payload": True, "shard_number": 2, "replication_factor": 1}
    )
    remote.create(kit.create(options=options))
    (body,) = [r.body for r in server.requests if r.method == "PUT" and r.path == "/collections/docs_1"]
    assert body["vectors"]["dense"] == {"size": 3, "distance": "Cosine", "on_disk": True}
    assert body["hnsw_config"] == {"m": 8}
    assert (body["on_disk_payload"], body["shard_number"], body["replication_factor"]) == (True, 2, 1)


def test_an_embedded_store_refuses_options_that_it_would_ignore(kit, tmp_path):
    adapter = kit.open(kit.options(path=":memory:"))
    with pytest.raises(Unsupported, match="hnsw_m"):
        adapter.create(kit.create(options=QdrantCollectionOptions.model_validate({"hnsw_m": 8})))
    adapter.create(kit.create(options=QdrantCollectionOptions.model_validate({})))
    adapter.close()


def test_the_pointer_moves_and_is_no_collection(adapter, kit):
    for name in ("docs_1", "docs_2"):
        adapter.create(kit.create(name))
        adapter.set_alias(SetAlias("docs", name))
        adapter.set_alias(SetAlias("docs", name))
        assert adapter.resolve_alias(ResolveAlias("docs")) == name
    assert adapter.describe(Describe("docs")) is None
    assert sorted(adapter.list_collections(ListCollections())) == ["docs_1", "docs_2"]


def test_the_pointer_moves_in_one_request(remote, server, kit):
    remote.create(kit.create("docs_1"))
    remote.create(kit.create("docs_2"))
    remote.set_alias(SetAlias("docs", "docs_1"))
    server.clear_requests()
    remote.set_alias(SetAlias("docs", "docs_2"))
    (switch,) = [r.body for r in server.requests if r.method == "POST"]
    assert [next(iter(action)) for action in switch["actions"]] == ["delete_alias", "create_alias"]


def test_a_pointer_needs_a_collection_and_a_name_of_its_own(adapter, kit):
    with pytest.raises(CollectionNotFound):
        adapter.set_alias(SetAlias("docs", "docs_1"))
    adapter.create(kit.create("docs_1"))
    adapter.create(kit.create("other"))
    with pytest.raises(BackendRefused):
        adapter.set_alias(SetAlias("other", "docs_1"))


def test_drop_deletes_the_collection(adapter, kit):
    kit.fill(adapter, [kit.record(1)])
    adapter.drop(Drop("docs_1"))
    assert adapter.describe(Describe("docs_1")) is None


@pytest.mark.parametrize(
    ("config", "vectors"),
    [
        (models.VectorParams(size=5, distance=models.Distance.DOT), {"": 5}),
        ({"a": models.VectorParams(size=2, distance=models.Distance.DOT)}, {"a": 2}),
        ({}, {}),
    ],
)
def test_foreign_collections_are_described(remote, server, config, vectors):
    with closing(QdrantClient(url=server.url, check_compatibility=False)) as client:
        client.create_collection("theirs", config)
    info = remote.describe(Describe("theirs"))
    assert (info.record, dict(info.vectors)) == (None, vectors)


def test_a_foreign_metric_is_no_known_metric(remote, server):
    with closing(QdrantClient(url=server.url, check_compatibility=False)) as client:
        client.create_collection("theirs", models.VectorParams(size=5, distance=models.Distance.MANHATTAN))
    with pytest.raises(Unsupported, match="Manhattan"):
        remote.describe(Describe("theirs"))


# ------------------------------------------------------------------------------------------------ records


def test_records_come_back_as_they_were(adapter, kit):
    moment = datetime(2024, 2, 29, 12, 30, tzinfo=UTC)
    record = kit.record(1, "Straße\n👋", "hr-7", lang="de", year=2**60, tags=["a", "b"], at=moment, ratio=0.1, ok=True)
    kit.fill(adapter, [record, replace(kit.record(2), text=None)])
    batch = adapter.fetch(Fetch("docs_1", [kit.identity(2), kit.identity(1), kit.identity(9)]))
    found = {each.id: each for each in batch.records}
    assert set(found) == {kit.identity(1), kit.identity(2)}
    back = found[record.id]
    assert back == replace(record, metadata={**record.metadata, "at": "2024-02-29T12:30:00.000000Z"})
    assert isinstance(back.metadata["year"], int)
    assert found[kit.identity(2)].text is None
    assert batch.vectors is None


def test_vectors_come_when_asked_for(adapter, kit):
    kit.fill(adapter, [kit.record(1), kit.record(2)], metric=Metric.DOT)
    batch = adapter.fetch(Fetch("docs_1", [kit.identity(2)], vectors=True))
    assert batch.vectors[DENSE].dtype == np.float32
    assert batch.vectors[DENSE].tolist() == [[0, 1, 0]]
    assert adapter.fetch(Fetch("docs_1", [kit.identity(7)], vectors=True)).vectors[DENSE].shape[0] == 0


def test_without_content_system_fields_are_enough(adapter, kit):
    kit.fill(adapter, [kit.record(1, lang="de")])
    for batch in (
        adapter.fetch(Fetch("docs_1", [kit.identity(1)], content=False)),
        adapter.scroll(Scroll("docs_1", content=False)),
    ):
        (record,) = batch.records
        assert (record.document_id, record.system) == ("d", {"chunk": 1, "layout": "l1"})
        assert (record.text, record.metadata) == (None, {})


def test_writing_again_replaces(adapter, kit):
    kit.fill(adapter, [kit.record(1, "old", lang="de")])
    adapter.write(Write("docs_1", [kit.record(1, "new")], kit.vectors([0, 0, 1])))
    (record,) = adapter.fetch(Fetch("docs_1", [kit.identity(1)])).records
    assert (record.text, record.metadata, adapter.count(Count("docs_1"))) == ("new", {}, 1)


def test_arrays_of_any_layout_are_written(adapter, kit):
    adapter.create(kit.create(metric=Metric.DOT))
    wide = np.asfortranarray(np.arange(12, dtype=np.float64).reshape(2, 6))
    adapter.write(Write("docs_1", [kit.record(1), kit.record(2)], {DENSE: wide[:, :3]}))
    batch = adapter.fetch(Fetch("docs_1", [kit.identity(2)], vectors=True))
    assert batch.vectors[DENSE].tolist() == [[6, 7, 8]]


def test_nothing_to_write_or_remove_is_no_error(adapter, kit):
    adapter.create(kit.create())
    adapter.write(Write("docs_1", [], {DENSE: np.zeros((0, 3), np.float32)}))
    adapter.remove(Remove("docs_1", []))
    assert adapter.fetch(Fetch("docs_1", [])).records == []


def test_remove_deletes_what_is_there(adapter, kit):
    kit.fill(adapter, [kit.record(n) for n in range(4)])
    adapter.remove(Remove("docs_1", [kit.identity(3), kit.identity(1), kit.identity(9)]))
    assert sorted(r.system["chunk"] for r in adapter.scroll(Scroll("docs_1")).records) == [0, 2]


def test_scroll_reads_everything_once(adapter, kit):
    kit.fill(adapter, [kit.record(n, lang="de" if n % 2 else "en") for n in range(10)])
    where = resolve(F.lang == "de", kit.FIELDS)
    seen, cursor = [], None
    while True:
        page = adapter.scroll(Scroll("docs_1", where, limit=2, cursor=cursor, vectors=True))
        assert len(page.records) <= 2
        assert page.vectors[DENSE].shape == (len(page.records), 3)
        seen += [record.system["chunk"] for record in page.records]
        cursor = page.cursor
        assert cursor is None or type(cursor) in (str, int)
        if cursor is None:
            break
    assert sorted(seen) == [1, 3, 5, 7, 9]


def test_count_takes_filters_on_system_fields(adapter, kit):
    kit.fill(adapter, [kit.record(n, document=f"d{n % 2}") for n in range(5)])
    assert adapter.count(Count("docs_1", system("chunk", FieldType.INTEGER) >= 3)) == 2
    assert adapter.count(Count("docs_1", system("document_id", FieldType.KEYWORD) == "d1")) == 2
    assert adapter.count(Count("docs_1", ~(system("layout", FieldType.KEYWORD) == "l1"))) == 0


def test_tenants_do_not_see_each_other(adapter, kit):
    kit.fill(adapter, [kit.record(1)], tenants=True, tenant="a")
    adapter.of_tenant("b").write(Write("docs_1", [kit.record(2)], kit.vectors([1, 0, 0])))
    ids = [kit.identity(1), kit.identity(2)]
    for tenant, expected in (("a", ids[:1]), ("b", ids[1:]), ("c", []), (None, ids)):
        view = adapter if tenant is None else adapter.of_tenant(tenant)
        query = Query("docs_1", kit.vectors([1, 1, 1]), Metric.COSINE, 5)
        assert sorted(names(view.query(query)[0])) == expected
        assert sorted(r.id for r in view.scroll(Scroll("docs_1")).records) == expected
        for content in (True, False):
            fetched = view.fetch(Fetch("docs_1", ids, content=content)).records
            assert sorted(r.id for r in fetched) == expected
        assert view.count(Count("docs_1")) == len(expected)


def test_more_tenants_than_one_answer_holds_are_all_named(adapter, kit, monkeypatch):
    monkeypatch.setattr("nestvec_qdrant.adapter._TENANTS", 2)
    wanted = ["b", "550E8400E29B41D4A716446655440000", "a", "ünï"]
    kit.fill(adapter, [kit.record(0)], tenants=True, tenant=wanted[0])
    for number, tenant in enumerate(wanted[1:], 1):
        adapter.of_tenant(tenant).write(Write("docs_1", [kit.record(number)], kit.vectors([1, 0, 0])))
        assert sorted(adapter.list_tenants(ListTenants("docs_1"))) == sorted(wanted[: number + 1])


def test_tenants_without_an_index_are_read(adapter, kit):
    """As another program, or a creation that broke off, leaves a collection."""
    kit.fill(adapter, [kit.record(0)], tenant="a")
    adapter.of_tenant("b").write(Write("docs_1", [kit.record(1)], kit.vectors([1, 0, 0])))
    assert sorted(adapter.list_tenants(ListTenants("docs_1"))) == ["a", "b"]


# ------------------------------------------------------------------------------------------------- search

ROWS = [[1, 0, 0], [3, 4, 0], [0, 2, 0], [-1, 0, 0]]
SCORES = {
    Metric.COSINE: [1, 0.6, 0, -1],
    Metric.DOT: [1, 3, 0, -1],
    Metric.EUCLIDEAN: [0, -(20**0.5), -(5**0.5), -2],
}


@pytest.fixture(params=list(Metric))
def searched(request, adapter, kit):
    metric = request.param
    kit.fill(adapter, [kit.record(n) for n in range(4)], metric=metric, rows=ROWS)

    def search(rows=((1, 0, 0),), limit=10, **more):
        return adapter.query(Query("docs_1", kit.vectors(*rows), metric, limit, **more))

    order = sorted(range(4), key=lambda n: -SCORES[metric][n])
    return search, order, SCORES[metric]


def test_scores_are_higher_is_better(searched):
    search, order, scores = searched
    (found,) = search()
    assert [hit.record.system["chunk"] for hit in found] == order
    assert [hit.score for hit in found] == pytest.approx([scores[n] for n in order], abs=1e-6)


def test_limit_and_offset(searched):
    search, order, _ = searched
    assert [hit.record.system["chunk"] for hit in search(limit=2, offset=1)[0]] == order[1:3]
    assert search(limit=0) == [[]]
    assert search(offset=9) == [[]]


def test_a_threshold_lets_scores_on_it_pass(searched):
    search, order, _ = searched
    (everything,) = search()
    for cut, hit in enumerate(everything):
        kept = search(threshold=hit.score)[0]
        assert [each.record.system["chunk"] for each in kept] == order[: cut + 1]
        above = float(np.nextafter(np.float32(hit.score), np.float32(np.inf)))
        assert [each.record.system["chunk"] for each in search(threshold=above)[0]] == order[:cut]


def test_many_questions_are_answered_in_order(searched):
    search, _, _ = searched
    rows = [[1, 0, 0], [-1, 0, 0], [0, 1, 0]] * 50
    answers = search(rows, limit=1)
    alone = [search([row], limit=1)[0][0].record for row in rows[:3]]
    assert [answer[0].record for answer in answers] == alone * 50


def test_search_is_filtered(adapter, kit):
    kit.fill(adapter, [kit.record(1, lang="de"), kit.record(2, lang="en")])
    query = Query("docs_1", kit.vectors([1, 1, 1]), Metric.COSINE, 5, where=resolve(F.lang == "en", kit.FIELDS))
    (hit,) = adapter.query(query)[0]
    assert hit.record == kit.record(2, lang="en")


# ------------------------------------------------------------------------------------------------- errors


def test_requests_to_a_missing_collection_say_so(adapter, kit):
    for method, request in {
        "write": Write("gone", [kit.record(1)], kit.vectors([1, 0, 0])),
        "remove": Remove("gone", [kit.identity(1)]),
        "fetch": Fetch("gone", [kit.identity(1)]),
        "scroll": Scroll("gone"),
        "count": Count("gone"),
        "list_tenants": ListTenants("gone"),
        "query": Query("gone", kit.vectors([1, 0, 0]), Metric.COSINE, 1),
        "update": Update("gone", {}, {}),
    }.items():
        with pytest.raises(CollectionNotFound, match="gone") as caught:
            getattr(adapter, method)(request)
        assert caught.value.__cause__ is not None


def test_vectors_of_another_size_are_refused(adapter, kit):
    kit.fill(adapter, [kit.record(1)])
    with pytest.raises(BackendRefused, match="docs_1"):
        adapter.write(Write("docs_1", [kit.record(2)], kit.vectors([1, 0])))
    with pytest.raises(BackendRefused, match="docs_1"):
        adapter.query(Query("docs_1", kit.vectors([1, 0]), Metric.COSINE, 1))
    assert adapter.count(Count("docs_1")) == 1


def test_a_closed_adapter_says_so(adapter):
    adapter.close() if not hasattr(adapter, "runner") else adapter.runner.run(adapter.adapter.close())
    with pytest.raises(BackendRefused, match="closed"):
        adapter.list_collections(ListCollections())


def test_capabilities_are_asked_of_the_store(adapter, form):
    found = adapter.capabilities()
    assert found.embedded is (form in ("memory", "folder"))
    assert found.exact is found.embedded
