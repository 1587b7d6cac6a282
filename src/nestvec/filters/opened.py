"""Filters on what is not declared: a path, and a type that is that of the values it is compared with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from nestvec.errors import InvalidFilter, InvalidInput
from nestvec.filters.tree import Compare, ContainsAll, ContainsAny, Exists, FieldRef, Filter, In, Leaf, Or, Text
from nestvec.paths import format_path, parse_path
from nestvec.types import FieldType, Scalar
from nestvec.values import describe

#: Integers between minus this and this are exact as floats.
_EXACT: Final = 2**53
#: What follows the path in the name under which a value is stored: one for each type, because a database compares a
#: number with a string in ways of its own.
_SUFFIXES: Final[Mapping[FieldType, str]] = {FieldType.KEYWORD: "", FieldType.FLOAT: "#", FieldType.BOOLEAN: "?"}
_OF_LISTS: Final = "[]"


def open_name(path: str, value: object) -> str | None:
    """Under which name a value that is not declared is stored, for filters; None: they cannot ask for it.

    >>> open_name("year", 2020), open_name("lang", "de"), open_name("tags", ["a"]), open_name("authors", [{}])
    ('year#', 'lang', 'tags[]', None)
    """
    match value:
        case bool():
            return path + _SUFFIXES[FieldType.BOOLEAN]
        case int() | float():
            return path + _SUFFIXES[FieldType.FLOAT]
        case str():
            return path
        case list() if value and all(isinstance(item, str) for item in value):
            return path + _OF_LISTS
    return None


def opened(leaf: Leaf, place: str) -> Filter:
    """A leaf on a path that is not declared: of the type of its values, which are to be checked yet."""
    try:
        path = format_path(parse_path(leaf.field.name))
    except InvalidInput as error:
        raise InvalidFilter(f"{place}: {error}") from error
    match leaf:
        case Exists():
            return Or.of(*(Exists(_open(path, kind)) for kind in _SUFFIXES), Exists(_open_list(path)))
        case Text():
            return replace(leaf, field=_open(path, FieldType.KEYWORD))
        case Compare():
            return replace(leaf, field=_open(path, _kind(leaf.value, place)))
        case In():
            return _by_kind(leaf, path, place)
        case ContainsAny() | ContainsAll():
            return _in_list(leaf, _open_list(path), place)


def _open(path: str, kind: FieldType) -> FieldRef:
    return FieldRef(path + _SUFFIXES[kind], kind)


def _open_list(path: str) -> FieldRef:
    return FieldRef(path + _OF_LISTS, FieldType.KEYWORD, many=True)


def _by_kind(leaf: In, path: str, place: str) -> Filter:
    """One of some values: of several types they are several leaves."""
    kinds = list(dict.fromkeys(_kind(value, place) for value in leaf.values)) or [FieldType.KEYWORD]
    parts = [(kind, [value for value in leaf.values if _kind(value, place) is kind]) for kind in kinds]
    return Or.of(*(In(_open(path, kind), tuple(values)) for kind, values in parts))


def _in_list(leaf: ContainsAny | ContainsAll, ref: FieldRef, place: str) -> Filter:
    if any(not isinstance(value, str) for value in leaf.values):
        raise InvalidFilter(f"{place}: only lists of strings can be looked into without a declared type; declare it")
    return replace(leaf, field=ref)


def _kind(value: Scalar, place: str) -> FieldType:
    match value:
        case bool():
            return FieldType.BOOLEAN
        case str():
            return FieldType.KEYWORD
        case int() if abs(value) > _EXACT:
            raise InvalidFilter(f"{place}: {describe(value)} is exact in a declared field alone; declare it an integer")
        case int() | float():
            return FieldType.FLOAT
    raise InvalidFilter(f'{place}: instants are compared in declared fields alone; declare this one as a "datetime"')
