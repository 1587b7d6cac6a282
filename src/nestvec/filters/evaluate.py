"""What a filter means: the reference that every backend is compared with."""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from nestvec.filters.operations import Op, TextOp
from nestvec.filters.tree import (
    And,
    Compare,
    ContainsAll,
    ContainsAny,
    Exists,
    FieldRef,
    Filter,
    In,
    Leaf,
    Not,
    Or,
    Text,
    as_leaf,
)
from nestvec.types import FieldType, Scalar
from nestvec.values import parse_datetime, to_utc

_COMPARE: Final[Mapping[Op, Callable[[Any, Any], bool]]] = {
    Op.EQ: operator.eq,
    Op.GT: operator.gt,
    Op.GTE: operator.ge,
    Op.LT: operator.lt,
    Op.LTE: operator.le,
}

_TEXT: Final[Mapping[TextOp, Callable[[str, str], bool]]] = {
    TextOp.STARTS_WITH: str.startswith,
    TextOp.CONTAINS: operator.contains,
    TextOp.ENDS_WITH: str.endswith,
}


def matches(where: Filter | None, metadata: Mapping[str, object], system: Mapping[str, object] | None = None) -> bool:
    """Whether a record with this metadata (and nestvec's own fields, `system`) satisfies a resolved filter.

    None selects everything. A stored value of another type than the declared one exists, but satisfies no
    comparison. Raises `InvalidFilter` for a filter that `resolve` has not seen.
    """
    if where is None:
        return True
    if isinstance(where, And):
        return all(matches(child, metadata, system) for child in where.children)
    if isinstance(where, Or):
        return any(matches(child, metadata, system) for child in where.children)
    if isinstance(where, Not):
        return not matches(where.child, metadata, system)
    leaf = as_leaf(where)
    stored = (system or {}) if leaf.field.scope == "system" else metadata
    return _holds(leaf, stored.get(leaf.field.name))


def _holds(leaf: Leaf, stored: object) -> bool:
    if isinstance(leaf, Exists):
        return stored is not None and not (_is_list(stored) and not stored)
    held = _values(leaf.field, stored)
    match leaf:
        case Compare():
            return any(_COMPARE[leaf.op](value, leaf.value) for value in held)
        case In() | ContainsAny():
            return any(value in leaf.values for value in held)
        case Text():
            return any(isinstance(value, str) and _TEXT[leaf.op](value, leaf.value) for value in held)
        case ContainsAll():
            # Without values it asks for existence; resolve writes that as Exists.
            return bool(held) and all(value in held for value in leaf.values)


def _values(field: FieldRef, stored: object) -> list[Scalar]:
    """The stored values that are of the declared shape and type."""
    declared = field.declared
    if _is_list(stored) is not declared.many:
        return []
    candidates = stored if isinstance(stored, Sequence) and declared.many else [stored]
    return [value for each in candidates if (value := _of_type(each, declared.type)) is not None]


def _is_list(stored: object) -> bool:
    return isinstance(stored, Sequence) and not isinstance(stored, str | bytes | bytearray)


def _of_type(value: object, kind: FieldType) -> Scalar | None:
    """The value as the type has it, or None where it is of another type."""
    match kind, value:
        case FieldType.BOOLEAN, bool():
            return value
        case FieldType.KEYWORD, str():
            return value
        case FieldType.INTEGER, int() if not isinstance(value, bool):
            return value
        case FieldType.FLOAT, int() | float() if not isinstance(value, bool):
            return value
        case FieldType.DATETIME, datetime() | str():
            return _instant(value)
    return None


def _instant(value: datetime | str) -> datetime | None:
    try:
        return parse_datetime(value) if isinstance(value, str) else to_utc(value)
    except ValueError:
        return None  # no instant at all, so it satisfies no comparison, like any other stray value
