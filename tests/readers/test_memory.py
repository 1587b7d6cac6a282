"""Memory does not grow with the input."""

from __future__ import annotations

import io
import itertools
import sys
import tracemalloc
from typing import TYPE_CHECKING

import pytest

from nestvec._readers import ReadDocument, read

if TYPE_CHECKING:
    from collections.abc import Iterator


class Generated(io.RawIOBase):
    """A file that never exists as a whole."""

    def __init__(self, blocks: Iterator[bytes]) -> None:
        self._blocks = blocks
        self._rest = b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer) -> int:
        self._rest = self._rest or next(self._blocks, b"")
        data, self._rest = self._rest[: len(buffer)], self._rest[len(buffer) :]
        buffer[: len(data)] = data
        return len(data)


HEADERS = {"jsonl": b"", "csv": b"id,text,year\n"}
LINES = {"jsonl": b'{"id": %d, "text": "%s", "year": 2026}\n', "csv": b"%d,%s,2026\n"}


def generated(format_: str, count: int, text: bytes) -> Iterator:
    line = LINES[format_]
    rows = (line % (number, text) for number in range(count))
    blocks = itertools.chain([HEADERS[format_]] if HEADERS[format_] else [], rows)
    return read(["-"], format=format_, stdin=Generated(blocks))


@pytest.mark.parametrize("format_", ["jsonl", "csv"])
def test_nothing_is_kept_of_two_hundred_thousand_lines(format_):
    items = generated(format_, 200_000, b"some words")
    for _ in itertools.islice(items, 1_000):
        pass
    before = sys.getallocatedblocks()
    assert sum(isinstance(item, ReadDocument) for item in itertools.islice(items, 198_000)) == 198_000
    # One object kept for every hundredth line would be seen; the reading itself holds a few hundred.
    assert sys.getallocatedblocks() - before < 1_980
    assert len(list(items)) == 1_000


@pytest.mark.parametrize("format_", ["jsonl", "csv"])
def test_the_peak_is_that_of_a_few_documents(format_):
    next(generated(format_, 1, b"x"))  # what is imported and cached on the first run is not counted
    tracemalloc.start()
    try:
        assert sum(1 for _ in generated(format_, 2_000, b"some words " * 2_000)) == 2_000  # 44 MB
        assert tracemalloc.get_traced_memory()[1] < 2_000_000
    finally:
        tracemalloc.stop()
