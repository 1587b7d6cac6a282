"""What goes over the wire: forms, limits, order; and that it is as Pinecone describes it."""

from __future__ import annotations

from datetime import UTC, datetime

import msgspec
import numpy as np
import pytest

from nestvec.contract import (
    Count,
    Create,
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
from nestvec.errors import BackendDenied, BackendRefused, BackendUnavailable, CollectionConflict, Unsupported
from nestvec.filters import F, resolve
from nestvec.types import DENSE, Field, FieldType, Metric
from nestvec_pinecone.schema import unpack_tags
from nestvec_pinecone.testing import HttpStatus, Lag, Meet
from nestvec_pinecone.testing.contract import PineconeContract

pytestmark = pytest.mark.filterwarnings("error")


def test_a_record_as_it_is_stored(kit, adapter, emulator):
    fields = {"seen": Field(FieldType.DATETIME)}
    adapter.create(kit.create(fields=fields))
    seen = datetime(2024, 2, 29, tzinfo=UTC)
    made = kit.record(0, "some text", "hr-7", lang="de", year=2026, seen=seen, tags=["a"], sizes=[1, 2], open=True)
    adapter.write(kit.write([made]))
    (upsert,) = emulator.sent("/vectors/upsert")
    (vector,) = upsert.body["vectors"]
    stamp = vector["metadata"].pop("nestvec_stamp")
    assert len(stamp) == 20
    assert vector == {
        "id": kit.identity(0),
        "values": [1.0, 0.0, 0.0],
        "metadata": {
            "lang": "de",
            "year": 2026,
            "seen": 1709164800000000,
            "tags": ["a"],
            "sizes": ["1", "2"],
            "open": True,
            "nestvec_document_id": "hr-7",
            "nestvec_text": "some text",
            "nestvec_system_chunk": 0,
            "nestvec_system_layout": "l1",
            "nestvec_types": '{"year":"i","seen":"d","sizes":"i*"}',
        },
    }
    (found,) = adapter.fetch(Fetch("docs-1", [made.id])).records
    assert found == made


def test_an_index_as_it_is_created(kit, open_adapter, emulator):
    adapter = open_adapter(cloud="gcp", region="europe-west4")
    adapter.create_extended(kit.extended(metric=Metric.DOT))
    (sent,) = emulator.sent("/indexes", "POST")
    body = sent.body
    tags = body.pop("tags")
    assert body == {
        "name": "docs-1",
        "schema": {"fields": {"_values": {"type": "dense_vector", "dimension": 3, "metric": "dotproduct"}}},
        "deployment": {"deployment_type": "managed", "cloud": "gcp", "region": "europe-west4"},
    }
    assert tags.pop("nestvec-tenants") == "yes"
    assert tags.keys() == {"nestvec-record-0", "nestvec-record-1"}
    assert unpack_tags(tags) == kit.RECORD


def test_requests_and_replies_are_as_described(kit, adapter, emulator, contracts):
    """The data plane against the public schema, 2026-04, which the SDK's own version, 2026-07, must not leave."""
    everything(kit, adapter)
    contract = PineconeContract(contracts / "pinecone-db_data-2026-04.yaml")
    assert contract.version == "2026-04"
    data = [each for each in emulator.exchanges if each.index is not None]
    problems = [problem for each in data for problem in contract.problems(each)]
    assert not problems
    used = {(each.method, each.path) for each in data}
    assert used == {
        ("POST", "/vectors/upsert"),
        ("POST", "/vectors/delete"),
        ("POST", "/vectors/update"),
        ("POST", "/vectors/fetch_by_metadata"),
        ("POST", "/query"),
        ("GET", "/vectors/fetch"),
        ("GET", "/namespaces"),
    }


def test_errors_are_as_described(kit, adapter, emulator, contracts):
    adapter.create(kit.create())
    for status in (400, 401, 403, 404, 429, 500, 503):
        emulator.inject(HttpStatus(status=status), path="/query")
        with pytest.raises(Exception, match=str(status)):
            adapter.query(Query("docs-1", kit.vectors([1, 0, 0]), Metric.COSINE, 1))
    contract = PineconeContract(contracts / "pinecone-db_data-2026-04.yaml")
    sent = emulator.sent("/query")
    assert [each.status for each in sent] == [400, 401, 403, 404, 429, 500, 503]
    assert not [problem for each in sent for problem in contract.problems(each)]


def test_one_index_without_a_control_plane_is_as_described(kit, open_adapter, emulator, contracts):
    open_adapter().create(kit.create("shared"))
    emulator.forget()
    adapter = open_adapter(index_host=emulator.host("shared"))
    everything(kit, adapter)
    contract = PineconeContract(contracts / "pinecone-db_data-2026-04.yaml")
    assert not [problem for each in emulator.exchanges for problem in contract.problems(each)]
    assert {each.index for each in emulator.exchanges} == {"shared"}


def test_without_the_descriptions_the_check_is_skipped_and_in_ci_it_fails(kit, tmp_path):
    nowhere = {"NESTVEC_CONTRACTS": str(tmp_path)}
    with pytest.raises(pytest.skip.Exception, match="NESTVEC_CONTRACTS"):
        kit.contracts(nowhere)
    with pytest.raises(pytest.fail.Exception, match="NESTVEC_CONTRACTS"):
        kit.contracts({**nowhere, "CI": "true"})


def test_the_check_finds_what_is_not_described(kit, adapter, emulator, contracts):
    """Or it would prove nothing."""
    from dataclasses import replace

    adapter.create(kit.create())
    adapter.write(kit.write([kit.record(0)]))
    contract = PineconeContract(contracts / "pinecone-db_data-2026-04.yaml")
    (sent,) = emulator.sent("/vectors/upsert")
    wrong = [
        replace(sent, raw=b'{"vectors": [{"values": [1]}]}'),
        replace(sent, raw=b'{"vectors": [], "namespace": "x"}'),
        replace(sent, raw=b'{"vectors": [{"id": "a", "values": ["1"]}]}'),
        replace(sent, raw=b'{"vectors": [{"id": "a", "values": [1], "colour": 1}]}'),
        replace(sent, reply=b'{"upsertedCount": "1"}'),
        replace(sent, query=(("dry", "1"),)),
        replace(sent, path="/vectors/undescribed"),
        replace(sent, status=302),
    ]
    assert not contract.problems(sent)
    assert all(len(contract.problems(each)) == 1 for each in wrong)


def test_the_control_plane_is_in_the_sdks_own_form(kit, adapter, emulator):
    """The public schema of the control plane is one version older; the SDK's models are what it can be held against."""
    from pinecone.models.indexes.index import IndexModel
    from pinecone.models.indexes.requests import ConfigureIndexRequest, CreateIndexRequest

    everything(kit, adapter)
    requests = {"POST": CreateIndexRequest, "PATCH": ConfigureIndexRequest}
    seen = set()
    for each in emulator.exchanges:
        if each.index is None:
            seen.add(each.method)
            assert each.headers["x-pinecone-api-version"] == "2026-07"
            if each.method in requests:
                requests[each.method](**each.body)
            for model in (each.answer or {}).get("indexes", [each.answer] if "name" in (each.answer or {}) else []):
                msgspec.convert(model, IndexModel, strict=True)
    assert seen == {"GET", "POST", "PATCH", "DELETE"}


def everything(kit, adapter):
    """Each request of the contract at least once."""
    adapter.create_extended(kit.extended())
    adapter.set_alias(SetAlias("docs", "docs-1"))
    adapter.update(Update("docs-1", kit.FIELDS, {"nestvec": 1, "long": "x" * 300}))
    assert adapter.resolve_alias(ResolveAlias("docs")) == "docs-1"
    assert "docs-1" in adapter.list_collections(ListCollections())
    assert adapter.describe(Describe("docs-1")).record["long"] == "x" * 300
    for text in ("a", None):
        adapter.write_note(WriteNote("docs-1", "canaries", text))
        assert adapter.read_note(ReadNote("docs-1", "canaries")) == text
    for view in (adapter.of_tenant("acme"), adapter.of_tenant("ünï cöde"), adapter):
        view.write(kit.write([kit.record(n, lang="de", year=n) for n in range(5)]))
    where = resolve((F.lang == "de") & ~(F.year >= 3), kit.FIELDS)
    assert adapter.of_tenant("acme").count(Count("docs-1", where)) == 3
    assert len(adapter.of_tenant("acme").scroll(Scroll("docs-1", where, 2)).records) == 2
    adapter.scroll(Scroll("docs-1", limit=1))
    (hits,) = adapter.of_tenant("acme").query(Query("docs-1", kit.vectors([1, 1, 0]), Metric.COSINE, 3, 1, where=where))
    assert len(hits) == 2
    adapter.of_tenant("acme").query(Query("docs-1", kit.vectors([1, 1, 0]), Metric.COSINE, 200))
    assert len(adapter.of_tenant("acme").fetch(Fetch("docs-1", [kit.identity(1)])).records) == 1
    assert sorted(adapter.list_tenants(ListTenants("docs-1"))) == ["acme", "ünï cöde"]
    adapter.of_tenant("acme").remove(Remove("docs-1", [kit.identity(1)]))
    adapter.drop(Drop("docs-1"))
    assert adapter.describe(Describe("docs-1")) is None


# ---------------------------------------------------------------- limits


def test_writes_are_cut_by_number_and_by_bytes_in_order(kit, adapter, emulator):
    adapter.create(kit.create())
    adapter.write(kit.write([kit.record(n) for n in range(2001)]))
    heavy = [kit.record(n, "x" * 30_000) for n in range(150)]
    adapter.write(kit.write(heavy))
    sent = emulator.sent("/vectors/upsert")
    counts = [len(each.body["vectors"]) for each in sent]
    assert counts[:3] == [1000, 1000, 1]
    assert sum(counts[3:]) == 150
    assert all(each.status == 200 and len(each.raw) <= 2 * 1024 * 1024 for each in sent)
    assert max(len(each.raw) for each in sent[3:]) > 2 * 1024 * 1024 - 31_000
    order = [vector["id"] for each in sent[:3] for vector in each.body["vectors"]]
    assert order == [kit.identity(n) for n in range(2001)]


def test_a_record_with_too_much_metadata_is_refused_before_anything_is_sent(kit, adapter, emulator):
    adapter.create(kit.create())
    records = [kit.record(0), kit.record(1, document="hr-7", notes="x" * 41_000)]
    with pytest.raises(BackendRefused, match="40960") as caught:
        adapter.write(kit.write(records))
    assert "'hr-7'" in str(caught.value)
    assert "'notes'" in str(caught.value)
    assert not emulator.sent("/vectors/upsert")


def test_exactly_as_much_metadata_as_allowed_is_taken(kit, adapter, emulator):
    adapter.create(kit.create())
    adapter.write(kit.write([kit.record(0, "")]))
    (first,) = emulator.sent("/vectors/upsert")
    used = len(first.raw[first.raw.index(b'"metadata":') + 11 : first.raw.index(b'}],"namespace"')])
    room = 40 * 1024 - used
    adapter.write(kit.write([kit.record(0, "x" * room)]))
    with pytest.raises(BackendRefused):
        adapter.write(kit.write([kit.record(0, "x" * (room + 1))]))


def test_vectors_travel_as_short_floats(kit, adapter, emulator):
    adapter.create(kit.create())
    row = np.array([[0.1, 1 / 3, 1e-8]], np.float32)
    adapter.write(Write("docs-1", [kit.record(0)], {DENSE: row}))
    (sent,) = emulator.sent("/vectors/upsert")
    assert b"[0.1,0.33333334," in sent.raw
    back = adapter.fetch(Fetch("docs-1", [kit.identity(0)], vectors=True)).vectors[DENSE]
    assert np.array_equal(back, row)


def test_ids_in_addresses_and_bodies_are_cut(kit, adapter, emulator):
    adapter.create(kit.create())
    adapter.write(kit.write([kit.record(n) for n in range(3)]))
    emulator.forget()
    ids = [kit.identity(n) for n in range(1050)]
    assert len(adapter.fetch(Fetch("docs-1", ids)).records) == 3
    assert [len(each.query) for each in emulator.sent("/vectors/fetch")].count(101) in (0, 10)
    adapter.remove(Remove("docs-1", ids))
    assert [len(each.body["ids"]) for each in emulator.sent("/vectors/delete")] == [1000, 50]


def test_long_lists_of_hits_come_without_content_and_get_it_by_id(kit, adapter, emulator):
    """A reply to a question has at most 4 MB."""
    adapter.create(kit.create())
    adapter.write(kit.write([kit.record(n, "x" * 35_000) for n in range(130)]))
    emulator.forget()
    for limit, asked in ((100, 0), (130, 2)):
        (hits,) = adapter.query(Query("docs-1", kit.vectors([1, 2, 3]), Metric.COSINE, limit))
        assert len(hits) == limit
        assert all(len(hit.record.text) == 35_000 for hit in hits)
        assert len(emulator.sent("/vectors/fetch")) == asked
    assert [each.body["includeMetadata"] for each in emulator.sent("/query")] == [True, False]


def test_more_hits_than_pinecone_gives_are_refused(kit, adapter):
    adapter.create(kit.create())
    adapter.query(Query("docs-1", kit.vectors([1, 0, 0]), Metric.COSINE, 9_999, 1))
    with pytest.raises(BackendRefused, match="10001"):
        adapter.query(Query("docs-1", kit.vectors([1, 0, 0]), Metric.COSINE, 10_000, 1))


def test_other_vectors_are_unsupported(kit, adapter):
    with pytest.raises(Unsupported, match="sparse"):
        adapter.create(Create("docs-1", {DENSE: 3, "sparse": 9}, Metric.COSINE, {}, {}))


def test_server_limits_are_told(kit, adapter, emulator):
    """Zero vectors, an index with too many tags, a protected index, a name that is taken."""
    adapter.create(kit.create())
    with pytest.raises(BackendRefused, match="non-zero"):
        adapter.write(Write("docs-1", [kit.record(0)], kit.vectors([0, 0, 0])))
    emulator.index("docs-1").tags.update({f"team-{i}": "x" for i in range(20 - len(emulator.index("docs-1").tags))})
    with pytest.raises(BackendRefused, match="20"):
        adapter.set_alias(SetAlias("docs", "docs-1"))
    assert adapter.resolve_alias(ResolveAlias("docs")) is None
    emulator.index("docs-1").protected = True
    with pytest.raises(BackendDenied, match="protection"):
        adapter.drop(Drop("docs-1"))
    with pytest.raises(CollectionConflict, match="another"):
        adapter.create(kit.create(size=4))


# ---------------------------------------------------------------- economy


def test_a_question_is_one_request(kit, adapter, emulator):
    adapter.create(kit.create())
    adapter.write(kit.write([kit.record(0)]))
    emulator.forget()
    adapter.query(Query("docs-1", kit.vectors([1, 0, 0]), Metric.COSINE, 5))
    adapter.count(Count("docs-1", resolve(F.lang == "de", kit.FIELDS)))
    adapter.count(Count("docs-1"))
    assert [each.path for each in emulator.exchanges] == ["/query", "/vectors/update", "/vectors/update"]
    assert all(each.body["dryRun"] and "setMetadata" not in each.body for each in emulator.sent("/vectors/update"))


def test_what_is_known_is_known_to_all_views(kit, adapter, emulator):
    """Where a collection is, and which namespaces are listed, is not asked again by a tenant's next request."""
    adapter.create_extended(kit.extended())
    adapter.of_tenant("acme").write(kit.write([kit.record(0)]))
    emulator.forget()
    adapter.of_tenant("acme").write(kit.write([kit.record(1)]))
    assert adapter.of_tenant("acme").count(Count("docs-1")) == 2
    assert adapter.of_tenant("other").count(Count("docs-1")) == 0
    sent = [each.path for each in emulator.exchanges]
    assert sent == ["/vectors/upsert", "/vectors/fetch", "/query", "/vectors/update", "/vectors/update"]


def test_tenants_come_by_pages_and_only_empty_ones_are_counted(kit, adapter, emulator, monkeypatch):
    monkeypatch.setattr("nestvec_pinecone.tenants._PAGE", 2)
    adapter.create_extended(kit.extended())
    for tenant in ("a", "b", "c", "d", "e"):
        adapter.of_tenant(tenant).write(kit.write([kit.record(0)]))
    adapter.of_tenant("d").remove(Remove("docs-1", [kit.identity(0)]))
    emulator.forget()
    assert sorted(adapter.list_tenants(ListTenants("docs-1"))) == ["a", "b", "c", "e"]
    assert [each.path for each in emulator.exchanges] == ["/namespaces"] * 3 + ["/vectors/update"]


def test_a_tenant_that_is_not_counted_yet_is_named(kit, adapter, emulator):
    """The number of a namespace's records may lag; whoever has records must not be left out."""
    adapter.create_extended(kit.extended())
    adapter.of_tenant("late").write(kit.write([kit.record(0)]))
    adapter.of_tenant("late").remove(Remove("docs-1", [kit.identity(0)]))
    assert adapter.list_tenants(ListTenants("docs-1")) == []
    emulator.dial(stats=Lag(seconds=3600))
    adapter.of_tenant("late").write(kit.write([kit.record(0)]))
    emulator.forget()
    assert adapter.list_tenants(ListTenants("docs-1")) == ["late"]
    (listing,) = emulator.sent("/namespaces")
    assert listing.answer["namespaces"] == [{"name": "late", "record_count": 0}]


@pytest.mark.parametrize("status", [400, 403])
def test_without_dry_runs_matches_are_counted_by_reading(kit, adapter, emulator, status):
    """On a server that takes none, or with a key that may only read."""
    adapter.create(kit.create())
    adapter.write(kit.write([kit.record(n, lang="de" if n % 2 else "en") for n in range(300)]))
    emulator.inject(HttpStatus(status=status, message="no dry runs"), path="/vectors/update", times=2)
    assert adapter.count(Count("docs-1")) == 300
    assert adapter.count(Count("docs-1", resolve(F.lang == "de", kit.FIELDS))) == 150


@pytest.mark.parametrize("concurrency", [1, 3])
def test_as_many_requests_in_flight_as_configured(kit, open_adapter, emulator, concurrency):
    adapter = open_adapter(concurrency=concurrency)
    adapter.create(kit.create())
    six = Query("docs-1", kit.vectors(*[[1, 0, 0]] * 6), Metric.COSINE, 1)
    emulator.inject(Meet(number=concurrency), path="/query", times=6)
    assert adapter.query(six) == [[]] * 6
    emulator.inject(Meet(number=concurrency + 1, seconds=0.2), path="/query", times=6)
    with pytest.raises(BackendUnavailable, match="nobody came"):
        adapter.query(six)


def test_nothing_is_retried_here(kit, adapter, emulator):
    """One 500, one request; on both planes, for every kind of call."""
    adapter.create(kit.create())
    adapter.count(Count("docs-1"))
    emulator.inject(HttpStatus(status=500), times=100)
    calls = [
        ("/vectors/upsert", lambda: adapter.write(kit.write([kit.record(0)]))),
        ("/vectors/delete", lambda: adapter.remove(Remove("docs-1", [kit.identity(0)]))),
        ("/vectors/fetch", lambda: adapter.fetch(Fetch("docs-1", [kit.identity(0)]))),
        ("/vectors/update", lambda: adapter.count(Count("docs-1"))),
        ("/vectors/fetch_by_metadata", lambda: adapter.scroll(Scroll("docs-1"))),
        ("/query", lambda: adapter.query(Query("docs-1", kit.vectors([1, 0, 0]), Metric.COSINE, 1))),
        ("/indexes", lambda: adapter.resolve_alias(ResolveAlias("docs"))),
        ("/indexes/docs-1", lambda: adapter.describe(Describe("docs-1"))),
    ]
    for path, call in calls:
        emulator.forget()
        with pytest.raises(BackendUnavailable, match="500"):
            call()
        assert [each.path for each in emulator.exchanges] == [path]
