"""Collections as Milvus describes them, and what it takes to create one."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from nestvec.contract import CollectionInfo, Create, ForeignLayout, Query
from nestvec.errors import BackendRefused, CollectionConflict, Unsupported
from nestvec.types import DENSE, FieldType, Metric
from nestvec_milvus import layout
from nestvec_milvus.options import MilvusCollectionOptions
from nestvec_milvus.places import OWN_KEY, Foreign, Key
from nestvec_milvus.server import Server
from nestvec_milvus.wire import Type, pairs, schemas, unpaired

METRICS = {Metric.COSINE: "COSINE", Metric.DOT: "IP", Metric.EUCLIDEAN: "L2"}
_METRIC = {name: metric for metric, name in METRICS.items()}
_COLUMN_TYPE = {
    FieldType.KEYWORD: Type.VarChar,
    FieldType.INTEGER: Type.Int64,
    FieldType.FLOAT: Type.Double,
    FieldType.BOOLEAN: Type.Bool,
    FieldType.DATETIME: Type.Int64,
}
_CONSISTENCY = {"strong": 0, "session": 1, "bounded": 2, "eventually": 3}
#: Properties live in the server's etcd, which takes 1.5 MB at once.
_MAX_RECORD = 512 * 1024
#: Begins the value of every note that is there, so that an empty one is none.
_NOTE = "="
_FOR_SERVERS = {"consistency", "shards", "replicas", "partitions"}


@dataclass(frozen=True, slots=True)
class Columns:
    """What writing to a collection and searching it needs to know about it."""

    physical: str
    vectors: Mapping[str, int]
    typed: Mapping[str, FieldType] = field(default_factory=dict)
    own: frozenset[str] = frozenset()
    tenants: bool = False
    metric: Metric | None = None
    search: Mapping[str, Any] = field(default_factory=dict)
    record: Mapping[str, Any] | None = None
    key: Key = OWN_KEY
    foreign: Foreign | None = None

    @property
    def layout(self) -> ForeignLayout | None:
        """How somebody else's collection is read."""
        return None if self.foreign is None else self.foreign.layout

    def native(self, vector: str) -> str:
        """The column of a vector."""
        return vector if self.foreign is None else self.foreign.vector

    def info(self, metric: Metric) -> CollectionInfo:
        """The collection in the contract's words. Which fields have an index is not told."""
        return CollectionInfo(self.physical, self.vectors, metric, self.record)


def options_of(request: Create) -> MilvusCollectionOptions:
    """The request's options, or the defaults."""
    given = request.options
    return given if isinstance(given, MilvusCollectionOptions) else MilvusCollectionOptions.model_validate({})


def check_request(request: Create, server: Server) -> None:
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
    taken = sorted(set(request.vectors) & set(layout.OWN_COLUMNS))
    if taken:
        raise Unsupported(f"collection {request.physical!r}: a vector can not be named {taken[0]!r}; rename it")
    record_property(request.record, request.physical)


def record_property(record: Mapping[str, Any], physical: str) -> str:
    """The record as a property's value. Raises `BackendRefused` where it is too long."""
    text = json.dumps(dict(record))
    if len(text) > _MAX_RECORD:
        raise BackendRefused(
            f"the record of collection {physical!r} takes {len(text)} bytes, more than the {_MAX_RECORD} that Milvus "
            f"keeps with a collection; declare fewer fields"
        )
    return text


def index_of(options: MilvusCollectionOptions, server: Server) -> str:
    """The index of the vectors."""
    if options.index is not None:
        return options.index
    return "FLAT" if server.lite else "AUTOINDEX" if server.cloud else "HNSW"


def creation(request: Create, server: Server) -> dict[str, Any]:
    """Fields of the `CreateCollection` request."""
    options = options_of(request)
    partitioned = request.tenants and server.partition_keys
    schema = schemas.CollectionSchema(name=request.physical, fields=_fields(request, partitioned=partitioned))
    properties = {
        layout.RECORD_PROPERTY: record_property(request.record, request.physical),
        layout.METRIC_PROPERTY: request.metric.value,
        layout.SEARCH_PROPERTY: options.search_parameters(index_of(options, server)),
    }
    return {
        "collection_name": request.physical,
        "schema": schema.SerializeToString(),
        "shards_num": options.shards,
        "consistency_level": _CONSISTENCY[options.consistency],
        "properties": pairs(properties),
        **({"num_partitions": options.partitions} if partitioned else {}),
    }


def _fields(request: Create, *, partitioned: bool) -> list[Any]:
    long = {"max_length": layout.VARCHAR_LENGTH}
    typed = layout.typed_fields(dict(request.fields), len(request.vectors))
    return [
        _field(layout.ID, Type.VarChar, {"max_length": layout.MAX_ID_BYTES}, is_primary_key=True),
        *(_field(name, Type.FloatVector, {"dim": size}) for name, size in request.vectors.items()),
        _field(layout.DOCUMENT_ID, Type.VarChar, long),
        _field(layout.CHUNK, Type.Int64),
        _field(layout.LAYOUT, Type.VarChar, long),
        *([_field(layout.TENANT, Type.VarChar, long, is_partition_key=partitioned)] if request.tenants else []),
        _field(layout.TEXT, Type.VarChar, long),
        _field(layout.METADATA, Type.JSON),
        _field(layout.SYSTEM, Type.JSON),
        _field(
            layout.PRESENT,
            Type.Array,
            {**long, "max_capacity": layout.MAX_FIELDS_OF_A_RECORD},
            element_type=Type.VarChar,
        ),
        *(
            _field(layout.column_of(name, kind), _COLUMN_TYPE[kind], long if kind is FieldType.KEYWORD else {})
            for name, kind in typed.items()
        ),
    ]


def _field(name: str, kind: Any, parameters: Mapping[str, int] | None = None, **more: Any) -> Any:
    return schemas.FieldSchema(name=name, data_type=kind, type_params=pairs(parameters or {}), **more)


def indexes(request: Create, server: Server) -> dict[str, dict[str, Any]]:
    """The indexes that a collection needs: column → parameters."""
    options = options_of(request)
    index = index_of(options, server)
    vector = {
        "index_type": index,
        "metric_type": METRICS[request.metric],
        "params": options.build_parameters(index),
    }
    scalars = {layout.DOCUMENT_ID: FieldType.KEYWORD, layout.LAYOUT: FieldType.KEYWORD}
    if request.tenants and not server.partition_keys:
        scalars[layout.TENANT] = FieldType.KEYWORD
    typed = layout.typed_fields(dict(request.fields), len(request.vectors))
    scalars |= {layout.column_of(name, kind): kind for name, kind in typed.items()}
    chosen = {column: server.scalar_index(kind) for column, kind in scalars.items()}
    return {
        **{name: dict(vector) for name in request.vectors},
        **{column: {"index_type": kind} for column, kind in chosen.items() if kind is not None},
    }


def check_same(request: Create, found: CollectionInfo) -> None:
    """Raise `CollectionConflict` where a collection to complete is not the one that was begun."""
    wanted = (dict(request.vectors), request.metric, dict(request.record))
    if (dict(found.vectors), found.metric, found.record) != wanted:
        raise CollectionConflict(
            f"collection {request.physical!r} exists already and is another one: it has vectors {dict(found.vectors)} "
            f"({found.metric}) and {'another' if found.record else 'no'} nestvec record; nothing was changed"
        )


def check_window(request: Query) -> None:
    """Raise `Unsupported` for more results than Milvus gives."""
    if request.offset + request.limit > layout.MAX_WINDOW:
        raise Unsupported(
            f"search in collection {request.physical!r}: Milvus returns at most {layout.MAX_WINDOW} results, and "
            f"offset {request.offset} + limit {request.limit} is more; ask for fewer, or scroll"
        )


def check_question(request: Query, columns: Columns) -> None:
    """Raise `BackendRefused` for vectors of another size."""
    ((name, rows),) = request.vectors.items()
    size = columns.vectors.get(name)
    if rows.shape[1] != size:
        raise BackendRefused(
            f"collection {request.physical!r} takes vectors of dimensions {dict(columns.vectors)}, not "
            f"{ {name: rows.shape[1]} }; search with vectors of that size"
        )


def columns_of(described: Any) -> Columns:
    """A collection, from the answer to `DescribeCollection`."""
    fields = described.schema.fields
    names = {each.name for each in fields}
    properties = unpaired(described.properties)
    own = layout.RECORD_PROPERTY in properties
    parsed = [layout.declared_by(name) for name in names] if own else []
    metric = properties.get(layout.METRIC_PROPERTY)
    return Columns(
        physical=described.schema.name,
        vectors={each.name: _size(each) for each in fields if each.data_type == Type.FloatVector},
        typed=dict(each for each in parsed if each is not None),
        own=frozenset(names & set(layout.OWN_COLUMNS)),
        tenants=layout.TENANT in names,
        metric=Metric(metric) if metric in set(Metric) else None,
        search=_json(properties.get(layout.SEARCH_PROPERTY)) or {},
        record=record_of(described),
    )


def record_of(described: Any) -> dict[str, Any] | None:
    """What nestvec keeps with a collection, from the answer to `DescribeCollection`."""
    return _json(unpaired(described.properties).get(layout.RECORD_PROPERTY))


def note_value(text: str | None) -> str:
    """A note as a property's value. A removed one is left empty: old servers can not delete a property."""
    return "" if text is None else _NOTE + text


def note_of(described: Any, name: str) -> str | None:
    """What a note says, from the answer to `DescribeCollection`."""
    value = unpaired(described.properties).get(layout.note_property(name), "")
    return value.removeprefix(_NOTE) if value else None


def metric_of(physical: str, vectors: Mapping[str, int], descriptions: Any) -> Metric:
    """The metric of a collection that somebody else made, from its indexes."""
    found = {each.field_name: unpaired(each.params).get("metric_type", "") for each in descriptions}
    first = DENSE if DENSE in vectors else next(iter(vectors), "")
    name = found.get(first, "").upper() or METRICS[Metric.COSINE]  # without an index there is nothing to be wrong about
    return metric_named(physical, name)


def metric_named(physical: str, name: str) -> Metric:
    """The metric that Milvus calls so. Raises `Unsupported` for those that nestvec does not know."""
    name = name.upper()
    if name not in _METRIC:
        raise Unsupported(
            f"collection {physical!r} compares vectors by {name}; nestvec knows {', '.join(sorted(_METRIC))}: choose "
            f"another collection name"
        )
    return _METRIC[name]


def _size(each: Any) -> int:
    return int(unpaired(each.type_params).get("dim", 0))


def _json(text: str | None) -> dict[str, Any] | None:
    try:
        value = json.loads(text) if text is not None else None
    except ValueError:
        return None
    return value if isinstance(value, dict) else None
