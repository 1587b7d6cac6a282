"""Storage kinds and funnels: what Qdrant is told, what it tells, and what its real engine makes of it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from qdrant_client import models

from nestvec.contract import CreateExtended, Describe, ListCollections, QueryStaged, Stage, Update
from nestvec.encoding.vectors import normalize, truncate
from nestvec.errors import CollectionConflict, Unsupported
from nestvec.types import DENSE, Metric, Storage
from nestvec_qdrant import schema
from nestvec_qdrant.options import QdrantCollectionOptions
from nestvec_qdrant.records import query_requests
from nestvec_qdrant.storage import vectors_of

FUNNEL = {"dense_4": 4, "dense_16": 16, DENSE: 32}


def create(storage: Storage = Storage.FLOAT32, vectors: Any = None, **options: Any) -> CreateExtended:
    given = QdrantCollectionOptions.model_validate(options) if options else None
    return CreateExtended(
        "docs_1", vectors or {DENSE: 32}, Metric.COSINE, {}, {"nestvec": 1}, options=given, storage=storage
    )


def params(request: CreateExtended) -> dict[str, tuple[Any, Any, Any]]:
    made = schema.create_arguments(request)["vectors_config"]
    return {name: (each.on_disk, each.datatype, type(each.quantization_config)) for name, each in made.items()}


NONE, INT8, BINARY = type(None), models.ScalarQuantization, models.BinaryQuantization


@pytest.mark.parametrize(
    ("request_", "wanted"),
    [
        (create(), {DENSE: (None, None, NONE)}),
        (create(Storage.FLOAT16), {DENSE: (None, models.Datatype.FLOAT16, NONE)}),
        (create(Storage.INT8), {DENSE: (True, None, INT8)}),
        (create(Storage.BINARY), {DENSE: (True, None, BINARY)}),
        (create(Storage.BINARY, on_disk=False), {DENSE: (False, None, BINARY)}),
        (
            create(vectors=FUNNEL),
            {"dense_4": (None, None, NONE), "dense_16": (None, None, NONE), DENSE: (True, None, NONE)},
        ),
        (
            create(Storage.INT8, FUNNEL),
            {"dense_4": (True, None, INT8), "dense_16": (None, None, NONE), DENSE: (True, None, NONE)},
        ),
        (
            create(vectors=FUNNEL, on_disk=False),
            {"dense_4": (False, None, NONE), "dense_16": (False, None, NONE), DENSE: (False, None, NONE)},
        ),
    ],
)
def test_what_is_searched_first_is_in_memory_and_originals_on_disk(request_: CreateExtended, wanted: Any) -> None:
    assert params(request_) == wanted


def test_quantised_vectors_stay_in_memory() -> None:
    int8 = schema.create_arguments(create(Storage.INT8))["vectors_config"][DENSE].quantization_config
    assert (int8.scalar.type, int8.scalar.always_ram) == (models.ScalarType.INT8, True)
    binary = schema.create_arguments(create(Storage.BINARY))["vectors_config"][DENSE].quantization_config
    assert binary.binary.always_ram is True


@pytest.mark.parametrize("vectors", [{DENSE: 32}, FUNNEL], ids=["plain", "funnel"])
@pytest.mark.parametrize("storage", list(Storage))
def test_a_server_tells_how_it_keeps_vectors(remote: Any, storage: Storage, vectors: dict[str, int]) -> None:
    request = create(storage, vectors)
    remote.create_extended(request)
    remote.create_extended(request)
    info = remote.describe(Describe("docs_1"))
    assert info is not None
    assert (info.storage, dict(info.vectors)) == (storage, vectors)
    other = Storage.BINARY if storage is not Storage.BINARY else Storage.INT8
    with pytest.raises(CollectionConflict, match="is another one"):
        remote.create_extended(replace(request, storage=other))


@pytest.mark.parametrize("vectors", [{DENSE: 32}, FUNNEL], ids=["plain", "funnel"])
@pytest.mark.parametrize(
    ("was", "now"), [("float32", "int8"), ("int8", "binary"), ("binary", "float32"), ("int8", "float32")]
)
def test_quantisation_is_switched_in_place(remote: Any, was: str, now: str, vectors: dict[str, int]) -> None:
    remote.create_extended(create(Storage(was), vectors))
    remote.update(Update("docs_1", {}, {"nestvec": 1, "new": True}, Storage(now)))
    info = remote.describe(Describe("docs_1"))
    assert info is not None
    assert (info.storage, info.record) == (Storage(now), {"nestvec": 1, "new": True})
    kept = vectors_of(remote.client.raw.get_collection("docs_1"))
    assert kept[min(vectors, key=vectors.__getitem__)].on_disk is (now != "float32")


def test_foreign_quantisation_of_the_whole_collection_is_seen(remote: Any) -> None:
    remote.create_extended(create())
    product = models.ProductQuantization(
        product=models.ProductQuantizationConfig(compression=models.CompressionRatio.X8)
    )
    scalar = models.ScalarQuantization(scalar=models.ScalarQuantizationConfig(type=models.ScalarType.INT8))
    for quantisation, seen in ((scalar, Storage.INT8), (product, None)):
        remote.client.raw.update_collection("docs_1", quantization_config=quantisation)
        info = remote.describe(Describe("docs_1"))
        assert info is not None
        assert info.storage is seen


@pytest.mark.parametrize("storage", [Storage.FLOAT16, Storage.INT8, Storage.BINARY])
def test_an_embedded_store_refuses_what_it_would_ignore(kit: Any, storage: Storage) -> None:
    adapter = kit.open(kit.options(path=":memory:"))
    with pytest.raises(Unsupported, match=f"has no {storage} storage; leave storage out, or use a server"):
        adapter.create_extended(create(storage))
    assert adapter.list_collections(ListCollections()) == []
    adapter.create_extended(create())
    with pytest.raises(Unsupported, match="built anew"):
        adapter.update(Update("docs_1", {}, {"nestvec": 1, "new": True}, storage))
    info = adapter.describe(Describe("docs_1"))
    assert info is not None
    assert info.record == {"nestvec": 1}
    adapter.close()


# ------------------------------------------------------------ searching


def nested(rows: Any) -> dict[str, Any]:
    return {"dense_4": truncate(rows, 4), "dense_16": truncate(rows, 16), DENSE: rows}


def rows(count: int, seed: int) -> Any:
    return normalize(np.random.default_rng(seed).standard_normal((count, 32)).astype(np.float32))


def test_stages_are_nested_prefetches_and_the_first_has_the_filter() -> None:
    where = models.Filter(must=[models.FieldCondition(key="x", match=models.MatchValue(value=1))])
    stages = (Stage("dense_4", 90), Stage("dense_16", 30))
    query = QueryStaged("docs_1", nested(rows(1, 0)), Metric.COSINE, 10, stages=stages)
    (made,) = query_requests(query, DENSE, where, True)
    fine = made.prefetch
    assert isinstance(fine, models.Prefetch)
    coarse = fine.prefetch
    assert isinstance(coarse, models.Prefetch)
    assert (made.using, made.filter, made.params) == (DENSE, None, None)
    assert (fine.using, fine.limit, fine.filter, fine.params) == ("dense_16", 30, None, None)
    assert (coarse.using, coarse.limit, coarse.filter) == ("dense_4", 90, where)
    assert coarse.params is not None
    assert coarse.params.quantization is not None
    assert coarse.params.quantization.rescore is False


def test_rescoring_says_how_many_candidates() -> None:
    query = QueryStaged("docs_1", {DENSE: rows(1, 0)}, Metric.COSINE, 7, 3, rescore=25)
    (made,) = query_requests(query, DENSE, None, True)
    assert made.params is not None
    assert made.params.quantization == models.QuantizationSearchParams(rescore=True, oversampling=2.5)
    (plain,) = query_requests(replace(query, rescore=None), DENSE, None, True)
    assert plain.params is None


@pytest.mark.parametrize("storage", [Storage.FLOAT16, Storage.INT8, Storage.BINARY])
@pytest.mark.parametrize("funnel", [False, True], ids=["plain", "funnel"])
def test_the_real_engine_finds_and_scores_by_stored_vectors(tmp_path: Any, storage: Storage, funnel: bool) -> None:
    """What the adapter asks for, asked of Qdrant's own engine on quantised segments."""
    edge = pytest.importorskip("qdrant_edge", reason="needs qdrant-edge-py, the engine of the server in process")
    request = create(storage, FUNNEL if funnel else {DENSE: 32})
    stored, asked = rows(400, 1), rows(5, 2)
    shard = edge.EdgeShard.create(str(tmp_path), _config(edge, schema.create_arguments(request)["vectors_config"]))
    try:
        named = {name: matrix for name, matrix in nested(stored).items() if name in request.vectors}
        points = [
            edge.Point(i, {name: matrix[i].tolist() for name, matrix in named.items()}, {}) for i in range(len(stored))
        ]
        shard.update(edge.UpdateOperation.upsert_points(points))
        while shard.optimize():
            pass
        stages = (Stage("dense_4", 200), Stage("dense_16", 60)) if funnel else ()
        rescore = 80 if storage.quantised and not funnel else None
        query = QueryStaged("docs_1", nested(asked), Metric.COSINE, 10, stages=stages, rescore=rescore)
        hits = 0
        for row, made in zip(asked, query_requests(query, DENSE, None, True), strict=True):
            exact = stored @ row
            found = shard.query(_edge_query(edge, made))
            best = set(np.argsort(-exact)[:10].tolist())
            hits += len(best & {point.id for point in found})
            most = 2e-3 if storage is Storage.FLOAT16 else 1e-4
            assert all(abs(point.score - exact[point.id]) <= most for point in found)
            assert [point.score for point in found] == sorted((point.score for point in found), reverse=True)
        assert hits >= (30 if funnel or storage is Storage.BINARY else 45)
        if rescore is not None:  # what is not rescored has other scores: the engine really searches quantised vectors
            (made,) = query_requests(replace(query, vectors={DENSE: asked[:1]}, rescore=None), DENSE, None, True)
            rough = models.SearchParams(quantization=models.QuantizationSearchParams(rescore=False))
            found = shard.query(_edge_query(edge, made.model_copy(update={"params": rough})))
            assert max(abs(point.score - float(stored[point.id] @ asked[0])) for point in found) > 1e-4
    finally:
        shard.close()


def _config(edge: Any, vectors: dict[str, models.VectorParams]) -> Any:
    made = {}
    for name, each in vectors.items():
        quantisation = None
        if isinstance(each.quantization_config, models.ScalarQuantization):
            quantisation = edge.ScalarQuantizationConfig(edge.ScalarType.Int8, always_ram=True)
        elif each.quantization_config is not None:
            quantisation = edge.BinaryQuantizationConfig(always_ram=True)
        kind = None if each.datatype is None else edge.VectorStorageDatatype.Float16
        made[name] = edge.EdgeVectorParams(
            each.size, edge.Distance.Cosine, on_disk=each.on_disk, datatype=kind, quantization_config=quantisation
        )
    return edge.EdgeConfig(made, optimizers=edge.EdgeOptimizersConfig(indexing_threshold=1))


def _edge_query(edge: Any, made: models.QueryRequest) -> Any:
    prefetch = [_edge_prefetch(edge, made.prefetch)] if isinstance(made.prefetch, models.Prefetch) else None
    return edge.QueryRequest(
        limit=made.limit, query=edge.Query.Nearest(made.query, made.using), prefetches=prefetch,
        params=_edge_params(edge, made.params),
    )  # fmt: skip


def _edge_prefetch(edge: Any, made: models.Prefetch) -> Any:
    inner = [_edge_prefetch(edge, made.prefetch)] if isinstance(made.prefetch, models.Prefetch) else None
    query = edge.Query.Nearest(made.query, made.using)
    return edge.Prefetch(limit=made.limit, query=query, prefetches=inner, params=_edge_params(edge, made.params))


def _edge_params(edge: Any, params: models.SearchParams | None) -> Any:
    if params is None or params.quantization is None:
        return None
    given = params.quantization
    return edge.SearchParams(
        quantization=edge.QuantizationSearchParams(rescore=given.rescore, oversampling=given.oversampling)
    )


def test_grpc_takes_the_same_requests() -> None:
    """The client turns them into protobuf and back without loss."""
    from qdrant_client.conversions.conversion import GrpcToRest, RestToGrpc

    stages = (Stage("dense_4", 90), Stage("dense_16", 30))
    query = QueryStaged("docs_1", nested(rows(1, 0)), Metric.COSINE, 10, stages=stages)
    (made,) = query_requests(query, DENSE, None, True)
    assert isinstance(made.prefetch, models.Prefetch)
    back = RestToGrpc.convert_prefetch_query(made.prefetch)
    assert (back.limit, back.using, back.prefetch[0].limit, back.prefetch[0].using) == (30, "dense_16", 90, "dense_4")
    assert back.prefetch[0].params.quantization.rescore is False
    for storage in (Storage.FLOAT16, Storage.INT8, Storage.BINARY):
        wanted = schema.create_arguments(create(storage))["vectors_config"][DENSE]
        kept = GrpcToRest.convert_vector_params(RestToGrpc.convert_vector_params(wanted))
        assert (kept.datatype, kept.on_disk) == (wanted.datatype, wanted.on_disk)
        assert kept.quantization_config == wanted.quantization_config
