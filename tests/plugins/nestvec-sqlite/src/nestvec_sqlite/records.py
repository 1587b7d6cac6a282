"""Records as table rows, and back; JSON; and scores."""

import json
import re
from typing import Any

import numpy as np

from nestvec.filters import format_datetime
from nestvec.types import Metric, Record

#: The columns that are read of a record.
RECORD = "id, text, metadata, system"
# For SQLite's JSON functions, a NUL character ends a string. It is stored as U+0001 U+0002, and U+0001 is doubled.
_STORED = {r"\u0000": r"\u0001\u0002", r"\u0001": r"\u0001\u0001"}
_READ = {stored: read for read, stored in _STORED.items()}


def to_json(value: Any) -> str:
    """Plain values as JSON; datetimes become ISO 8601, which the core turns back for declared fields."""
    text = json.dumps(value, ensure_ascii=False, default=format_datetime)
    # An escaped backslash is matched first, so that what follows it is not taken for an escape.
    return re.sub(r"\\\\|\\u000[01]", lambda found: _STORED.get(found[0], found[0]), text)


def from_json(text: str) -> Any:
    """The inverse of `to_json`."""
    return json.loads(re.sub(r"\\\\|\\u0001\\u000[12]", lambda found: _READ.get(found[0], found[0]), text))


def columns_of(record: Record) -> tuple[str, str | None, str, str]:
    """The columns `RECORD`. The document's id is kept beside the other bookkeeping, so that filters find it there."""
    system = {**record.system, "document_id": record.document_id}
    return record.id, record.text, to_json(record.metadata), to_json(system)


def record_of(identity: str, text: str | None, metadata: str, system: str) -> Record:
    """The record behind the columns `RECORD`."""
    bookkeeping = from_json(system)
    return Record(identity, bookkeeping.pop("document_id"), text, from_json(metadata), bookkeeping)


def score(stored: bytes, question: bytes, metric: str) -> float:
    """How alike two vectors are; higher is better, as `Metric` says. SQLite calls it."""
    one, two = np.frombuffer(stored, "<f4"), np.frombuffer(question, "<f4")
    if metric == Metric.EUCLIDEAN:
        return -float(np.linalg.norm(one - two))
    lengths = 1.0 if metric == Metric.DOT else np.linalg.norm(one) * np.linalg.norm(two)
    return float(one @ two / lengths) if lengths else 0.0  # a vector of zeros has no direction
