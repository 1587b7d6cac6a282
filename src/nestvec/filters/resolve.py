"""Checking a filter against the declared fields, before anything is sent anywhere."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Final, TypeAlias

from nestvec.errors import InvalidFilter
from nestvec.filters.mongo import FilterLike, Parser, suggestion
from nestvec.filters.tree import (
    Compare,
    ContainsAll,
    ContainsAny,
    Exists,
    FieldRef,
    Filter,
    In,
    Leaf,
    Op,
    rebuild,
)
from nestvec.types import Field, FieldType, Scalar
from nestvec.values import coerce, unique

#: A filter as `resolve` returns it: every leaf carries its field's type and values of exactly that type.
ResolvedFilter: TypeAlias = Filter

_UNORDERED: Final = frozenset({FieldType.KEYWORD, FieldType.BOOLEAN})


def resolve(
    where: FilterLike | None, fields: Mapping[str, Field], *, collection: str | None = None
) -> ResolvedFilter | None:
    """Check a filter or its dict form against the declared fields, and give every leaf its type.

    Returns None for no filter (None or `{}`). Values are converted to what the field holds, nested ANDs and
    ORs are merged, `contains_all` of no value becomes `exists`, of one value `contains`. Leaves on nestvec's
    own fields stay as they are. Resolving twice changes nothing.

    Raises `InvalidFilter` for undeclared fields, operators that do not fit the field, values of another
    type, and trees deeper than `MAX_DEPTH`; the message names the place and, where given, the collection.
    """
    subject = "filter" if collection is None else f"filter for collection {collection!r}"
    if where is None:
        return None
    if isinstance(where, Filter):
        return rebuild(where, lambda leaf: _resolved(leaf, fields, f"{subject} on field {leaf.field.name!r}"))
    if isinstance(where, Mapping):
        parser = Parser(lambda leaf, path: _resolved(leaf, fields, f"{subject} at {path}"), subject)
        return parser.parse(where)
    raise InvalidFilter(
        f"{subject}: expected a comparison such as F.lang == 'de', or a dict, got {type(where).__name__}"
    )


def to_foreign(where: ResolvedFilter | None, names: Mapping[str, str]) -> ResolvedFilter | None:
    """A resolved filter on somebody else's records: each declared field under the name that they give it."""
    if where is None:
        return None
    return rebuild(where, lambda leaf: replace(leaf, field=_foreign(leaf.field, names)))


def _foreign(ref: FieldRef, names: Mapping[str, str]) -> FieldRef:
    return replace(ref, name=names[ref.name], scope="foreign") if ref.scope == "metadata" else ref


def check_leaf(leaf: Leaf, ref: FieldRef, place: str) -> Filter:
    """The leaf on a field of known type, with values of that type. `place` begins the error message."""
    problem = _misfit(leaf, ref.declared)
    if problem:
        raise InvalidFilter(f"{place}: {problem}")
    try:
        return _typed(leaf, ref)
    except ValueError as error:
        raise InvalidFilter(f"{place} ({ref.declared}): {error}") from error


def _resolved(leaf: Leaf, fields: Mapping[str, Field], place: str) -> Filter:
    ref = leaf.field
    if ref.scope != "metadata":
        return leaf
    field = fields.get(ref.name)
    if field is None:
        raise InvalidFilter(f"{place}: {_undeclared(ref.name, fields)}")
    return check_leaf(leaf, FieldRef(ref.name, field.type, field.many), place)


def _undeclared(name: str, fields: Mapping[str, Field]) -> str:
    if not fields:
        return f"unknown field {name!r}; the collection declares no fields, so it can not be filtered"
    hint = suggestion(name, list(fields))
    return f"unknown field {name!r}; {hint}Declared fields: {', '.join(sorted(fields))}"


def _misfit(leaf: Leaf, field: Field) -> str | None:
    """Why the operator does not fit the field, or None."""
    match leaf:
        case Exists():
            return None
        case Compare() if field.many:
            return f"a list ({field}) can not be compared as one value; use .contains(...) / $contains"
        case Compare(op=op) if op is not Op.EQ and field.type in _UNORDERED:
            return f"{field} fields have no order that is the same everywhere, so no {op}; use == or in_ / $in"
        case In() if field.many:
            return f"a list ({field}) can not be compared as one value; use .contains_any(...) / $contains_any"
        case ContainsAny() | ContainsAll() if not field.many:
            return f"{field} is one value, not a list; use == / $eq or in_ / $in instead of contains"
    return None


def _typed(leaf: Leaf, ref: FieldRef) -> Filter:
    match leaf:
        case Exists():
            return Exists(ref)
        case Compare():
            return replace(leaf, field=ref, value=coerce(leaf.value, ref.declared.type))
        case ContainsAll():
            return _contains_all(ref, _coerced(leaf.values, ref))
    return replace(leaf, field=ref, values=_coerced(leaf.values, ref))


def _contains_all(ref: FieldRef, values: tuple[Scalar, ...]) -> Filter:
    if not values:
        return Exists(ref)
    return ContainsAll(ref, values) if len(values) > 1 else ContainsAny(ref, values)


def _coerced(values: tuple[Scalar, ...], ref: FieldRef) -> tuple[Scalar, ...]:
    return unique(coerce(value, ref.declared.type) for value in values)
