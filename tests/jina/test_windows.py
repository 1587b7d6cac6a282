"""Packing for late chunking: no window over the limit, no chunk lost or twice, order kept, context on both sides."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nestvec.encoding.windows import plan_windows
from nestvec.errors import InvalidInput


@st.composite
def documents(draw):
    limit = draw(st.integers(1, 400))
    tokens = draw(st.lists(st.integers(1, limit), max_size=60))
    overlap = draw(st.none() | st.integers(0, 2 * limit))
    return tokens, limit, overlap


@given(documents())
def test_every_chunk_once_in_order_within_the_limit(case):
    tokens, limit, overlap = case
    windows = plan_windows(tokens, limit, overlap)
    kept = [chunk for window in windows for chunk in range(window.keep_first, window.keep_end)]
    assert kept == list(range(len(tokens)))
    for window in windows:
        assert sum(tokens[window.first : window.end]) <= limit
        assert window.first <= window.keep_first < window.keep_end <= window.end


@given(documents())
def test_a_document_that_fits_is_one_window(case):
    tokens, _, overlap = case
    limit = max(1, sum(tokens))
    assert len(plan_windows(tokens, limit, overlap)) == (1 if tokens else 0)


@given(st.lists(st.integers(1, 25), min_size=20, max_size=120))
def test_small_chunks_have_context_on_both_sides(tokens):
    limit = 200
    windows = plan_windows(tokens, limit)
    for left, right in pairwise(windows):
        before = sum(tokens[right.first : right.keep_first])
        after = sum(tokens[left.keep_end : left.end])
        # A quarter of the limit is shared, less one chunk; each side has half of it, less half a chunk.
        assert min(before, after) >= (limit // 4 - 25) / 2 - 25 / 2
        assert min(before, after) > 0 or max(tokens) > limit // 8


def test_neighbours_that_do_not_fit_together_have_no_context():
    assert [(w.first, w.end) for w in plan_windows([60, 60, 60], 100)] == [(0, 1), (1, 2), (2, 3)]


def test_the_last_window_reaches_back_for_context():
    windows = plan_windows([10] * 21, 100, 20)
    assert windows[-1].end == 21
    assert windows[-1].end - windows[-1].first == 10


def test_a_chunk_over_the_limit_is_refused_and_named():
    with pytest.raises(InvalidInput, match="chunk 1 has about 101 tokens; at most 100"):
        plan_windows([5, 101, 5], 100)
