"""Records as columns: on their way in, in requests that are not too large, and on their way out."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from nestvec.contract import GIVEN, GIVEN_TOLD, Batch, Found, Write
from nestvec.errors import BackendRefused
from nestvec.types import FieldType, Metric, Record
from nestvec_milvus import schema
from nestvec_milvus.adopt import ForeignColumns, cells_of
from nestvec_milvus.client import Type, common, schemas, values_of
from nestvec_milvus.filters import microseconds
from nestvec_milvus.options import (
    MAX_FIELDS_OF_A_RECORD,
    MAX_ID_BYTES,
    MAX_JSON_BYTES,
    MAX_REQUEST_BYTES,
    MAX_STRING_BYTES,
)
from nestvec_milvus.schema import Columns

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from nestvec.types import FloatArray

_TYPES: Mapping[str, Any] = {
    schema.ID: Type.VarChar,
    schema.DOCUMENT_ID: Type.VarChar,
    schema.CHUNK: Type.Int64,
    schema.LAYOUT: Type.VarChar,
    schema.TENANT: Type.VarChar,
    schema.TEXT: Type.VarChar,
    schema.METADATA: Type.JSON,
    schema.SYSTEM: Type.JSON,
    schema.PRESENT: Type.Array,
}
_PYTHON: Mapping[FieldType, type] = {
    FieldType.KEYWORD: str,
    FieldType.INTEGER: int,
    FieldType.FLOAT: float,
    FieldType.BOOLEAN: bool,
    FieldType.DATETIME: datetime,
}
_OVERHEAD = 64
_FLOATS_TAG = b"\x0a"  # field 1 of FloatArray, packed
_LARGEST_HALF = float(np.finfo(np.float16).max)


def batches(
    request: Write, columns: Columns, tenant: str | None = None, *, limit: int = MAX_REQUEST_BYTES
) -> Iterator[tuple[int, list[Any]]]:
    """The records of a tenant in order, as columns, in requests of at most `limit` bytes: number of rows, columns.

    Of several records with one id the last counts. Raises `BackendRefused` for a vector of another size, and
    for what does not fit, naming document and field.
    """
    _check_vectors(request, columns)
    rows = [(number, _row(request, record, columns, tenant)) for number, record in _last_of_each(request.records)]
    vector_bytes = sum(size * 4 for size in columns.vectors.values())
    for part in _split(request, rows, vector_bytes, limit):
        numbers = [number for number, _ in part]
        data = [_data(name, [row[name] for _, row in part], columns) for name in part[0][1]]
        data += [
            vector_column(name, given[numbers], half=name in columns.half) for name, given in request.vectors.items()
        ]
        yield len(part), data


def _last_of_each(records: Sequence[Record]) -> list[tuple[int, Record]]:
    last = {record.id: number for number, record in enumerate(records)}
    return [(number, record) for number, record in enumerate(records) if last[record.id] == number]


def _check_vectors(request: Write, columns: Columns) -> None:
    given = {name: rows.shape[1] for name, rows in request.vectors.items()}
    if given != dict(columns.vectors):
        raise BackendRefused(
            f"collection {request.physical!r} takes vectors of dimensions {dict(columns.vectors)}, not {given}; write "
            f"vectors of that size"
        )
    for name in columns.half:
        largest = np.abs(request.vectors[name]).max(axis=1, initial=0)
        if (largest > _LARGEST_HALF).any():
            record = request.records[int(largest.argmax())]
            raise BackendRefused(
                f"document {record.document_id!r:.80} has a vector with the number {largest.max():g}, too large for "
                f"float16 (collection {request.physical!r}); normalise the vectors, or use another storage"
            )


def _row(request: Write, record: Record, columns: Columns, tenant: str | None) -> dict[str, Any]:
    """The values of the scalar columns."""
    check = _Limits(request.physical, record.document_id)
    stored = {schema.identifier(name): _plain(value) for name, value in record.metadata.items()}
    system = {**record.system, **({schema.NO_TEXT: 1} if record.text is None else {})}
    row = {
        schema.ID: check.string("its id", record.id, MAX_ID_BYTES),
        schema.DOCUMENT_ID: check.string("its id", schema.without_nul(record.document_id)),
        schema.CHUNK: int(record.system.get("chunk", 0)),
        schema.LAYOUT: check.string("its layout", schema.without_nul(str(record.system.get("layout", "")))),
        schema.TEXT: check.string("the text of a chunk", record.text or ""),
        schema.METADATA: check.json("its metadata", stored),
        schema.SYSTEM: check.json("its bookkeeping", system),
        schema.PRESENT: check.names([name for name, value in record.metadata.items() if _is_there(value)]),
    }
    if columns.tenants:
        row[schema.TENANT] = check.string("its tenant", schema.without_nul(tenant or ""))
    for name, kind in columns.typed.items():
        row[schema.column_of(name, kind)] = check.value(name, record.metadata.get(name), kind)
    return row


class _Limits:
    """Checks what a column can hold."""

    def __init__(self, physical: str, document_id: str) -> None:
        self._physical = physical
        self._document_id = document_id

    def string(self, what: str, value: str, limit: int = MAX_STRING_BYTES) -> str:
        """The same string, if it is not too long."""
        if len(value) * 4 > limit and (size := len(value.encode())) > limit:
            raise self._refused(what, size, limit, "shorten it, or use smaller chunks")
        return value

    def json(self, what: str, value: Mapping[str, Any]) -> bytes:
        """The value as JSON, if that is not too long."""
        encoded = json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()
        if len(encoded) > MAX_JSON_BYTES:
            largest = max(value, key=lambda name: len(json.dumps(value[name])))
            name = schema.original(largest)
            named = f"{what} (mostly {GIVEN_TOLD if name == GIVEN else repr(name)})"
            raise self._refused(named, len(encoded), MAX_JSON_BYTES, "shorten it, or keep it elsewhere")
        return encoded

    def names(self, names: list[str]) -> list[str]:
        """The same names, if they are not too many."""
        if len(names) > MAX_FIELDS_OF_A_RECORD:
            raise BackendRefused(
                f"document {self._document_id!r:.80} has {len(names)} metadata fields, more than the "
                f"{MAX_FIELDS_OF_A_RECORD} that Milvus keeps (collection {self._physical!r}); give it fewer"
            )
        return names

    def value(self, name: str, value: Any, kind: FieldType) -> Any:
        """What stands in a field's column."""
        default = schema.FIELD_COLUMNS[kind][1]
        if value is None or not isinstance(value, _PYTHON[kind]):
            return float(value) if kind is FieldType.FLOAT and type(value) is int else default
        if isinstance(value, datetime):
            return microseconds(value)
        return self.string(f"metadata {name!r}", schema.without_nul(value)) if isinstance(value, str) else value

    def _refused(self, what: str, size: int, limit: int, advice: str) -> BackendRefused:
        return BackendRefused(
            f"document {self._document_id!r:.80}: {what} takes {size} bytes, more than the {limit} that Milvus keeps "
            f"(collection {self._physical!r}); {advice}"
        )


def _data(name: str, values: list[Any], columns: Columns) -> Any:
    if name in _TYPES:
        return column(name, _TYPES[name], values)
    declared = schema.declared_by(name)
    assert declared is not None  # noqa: S101 - rows have own columns and columns of declared fields
    return column(name, schema.FIELD_COLUMNS[columns.typed[declared[0]]][0], values)


def _split(
    request: Write, rows: Sequence[tuple[int, dict[str, Any]]], vector_bytes: int, limit: int
) -> Iterator[list[tuple[int, dict[str, Any]]]]:
    size, part = 0, list[tuple[int, dict[str, Any]]]()
    for number, row in rows:
        weight = vector_bytes + sum(map(_weight, row.values()))
        if weight > limit:
            raise BackendRefused(
                f"a chunk of document {request.records[number].document_id!r:.80} takes {weight} bytes, more than the "
                f"{limit} of a request to Milvus (collection {request.physical!r}); give it less text or metadata"
            )
        if part and size + weight > limit:
            yield part
            size, part = 0, []
        part.append((number, row))
        size += weight
    if part:
        yield part


def _weight(value: Any) -> int:
    """Bytes in a request, at most."""
    if isinstance(value, bytes):
        return len(value) + _OVERHEAD
    if isinstance(value, str):
        return (len(value) if value.isascii() else len(value.encode())) + _OVERHEAD
    return sum(map(_weight, value)) + _OVERHEAD if isinstance(value, list) else _OVERHEAD


def _is_there(value: Any) -> bool:
    return value is not None and not (isinstance(value, list | tuple) and not value)


def _plain(value: Any) -> Any:
    """In JSON. Datetimes are microseconds since 1970, as the contract has them."""
    if isinstance(value, datetime):
        return microseconds(value)
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value


class ResultTable:
    """The columns of an answer, from a collection with such columns."""

    def __init__(self, fields: Sequence[Any], columns: Columns) -> None:
        self._columns = columns
        read = cells_of if isinstance(columns, ForeignColumns) else values_of
        self._scalars = {each.field_name: read(each) for each in fields if each.HasField("scalars")}
        self._vectors = {each.field_name: each for each in fields if each.HasField("vectors")}

    @property
    def ids(self) -> list[str]:
        """The primary keys."""
        return [str(each) for each in self._scalars.get(self._columns.key.column, ())]

    def records(self, ids: Sequence[str] | None = None) -> list[Record]:
        """A record for each row. `ids` where they come beside the columns."""
        return [self._record(number, identity) for number, identity in enumerate(ids if ids is not None else self.ids)]

    def vectors(self) -> dict[str, FloatArray]:
        """The rows of each vector."""
        return {name: self.rows(name) for name in self._columns.vectors}

    def rows(self, name: str) -> FloatArray:
        """The rows of one vector, shape (n, dimensions). An answer without records may lack the column."""
        found = self._vectors.get(self._columns.native(name))
        return rows_of(found) if found is not None else np.zeros((0, self._columns.vectors[name]), np.float32)

    def tenants(self) -> Sequence[str]:
        """The tenant of each row."""
        return [schema.with_nul(each) for each in self._scalars.get(schema.TENANT, ())]

    def _record(self, row: int, identity: str) -> Record:
        if isinstance(self._columns, ForeignColumns):
            return self._columns.record_of(self._scalars.get, row, str(identity))
        system = json.loads(self._scalars[schema.SYSTEM][row]) if schema.SYSTEM in self._scalars else {}
        bare = system.pop(schema.NO_TEXT, None) is not None
        texts = self._scalars.get(schema.TEXT)
        stored = json.loads(self._scalars[schema.METADATA][row]) if schema.METADATA in self._scalars else {}
        documents = self._scalars.get(schema.DOCUMENT_ID)
        return Record(
            id=str(identity),
            document_id=schema.with_nul(documents[row]) if documents is not None else str(identity),
            text=None if bare or texts is None else texts[row],
            metadata={schema.original(name): value for name, value in stored.items()},
            system=system,
        )


def batch_of(tables: Sequence[ResultTable], columns: Columns, *, vectors: bool, cursor: str | None = None) -> Batch:
    """A reply with the rows of all tables."""
    records = [record for table in tables for record in table.records()]
    if not vectors:
        return Batch(records, None, cursor)
    parts = [table.vectors() for table in tables]
    stacked = {
        name: np.concatenate([np.zeros((0, size), np.float32), *(part[name] for part in parts if part[name].size)])
        for name, size in columns.vectors.items()
    }
    return Batch(records, stacked, cursor)


def of_tenant(batch: Batch, tables: Sequence[ResultTable], tenant: str | None) -> Batch:
    """The rows that this tenant may see; all of them without a tenant."""
    if tenant is None:
        return batch
    owners = [owner for table in tables for owner in table.tenants()]
    kept = [number for number, owner in enumerate(owners) if owner == tenant]
    vectors = {name: rows[kept] for name, rows in batch.vectors.items()} if batch.vectors is not None else None
    return Batch([batch.records[number] for number in kept], vectors, batch.cursor)


def ids_of(results: Any, columns: Columns) -> list[list[str]]:
    """The primary keys of each question's hits, best first."""
    ids = [str(each) for each in (results.ids.int_id.data if columns.key.numeric else results.ids.str_id.data)]
    ends = np.cumsum([0, *results.topks]).tolist()
    return [ids[start:end] for start, end in pairwise(ends)]


def ranked(results: Any, metric: Metric, threshold: float | None, columns: Columns) -> list[list[Found]]:
    """The hits of each question, best first."""
    ids = results.ids.int_id.data if columns.key.numeric else results.ids.str_id.data
    records = ResultTable(results.fields_data, columns).records([str(each) for each in ids])
    scores = np.array(results.scores, np.float32)
    if metric is Metric.EUCLIDEAN:
        scores = np.float32(0) - np.sqrt(np.maximum(scores, np.float32(0)))  # Milvus gives squared distances
    answers, start = [], 0
    for count in results.topks:
        answers.append([Found(records[row], float(scores[row])) for row in range(start, start + count)])
        start += count
    if threshold is None:
        return answers
    least = np.float32(threshold)
    return [[hit for hit in hits if np.float32(hit.score) >= least] for hits in answers]


def column(name: str, kind: Any, values: Sequence[Any]) -> Any:
    """A scalar column."""
    scalars = _SCALARS[kind](values)
    return schemas.FieldData(field_name=name, type=kind, scalars=scalars)


def vector_column(name: str, rows: FloatArray, *, half: bool = False) -> Any:
    """A column of vectors, shape (n, dimensions); `half`: of float16."""
    if half:
        vectors = schemas.VectorField(dim=rows.shape[1], float16_vector=_halves(rows).tobytes())
        return schemas.FieldData(field_name=name, type=Type.Float16Vector, vectors=vectors)
    raw = np.ascontiguousarray(rows, "<f4").tobytes()
    floats = schemas.FloatArray.FromString(_FLOATS_TAG + _varint(len(raw)) + raw) if raw else schemas.FloatArray()
    vectors = schemas.VectorField(dim=rows.shape[1], float_vector=floats)
    return schemas.FieldData(field_name=name, type=Type.FloatVector, vectors=vectors)


def _halves(rows: FloatArray) -> NDArray[np.float16]:
    """As float16. What is too large for it becomes infinite: writing checks that before."""
    with np.errstate(over="ignore"):
        return np.ascontiguousarray(rows, "<f2")


def rows_of(data: Any) -> FloatArray:
    """The rows of a column of vectors, shape (n, dimensions)."""
    dimensions = max(int(data.vectors.dim), 1)
    if data.vectors.WhichOneof("data") == "float16_vector":
        return np.frombuffer(data.vectors.float16_vector, "<f2").astype(np.float32).reshape(-1, dimensions)
    raw = data.vectors.float_vector.SerializeToString()
    size = len(data.vectors.float_vector.data) * 4
    floats = np.frombuffer(raw, "<f4", offset=len(raw) - size)
    return floats.astype(np.float32).reshape(-1, dimensions)


def placeholders(rows: FloatArray, *, half: bool = False) -> bytes:
    """Questions, one for each row, in the number format of the column."""
    kind = common.PlaceholderType.Float16Vector if half else common.PlaceholderType.FloatVector
    values = [row.tobytes() for row in (_halves(rows) if half else np.ascontiguousarray(rows, "<f4"))]
    group = common.PlaceholderValue(tag="$0", type=kind, values=values)
    packed: bytes = common.PlaceholderGroup(placeholders=[group]).SerializeToString()
    return packed


def _names(values: Sequence[Sequence[str]]) -> Any:
    arrays = [schemas.ScalarField(string_data=schemas.StringArray(data=each)) for each in values]
    return schemas.ScalarField(array_data=schemas.ArrayArray(data=arrays, element_type=Type.VarChar))


_SCALARS: dict[Any, Any] = {
    Type.VarChar: lambda values: schemas.ScalarField(string_data=schemas.StringArray(data=values)),
    Type.Int64: lambda values: schemas.ScalarField(long_data=schemas.LongArray(data=values)),
    Type.Double: lambda values: schemas.ScalarField(double_data=schemas.DoubleArray(data=values)),
    Type.Bool: lambda values: schemas.ScalarField(bool_data=schemas.BoolArray(data=values)),
    Type.JSON: lambda values: schemas.ScalarField(json_data=schemas.JSONArray(data=values)),
    Type.Array: _names,
}


def _varint(number: int) -> bytes:
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*out, number])
