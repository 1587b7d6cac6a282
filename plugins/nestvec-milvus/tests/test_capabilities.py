"""What is declared, what a server adds to it, and that each of them can really do so."""

from __future__ import annotations

import json
from itertools import permutations

import numpy as np
import pytest

from nestvec.capabilities import Power
from nestvec.contract import Create, CreateExtended, Drop, Fetch, Query, Write
from nestvec.errors import BackendRefused, Unsupported
from nestvec.registry import Registry
from nestvec.types import DENSE, FieldType, Metric, Storage
from nestvec_milvus.client import message, pairs, schemas
from nestvec_milvus.creation import creation
from nestvec_milvus.options import capabilities
from nestvec_milvus.server import FEATURES, ServerVersion

OLD = {"IVF_SQ8"}
FOUR_ON = OLD | {
    "parts of strings",
    "several vectors",
    "inverted indexes",
    "partition keys",
    "half vectors",
    "reads beside indexes",
}
FIVE_ON = FOUR_ON | {"filter templates", "HNSW_SQ"}
LITE = {"parts of strings", "several vectors", "partition keys", "reads beside indexes"}
ALL = FIVE_ON | {"IVF_RABITQ"}
ONE, FOUR = 1, 4
CLOUD = {"float32", "float16"}

#: What servers call themselves → vectors of a record, exact search, features, storage.
VERSIONS = {
    "v2.3.5-lite": (ONE, False, OLD, {"float32"}),
    "v2.3.21": (ONE, False, OLD, {"float32"}),
    "v2.4.0": (FOUR, False, FOUR_ON, {"float32", "float16", "int8"}),
    "2.4-20240612-3b7cf4a": (FOUR, False, FOUR_ON, {"float32", "float16", "int8"}),
    "v2.5.0-beta": (FOUR, False, FIVE_ON, {"float32", "float16", "int8"}),
    "v2.5.26": (FOUR, False, FIVE_ON, {"float32", "float16", "int8"}),
    "v2.6.4-gpu": (FOUR, False, ALL, set(Storage)),
    "v3.0.0": (FOUR, False, ALL, set(Storage)),
    "v2.10.1": (FOUR, False, ALL, set(Storage)),
    "Zilliz Cloud Vector Database(Compatible with Milvus 2.4)": (FOUR, False, FOUR_ON, CLOUD),
    "Zilliz Cloud Vector Database (Compatible with Milvus 2.6)": (FOUR, False, ALL, CLOUD),
    "milvus_lite-3.2.2": (FOUR, True, LITE, {"float32"}),
    "master-3b7cf4a": (ONE, False, OLD, {"float32"}),  # a build that does not say: what works everywhere
    "": (ONE, False, OLD, {"float32"}),
}


@pytest.mark.parametrize("name", VERSIONS)
def test_what_a_version_can_do(client, failing, name):
    failing.version = name
    vectors, exact, features, storage = VERSIONS[name]
    effective = client.capabilities()
    assert (effective.max_vectors, effective.exact) == (vectors, exact)
    assert (effective.funnels, effective.storage) == (vectors == FOUR, storage)
    assert effective.storage_updates == set(permutations(storage - {"float16"}, 2))
    assert ("funnels" in effective.why_not, "storage" in effective.why_not) == (vectors == ONE, len(storage) < 4)
    assert {each for each in Power if each not in effective.powers} == (
        ({Power.FUNNELS} if vectors == ONE else set())
        | ({Power.STORAGE} if len(storage) == 1 else set())
        | ({Power.SETTLING} if exact or "Zilliz" in name else set())
    )
    server = ServerVersion.of(name, "x")
    assert {feature for feature in FEATURES if server.has(feature)} == features
    assert server.cloud is ("Zilliz" in name)
    assert (server.scalar_index(FieldType.BOOLEAN) is not None) is ("inverted indexes" in features)


def test_a_server_that_was_upgraded_is_asked_anew(client, failing):
    failing.version = "v2.3.5"
    assert client.capabilities().max_vectors == ONE
    failing.version = "v2.6.4"
    assert client.capabilities().max_vectors == FOUR


@pytest.mark.parametrize("name", ["v2.2.16", "1.1.1", "milvus_lite-2.2.9", "v2.0.0-rc8"])
def test_too_old(client, failing, name):
    failing.version = name
    with pytest.raises(Unsupported, match=r"upgrade it to 2\.3 or later") as caught:
        client.capabilities()
    assert failing.uri in str(caught.value)
    assert name in str(caught.value)


def test_what_is_declared_is_the_least_that_any_server_does(client, failing):
    """A plan that was made without asking must hold on every server."""
    plugin = Registry().backend("milvus")
    declared = plugin.capabilities(plugin.options.model_validate({"uri": failing.uri}))
    for failing.version in VERSIONS:
        effective = client.capabilities()
        assert effective.max_vectors >= declared.max_vectors
        assert effective.exact >= declared.exact
        assert effective.funnels >= declared.funnels
        assert effective.storage >= declared.storage
        assert effective.storage_updates >= declared.storage_updates
        for name in ("names", "metrics", "max_limit", "max_dimensions", "max_write_bytes"):
            assert getattr(effective, name) == getattr(declared, name)


def declared_for(**options):
    plugin = Registry().backend("milvus")
    return plugin.capabilities(plugin.options.model_validate(options))


def test_a_stated_version_is_known_before_connecting():
    old, new = (declared_for(uri="http://x:19530", **more) for more in ({}, {"version": "2.6"}))
    assert (old.funnels, old.max_vectors, old.storage) == (False, ONE, {"float32"})
    assert "version in [backends.NAME]" in old.why_not["funnels"]
    assert "version in [backends.NAME]" in old.why_not["storage"]
    assert (new.funnels, new.max_vectors, new.storage, new.why_not) == (True, FOUR, set(Storage), {})
    assert declared_for(uri="http://x", version="2.4.17").storage == {"float32", "float16", "int8"}
    cloud = declared_for(uri="https://a.b.zillizcloud.com")
    assert (cloud.funnels, cloud.storage, cloud.storage_updates) == (True, CLOUD, set())
    assert "chooses indexes" in cloud.why_not["storage"]
    lite = declared_for(path=":memory:")
    assert (lite.funnels, lite.storage, lite.storage_updates) == (True, {"float32"}, set())
    assert "keeps every vector in memory as float32" in lite.why_not["storage"]


@pytest.mark.parametrize("version", ["2", "new", "v2.6", "2.6 or so", ""])
def test_what_is_no_version(shell, version):
    done = shell({"uri": '"http://x:19530"', "version": f'"{version}"'}, "plan")
    assert done.code == 1
    assert f"backends.store.version: {version!r} is no version of Milvus; write two or three numbers" in done.err


@pytest.mark.parametrize(("name", "stated"), [("v2.3.5", "2.4"), ("v2.5.26", "2.6"), ("milvus_lite-3.2.2", "2.4")])
def test_a_server_that_is_older_than_stated(open_client, failing, name, stated):
    """What the configuration was checked by would not hold."""
    failing.version = name
    client = open_client(uri=failing.uri, version=stated)
    with pytest.raises(Unsupported, match=f'is {name}, and the configuration says version = "{stated}"; correct'):
        client.capabilities()


def test_a_build_that_does_not_say_its_version_is_what_is_stated(open_client, failing):
    failing.version = "master-3b7cf4a"
    assert open_client(uri=failing.uri, version="2.6").capabilities().storage == set(Storage)
    failing.version = "v2.6.4"
    assert open_client(uri=failing.uri, version="2.4").capabilities().storage == set(Storage)


def test_the_command_line_shows_what_is_declared(shell):
    done = shell({"path": '":memory:"'}, "plugins", "--capabilities", "--json")
    shown = json.loads(done.out)["capabilities"]["milvus (embedded)"]
    assert (shown["max_vectors"], shown["exact"], shown["storage"]) == (FOUR, True, ["float32"])


# ------------------------------------------------------------------------------------------ the engines themselves


def test_effective_is_declared_or_more(shared):
    declared = capabilities(shared.options)
    effective = shared.capabilities()
    assert effective.max_vectors == (FOUR if declared.embedded else ONE)
    assert effective.exact is declared.exact is declared.embedded
    assert (effective.storage, effective.funnels) == (declared.storage, declared.funnels)


def test_several_vectors_where_they_are_promised_and_only_there(shared, kit):
    """The engine is asked past the adapter's own check: the table must not promise too little, either."""
    sizes = {DENSE: 3, "coarse": 2, "title": 5, "late": 4}
    request = CreateExtended("four_1", sizes, Metric.DOT, {}, kit.RECORD)
    if not server_has(shared, "several vectors"):
        server = ServerVersion("v2.6.4", (2, 6))
        reply = shared.client.raw.send("CreateCollection", message("CreateCollection", **creation(request, server)))
        assert "multiple vector fields is not supported" in reply.reason
        with pytest.raises(Unsupported, match=r"2\.4"):
            shared.create_extended(request)
        return
    shared.create_extended(request)
    rows = {name: np.eye(2, size, dtype=np.float32) for name, size in sizes.items()}
    shared.write(Write("four_1", [kit.record("a"), kit.record("b")], rows))
    batch = shared.fetch(Fetch("four_1", ["b"], vectors=True))
    assert {name: each.tolist() for name, each in batch.vectors.items()} == {
        n: [r[1].tolist()] for n, r in rows.items()
    }
    for name, given in rows.items():
        ((hit,),) = shared.query(Query("four_1", {name: given[1:]}, Metric.DOT, 1))
        assert hit.record.id == "b"
    shared.drop(Drop("four_1"))


def test_filter_templates_are_used_only_where_they_work(shared, kit):
    """Neither the oldest server nor Milvus Lite understands them; where one of them learns to, the table can say so."""
    assert not server_has(shared, "filter templates")
    given = {"v0": schemas.TemplateValue(string_val="x")}
    request = message(
        "Query",
        collection_name="shared_1",
        expr="document_id == {v0}",
        expr_template_values=given,
        output_fields=["id"],
        query_params=pairs({"limit": "1"}),
    )
    assert shared.client.raw.send("Query", request).status.reason


def server_has(adapter, feature):
    adapter.capabilities()
    return adapter.cache.server.has(feature)


@pytest.mark.parametrize("size", [32_768, 32_769])
def test_the_largest_vectors(shared, kit, size):
    request = Create("large_1", {DENSE: size}, Metric.COSINE, {}, kit.RECORD)
    if size > shared.capabilities().max_dimensions and not shared.client.embedded:
        with pytest.raises(BackendRefused, match="32768"):
            shared.create(request)
    else:
        shared.create(request)
        shared.drop(Drop("large_1"))


def test_milvus_lite_behind_a_port(kit, open_client, tmp_path):
    """It can be served like a server: then it has an address, and still does what Milvus Lite does."""
    from milvus_lite.adapter.grpc.server import start_server_in_thread

    server, database, port = start_server_in_thread(str(tmp_path / "store.db"))
    try:
        adapter = open_client(uri=f"http://127.0.0.1:{port}")
        capabilities = adapter.capabilities()
        assert (capabilities.embedded, capabilities.exact, capabilities.max_vectors) == (False, True, FOUR)
        adapter.create(kit.create())
        adapter.write(Write("docs_1", [kit.record("a", keyword='"')], kit.vectors(1)))
        ((hit,),) = adapter.query(Query("docs_1", kit.vectors(1), Metric.COSINE, 1))
        assert hit.record.id == "a"
    finally:
        server.stop(None).wait()
        database.close()
