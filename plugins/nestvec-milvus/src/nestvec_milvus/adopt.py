"""Collections that somebody else made: what can be read of them, where, and what that is called in expressions."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

from nestvec.contract import CollectionInfo, ForeignLayout, foreign_record
from nestvec.errors import CollectionConflict, Unsupported
from nestvec.types import DENSE, Field, FieldType, Metric, Record, Storage
from nestvec_milvus import schema
from nestvec_milvus.client import Type, unpaired, values_of
from nestvec_milvus.options import MilvusCollectionOptions
from nestvec_milvus.schema import Columns, PrimaryKey

#: The column of the fields that are in no schema.
DYNAMIC: Final = "$meta"
_IDENTIFIER: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")
#: Words of Milvus's expressions, which are no names there.
_WORDS: Final = frozenset(
    ("and", "or", "not", "in", "like", "is", "null", "exists", "iso", "interval", "true", "false")
)
#: Milvus cuts paths apart at brackets and quotes, and knows no escapes in them.
_UNSPEAKABLE: Final = re.compile(r"[\x00-\x1f\"'\[\]\\]")


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


@dataclass(frozen=True, slots=True)
class ColumnPath:
    """A column, or a value inside one of JSON.

    `name` is what the configuration calls it, `field` what the engine knows of its type: None inside JSON.
    """

    name: str
    column: str
    keys: tuple[str, ...] = ()
    field: Field | None = None
    nullable: bool = False

    @property
    def expression(self) -> str:
        """What it is in a comparison. Raises `Unsupported` for what no expression can name."""
        if self.field is None and not self.keys:
            raise Unsupported(
                f"filter on {self.name!r}: that is a whole JSON column; map the field to a key inside it, such as "
                f"'{self.name}.key'"
            )
        wrong = next((key for key in self.keys if _UNSPEAKABLE.search(key)), None)
        if wrong is not None:
            raise Unsupported(
                f"filter on {self.name!r}: Milvus cannot filter on the key {wrong!r}, because of its quotes, brackets "
                f"or backslashes; such a field can be read only"
            )
        return self.column + "".join(f'["{key}"]' for key in self.keys)

    @property
    def listed(self) -> str:
        """What it is inside `json_contains_any`, for which Milvus Lite wants a dynamic field's bare name."""
        path, first = self.expression, self.keys[0] if self.keys else ""
        if self.column != DYNAMIC or not _IDENTIFIER.match(first) or first.lower() in _WORDS:
            return path
        return path.replace(f'{DYNAMIC}["{first}"]', first, 1)

    @property
    def present(self) -> str | None:
        """The condition that there is something here, null perhaps; None where there always is."""
        if self.field is None:
            return f"exists {self.expression}"
        return f"{self.column} is not null" if self.nullable else None

    def exists(self, key: PrimaryKey, *, many: bool) -> str:
        """The condition that there is a value: not null, not an empty list."""
        if self.field is not None:
            if self.field.many:
                return f"array_length({self.column}) != 0"
            return self.present or key.everything
        path = self.expression
        if many:
            return f"(exists {path}[0])"  # without parentheses, `exists` takes everything that follows
        # What `exists` says of null differs between versions; this is true of strings, numbers and booleans only.
        tests = ('>= ""', "> 0", "<= 0", "== true", "== false")
        return f"({' or '.join(f'{path} {test}' for test in tests)})"

    def check(self, wanted: Field) -> None:
        """Raise where a field declared as `wanted` cannot be compared with what stands here."""
        there = self.field
        if wanted.type is FieldType.DATETIME and (there is None or there.type is not FieldType.DATETIME):
            raise Unsupported(
                f"filter on {self.name!r}: Milvus holds no datetimes there, but text or numbers, and does not compare "
                f"them as instants; declare the field as keyword or integer and compare what is stored, or copy the "
                f"collection into one of nestvec's own"
            )
        if there is not None and there != wanted:
            raise CollectionConflict(f"column {self.name!r} holds {there}, and the field is declared as {wanted}")


@dataclass(frozen=True, slots=True, kw_only=True)
class ForeignColumns(Columns):
    """What reading somebody else's collection needs to know about it. `fields` are the paths of the declared ones.

    `lists` says of each column beside key and vectors whether it holds lists; `unread` what cannot be read.
    """

    metric: Metric
    vector: str
    id: ColumnPath | None
    fields: Mapping[str, ColumnPath]
    layout: ForeignLayout
    lists: Mapping[str, bool]
    unread: tuple[str, ...]

    def native(self, vector: str) -> str:  # noqa: ARG002 - there is one
        """The column of the vector."""
        return self.vector

    def output_fields(self, *, content: bool, vectors: bool = False) -> list[str]:
        """The columns to read."""
        wanted = list(self.lists) if content else [self.id.column] if self.id is not None else []
        there = [self.key.column, *wanted]
        return list(dict.fromkeys([*there, self.vector] if vectors else there))

    @property
    def paths(self) -> Mapping[str, ColumnPath]:
        """The paths that filters can name."""
        return {path.name: path for path in (*self.fields.values(), *([self.id] if self.id else ()))}

    def info(self, metric: Metric, storage: Storage | None) -> CollectionInfo:
        """The collection in the contract's words. The fields are those whose type is known."""
        known = {name: path.field for name, path in self.fields.items() if path.field is not None}
        return CollectionInfo(self.physical, self.vectors, metric, self.record, known, storage, self.unread)

    def record_of(self, cells: Callable[[str], Sequence[Any] | None], row: int, identity: str) -> Record:
        """A row as nestvec's record. `cells` gives a column's values, or None where it was not read."""
        columns = {name: column for name in (*self.lists, self.key.column) if (column := cells(name)) is not None}
        stored = self._stored({name: column[row] for name, column in columns.items()})
        others = self.lists.keys() - ({self.id.column} if self.id is not None else set())
        bare = bool(others) and others.isdisjoint(columns)
        return foreign_record(identity, stored, self.layout, find=lambda _, path: _keys(path), bare=bare)

    def _stored(self, cells: Mapping[str, Any]) -> dict[str, Any]:
        """What a row holds besides its key. A null is how a column has no value; one of lists has an empty one then."""
        named = {
            path.split(".", 1)[0] for path in (self.layout.id, self.layout.text, *self.layout.fields.values()) if path
        }
        plain = {name: value for name, value in cells.items() if name != self.key.column or name in named}
        dynamic = plain.pop(DYNAMIC, None)
        there = {
            name: value
            for name, value in plain.items()
            if value is not None and not (self.lists.get(name) and not value)
        }
        return {**(dynamic if isinstance(dynamic, Mapping) else {}), **there}


def foreign_columns(described: Any, indexes: Iterable[Any], how: ForeignLayout) -> ForeignColumns:
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
    find = partial(_path, described, how.json)
    paths = {name: find(f"foreign.fields.{name}", path) for name, path in how.fields.items()}
    given = {"id": how.id, "text": how.text, "metadata": how.metadata}
    other = {name: find(f"foreign.{name}", path) if path is not None else None for name, path in given.items()}
    lists, unread = _contents(described, vector.name)
    return ForeignColumns(
        physical=physical,
        vectors={DENSE: int(unpaired(vector.type_params).get("dim", 0))},
        metric=schema.metric_named(physical, index.get("metric_type", "")),
        search={DENSE: MilvusCollectionOptions.model_validate({}).search_parameters("HNSW")}
        if index.get("index_type") == "HNSW"
        else {},
        record=schema.record_of(described),
        key=_key(described),
        layout=how,
        vector=vector.name,
        id=other["id"],
        fields=paths,
        lists=lists,
        unread=unread,
    )


def _key(described: Any) -> PrimaryKey:
    column = next(each for each in described.schema.fields if each.is_primary_key)
    return PrimaryKey.of(column.name, numeric=column.data_type == Type.Int64)


def _vector(described: Any, how: ForeignLayout) -> Any:
    """The column of the selected vector."""
    kinds = {each.name: each for each in described.schema.fields if Type.Name(each.data_type).endswith("Vector")}
    usable = [name for name, each in kinds.items() if each.data_type == Type.FloatVector]
    there = ", ".join(f"{name!r} ({Type.Name(each.data_type)})" for name, each in kinds.items()) or "none"
    begin = f"collection {described.schema.name!r} has the vectors {there}"
    if how.vector is not None:
        if how.vector not in kinds:
            raise CollectionConflict(f"{begin}, no {how.vector!r}; set foreign.vector to one of them")
        if how.vector not in usable:
            raise CollectionConflict(f"{begin}; nestvec searches FloatVectors, so it cannot read {how.vector!r}")
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


def _contents(described: Any, vector: str) -> tuple[dict[str, bool], tuple[str, ...]]:
    """The columns to read, and whether each holds lists; and what else there is."""
    lists, unread = dict[str, bool](), list[str]()
    for each in described.schema.fields:
        kind = Type.Name(each.data_type)
        if each.name in (vector, DYNAMIC) or each.is_primary_key:
            continue
        if each.data_type in _TYPES or each.data_type in (Type.JSON, Type.Array):
            lists[each.name] = each.data_type == Type.Array
        else:
            unread.append(f"{'vector' if kind.endswith('Vector') else 'column'} {each.name!r} ({kind})")
    unread += [f"column {each.name!r} (structs)" for each in getattr(described.schema, "struct_array_fields", ())]
    return lists | ({DYNAMIC: False} if described.schema.enable_dynamic_field else {}), tuple(unread)


def _keys(path: str) -> tuple[str, ...]:
    """The keys that a path leads through in a row, whose dynamic field lies open in it."""
    keys = tuple(path.split("."))
    return keys[1:] if keys[0] == DYNAMIC else keys


def _path(described: Any, texts: Sequence[str], setting: str, path: str) -> ColumnPath:
    """Where a configured name leads; `texts` are columns of JSON text. Raises `CollectionConflict` naming it."""
    fields = {each.name: each for each in described.schema.fields if each.name != DYNAMIC}
    head, *keys = path.split(".")
    column, physical = fields.get(path) or fields.get(head), described.schema.name
    if column is None:
        return _dynamic(described, setting, path)
    if path in fields:
        keys = []
    if column.data_type == Type.JSON:
        return ColumnPath(path, column.name, tuple(keys), nullable=column.nullable)
    if keys and head in texts:
        return ColumnPath(path, head, tuple(keys), nullable=column.nullable)
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
    return ColumnPath(path, path, (), Field(kind, many), column.nullable)


def _dynamic(described: Any, setting: str, path: str) -> ColumnPath:
    keys = path.split(".")
    if keys[0] == DYNAMIC:
        keys = keys[1:]
    if described.schema.enable_dynamic_field and keys:
        return ColumnPath(path, DYNAMIC, tuple(keys))
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


def cells_of(data: Any) -> list[Any]:
    """The values of any scalar column as Python has them: lists, what JSON holds, None for null."""
    kind = data.scalars.WhichOneof("data")
    found = list(values_of(data))
    if kind == "json_data":
        found = [json.loads(each) if each else None for each in found]
    elif kind == "array_data":
        found = [_items(each) for each in found]
    if not data.valid_data:
        return found
    # Servers leave room for nulls; the protocol also allows to leave them out.
    if len(found) == len(data.valid_data):
        return [value if valid else None for value, valid in zip(found, data.valid_data, strict=True)]
    values = iter(found)
    return [next(values) if valid else None for valid in data.valid_data]


def _items(scalars: Any) -> list[Any]:
    kind = scalars.WhichOneof("data")
    return list(getattr(scalars, kind).data) if kind is not None else []
