"""Records as rows of tables, and back."""

from __future__ import annotations

import zlib
from collections.abc import Iterable
from typing import TYPE_CHECKING, Final

import orjson

from nestvec.errors import BackendRefused
from nestvec.types import Record
from nestvec.values import format_datetime

if TYPE_CHECKING:
    from nestvec.types import FloatArray

_DATETIMES: Final = orjson.OPT_PASSTHROUGH_DATETIME  # they are ours to write


def contents_of(record: Record) -> tuple[str, str]:
    """The columns `system` and `content`. Datetimes become ISO 8601, which the core turns back for declared fields.

    Raises `BackendRefused` for what is no JSON, such as an integer beyond 64 bits.
    """
    try:
        system = orjson.dumps([record.document_id, dict(record.system)])
        content = orjson.dumps([record.text, dict(record.metadata)], format_datetime, _DATETIMES)
    except TypeError as error:
        raise BackendRefused(
            f"record {record.id!r} of document {record.document_id!r:.80} cannot be kept: {error}"
        ) from error
    return system.decode(), content.decode()


def record_of(identity: str, system: str, content: str | None) -> Record:
    """The record behind the columns; without `content`, text and metadata are left out.

    Raises one of `errors.DAMAGED`.
    """
    document_id, bookkeeping = orjson.loads(system)
    text, metadata = orjson.loads(content) if content is not None else (None, {})
    if not (isinstance(document_id, str) and isinstance(bookkeeping, dict) and isinstance(metadata, dict)):
        raise TypeError("a record of another shape")
    return Record(identity, document_id, text, metadata, bookkeeping)


def checksums(rows: Iterable[FloatArray], count: int) -> list[int]:
    """One for each record, of all of its vectors."""
    sums = [0] * count
    for matrix in rows:
        sums = [zlib.crc32(row, known) for row, known in zip(matrix, sums, strict=True)]
    return sums
