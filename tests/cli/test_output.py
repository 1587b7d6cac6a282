"""Texts cut to terminal cells."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from wcwidth import wcswidth

from nestvec._cli.output import amount, clean, fit, stack, table, wrap


@given(st.text(st.characters(codec="utf-8"), max_size=200), st.integers(2, 30), st.integers(1, 4))
def test_wrapped_text_fits(text, width, lines):
    wrapped = wrap(text, width, lines).split("\n")
    assert len(wrapped) <= lines
    assert all(wcswidth(line) <= width for line in wrapped)


@given(st.text(st.sampled_from("ab 漢字é"), max_size=60), st.integers(2, 30))
def test_nothing_is_lost_where_there_is_room(text, width):
    assert wrap(text, width, 1000).replace("\n", "").replace(" ", "") == clean(text).replace(" ", "")


def test_an_ellipsis_marks_what_is_left_out():
    assert fit("abcdef", 4) == "abc…"
    assert fit("漢字漢字", 5) == "漢字…"
    assert fit("abcd", 4) == "abcd"


def test_control_and_direction_characters_do_not_reach_the_terminal():
    assert clean("a\x1b[31m\u202eb\tc\r\n\u2028d") == r"a\x1b[31m\u202eb c d"


def test_only_what_was_laid_out_here_has_several_lines_in_a_table():
    rows = [("a\n----\nb\x1b[2J", stack(fit("c", 5), fit("d", 5)))]
    shown = table(("one\ntwo", "x"), rows).split("\n")
    assert [line.split() for line in shown[-2:]] == [[r"a\n----\nb\x1b[2J", "c"], ["d"]]


def test_amounts():
    assert [amount(n, "chunk") for n in (0, 1, 1200)] == ["0 chunks", "1 chunk", "1,200 chunks"]
