"""Portable filters: one typed tree, written with `F` or as a dict, that means the same on every backend.

    (F.lang == "de") & (F.year >= 2020)
    {"lang": "de", "year": {"$gte": 2020}}

The rules, which adapters must keep although native rules differ:

- **Two-valued.** A comparison on a missing field is false. `~` is the exact complement: `~(F.year >= 5)`
  also finds records without a year. `!=` is `~(==)`, `not_in` is `~in_`.
- **Missing** means absent, null, or an empty list. A stored value of another type than the declared one
  exists but satisfies no comparison.
- **Single values** take `==`, `!=`, `in_`, `not_in`; integers, floats and datetimes also `<`, `<=`, `>`,
  `>=`. `in_([])` is false.
- **Lists** take `contains`, `contains_any` and `contains_all`. `contains_any([])` is false,
  `contains_all([])` is true where the field exists. `==` and `in_` on a list are refused, since databases
  disagree about their meaning.
- **Strings** of keyword fields take `starts_with`, `contains_text` (`contains`) and `ends_with`, where the backend has
  them (`BackendCapabilities.text_filters`); upper and lower case differ.
- **Ids of documents** are `ID`, `$id` in the dict form, and are compared as keyword fields are.
- **What is not declared** can be filtered where the collection has open fields, by its path (`F["meta.author"]`): the
  type is that of the value it is compared with, and numbers compare as floats.
- **Values.** A boolean is not an integer. An integer may be given for a float field. Integers lie in the
  signed 64-bit range. NaN and infinity are refused, and None is: ask `exists()`. Datetimes are datetime
  objects or ISO 8601 strings; one without an offset is UTC, a bare date is its midnight in UTC.

Filters are immutable, hashable and picklable, and may be shared freely between threads and processes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from nestvec._lazy import lazy_names

if TYPE_CHECKING:
    from nestvec.filters.evaluate import matches
    from nestvec.filters.fields import ID, F, FieldExpression, ResolvedFilter, resolve, system, to_foreign
    from nestvec.filters.mongo import FilterLike, parse_dict, to_dict
    from nestvec.filters.operations import Op, TextOp
    from nestvec.filters.tree import (
        MAX_DEPTH,
        And,
        Compare,
        ContainsAll,
        ContainsAny,
        Exists,
        FieldRef,
        Filter,
        FilterTruthError,
        In,
        Leaf,
        Not,
        Or,
        Text,
        all_of,
        any_of,
        fold,
        leaves,
        push_negations,
        rebuild,
    )
    from nestvec.values import coerce, format_datetime, to_utc

__all__ = [
    "ID",
    "MAX_DEPTH",
    "And",
    "Compare",
    "ContainsAll",
    "ContainsAny",
    "Exists",
    "F",
    "FieldExpression",
    "FieldRef",
    "Filter",
    "FilterLike",
    "FilterTruthError",
    "In",
    "Leaf",
    "Not",
    "Op",
    "Or",
    "ResolvedFilter",
    "Text",
    "TextOp",
    "all_of",
    "any_of",
    "coerce",
    "fold",
    "format_datetime",
    "leaves",
    "matches",
    "parse_dict",
    "push_negations",
    "rebuild",
    "resolve",
    "system",
    "to_dict",
    "to_foreign",
    "to_utc",
]

_ROOMS = {
    "nestvec.filters.evaluate": ("matches",),
    "nestvec.filters.fields": (
        "ID",
        "F",
        "FieldExpression",
        "ResolvedFilter",
        "resolve",
        "system",
        "to_foreign",
    ),
    "nestvec.filters.mongo": (
        "FilterLike",
        "parse_dict",
        "to_dict",
    ),
    "nestvec.filters.operations": ("Op", "TextOp"),
    "nestvec.filters.tree": (
        "MAX_DEPTH",
        "And",
        "Compare",
        "ContainsAll",
        "ContainsAny",
        "Exists",
        "FieldRef",
        "Filter",
        "FilterTruthError",
        "In",
        "Leaf",
        "Not",
        "Or",
        "Text",
        "all_of",
        "any_of",
        "fold",
        "leaves",
        "push_negations",
        "rebuild",
    ),
    "nestvec.values": (
        "coerce",
        "format_datetime",
        "to_utc",
    ),
}
__getattr__, __dir__ = lazy_names(__name__, _ROOMS)
