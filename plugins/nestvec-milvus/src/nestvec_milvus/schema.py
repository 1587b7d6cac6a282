"""Collections as Milvus describes them, and how a record lies in one.

    id           VARCHAR, primary key
    dense …      one FLOAT_VECTOR, or FLOAT16_VECTOR, for each vector
    document_id, chunk, layout     nestvec's own filterable fields
    tenant       VARCHAR, the partition key where the collection has tenants
    text         VARCHAR
    metadata     JSON, everything that the user gave; what records are read from
    system       JSON, nestvec's bookkeeping
    present      ARRAY of VARCHAR, the names of the metadata fields that are there
    k_lang …     one scalar column for each declared field with a single value, to filter on

Old servers know no null. So a scalar column holds a default where the field is missing, and `present` tells
the two apart: no comparison is ever "unknown", and a filter's complement is exact. Lists, and fields that were
declared after the collection was created, are filtered on in `metadata`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from nestvec.contract import CollectionInfo, ForeignLayout
from nestvec.errors import BackendRefused, Unsupported
from nestvec.types import DENSE, Field, FieldType, Metric, Storage
from nestvec_milvus.client import Type, unpaired
from nestvec_milvus.options import MilvusCollectionOptions

ID: Final = "id"
DOCUMENT_ID: Final = "document_id"
CHUNK: Final = "chunk"
LAYOUT: Final = "layout"
TENANT: Final = "tenant"
TEXT: Final = "text"
METADATA: Final = "metadata"
SYSTEM: Final = "system"
PRESENT: Final = "present"
OWN_COLUMNS: Final = (ID, DOCUMENT_ID, CHUNK, LAYOUT, TENANT, TEXT, METADATA, SYSTEM, PRESENT)
#: In `system`: this record has no text, not even an empty one.
NO_TEXT: Final = "_no_text"

#: Properties of the collection: nestvec's record; the metric; the parameters of searches; the options that were given
#: for it; what its storage is being changed to, empty when that is done.
RECORD_PROPERTY: Final = "nestvec"
METRIC_PROPERTY: Final = "nestvec_metric"
SEARCH_PROPERTY: Final = "nestvec_search"
OPTIONS_PROPERTY: Final = "nestvec_options"
CHANGING_PROPERTY: Final = "nestvec_changing"
_NOTE_PROPERTY: Final = "nestvec_note_"

_MAX_COLUMNS: Final = 64
_MAX_NAME: Final = 255
_PLAIN: Final = re.compile(r"[A-Za-z0-9_]+\Z")
_ESCAPED: Final = "x__"
_PREFIX: Final = {
    FieldType.KEYWORD: "k_",
    FieldType.INTEGER: "i_",
    FieldType.FLOAT: "d_",
    FieldType.BOOLEAN: "b_",
    FieldType.DATETIME: "t_",
}
_KIND: Final = {prefix: kind for kind, prefix in _PREFIX.items()}

#: The type of a declared field's column, and what stands in it where the field is missing.
FIELD_COLUMNS: Final[Mapping[FieldType, tuple[Any, str | bool | int | float]]] = {
    FieldType.KEYWORD: (Type.VarChar, ""),
    FieldType.INTEGER: (Type.Int64, 0),
    FieldType.FLOAT: (Type.Double, 0.0),
    FieldType.BOOLEAN: (Type.Bool, False),
    FieldType.DATETIME: (Type.Int64, 0),
}

METRICS = {Metric.COSINE: "COSINE", Metric.DOT: "IP", Metric.EUCLIDEAN: "L2"}
_METRIC = {name: metric for metric, name in METRICS.items()}
#: Properties live in the server's etcd, which takes 1.5 MB at once.
_MAX_RECORD = 512 * 1024
#: Begins the value of every note that is there, so that an empty one is none.
_NOTE = "="
_INT64: Final = range(-(2**63), 2**63)


@dataclass(frozen=True, slots=True)
class PrimaryKey:
    """The primary key: its column, and conditions on it that every record fulfils, or none."""

    column: str = ID
    numeric: bool = False
    everything: str = f'{ID} != ""'
    nothing: str = f'{ID} == ""'

    @classmethod
    def of(cls, column: str, *, numeric: bool) -> PrimaryKey:
        """The key of somebody else's collection. A string may be empty there."""
        if numeric:
            return cls(column, True, f"({column} > 0 or {column} <= 0)", f"({column} > 0 and {column} <= 0)")
        return cls(column, False, f'{column} >= ""', f'{column} < ""')

    def native(self, identity: str) -> str | int | None:
        """An id as the column has it, or None for one that it cannot have."""
        if not self.numeric:
            return identity
        try:
            number = int(identity)
        except ValueError:
            return None
        return number if str(number) == identity and number in _INT64 else None


OWN_KEY: Final = PrimaryKey()


@dataclass(frozen=True, slots=True)
class Columns:
    """What writing to a collection and searching it needs to know about it.

    `half` are the vectors in float16; `search` has the parameters of searches for each vector. `changing` is what an
    update changes the storage to, or was interrupted at. `layout` says how somebody else's collection is read.
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
    key: PrimaryKey = OWN_KEY
    layout: ForeignLayout | None = None

    def native(self, vector: str) -> str:
        """The column of a vector."""
        return vector

    def output_fields(self, *, content: bool, vectors: bool = False) -> list[str]:
        """The columns to read."""
        names = [ID, DOCUMENT_ID, SYSTEM]
        names += [TENANT] if self.tenants else []
        names += [TEXT, METADATA] if content else []
        found = [name for name in names if name in self.own]
        return [*found, *self.vectors] if vectors else found

    def info(self, metric: Metric, storage: Storage | None) -> CollectionInfo:
        """The collection in the contract's words. Which fields have an index is not told."""
        return CollectionInfo(self.physical, self.vectors, metric, self.record, storage=storage)


def record_property(record: Mapping[str, Any], physical: str) -> str:
    """The record as a property's value. Raises `BackendRefused` where it is too long."""
    text = json.dumps(dict(record))
    if len(text) > _MAX_RECORD:
        raise BackendRefused(
            f"the record of collection {physical!r} takes {len(text)} bytes, more than the {_MAX_RECORD} that Milvus "
            f"keeps with a collection; declare fewer fields"
        )
    return text


def columns_of(described: Any) -> Columns:
    """A collection, from the answer to `DescribeCollection`."""
    fields = described.schema.fields
    names = {each.name for each in fields}
    properties = unpaired(described.properties)
    own = bool(properties.get(RECORD_PROPERTY))
    parsed = [declared_by(name) for name in names] if own else []
    metric = properties.get(METRIC_PROPERTY)
    vectors = {each.name: _size(each) for each in fields if each.data_type in (Type.FloatVector, Type.Float16Vector)}
    changing = properties.get(CHANGING_PROPERTY)
    return Columns(
        physical=described.schema.name,
        vectors=vectors,
        typed=dict(each for each in parsed if each is not None),
        own=frozenset(names & set(OWN_COLUMNS)),
        tenants=TENANT in names,
        metric=Metric(metric) if metric in set(Metric) else None,
        search=_for_each(_json(properties.get(SEARCH_PROPERTY)) or {}, vectors),
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
    found = _json(unpaired(described.properties).get(OPTIONS_PROPERTY)) or {}
    try:
        return MilvusCollectionOptions.model_validate(found)
    except ValueError as error:
        raise BackendRefused(
            f"collection {described.schema.name!r}: its property {OPTIONS_PROPERTY} has options that this "
            f"version of nestvec does not know: {found}; use the version that made it, or a later one"
        ) from error


def record_of(described: Any) -> dict[str, Any] | None:
    """What nestvec keeps with a collection, from the answer to `DescribeCollection`."""
    return _json(unpaired(described.properties).get(RECORD_PROPERTY))


def note_value(text: str | None) -> str:
    """A note as a property's value. A removed one is left empty: old servers cannot delete a property."""
    return "" if text is None else _NOTE + text


def note_of(described: Any, name: str) -> str | None:
    """What a note says, from the answer to `DescribeCollection`."""
    value = unpaired(described.properties).get(note_property(name), "")
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


def note_property(name: str) -> str:
    """The property that holds a note."""
    return _NOTE_PROPERTY + name


def identifier(name: str) -> str:
    """A metadata field's name in letters, digits and `_`. Reversible.

    >>> identifier("lang"), identifier("a.b")
    ('lang', 'x__612e62')
    """
    if _PLAIN.match(name) and not name.startswith(_ESCAPED):
        return name
    return _ESCAPED + name.encode().hex()


def original(text: str) -> str:
    """The inverse of `identifier`."""
    return bytes.fromhex(text[len(_ESCAPED) :]).decode() if text.startswith(_ESCAPED) else text


def without_nul(text: str) -> str:
    """The string without NUL, for columns with an index: that of old servers ends a string there. Reversible.

    >>> without_nul("a\\x00b"), with_nul(without_nul("a\\x00b")) == "a\\x00b"
    ('a\\x010b', True)
    """
    return text.replace("\x01", "\x011").replace("\x00", "\x010") if "\x00" in text or "\x01" in text else text


def with_nul(text: str) -> str:
    """The inverse of `without_nul`."""
    return text.replace("\x010", "\x00").replace("\x011", "\x01") if "\x01" in text else text


def column_of(name: str, kind: FieldType) -> str:
    """The scalar column of a declared field."""
    return _PREFIX[kind] + identifier(name)


def declared_by(column: str) -> tuple[str, FieldType] | None:
    """Field and type behind a scalar column, or None for any other column."""
    kind = _KIND.get(column[:2])
    if kind is None or not _PLAIN.match(column):
        return None
    try:
        return original(column[2:]), kind
    except ValueError:
        return None  # somebody else's column


def typed_fields(fields: dict[str, Field], vectors: int) -> dict[str, FieldType]:
    """The fields that get a scalar column: single values, as many as a collection can have columns."""
    single = {
        name: field.type
        for name, field in fields.items()
        if not field.many and len(column_of(name, field.type)) <= _MAX_NAME
    }
    room = _MAX_COLUMNS - len(OWN_COLUMNS) - vectors
    return dict(list(single.items())[: max(room, 0)])
