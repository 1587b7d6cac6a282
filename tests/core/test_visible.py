"""What cannot be seen, or steers a terminal, is written as an escape; what people write is left alone."""

from __future__ import annotations

import json
import pickle
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nestvec._visible import json_escaped, visible, visible_lines
from nestvec.errors import BackendRefused, ConfigError, NestvecError, SecretError

#: All of Unicode's kinds that steer: controls, surrogates, separators of lines and paragraphs, marks of direction.
STEERING = [
    *map(chr, (*range(0x20), *range(0x7F, 0xA0), 0x61C, 0x200B, 0x200E, 0x200F, *range(0x2028, 0x202F))),
    *map(chr, (*range(0x2060, 0x2070), 0xFEFF, 0xD800, 0xDC80, 0xDFFF, 0xE0001, 0xE0041)),
]


@pytest.mark.parametrize("character", STEERING, ids=lambda character: f"U+{ord(character):04X}")
def test_what_steers_or_cannot_be_seen_is_escaped(character):
    shown = visible(f"a{character}b")
    assert shown.isascii()
    assert shown.isprintable()
    assert shown.startswith("a\\")
    assert shown.endswith("b")


@given(st.text(st.characters()))
def test_nothing_of_those_kinds_is_left(text):
    for found in (visible(text), visible_lines(text).replace("\n", "")):
        assert not any(unicodedata.category(character) in ("Cc", "Cs", "Zl", "Zp") for character in found)
        assert not set(STEERING) & set(found)


@pytest.mark.parametrize("text", ["Grüße", "می‌خواهم", "क्‍ष", "👩‍💻", "a b", "東京", 'C:\\x "1b"'])
def test_what_people_write_is_left_alone(text):
    assert visible(text) == text


def test_a_joiner_disguises_nothing():
    assert visible("pay\u200dpal \u200cx") == r"pay\u200dpal \u200cx"


def test_a_second_time_changes_nothing():
    once = visible("\x1b[2J\u202e\nx")
    assert visible(once) == once == r"\x1b[2J\u202e\nx"


@given(st.text(st.characters()))
def test_a_message_of_several_lines_begins_one_line_only(text):
    rest = visible_lines(text).split("\n")[1:]
    assert not any(line and not line.startswith("  ") for line in rest)
    assert visible_lines(visible_lines(text)) == visible_lines(text)


@given(st.recursive(st.text(st.characters()), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner)))
def test_json_says_the_same_and_can_be_printed(value):
    for indent in (None, 2):
        text = json_escaped(json.dumps(value, ensure_ascii=False, indent=indent))
        assert json.loads(text) == json.loads(json.dumps(value))
        assert not set(STEERING) - {"\n"} & set(text)


def test_an_error_cannot_forge_a_line_of_a_log():
    error = BackendRefused("the server said: gone\nerror: all is lost \x1b]8;;https://evil\x07 \u202etxt\u009b")
    assert str(error).split("\n") == [
        "the server said: gone",
        r"  error: all is lost \x1b]8;;https://evil\x07 \u202etxt\x9b",
    ]
    assert str(pickle.loads(pickle.dumps(error))) == str(error)


def test_problems_of_a_configuration_stay_lines():
    error = ConfigError("n.toml has mistakes:", ["a: \x1b[2J", "b: one\ntwo"])
    assert str(error) == "n.toml has mistakes:\n  - a: \\x1b[2J\n  - b: one\n  two"
    assert error.problems == ("a: \\x1b[2J", "b: one\n  two")
    assert isinstance(SecretError("x"), NestvecError)
