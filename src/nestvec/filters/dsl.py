"""`F`: filters in Python's own operators.

    (F.lang == "de") & ~F.tags.contains("draft") & (F["publication year"] >= 2020)

Each comparison needs its parentheses, because `&` and `|` bind more tightly than `==`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NoReturn

from nestvec.errors import InvalidFilter
from nestvec.filters.resolve import check_leaf
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
    check_name,
    no_truth,
)
from nestvec.values import scalar, scalars

if TYPE_CHECKING:
    from nestvec.types import FieldType, Scalar


class FieldExpression:
    """A field, waiting to be compared. Not a filter by itself, and not hashable.

    All methods return a `Filter` and raise `InvalidFilter` for None and for what can not be a value. The
    types of values are checked against the declared fields when the filter is used.
    """

    __slots__ = ("_ref",)
    # Comparing makes filters, so fields can not be keys of dicts or members of sets.
    __hash__ = None  # type: ignore[assignment]

    def __init__(self, ref: FieldRef) -> None:
        self._ref = ref

    # `==` builds a filter instead of a bool: the purpose of this class, though object promises a bool.
    def __eq__(self, other: object) -> Filter:  # type: ignore[override]
        return self._compare(Op.EQ, other)

    def __ne__(self, other: object) -> Filter:  # type: ignore[override]
        return ~self._compare(Op.EQ, other)

    def __lt__(self, other: object) -> Filter:
        return self._compare(Op.LT, other)

    def __le__(self, other: object) -> Filter:
        return self._compare(Op.LTE, other)

    def __gt__(self, other: object) -> Filter:
        return self._compare(Op.GT, other)

    def __ge__(self, other: object) -> Filter:
        return self._compare(Op.GTE, other)

    def in_(self, values: object) -> Filter:
        """The field equals one of the values (any iterable but a string). An empty list: false."""
        return self._finish(In(self._ref, self._values(values)))

    def not_in(self, values: object) -> Filter:
        """The complement of `in_`: also true where the field is missing."""
        return ~self.in_(values)

    def exists(self) -> Filter:
        """The field is there: not absent, not null, not an empty list."""
        return Exists(self._ref)

    def contains(self, value: object) -> Filter:
        """The list field holds the value."""
        return self._finish(ContainsAny(self._ref, (self._value(value),)))

    def contains_any(self, values: object) -> Filter:
        """The list field holds at least one of the values. An empty list: false."""
        return self._finish(ContainsAny(self._ref, self._values(values)))

    def contains_all(self, values: object) -> Filter:
        """The list field holds every value. An empty list: true where the field exists."""
        return self._finish(ContainsAll(self._ref, self._values(values)))

    def __bool__(self) -> bool:
        raise no_truth("a field")

    def __contains__(self, value: object) -> bool:
        raise InvalidFilter(f"{self._place}: `{value!r} in {self!r}` makes no filter; use .contains(...)")

    def __invert__(self) -> NoReturn:
        self._refuse_alone()

    def __and__(self, other: object) -> NoReturn:
        self._refuse_alone()

    __rand__ = __or__ = __ror__ = __and__

    def __repr__(self) -> str:
        name = self._ref.name
        if self._ref.scope == "system":
            return f"system({name!r})"
        return f"F.{name}" if name.isidentifier() else f"F[{name!r}]"

    @property
    def _place(self) -> str:
        return f"filter on field {self._ref.name!r}"

    def _refuse_alone(self) -> NoReturn:
        raise InvalidFilter(
            f"{self._place}: a field alone is no filter. Compare it, and put each comparison in parentheses: "
            f"({self!r} == value) & (...); for a boolean write {self!r} == True"
        )

    def _compare(self, op: Op, value: object) -> Filter:
        return self._finish(Compare(self._ref, op, self._value(value)))

    def _value(self, value: object) -> Scalar:
        try:
            return scalar(value)
        except ValueError as error:
            raise InvalidFilter(f"{self._place}: {error}") from error

    def _values(self, values: object) -> tuple[Scalar, ...]:
        try:
            return scalars(values)
        except ValueError as error:
            raise InvalidFilter(f"{self._place}: {error}") from error

    def _finish(self, leaf: Leaf) -> Filter:
        """Check now what can be: fields of known type, that is, nestvec's own."""
        return leaf if self._ref.type is None else check_leaf(leaf, self._ref, self._place)


class _Fields:
    """Makes field expressions out of names."""

    __slots__ = ()
    __iter__ = None  # or Python would count through F[0], F[1], ...

    def __getattr__(self, name: str) -> FieldExpression:
        if name.startswith("_"):  # Python and its tools ask every object for such names
            raise AttributeError(f'for a field of this name write F["{name}"]')
        return self[name]

    def __getitem__(self, name: str) -> FieldExpression:
        return FieldExpression(FieldRef(check_name(name)))

    def __repr__(self) -> str:
        return "F"

    def __reduce__(self) -> str:
        return "F"


#: `F.year`, or `F["any name"]`: the start of every filter.
F: Final = _Fields()


def system(name: str, kind: FieldType, *, many: bool = False) -> FieldExpression:
    """A field of nestvec's own bookkeeping, as in `system("chunk", FieldType.INTEGER) == 0`.

    Its filters are resolved from the start: types are checked on the spot, `resolve` leaves them alone.
    They have no dict form.
    """
    return FieldExpression(FieldRef(check_name(name), kind, many, "system"))
