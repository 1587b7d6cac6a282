"""Collections as namespaces of one index, without a control plane; and on servers of an older API."""

from __future__ import annotations

import pytest

from nestvec.contract import (
    Count,
    Describe,
    Drop,
    Fetch,
    ListCollections,
    ListTenants,
    Query,
    Remove,
    ResolveAlias,
    Scroll,
    SetAlias,
    Update,
)
from nestvec.errors import BackendRefused, CollectionConflict, CollectionNotFound
from nestvec.filters import F, resolve
from nestvec.types import DENSE, Metric
from nestvec_pinecone.plugin import nestvec_backend
from nestvec_testing import BackendUnderTest
from nestvec_testing.adapters.documents import InterruptionChecks

#: A recent server, and one such as Pinecone Local: nothing newer than API version 2025-01, no log positions.
SERVERS = {"recent": ({}, {}), "old": ({"recent": False, "lsn": False}, {"scan": True})}


@pytest.fixture(params=SERVERS)
def shared(request, kit, open_adapter, emulator):
    """An adapter on an index that was made beforehand."""
    server, options = SERVERS[request.param]
    open_adapter().create(kit.create("made"))
    emulator.dial(**server)
    emulator.forget()
    return open_adapter(index_host=emulator.host("made"), **options)


def own(adapter):
    """Without the index itself, which is listed, too: namespaces of it can be adopted."""
    names = adapter.list_collections(ListCollections())
    assert names[0] == "made"
    return names[1:]


def test_collections_live_side_by_side(kit, shared):
    assert own(shared) == []
    assert shared.resolve_alias(ResolveAlias("docs")) is None
    assert shared.describe(Describe("docs-1")) is None
    for name, count in (("docs-1", 3), ("docs-2", 2)):
        shared.create(kit.create(name))
        shared.write(kit.write([kit.record(n, lang=name) for n in range(count)], name))
    assert sorted(own(shared)) == ["docs-1", "docs-2"]
    info = shared.describe(Describe("docs-1"))
    assert (dict(info.vectors), info.metric, info.record) == ({DENSE: 3}, Metric.COSINE, kit.RECORD)
    assert [shared.count(Count(name)) for name in ("docs-1", "docs-2")] == [3, 2]
    assert shared.count(Count("docs-1", resolve(F.lang == "docs-1", kit.FIELDS))) == 3
    assert shared.count(Count("docs-1", resolve(F.lang != "docs-1", kit.FIELDS))) == 0
    page = shared.scroll(Scroll("docs-2", limit=1))
    assert len(page.records) == 1
    rest = shared.scroll(Scroll("docs-2", limit=1, cursor=page.cursor))
    assert {each.id for each in (*page.records, *rest.records)} == {kit.identity(0), kit.identity(1)}
    (hits,) = shared.query(Query("docs-1", kit.vectors([1, 1, 1]), Metric.COSINE, 10))
    assert len(hits) == 3
    shared.remove(Remove("docs-1", [kit.identity(0)]))
    assert [shared.count(Count(name)) for name in ("docs-1", "docs-2")] == [2, 2]


def test_a_pointer_is_one_record(kit, shared, emulator):
    for number in (1, 2):
        shared.create(kit.create(f"docs-{number}"))
    shared.set_alias(SetAlias("docs", "docs-1"))
    assert shared.resolve_alias(ResolveAlias("docs")) == "docs-1"
    emulator.forget()
    shared.set_alias(SetAlias("docs", "docs-2"))
    (switch,) = emulator.sent("/vectors/upsert")
    assert [each["id"] for each in switch.body["vectors"]] == ["pointer:docs"]
    assert shared.resolve_alias(ResolveAlias("docs")) == "docs-2"
    with pytest.raises(CollectionNotFound, match="docs-9"):
        shared.set_alias(SetAlias("docs", "docs-9"))
    with pytest.raises(BackendRefused, match="hide"):
        shared.set_alias(SetAlias("docs-1", "docs-2"))


def test_tenants_have_namespaces_of_their_own(kit, shared, emulator):
    shared.create_extended(kit.extended())
    shared.create_extended(kit.extended("docs-11"))
    for tenant in ("acme", "ünï"):
        shared.of_tenant(tenant).write(kit.write([kit.record(0)]))
    shared.of_tenant("acme").write(kit.write([kit.record(0)], "docs-11"))
    assert set(emulator.index("made").namespaces) >= {"docs-1_acme", "docs-1_%C3%BCn%C3%AF", "docs-11_acme"}
    assert shared.count(Count("docs-1")) == 2
    assert shared.of_tenant("acme").count(Count("docs-1")) == 1
    assert shared.of_tenant("other").count(Count("docs-1")) == 0
    assert len(shared.fetch(Fetch("docs-1", [kit.identity(0)])).records) == 2


def test_tenants_are_those_of_one_collection(kit, shared):
    for name in ("docs-1", "docs-11", "docs-2"):
        shared.create_extended(kit.extended(name, tenants=name != "docs-2"))
    for tenant in ("acme", "docs-11_x", "ünï /%", "__default__"):
        shared.of_tenant(tenant).write(kit.write([kit.record(0)]))
    shared.of_tenant("other").write(kit.write([kit.record(0)], "docs-11"))
    shared.write(kit.write([kit.record(0)], "docs-2"))
    assert sorted(shared.list_tenants(ListTenants("docs-1"))) == ["__default__", "acme", "docs-11_x", "ünï /%"]
    assert shared.list_tenants(ListTenants("docs-11")) == ["other"]
    assert shared.list_tenants(ListTenants("docs-2")) == []
    shared.of_tenant("acme").remove(Remove("docs-1", [kit.identity(0)]))
    assert sorted(shared.list_tenants(ListTenants("docs-1"))) == ["__default__", "docs-11_x", "ünï /%"]


def test_a_collection_that_does_not_fit_the_index_is_refused(kit, shared, emulator):
    with pytest.raises(BackendRefused, match=r"dimensions 4.*has 3"):
        shared.create(kit.create(size=4))
    with pytest.raises(BackendRefused, match=r"metric euclidean.*has cosine"):
        shared.create(kit.create(metric=Metric.EUCLIDEAN))
    assert shared.capabilities().metrics == frozenset({Metric.COSINE})
    assert own(shared) == []


def test_creating_again_completes_and_another_one_conflicts(kit, shared):
    shared.create(kit.create())
    shared.write(kit.write([kit.record(0)]))
    shared.create(kit.create())
    assert shared.count(Count("docs-1")) == 1
    with pytest.raises(CollectionConflict):
        shared.create(kit.create(record={"nestvec": 1, "other": True}))
    shared.update(Update("docs-1", kit.FIELDS, {"nestvec": 1, "new": "ü"}))
    assert shared.describe(Describe("docs-1")).record == {"nestvec": 1, "new": "ü"}
    assert shared.count(Count("docs-1")) == 1


def test_a_dropped_collection_leaves_nothing(kit, shared):
    for name in ("docs-1", "docs-2"):
        shared.create_extended(kit.extended(name, tenants=name == "docs-1"))
    shared.of_tenant("acme").write(kit.write([kit.record(n) for n in range(3)]))
    shared.write(kit.write([kit.record(0)], "docs-2"))
    shared.drop(Drop("docs-1"))
    shared.drop(Drop("docs-1"))
    assert own(shared) == ["docs-2"]
    for request in (Count("docs-1"), Fetch("docs-1", [kit.identity(0)]), Update("docs-1", {}, {})):
        with pytest.raises(CollectionNotFound, match="docs-1"):
            getattr(shared, request.method)(request)
    shared.create_extended(kit.extended())
    assert shared.of_tenant("acme").count(Count("docs-1")) == 0
    assert shared.count(Count("docs-2")) == 1


def test_the_control_plane_is_never_asked(kit, shared, emulator):
    test_collections_live_side_by_side(kit, shared)
    assert {each.index for each in emulator.exchanges} == {"made"}


def test_foreign_records_in_the_index_are_left_alone(kit, shared, emulator):
    import pinecone

    index = pinecone.Index(host=emulator.host("made"), api_key=emulator.api_key)
    index.upsert(vectors=[("theirs", [1, 0, 0], {"x": 1})])
    shared.create(kit.create())
    assert shared.count(Count("docs-1")) == 0
    shared.drop(Drop("docs-1"))
    assert set(index.fetch(ids=["theirs"]).vectors) == {"theirs"}
    index.close()


class TestInterruptionsInOneIndex(InterruptionChecks):
    """The kit's, as far as they need one size and one metric."""

    @pytest.fixture
    def backend(self, kit, emulator):
        opened = kit.open("sync", control_host=emulator.url)
        opened.create(kit.create("made", size=32))
        opened.close()
        options = {"api_key": {"env": "NESTVEC_TEST_PINECONE_KEY"}, "index_host": emulator.host("made")}
        return BackendUnderTest(nestvec_backend(), options, reopens=True)
