"""Laws that hold for every filter and every record."""

from __future__ import annotations

import json
import pickle

from hypothesis import given
from hypothesis import strategies as st

from nestvec.errors import InvalidFilter
from nestvec.filters import (
    And,
    F,
    Filter,
    Not,
    Or,
    fold,
    leaves,
    matches,
    parse_dict,
    push_negations,
    resolve,
)
from nestvec.types import Field, FieldType
from nestvec_testing.strategies import filters_for, metadata_for

FIELDS = {kind.value: Field(kind) for kind in FieldType} | {f"{kind}s": Field(kind, many=True) for kind in FieldType}
FILTERS = filters_for(FIELDS)
METADATA = metadata_for(FIELDS)


def holds(where, metadata):
    return matches(resolve(where, FIELDS), metadata)


@given(FILTERS, METADATA)
def test_not_is_the_exact_complement(where, metadata):
    assert holds(~where, metadata) is not holds(where, metadata)
    assert holds(Not(Not(where)), metadata) is holds(where, metadata)


@given(FILTERS, FILTERS, METADATA)
def test_and_or_and_de_morgan(a, b, metadata):
    assert holds(a & b, metadata) is (holds(a, metadata) and holds(b, metadata))
    assert holds(a | b, metadata) is (holds(a, metadata) or holds(b, metadata))
    assert holds(~(a & b), metadata) is holds(~a | ~b, metadata)
    assert holds(~(a | b), metadata) is holds(~a & ~b, metadata)


def only_leaves_are_negated(where: Filter) -> bool:
    if isinstance(where, Not):
        return not isinstance(where.child, And | Or | Not)
    return all(only_leaves_are_negated(child) for child in getattr(where, "children", ()))


@given(FILTERS, METADATA)
def test_pushed_negations_mean_the_same(where, metadata):
    pushed = push_negations(Not(where))
    assert only_leaves_are_negated(pushed)
    assert holds(pushed, metadata) is not holds(where, metadata)
    assert pushed.depth <= Not(where).depth
    assert push_negations(pushed) == pushed


@given(FILTERS)
def test_the_dict_form_says_everything(where):
    resolved = resolve(where, FIELDS)
    for form in (where.to_dict(), resolved.to_dict(), json.loads(json.dumps(where.to_dict()))):
        assert resolve(form, FIELDS) == resolved
        assert resolve(parse_dict(form), FIELDS) == resolved


@given(FILTERS)
def test_resolving_again_changes_nothing(where):
    resolved = resolve(where, FIELDS)
    assert resolve(resolved, FIELDS) == resolved
    assert hash(resolve(resolved, FIELDS)) == hash(resolved)
    assert pickle.loads(pickle.dumps(resolved)) == resolved
    assert all(leaf.field.declared == FIELDS[leaf.field.name] for leaf in leaves(resolved))


@given(FILTERS, METADATA)
def test_a_fold_over_the_tree_can_compute_the_meaning(where, metadata):
    resolved = resolve(where, FIELDS)
    folded = fold(resolved, leaf=lambda leaf: matches(leaf, metadata), and_=all, or_=any, not_=lambda value: not value)
    assert folded is matches(resolved, metadata)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from([*FIELDS, "$and", "$or", "$not", "$eq", "$gte", "$in", "$contains", "$exists", "$x", ""]),
            inner,
            max_size=3,
        )
    ),
    max_leaves=10,
)


@given(JSON)
def test_whatever_comes_over_the_wire_is_a_filter_or_a_clear_refusal(written):
    try:
        resolved = resolve(written, FIELDS)
    except InvalidFilter:
        return  # any other exception fails the test
    assert matches(resolved, {}) in (True, False)


@given(METADATA)
def test_strategies_meet(metadata):
    """The pools are small enough that present values are found by their own filters."""
    for name, value in metadata.items():
        if FIELDS[name].many:
            assert all(holds(F[name].contains(item), metadata) for item in value)
        else:
            assert holds(F[name] == value, metadata)
