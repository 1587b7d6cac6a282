"""Records on their way in: as columns, in requests that are not too large."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

import numpy as np

from nestvec.contract import Write
from nestvec.errors import BackendRefused
from nestvec.types import FieldType, Record
from nestvec_milvus import layout
from nestvec_milvus.filters import microseconds
from nestvec_milvus.schema import Columns
from nestvec_milvus.wire import Type, column, vector_column

_TYPES: Mapping[str, Any] = {
    layout.ID: Type.VarChar,
    layout.DOCUMENT_ID: Type.VarChar,
    layout.CHUNK: Type.Int64,
    layout.LAYOUT: Type.VarChar,
    layout.TENANT: Type.VarChar,
    layout.TEXT: Type.VarChar,
    layout.METADATA: Type.JSON,
    layout.SYSTEM: Type.JSON,
    layout.PRESENT: Type.Array,
}
_TYPED: Mapping[FieldType, tuple[Any, Any]] = {
    FieldType.KEYWORD: (Type.VarChar, ""),
    FieldType.INTEGER: (Type.Int64, 0),
    FieldType.FLOAT: (Type.Double, 0.0),
    FieldType.BOOLEAN: (Type.Bool, False),
    FieldType.DATETIME: (Type.Int64, 0),
}
_PYTHON: Mapping[FieldType, type] = {
    FieldType.KEYWORD: str,
    FieldType.INTEGER: int,
    FieldType.FLOAT: float,
    FieldType.BOOLEAN: bool,
    FieldType.DATETIME: datetime,
}
_OVERHEAD = 64
_LARGEST_HALF = float(np.finfo(np.float16).max)


def batches(request: Write, columns: Columns, limit: int = layout.MAX_REQUEST_BYTES) -> Iterator[tuple[int, list[Any]]]:
    """The records in order, as columns, in requests of at most `limit` bytes: number of rows, columns.

    Of several records with one id the last counts. Raises `BackendRefused` for a vector of another size, and
    for what does not fit, naming document and field.
    """
    _check_vectors(request, columns)
    rows = [(number, _row(request, record, columns)) for number, record in _last_of_each(request.records)]
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


def _row(request: Write, record: Record, columns: Columns) -> dict[str, Any]:
    """The values of the scalar columns."""
    check = _Fitting(request.physical, record.document_id)
    stored = {layout.identifier(name): _plain(value) for name, value in record.metadata.items()}
    system = {**record.system, **({layout.NO_TEXT: 1} if record.text is None else {})}
    row = {
        layout.ID: check.string("its id", record.id, layout.MAX_ID_BYTES),
        layout.DOCUMENT_ID: check.string("its id", layout.without_nul(record.document_id)),
        layout.CHUNK: int(record.system.get("chunk", 0)),
        layout.LAYOUT: check.string("its layout", layout.without_nul(str(record.system.get("layout", "")))),
        layout.TEXT: check.string("the text of a chunk", record.text or ""),
        layout.METADATA: check.json("its metadata", stored),
        layout.SYSTEM: check.json("its bookkeeping", system),
        layout.PRESENT: check.names([name for name, value in record.metadata.items() if _is_there(value)]),
    }
    if columns.tenants:
        row[layout.TENANT] = check.string("its tenant", layout.without_nul(request.tenant or ""))
    for name, kind in columns.typed.items():
        row[layout.column_of(name, kind)] = check.value(name, record.metadata.get(name), kind)
    return row


class _Fitting:
    """Checks what a column can hold."""

    def __init__(self, physical: str, document_id: str) -> None:
        self._physical = physical
        self._document_id = document_id

    def string(self, what: str, value: str, limit: int = layout.MAX_STRING_BYTES) -> str:
        """The same string, if it is not too long."""
        if len(value) * 4 > limit and (size := len(value.encode())) > limit:
            raise self._refused(what, size, limit, "shorten it, or use smaller chunks")
        return value

    def json(self, what: str, value: Mapping[str, Any]) -> bytes:
        """The value as JSON, if that is not too long."""
        encoded = json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()
        if len(encoded) > layout.MAX_JSON_BYTES:
            largest = max(value, key=lambda name: len(json.dumps(value[name])))
            named = f"{what} (mostly {layout.original(largest)!r})"
            raise self._refused(named, len(encoded), layout.MAX_JSON_BYTES, "shorten it, or keep it elsewhere")
        return encoded

    def names(self, names: list[str]) -> list[str]:
        """The same names, if they are not too many."""
        if len(names) > layout.MAX_FIELDS_OF_A_RECORD:
            raise BackendRefused(
                f"document {self._document_id!r:.80} has {len(names)} metadata fields, more than the "
                f"{layout.MAX_FIELDS_OF_A_RECORD} that Milvus keeps (collection {self._physical!r}); give it fewer"
            )
        return names

    def value(self, name: str, value: Any, kind: FieldType) -> Any:
        """What stands in a field's column."""
        default = _TYPED[kind][1]
        if value is None or not isinstance(value, _PYTHON[kind]):
            return float(value) if kind is FieldType.FLOAT and type(value) is int else default
        if isinstance(value, datetime):
            return microseconds(value)
        return self.string(f"metadata {name!r}", layout.without_nul(value)) if isinstance(value, str) else value

    def _refused(self, what: str, size: int, limit: int, advice: str) -> BackendRefused:
        return BackendRefused(
            f"document {self._document_id!r:.80}: {what} takes {size} bytes, more than the {limit} that Milvus keeps "
            f"(collection {self._physical!r}); {advice}"
        )


def _data(name: str, values: list[Any], columns: Columns) -> Any:
    if name in _TYPES:
        return column(name, _TYPES[name], values)
    declared = layout.declared_by(name)
    assert declared is not None  # noqa: S101 - rows have own columns and columns of declared fields
    return column(name, _TYPED[columns.typed[declared[0]]][0], values)


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
