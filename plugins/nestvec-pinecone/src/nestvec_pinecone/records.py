"""Records as Pinecone's vectors with flat metadata, in bodies that are neither too long nor too heavy, and back.

Users' fields keep their names, so that other tools can filter on them; nestvec's own begin with `nestvec_`:

    {"lang": "de", "nestvec_document_id": "hr-7", "nestvec_text": "…", "nestvec_system_chunk": 0, …}

Pinecone has strings, booleans, doubles and lists of strings. What is none of these is stored in a form that
filters can use, and a code under the field's name in the record's `types` says how to read it:

    code   value                        stored as
    i      an integer                   a double
    d      a datetime                   whole microseconds since 1970, a double
    i* f* b* d*   a list of them        a list of strings
    =JSON  anything a double or a list of strings would change (large integers, empty and mixed lists)
"""

from __future__ import annotations

import json
import math
import re
import secrets
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final, TypeVar

import numpy as np
import orjson

from nestvec.contract import GIVEN, GIVEN_TOLD, Batch, Query, Write
from nestvec.errors import BackendRefused, Unsupported
from nestvec.types import DENSE, Metric, Record, Scalar
from nestvec_pinecone.options import MAX_METADATA_BYTES, MAX_RECORDS, MAX_REQUEST_BYTES

T = TypeVar("T")

OWN: Final = "nestvec_"
DOCUMENT_ID: Final = f"{OWN}document_id"
TEXT: Final = f"{OWN}text"
#: How values come back that Pinecone cannot keep as they are: the codes above, in JSON.
TYPES: Final = f"{OWN}types"
#: A fresh token for each request that writes, by which a reader sees that it has arrived: see `new_stamp`.
STAMP: Final = f"{OWN}stamp"
_SYSTEM: Final = f"{OWN}system_"
_FIELD: Final = f"{OWN}field_"
#: Integers between minus this and this are exact as doubles.
EXACT: Final = 2**53
_MAX_ID: Final = 512
_STAMP: Final = re.compile(r"t[0-9a-f]{19}")
#: What metadata that somebody changed makes the reading of it raise.
_DAMAGED: Final = (ValueError, TypeError, LookupError, AttributeError, ArithmeticError, RecursionError)
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class UpsertBody:
    """One request: how many records it holds, the id of the last, and the stamp that all of them carry."""

    content: bytes
    count: int
    last: str
    stamp: str


def bodies(request: Write, namespace: str, limit: int = MAX_REQUEST_BYTES) -> Iterator[UpsertBody]:
    """JSON bodies of at most `limit` bytes, in order, written straight from float32 arrays.

    Raises `BackendRefused` for a record that is too large by itself or that Pinecone cannot store.
    """
    head, tail = b'{"vectors":[', b'],"namespace":' + orjson.dumps(namespace) + b"}"
    room = limit - len(head) - len(tail)
    stamp, size, batch, last = new_stamp(), 0, list[bytes](), ""
    for key, vector in _vectors(request, room, stamp):
        if batch and (size + len(vector) > room or len(batch) == MAX_RECORDS):
            yield UpsertBody(head + b",".join(batch) + tail, len(batch), last, stamp)
            size, batch = 0, []
        batch.append(vector)
        size += len(vector) + 1
        last = key
    if batch:
        yield UpsertBody(head + b",".join(batch) + tail, len(batch), last, stamp)


def new_stamp() -> str:
    """The time of day in milliseconds, and something random: 20 characters."""
    return f"t{time.time_ns() // 1_000_000:011x}{secrets.token_hex(4)}"


def stamped_at(stamp: object) -> float | None:
    """The seconds since 1970 in a stamp; None where it has none, or is no stamp.

    >>> stamped_at("t0193f4c2a0012345678") is not None, stamped_at("6f2a9c01b7de")
    (True, None)
    """
    if not isinstance(stamp, str) or _STAMP.fullmatch(stamp) is None:
        return None
    return int(stamp[1:12], 16) / 1000


def one_vector(vectors: Mapping[str, T], collection: str) -> T:
    """What is given for the one vector. Raises `Unsupported` for any other vectors."""
    if set(vectors) != {DENSE}:
        raise Unsupported(
            f"collection {collection!r}: a Pinecone record has one vector, {DENSE!r}, not {', '.join(sorted(vectors))}"
        )
    return vectors[DENSE]


def possible_ids(ids: Sequence[str]) -> list[str]:
    """Those of the ids that a record can have."""
    return [key for key in ids if 0 < len(key) <= _MAX_ID]


def metadata_of(record: Record, stamp: str, collection: str) -> dict[str, Any]:
    """The flat metadata of a record. Raises `BackendRefused` naming document and key for what cannot be stored."""
    stored: dict[str, Any] = {DOCUMENT_ID: record.document_id, STAMP: stamp}
    if record.text is not None:
        stored[TEXT] = record.text
    stored |= {system_key(name): value for name, value in record.system.items()}
    types: dict[str, str] = {}
    for name, value in record.metadata.items():
        native, code = _encoded(record, name, value, collection)
        if native is not None:
            stored[field_key(name)] = native
        if code is not None:
            types[name] = code
    if types:
        stored[TYPES] = json.dumps(types, ensure_ascii=False, separators=(",", ":"))
    return stored


def record_of(key: str, metadata: Mapping[str, Any] | None) -> Record:
    """The record of nestvec's behind a vector. Raises `BackendRefused` for one that is damaged."""
    try:
        return _record_of(key, metadata or {})
    except _DAMAGED as error:
        raise BackendRefused(
            f"record {key!r:.80} is damaged: its metadata is not what nestvec wrote ({error!r:.200}); delete the "
            f"record and ingest its document again"
        ) from error


def _record_of(key: str, stored: Mapping[str, Any]) -> Record:
    types: Mapping[str, str] = json.loads(stored.get(TYPES, "{}"))
    fields = {name: value for key, value in stored.items() if (name := field_name(key)) is not None}
    system = {name: _bookkeeping(value) for key, value in stored.items() if (name := system_name(key)) is not None}
    names = [*fields, *(name for name in types if name not in fields)]
    text = stored.get(TEXT)
    return Record(
        id=key,
        document_id=str(stored.get(DOCUMENT_ID, key)),
        text=text if isinstance(text, str) else None,
        metadata={name: decode(fields.get(name), types.get(name)) for name in names},
        system=system,
    )


def batch_of(
    found: Sequence[Any],
    dimension: int,
    read: Callable[[str, Mapping[str, Any] | None], Record],
    *,
    vectors: bool,
    cursor: str | None = None,
) -> Batch:
    """A reply with the records of the SDK's vectors, as `read` makes them, and their values where asked for."""
    records = [read(each.id, each.metadata) for each in found]
    if not vectors:
        return Batch(records, None, cursor)
    rows = np.array([each.values for each in found], np.float32).reshape(len(found), dimension)
    return Batch(records, {DENSE: rows}, cursor)


def best(request: Query, matches: Sequence[tuple[str, Any]]) -> list[tuple[str, Any, float]]:
    """Hits as (namespace, match, score on nestvec's scale), best first, cut to what was asked for."""
    scored = [(space, match, _score(request.metric, match.score)) for space, match in matches]
    least = -np.inf if request.threshold is None else request.threshold
    ranked = sorted((hit for hit in scored if hit[2] >= least), key=lambda hit: -hit[2])
    return ranked[request.offset : request.offset + request.limit]


def _score(metric: Metric, score: float) -> float:
    """Pinecone's euclidean scores are squared distances, which rounding may take below 0."""
    return 0.0 - float(np.sqrt(max(score, 0.0))) if metric is Metric.EUCLIDEAN else float(score)


def field_key(name: str) -> str:
    """The key of a metadata field.

    >>> field_key("lang"), field_key("nestvec_x"), field_key("$x")
    ('lang', 'nestvec_field_nestvec_x', 'nestvec_field_$x')
    """
    return _FIELD + name if not name or name.startswith((OWN, "$")) else name


def field_name(key: str) -> str | None:
    """The metadata field at a key: the inverse of `field_key`. None for nestvec's own."""
    if key.startswith(_FIELD):
        return key.removeprefix(_FIELD)
    return None if key.startswith(OWN) else key


def system_key(name: str) -> str:
    """The key of one of nestvec's own filterable fields."""
    return DOCUMENT_ID if name == "document_id" else _SYSTEM + name


def system_name(key: str) -> str | None:
    """The bookkeeping field at a key, or None."""
    return key.removeprefix(_SYSTEM) if key.startswith(_SYSTEM) else None


def encode(value: Any) -> tuple[Any, str | None]:
    """The value as stored (None: not stored natively) and its code. Raises `ValueError` for what no code can express.

    >>> encode(7), encode([1, 2]), encode([])
    ((7, 'i'), (['1', '2'], 'i*'), (None, '=[]'))
    """
    if isinstance(value, list | tuple):
        return _encode_list(value)
    if isinstance(value, datetime):
        micros = microseconds(value)
        return (micros, "d") if abs(micros) <= EXACT else (float(micros), f"={json.dumps({'d': micros})}")
    if isinstance(value, int) and not isinstance(value, bool):
        return (value, "i") if abs(value) <= EXACT else (float(value), f"={value}")
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError(f"it is {value}; leave the key out where there is no number")
    if isinstance(value, str | bool | float):
        return value, None
    if value is None:
        raise ValueError("it is null; leave the key out where there is no value")
    if isinstance(value, Mapping):
        # All of these are wrong values of one list of metadata, whatever their types.
        raise ValueError("it is nested; flatten it, as in outer_inner = value")  # noqa: TRY004
    raise ValueError(f"a {type(value).__name__} cannot be stored")


def decode(stored: Any, code: str | None) -> Any:
    """The inverse of `encode`."""
    if code is None:
        return float(stored) if _is_number(stored) else stored
    if code.startswith("="):
        exact = json.loads(code[1:])
        return _instant(exact["d"]) if isinstance(exact, dict) else exact
    if code.endswith("*"):
        return [_PARSE[code[0]](item) for item in stored]
    return _instant(int(stored)) if code == "d" else int(stored)


def member(value: Scalar) -> str:
    """A list's member as a string; equal values have equal strings within a type."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, datetime):
        return str(microseconds(value))
    return repr(value + 0.0) if isinstance(value, float) else str(value)  # + 0.0 turns -0.0 into 0.0


def microseconds(value: datetime) -> int:
    """Whole microseconds since 1970; a datetime without an offset is UTC."""
    aware = value if value.tzinfo is not None else value.replace(tzinfo=UTC)
    return (aware - _EPOCH) // _MICROSECOND


def _encode_list(values: Sequence[Any]) -> tuple[Any, str | None]:
    kinds = {_KINDS.get(type(value), "?") for value in values}
    if kinds == {"s"}:
        return list(values), None
    if len(kinds) == 1 and "?" not in kinds:
        return [member(value) for value in values], f"{kinds.pop()}*"
    if "?" in kinds or "d" in kinds:
        raise ValueError("it is a list of values that are not all strings, numbers, booleans or datetimes")
    # An empty list counts as missing, so filters must not see it.
    return [member(value) for value in values] or None, f"={json.dumps(list(values), ensure_ascii=False)}"


def _instant(micros: int) -> datetime:
    return _EPOCH + micros * _MICROSECOND


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _vectors(request: Write, limit: int, stamp: str) -> Iterator[tuple[str, bytes]]:
    rows = np.ascontiguousarray(one_vector(request.vectors, request.physical), np.float32)
    for record, row in zip(request.records, rows, strict=True):
        metadata = metadata_of(record, stamp, request.physical)
        _check_metadata(request, record.document_id, metadata)
        vector = orjson.dumps({"id": record.id, "values": row, "metadata": metadata}, option=orjson.OPT_SERIALIZE_NUMPY)
        if len(vector) > limit:
            raise BackendRefused(
                f"a chunk of document {record.document_id!r:.80} takes {len(vector)} bytes with its vector and "
                f"metadata, more than the {limit} of a request (collection {request.physical!r}); use fewer dimensions"
            )
        yield record.id, vector


def _check_metadata(request: Write, document: str, metadata: Mapping[str, Any]) -> None:
    size = len(orjson.dumps(metadata))
    if size > MAX_METADATA_BYTES:
        key = max(metadata, key=lambda each: len(orjson.dumps(metadata[each])))
        most = GIVEN_TOLD if key == GIVEN else repr(key)
        raise BackendRefused(
            f"a chunk of document {document!r:.80} has {size} bytes of text and metadata, more than the "
            f"{MAX_METADATA_BYTES} that Pinecone keeps with a record (collection {request.physical!r}); most of it is "
            f"{most}: make it shorter, use smaller chunks, or set store_text = false"
        )


def _encoded(record: Record, name: str, value: Any, collection: str) -> tuple[Any, str | None]:
    try:
        return encode(value)
    except ValueError as error:
        raise BackendRefused(
            f"metadata {name!r} of document {record.document_id!r:.80} cannot be stored in Pinecone (collection "
            f"{collection!r}): {error}"
        ) from error


def _bookkeeping(value: Any) -> str | int:
    """Strings and integers; every number comes back as a double."""
    return value if isinstance(value, str) else int(value)


_KINDS: Final = {str: "s", bool: "b", int: "i", float: "f", datetime: "d"}
_PARSE: Final[Mapping[str, Any]] = {
    "i": int,
    "f": float,
    "b": lambda text: text == "true",
    "d": lambda text: _instant(int(text)),
}
