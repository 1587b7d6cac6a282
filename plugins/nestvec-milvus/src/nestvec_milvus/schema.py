"""Collections as Milvus describes them, and what it takes to create one."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from nestvec.contract import CollectionInfo, Create, ForeignLayout, Query
from nestvec.errors import BackendRefused, CollectionConflict, Unsupported
from nestvec.types import DENSE, FieldType, Metric, Storage
from nestvec_milvus import layout
from nestvec_milvus.keeping import check_keeping, column_type, indexes_of
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
    """What writing to a collection and searching it needs to know about it.

    `half` are the vectors in float16; `search` has the parameters of searches for each vector. `changing` is what an
    update changes the storage to, or was interrupted at.
    """

    physical: str
    vectors: Mapping[str, int]
    typed: Mapping[str, FieldType] = field(default_factory=dict)
    own: frozenset[str] = frozenset()
    tenants: bool = False
    metric: Metric | None = None
    search: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    record: Mapping[str, Any] | None = None
    half: frozenset[str] = frozenset()
    changing: Storage | None = None
    key: Key = OWN_KEY
    foreign: Foreign | None = None

    @property
    def layout(self) -> ForeignLayout | None:
        """How somebody else's collection is read."""
        return None if self.foreign is None else self.foreign.layout

    def native(self, vector: str) -> str:
        """The column of a vector."""
        return vector if self.foreign is None else self.foreign.vector

    def info(self, metric: Metric, storage: Storage | None) -> CollectionInfo:
        """The collection in the contract's words. Which fields have an index is not told."""
        return CollectionInfo(self.physical, self.vectors, metric, self.record, storage=storage)


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
    check_keeping(request, options_of(request), server)
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


def creation(request: Create, server: Server) -> dict[str, Any]:
    """Fields of the `CreateCollection` request."""
    options = options_of(request)
    partitioned = request.tenants and server.partition_keys
    schema = schemas.CollectionSchema(name=request.physical, fields=_fields(request, partitioned=partitioned))
    properties = {
        layout.RECORD_PROPERTY: record_property(request.record, request.physical),
        layout.METRIC_PROPERTY: request.metric.value,
        layout.SEARCH_PROPERTY: search_parameters(request.vectors, request.storage, options, server),
        layout.OPTIONS_PROPERTY: options.model_dump(exclude_unset=True),
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
        *(_field(name, column_type(request.storage), {"dim": size}) for name, size in request.vectors.items()),
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


def search_parameters(
    vectors: Mapping[str, int], storage: Storage, options: MilvusCollectionOptions, server: Server
) -> dict[str, dict[str, int]]:
    """Parameters for searching by each vector."""
    chosen = indexes_of(vectors, storage, options, server)
    return {name: options.search_parameters(index) for name, index in chosen.items()}


def vector_index(index: str, metric: Metric, options: MilvusCollectionOptions) -> dict[str, Any]:
    """Parameters for creating the index of a vector."""
    return {"index_type": index, "metric_type": METRICS[metric], "params": options.build_parameters(index)}


def indexes(request: Create, server: Server) -> dict[str, dict[str, Any]]:
    """The indexes that a collection needs: column → parameters."""
    options = options_of(request)
    chosen = indexes_of(request.vectors, request.storage, options, server)
    vectors = {name: vector_index(index, request.metric, options) for name, index in chosen.items()}
    scalars = {layout.DOCUMENT_ID: FieldType.KEYWORD, layout.LAYOUT: FieldType.KEYWORD}
    if request.tenants and not server.partition_keys:
        scalars[layout.TENANT] = FieldType.KEYWORD
    typed = layout.typed_fields(dict(request.fields), len(request.vectors))
    scalars |= {layout.column_of(name, kind): kind for name, kind in typed.items()}
    found = {column: server.scalar_index(kind) for column, kind in scalars.items()}
    return {**vectors, **{column: {"index_type": kind} for column, kind in found.items() if kind is not None}}


def check_same(request: Create, found: CollectionInfo) -> None:
    """Raise `CollectionConflict` where a collection to complete is not the one that was begun."""
    wanted = (dict(request.vectors), request.metric, dict(request.record), request.storage)
    storage = found.storage or request.storage  # it shows in an index, which may not be there yet
    if (dict(found.vectors), found.metric, found.record, storage) != wanted:
        raise CollectionConflict(
            f"collection {request.physical!r} exists already and is another one: it has vectors {dict(found.vectors)} "
            f"({found.metric}) and {'another' if found.record else 'no'} nestvec record; nothing was changed"
        )


def check_window(request: Query) -> None:
    """Raise `Unsupported` for more results, or candidates, than Milvus gives."""
    begin = f"search in collection {request.physical!r}: Milvus returns at most {layout.MAX_WINDOW} results"
    if request.offset + request.limit > layout.MAX_WINDOW:
        raise Unsupported(
            f"{begin}, and offset {request.offset} + limit {request.limit} is more; ask for fewer, or scroll"
        )
    candidates = max(request.rescore or 0, *(stage.limit for stage in request.stages), 0)
    if candidates > layout.MAX_WINDOW:
        raise Unsupported(f"{begin}, and {candidates} candidates are more; ask for fewer, or set a lower oversampling")


def check_question(request: Query, columns: Columns) -> None:
    """Raise `BackendRefused` for vectors that the collection does not have, or of another size."""
    wanted = {name: request.vectors[name].shape[1] for name in used(request)}
    if any(columns.vectors.get(name) != size for name, size in wanted.items()):
        raise BackendRefused(
            f"collection {request.physical!r} takes vectors of dimensions {dict(columns.vectors)}, not {wanted}; "
            f"search with vectors of that size"
        )


def used(request: Query) -> list[str]:
    """The vectors that a search goes by."""
    if request.stages or DENSE in request.vectors:
        return [*(stage.vector for stage in request.stages), DENSE]
    return list(request.vectors)


def columns_of(described: Any) -> Columns:
    """A collection, from the answer to `DescribeCollection`."""
    fields = described.schema.fields
    names = {each.name for each in fields}
    properties = unpaired(described.properties)
    own = layout.RECORD_PROPERTY in properties
    parsed = [layout.declared_by(name) for name in names] if own else []
    metric = properties.get(layout.METRIC_PROPERTY)
    vectors = {each.name: _size(each) for each in fields if each.data_type in (Type.FloatVector, Type.Float16Vector)}
    changing = properties.get(layout.CHANGING_PROPERTY)
    return Columns(
        physical=described.schema.name,
        vectors=vectors,
        typed=dict(each for each in parsed if each is not None),
        own=frozenset(names & set(layout.OWN_COLUMNS)),
        tenants=layout.TENANT in names,
        metric=Metric(metric) if metric in set(Metric) else None,
        search=_for_each(_json(properties.get(layout.SEARCH_PROPERTY)) or {}, vectors),
        record=record_of(described),
        half=frozenset(each.name for each in fields if each.data_type == Type.Float16Vector),
        changing=Storage(changing) if changing in set(Storage) else None,
    )


def _for_each(search: Mapping[str, Any], vectors: Mapping[str, int]) -> Mapping[str, Mapping[str, Any]]:
    """Parameters for each vector. In collections made by earlier versions of nestvec, all have the same."""
    return search if all(isinstance(each, dict) for each in search.values()) else dict.fromkeys(vectors, search)


def options_kept(described: Any) -> MilvusCollectionOptions:
    """The options that the collection was created with, from the answer to `DescribeCollection`.

    Raises `BackendRefused` for some that this version of nestvec does not know.
    """
    found = _json(unpaired(described.properties).get(layout.OPTIONS_PROPERTY)) or {}
    try:
        return MilvusCollectionOptions.model_validate(found)
    except ValueError as error:
        raise BackendRefused(
            f"collection {described.schema.name!r}: its property {layout.OPTIONS_PROPERTY} has options that this "
            f"version of nestvec does not know: {found}; use the version that made it, or a later one"
        ) from error


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
