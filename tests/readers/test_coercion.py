"""CSV cells into declared types."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nestvec._readers import coerce
from nestvec.types import Field


def cell(text: str, declared: str):
    return coerce({"f": text}, {"f": Field.parse(declared)}).get("f", "missing")


@pytest.mark.parametrize(
    ("text", "declared", "value"),
    [
        (" a ", "keyword", " a "),
        ("7", "integer", 7),
        (" -7 ", "integer", -7),
        ("2024.0", "integer", 2024),
        ("7", "float", 7.0),
        ("-1.5e3", "float", -1500.0),
        ("true", "boolean", True),
        ("FALSE", "boolean", False),
        ("1", "boolean", True),
        ("0", "boolean", False),
        ("Yes", "boolean", True),
        (" no", "boolean", False),
        ("2026-01-31", "datetime", datetime(2026, 1, 31, tzinfo=UTC)),
        ("2026-01-31T08:00:00Z", "datetime", datetime(2026, 1, 31, 8, tzinfo=UTC)),
        ("2026-01-31 08:00+01:00", "datetime", datetime(2026, 1, 31, 7, tzinfo=UTC)),
        ("a; b;;c d ;", "keyword[]", ["a", "b", "c d"]),
        ("1;2", "integer[]", [1, 2]),
        (";", "keyword[]", []),
        ("yes;no", "boolean[]", [True, False]),
    ],
)
def test_values_of_each_type(text, declared, value):
    found = cell(text, declared)
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize("declared", ["keyword", "integer", "float", "boolean", "datetime", "keyword[]"])
def test_an_empty_cell_is_missing(declared):
    assert cell("", declared) == "missing"


@pytest.mark.parametrize(
    ("text", "declared"),
    [
        ("7.5", "integer"),
        ("1_000", "integer"),
        ("seven", "integer"),
        ("٧", "integer"),
        ("9" * 5000, "integer"),
        (" ", "integer"),
        ("nan", "float"),
        ("inf", "float"),
        ("1e999", "float"),
        ("1,5", "float"),
        ("1_0", "float"),
        ("maybe", "boolean"),
        ("2", "boolean"),
        ("31.01.2026", "datetime"),
        ("1;x", "integer[]"),
    ],
)
def test_values_of_another_type_stay_as_they_are(text, declared):
    wanted = text.split(";") if declared.endswith("[]") else text
    found = cell(text, declared)
    assert [str(item) for item in found] == wanted if isinstance(wanted, list) else found == wanted


def test_undeclared_fields_stay_strings():
    assert coerce({"a": "7", "b": ""}, {}) == {"a": "7"}


@given(st.integers(), st.floats(allow_nan=False, allow_infinity=False), st.booleans())
def test_numbers_written_as_text_read_back_the_same(integer, number, flag):
    assert cell(str(integer), "integer") == integer
    assert cell(repr(number), "float") == number
    assert cell(str(flag), "boolean") is flag
