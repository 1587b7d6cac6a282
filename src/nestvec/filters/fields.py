"""Fields in filters: `F`, which makes filters in Python's own operators, and the check against declared fields.

    (F.lang == "de") & ~F.tags.contains("draft") & (F["publication year"] >= 2020)

Each comparison needs its parentheses, because `&` and `|` bind more tightly than `==`. A filter is resolved before
anything is sent anywhere: every leaf gets its field's type.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Final, NoReturn, TypeAlias

from nestvec.errors import InvalidFilter, Unsupported
from nestvec.filters.mongo import ID_FIELD, FilterLike, Parser, suggestion
from nestvec.filters.opened import opened
from nestvec.filters.operations import Op, TextOp
from nestvec.filters.tree import (
    Compare,
    ContainsAll,
    ContainsAny,
    Exists,
    FieldRef,
    Filter,
    In,
    Leaf,
    Text,
    no_truth,
    rebuild,
)
from nestvec.types import Field, FieldType, Scalar
from nestvec.values import AS_IT_IS, coerce, describe, scalar, scalars, text, unique

_UNORDERED: Final = frozenset({FieldType.KEYWORD, FieldType.BOOLEAN})

#: A filter as `resolve` returns it: every leaf carries its field's type and values of exactly that type.
ResolvedFilter: TypeAlias = Filter


def check_name(name: object) -> str:
    """The name of a field, or `InvalidFilter`."""
    if not isinstance(name, str) or not name or name.startswith("$"):
        got = repr(name) if isinstance(name, str) else describe(name)
        raise InvalidFilter(f"a field name is a non-empty string that does not start with $, got {got}")
    return name


class FieldExpression:
    """A field, waiting to be compared: `F.year`. Not a filter by itself, and not hashable.

    `==` and `!=` compare with one value, and `<`, `<=`, `>`, `>=` integers, floats and datetimes. Each gives a filter,
    and needs parentheses beside `&`, `|` and `~`. The types of values are checked against the declared fields when the
    filter is used.

    Raises:
        InvalidFilter: A value is None, NaN or infinite, or of a type that no field holds.

    Example:
        >>> docs.count((F.lang == "en") & (F.year < 2022))
        1
    """

    __slots__ = ("_ref",)
    # Comparing makes filters, so fields cannot be keys of dicts or members of sets.
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
        """The field equals one of the values.

        Args:
            values: Any iterable but a string. An empty one: false.

        Returns:
            A filter.

        Raises:
            InvalidFilter: A value can be in no field.

        Example:
            >>> docs.count(F.lang.in_(["de", "fr"]))
            1
        """
        return self._finish(In(self._ref, self._values(values)))

    def not_in(self, values: object) -> Filter:
        """The complement of `in_`: also true where the field is missing.

        Args:
            values: Any iterable but a string. An empty one: true.

        Returns:
            A filter.

        Raises:
            InvalidFilter: A value can be in no field.

        Example:
            >>> docs.count(F.lang.not_in(["de", "fr"]))
            2
        """
        return ~self.in_(values)

    def exists(self) -> Filter:
        """The field is there: not absent, not null, not an empty list.

        Returns:
            A filter.

        Example:
            >>> docs.count(F.tags.exists())
            1
        """
        return Exists(self._ref)

    def contains(self, value: object) -> Filter:
        """The list field holds the value; or the string of a keyword field holds this one, as in `contains_text`.

        Args:
            value: What it holds.

        Returns:
            A filter.

        Raises:
            InvalidFilter: The value can be in no field.

        Example:
            >>> docs.count(F.tags.contains("food"))
            1
        """
        return self._finish(ContainsAny(self._ref, (self._value(value),)))

    def contains_any(self, values: object) -> Filter:
        """The list field holds at least one of the values.

        Args:
            values: Any iterable but a string. An empty one: false.

        Returns:
            A filter.

        Raises:
            InvalidFilter: A value can be in no field.

        Example:
            >>> docs.count(F.tags.contains_any(["food", "drink"]))
            1
        """
        return self._finish(ContainsAny(self._ref, self._values(values)))

    def contains_all(self, values: object) -> Filter:
        """The list field holds every value.

        Args:
            values: Any iterable but a string. An empty one: true where the field exists.

        Returns:
            A filter.

        Raises:
            InvalidFilter: A value can be in no field.

        Example:
            >>> docs.count(F.tags.contains_all(["food", "drink"]))
            0
        """
        return self._finish(ContainsAll(self._ref, self._values(values)))

    def starts_with(self, value: object) -> Filter:
        """The string begins with another. Upper and lower case differ.

        Args:
            value: How it begins.

        Returns:
            A filter; not every backend has it (`BackendCapabilities.text_filters`).

        Raises:
            InvalidFilter: The value is no string.

        Example:
            >>> F.lang.starts_with("e").to_dict()
            {'lang': {'$starts_with': 'e'}}
        """
        return self._text(TextOp.STARTS_WITH, value)

    def contains_text(self, value: object) -> Filter:
        """The string holds another somewhere. Upper and lower case differ.

        Args:
            value: What it holds.

        Returns:
            A filter; not every backend has it (`BackendCapabilities.text_filters`).

        Raises:
            InvalidFilter: The value is no string.

        Example:
            >>> F.lang.contains_text("n").to_dict()
            {'lang': {'$contains_text': 'n'}}
        """
        return self._text(TextOp.CONTAINS, value)

    def ends_with(self, value: object) -> Filter:
        """The string ends with another. Upper and lower case differ.

        Args:
            value: How it ends.

        Returns:
            A filter; not every backend has it (`BackendCapabilities.text_filters`).

        Raises:
            InvalidFilter: The value is no string.

        Example:
            >>> F.lang.ends_with("n").to_dict()
            {'lang': {'$ends_with': 'n'}}
        """
        return self._text(TextOp.ENDS_WITH, value)

    def __bool__(self) -> bool:
        raise no_truth("a field")

    def __contains__(self, value: object) -> bool:
        raise InvalidFilter(f"{self._place}: `{describe(value)} in {self!r}` makes no filter; use .contains(...)")

    def __invert__(self) -> NoReturn:
        self._refuse_alone()

    def __and__(self, other: object) -> NoReturn:
        self._refuse_alone()

    __rand__ = __or__ = __ror__ = __and__

    def __repr__(self) -> str:
        name = self._ref.name
        if self._ref == ID_FIELD:
            return "ID"
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

    def _text(self, op: TextOp, value: object) -> Filter:
        try:
            return self._finish(Text(self._ref, op, text(value)))
        except ValueError as error:
            if isinstance(error, InvalidFilter):
                raise
            raise InvalidFilter(f"{self._place}: {error}") from error

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
        return leaf if self._ref.type is None else check_leaf(leaf, self._ref, self._ref.declared, self._place)


class _Fields:
    """Makes fields of their names, as the start of a filter: `F.year`, or `F["any name"]`.

    Example:
        >>> docs.count((F.lang == "en") & (F["year"] >= 2022))
        1
    """

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


#: The ids of documents, as the start of a filter: `ID == "hr-7"`, `ID.in_([...])`, `ID.starts_with("hr-")`.
ID: Final = FieldExpression(ID_FIELD)


def resolve(
    where: FilterLike | None, fields: Mapping[str, Field], *, collection: str | None = None, open_fields: bool = False
) -> ResolvedFilter | None:
    """Check a filter or its dict form against the declared fields, and give every leaf its type.

    Returns None for no filter (None or `{}`). Values are converted to what the field holds, nested ANDs and
    ORs are merged, `contains_all` of no value becomes `exists`, of one value `contains`. Leaves on nestvec's
    own fields stay as they are. Resolving twice changes nothing. With `open_fields` an undeclared name is the path of a
    value whose type is that of what it is compared with.

    Raises `InvalidFilter` for undeclared fields, operators that do not fit the field, values of another
    type, and trees deeper than `MAX_DEPTH`; the message names the place and, where given, the collection.
    """
    subject = "filter" if collection is None else f"filter for collection {collection!r}"
    if where is None:
        return None
    if isinstance(where, Compare):  # the usual filter is rebuilt without walking a tree
        return _resolved(where, fields, f"{subject} on field {where.field.name!r}", open_fields)
    if isinstance(where, Filter):
        return rebuild(
            where, lambda leaf: _resolved(leaf, fields, f"{subject} on field {leaf.field.name!r}", open_fields)
        )
    if isinstance(where, Mapping):
        parser = Parser(lambda leaf, path: _resolved(leaf, fields, f"{subject} at {path}", open_fields), subject)
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
    if ref == ID_FIELD:
        raise Unsupported("filters on the ids of an adopted collection's documents are not to be had; use get_many")
    return replace(ref, name=names[ref.name], scope="foreign") if ref.scope == "metadata" else ref


def check_leaf(leaf: Leaf, ref: FieldRef, field: Field, place: str) -> Filter:
    """The leaf on a declared field, with values of its type. `place` begins the error message."""
    problem = _misfit(leaf, field)
    if problem:
        raise InvalidFilter(f"{place}: {problem}")
    try:
        return _typed(leaf, ref, field.type)
    except ValueError as error:
        raise InvalidFilter(f"{place} ({field}): {error}") from error


def _misfit(leaf: Leaf, field: Field) -> str | None:
    """Why the operator does not fit the field, or None."""
    match leaf:
        case Exists():
            return None
        case Text() if field.many or field.type is not FieldType.KEYWORD:
            return f"{leaf.op} looks at the string of a keyword field, and this one is {field}"
        case Compare() if field.many:
            return f"a list ({field}) cannot be compared as one value; use .contains(...) / $contains"
        case Compare(op=op) if op is not Op.EQ and field.type in _UNORDERED:
            return f"{field} fields have no order that is the same everywhere, so no {op}; use == or in_ / $in"
        case In() if field.many:
            return f"a list ({field}) cannot be compared as one value; use .contains_any(...) / $contains_any"
        case ContainsAny(values=(str(),)) if field == Field(FieldType.KEYWORD):
            return None
        case ContainsAny() | ContainsAll() if not field.many:
            return f"{field} is one value, not a list; use == / $eq or in_ / $in instead of contains"
    return None


def _typed(leaf: Leaf, ref: FieldRef, kind: FieldType) -> Filter:
    match leaf:
        case Exists():
            return Exists(ref)
        case Text():
            return replace(leaf, field=ref)
        case ContainsAny(values=(str() as value,)) if not ref.many:
            return Text(ref, TextOp.CONTAINS, value)
        case Compare():
            fits = type(leaf.value) is AS_IT_IS.get(kind)
            return replace(leaf, field=ref, value=leaf.value if fits else coerce(leaf.value, kind))
        case ContainsAll():
            return _contains_all(ref, _coerced(leaf.values, kind))
    return replace(leaf, field=ref, values=_coerced(leaf.values, kind))


def _contains_all(ref: FieldRef, values: tuple[Scalar, ...]) -> Filter:
    if not values:
        return Exists(ref)
    return ContainsAll(ref, values) if len(values) > 1 else ContainsAny(ref, values)


def _coerced(values: tuple[Scalar, ...], kind: FieldType) -> tuple[Scalar, ...]:
    """The values as the type has them, each once. Raises `ValueError`."""
    return unique(coerce(value, kind) for value in values)


def _resolved(leaf: Leaf, fields: Mapping[str, Field], place: str, open_fields: bool) -> Filter:
    ref = leaf.field
    if ref.scope != "metadata":
        return check_leaf(leaf, ref, ref.declared, place) if ref == ID_FIELD else leaf
    field = fields.get(ref.name)
    if field is not None:
        return check_leaf(leaf, FieldRef(ref.name, field.type, field.many), field, place)
    if not open_fields:
        raise InvalidFilter(f"{place}: {_undeclared(ref.name, fields)}")
    if ref.type is not None:
        return leaf
    return rebuild(opened(leaf, place), lambda each: check_leaf(each, each.field, each.field.declared, place))


def _undeclared(name: str, fields: Mapping[str, Field]) -> str:
    line = f'fields.NAME = {{ path = "{name}", type = "keyword" }}' if "." in name else f'fields.{name} = "keyword"'
    way = f"declare it ({line}), or set open_fields = true, unless the collection is adopted"
    if not fields:
        return f"unknown field {name!r}; the collection declares no fields, so it cannot be filtered: {way}"
    hint = suggestion(name, list(fields))
    return f"unknown field {name!r}; {hint}Declared fields: {', '.join(sorted(fields))}; {way}"
