"""Filters as Qdrant's models, and paths to what is in a payload.

{"document_id": "hr-7", "text": "…", "metadata": {"lang": "de"}, "nestvec": {"chunk": 0, …}, "tenant": "acme"}

Qdrant's conditions are two-valued, and `must_not` is an exact complement that finds missing fields, too:
just as nestvec wants it. What differs is spelled out here: floats and datetimes have no equality (a range
of one value), lists of booleans, floats or datetimes have no `match any`, and integers in ranges are
compared as doubles.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from datetime import datetime
from functools import lru_cache
from typing import TypeAlias

from qdrant_client import models

from nestvec.errors import CollectionConflict, InvalidFilter, Unsupported
from nestvec.filters import (
    And,
    Compare,
    ContainsAll,
    ContainsAny,
    Exists,
    FieldRef,
    Filter,
    In,
    Not,
    Op,
    Or,
    Text,
    push_negations,
)
from nestvec.types import FieldType, Scalar

Condition: TypeAlias = models.Condition

DOCUMENT_ID = "document_id"
TEXT = "text"
METADATA = "metadata"
SYSTEM = "nestvec"
TENANT = "tenant"

_EXACT = 2**53
_MATCHED = frozenset({FieldType.KEYWORD, FieldType.INTEGER, FieldType.BOOLEAN})
_MATCHED_ANY = frozenset({FieldType.KEYWORD, FieldType.INTEGER})
_BOUND = {Op.GT: "gt", Op.GTE: "gte", Op.LT: "lt", Op.LTE: "lte"}
_BARE = re.compile(r"[A-Za-z0-9_-]+\Z")
_KEY = r'"([^"]+)"|([^".]+)'
_KEYS = re.compile(rf"(?:{_KEY})(?:\.(?:{_KEY}))*\Z")


def compile_filter(where: Filter | None, tenant: str | None = None) -> models.Filter | None:
    """A resolved filter, and the tenant's condition, for Qdrant. None selects everything.

    Raises `Unsupported` where Qdrant cannot keep the exact meaning.
    """
    # A single comparison, as in every count of documents, has no negations to push.
    compiled = None if where is None else _filter(where if isinstance(where, Compare) else push_negations(where))
    if tenant is None:
        return compiled
    own = models.FieldCondition(key=TENANT, match=models.MatchValue(value=tenant))
    return models.Filter(must=[own] if compiled is None else [own, compiled])


def _filter(node: Filter) -> models.Filter:
    """A tree whose negations wrap leaves only. Uses as few levels as possible: servers limit the depth of JSON."""
    if isinstance(node, Or):
        return models.Filter(should=[_condition(child) for child in node.children])
    children = node.children if isinstance(node, And) else (node,)
    # One OR can stand beside the conditions that it is joined with: the deepest.
    beside = max((child for child in children if isinstance(child, Or)), key=lambda o: o.depth, default=None)
    must: list[Condition] = []
    must_not: list[Condition] = []
    for child in children:
        if child is beside:
            continue
        condition, negated = (_filter(child), False) if isinstance(child, And | Or) else _literal(child)
        (must_not if negated else must).append(condition)
    should = [_condition(child) for child in beside.children] if beside is not None else None
    return models.Filter(must=must or None, must_not=must_not or None, should=should)


def _condition(node: Filter) -> Condition:
    if isinstance(node, And | Or):
        return _filter(node)
    condition, negated = _literal(node)
    return models.Filter(must_not=[condition]) if negated else condition


def _literal(node: Filter) -> tuple[Condition, bool]:
    """A leaf or its negation as a condition, and whether that condition must not hold."""
    if isinstance(node, Not):
        condition, negated = _literal(node.child)
        return condition, not negated
    if isinstance(node, Exists):
        return models.IsEmptyCondition(is_empty=models.PayloadField(key=_path(node.field))), True
    if isinstance(node, Compare | In | ContainsAny | ContainsAll | Text):
        return _leaf(node), False
    raise InvalidFilter(f"{type(node).__name__} is not a kind of filter that nestvec knows; build it with F")


def _leaf(leaf: Compare | In | ContainsAny | ContainsAll | Text) -> Condition:
    # `declared` raises where nobody has resolved the filter.
    path, kind = _path(leaf.field), leaf.field.type or leaf.field.declared.type
    match leaf:
        case Compare(op=Op.EQ, value=value):
            return _equals(path, kind, value)
        case Compare(op=op, value=value):
            return _range(path, {_BOUND[op]: value})
        case In(values=values) | ContainsAny(values=values):
            return _any(path, kind, values)
        case Text():
            raise _no_text(path, leaf)
        case ContainsAll(values=values):
            return models.Filter(must=[_equals(path, kind, value) for value in values])


def _no_text(path: str, leaf: Text) -> Unsupported:
    """Some versions look for the letters, others for whole words, and which one depends on indexes, too."""
    return Unsupported(
        f"filter on {path}: Qdrant finds words in strings, and not the letters that they begin, hold or end with, so "
        f"there is no {leaf.op}; store what you look for in a field of its own, and use == or in_"
    )


def _path(field: FieldRef) -> str:
    return _PATHS[field.scope](field.name)


def _equals(path: str, kind: FieldType, value: Scalar) -> Condition:
    if kind not in _MATCHED:
        return _range(path, {"gte": value, "lte": value})
    return models.FieldCondition(key=path, match=models.MatchValue.model_validate({"value": value}))


def _any(path: str, kind: FieldType, values: Sequence[Scalar]) -> Condition:
    if not values:
        return models.HasIdCondition(has_id=[])  # nothing has none of no ids
    if kind in _MATCHED_ANY:
        match = models.MatchAny.model_validate({"any": list(values)})  # all strings or all integers
        return models.FieldCondition(key=path, match=match)
    return models.Filter(should=[_equals(path, kind, value) for value in values])


def _range(path: str, bounds: dict[str, Scalar]) -> Condition:
    if any(isinstance(value, datetime) for value in bounds.values()):
        return models.FieldCondition(key=path, range=models.DatetimeRange.model_validate(bounds))
    numbers = {bound: _number(path, bound, value) for bound, value in bounds.items()}
    return models.FieldCondition(key=path, range=models.Range(**numbers))


def _number(path: str, bound: str, value: Scalar) -> float:
    if isinstance(value, int) and abs(value) >= _EXACT:
        raise Unsupported(
            f"filter on {path}: Qdrant compares integers as doubles, so ranges are exact only between -2**53 and "
            f"2**53, and {value} is outside; == and in_ work for every integer"
        )
    if value == 0:
        # An index may tell the two zeros apart: the bound lies on their outer side, or its complement's.
        return -0.0 if bound in ("gte", "lt") else 0.0
    assert isinstance(value, int | float)  # noqa: S101 - resolved filters hold what the field's type says
    return float(value)


def field_path(name: str) -> str:
    """The path of a metadata field. Quoted where Qdrant would read dots or brackets as steps.

    >>> field_path("lang"), field_path("a.b[0]")
    ('metadata.lang', 'metadata."a.b[0]"')
    """
    return f"{METADATA}.{name}" if _BARE.match(name) else f'{METADATA}."{name}"'


def system_path(name: str) -> str:
    """The path of one of nestvec's own fields."""
    return DOCUMENT_ID if name == DOCUMENT_ID else f"{SYSTEM}.{name}"


@lru_cache(maxsize=1024)
def keys_of(path: str) -> tuple[str, ...]:
    """The keys that a path into somebody else's payload leads through. Raises `CollectionConflict` for no path.

    >>> keys_of("metadata.lang"), keys_of('metadata."a.b"')
    (('metadata', 'lang'), ('metadata', 'a.b'))
    """
    if not _KEYS.match(path):
        raise CollectionConflict(
            f"{path!r} leads nowhere in a payload of Qdrant: join keys by dots, and put a key that has dots itself "
            f'into quotation marks, as in metadata."a.b"'
        )
    return tuple(quoted or bare for quoted, bare in re.findall(_KEY, path))


def foreign_path(path: str) -> str:
    """The same path as Qdrant wants it: quoted wherever it would read more steps into a key.

    >>> foreign_path("metadata.publication year")
    'metadata."publication year"'
    """
    return ".".join(key if is_bare(key) else f'"{key}"' for key in keys_of(path))


def is_bare(key: str) -> bool:
    """Whether Qdrant takes a key for one without quotation marks."""
    return _BARE.match(key) is not None


def field_at(path: str) -> str | None:
    """The metadata field that a path leads to: the inverse of `field_path`. None for any other path."""
    if not path.startswith(f"{METADATA}."):
        return None
    name = path[len(METADATA) + 1 :]
    if len(name) > 1 and name[0] == name[-1] == '"':
        return name[1:-1]
    return None if re.search(r'[."\[]', name) else name


def check_fields(names: Iterable[str], collection: str) -> None:
    """Refuse field names that no path can express."""
    for name in names:
        if not name or '"' in name:
            raise Unsupported(
                f"collection {collection!r}: Qdrant cannot filter on a field named {name!r}; rename it (no quotation "
                f"marks, not empty)"
            )


_PATHS = {"metadata": field_path, "system": system_path, "foreign": foreign_path}
