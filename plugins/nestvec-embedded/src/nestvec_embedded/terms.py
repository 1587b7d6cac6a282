"""What filters look at, as rows of an index: one for each value of each field of a record.

A row is the number of a path, a value and the record's slot. The path says in which scope a field is, of which type the
value is and whether it stands in a list, since a filter on a declared field looks at values of its own type only. All
values of a path are of one of SQLite's types, so its comparisons are Python's.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final, TypeAlias

from nestvec.contract import SYSTEM_FIELDS
from nestvec.filters import FieldRef, format_datetime
from nestvec.types import GIVEN, FieldType, Record, Scalar
from nestvec.values import parse_datetime

#: A path and a value.
Term: TypeAlias = tuple[str, Any]

#: The path of tenants' names, which is no field's.
TENANT: Final = "t"
#: Bytes of a string that are kept; of longer ones a digest tells the rest.
KEPT: Final = 256
#: A byte that is in no UTF-8, and after all that are.
AFTER: Final = b"\xff"
_KINDS: Final[Mapping[FieldType, str]] = {
    FieldType.KEYWORD: "s",
    FieldType.INTEGER: "i",
    FieldType.FLOAT: "if",  # integers are numbers, too
    FieldType.BOOLEAN: "b",
    FieldType.DATETIME: "d",
}
_ODD: Final = "o"
_ALL_KINDS: Final = "sifbdo"
_EPOCH: Final = datetime.fromtimestamp(0, UTC)
_MICROSECOND: Final = timedelta(microseconds=1)


def terms_of(record: Record, tenant: str | None) -> set[Term]:
    """Every path and value of a record."""
    found: set[Term] = set() if tenant is None else {(TENANT, tenant.encode())}
    for name, value in record.metadata.items():
        if name != GIVEN:
            _add(found, "m", name, value)
    system = record.system
    for name in SYSTEM_FIELDS:
        if name in system:
            _add(found, "s", name, system[name])
    _add(found, "s", "document_id", record.document_id)
    return found


def paths_of(field: FieldRef) -> list[str]:
    """Where values are that a filter on this field looks at."""
    declared = field.declared
    return [_path(field.scope[0], kind, field.name, many=declared.many) for kind in _KINDS[declared.type]]


def paths_of_any(field: FieldRef) -> list[str]:
    """Where all values of the field are, whatever their type."""
    return [_path(field.scope[0], kind, field.name, many=many) for kind in _ALL_KINDS for many in (False, True)]


def comparable(value: Scalar) -> Any:
    """A filter's value as the index has it."""
    if isinstance(value, str):
        return string(value)
    return _microseconds(value) if isinstance(value, datetime) else value


def string(text: str) -> bytes:
    """A string as the index has it: equal ones are equal, and up to `KEPT` bytes are its own."""
    whole = text.encode()
    if len(whole) <= KEPT:
        return whole
    return whole[:KEPT] + AFTER + hashlib.sha256(whole).digest()


def _path(scope: str, kind: str, name: str, *, many: bool) -> str:
    return f"{scope}{kind}{'*' if many else '.'}{name}"


def _add(found: set[Term], scope: str, name: str, stored: object) -> None:
    if stored is None:
        return
    if not isinstance(stored, list | tuple):
        _add_value(found, scope, f".{name}", stored)
        return
    before = len(found)
    for value in stored:
        _add_value(found, scope, f"*{name}", value)
    if stored and len(found) == before:  # nulls alone: it exists all the same
        found.add((f"{scope}{_ODD}*{name}", 0))


def _add_value(found: set[Term], scope: str, field: str, value: object) -> None:
    """A value, as each type has it that it is of; a string may be an instant, too. One of no type exists."""
    if isinstance(value, datetime):
        value = format_datetime(value)  # as it is kept
    if isinstance(value, str):
        found.add((f"{scope}s{field}", string(value)))
        if value[:4].isdigit():  # every date begins with its year
            moment = _moment(value)
            if moment is not None:
                found.add((f"{scope}d{field}", moment))
    elif isinstance(value, bool):
        found.add((f"{scope}b{field}", int(value)))
    elif isinstance(value, int):
        found.add((f"{scope}i{field}", value))
    elif isinstance(value, float) and value == value:
        found.add((f"{scope}f{field}", value))
    elif value is not None:
        found.add((f"{scope}{_ODD}{field}", 0))


def _moment(text: str) -> int | None:
    try:
        return _microseconds(parse_datetime(text))
    except ValueError:
        return None  # a string like any other


def _microseconds(value: datetime) -> int:
    return (value - _EPOCH) // _MICROSECOND
