"""Metadata filters with the meaning that Pinecone documents.

`$eq $ne` take strings, numbers and booleans, `$gt $gte $lt $lte` numbers, `$in $nin` lists of strings or
numbers, `$exists` a boolean; `$and` and `$or` join. A list of strings is compared by its members. All numbers are
doubles. Whether the negative operators find records without the field is a setting.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from typing import Any, Final

from nestvec_pinecone.testing.errors import PineconeRefusal, require

_RANGES: Final[Mapping[str, Callable[[Any, Any], bool]]] = {
    "$gt": operator.gt,
    "$gte": operator.ge,
    "$lt": operator.lt,
    "$lte": operator.le,
}
_MAX_VALUES: Final = 10_000


def check_filter(where: object) -> dict[str, Any]:
    """The filter, or a refusal."""
    require(isinstance(where, dict), "Filter must be an object")
    assert isinstance(where, dict)
    for key, condition in where.items():
        if key in ("$and", "$or"):
            require(isinstance(condition, list) and condition, f"{key} requires a non-empty list")
            for each in condition:
                require(check_filter(each), f"{key} must not hold an empty filter")
        else:
            require(not key.startswith("$"), f"Unknown operator {key!r}")
            _check_condition(key, condition)
    return where


def selects(where: Mapping[str, Any], metadata: Mapping[str, Any], *, finds_missing: bool) -> bool:
    """Whether a record with this metadata matches a checked filter. An empty one matches everything."""
    return all(_holds(key, condition, metadata, finds_missing) for key, condition in where.items())


def _check_condition(name: str, condition: object) -> None:
    if not isinstance(condition, dict):
        require(_is_scalar(condition), f"Filter value of {name!r} must be a string, number or boolean")
        return
    require(condition, f"Filter on {name!r} has no operator")
    for op, value in condition.items():
        _check_operand(name, op, value)


def _check_operand(name: str, op: str, value: object) -> None:
    if op in ("$eq", "$ne"):
        good = _is_scalar(value)
    elif op in _RANGES:
        good = _is_number(value)
    elif op in ("$in", "$nin"):
        good = isinstance(value, list) and all(isinstance(item, str) or _is_number(item) for item in value)
        require(not good or 1 <= len(value) <= _MAX_VALUES, f"{op} takes 1 to {_MAX_VALUES} values")  # type: ignore[arg-type]  # a list here
    elif op == "$exists":
        good = isinstance(value, bool)
    else:
        raise PineconeRefusal(400, f"Unknown operator {op!r} in filter on {name!r}")
    require(good, f"Operator {op} on {name!r} cannot take {value!r}")


def _holds(key: str, condition: Any, metadata: Mapping[str, Any], finds_missing: bool) -> bool:
    if key == "$and":
        return all(selects(each, metadata, finds_missing=finds_missing) for each in condition)
    if key == "$or":
        return any(selects(each, metadata, finds_missing=finds_missing) for each in condition)
    operators = condition if isinstance(condition, dict) else {"$eq": condition}
    return all(_compares(key, op, value, metadata, finds_missing) for op, value in operators.items())


def _compares(key: str, op: str, value: Any, metadata: Mapping[str, Any], finds_missing: bool) -> bool:
    if op == "$exists":
        return (key in metadata) is value
    if key not in metadata:
        return finds_missing and op in ("$ne", "$nin")
    stored = metadata[key]
    held = stored if isinstance(stored, list) else [stored]
    if op in ("$eq", "$in"):
        return _meets(held, value if op == "$in" else [value])
    if op in ("$ne", "$nin"):
        return not _meets(held, value if op == "$nin" else [value])
    return any(_is_number(item) and _RANGES[op](item, float(value)) for item in held)


def _meets(held: list[Any], values: list[Any]) -> bool:
    wanted = {_key(value) for value in values}
    return any(_key(item) in wanted for item in held)


def _key(value: Any) -> tuple[str, Any]:
    if isinstance(value, bool):
        return ("boolean", value)
    return ("number", float(value)) if isinstance(value, int | float) else ("string", value)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_scalar(value: object) -> bool:
    return isinstance(value, str | bool) or _is_number(value)
