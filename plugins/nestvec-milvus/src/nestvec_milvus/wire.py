"""Milvus's gRPC messages: what is called, and how columns and float32 arrays go in and out.

The messages come from pymilvus. Its client classes are left out: they repeat failed calls until the timeout,
keep a cache of schemas, log what fails, and turn arrays into lists of Python floats and back.
"""

from __future__ import annotations

import json
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

import numpy as np
from pymilvus.grpc_gen import common_pb2, milvus_pb2, schema_pb2

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from nestvec.types import FloatArray

# Protobuf generates these classes when it is imported, so there is nothing to check them against.
messages: Any = milvus_pb2
schemas: Any = schema_pb2
common: Any = common_pb2

Type: Any = schemas.DataType
_FLOATS_TAG = b"\x0a"  # field 1 of FloatArray, packed


@dataclass(frozen=True, slots=True)
class Call:
    """A remote call: the method's name and its request."""

    method: str
    request: Any


@dataclass(frozen=True, slots=True)
class Pause:
    """Wait so many seconds before going on. `news` says what for, where it has become known."""

    seconds: float
    news: str | None = None


T = TypeVar("T")
Operation: TypeAlias = Generator[Call | Pause, Any, T]


def call(method: str, /, *, kind: str | None = None, **fields: Any) -> Call:
    """A call, whose request is the message `kind` (default: the method's name and `Request`)."""
    return Call(method, getattr(messages, kind or f"{method}Request")(**fields))


def pairs(values: Mapping[str, Any]) -> list[Any]:
    """Key-value pairs. What is no string becomes JSON."""
    return [
        common.KeyValuePair(key=key, value=value if isinstance(value, str) else json.dumps(value))
        for key, value in values.items()
    ]


def unpaired(found: Iterable[Any]) -> dict[str, str]:
    """Key-value pairs as a dictionary."""
    return {pair.key: pair.value for pair in found}


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


def values_of(data: Any) -> Sequence[Any]:
    """The values of a scalar column: strings, integers or JSON as bytes."""
    kind = data.scalars.WhichOneof("data")
    return getattr(data.scalars, kind).data if kind is not None else ()


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


def chunked(items: Sequence[Any], size: int) -> Iterator[Sequence[Any]]:
    """Runs of at most `size` items."""
    for start in range(0, len(items), size):
        yield items[start : start + size]


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
