"""Collections that somebody else made: what can be read of them, from Milvus's description."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any

from nestvec.contract import CollectionInfo, ForeignLayout
from nestvec.errors import CollectionConflict, Unsupported
from nestvec.types import DENSE, Field, FieldType, Record
from nestvec_milvus import schema
from nestvec_milvus.options import MilvusCollectionOptions
from nestvec_milvus.places import DYNAMIC, Foreign, Key, Place
from nestvec_milvus.wire import Type, unpaired

_TYPES: Mapping[Any, FieldType] = {
    Type.VarChar: FieldType.KEYWORD,
    Type.Int8: FieldType.INTEGER,
    Type.Int16: FieldType.INTEGER,
    Type.Int32: FieldType.INTEGER,
    Type.Int64: FieldType.INTEGER,
    Type.Float: FieldType.FLOAT,
    Type.Double: FieldType.FLOAT,
    Type.Bool: FieldType.BOOLEAN,
    Type.Timestamptz: FieldType.DATETIME,
}


def foreign_columns(described: Any, indexes: Iterable[Any], how: ForeignLayout) -> schema.Columns:
    """The collection as `how` says that it is to be read.

    `indexes` is the answer to `DescribeIndex`. Raises `CollectionConflict` for what is not there, or not in a form
    that nestvec reads, and `Unsupported` for a part of a collection.
    """
    physical = described.schema.name
    if how.namespace is not None:
        raise Unsupported(
            f"collection {physical!r}: foreign.namespace: nestvec reads whole collections of Milvus, no single "
            f"partitions; leave it out"
        )
    vector = _vector(described, how)
    index = _index(physical, vector.name, indexes)
    find = partial(_place, described)
    places = {name: find(f"foreign.fields.{name}", path) for name, path in how.fields.items()}
    given = {"id": how.id, "text": how.text}
    other = {name: find(f"foreign.{name}", path) if path is not None else None for name, path in given.items()}
    return schema.Columns(
        physical=physical,
        vectors={DENSE: int(unpaired(vector.type_params).get("dim", 0))},
        metric=schema.metric_named(physical, index.get("metric_type", "")),
        search={DENSE: MilvusCollectionOptions.model_validate({}).search_parameters("HNSW")}
        if index.get("index_type") == "HNSW"
        else {},
        record=schema.record_of(described),
        key=_key(described),
        foreign=Foreign(how, vector.name, other["id"], other["text"], places),
    )


def info(columns: schema.Columns) -> CollectionInfo:
    """The collection in the contract's words."""
    assert columns.foreign is not None  # noqa: S101 - built above
    assert columns.metric is not None  # noqa: S101
    known = {name: place.field for name, place in columns.foreign.fields.items() if place.field is not None}
    return CollectionInfo(columns.physical, columns.vectors, columns.metric, columns.record, known)


def record(foreign: Foreign, cells: Callable[[str], Sequence[Any] | None], row: int, identity: str) -> Record:
    """A row as nestvec's record. `cells` gives a column's values, or None where it was not read."""

    def read(place: Place | None) -> Any:
        column = cells(place.column) if place is not None else None
        return place.value(column[row]) if place is not None and column is not None else None

    owner, text = read(foreign.id), read(foreign.text)
    found = {name: read(place) for name, place in foreign.fields.items()}
    return Record(
        id=identity,
        document_id=identity if owner is None else str(owner),
        text=text if isinstance(text, str) else None,
        metadata={name: value for name, value in found.items() if value is not None},
        system={},
    )


def _key(described: Any) -> Key:
    column = next(each for each in described.schema.fields if each.is_primary_key)
    return Key.of(column.name, numeric=column.data_type == Type.Int64)


def _vector(described: Any, how: ForeignLayout) -> Any:
    """The column of the vector that is meant."""
    kinds = {each.name: each for each in described.schema.fields if Type.Name(each.data_type).endswith("Vector")}
    usable = [name for name, each in kinds.items() if each.data_type == Type.FloatVector]
    there = ", ".join(f"{name!r} ({Type.Name(each.data_type)})" for name, each in kinds.items()) or "none"
    begin = f"collection {described.schema.name!r} has the vectors {there}"
    if how.vector is not None:
        if how.vector not in kinds:
            raise CollectionConflict(f"{begin}, no {how.vector!r}; set foreign.vector to one of them")
        if how.vector not in usable:
            raise CollectionConflict(f"{begin}; nestvec searches FloatVectors, so it can not read {how.vector!r}")
        return kinds[how.vector]
    if len(usable) == 1:
        return kinds[usable[0]]
    if not usable:
        raise CollectionConflict(f"{begin}; nestvec searches FloatVectors, of which there is none to adopt")
    raise CollectionConflict(f"{begin}; say with foreign.vector which one to search")


def _index(physical: str, vector: str, indexes: Iterable[Any]) -> Mapping[str, str]:
    """The parameters of the vector's index."""
    for each in indexes:
        if each.field_name == vector:
            return unpaired(each.params)
    raise CollectionConflict(
        f"collection {physical!r}: its vector {vector!r} has no index, which says how vectors are compared and without "
        f"which Milvus does not load it; create one (its maker knows the metric), then adopt it"
    )


def _place(described: Any, setting: str, path: str) -> Place:
    """Where a configured name leads. Raises `CollectionConflict` naming it."""
    fields = {each.name: each for each in described.schema.fields if each.name != DYNAMIC}
    head, *keys = path.split(".")
    column, physical = fields.get(path) or fields.get(head), described.schema.name
    if column is None:
        return _dynamic(described, setting, path)
    if path in fields:
        keys = []
    if column.data_type == Type.JSON:
        return Place(path, column.name, tuple(keys), nullable=column.nullable)
    if keys:
        raise CollectionConflict(
            f"collection {physical!r}: {setting}: {head!r} is a column of type {Type.Name(column.data_type)}, in which "
            f"there is no {'.'.join(keys)!r}; only JSON has keys inside"
        )
    many = column.data_type == Type.Array
    kind = _TYPES.get(column.element_type if many else column.data_type)
    if kind is None:
        raise CollectionConflict(
            f"collection {physical!r}: {setting}: nestvec does not read columns of type "
            f"{Type.Name(column.data_type)}, as {path!r} is"
        )
    return Place(path, path, (), Field(kind, many), column.nullable)


def _dynamic(described: Any, setting: str, path: str) -> Place:
    keys = path.split(".")
    if keys[0] == DYNAMIC:
        keys = keys[1:]
    if described.schema.enable_dynamic_field and keys:
        return Place(path, DYNAMIC, tuple(keys))
    names = ", ".join(sorted(repr(each.name) for each in described.schema.fields))
    raise CollectionConflict(
        f"collection {described.schema.name!r}: {setting}: there is no column {keys[0] if keys else path!r}, and no "
        f"dynamic field that could hold it; the columns are {names}"
    )


def not_loaded(physical: str, place: str) -> CollectionConflict:
    """To raise where reading would need more than nestvec may do."""
    return CollectionConflict(
        f"collection {physical!r} of {place} is not loaded into memory, and Milvus reads only what is. nestvec alters "
        f"nothing of an adopted collection: load it (load_collection in a Milvus client), then repeat this"
    )
