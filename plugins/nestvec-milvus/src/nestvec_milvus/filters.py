"""Filters as Milvus's boolean expressions; see `nestvec_milvus.schema` for the columns.

A comparison is joined with "the field is present" wherever it could be true of a missing field's default, or
could be neither true nor false; the negation of both is written out. So nothing depends on how a server's
`not` treats what is missing.

Values are written so that none can become syntax. Servers of 2.5 and later take values beside the expression, as the
values of a template. Older ones get literals. Milvus Lite and servers escape differently: Lite knows no octal escapes,
and servers of 2.4 expand `\\uXXXX` before they look for quotes, so no literal may hold one. Hence every byte that is
not plain is written in octal there.
"""

from __future__ import annotations

import operator
from abc import ABC, abstractmethod
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
    Text,
    TextOp,
    push_negations,
)
from nestvec.filters.tree import as_leaf
from nestvec.types import FieldType, Scalar
from nestvec_milvus import schema
from nestvec_milvus.adopt import ColumnPath
from nestvec_milvus.client import schemas
from nestvec_milvus.options import MAX_STRING_BYTES
from nestvec_milvus.schema import OWN_KEY, PrimaryKey
from nestvec_milvus.server import ServerVersion

Value: TypeAlias = str | bool | int | float

_LITE_ESCAPES: Final = str.maketrans({"\\": "\\\\", '"': '\\"', "\n": "\\n", "\r": "\\r", "\t": "\\t"})
_SAFE: Final = frozenset(range(0x20, 0x7F)) - set(b"\\\"'")
_OCTAL: Final = {byte: chr(byte) if byte in _SAFE else f"\\{byte:03o}" for byte in range(256)}


def quote(text: str, server: ServerVersion) -> str:
    """A string literal.

    >>> quote('say "é"', ServerVersion("v2.3.5", (2, 3)))
    '"say \\\\042\\\\303\\\\251\\\\042"'
    """
    if server.lite:
        return f'"{text.translate(_LITE_ESCAPES)}"'
    return '"' + "".join(map(_OCTAL.__getitem__, text.encode())) + '"'


class Values(ABC):
    """Collects the values of one expression. `one` and `several` return what stands for them in it."""

    def __init__(self, server: ServerVersion) -> None:
        self.server = server

    @abstractmethod
    def one(self, value: Value) -> str:
        """A single value."""

    @abstractmethod
    def several(self, values: Sequence[Value]) -> str:
        """A list of values of one type, at least one."""

    @abstractmethod
    def literal(self, text: str) -> str:
        """A string in the expression itself, such as a pattern."""

    @property
    def template(self) -> Mapping[str, Any]:
        """What travels beside the expression."""
        return {}


class Literals(Values):
    """Values in the expression itself."""

    def literal(self, text: str) -> str:
        """See `Values`."""
        return quote(text, self.server)

    def one(self, value: Value) -> str:
        """See `Values`."""
        if isinstance(value, str):
            return quote(value, self.server)
        if isinstance(value, bool):
            return "true" if value else "false"
        return repr(value)

    def several(self, values: Sequence[Value]) -> str:
        """See `Values`."""
        return f"[{', '.join(map(self.one, values))}]"


class Template(Values):
    """Values beside the expression, which holds their names in braces."""

    def __init__(self, server: ServerVersion) -> None:
        super().__init__(server)
        self._given: dict[str, Any] = {}

    def literal(self, text: str) -> str:
        """See `Values`."""
        return quote(text, self.server)

    @property
    def template(self) -> Mapping[str, Any]:
        """See `Values`."""
        return self._given

    def one(self, value: Value) -> str:
        """See `Values`."""
        return self._add(schemas.TemplateValue(**{_SINGLE[type(value)]: value}))

    def several(self, values: Sequence[Value]) -> str:
        """See `Values`."""
        name, array = _ARRAY[type(values[0])]
        return self._add(
            schemas.TemplateValue(array_val=schemas.TemplateArrayValue(**{name: array(data=list(values))}))
        )

    def _add(self, value: Any) -> str:
        name = f"v{len(self._given)}"
        self._given[name] = value
        return f"{{{name}}}"


_SINGLE: Final = {str: "string_val", bool: "bool_val", int: "int64_val", float: "float_val"}
_ARRAY: Final[Mapping[type, tuple[str, Any]]] = {
    str: ("string_data", schemas.StringArray),
    bool: ("bool_data", schemas.BoolArray),
    int: ("long_data", schemas.LongArray),
    float: ("double_data", schemas.DoubleArray),
}


def values_for(server: ServerVersion) -> Values:
    """What suits a server."""
    return Template(server) if server.templates else Literals(server)


_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
#: What stands for letters in patterns of Milvus.
_PATTERN: Final = "%_\\"
_SYMBOL: Final = {Op.EQ: "==", Op.GT: ">", Op.GTE: ">=", Op.LT: "<", Op.LTE: "<="}
_HOLDS: Final[Mapping[Op, Callable[[Any, Any], bool]]] = {
    Op.EQ: operator.eq,
    Op.GT: operator.gt,
    Op.GTE: operator.ge,
    Op.LT: operator.lt,
    Op.LTE: operator.le,
}
_SYSTEM: Final = frozenset({schema.DOCUMENT_ID, schema.CHUNK, schema.LAYOUT})
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
_NOWHERE: Final[Mapping[str, ColumnPath]] = {}


def compile_filter(
    where: Filter | None,
    typed: Typed,
    values: Values,
    *,
    tenant: str | None = None,
    after: str | None = None,
    others: Sequence[str] = (),
    key: PrimaryKey = OWN_KEY,
    paths: Mapping[str, ColumnPath] = _NOWHERE,
) -> Expression:
    """A resolved filter, the tenant's condition, and "behind this id", as one expression.

    Records of the tenants `others` are left out.
    `typed` are the fields with a column; `paths` those of somebody else's collection, with its `key`. Raises
    `Unsupported` for system fields that have no column, and for what Milvus cannot compare.
    """
    parts, compiler = [], _Compiler(typed, values, key, paths)
    if tenant is not None:
        parts.append(f"{schema.TENANT} == {values.one(schema.without_nul(tenant))}")
    if others:
        parts.append(f"not ({schema.TENANT} in {values.several([schema.without_nul(each) for each in others])})")
    if after is not None:
        parts.append(compiler.behind(after))
    if where is not None:
        parts.append(compiler.text(push_negations(where)))
    return Expression(" and ".join(parts), values.template)


@dataclass(frozen=True, slots=True)
class _Compiler:
    typed: Typed
    values: Values
    key: PrimaryKey
    paths: Mapping[str, ColumnPath]

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
            return self._native(leaf, self.paths[ref.name])
        if isinstance(leaf, Exists):
            return _Condition(self._present(ref.name))
        if not ref.many and self.typed.get(ref.name) is kind:
            return self._scalar(leaf, schema.column_of(ref.name, kind), kind, ref.name)
        return _Condition(
            self._stored(leaf, f'{schema.METADATA}["{schema.identifier(ref.name)}"]'), self._present(ref.name)
        )

    def behind(self, after: str) -> str:
        """The condition that the key is greater. A key may be longer than what filters look for."""
        if self.key.numeric:
            return self.compared(self.key.column, Op.GT, int(after))
        return f"{self.key.column} > {self.values.one(after)}"

    def _native(self, leaf: Leaf, path: ColumnPath) -> _Condition:
        """On a column of somebody else's, or on a value in its JSON."""
        declared = leaf.field.declared
        if isinstance(leaf, Exists):
            return _Native(path.exists(self.key, many=declared.many), path.present)
        path.check(declared)
        if declared.type is FieldType.DATETIME:
            text = self._at_times(leaf, path.expression)
        elif path.field is None:
            text = self._stored(leaf, path.listed if declared.many else path.expression)
        elif isinstance(leaf, In):
            text = self._among(path.expression, [_plain(value) for value in leaf.values])
        else:
            text = self._stored(leaf, path.expression, "array_contains_any")
        return _Native(text, path.present)

    def _at_times(self, leaf: Leaf, column: str) -> str:
        """On a column of instants, which have literals of their own."""
        if isinstance(leaf, Compare):
            return f"{column} {_SYMBOL[leaf.op]} {_moment(leaf.value)}"
        if isinstance(leaf, In):
            return self._joined(" or ", [f"{column} == {_moment(value)}" for value in leaf.values])
        raise Unsupported(f"filter on {leaf.field.name!r}: Milvus cannot look into lists of instants")

    def _present(self, name: str) -> str:
        return f"array_contains({schema.PRESENT}, {self.values.one(name)})"

    def _scalar(self, leaf: Leaf, column: str, kind: FieldType, name: str | None) -> _Condition:
        """On a column. The presence matters only where the default would satisfy the comparison, too."""
        default = schema.FIELD_COLUMNS[kind][1]
        if isinstance(leaf, Compare):
            value = _indexed(leaf.value)
            text, doubtful = self.compared(column, leaf.op, value), _HOLDS[leaf.op](default, value)
        elif isinstance(leaf, In):
            wanted = [_indexed(value) for value in leaf.values]
            text, doubtful = self._among(column, wanted), default in wanted
        elif isinstance(leaf, Text):
            text, doubtful = self._like(column, leaf), not leaf.value
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
            case Text():
                return self._like(path, leaf)
            case ContainsAny(values=given):
                return self._holds(path, given, contains)
            case ContainsAll(values=given):
                return self._joined(" and ", [self._holds(path, [value], contains) for value in given])
            case Exists():
                raise AssertionError("handled by the caller")

    def compared(self, path: str, op: Op, value: Value) -> str:
        """One comparison with a value."""
        if isinstance(value, str) and not _fits(value):
            return self.key.nothing
        if isinstance(value, int) and value == _LOWEST:
            return self._lowest(path, op)
        return f"{path} {_SYMBOL[op]} {self.values.one(value)}"

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
            raise Unsupported(f"filter: no literal of Milvus can be {_LOWEST}, so it cannot be looked for in lists")
        return f"{contains}({path}, {self.values.several(wanted)})" if wanted else self.key.nothing

    def _like(self, path: str, leaf: Text) -> str:
        """A string in whole or in part. What stands for any letters in a pattern cannot be looked for itself."""
        if leaf.op not in self.values.server.text_filters:
            raise Unsupported(
                f"filter on {leaf.field.name!r}: {self.values.server.name} has no {leaf.op}, only "
                f"{TextOp.STARTS_WITH}; a newer server has them all"
            )
        if any(letter in leaf.value for letter in _PATTERN):
            raise Unsupported(f"filter on {leaf.field.name!r}: Milvus cannot look for any of {_PATTERN!r} in a string")
        if not _fits(leaf.value):
            return self.key.nothing
        pattern = {TextOp.STARTS_WITH: "{}%", TextOp.CONTAINS: "%{}%", TextOp.ENDS_WITH: "%{}"}[leaf.op]
        return f"{path} like {self.values.literal(pattern.format(schema.without_nul(leaf.value)))}"

    def _joined(self, joint: str, tests: Sequence[str]) -> str:
        if not tests:
            return self.key.nothing
        return f"({joint.join(tests)})" if len(tests) > 1 else tests[0]

    def _lowest(self, path: str, op: Op) -> str:
        """A comparison with the lowest integer of all, by way of the one above it."""
        above = _LOWEST + 1
        if op in (Op.GT, Op.GTE):
            return f"{path} >= {above}" if op is Op.GT else f"({path} >= {above} or {path} < {above})"
        return f"{path} < {above}" if op is not Op.LT else self.key.nothing


def _system_column(name: str) -> str:
    if name not in _SYSTEM:
        raise Unsupported(f"nestvec's own field {name!r} has no column in Milvus; known: {', '.join(sorted(_SYSTEM))}")
    return name


def _fits(value: str) -> bool:
    """Whether a stored string can be this one."""
    return len(value) <= MAX_STRING_BYTES and len(value.encode()) <= MAX_STRING_BYTES


def _indexed(value: Scalar) -> Value:
    """As stored in a column of its own."""
    return schema.without_nul(value) if isinstance(value, str) else _plain(value)


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
