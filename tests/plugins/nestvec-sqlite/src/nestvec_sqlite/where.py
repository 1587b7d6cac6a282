"""Filters as SQL conditions.

Field names and values are bound parameters, never part of the SQL, so no value can become syntax. Every leaf is
an EXISTS, which is true or false but never NULL: so NOT is the exact complement, missing fields included.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from nestvec.filters import Compare, ContainsAll, Exists, FieldRef, Filter, Leaf, Op, coerce, fold
from nestvec.types import FieldType
from nestvec_sqlite.jsontext import searchable

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
#: JSON types that a field's values may have; any other value exists, but satisfies no comparison.
_JSON_TYPES: Final = {
    FieldType.KEYWORD: "('text')",
    FieldType.INTEGER: "('integer')",
    FieldType.FLOAT: "('integer', 'real')",
    FieldType.BOOLEAN: "('true', 'false')",
    FieldType.DATETIME: "('text')",
}
_SINGLE: Final = "json_each({column}) AS item WHERE item.key = ?"
# The CASE keeps json_each away from values that are no lists.
_LISTED: Final = (
    "json_each({column}) AS field, json_each(CASE field.type WHEN 'array' THEN field.value ELSE '[]' END) AS item "
    "WHERE field.key = ?"
)
_OPERATORS: Final = {Op.EQ: "=", Op.GT: ">", Op.GTE: ">=", Op.LT: "<", Op.LTE: "<="}


@dataclass(frozen=True, slots=True)
class Where:
    """A condition and the values for its question marks, in order."""

    sql: str = "TRUE"
    parameters: tuple[Any, ...] = ()


def compile_filter(where: Filter | None) -> Where:
    """The SQL of a resolved filter; None selects everything."""
    if where is None:
        return Where()
    return fold(
        where,
        leaf=_leaf,
        and_=lambda parts: join("AND", parts),
        or_=lambda parts: join("OR", parts),
        not_=lambda part: Where(f"NOT {part.sql}", part.parameters),
    )


def join(word: str, parts: list[Where]) -> Where:
    """Conditions joined with AND or OR, in parentheses."""
    sql = f" {word} ".join(part.sql for part in parts)
    return Where(f"({sql})", tuple(value for part in parts for value in part.parameters))


def instant(value: str | datetime) -> int | None:
    """A moment as whole microseconds since 1970, also for SQL; None (there NULL) for text that is no moment."""
    try:
        moment: Any = coerce(value, FieldType.DATETIME)
    except ValueError:
        return None
    microseconds: int = (moment - _EPOCH) // timedelta(microseconds=1)
    return microseconds


def _leaf(leaf: Leaf) -> Where:
    field = leaf.field
    match leaf:
        case Exists():
            return _exists(field)
        case Compare():
            return _any(field, _OPERATORS[leaf.op] + " ?", [leaf.value])
        case ContainsAll():
            return join("AND", [_any(field, "= ?", [value]) for value in leaf.values])
    return _any(field, f"IN ({', '.join('?' * len(leaf.values))})", leaf.values)


def _exists(field: FieldRef) -> Where:
    sql = (
        f"EXISTS (SELECT 1 FROM json_each(records.{field.scope}) AS item WHERE item.key = ? "
        "AND item.type <> 'null' AND NOT (item.type = 'array' AND item.value = '[]'))"
    )
    return Where(sql, (searchable(field.name),))


def _any(field: FieldRef, test: str, values: Sequence[Any]) -> Where:
    """Whether the field, or any value of its list, is of the declared type and passes the test."""
    kind = field.declared.type
    operand = "instant(item.atom)" if kind is FieldType.DATETIME else "item.atom"
    sql = (
        f"EXISTS (SELECT 1 FROM {_LISTED if field.many else _SINGLE} "
        f"AND item.type IN {_JSON_TYPES[kind]} AND {operand} {test})"
    )
    return Where(
        sql.format(column=f"records.{field.scope}"), (searchable(field.name), *(_bound(value) for value in values))
    )


def _bound(value: Any) -> Any:
    if isinstance(value, str):
        return searchable(value)
    return instant(value) if isinstance(value, datetime) else value
