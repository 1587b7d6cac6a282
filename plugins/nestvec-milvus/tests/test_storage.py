"""Storage kinds: what Milvus is told, what it tells, how that changes, and what its engines make of it."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pymilvus.grpc_gen import common_pb2, milvus_pb2, schema_pb2

from nestvec.contract import CreateExtended, Describe, Fetch, ForeignLayout, Query, QueryStaged, Scroll, Update, Write
from nestvec.errors import BackendRefused, BackendUnavailable, CollectionConflict, CollectionNotFound, Unsupported
from nestvec.types import DENSE, Metric, Storage
from nestvec_milvus.adapter import MilvusAdapter
from nestvec_milvus.catalog import DescriptionCache
from nestvec_milvus.client import MilvusConnection, Type, message, pairs, schemas, unpaired
from nestvec_milvus.errors import NotLoaded
from nestvec_milvus.options import MilvusCollectionOptions, MilvusOptions
from nestvec_milvus.records import batches, placeholders, rows_of, vector_column
from nestvec_milvus.schema import Columns
from nestvec_milvus.server import ServerVersion
from nestvec_milvus.storage import storage_of
from nestvec_testing.blocking import blocking
from nestvec_testing.data import vectors

V23, V24, V25, V26 = (
    ServerVersion(f"v{major}.{minor}.5", (major, minor)) for major, minor in ((2, 3), (2, 4), (2, 5), (2, 6))
)
CLOUD = ServerVersion("Zilliz Cloud (Compatible with Milvus 2.6)", (2, 6), cloud=True)
LITE = ServerVersion("milvus_lite-3.2.2", (3, 2), lite=True)
FUNNEL = {"dense_4": 4, "dense_16": 16, DENSE: 32}
GRAPH = {"M": 16, "efConstruction": 200}


def create(storage=Storage.FLOAT32, sizes=None, **options):
    chosen = MilvusCollectionOptions.model_validate(options) if options else None
    return CreateExtended(
        "docs_1", sizes or {DENSE: 32}, Metric.COSINE, {}, {"nestvec": 1}, options=chosen, storage=storage
    )


class Sent(NamedTuple):
    """What the server was sent."""

    method: str
    request: Any


class Played:
    """A server that is played: `reply` is what it knows of the collection, `calls` what it was sent."""

    def __init__(self, server, request=None):
        self.calls, self.indexes, self.loaded = [], {}, False
        self.reply = None
        self.intrude = {}
        options = MilvusOptions(uri="http://milvus")
        client = MilvusConnection(options, self, blocking=True)
        self.adapter = blocking(MilvusAdapter(client, options, cache=DescriptionCache(server)))
        self.server = server
        if request is not None:
            self.ask(request)
            self.calls.clear()

    def ask(self, request, layout=None):
        """Send the adapter a request; with a layout, one about somebody else's collection."""
        adapter = self.adapter if layout is None else self.adapter.reading(layout)
        return getattr(adapter, request.method)(request)

    def send(self, method, message):
        """What `intrude` has for a method is done, or raised, before that is answered, once."""
        self.calls.append(Sent(method, message))
        act = self.intrude.pop(method, None)
        if isinstance(act, BaseException):
            raise act
        if act is not None:
            act()
        reply = getattr(self, f"on_{method}")(message)
        return common_pb2.Status() if reply is None else reply

    def methods(self):
        return [each.method for each in self.calls]

    def on_CreateCollection(self, request):
        schema = schema_pb2.CollectionSchema.FromString(request.schema)
        self.reply = milvus_pb2.DescribeCollectionResponse(schema=schema, properties=request.properties)

    def on_DescribeCollection(self, request):
        if self.reply is None:
            raise CollectionNotFound("collection not found")
        return self.reply

    def on_AlterCollection(self, request):
        merged = unpaired(self.reply.properties) | unpaired(request.properties)
        del self.reply.properties[:]
        self.reply.properties.extend(pairs(merged))

    def on_DescribeIndex(self, request):
        found = [
            milvus_pb2.IndexDescription(field_name=name, index_name=name, params=params)
            for name, params in self.indexes.items()
        ]
        return milvus_pb2.DescribeIndexResponse(index_descriptions=found)

    def on_CreateIndex(self, request):
        self.indexes[request.field_name] = list(request.extra_params)

    def on_DropIndex(self, request):
        if self.loaded:
            raise BackendRefused("index cannot be dropped, collection is loaded, please release it first")
        del self.indexes[request.field_name]

    def on_LoadCollection(self, request):
        if DENSE not in self.indexes or any(name not in self.indexes for name in self.vectors()):
            raise BackendRefused("there is no vector index on collection: docs_1")
        self.loaded = True

    def on_ReleaseCollection(self, request):
        self.loaded = False

    def on_GetLoadState(self, request):
        state = common_pb2.LoadState.LoadStateLoaded if self.loaded else common_pb2.LoadState.LoadStateNotLoad
        return milvus_pb2.GetLoadStateResponse(state=state)

    def on_Search(self, request):
        if not self.loaded:
            raise NotLoaded("collection not loaded")
        return milvus_pb2.SearchResults()

    def vectors(self):
        kinds = {Type.FloatVector, Type.Float16Vector}
        return [each.name for each in self.reply.schema.fields if each.data_type in kinds]

    def describe(self):
        return self.ask(Describe("docs_1"))

    def parameters(self, name=DENSE):
        found = {pair.key: pair.value for pair in self.indexes[name]}
        return found["index_type"], json.loads(found["params"])

    def properties(self):
        return unpaired(self.reply.properties)


@pytest.fixture
def played(monkeypatch):
    """Makes a played server that has a collection, described as missing until it is created. Nothing is waited for."""

    async def sleep(*_):
        pass

    monkeypatch.setattr(MilvusConnection, "sleep", sleep)
    return Played


# ------------------------------------------------------------ what is created


@pytest.mark.parametrize(
    ("server", "request_", "indexes"),
    [
        (V23, create(), {DENSE: ("HNSW", GRAPH)}),
        (V24, create(Storage.FLOAT16), {DENSE: ("HNSW", GRAPH)}),
        (V24, create(Storage.FLOAT16, index="IVF_FLAT", nlist=7), {DENSE: ("IVF_FLAT", {"nlist": 7})}),
        (V24, create(Storage.INT8), {DENSE: ("IVF_SQ8", {"nlist": 128})}),
        (V25, create(Storage.INT8), {DENSE: ("HNSW_SQ", {**GRAPH, "sq_type": "SQ8"})}),
        (V25, create(Storage.INT8, index="IVF_SQ8", nlist=9), {DENSE: ("IVF_SQ8", {"nlist": 9})}),
        (
            V25,
            create(Storage.INT8, hnsw_m=8),
            {DENSE: ("HNSW_SQ", {"M": 8, "efConstruction": 200, "sq_type": "SQ8"})},
        ),
        (V26, create(Storage.BINARY), {DENSE: ("IVF_RABITQ", {"nlist": 128})}),
        (
            V26,
            create(Storage.BINARY, FUNNEL),
            {"dense_4": ("IVF_RABITQ", {"nlist": 128}), "dense_16": ("HNSW", GRAPH), DENSE: ("HNSW", GRAPH)},
        ),
        (
            V25,
            create(Storage.INT8, FUNNEL, index="FLAT"),
            {"dense_4": ("HNSW_SQ", {**GRAPH, "sq_type": "SQ8"}), "dense_16": ("FLAT", {}), DENSE: ("FLAT", {})},
        ),
        (
            V25,
            create(Storage.INT8, FUNNEL, index="IVF_SQ8"),
            {"dense_4": ("IVF_SQ8", {"nlist": 128}), "dense_16": ("HNSW", GRAPH), DENSE: ("HNSW", GRAPH)},
        ),
        (CLOUD, create(Storage.FLOAT16, FUNNEL), dict.fromkeys(FUNNEL, ("AUTOINDEX", {}))),
        (LITE, create(sizes=FUNNEL), dict.fromkeys(FUNNEL, ("FLAT", {}))),
    ],
)
def test_only_what_a_search_begins_with_is_quantised(played, server, request_, indexes):
    engine = played(server, request_)
    assert {name: engine.parameters(name) for name in engine.vectors()} == indexes
    kind = Type.Float16Vector if request_.storage is Storage.FLOAT16 else Type.FloatVector
    assert {each.data_type for each in engine.reply.schema.fields if each.name in request_.vectors} == {kind}
    info = engine.describe()
    assert (info.storage, dict(info.vectors)) == (request_.storage, dict(request_.vectors))
    engine.ask(request_)
    other = Storage.INT8 if request_.storage is Storage.FLOAT32 else Storage.FLOAT32
    if other in server.storage:
        with pytest.raises(CollectionConflict, match="is another one"):
            engine.ask(replace(request_, storage=other, options=None))


def test_each_vector_is_searched_with_its_own_index_parameters(played):
    engine = played(V26, create(Storage.BINARY, FUNNEL, index="IVF_RABITQ", nprobe=7))
    for name, wanted in (("dense_4", {"nprobe": 7}), (DENSE, {"ef": 64})):
        engine.ask(Query("docs_1", {name: vectors(1, FUNNEL[name], 1)}, Metric.COSINE, 3))
        given = unpaired(engine.calls[-1].request.search_params)
        assert (given["anns_field"], json.loads(given["params"])) == (name, wanted)


@pytest.mark.parametrize(
    ("index", "given", "nprobe"),
    [
        ("IVF_FLAT", {}, 16),
        ("IVF_FLAT", {"nlist": 8}, 8),
        ("IVF_SQ8", {}, 64),
        ("IVF_SQ8", {"nlist": 1}, 1),
        ("IVF_SQ8", {"nprobe": 3}, 3),
        ("IVF_RABITQ", {"nlist": 10}, 5),
    ],
)
def test_quantised_clusters_are_searched_by_half_unless_told(index, given, nprobe):
    options = MilvusCollectionOptions.model_validate({"index": index, **given})
    assert options.search_parameters(index) == {"nprobe": nprobe}


def test_parameters_of_searches_that_earlier_versions_kept(played):
    engine = played(V24, create(sizes={DENSE: 32, "title": 8}))
    engine.on_AlterCollection(
        message("AlterCollection", properties=pairs({"nestvec_search": {"ef": 99}, "nestvec_options": ""}))
    )
    engine.ask(Query("docs_1", {"title": vectors(1, 8, 1)}, Metric.COSINE, 3))
    assert json.loads(unpaired(engine.calls[-1].request.search_params)["params"]) == {"ef": 99}


@pytest.mark.parametrize(
    ("server", "request_", "told"),
    [
        (V23, create(Storage.INT8), "has no int8 storage; it has float32"),
        (V23, create(Storage.FLOAT16), "has no float16 storage"),
        (V25, create(Storage.BINARY), "has no binary storage; it has float16, float32, int8"),
        (LITE, create(Storage.INT8), r"\(milvus_lite-3.2.2\) has no int8 storage; it has float32"),
        (CLOUD, create(Storage.INT8), "has no int8 storage; it has float16, float32"),
        (V25, create(index="IVF_SQ8"), 'index IVF_SQ8 keeps int8, and storage is float32; .* set storage = "int8"'),
        (V26, create(Storage.INT8, index="IVF_RABITQ"), "index IVF_RABITQ keeps binary, and storage is int8"),
        (V25, create(Storage.INT8, index="HNSW"), "index HNSW keeps float32, and storage is int8; leave index out"),
        (V25, create(Storage.FLOAT16, index="HNSW_SQ"), "index HNSW_SQ keeps int8, and storage is float16"),
        (V24, create(Storage.INT8, index="HNSW_SQ"), r"\(v2.4.5\) has no index HNSW_SQ; leave index out"),
        (V24, create(Storage.INT8, hnsw_m=8), "hnsw_m: not for IVF_SQ8, which this Milvus"),
        (LITE, create(hnsw_ef=8), "hnsw_ef: not for FLAT"),
    ],
)
def test_what_a_server_would_lack_or_ignore_is_refused_before_anything_is_created(played, server, request_, told):
    engine = played(server)
    with pytest.raises(Unsupported, match=f"collection 'docs_1': .*{told}"):
        engine.ask(request_)
    assert engine.reply is None


@pytest.mark.parametrize(
    ("params", "half", "storage"),
    [
        ({"index_type": "HNSW"}, False, Storage.FLOAT32),
        ({"index_type": "HNSW"}, True, Storage.FLOAT16),
        ({"index_type": "AUTOINDEX"}, True, Storage.FLOAT16),
        ({"index_type": "IVF_SQ8"}, False, Storage.INT8),
        ({"index_type": "IVF_SQ8"}, True, None),
        ({"index_type": "HNSW_SQ"}, False, Storage.INT8),
        ({"index_type": "HNSW_SQ", "params": '{"sq_type": "sq8"}'}, False, Storage.INT8),
        ({"index_type": "HNSW_SQ", "params": '{"sq_type": "SQ6"}'}, False, None),
        ({"index_type": "HNSW_SQ", "sq_type": "BF16"}, False, None),
        ({"index_type": "HNSW_SQ", "params": "?"}, False, Storage.INT8),
        ({"index_type": "IVF_RABITQ"}, False, Storage.BINARY),
        ({"index_type": "IVF_PQ"}, False, None),
        ({}, False, None),
        ({}, True, None),
    ],
)
def test_storage_shows_in_the_index_of_the_shortest_vector(params, half, storage):
    def description(name, **given):
        return milvus_pb2.IndexDescription(field_name=name, params=pairs(given))

    there = [description("dense_4", **params), description(DENSE, index_type="SCANN")]
    assert storage_of(FUNNEL, set(FUNNEL) if half else set(), there) is storage


def test_what_somebody_else_changed_is_seen(played):
    engine = played(V25, create())
    engine.indexes[DENSE] = pairs({"index_type": "IVF_SQ8", "metric_type": "COSINE"})
    assert engine.describe().storage is Storage.INT8
    engine.indexes[DENSE] = pairs({"index_type": "DISKANN", "metric_type": "COSINE"})
    assert engine.describe().storage is None
    # Collections of earlier versions may have such an index there, where it is no storage.
    old = played(V23, create())
    old.indexes[DENSE] = pairs({"index_type": "IVF_SQ8", "metric_type": "COSINE"})
    assert old.describe().storage is None


# ------------------------------------------------------------ float16


@given(st.integers(0, 5), st.integers(1, 9), st.integers(0, 10**6))
def test_halves_travel_as_numpy_rounds_them(count, size, seed):
    rows = vectors(count, size, seed) if count else np.zeros((0, size), np.float32)
    column = vector_column("dense", rows, half=True)
    halves = rows.astype(np.float16)
    assert (column.type, column.vectors.dim) == (Type.Float16Vector, size)
    back = rows_of(schemas.FieldData.FromString(column.SerializeToString()))
    assert (back.dtype, back.shape) == (np.float32, rows.shape)
    assert np.array_equal(back, halves.astype(np.float32))
    group = common_pb2.PlaceholderGroup.FromString(placeholders(rows, half=True)).placeholders[0]
    assert group.type == common_pb2.PlaceholderType.Float16Vector
    assert b"".join(group.values) == halves.tobytes()


def test_a_collection_in_float16_is_written_and_searched_so(played):
    engine = played(V26, create(Storage.FLOAT16, FUNNEL))
    columns = engine.adapter._columns(None, "docs_1")
    assert columns.half == set(FUNNEL)
    request = Query("docs_1", {"dense_4": vectors(2, 4, 1)}, Metric.COSINE, 3)
    engine.ask(request)
    asked = common_pb2.PlaceholderGroup.FromString(engine.calls[-1].request.placeholder_group).placeholders[0]
    assert asked.type == common_pb2.PlaceholderType.Float16Vector


def test_a_number_that_float16_cannot_hold_is_refused(kit):
    columns = Columns("docs_1", {DENSE: 3}, half=frozenset({DENSE}))
    rows = np.array([[65504, 0, 0], [0, -65530, 0]], np.float32)
    records = [kit.record("a"), kit.record("b", document="report")]
    ((count, data),) = batches(Write("docs_1", records[:1], {DENSE: rows[:1]}), columns)
    assert (count, rows_of(data[-1]).tolist()) == (1, [[65504, 0, 0]])
    with pytest.raises(BackendRefused, match=r"document 'report' has a vector with the number 65530, too large"):
        list(batches(Write("docs_1", records, {DENSE: rows}), columns))


# ------------------------------------------------------------ changing it


def update(storage, record=None):
    return Update("docs_1", {}, record or {"nestvec": 1, "new": True}, storage)


@pytest.mark.parametrize("sizes", [{DENSE: 32}, FUNNEL], ids=["plain", "funnel"])
@pytest.mark.parametrize(
    ("was", "now", "index", "search"),
    [
        ("float32", "int8", "HNSW_SQ", {"ef": 64}),
        ("int8", "binary", "IVF_RABITQ", {"nprobe": 64}),
        ("binary", "float32", "HNSW", {"ef": 64}),
    ],
)
def test_storage_changes_by_another_index(played, sizes, was, now, index, search):
    engine = played(V26, create(Storage(was), sizes))
    first = min(sizes, key=sizes.__getitem__)
    others = {name: each for name, each in engine.indexes.items() if name != first}
    engine.ask(update(Storage(now)))
    info = engine.describe()
    assert (info.storage, info.record, engine.loaded) == (Storage(now), {"nestvec": 1, "new": True}, True)
    assert engine.parameters(first)[0] == index
    assert {name: each for name, each in engine.indexes.items() if name != first} == others
    assert json.loads(engine.properties()["nestvec_search"])[first] == search
    assert engine.properties()["nestvec_changing"] == ""
    methods = [each for each in engine.methods() if not each.startswith(("Describe", "Get"))]
    assert methods == [
        "AlterCollection", "ReleaseCollection", "DropIndex", "CreateIndex", "LoadCollection", "AlterCollection"
    ]  # fmt: skip


def test_the_options_of_a_collection_hold_after_a_change(played):
    engine = played(V26, create(index="HNSW", hnsw_m=5, replicas=2))
    engine.ask(update(Storage.INT8))
    assert engine.parameters() == ("HNSW_SQ", {"M": 5, "efConstruction": 200, "sq_type": "SQ8"})
    engine.ask(update(Storage.FLOAT32))
    assert engine.parameters() == ("HNSW", {"M": 5, "efConstruction": 200})
    assert [each.request.replica_number for each in engine.calls if each.method == "LoadCollection"] == [2, 2]


def test_options_of_another_version_are_not_guessed(played):
    engine = played(V26, create())
    kept = message("AlterCollection", properties=pairs({"nestvec_options": {"index": "HNSW_X"}}))
    engine.on_AlterCollection(kept)
    with pytest.raises(
        BackendRefused, match=r"'docs_1': its property nestvec_options has options .* 'HNSW_X'.*; use the"
    ):
        engine.ask(update(Storage.INT8))
    assert engine.describe().storage is Storage.FLOAT32


def test_a_reader_that_loads_the_collection_again_is_waited_for(played):
    engine = played(V26, create())
    engine.intrude["DropIndex"] = lambda: engine.on_LoadCollection(None)
    engine.ask(update(Storage.INT8))
    assert engine.methods().count("ReleaseCollection") == 2
    assert engine.describe().storage is Storage.INT8
    always = played(V26, create())
    always.on_ReleaseCollection = lambda request: None
    with pytest.raises(BackendRefused, match="is loaded"):
        always.ask(update(Storage.INT8))
    assert always.describe().record == {"nestvec": 1}


@pytest.mark.parametrize(
    "method", ["AlterCollection", "ReleaseCollection", "DropIndex", "CreateIndex", "LoadCollection"]
)
def test_an_interrupted_change_goes_on(played, method):
    engine = played(V26, create())
    engine.intrude[method] = BackendUnavailable("the line is cut")
    with pytest.raises(BackendUnavailable, match="the line is cut"):
        engine.ask(update(Storage.INT8))
    seen = engine.describe()
    assert (seen.record, seen.storage) != ({"nestvec": 1, "new": True}, Storage.INT8), "it shows as not made yet"
    engine.ask(update(Storage.INT8))
    info = engine.describe()
    assert (info.storage, info.record, engine.loaded) == (Storage.INT8, {"nestvec": 1, "new": True}, True)


def test_a_reader_during_a_change_is_told_to_try_again(played):
    engine = played(V26, create())
    ask = Query("docs_1", {DENSE: vectors(1, 32, 1)}, Metric.COSINE, 3)
    engine.intrude["CreateIndex"] = BackendUnavailable("the line is cut")
    with pytest.raises(BackendUnavailable):
        engine.ask(update(Storage.BINARY))
    with pytest.raises(BackendUnavailable, match=r"its storage becomes binary; try again\. If that was interrupted"):
        engine.ask(ask)
    engine.ask(update(Storage.BINARY))
    engine.loaded = False
    engine.ask(ask)
    assert json.loads(unpaired(engine.calls[-1].request.search_params)["params"]) == {"nprobe": 64}


@pytest.mark.parametrize("notices", ["by looking at the collection", "because it has to load it"])
def test_another_process_notices_a_change(played, notices):
    engine = played(V26, create())
    ask = Query("docs_1", {DENSE: vectors(1, 32, 1)}, Metric.COSINE, 3)
    engine.ask(ask)
    there = engine.adapter.cache.columns["docs_1"]
    engine.describe()
    assert engine.adapter.cache.columns["docs_1"] is there
    elsewhere = replace(engine.adapter.component, cache=DescriptionCache(engine.server))
    blocking(elsewhere).update(update(Storage.BINARY))
    if notices == "by looking at the collection":
        engine.describe()
    else:
        engine.loaded = False
    engine.ask(ask)
    assert json.loads(unpaired(engine.calls[-1].request.search_params)["params"]) == {"nprobe": 64}


@pytest.mark.parametrize(
    ("server", "was", "now"),
    [
        (V26, Storage.FLOAT32, Storage.FLOAT16),
        (V26, Storage.FLOAT16, Storage.INT8),
        (V25, Storage.FLOAT32, Storage.BINARY),
        (V23, Storage.FLOAT32, Storage.INT8),
        (V23, Storage.FLOAT32, Storage.FLOAT32),
        (CLOUD, Storage.FLOAT32, Storage.INT8),
        (LITE, Storage.FLOAT32, Storage.INT8),
    ],
)
def test_what_no_index_can_change_has_to_be_built_anew(played, server, was, now):
    engine = played(server, create(was))
    with pytest.raises(Unsupported, match=f"to {now} in place; it has to be built anew"):
        engine.ask(update(now))
    assert engine.describe().record == {"nestvec": 1}


# ------------------------------------------------------------ reading vectors


@pytest.mark.parametrize("index", ["IVF_SQ8", "IVF_PQ", "SCANN", "DISKANN"])
@pytest.mark.parametrize("how", [None, ForeignLayout("docs_1")], ids=["own", "foreign"])
def test_vectors_that_reading_could_delete_are_left_alone(played, index, how):
    """Why: see `test_the_engine_searches_quantised_vectors_and_their_change_in_place`."""
    asked = [
        Fetch("docs_1", ["a"], vectors=True),
        Scroll("docs_1", vectors=True),
        QueryStaged("docs_1", {DENSE: vectors(1, 32, 1)}, Metric.COSINE, 3, rescore=9),
    ]
    for server in (V23, V24):
        engine = played(server, create())
        engine.on_Query = lambda request: milvus_pb2.QueryResults()
        engine.indexes[DENSE] = pairs({"index_type": index, "metric_type": "COSINE"})
        for request in asked:
            if server.version >= (2, 4):
                engine.ask(request, how)
                continue
            with pytest.raises(Unsupported, match=rf"'docs_1': Milvus before 2.4 .* of an index {index} when they"):
                engine.ask(request, how)
            assert not {"Query", "Search"} & set(engine.methods())
            bare = {"rescore": None} if isinstance(request, Query) else {"vectors": False}
            engine.ask(replace(request, **bare), how)
            engine.calls.clear()
        engine.indexes[DENSE] = pairs({"index_type": "HNSW", "metric_type": "COSINE"})
        engine.ask(asked[0], how)
