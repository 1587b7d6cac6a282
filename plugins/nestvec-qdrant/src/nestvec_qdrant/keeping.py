"""How vectors are kept: number format, quantisation, in memory or on disk — and how that changes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from qdrant_client import models

from nestvec.types import DENSE, Metric, Storage

if TYPE_CHECKING:
    from nestvec.contract import Create, Query

DISTANCE = {
    Metric.COSINE: models.Distance.COSINE,
    Metric.DOT: models.Distance.DOT,
    Metric.EUCLIDEAN: models.Distance.EUCLID,
}


def vectors_of(info: models.CollectionInfo) -> dict[str, models.VectorParams]:
    """Its dense vectors by name; an unnamed one has the empty name."""
    vectors = info.config.params.vectors
    if vectors is None:
        return {}
    return dict(vectors) if isinstance(vectors, dict) else {"": vectors}


def placed(request: Create, name: str, size: int, on_disk: bool | None) -> models.VectorParams:
    """One vector of a new collection.

    What a search begins with is quantised; it and prefixes are in memory. What only rescores is on disk: the originals
    of quantised vectors, and full vectors under a funnel. `on_disk`, where it is set, holds for all of them.
    """
    quantised = request.storage.quantised and name == _first(request.vectors)
    if on_disk is None and (quantised or (name == DENSE and len(request.vectors) > 1)):
        on_disk = True
    return models.VectorParams(
        size=size,
        distance=DISTANCE[request.metric],
        on_disk=on_disk,
        datatype=models.Datatype.FLOAT16 if request.storage is Storage.FLOAT16 else None,
        quantization_config=_quantisation(request.storage) if quantised else None,
    )


def changed(info: models.CollectionInfo, storage: Storage) -> dict[str, models.VectorParamsDiff]:
    """What `update_collection` changes of the vectors: quantisation, and with it where the originals are."""
    quantisation = _quantisation(storage) if storage.quantised else models.Disabled.DISABLED
    vectors = vectors_of(info)
    first = _first({name: params.size for name, params in vectors.items()})
    on_disk = storage.quantised or (first == DENSE and len(vectors) > 1)
    return {first: models.VectorParamsDiff(quantization_config=quantisation, on_disk=on_disk)}


def storage_of(info: models.CollectionInfo) -> Storage | None:
    """How the collection keeps what a search begins with; None for a way that is none of nestvec's."""
    vectors = vectors_of(info)
    if not vectors:
        return None
    params = vectors[_first({name: params.size for name, params in vectors.items()})]
    quantisation = params.quantization_config or info.config.quantization_config
    if quantisation is not None:
        kinds = {models.ScalarQuantization: Storage.INT8, models.BinaryQuantization: Storage.BINARY}
        return kinds.get(type(quantisation))
    formats = {
        None: Storage.FLOAT32,
        models.Datatype.FLOAT32: Storage.FLOAT32,
        models.Datatype.FLOAT16: Storage.FLOAT16,
    }
    return formats.get(params.datatype)


def questions(
    request: Query, name: str, where: models.Filter | None, threshold: float | None, payload: bool | list[str]
) -> list[models.QueryRequest]:
    """One request for each question: by the vector `name`, after what the stages choose."""
    return [
        models.QueryRequest(
            prefetch=_stages(request, number, where),
            query=row.tolist(),
            using=name or None,
            filter=None if request.stages else where,
            params=None if request.rescore is None else _rescoring(request.rescore / (request.limit + request.offset)),
            limit=request.limit,
            offset=request.offset,
            score_threshold=threshold,
            with_payload=payload,
        )
        for number, row in enumerate(request.vectors[DENSE])
    ]


def _stages(request: Query, number: int, where: models.Filter | None) -> models.Prefetch | None:
    """The stages, one inside the other. The innermost, which chooses of all points, has the filter."""
    inner: models.Prefetch | None = None
    for stage in request.stages:
        inner = models.Prefetch(
            prefetch=inner,
            query=request.vectors[stage.vector][number].tolist(),
            using=stage.vector,
            filter=where if inner is None else None,
            limit=stage.limit,
            # The next stage compares what is stored: rescoring here would read the disk twice.
            params=_quantised(rescore=False) if inner is None else None,
        )
    return inner


def _rescoring(oversampling: float) -> models.SearchParams:
    return _quantised(rescore=True, oversampling=oversampling)


def _quantised(**settings: Any) -> models.SearchParams:
    return models.SearchParams(quantization=models.QuantizationSearchParams(**settings))


def _quantisation(storage: Storage) -> models.ScalarQuantization | models.BinaryQuantization:
    if storage is Storage.BINARY:
        return models.BinaryQuantization(binary=models.BinaryQuantizationConfig(always_ram=True))
    scalar = models.ScalarQuantizationConfig(type=models.ScalarType.INT8, always_ram=True)
    return models.ScalarQuantization(scalar=scalar)


def _first(vectors: Mapping[str, int]) -> str:
    """The vector that a search begins with: the shortest."""
    return min(vectors, key=lambda name: vectors[name])
