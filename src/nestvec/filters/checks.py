"""Whether a leaf fits the type of its field, and its values as that type has them."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from nestvec.errors import InvalidFilter
from nestvec.filters.tree import Compare, ContainsAll, ContainsAny, Exists, FieldRef, Filter, In, Leaf, Op, Text, TextOp
from nestvec.types import Field, FieldType, Scalar
from nestvec.values import coerce, unique

_UNORDERED: Final = frozenset({FieldType.KEYWORD, FieldType.BOOLEAN})


def check_leaf(leaf: Leaf, ref: FieldRef, field: Field, place: str) -> Filter:
    """The leaf on a declared field, with values of its type. `place` begins the error message."""
    problem = _misfit(leaf, field)
    if problem:
        raise InvalidFilter(f"{place}: {problem}")
    try:
        return _typed(leaf, ref, field.type)
    except ValueError as error:
        raise InvalidFilter(f"{place} ({field}): {error}") from error


def _misfit(leaf: Leaf, field: Field) -> str | None:
    """Why the operator does not fit the field, or None."""
    match leaf:
        case Exists():
            return None
        case Text() if field.many or field.type is not FieldType.KEYWORD:
            return f"{leaf.op} looks at the string of a keyword field, and this one is {field}"
        case Compare() if field.many:
            return f"a list ({field}) cannot be compared as one value; use .contains(...) / $contains"
        case Compare(op=op) if op is not Op.EQ and field.type in _UNORDERED:
            return f"{field} fields have no order that is the same everywhere, so no {op}; use == or in_ / $in"
        case In() if field.many:
            return f"a list ({field}) cannot be compared as one value; use .contains_any(...) / $contains_any"
        case ContainsAny(values=(str(),)) if field == Field(FieldType.KEYWORD):
            return None
        case ContainsAny() | ContainsAll() if not field.many:
            return f"{field} is one value, not a list; use == / $eq or in_ / $in instead of contains"
    return None


def _typed(leaf: Leaf, ref: FieldRef, kind: FieldType) -> Filter:
    match leaf:
        case Exists():
            return Exists(ref)
        case Text():
            return replace(leaf, field=ref)
        case ContainsAny(values=(str() as value,)) if not ref.many:
            return Text(ref, TextOp.CONTAINS, value)
        case Compare():
            return replace(leaf, field=ref, value=coerce(leaf.value, kind))
        case ContainsAll():
            return _contains_all(ref, coerced(leaf.values, kind))
    return replace(leaf, field=ref, values=coerced(leaf.values, kind))


def _contains_all(ref: FieldRef, values: tuple[Scalar, ...]) -> Filter:
    if not values:
        return Exists(ref)
    return ContainsAll(ref, values) if len(values) > 1 else ContainsAny(ref, values)


def coerced(values: tuple[Scalar, ...], kind: FieldType) -> tuple[Scalar, ...]:
    """The values as the type has them, each once. Raises `ValueError`."""
    return unique(coerce(value, kind) for value in values)
