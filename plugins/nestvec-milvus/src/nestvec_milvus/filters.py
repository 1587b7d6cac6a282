"""Filters as Milvus's boolean expressions; see `nestvec_milvus.layout` for the columns.

A comparison is joined with "the field is present" wherever it could be true of a missing field's default, or
could be neither true nor false; the negation of both is written out. So nothing depends on how a server's
`not` treats what is missing.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Final, TypeAlias

from nestvec.errors import Unsupported
from nestvec.filters import (
    And,
    Compare,
    ContainsAll,
    ContainsAny,
    Exists,
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
from nestvec_milvus import layout
from nestvec_milvus.literals import Value, Values
from nestvec_milvus.places import OWN_KEY, Key, Place

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_SYMBOL: Final = {Op.EQ: "==", Op.GT: ">", Op.GTE: ">=", Op.LT: "<", Op.LTE: "<="}
_HOLDS: Final[Mapping[Op, Callable[[Any, Any], bool]]] = {
    Op.EQ: operator.eq,
    Op.GT: operator.gt,
    Op.GTE: operator.ge,
    Op.LT: operator.lt,
    Op.LTE: operator.le,
}
_DEFAULT: Final[Mapping[FieldType, Value]] = {
    FieldType.KEYWORD: "",
    FieldType.INTEGER: 0,
    FieldType.FLOAT: 0.0,
    FieldType.BOOLEAN: False,
    FieldType.DATETIME: 0,
}
_SYSTEM: Final = frozenset({layout.DOCUMENT_ID, layout.CHUNK, layout.LAYOUT})
#: No literal can be this number: the sign is not part of it, and the rest is out of range.
_LOWEST: Final = -(2**63)


@dataclass(frozen=True, slots=True)
class Expression:
    """A boolean expression and the values of its template. The empty one selects everything."""

    text: str = ""
    template: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Condition:
    """A comparison, and the condition under which it counts: None for always."""

    text: str
    present: str | None = None

    @property
    def positive(self) -> str:
        return self.text if self.present is None else f"({self.present} and {self.text})"

    @property
    def negative(self) -> str:
        denied = f"not ({self.text})"
        return denied if self.present is None else f"(not ({self.present}) or {denied})"


class _Native(_Condition):
    """On a foreign value: nothing is true of a missing one, so only the negation asks for it."""

    __slots__ = ()

    @property
    def positive(self) -> str:
        return self.text


Typed: TypeAlias = Mapping[str, FieldType]
_NOWHERE: Final[Mapping[str, Place]] = {}


def compile_filter(
    where: Filter | None,
    typed: Typed,
    values: Values,
    *,
    tenant: str | None = None,
    after: str | None = None,
    others: Sequence[str] = (),
    key: Key = OWN_KEY,
    places: Mapping[str, Place] = _NOWHERE,
) -> Expression:
    """A resolved filter, the tenant's condition, and "behind this id", as one expression.

    Records of the tenants `others` are left out.
    `typed` are the fields with a column; `places` those of somebody else's collection, with its `key`. Raises
    `Unsupported` for system fields that have no column, and for what Milvus can not compare.
    """
    parts, compiler = [], _Compiler(typed, values, key, places)
    if tenant is not None:
        parts.append(f"{layout.TENANT} == {values.one(layout.without_nul(tenant))}")
    if others:
        parts.append(f"not ({layout.TENANT} in {values.several([layout.without_nul(each) for each in others])})")
    if after is not None:
        parts.append(compiler.behind(after))
    if where is not None:
        parts.append(compiler.text(push_negations(where)))
    return Expression(" and ".join(parts), values.template)


@dataclass(frozen=True, slots=True)
class _Compiler:
    typed: Typed
    values: Values
    key: Key
    places: Mapping[str, Place]

    def text(self, node: Filter) -> str:
        """As few parentheses as possible: parsers recurse several times for each of them."""
        if isinstance(node, And | Or):
            joint = " and " if isinstance(node, And) else " or "
            return f"({joint.join(self.text(child) for child in node.children)})"
        if isinstance(node, Not):
            return self._leaf(as_leaf(node.child)).negative
        return self._leaf(as_leaf(node)).positive

    def _leaf(self, leaf: Leaf) -> _Condition:
        ref, kind = leaf.field, leaf.field.declared.type
        if ref.scope == "system":
            return self._scalar(leaf, _system_column(ref.name), kind, None)
        if ref.scope == "foreign":
            return self._native(leaf, self.places[ref.name])
        if isinstance(leaf, Exists):
            return _Condition(self._present(ref.name))
        if not ref.many and self.typed.get(ref.name) is kind:
            return self._scalar(leaf, layout.column_of(ref.name, kind), kind, ref.name)
        return _Condition(
            self._stored(leaf, f'{layout.METADATA}["{layout.identifier(ref.name)}"]'), self._present(ref.name)
        )

    def behind(self, after: str) -> str:
        """The condition that the key is greater. A key may be longer than what filters look for."""
        if self.key.numeric:
            return self.compared(self.key.column, Op.GT, int(after))
        return f"{self.key.column} > {self.values.one(after)}"

    def _native(self, leaf: Leaf, place: Place) -> _Condition:
        """On a column of somebody else's, or on a value in its JSON."""
        declared = leaf.field.declared
        if isinstance(leaf, Exists):
            return _Native(place.exists(self.key, many=declared.many), place.present)
        place.check(declared)
        if declared.type is FieldType.DATETIME:
            text = self._at_times(leaf, place.expression)
        elif place.field is None:
            text = self._stored(leaf, place.listed if declared.many else place.expression)
        elif isinstance(leaf, In):
            text = self._among(place.expression, [_plain(value) for value in leaf.values])
        else:
            text = self._stored(leaf, place.expression, "array_contains_any")
        return _Native(text, place.present)

    def _at_times(self, leaf: Leaf, column: str) -> str:
        """On a column of instants, which have literals of their own."""
        if isinstance(leaf, Compare):
            return f"{column} {_SYMBOL[leaf.op]} {_moment(leaf.value)}"
        if isinstance(leaf, In):
            return self._joined(" or ", [f"{column} == {_moment(value)}" for value in leaf.values])
        raise Unsupported(f"filter on {leaf.field.name!r}: Milvus can not look into lists of instants")

    def _present(self, name: str) -> str:
        return f"array_contains({layout.PRESENT}, {self.values.one(name)})"

    def _scalar(self, leaf: Leaf, column: str, kind: FieldType, name: str | None) -> _Condition:
        """On a column. The presence matters only where the default would satisfy the comparison, too."""
        default = _DEFAULT[kind]
        if isinstance(leaf, Compare):
            value = _indexed(leaf.value)
            text, doubtful = self.compared(column, leaf.op, value), _HOLDS[leaf.op](default, value)
        elif isinstance(leaf, In):
            wanted = [_indexed(value) for value in leaf.values]
            text, doubtful = self._among(column, wanted), default in wanted
        else:
            text, doubtful = self.key.everything if isinstance(leaf, Exists) else self.key.nothing, False
        return _Condition(text, self._present(name) if doubtful and name is not None else None)

    def _stored(self, leaf: Leaf, path: str, contains: str = "json_contains_any") -> str:
        """On the JSON metadata."""
        match leaf:
            case Compare():
                return self.compared(path, leaf.op, _plain(leaf.value))
            case In(values=given):
                return self._joined(" or ", [self.compared(path, Op.EQ, _plain(value)) for value in given])
            case ContainsAny(values=given):
                return self._holds(path, given, contains)
            case ContainsAll(values=given):
                return self._joined(" and ", [self._holds(path, [value], contains) for value in given])
            case Exists():
                raise AssertionError("handled by the caller")

    def compared(self, place: str, op: Op, value: Value) -> str:
        """One comparison with a value."""
        if isinstance(value, str) and not _fits(value):
            return self.key.nothing
        if isinstance(value, int) and value == _LOWEST:
            return self._lowest(place, op)
        return f"{place} {_SYMBOL[op]} {self.values.one(value)}"

    def _among(self, column: str, wanted: Sequence[Value]) -> str:
        """One of the values, in a column."""
        wanted = [value for value in wanted if not isinstance(value, str) or _fits(value)]
        special = [value for value in wanted if isinstance(value, int) and value == _LOWEST]
        usual = [value for value in wanted if value not in special] if special else wanted
        tests = [f"{column} in {self.values.several(usual)}"] if usual else []
        tests += [self._lowest(column, Op.EQ) for _ in special]
        return self._joined(" or ", tests)

    def _holds(self, path: str, given: Sequence[Scalar], contains: str) -> str:
        """The list in JSON has one of the values."""
        wanted = [value for value in map(_plain, given) if not isinstance(value, str) or _fits(value)]
        if _LOWEST in wanted:
            raise Unsupported(f"filter: no literal of Milvus can be {_LOWEST}, so it can not be looked for in lists")
        return f"{contains}({path}, {self.values.several(wanted)})" if wanted else self.key.nothing

    def _joined(self, joint: str, tests: Sequence[str]) -> str:
        if not tests:
            return self.key.nothing
        return f"({joint.join(tests)})" if len(tests) > 1 else tests[0]

    def _lowest(self, place: str, op: Op) -> str:
        """A comparison with the lowest integer of all, by way of the one above it."""
        above = _LOWEST + 1
        if op in (Op.GT, Op.GTE):
            return f"{place} >= {above}" if op is Op.GT else f"({place} >= {above} or {place} < {above})"
        return f"{place} < {above}" if op is not Op.LT else self.key.nothing


def _system_column(name: str) -> str:
    if name not in _SYSTEM:
        raise Unsupported(f"nestvec's own field {name!r} has no column in Milvus; known: {', '.join(sorted(_SYSTEM))}")
    return name


def _fits(value: str) -> bool:
    """Whether a stored string can be this one."""
    return len(value) <= layout.MAX_STRING_BYTES and len(value.encode()) <= layout.MAX_STRING_BYTES


def _indexed(value: Scalar) -> Value:
    """As stored in a column of its own."""
    return layout.without_nul(value) if isinstance(value, str) else _plain(value)


def _plain(value: Scalar) -> Value:
    """As stored: datetimes are microseconds, and there is one zero."""
    if isinstance(value, datetime):
        return microseconds(value)
    return 0.0 if isinstance(value, float) and value == 0 else value


def _moment(value: Scalar) -> str:
    assert isinstance(value, datetime)  # noqa: S101 - resolved
    return f"ISO '{value.astimezone(UTC).isoformat()}'"


def microseconds(moment: datetime) -> int:
    """Whole microseconds since 1970, UTC."""
    return (moment.astimezone(UTC) - _EPOCH) // timedelta(microseconds=1)
