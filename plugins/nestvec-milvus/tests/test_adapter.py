"""Requests of the contract, on Milvus Lite and a real server, beyond what the conformance kit asks."""

from __future__ import annotations

import threading
import time
from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import pytest

from nestvec.contract import (
    Count,
    Describe,
    Drop,
    Fetch,
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
from nestvec.errors import BackendRefused, Unsupported
from nestvec.filters import F, matches, resolve
from nestvec.types import DENSE, Field, FieldType, Metric
from nestvec_milvus.adapter import open_adapter
from nestvec_milvus.client import message, pairs, schemas, unpaired
from nestvec_milvus.creation import creation, indexes
from nestvec_milvus.options import MilvusCollectionOptions
from nestvec_milvus.records import batches, rows_of, vector_column
from nestvec_milvus.schema import OWN_COLUMNS, Columns
from nestvec_milvus.server import ServerVersion
from nestvec_testing.blocking import blocking

OLD = ServerVersion("v2.3.5", (2, 3))
NEW = ServerVersion("v2.6.4", (2, 6))
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
LITE = ServerVersion("milvus_lite-3.2.2", (3, 2), lite=True)


def test_long_texts_ids_and_values_survive(shared, kit):
    moment = datetime(2024, 2, 29, 12, 30, 0, 1, tzinfo=UTC)
    record = kit.record("long", "ü" * 30_000, "東" * 10_000, keyword="k" * 20_000, datetime=moment, datetimes=[moment])
    bare = replace(kit.record("bare", None), metadata={})
    empty = replace(kit.record("empty", ""), metadata={})
    shared.write(Write("shared_1", [record, bare, empty], kit.vectors(3)))
    found = {each.id: each for each in shared.fetch(Fetch("shared_1", ["long", "bare", "empty"])).records}
    micro = 1_709_209_800_000_001
    assert found["long"] == replace(record, metadata={**record.metadata, "datetime": micro, "datetimes": [micro]})
    assert (found["bare"], found["empty"]) == (bare, empty)


def test_the_last_of_two_records_with_one_id_counts(shared, kit):
    first, last = kit.record("twin", "first"), kit.record("twin", "last")
    shared.write(Write("shared_1", [first, kit.record("other"), last], kit.vectors(3)))
    batch = shared.fetch(Fetch("shared_1", ["twin"], vectors=True))
    assert [each.text for each in batch.records] == ["last"]
    assert batch.vectors[DENSE].tolist() == [[0, 0, 1]]


def test_what_was_recreated_by_somebody_else_is_noticed(shared, kit):
    """The columns that the adapter has cached are those of the dropped collection."""
    name = "again_1"
    shared.create(kit.create(name))
    shared.write(Write(name, [kit.record("a", keyword="x")], kit.vectors(1)))
    shared.client.raw.send("DropCollection", message("DropCollection", collection_name=name))
    other = blocking(open_adapter(shared.options, blocking=True)) if not shared.client.embedded else shared
    cached = dict(shared.cache.columns)
    other.create(kit.create(name, fields={"year": Field(FieldType.INTEGER)}))
    shared.cache.columns |= cached
    shared.write(Write(name, [kit.record("b", year=7, keyword="y")], kit.vectors(1)))
    shared.cache.columns |= cached
    where = resolve(F.keyword == "y", {"keyword": Field(FieldType.KEYWORD)})
    assert shared.count(Count(name, where)) == 1
    shared.drop(Drop(name))


def test_a_dropped_collection_takes_its_pointer_along(shared, kit):
    shared.create(kit.create("gone_1", fields={}))
    shared.set_alias(SetAlias("gone", "gone_1"))
    assert shared.resolve_alias(ResolveAlias("gone")) == "gone_1"
    assert shared.describe(Describe("gone")) is None
    shared.drop(Drop("gone"))
    assert shared.resolve_alias(ResolveAlias("gone")) == "gone_1", "dropping a pointer's name drops no collection"
    shared.drop(Drop("gone_1"))
    assert shared.resolve_alias(ResolveAlias("gone")) is None


def test_notes_are_properties_of_their_own(shared, kit):
    def properties():
        reply = shared.client.raw.send("DescribeCollection", message("DescribeCollection", collection_name="shared_1"))
        return unpaired(reply.properties)

    theirs = message("AlterCollection", collection_name="shared_1", properties=pairs({"team": "search"}))
    shared.client.raw.send("AlterCollection", theirs)
    before = properties()
    shared.write(Write("shared_1", [kit.record("noted")], kit.vectors(1)))
    columns = shared.cache.columns["shared_1"]
    for name, text in (("canaries", "ü"), ("move", ""), ("canaries", None)):
        shared.write_note(WriteNote("shared_1", name, text))
        assert shared.read_note(ReadNote("shared_1", name)) == text
    assert properties() == before | {"nestvec_note_canaries": "", "nestvec_note_move": "="}
    assert before["team"] == "search"
    assert shared.cache.columns["shared_1"] is columns, "a note is no reason to read the columns again"
    shared.remove(Remove("shared_1", ["noted"]))
    assert shared.cache.columns["shared_1"] is columns, "nor are those that are cached outdated by it"


def test_records_are_paged_in_order_even_where_they_are_in_many_segments(shared, kit):
    ids = [f"p{number:04}" for number in range(700)]
    for start in (0, 233, 466):
        records = [kit.record(key, None, boolean=True) for key in ids[start : start + 260]]
        shared.write(Write("shared_1", records, kit.vectors(len(records))))
    shared.remove(Remove("shared_1", ids[100:110]))
    where, cursor, seen = resolve(F.boolean == True, kit.FIELDS), None, []  # noqa: E712 - a filter
    while True:
        page = shared.scroll(Scroll("shared_1", where, limit=150, cursor=cursor, content=False))
        seen += [record.id for record in page.records]
        cursor = page.cursor
        if cursor is None:
            break
        assert len(page.records) == 150
    assert seen == ids[:100] + ids[110:]
    shared.remove(Remove("shared_1", ids))


@pytest.mark.parametrize(("rows", "known"), [(3, 100), (500, 2), (2, 0)])
def test_tenants_are_named_however_many_there_are(shared, kit, monkeypatch, rows, known):
    monkeypatch.setattr("nestvec_milvus.adapter._ROWS", rows)
    monkeypatch.setattr("nestvec_milvus.adapter._KNOWN", known)
    names = ["a", "b\x00", "b\x010", 'say "ü"', "550E8400E29B41D4A716446655440000", "\\n"]
    shared.create_extended(kit.create("tenants_1", fields={}, tenants=True))
    for number, tenant in enumerate(names):
        records = [kit.record(f"{i}-{number}", None) for i in range(4)]
        shared.of_tenant(tenant).write(Write("tenants_1", records, kit.vectors(4)))
    shared.write(Write("tenants_1", [kit.record("0-nobody", None)], kit.vectors(1)))
    assert sorted(shared.list_tenants(ListTenants("tenants_1"))) == sorted(names)
    shared.remove(Remove("tenants_1", [f"{i}-0" for i in range(4)]))
    assert sorted(shared.list_tenants(ListTenants("tenants_1"))) == sorted(names[1:])
    shared.drop(Drop("tenants_1"))


def test_a_large_tenant_is_not_read_to_its_end(shared, kit, monkeypatch):
    monkeypatch.setattr("nestvec_milvus.adapter._ROWS", 5)
    shared.create_extended(kit.create("tenants_2", fields={}, tenants=True))
    records = [kit.record(f"{i:03}", None) for i in range(50)]
    shared.of_tenant("large").write(Write("tenants_2", records, kit.vectors(50)))
    shared.of_tenant("small").write(Write("tenants_2", [kit.record("z", None)], kit.vectors(1)))
    shared.list_tenants(ListTenants("tenants_2"))
    asked, send = [], shared.client.raw.send
    monkeypatch.setattr(
        shared.client.raw, "send", lambda method, message: asked.append(method) or send(method, message)
    )
    assert sorted(shared.list_tenants(ListTenants("tenants_2"))) == ["large", "small"]
    assert asked == ["Query"] * 3
    shared.drop(Drop("tenants_2"))


def test_sealed_and_indexed_records_are_found_like_fresh_ones(shared, kit):
    """Flushed segments answer from scalar indexes, fresh ones by looking at every record."""
    special = [{}, {"keyword": ""}, {"keyword": "a\x00b"}, {"keyword": "a"}, {"keyword": "\x00"}, {"keyword": "\x010"}]
    special += [{"integer": 0}, {"integer": -5}, {"float": -1.5}, {"boolean": False}, {"datetime": EPOCH}]
    metadata = [*special, *([{"keyword": "filler", "integer": 9}] * 1200)]
    records = [replace(kit.record(f"s{n}", None), metadata=each) for n, each in enumerate(metadata)]
    name = "sealed_1"
    shared.create(kit.create(name))
    shared.write(Write(name, records, kit.vectors(len(records))))
    seal(shared, name, len(records))
    tests = [F.keyword == each.get("keyword", "") for each in special] + [F.datetime <= EPOCH, F.float < 0.0]
    tests += [F.integer <= 0, F.integer == 0, F.boolean == False, F.integer.in_([0, -5]), F.keyword.exists()]  # noqa: E712
    for where in [each for test in tests for each in (test, ~test)]:
        resolved = resolve(where, kit.FIELDS)
        assert shared.count(Count(name, resolved)) == sum(matches(resolved, each) for each in metadata), where
    shared.drop(Drop(name))


def seal(adapter, name, rows):
    """Make the server flush, index and load again what was written."""

    def send(method, **fields):
        return adapter.client.raw.send(method, message(method, **fields))

    flushed = send("Flush", collection_names=[name])
    if not adapter.client.embedded:
        segments, moment = flushed.coll_segIDs[name].data, flushed.coll_flush_ts[name]
        until(lambda: send("GetFlushState", segmentIDs=segments, collection_name=name, flush_ts=moment).flushed)
        until(lambda: indexed(send("DescribeIndex", collection_name=name).index_descriptions, rows))
    send("ReleaseCollection", collection_name=name)


def indexed(descriptions, rows):
    return all(each.indexed_rows >= rows for each in descriptions)


def until(condition, seconds=60):
    """Poll a server that offers nothing to wait for."""
    limit = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < limit
        threading.Event().wait(0.05)


def test_an_update_replaces_the_record(shared, kit):
    shared.update(Update("shared_1", kit.FIELDS, {"nestvec": 1, "text": 'ü "x" \\'}))
    assert shared.describe(Describe("shared_1")).record == {"nestvec": 1, "text": 'ü "x" \\'}
    shared.update(Update("shared_1", kit.FIELDS, kit.RECORD))


@pytest.mark.parametrize("index", ["HNSW", "FLAT", "IVF_FLAT", "AUTOINDEX"])
def test_every_index_finds_the_nearest(shared, kit, index):
    if shared.client.embedded and index == "AUTOINDEX":
        pytest.skip("Milvus Lite names its indexes")
    options = MilvusCollectionOptions(index=index)
    shared.create(kit.create("index_1", Metric.EUCLIDEAN, fields={}, options=options))
    shared.write(Write("index_1", [kit.record(n) for n in range(3)], kit.vectors(3)))
    ((hit,),) = shared.query(Query("index_1", {DENSE: np.array([[0, 2, 0]], np.float32)}, Metric.EUCLIDEAN, 1))
    assert (hit.record.id, hit.score) == ("1", pytest.approx(-1))
    shared.drop(Drop("index_1"))


# ------------------------------------------------------------------------------------------- without an engine


def test_requests_stay_below_the_limit(kit):
    columns = Columns("docs_1", {DENSE: 3}, own=frozenset(OWN_COLUMNS))
    records = [kit.record(n, "x" * (n * 97 % 1000), loose="y" * 100) for n in range(100)]
    write = Write("docs_1", records, kit.vectors(100))
    seen = []
    for count, data in batches(write, columns, limit=5000):
        request = message("Upsert", collection_name="docs_1", fields_data=data, num_rows=count)
        assert request.ByteSize() < 5000
        seen += data[0].scalars.string_data.data
    assert seen == [record.id for record in records], "parts keep the order"
    with pytest.raises(BackendRefused, match="document '99'"):
        list(batches(Write("docs_1", records[-1:], kit.vectors(1)), columns, limit=200))


def test_vectors_travel_bit_for_bit():
    rows = np.random.default_rng(1).standard_normal((50, 33)).astype(np.float32)
    packed = vector_column("dense", rows)
    plain = schemas.FloatArray(data=rows.ravel().tolist())
    assert packed.vectors.float_vector == plain
    assert np.array_equal(rows_of(packed), rows)


def test_what_is_created_follows_the_server(kit):
    request = kit.create(tenants=True)
    old, new = indexes(request, OLD), indexes(request, NEW)
    assert (old["k_keyword"], old["i_integer"]) == ({"index_type": "Trie"}, {"index_type": "STL_SORT"})
    assert "b_boolean" not in old
    assert {new[name]["index_type"] for name in ("k_keyword", "i_integer", "b_boolean", "t_datetime")} == {"INVERTED"}
    assert set(indexes(request, LITE)) == {DENSE}
    tenants = {
        server: [field.is_partition_key for field in schema_of(request, server).fields if field.name == "tenant"]
        for server in (OLD, NEW)
    }
    assert tenants == {OLD: [False], NEW: [True]}


def schema_of(request, server):
    return schemas.CollectionSchema.FromString(creation(request, server)["schema"])


def test_more_fields_than_columns_live_in_the_metadata(kit):
    fields = {f"f{n}": Field(FieldType.INTEGER) for n in range(100)}
    schema = schema_of(kit.create(fields=fields, tenants=False), NEW)
    assert len(schema.fields) <= 64


def test_several_vectors_need_a_newer_server(shared, kit):
    if shared.client.embedded:
        pytest.skip("Milvus Lite takes several")
    request = kit.create("two_1")
    with pytest.raises(Unsupported, match=r"2\.4"):
        shared.create(replace(request, vectors={DENSE: 3, "coarse": 2}))


def test_the_asynchronous_adapter_on_a_server(milvus_server, kit):
    adapter = kit.Awaited(kit.options(uri=milvus_server.uri))
    adapter.create(kit.create("async_1", fields={}))
    adapter.write(Write("async_1", [kit.record("a")], kit.vectors(1)))
    assert adapter.count(Count("async_1")) == 1
    adapter.drop(Drop("async_1"))
    adapter.close()
    adapter = kit.Awaited(kit.options(uri=milvus_server.uri))
    adapter.close()
