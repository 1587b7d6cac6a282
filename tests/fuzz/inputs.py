"""Hostile inputs: values of JSON and of Python at their extremes, and bytes that were something valid once."""

from __future__ import annotations

import datetime
import json
from collections.abc import Sequence
from typing import Any

from hypothesis import strategies as st

#: What readers of numbers, texts, paths and JSON stumble over.
EXTREMES: tuple[Any, ...] = (
    None, True, False, 0, -1, 1, 2**31, 2**53 + 1, 2**63, -(2**63) - 1, 10**400, -(10**4000), 0.5, -0.0, 1e-320, 1e308,
    float("nan"), float("inf"), float("-inf"), "", " ", "0", "1", "nan", "\x00", "a\x00b", "\ud800", "\u202e", "..",
    "/",
    "$", "$eq", "x" * 5000, "9" * 5000, "http://[::1", "http://\x00", "1e400 GB", "[", "{}", [], {}, [[]], [None], [{}],
    {"": 1}, {"a": None},
)  # fmt: skip
#: As a file or a server may spell it.
TOKENS: tuple[bytes, ...] = (
    b"\x00", b"\xff", b"\xed\xa0\x80", b"\xef\xbb\xbf", b"\xff\xfe", b'"', b"'", b"\\", b"\\ud800", b"\n", b"\r",
    b",", b";", b"\t",
    b"{", b"}", b"[", b"]", b"[" * 2000, b'{"a":' * 2000, b"(" * 300, b"=", b":", b"#", b".", b"a." * 50, b"null",
    b"NaN", b"Infinity",
    b"-", b"1e999", b"9" * 5000, b"0x" + b"f" * 5000, b"1979-05-27T07:32:00Z", b"0000-00-00", b"'''", b'"""',
    b"\x1f\x8b\x08", b"PAR1",
    b"\x93NUMPY", b"'descr'", b"O", b"True", b"1e400 GB", b"\\u0000",
)  # fmt: skip

#: More digits than Python prints; Hypothesis prints its strategies.
ENDLESS = st.sampled_from([1, -1]).map(lambda sign: sign * 10**5000)
TEXTS = st.one_of(
    st.text(max_size=20), st.text(st.characters(), max_size=8), st.sampled_from(["id", "text", "metadata"])
)
SCALARS = st.one_of(
    st.sampled_from(EXTREMES), st.none(), st.booleans(), st.integers(), st.floats(), TEXTS, st.integers(-3, 300)
)
#: What JSON can say, and a little more: Python's reader takes NaN, and halves of surrogate pairs.
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4), max_leaves=12
)
#: What a caller from Python, or TOML, can hand over.
OBJECTS = st.recursive(
    st.one_of(
        SCALARS,
        ENDLESS,
        st.binary(max_size=8),
        st.datetimes(),
        st.datetimes(timezones=st.timezones()),
        st.dates(),
        st.times(),
        st.timedeltas(),
        st.complex_numbers(),
        st.decimals(),
        st.sampled_from([object(), int, datetime.UTC, range(3), frozenset({1}), {1, "a"}]),
    ),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(TEXTS, inner, max_size=4)
        | st.dictionaries(st.one_of(st.integers(), st.none(), ENDLESS, TEXTS), inner, max_size=2)
        | st.tuples(inner)
    ),
    max_leaves=10,
)


@st.composite
def damaged(draw: st.DrawFn, seeds: Sequence[bytes]) -> bytes:
    """A valid input with some bytes changed, removed, repeated, or replaced by something that means something."""
    data = draw(st.sampled_from(list(seeds)))
    for _ in range(draw(st.integers(0, 4))):
        start = draw(st.integers(0, len(data)))
        end = min(len(data), start + draw(st.sampled_from([0, 0, 1, 1, 2, 8, 64])))
        put = draw(
            st.one_of(st.sampled_from(TOKENS), st.binary(max_size=6), st.just(data[start:end] * 2), st.just(b""))
        )
        data = data[:start] + put + data[end:]
    return data


@st.composite
def replaced(draw: st.DrawFn, seed: Any, values: st.SearchStrategy[Any] = VALUES) -> Any:
    """A valid structure in which one or two values, or keys, are others, or missing."""
    found = seed
    for _ in range(draw(st.integers(1, 2))):
        found = _replaced(draw, found, values)
    return found


def _replaced(draw: st.DrawFn, value: Any, values: st.SearchStrategy[Any]) -> Any:
    inside = bool(value) and isinstance(value, dict | list)
    if not inside or not draw(st.integers(0, 5)):
        return draw(values)
    if isinstance(value, list):
        place = draw(st.integers(0, len(value) - 1))
        return [*value[:place], _replaced(draw, value[place], values), *value[place + 1 :]]
    key = draw(st.sampled_from(list(value)))
    how = draw(st.integers(0, 9))
    rest = {name: item for name, item in value.items() if name != key}
    if how == 0:
        return rest
    if how == 1:
        return {**rest, draw(TEXTS): value[key]}
    return {**value, key: _replaced(draw, value[key], values)}


def texts_of(seeds: Sequence[Any]) -> st.SearchStrategy[str]:
    """JSON texts that were of these values once, as a server gives them back."""
    written = [json.dumps(seed).encode() for seed in seeds]
    structures = st.one_of([replaced(seed) for seed in seeds]).filter(_writable).map(json.dumps)
    endless = st.sampled_from([opened * 5000 for opened in ("[", '{"a":', "9")])
    return st.one_of(structures, endless, damaged(written).map(lambda data: data.decode("utf-8", "replace")))


def _writable(value: Any) -> bool:
    try:
        json.dumps(value)
    except (TypeError, ValueError):
        return False
    return True
