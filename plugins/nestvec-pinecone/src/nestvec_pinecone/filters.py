"""Filters as Pinecone's dictionaries.

Pinecone has no negation of a whole condition, and its negative operators have treated missing fields in both ways.
So negations are pushed to the leaves and written out: the field is missing, or the opposite holds. That is
exact whichever way the server has it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final, TypeAlias

from nestvec.errors import Unsupported
from nestvec.filters import (
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
    Op,
    Or,
    Text,
    push_negations,
)
from nestvec.filters.tree import as_leaf
from nestvec.types import FieldType, Scalar
from nestvec_pinecone.options import MAX_IN_VALUES
from nestvec_pinecone.records import DOCUMENT_ID, EXACT, field_key, member, microseconds, system_key

Condition: TypeAlias = dict[str, Any]

#: Every record has a document id.
EVERYTHING: Final[Condition] = {DOCUMENT_ID: {"$exists": True}}
NOTHING: Final[Condition] = {DOCUMENT_ID: {"$exists": False}}
_KEYS: Final[Mapping[str, Callable[[str], str]]] = {"metadata": field_key, "system": system_key, "foreign": str}
_OPPOSITE: Final = {Op.GT: "$lte", Op.GTE: "$lt", Op.LT: "$gte", Op.LTE: "$gt", Op.EQ: "$ne"}


def compile_filter(where: Filter) -> Condition:
    """A resolved filter for Pinecone.

    Raises `Unsupported` where Pinecone cannot keep the exact meaning: numbers that are not exact as doubles.
    """
    return _condition(push_negations(where))


def condition_of(where: Filter | None) -> Condition:
    """The same, for all records where there is no filter."""
    return EVERYTHING if where is None else compile_filter(where)


def _condition(node: Filter) -> Condition:
    """A tree whose negations wrap leaves only."""
    if isinstance(node, And):
        return {"$and": [_condition(child) for child in node.children]}
    if isinstance(node, Or):
        return {"$or": [_condition(child) for child in node.children]}
    if isinstance(node, Not):
        return _negated(as_leaf(node.child))
    return _leaf(as_leaf(node))


def _leaf(leaf: Leaf) -> Condition:
    key = _key(leaf.field)
    match leaf:
        case Exists():
            return {key: {"$exists": True}}
        case Compare(op=op, value=value):
            return {key: {op.value: _value(leaf.field, value)}}
        case In(values=values) | ContainsAny(values=values):
            return _any(key, [_value(leaf.field, value) for value in values]) if values else _nothing(leaf.field)
        case Text():
            raise _no_text(leaf)
        case ContainsAll(values=values):
            return {"$and": [{key: {"$eq": _value(leaf.field, value)}} for value in values]}


def _negated(leaf: Leaf) -> Condition:
    key = _key(leaf.field)
    match leaf:
        case Exists():
            return {key: {"$exists": False}}
        case Compare(op=op, value=value):
            return _missing_or(key, {key: {_OPPOSITE[op]: _value(leaf.field, value)}})
        case In(values=()) | ContainsAny(values=()):
            return _everything(leaf.field)
        case In(values=values) | ContainsAny(values=values):
            return _missing_or(key, _none(key, [_value(leaf.field, value) for value in values]))
        case Text():
            raise _no_text(leaf)
        case ContainsAll(values=values):
            return _missing_or(key, *({key: {"$ne": _value(leaf.field, value)}} for value in values))


def _no_text(leaf: Text) -> Unsupported:
    return Unsupported(
        f"filter on {leaf.field.name!r}: Pinecone compares strings as a whole, so there is no {leaf.op}; store what "
        f"you look for in a field of its own, and use == or in_"
    )


def _missing_or(key: str, *conditions: Condition) -> Condition:
    return {"$or": [{key: {"$exists": False}}, *conditions]}


def _any(key: str, values: Sequence[Any]) -> Condition:
    if any(isinstance(value, bool) for value in values):  # $in takes strings and numbers
        return {"$or": [{key: {"$eq": value}} for value in values]}
    parts: list[Condition] = [{key: {"$in": part}} for part in _parts(values)]
    return parts[0] if len(parts) == 1 else {"$or": parts}


def _none(key: str, values: Sequence[Any]) -> Condition:
    if any(isinstance(value, bool) for value in values):
        return {"$and": [{key: {"$ne": value}} for value in values]}
    parts: list[Condition] = [{key: {"$nin": part}} for part in _parts(values)]
    return parts[0] if len(parts) == 1 else {"$and": parts}


def _parts(values: Sequence[Any]) -> list[list[Any]]:
    """As many values as one operator takes, in each."""
    return [list(values[start : start + MAX_IN_VALUES]) for start in range(0, len(values), MAX_IN_VALUES)]


def _key(field: FieldRef) -> str:
    return _KEYS[field.scope](field.name)


def _nothing(field: FieldRef) -> Condition:
    return NOTHING if field.scope != "foreign" else {"$and": _both(field)}


def _everything(field: FieldRef) -> Condition:
    return EVERYTHING if field.scope != "foreign" else {"$or": _both(field)}


def _both(field: FieldRef) -> list[Condition]:
    """Of somebody else's records none need have a document id: one of these two holds for each, never both."""
    return [{_key(field): {"$exists": there}} for there in (True, False)]


def _value(field: FieldRef, value: Scalar) -> Any:
    """A value as it is stored."""
    if field.scope == "foreign":
        _check_foreign(field)
    if field.declared.many and field.declared.type is not FieldType.KEYWORD:
        return member(value)
    number = microseconds(value) if isinstance(value, datetime) else value
    if isinstance(number, int) and not isinstance(number, bool) and abs(number) >= EXACT:
        raise Unsupported(
            f"filter on field {field.name!r}: Pinecone compares numbers as doubles, which are exact only between "
            f"-2**53 and 2**53 (datetimes: the years 1685 to 2255), and {value} is outside"
        )
    return number + 0.0 if isinstance(number, float) else number


def _check_foreign(field: FieldRef) -> None:
    """Nobody but nestvec stores datetimes, or lists of other things than strings, as nestvec does."""
    kind = field.declared
    if kind.type is FieldType.DATETIME or (kind.many and kind.type is not FieldType.KEYWORD):
        raise Unsupported(
            f"filter on {field.name!r}: Pinecone has strings, numbers, booleans and lists of strings, but it is "
            f"declared as {kind}; declare what the index holds: keyword for dates as text, integer or float for "
            f"timestamps, keyword[] for lists"
        )
