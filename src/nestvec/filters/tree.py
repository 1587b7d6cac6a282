"""The filter tree: immutable nodes, and what adapters need to compile them.

`And`, `Or` and `Not` join the leaves `Compare`, `In`, `ContainsAny`, `ContainsAll`, `Text` and `Exists`. There is
no "not equal": it is `Not(Compare(field, Op.EQ, value))`, so that complements stay exact.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal, TypeAlias, TypeVar

from nestvec.errors import InvalidFilter
from nestvec.filters.operations import Op, TextOp
from nestvec.types import Field, FieldType, Scalar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

T = TypeVar("T")

#: How deeply conditions may be nested; far more than anybody writes, far less than Python's stack holds.
MAX_DEPTH: Final = 64

Scope: TypeAlias = Literal["metadata", "system", "foreign"]


class FilterTruthError(InvalidFilter, TypeError):
    """A filter or field was used with `and`, `or`, `not`, `if`, `in`, or in a chained comparison."""


def no_truth(what: str) -> FilterTruthError:
    """What `__bool__` of filters and fields raises."""
    return FilterTruthError(
        f"{what} has no truth value. Combine filters with & | ~ instead of and, or, not; write "
        "(F.x > 1) & (F.x < 9) instead of 1 < F.x < 9, and F.x.in_([...]) instead of `in`. "
        "To test whether a filter was given, use `is not None`."
    )


@dataclass(frozen=True, slots=True)
class FieldRef:
    """Names the field of a leaf.

    `type` is None until `resolve` has looked the field up. Scope "system" marks nestvec's own bookkeeping,
    which lives beside the user's metadata and may carry the same names; scope "foreign" a name of somebody
    else's records, as the backend has it.
    """

    name: str
    type: FieldType | None = None
    many: bool = False
    scope: Scope = "metadata"

    @property
    def declared(self) -> Field:
        """The field's declaration. Raises `InvalidFilter` before the filter is resolved."""
        if self.type is None:
            raise InvalidFilter(
                f"filter on field {self.name!r}: its type is unknown; call resolve(filter, fields) first"
            )
        return Field(self.type, self.many)


class Filter:
    """A condition on records. Combine with `&`, `|` and `~`; compare with `==` for structural equality.

    Example:
        >>> docs.count(~(F.lang == "de") | (F.year == 2022))
        3
    """

    __slots__ = ()

    @property
    def depth(self) -> int:
        """Levels of nesting; 1 for a leaf."""
        return 1

    def __and__(self, other: Filter) -> Filter:
        return And.of(self, other) if isinstance(other, Filter) else NotImplemented

    def __or__(self, other: Filter) -> Filter:
        return Or.of(self, other) if isinstance(other, Filter) else NotImplemented

    def __invert__(self) -> Filter:
        return Not(self)

    def __bool__(self) -> bool:
        raise no_truth("a filter")

    def to_dict(self) -> dict[str, object]:
        """The dict form. (A filter on nestvec's own bookkeeping has none: `InvalidFilter`.)

        Returns:
            Plain values, which all calls take as a filter, too.

        Example:
            >>> ((F.lang == "de") & (F.year >= 2020)).to_dict()
            {'$and': [{'lang': {'$eq': 'de'}}, {'year': {'$gte': 2020}}]}
        """
        from nestvec.filters.mongo import to_dict

        return to_dict(self)


@dataclass(frozen=True, slots=True)
class _Junction(Filter):
    """Shared by `And` and `Or`; at least one child."""

    children: tuple[Filter, ...]
    depth: int = dataclasses.field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "children", tuple(self.children))
        if not self.children:
            raise InvalidFilter(
                f"{type(self).__name__} needs at least one condition; pass no filter to select everything"
            )
        object.__setattr__(self, "depth", _depth_above(self.children))

    @classmethod
    def of(cls, *filters: Filter) -> Filter:
        """Join filters; nested ones of the same kind are merged, a single one is returned as it is."""
        flat: list[Filter] = []
        for each in filters:
            flat.extend(each.children if isinstance(each, cls) else (each,))
        return flat[0] if len(flat) == 1 else cls(tuple(flat))


@dataclass(frozen=True, slots=True)
class And(_Junction):
    """True where all children are."""


@dataclass(frozen=True, slots=True)
class Or(_Junction):
    """True where at least one child is."""


@dataclass(frozen=True, slots=True)
class Not(Filter):
    """True exactly where the child is false, missing fields included."""

    child: Filter
    depth: int = dataclasses.field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "depth", _depth_above((self.child,)))

    def __invert__(self) -> Filter:
        return self.child


@dataclass(frozen=True, slots=True)
class Compare(Filter):
    """Field against one value. False where the field is missing."""

    field: FieldRef
    op: Op
    value: Scalar


@dataclass(frozen=True, slots=True)
class _Values(Filter):
    field: FieldRef
    values: tuple[Scalar, ...]


@dataclass(frozen=True, slots=True)
class In(_Values):
    """The field equals one of the values. Without values: false."""


@dataclass(frozen=True, slots=True)
class ContainsAny(_Values):
    """The list holds at least one of the values. Without values: false."""


@dataclass(frozen=True, slots=True)
class ContainsAll(_Values):
    """The list holds every value. After `resolve` there are at least two."""


@dataclass(frozen=True, slots=True)
class Text(Filter):
    """The string begins with, holds or ends with another; upper and lower case differ. False where it is missing."""

    field: FieldRef
    op: TextOp
    value: str


@dataclass(frozen=True, slots=True)
class Exists(Filter):
    """The field is there: not absent, not null, not an empty list."""

    field: FieldRef


Leaf: TypeAlias = Compare | In | ContainsAny | ContainsAll | Text | Exists


def _depth_above(children: Sequence[Filter]) -> int:
    for child in children:
        if not isinstance(child, Filter):
            raise InvalidFilter(f"a filter can only be made of filters, got {type(child).__name__}")
    depth = 1 + max(child.depth for child in children)
    if depth > MAX_DEPTH:
        raise InvalidFilter(f"the filter is nested more than {MAX_DEPTH} levels deep; flatten it")
    return depth


def all_of(*filters: Filter | None) -> Filter | None:
    """Join with AND what is not None. None, which selects everything, where nothing is left."""
    given = [each for each in filters if each is not None]
    return And.of(*given) if given else None


def any_of(*filters: Filter) -> Filter:
    """Join with OR. Raises `InvalidFilter` without any."""
    return Or.of(*filters)


def fold(
    where: Filter,
    *,
    leaf: Callable[[Leaf], T],
    and_: Callable[[list[T]], T],
    or_: Callable[[list[T]], T],
    not_: Callable[[T], T],
) -> T:
    """Compute something from the leaves up, such as a backend's own filter.

    `and_` and `or_` get one result for each child, at least one.
    """

    def visit(node: Filter) -> T:
        if isinstance(node, And):
            return and_([visit(child) for child in node.children])
        if isinstance(node, Or):
            return or_([visit(child) for child in node.children])
        if isinstance(node, Not):
            return not_(visit(node.child))
        return leaf(as_leaf(node))

    return visit(where)


def as_leaf(node: Filter) -> Leaf:
    """The node as one of the six leaves. Raises `InvalidFilter` for any other class."""
    if isinstance(node, Compare | In | ContainsAny | ContainsAll | Text | Exists):
        return node
    raise InvalidFilter(f"{type(node).__name__} is not a kind of filter that nestvec knows; build it with F")


def leaves(where: Filter) -> Iterator[Leaf]:
    """Every leaf, from left to right."""
    if isinstance(where, And | Or):
        for child in where.children:
            yield from leaves(child)
    elif isinstance(where, Not):
        yield from leaves(where.child)
    else:
        yield as_leaf(where)


def rebuild(where: Filter, leaf: Callable[[Leaf], Filter]) -> Filter:
    """The same tree with other leaves; nested ANDs and ORs are merged, double negations dropped."""
    return fold(
        where,
        leaf=leaf,
        and_=lambda children: And.of(*children),
        or_=lambda children: Or.of(*children),
        not_=_negate,
    )


def push_negations(where: Filter) -> Filter:
    """An equivalent tree in which `Not` wraps nothing but leaves.

    For engines whose comparisons with a missing field are neither true nor false: compile `Not(leaf)` to
    "the field is missing or the opposite holds", every other leaf to itself, and the complement is exact.
    """
    return _push(where, negated=False)


def _push(node: Filter, *, negated: bool) -> Filter:
    if isinstance(node, Not):
        return _push(node.child, negated=not negated)
    if isinstance(node, And | Or):
        children = [_push(child, negated=negated) for child in node.children]
        conjunction = isinstance(node, And) is not negated
        return And.of(*children) if conjunction else Or.of(*children)
    return Not(node) if negated else node


def _negate(node: Filter) -> Filter:
    return ~node
