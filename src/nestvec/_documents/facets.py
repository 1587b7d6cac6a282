"""What values a field has in the stored documents: how often each, and from which to which."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, cast

from nestvec._collections.opening import HEADS, OpenCollection, Target, checked_filter, foreign_filter, on_target
from nestvec._metadata import restore_types
from nestvec._session.answers import pages
from nestvec.contract import Scroll
from nestvec.errors import InvalidFilter, InvalidInput
from nestvec.filters import F, all_of
from nestvec.paths import parse_path
from nestvec.types import Scalar

if TYPE_CHECKING:
    from nestvec.filters import Filter, FilterLike
    from nestvec.types import Record

_PAGE = 1000


@dataclass(frozen=True, slots=True)
class ValueCount:
    """A value of a field, and how many documents have it.

    Attributes:
        value: The value, of the field's type.
        documents: How many documents have it.
    """

    value: Scalar
    documents: int


async def distinct(
    collection: OpenCollection, field: str, where: FilterLike | None, limit: int | None
) -> tuple[ValueCount, ...]:
    """The values of a field, most frequent first; 1, 1.0 and True are three."""
    if limit is not None and (isinstance(limit, bool) or not isinstance(limit, int) or limit < 1):
        raise InvalidInput(f"limit must be a whole number of at least 1, not {limit!r}")

    async def use(target: Target) -> tuple[ValueCount, ...]:
        counts: Counter[tuple[str, Scalar]] = Counter()
        async for values in _values(collection, target, field, resolved):
            counts.update({(type(value).__name__, value) for value in values})
        ranked = sorted(counts.items(), key=lambda item: (-item[1], item[0][0], cast(Any, item[0][1])))
        return tuple(ValueCount(value, documents) for (_, value), documents in ranked[:limit])

    resolved = _checked(collection, field, where)
    return await on_target(collection, use)


async def value_range(collection: OpenCollection, field: str, where: FilterLike | None) -> tuple[Scalar, Scalar] | None:
    """The least and the greatest value; None where there is none. Numbers, instants and strings are not compared."""

    async def use(target: Target) -> tuple[Scalar, Scalar] | None:
        least: Any = None
        greatest: Any = None
        async for values in _values(collection, target, field, resolved):
            for value in values:
                _require_comparable(field, least, value)
                least = value if least is None or value < least else least
                greatest = value if greatest is None or value > greatest else greatest
        return None if least is None else (least, greatest)

    resolved = _checked(collection, field, where)
    return await on_target(collection, use)


def _checked(collection: OpenCollection, field: str, where: FilterLike | None) -> Filter | None:
    """The filter, and that the field has a value at all. Raises `InvalidFilter` for a field that cannot be filtered."""
    if not isinstance(field, str) or not field:
        raise InvalidFilter(f"a field is named by a non-empty string, not {field!r:.80}")
    return all_of(checked_filter(collection, where), checked_filter(collection, F[field].exists()))


async def _values(
    collection: OpenCollection, target: Target, field: str, where: Filter | None
) -> AsyncIterator[Iterable[Scalar]]:
    """The values of each document that matches."""
    chosen = foreign_filter(target, where) if target.foreign is not None else all_of(HEADS, where)
    async for batch in pages(collection.records, Scroll(target.physical, chosen, _PAGE)):
        for record in batch.records:
            yield _of(collection, field, record)


def _of(collection: OpenCollection, field: str, record: Record) -> Iterable[Scalar]:
    fields = collection.spec.fields
    if field in fields:
        value = restore_types(record.metadata, fields).get(field)
    else:
        value = collection.spec.projection.given(record.metadata)
        for key in parse_path(field):
            value = value.get(key) if isinstance(value, dict) else None
    values = value if isinstance(value, list) else [value]
    return [each for each in values if isinstance(each, str | int | float | datetime)]


def _require_comparable(field: str, one: Scalar | None, other: Scalar) -> None:
    if one is not None and _kind(one) != _kind(other):
        raise InvalidInput(
            f"field {field!r} has values of several types ({_kind(one)} and {_kind(other)}), which have no order; "
            f"declare the field, or narrow it down with a filter"
        )


def _kind(value: Scalar) -> str:
    if isinstance(value, bool):
        return "boolean"
    return "number" if isinstance(value, int | float) else "string" if isinstance(value, str) else "datetime"
