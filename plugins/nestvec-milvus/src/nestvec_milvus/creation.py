"""What it takes to create a collection: checks, columns, properties and indexes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from nestvec.contract import CollectionInfo, CreateExtended
from nestvec.errors import CollectionConflict, Unsupported
from nestvec.types import FieldType
from nestvec_milvus import schema
from nestvec_milvus.client import Type, pairs, schemas
from nestvec_milvus.options import MAX_FIELDS_OF_A_RECORD, MAX_ID_BYTES, VARCHAR_LENGTH, MilvusCollectionOptions
from nestvec_milvus.server import ServerVersion
from nestvec_milvus.storage import check_storage, column_type, indexes_of, search_parameters, vector_index

_CONSISTENCY = {"strong": 0, "session": 1, "bounded": 2, "eventually": 3}
_FOR_SERVERS = {"consistency", "shards", "replicas", "partitions"}


def options_of(request: CreateExtended) -> MilvusCollectionOptions:
    """The request's options, or the defaults."""
    given = request.options
    return given if isinstance(given, MilvusCollectionOptions) else MilvusCollectionOptions.model_validate({})


def check_request(request: CreateExtended, server: ServerVersion) -> None:
    """Raise `Unsupported` or `BackendRefused` for what this server could not keep."""
    given = set(request.options.model_fields_set) & _FOR_SERVERS if request.options is not None else set()
    if server.lite and given:
        raise Unsupported(
            f"collection {request.physical!r}: {', '.join(sorted(given))}: Milvus Lite has no such settings; leave "
            f"them out, or use a server"
        )
    if "partitions" in given and not (request.tenants and server.partition_keys):
        raise Unsupported(
            f"collection {request.physical!r}: partitions: only for collections with namespaces, on a server of "
            f"version 2.4 or later (this is {server.name}); leave it out"
        )
    if len(request.vectors) > server.max_vectors:
        raise Unsupported(
            f"collection {request.physical!r}: this Milvus ({server.name}) keeps {server.max_vectors} vector(s) for a "
            f"record, not {len(request.vectors)}; "
            + ("declare fewer" if server.max_vectors > 1 else "several need a server of version 2.4 or later")
        )
    check_storage(request, options_of(request), server)
    taken = sorted(set(request.vectors) & set(schema.OWN_COLUMNS))
    if taken:
        raise Unsupported(f"collection {request.physical!r}: a vector cannot be named {taken[0]!r}; rename it")
    schema.record_property(request.record, request.physical)


def creation(request: CreateExtended, server: ServerVersion) -> dict[str, Any]:
    """Fields of the `CreateCollection` request."""
    options = options_of(request)
    partitioned = request.tenants and server.partition_keys
    described = schemas.CollectionSchema(name=request.physical, fields=_fields(request, partitioned=partitioned))
    properties = {
        schema.RECORD_PROPERTY: schema.record_property(request.record, request.physical),
        schema.METRIC_PROPERTY: request.metric.value,
        schema.SEARCH_PROPERTY: search_parameters(request.vectors, request.storage, options, server),
        schema.OPTIONS_PROPERTY: options.model_dump(exclude_unset=True),
    }
    return {
        "collection_name": request.physical,
        "schema": described.SerializeToString(),
        "shards_num": options.shards,
        "consistency_level": _CONSISTENCY[options.consistency],
        "properties": pairs(properties),
        **({"num_partitions": options.partitions} if partitioned else {}),
    }


def _fields(request: CreateExtended, *, partitioned: bool) -> list[Any]:
    long = {"max_length": VARCHAR_LENGTH}
    typed = schema.typed_fields(dict(request.fields), len(request.vectors))
    return [
        _field(schema.ID, Type.VarChar, {"max_length": MAX_ID_BYTES}, is_primary_key=True),
        *(_field(name, column_type(request.storage), {"dim": size}) for name, size in request.vectors.items()),
        _field(schema.DOCUMENT_ID, Type.VarChar, long),
        _field(schema.CHUNK, Type.Int64),
        _field(schema.LAYOUT, Type.VarChar, long),
        *([_field(schema.TENANT, Type.VarChar, long, is_partition_key=partitioned)] if request.tenants else []),
        _field(schema.TEXT, Type.VarChar, long),
        _field(schema.METADATA, Type.JSON),
        _field(schema.SYSTEM, Type.JSON),
        _field(
            schema.PRESENT,
            Type.Array,
            {**long, "max_capacity": MAX_FIELDS_OF_A_RECORD},
            element_type=Type.VarChar,
        ),
        *(
            _field(
                schema.column_of(name, kind), schema.FIELD_COLUMNS[kind][0], long if kind is FieldType.KEYWORD else {}
            )
            for name, kind in typed.items()
        ),
    ]


def _column_type(kind: FieldType) -> Any:
    return schema.FIELD_COLUMNS[kind][0]


def _field(name: str, kind: Any, parameters: Mapping[str, int] | None = None, **more: Any) -> Any:
    return schemas.FieldSchema(name=name, data_type=kind, type_params=pairs(parameters or {}), **more)


def indexes(request: CreateExtended, server: ServerVersion) -> dict[str, dict[str, Any]]:
    """The indexes that a collection needs: column → parameters."""
    options = options_of(request)
    chosen = indexes_of(request.vectors, request.storage, options, server)
    vectors = {name: vector_index(index, schema.METRICS[request.metric], options) for name, index in chosen.items()}
    scalars = {schema.DOCUMENT_ID: FieldType.KEYWORD, schema.LAYOUT: FieldType.KEYWORD}
    if request.tenants and not server.partition_keys:
        scalars[schema.TENANT] = FieldType.KEYWORD
    typed = schema.typed_fields(dict(request.fields), len(request.vectors))
    scalars |= {schema.column_of(name, kind): kind for name, kind in typed.items()}
    found = {column: server.scalar_index(kind) for column, kind in scalars.items()}
    return {**vectors, **{column: {"index_type": kind} for column, kind in found.items() if kind is not None}}


def check_same(request: CreateExtended, found: CollectionInfo) -> None:
    """Raise `CollectionConflict` where a collection to complete is not the one that was begun."""
    wanted = (dict(request.vectors), request.metric, dict(request.record), request.storage)
    storage = found.storage or request.storage  # it shows in an index, which may not be there yet
    if (dict(found.vectors), found.metric, found.record, storage) != wanted:
        raise CollectionConflict(
            f"collection {request.physical!r} exists already and is another one: it has vectors {dict(found.vectors)} "
            f"({found.metric}) and {'another' if found.record else 'no'} nestvec record; nothing was changed"
        )
