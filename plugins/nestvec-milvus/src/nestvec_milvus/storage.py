"""How vectors are stored: the number format of their columns, the indexes over them, and how storage shows in those.

Only what a search begins with is quantised. No index refines its candidates by itself: an index that does keeps the
vectors in memory once more. `nestvec_milvus.staged` compares the candidates by the stored vectors instead, which
servers of every version read from storage.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping
from typing import Any, Final

from nestvec.contract import CreateExtended
from nestvec.errors import Unsupported
from nestvec.types import Storage
from nestvec_milvus.client import Type, unpaired
from nestvec_milvus.options import MilvusCollectionOptions
from nestvec_milvus.server import FEATURES, ServerVersion

#: How an index keeps vectors. What is not here is none of nestvec's.
_KEPT: Final[Mapping[str, Storage]] = {
    "HNSW": Storage.FLOAT32,
    "AUTOINDEX": Storage.FLOAT32,
    "FLAT": Storage.FLOAT32,
    "IVF_FLAT": Storage.FLOAT32,
    "IVF_SQ8": Storage.INT8,
    "HNSW_SQ": Storage.INT8,
    "IVF_RABITQ": Storage.BINARY,
}


def column_type(storage: Storage) -> Any:
    """The type of a collection's vector columns."""
    return Type.Float16Vector if storage is Storage.FLOAT16 else Type.FloatVector


def first_of(vectors: Mapping[str, int]) -> str:
    """The vector that a search begins with: the shortest."""
    return min(vectors, key=vectors.__getitem__)


def indexes_of(
    vectors: Mapping[str, int], storage: Storage, options: MilvusCollectionOptions, server: ServerVersion
) -> dict[str, str]:
    """The index of each vector. An option that names one holds for the vectors that it keeps as wanted."""
    first = first_of(vectors)
    return {name: _index(options, storage if name == first else Storage.FLOAT32, server) for name in vectors}


def _index(options: MilvusCollectionOptions, storage: Storage, server: ServerVersion) -> str:
    wanted = storage if storage.quantised else Storage.FLOAT32
    if options.index is not None and _KEPT[options.index] is wanted:
        return options.index
    if wanted is Storage.BINARY:
        return "IVF_RABITQ"
    if wanted is Storage.INT8:
        return "HNSW_SQ" if server.has("HNSW_SQ") else "IVF_SQ8"
    return "FLAT" if server.lite else "AUTOINDEX" if server.cloud else "HNSW"


def vector_index(index: str, metric: str, options: MilvusCollectionOptions) -> dict[str, Any]:
    """Parameters for creating the index of a vector. `metric` is Milvus's word."""
    return {"index_type": index, "metric_type": metric, "params": options.build_parameters(index)}


def search_parameters(
    vectors: Mapping[str, int], storage: Storage, options: MilvusCollectionOptions, server: ServerVersion
) -> dict[str, dict[str, int]]:
    """Parameters for searching by each vector."""
    chosen = indexes_of(vectors, storage, options, server)
    return {name: options.search_parameters(index) for name, index in chosen.items()}


def check_storage(request: CreateExtended, options: MilvusCollectionOptions, server: ServerVersion) -> None:
    """Raise `Unsupported` for a storage that this server lacks, and for options that it could only ignore."""
    begin = f"collection {request.physical!r}"
    if request.storage not in server.storage:
        raise Unsupported(
            f"{begin}: this Milvus ({server.name}) has no {request.storage} storage; it has "
            f"{', '.join(sorted(server.storage))}: choose one of them, or use a server that has it"
        )
    chosen = set(indexes_of(request.vectors, request.storage, options, server).values())
    if options.index is not None and options.index not in chosen:
        kept = _KEPT[options.index]
        raise Unsupported(
            f"{begin}: index {options.index} keeps {kept}, and storage is {request.storage}; leave index out"
            + (f', or set storage = "{kept}"' if kept.quantised else "")
        )
    late = [index for index in chosen if index in FEATURES and not server.has(index)]
    if late:
        raise Unsupported(f"{begin}: this Milvus ({server.name}) has no index {late[0]}; leave index out")
    unused = options.unused(chosen)
    if unused:
        raise Unsupported(
            f"{begin}: {', '.join(sorted(unused))}: not for {', '.join(sorted(chosen))}, which this Milvus "
            f"({server.name}) uses there; leave it out"
        )


def check_change(physical: str, half: Collection[str], storage: Storage, server: ServerVersion) -> None:
    """Raise `Unsupported` for a storage that no other index brings about."""
    possible = server.storage - {Storage.FLOAT16}
    if half or len(possible) < 2 or storage not in possible:
        raise Unsupported(
            f"collection {physical!r}: this Milvus ({server.name}) cannot change how it keeps vectors to {storage} in "
            f"place; it has to be built anew"
        )


def storage_of(vectors: Mapping[str, int], half: Collection[str], descriptions: Iterable[Any]) -> Storage | None:
    """How a collection keeps what a search begins with, or None where nestvec would not keep it so, or has not yet.

    `half` are the vectors in float16, `descriptions` is the answer to `DescribeIndex`.
    """
    if not vectors:
        return None
    first = first_of(vectors)
    parameters = next((unpaired(each.params) for each in descriptions if each.field_name == first), {})
    kept = _KEPT.get(parameters.get("index_type", ""))
    if kept is Storage.INT8 and _setting(parameters, "sq_type").upper() not in ("", "SQ8"):
        return None
    if first not in half:
        return kept
    return Storage.FLOAT16 if kept is Storage.FLOAT32 else None


def check_readable(physical: str, vector: str, descriptions: Iterable[Any], server: ServerVersion) -> None:
    """Raise `Unsupported` where this server could delete vectors by reading them."""
    if server.has("reads beside indexes"):
        return
    index = next(
        (unpaired(each.params).get("index_type", "") for each in descriptions if each.field_name == vector), ""
    )
    if index not in ("", *(name for name, kept in _KEPT.items() if not kept.quantised)):
        raise Unsupported(
            f"collection {physical!r}: Milvus before 2.4 ({server.name}) can delete the vectors of an index {index} "
            f"when they are read, so they are left alone; upgrade the server, or give {vector!r} an index HNSW, "
            f"IVF_FLAT or FLAT"
        )


def _setting(parameters: Mapping[str, str], name: str) -> str:
    """A parameter of an index: servers tell them singly, or as JSON under `params`, or both."""
    if name in parameters:
        return parameters[name]
    try:
        return str(json.loads(parameters.get("params", "{}")).get(name, ""))
    except (ValueError, AttributeError):
        return ""
