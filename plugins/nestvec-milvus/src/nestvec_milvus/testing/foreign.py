"""Collections as other programs make them: with pymilvus's own client."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any, TypeAlias

import grpc  # type: ignore[import-untyped]  # ships no types
from pymilvus import DataType, MilvusClient
from pymilvus.grpc_gen import milvus_pb2_grpc

from nestvec.contract import ForeignLayout

if TYPE_CHECKING:
    from nestvec.types import FloatArray

    Payloads: TypeAlias = Sequence[Mapping[str, Any]]

VECTOR: Mapping[str, str] = {"emb": "COSINE"}
FIELDS = ("lang", "year", "price", "open", "tags")


@contextmanager
def pymilvus_client(adapter: Any) -> Iterator[Any]:
    """pymilvus on what the adapter has open. Milvus Lite's folder can be opened once: its service gets a port."""
    connection = adapter.client
    with ExitStack() as stack:
        uri = connection.place.removeprefix("Milvus at ")
        if connection.embedded:
            server = grpc.server(stack.enter_context(ThreadPoolExecutor(2)))
            stack.callback(lambda: server.stop(None).wait())
            milvus_pb2_grpc.add_MilvusServiceServicer_to_server(connection.raw.service, server)
            uri = f"http://127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
            server.start()
        client = MilvusClient(uri=uri)
        stack.callback(client.close)
        yield client


def make(
    client: Any,
    name: str,
    columns: Mapping[str, Mapping[str, Any]],
    rows: Payloads,
    *,
    vectors: Mapping[str, str] = VECTOR,
    dynamic: bool = False,
    index: str | None = "HNSW",
    **options: Any,
) -> list[Any]:
    """A collection with `columns` (name → arguments of `add_field`); indexed and loaded unless `index` is None.

    Returns the ids of its rows.
    """
    size = len(next(iter(rows[0][vector] for vector in vectors))) if rows else 3
    schema = MilvusClient.create_schema(auto_id=options.pop("auto_id", False), enable_dynamic_field=dynamic)
    for column, arguments in columns.items():
        schema.add_field(column, **arguments)
    parameters = MilvusClient.prepare_index_params()
    for vector, metric in vectors.items():
        schema.add_field(vector, DataType.FLOAT_VECTOR, dim=size)
        if index is not None:
            more = {"params": {"M": 16, "efConstruction": 100}} if index == "HNSW" else {}
            parameters.add_index(vector, index_type=index, metric_type=metric, **more)
    given = {"index_params": parameters} if index is not None else {}
    client.create_collection(name, schema=schema, consistency_level="Strong", **given, **options)
    return list(client.insert(name, rows)["ids"]) if rows else []


def text(**more: Any) -> dict[str, Any]:
    """Arguments of a column of strings."""
    return {"datatype": DataType.VARCHAR, "max_length": 1000, **more}


def in_json(adapter: Any, name: str, rows: FloatArray, payloads: Payloads) -> ForeignLayout:
    """Numbers as keys; metadata in a JSON column."""
    columns: dict[str, Any] = {"number": {"datatype": DataType.INT64, "is_primary": True}, "body": text()}
    columns |= {"doc": {"datatype": DataType.JSON}}
    records = [
        {
            "number": n * 7 - 20,
            "emb": row.tolist(),
            "body": item["body"],
            "doc": {
                "key": item["key"],
                "meta": {name: value for name, value in item.items() if name not in ("key", "body")},
            },
        }
        for n, (row, item) in enumerate(zip(rows, payloads, strict=True))
    ]
    with pymilvus_client(adapter) as client:
        make(client, name, columns, records)
    return ForeignLayout(name, None, "doc.key", "body", fields={field: f"doc.meta.{field}" for field in FIELDS})


def in_dynamic_field(adapter: Any, name: str, rows: FloatArray, payloads: Payloads) -> ForeignLayout:
    """Everything but key and vector is in no schema; the ids are Milvus's."""
    columns = {"auto": {"datatype": DataType.INT64, "is_primary": True, "auto_id": True}}
    records = [{"emb": row.tolist(), **item} for row, item in zip(rows, payloads, strict=True)]
    with pymilvus_client(adapter) as client:
        make(client, name, columns, records, dynamic=True, auto_id=True)
    return ForeignLayout(name, "emb", "key", "body", fields={field: field for field in FIELDS})


def in_columns(adapter: Any, name: str, rows: FloatArray, payloads: Payloads) -> ForeignLayout:
    """Typed columns that may be null; strings as keys; a second vector."""
    kinds: dict[str, Any] = {
        "lang": text(),
        "year": {"datatype": DataType.INT32},
        "price": {"datatype": DataType.DOUBLE},
        "source": text(),
    }
    kinds |= {"open": {"datatype": DataType.BOOL}}
    tags = {"datatype": DataType.ARRAY, "element_type": DataType.VARCHAR, "max_capacity": 9, "max_length": 9}
    columns = {"key": text(is_primary=True), "body": text(), "tags": {**tags, "nullable": True}}
    columns |= {field: {**kind, "nullable": True} for field, kind in kinds.items()}
    records = [
        {"emb": row.tolist(), "other": [1.0] * len(row), **dict.fromkeys(kinds), **item}
        for row, item in zip(rows, payloads, strict=True)
    ]
    with pymilvus_client(adapter) as client:
        make(client, name, columns, records, vectors={"other": "L2", "emb": "COSINE"})
    return ForeignLayout(name, "emb", text="body", fields={field: field for field in FIELDS})
