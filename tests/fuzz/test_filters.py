"""Filters in their dict form, on fields of every type, and what they are compared with."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hypothesis import strategies as st
from tests.fuzz.campaigns import fuzz, ours
from tests.fuzz.inputs import OBJECTS, TEXTS

from nestvec.filters import F, matches, parse_dict, resolve
from nestvec.types import Field, FieldType
from nestvec_milvus.filters import Literals
from nestvec_milvus.filters import compile_filter as to_milvus
from nestvec_milvus.server import ServerVersion
from nestvec_pinecone.filters import compile_filter as to_pinecone
from nestvec_qdrant.filters import compile_filter as to_qdrant

FIELDS = {kind.value: Field(kind) for kind in FieldType} | {f"{kind}s": Field(kind, many=True) for kind in FieldType}
OPERATORS = [
    "$eq",
    "$ne",
    "$gt",
    "$gte",
    "$lt",
    "$lte",
    "$in",
    "$nin",
    "$exists",
    "$contains",
    "$contains_any",
    "$contains_all",
    "$and",
    "$or",
    "$not",
    "$nor",
    "$",
]
KEYS = st.one_of(st.sampled_from([*FIELDS, *OPERATORS]), TEXTS)
#: Values that fit now and then, so that conditions get through.
FITTING = st.sampled_from(["x", 1, 0.5, True, "2026-01-31", ["x"], [1, 2], [], [0.5, 1], [True]])
CONDITIONS = st.recursive(
    st.one_of(OBJECTS, FITTING, st.dictionaries(st.sampled_from(OPERATORS), FITTING | OBJECTS, max_size=2)),
    lambda inner: st.dictionaries(KEYS, inner, max_size=3) | st.lists(inner, max_size=3),
    max_leaves=8,
)
LITE = ServerVersion("milvus_lite-3.2.2", (3, 2), lite=True)
METADATA = st.dictionaries(st.sampled_from(list(FIELDS)), OBJECTS, max_size=4)


@fuzz(st.tuples(st.dictionaries(KEYS, CONDITIONS, max_size=3), METADATA), 150)
def test_dicts(folder: Path, given: Any) -> None:
    """Any structure as a filter; of what is one, every form, on any metadata."""
    where, metadata = given
    ours(lambda: parse_dict(where))
    found = ours(lambda: resolve(where, FIELDS, collection="docs"))
    if found is not None:
        assert matches(found, metadata) in (True, False)
        assert resolve(ours(found.to_dict), FIELDS) == found


def simple() -> st.SearchStrategy[Any]:
    """One condition on one field, with a value of any kind."""
    return st.tuples(st.sampled_from(list(FIELDS)), st.sampled_from(OPERATORS), FITTING | OBJECTS, st.booleans())


@fuzz(simple(), 300)
def test_backends(folder: Path, given: Any) -> None:
    """What passes the check can be said to every backend, or is refused in our words."""
    name, operator, value, negated = given
    condition = {name: {operator: value}}
    found = ours(lambda: resolve({"$not": condition} if negated else condition, FIELDS))
    if found is not None:
        ours(lambda: to_qdrant(found))
        ours(lambda: to_pinecone(found))
        ours(lambda: to_milvus(found, {}, Literals(LITE)))


@fuzz(st.tuples(st.sampled_from(list(FIELDS)), OBJECTS), 200)
def test_expressions(folder: Path, given: Any) -> None:
    """The same in Python's operators."""
    name, value = given
    field = F[name]
    for make in (field.__eq__, field.__lt__, field.in_, field.not_in, field.contains, field.contains_all):
        made = ours(lambda make=make: make(value))
        if made is not None:
            ours(lambda made=made: resolve(made, FIELDS))
