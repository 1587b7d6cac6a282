"""Late chunking within a model's limit: which chunks of a document are embedded together.

A document that fits is one window. A longer one is cut into overlapping windows, so that every chunk is embedded
with context on both sides ("long late chunking", section 3.1 of arXiv 2409.04701). Chunks in an overlap are seen
twice; their vector is taken from the window in which they lie deeper.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise

from nestvec.errors import InvalidInput


@dataclass(frozen=True, slots=True)
class Window:
    """Chunks `first` to `end` (exclusive) are embedded together; the vectors of `keep_first` to `keep_end` are kept."""

    first: int
    end: int
    keep_first: int
    keep_end: int


def plan_windows(tokens: Sequence[int], limit: int, overlap: int | None = None) -> list[Window]:
    """Windows of at most `limit` tokens over chunks of these token counts, in order.

    Neighbouring windows share at least `overlap` tokens (default: a quarter of the limit) where whole chunks allow it,
    and never leave a chunk out; half of what they share is context for the other's chunks. Each chunk is kept exactly
    once. Raises `InvalidInput` if a chunk alone is over the limit.

    >>> plan_windows([40, 40, 40, 40, 40], 120, 40)
    [Window(first=0, end=3, keep_first=0, keep_end=2), Window(first=2, end=5, keep_first=2, keep_end=5)]
    """
    for number, count in enumerate(tokens):
        if count > limit:
            raise InvalidInput(f"chunk {number} has about {count} tokens; at most {limit} fit into a window")
    if not tokens:
        return []
    ends = [0, *accumulate(tokens)]
    spans = _spans(ends, limit, limit // 4 if overlap is None else overlap)
    cuts = [0, *(_cut(ends, left[1], right[0]) for left, right in pairwise(spans)), len(tokens)]
    windows = [Window(*span, *kept) for span, kept in zip(spans, pairwise(cuts), strict=True)]
    return [window for window in windows if window.keep_first < window.keep_end]


def _spans(ends: Sequence[int], limit: int, overlap: int) -> list[tuple[int, int]]:
    """Each window as long as fits; the next begins `overlap` tokens before its end, or just after its first chunk."""
    spans: list[tuple[int, int]] = []
    first, last = 0, len(ends) - 1
    while True:
        end = bisect_right(ends, ends[first] + limit) - 1
        if end == last:
            # Nothing follows: room that is left becomes context before.
            earliest = bisect_left(ends, ends[last] - limit)
            floor = spans[-1][0] + 1 if spans else 0
            spans.append((max(earliest, floor) if spans else first, end))
            return spans
        spans.append((first, end))
        first = min(max(bisect_right(ends, ends[end] - overlap) - 1, first + 1), end)
        # A window must reach beyond the one before it.
        while bisect_right(ends, ends[first] + limit) - 1 <= end:
            first += 1


def _cut(ends: Sequence[int], left_end: int, right_first: int) -> int:
    """Where two overlapping windows share their chunks out: in the middle of what both see, by tokens."""
    middle = (ends[right_first] + ends[left_end]) / 2
    return min(range(right_first, left_end + 1), key=lambda place: (abs(ends[place] - middle), place))
