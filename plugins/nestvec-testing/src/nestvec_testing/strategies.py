"""Hypothesis strategies for metadata and filters that fit declared fields.

Values come from small pools, so that filters and records meet; the pools hold what breaks quoting, number
conversion and time zones.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from hypothesis import strategies as st

from nestvec.filters import And, F, Filter, Or
from nestvec.types import Field, FieldType, MetadataValue, Scalar

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_Leaf: TypeAlias = st.SearchStrategy[Filter]

POOLS: Final[Mapping[FieldType, tuple[Scalar, ...]]] = {
    FieldType.KEYWORD: (
        "a", "b", "de", "", " a ", "A", "true", "0", "it's", 'say "no"', "back\\slash", "100%_", "{x}",
        "a\nb", "Straße", "東京", "👋🏽", '" or 1 == 1 or "',
    ),
    FieldType.INTEGER: (-1, 0, 1, 2, 2020, -(2**31), 2**31, 2**53 - 1, -(2**53) + 1),
    FieldType.FLOAT: (-1.5, -0.0, 0.0, 0.1, 0.5, 1.0, 2.0, 1e-9, 1e12),
    FieldType.BOOLEAN: (True, False),
    FieldType.DATETIME: (
        datetime(1969, 12, 31, 23, 59, 59, 999999, tzinfo=UTC),
        datetime(2024, 2, 29, tzinfo=UTC),
        datetime(2024, 2, 29, 1, tzinfo=timezone(timedelta(hours=1))),  # the same instant
        datetime(2024, 2, 29, 0, 0, 0, 1, tzinfo=UTC),
        datetime(2026, 6, 1, 12, 30, tzinfo=timezone(-timedelta(hours=3, minutes=30))),
    ),
}  # fmt: skip

_RANGES: Final = (FieldType.INTEGER, FieldType.FLOAT, FieldType.DATETIME)
_COMPARISONS: Final[tuple[Callable[[Any, Scalar], Filter], ...]] = (
    lambda field, value: field < value,
    lambda field, value: field <= value,
    lambda field, value: field > value,
    lambda field, value: field >= value,
)


def values_for(field: Field) -> st.SearchStrategy[MetadataValue]:
    """A value that the field can hold; for a list field a list, at times empty, at times with repetitions."""
    one = st.sampled_from(POOLS[field.type])
    return st.lists(one, max_size=4) if field.many else one


def metadata_for(fields: Mapping[str, Field]) -> st.SearchStrategy[dict[str, MetadataValue]]:
    """Metadata with each declared field present or missing."""
    return st.fixed_dictionaries({}, optional={name: values_for(field) for name, field in fields.items()})


def filters_for(fields: Mapping[str, Field], *, max_leaves: int = 8) -> st.SearchStrategy[Filter]:
    """Unresolved filters on the declared fields, of every operator that fits. Needs at least one field."""
    if not fields:
        raise ValueError("filters_for needs at least one declared field")
    leaf = st.one_of([_leaves(name, field) for name, field in fields.items()])
    return st.recursive(leaf, _nested, max_leaves=max_leaves)


def _nested(inner: _Leaf) -> _Leaf:
    several = st.lists(inner, min_size=2, max_size=3)
    return st.one_of(
        inner.map(lambda child: ~child),
        several.map(lambda children: And.of(*children)),
        several.map(lambda children: Or.of(*children)),
    )


def _leaves(name: str, field: Field) -> _Leaf:
    exists = st.just(F[name].exists())
    return exists | (_on_list(name, field.type) if field.many else _on_value(name, field.type))


def _on_list(name: str, kind: FieldType) -> _Leaf:
    one = st.sampled_from(POOLS[kind])
    several = st.lists(one, max_size=3)
    return st.one_of(
        one.map(lambda value: F[name].contains(value)),
        several.map(lambda values: F[name].contains_any(values)),
        several.map(lambda values: F[name].contains_all(values)),
    )


def _on_value(name: str, kind: FieldType) -> _Leaf:
    one = st.sampled_from(POOLS[kind])
    several = st.lists(one, max_size=3)
    equalities = st.one_of(
        one.map(lambda value: F[name] == value),
        one.map(lambda value: F[name] != value),
        several.map(lambda values: F[name].in_(values)),
        several.map(lambda values: F[name].not_in(values)),
    )
    if kind not in _RANGES:
        return equalities
    return equalities | st.builds(lambda compare, value: compare(F[name], value), st.sampled_from(_COMPARISONS), one)
