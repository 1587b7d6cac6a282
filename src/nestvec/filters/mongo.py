"""The dict form of filters: for configuration, command line and wire.

    {"lang": "de", "year": {"$gte": 2020}}
    {"$or": [{"tags": {"$contains": "new"}}, {"$not": {"year": {"$exists": true}}}]}

Several keys of one dict are joined with AND. `$and`, `$or` and `$not` stand at the top or under a field
(`{"year": {"$or": [{"$lt": 1990}, {"$gte": 2020}]}}`). Datetimes are ISO 8601 strings (datetime objects
are taken, too).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, NoReturn, TypeAlias, TypeVar

from nestvec._similar import closest
from nestvec.errors import InvalidFilter
from nestvec.filters.operations import Op, TextOp
from nestvec.filters.tree import (
    MAX_DEPTH,
    And,
    Compare,
    ContainsAll,
    ContainsAny,
    Exists,
    FieldRef,
    Filter,
    In,
    Leaf,
    Or,
    Text,
    fold,
)
from nestvec.types import FieldType
from nestvec.values import describe, jsonable, scalar, scalars, text

#: What every public function takes as a filter.
FilterLike: TypeAlias = Filter | Mapping[str, object]

T = TypeVar("T")

_Node: TypeAlias = dict[str, object]
_LOGIC: Final = ("$and", "$or", "$not")
_COMPARE: Final = {str(op): op for op in Op}
_TEXT: Final = {str(op): op for op in TextOp}
#: The documents' ids, and how they are called in the dict form.
ID_FIELD: Final = FieldRef("document_id", FieldType.KEYWORD, scope="system")
_ID: Final = "$id"
_VALUES: Final[Mapping[str, type[In | ContainsAny | ContainsAll]]] = {
    "$in": In,
    "$contains_any": ContainsAny,
    "$contains_all": ContainsAll,
}
_FIELD_OPERATORS: Final = (
    *_COMPARE,
    "$ne",
    "$in",
    "$nin",
    "$exists",
    "$contains",
    "$contains_any",
    "$contains_all",
    *_TEXT,
    *_LOGIC,
)


def parse_dict(where: Mapping[str, object]) -> Filter | None:
    """Read the dict form into an unresolved filter; None for `{}`, which selects everything.

    Raises `InvalidFilter` naming the place, as in `$and[1].year`.
    """
    return Parser().parse(where)


def to_dict(where: Filter) -> dict[str, object]:
    """The canonical dict form, ready for JSON: every operator spelt out, datetimes as ISO 8601 in UTC.

    Raises `InvalidFilter` for filters on nestvec's own bookkeeping, which only nestvec can write.
    """
    return fold(
        where,
        leaf=_leaf_to_dict,
        and_=lambda children: {"$and": children},
        or_=lambda children: {"$or": children},
        not_=_not_to_dict,
    )


def suggestion(name: str, known: Sequence[str]) -> str:
    """`did you mean 'x'? ` or nothing."""
    close = closest(name, known)
    return "" if close is None else f"did you mean {close!r}? "


@dataclass(frozen=True, slots=True)
class Parser:
    """Reads the dict form.

    `finish` is called with each leaf and its place before the next one is read. `subject` begins every
    message.
    """

    finish: Callable[[Leaf, str], Filter] = lambda leaf, _place: leaf
    subject: str = "filter"

    def parse(self, where: Mapping[str, object]) -> Filter | None:
        """Read a whole filter; None for `{}`."""
        return self._conditions(where, "", 1) if where else None

    def _conditions(self, where: object, path: str, depth: int) -> Filter:
        """A dict of field names and logical operators."""
        entries = self._mapping(where, path, depth)
        return And.of(*(self._entry(key, value, path, depth) for key, value in entries.items()))

    def _entry(self, key: str, value: object, path: str, depth: int) -> Filter:
        here = f"{path}.{key}" if path else key
        if key in _LOGIC:
            return self._logic(key, value, here, lambda v, p: self._conditions(v, p, depth + 1))
        if not key.startswith("$") or key == _ID:
            return self._field(ID_FIELD if key == _ID else FieldRef(key), value, here, depth)
        if key in _FIELD_OPERATORS:
            self._refuse(here, f'{key} belongs under a field: {{"field": {{"{key}": ...}}}}')
        return self._unknown_operator(key, here, (*_LOGIC, _ID))

    def _field(self, ref: FieldRef, value: object, path: str, depth: int) -> Filter:
        if isinstance(value, Mapping):
            return self._operators(ref, value, path, depth)
        if isinstance(value, list | tuple | set | frozenset):
            self._refuse(path, 'a list needs an operator: {"$in": [...]}, or {"$contains_any": [...]} on a list field')
        return self._compare(ref, Op.EQ, value, path)

    def _operators(self, ref: FieldRef, where: object, path: str, depth: int) -> Filter:
        """A dict of operators under a field."""
        entries = self._mapping(where, path, depth)
        return And.of(*(self._operator(ref, op, value, path, depth) for op, value in entries.items()))

    def _operator(self, ref: FieldRef, name: str, value: object, path: str, depth: int) -> Filter:
        here = f"{path}.{name}"
        if name in _LOGIC:
            return self._logic(name, value, here, lambda v, p: self._operators(ref, v, p, depth + 1))
        if name in _COMPARE:
            return self._compare(ref, _COMPARE[name], value, here)
        if name in _VALUES:
            return self._values(ref, _VALUES[name], value, here)
        if name in _TEXT:
            return self._text(ref, _TEXT[name], value, here)
        match name:
            case "$ne":
                return ~self._compare(ref, Op.EQ, value, here)
            case "$nin":
                return ~self._values(ref, In, value, here)
            case "$contains":
                return self._contains(ref, value, here)
            case "$exists":
                return self._exists(ref, value, here)
        return self._unknown_operator(name, here, _FIELD_OPERATORS)

    def _logic(self, name: str, value: object, path: str, read: Callable[[object, str], Filter]) -> Filter:
        if name == "$not":
            return ~read(value, path)
        if not isinstance(value, list | tuple) or not value:
            self._refuse(path, f"{name} takes a non-empty list of conditions, got {describe(value)}")
        children = [read(each, f"{path}[{i}]") for i, each in enumerate(value)]
        return And.of(*children) if name == "$and" else Or.of(*children)

    def _compare(self, ref: FieldRef, op: Op, value: object, path: str) -> Filter:
        return self.finish(Compare(ref, op, self._checked(scalar, value, path)), path)

    def _contains(self, ref: FieldRef, value: object, path: str) -> Filter:
        return self.finish(ContainsAny(ref, (self._checked(scalar, value, path),)), path)

    def _values(self, ref: FieldRef, kind: type[In | ContainsAny | ContainsAll], value: object, path: str) -> Filter:
        return self.finish(kind(ref, self._checked(scalars, value, path)), path)

    def _text(self, ref: FieldRef, op: TextOp, value: object, path: str) -> Filter:
        return self.finish(Text(ref, op, self._checked(text, value, path)), path)

    def _exists(self, ref: FieldRef, value: object, path: str) -> Filter:
        if not isinstance(value, bool):
            self._refuse(path, f"$exists takes true or false, got {describe(value)}")
        leaf = self.finish(Exists(ref), path)
        return leaf if value else ~leaf

    def _checked(self, check: Callable[[object], T], value: object, path: str) -> T:
        try:
            return check(value)
        except ValueError as error:
            raise InvalidFilter(f"{self.subject} at {path}: {error}") from error

    def _mapping(self, where: object, path: str, depth: int) -> Mapping[str, object]:
        if depth > MAX_DEPTH:
            raise InvalidFilter(f"{self.subject}: nested more than {MAX_DEPTH} levels deep; flatten it")
        if not isinstance(where, Mapping) or not where:
            self._refuse(path, f"expected a dict with at least one condition, got {describe(where)}")
        for key in where:
            if not isinstance(key, str) or not key:
                self._refuse(path, f"field names and operators are non-empty strings, got {describe(key)}")
        return where

    def _unknown_operator(self, name: str, path: str, known: Sequence[str]) -> NoReturn:
        hint = suggestion(name if name.startswith("$") else f"${name}", known)
        self._refuse(path, f"unknown operator {name!r}; {hint}Operators here: {', '.join(known)}")

    def _refuse(self, path: str, problem: str) -> NoReturn:
        raise InvalidFilter(f"{self.subject}{f' at {path}' if path else ''}: {problem}")


def _leaf_to_dict(leaf: Leaf) -> _Node:
    if leaf.field == ID_FIELD:
        return {_ID: _operation(leaf)}
    if leaf.field.scope == "system":
        raise InvalidFilter(
            f"filter on nestvec's own field {leaf.field.name!r} has no dict form; convert only the rest"
        )
    return {leaf.field.name: _operation(leaf)}


def _operation(leaf: Leaf) -> _Node:
    match leaf:
        case Compare():
            return {str(leaf.op): jsonable(leaf.value)}
        case Exists():
            return {"$exists": True}
        case Text():
            return {str(leaf.op): leaf.value}
        case ContainsAny(values=(value,)):
            return {"$contains": jsonable(value)}
        case In():
            name = "$in"
        case ContainsAny():
            name = "$contains_any"
        case ContainsAll():
            name = "$contains_all"
    return {name: [jsonable(value) for value in leaf.values]}


def _not_to_dict(child: _Node) -> _Node:
    """Spell the complement of a leaf as one operator where there is one."""
    ((name, operation),) = child.items()
    match operation:
        case {"$eq": value}:
            return {name: {"$ne": value}}
        case {"$in": values}:
            return {name: {"$nin": values}}
        case {"$exists": True}:
            return {name: {"$exists": False}}
    return {"$not": child}
