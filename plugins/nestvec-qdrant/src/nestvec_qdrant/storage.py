"""How vectors are stored: number format, quantisation, in memory or on disk — and how that changes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from qdrant_client import models

from nestvec.types import DENSE, Metric, Storage

if TYPE_CHECKING:
    from nestvec.contract import CreateExtended

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


def vector_params(request: CreateExtended, name: str, size: int, on_disk: bool | None) -> models.VectorParams:
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


def storage_change(info: models.CollectionInfo, storage: Storage) -> dict[str, models.VectorParamsDiff]:
    """What `update_collection` changes of the vectors: quantisation, and with it where the originals are."""
    quantisation = _quantisation(storage) if storage.quantised else models.Disabled.DISABLED
    vectors = vectors_of(info)
    first = _first({name: params.size for name, params in vectors.items()})
    on_disk = storage.quantised or (first == DENSE and len(vectors) > 1)
    return {first: models.VectorParamsDiff(quantization_config=quantisation, on_disk=on_disk)}


def storage_of(info: models.CollectionInfo) -> Storage | None:
    """How the collection stores what a search begins with; None for a way that is none of nestvec's."""
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


def _quantisation(storage: Storage) -> models.ScalarQuantization | models.BinaryQuantization:
    if storage is Storage.BINARY:
        return models.BinaryQuantization(binary=models.BinaryQuantizationConfig(always_ram=True))
    scalar = models.ScalarQuantizationConfig(type=models.ScalarType.INT8, always_ram=True)
    return models.ScalarQuantization(scalar=scalar)


def _first(vectors: Mapping[str, int]) -> str:
    """The vector that a search begins with: the shortest."""
    return min(vectors, key=lambda name: vectors[name])
