"""Filters as Qdrant's models.

Qdrant's conditions are two-valued, and `must_not` is an exact complement that finds missing fields, too:
just as nestvec wants it. What differs is spelled out here: floats and datetimes have no equality (a range
of one value), lists of booleans, floats or datetimes have no `match any`, and integers in ranges are
compared as doubles.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import TypeAlias

from qdrant_client import models

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
    push_negations,
)
from nestvec.filters.tree import as_leaf
from nestvec.types import FieldType, Scalar
from nestvec_qdrant.paths import TENANT, field_path, foreign_path, system_path

Condition: TypeAlias = models.Condition

_EXACT = 2**53
_MATCHED = frozenset({FieldType.KEYWORD, FieldType.INTEGER, FieldType.BOOLEAN})
_MATCHED_ANY = frozenset({FieldType.KEYWORD, FieldType.INTEGER})
_PATHS = {"metadata": field_path, "system": system_path, "foreign": foreign_path}
_BOUND = {Op.GT: "gt", Op.GTE: "gte", Op.LT: "lt", Op.LTE: "lte"}


def compile_filter(where: Filter | None, tenant: str | None = None) -> models.Filter | None:
    """A resolved filter, and the tenant's condition, for Qdrant. None selects everything.

    Raises `Unsupported` where Qdrant can not keep the exact meaning.
    """
    compiled = None if where is None else _filter(push_negations(where))
    if tenant is None:
        return compiled
    own = models.FieldCondition(key=TENANT, match=models.MatchValue(value=tenant))
    return models.Filter(must=[own] if compiled is None else [own, compiled])


def _filter(node: Filter) -> models.Filter:
    """A tree whose negations wrap leaves only. Uses as few levels as possible: servers limit the depth of JSON."""
    if isinstance(node, Or):
        return models.Filter(should=[_condition(child) for child in node.children])
    children = node.children if isinstance(node, And) else (node,)
    # One OR can stand beside the conditions that it is joined with: the deepest.
    beside = max((child for child in children if isinstance(child, Or)), key=lambda o: o.depth, default=None)
    must: list[Condition] = []
    must_not: list[Condition] = []
    for child in children:
        if child is beside:
            continue
        condition, negated = (_filter(child), False) if isinstance(child, And | Or) else _literal(child)
        (must_not if negated else must).append(condition)
    should = [_condition(child) for child in beside.children] if beside is not None else None
    return models.Filter(must=must or None, must_not=must_not or None, should=should)


def _condition(node: Filter) -> Condition:
    if isinstance(node, And | Or):
        return _filter(node)
    condition, negated = _literal(node)
    return models.Filter(must_not=[condition]) if negated else condition


def _literal(node: Filter) -> tuple[Condition, bool]:
    """A leaf or its negation as a condition, and whether that condition must not hold."""
    if isinstance(node, Not):
        condition, negated = _literal(node.child)
        return condition, not negated
    leaf = as_leaf(node)
    if isinstance(leaf, Exists):
        return models.IsEmptyCondition(is_empty=models.PayloadField(key=_path(leaf.field))), True
    return _leaf(leaf), False


def _leaf(leaf: Leaf) -> Condition:
    path, kind = _path(leaf.field), leaf.field.declared.type
    match leaf:
        case Compare(op=Op.EQ, value=value):
            return _equals(path, kind, value)
        case Compare(op=op, value=value):
            return _range(path, {_BOUND[op]: value})
        case In(values=values) | ContainsAny(values=values):
            return _any(path, kind, values)
        case ContainsAll(values=values):
            return models.Filter(must=[_equals(path, kind, value) for value in values])
        case Exists():
            raise AssertionError("handled by the caller")


def _path(field: FieldRef) -> str:
    return _PATHS[field.scope](field.name)


def _equals(path: str, kind: FieldType, value: Scalar) -> Condition:
    if kind not in _MATCHED:
        return _range(path, {"gte": value, "lte": value})
    return models.FieldCondition(key=path, match=models.MatchValue.model_validate({"value": value}))


def _any(path: str, kind: FieldType, values: Sequence[Scalar]) -> Condition:
    if not values:
        return models.HasIdCondition(has_id=[])  # nothing has none of no ids
    if kind in _MATCHED_ANY:
        match = models.MatchAny.model_validate({"any": list(values)})  # all strings or all integers
        return models.FieldCondition(key=path, match=match)
    return models.Filter(should=[_equals(path, kind, value) for value in values])


def _range(path: str, bounds: dict[str, Scalar]) -> Condition:
    if any(isinstance(value, datetime) for value in bounds.values()):
        return models.FieldCondition(key=path, range=models.DatetimeRange.model_validate(bounds))
    numbers = {bound: _number(path, bound, value) for bound, value in bounds.items()}
    return models.FieldCondition(key=path, range=models.Range(**numbers))


def _number(path: str, bound: str, value: Scalar) -> float:
    if isinstance(value, int) and abs(value) >= _EXACT:
        raise Unsupported(
            f"filter on {path}: Qdrant compares integers as doubles, so ranges are exact only between -2**53 and "
            f"2**53, and {value} is outside; == and in_ work for every integer"
        )
    if value == 0:
        # An index may tell the two zeros apart: the bound lies on their outer side, or its complement's.
        return -0.0 if bound in ("gte", "lt") else 0.0
    assert isinstance(value, int | float)  # noqa: S101 - resolved filters hold what the field's type says
    return float(value)
