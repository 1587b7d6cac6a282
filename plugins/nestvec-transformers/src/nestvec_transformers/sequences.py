"""From texts to what the model reads in one pass, and to the tokens over which each chunk's vector is the mean.

**Plain.** A chunk is read alone, after the prompt of its task and between the tokenizer's marks. Its vector is the mean
over all of these tokens, marks and prompt included, as the model was trained.

**Late chunking** (arXiv 2409.04701). The document is read as one text, from the beginning of its first chunk to the end
of its last, and tokenized once: what stands between two chunks is context like any other text. A token belongs to the
chunk in which it ends, so each counts once, wherever chunks cut words. The first chunk also takes the tokens before it,
mark and prompt, and the last one the mark after it: that is how the method's authors count them, and with it a single
chunk is exactly what it is without late chunking. A chunk in which no token ends (white space, half a word) has the
vector of the token before it.

A document that is too long is cut between chunks into overlapping windows (`nestvec.encoding.windows`), each with the
same prompt and marks around it.
"""

from __future__ import annotations

from collections.abc import Sequence as Many
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from nestvec.encoding.packing import Item, windows
from nestvec.errors import EmbedderRefused
from nestvec.values import is_unicode

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from nestvec.contract import Group
    from nestvec.encoding.windows import Window
    from nestvec.types import Span

    IntArray = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Sequence:
    """What one row of a batch reads. `ranges` are the tokens of chunks `first`, `first` + 1, … of document `group`."""

    ids: IntArray
    ranges: tuple[tuple[int, int], ...]
    group: int
    first: int

    @property
    def items(self) -> list[Item]:
        """The places of its vectors."""
        return [Item(self.group, self.first + number, "", 0) for number in range(len(self.ranges))]


@dataclass(frozen=True, slots=True)
class Tokens:
    """A prompt and a text as the model reads them. `ends` are where the text's tokens end, in its characters.

    Around the text are `head` tokens (mark, prompt) and `tail` tokens (mark).
    """

    ids: IntArray
    ends: IntArray
    head: int
    tail: int

    def ranges(self, spans: Many[Span]) -> IntArray:
        """The tokens that end in each span: shape (spans, 2), half-open, counted from the text's first token."""
        return np.searchsorted(self.ends, np.asarray(spans, np.int64).reshape(-1, 2), side="right")


def plain(number: int, group: Group, tokenizer: Any, prompt: str) -> list[Sequence]:
    """Each chunk of a document alone."""
    encodings = tokenizer.encode_batch([prompt + text for text in group.texts()])
    ids = [np.asarray(encoding.ids, np.int64) for encoding in encodings]
    return [Sequence(each, ((0, len(each)),), number, span) for span, each in enumerate(ids)]


def late(number: int, group: Group, tokenizer: Any, prompt: str, limit: int) -> list[Sequence]:
    """The windows of a document. Raises `EmbedderRefused` for a chunk that none of `limit` tokens holds."""
    if not group.spans:
        return []
    begin, end = group.spans[0][0], group.spans[-1][1]
    tokens = tokenized(tokenizer, prompt, group.text[begin:end])
    ranges = tokens.ranges([(start - begin, stop - begin) for start, stop in group.spans])
    # What stands between two chunks counts for the first of them.
    reach = np.maximum(ranges[:, 1], np.append(ranges[1:, 0], 0))
    items = [Item(number, span, "", int(count)) for span, count in enumerate(reach - ranges[:, 0])]
    return [_window(number, tokens, ranges, window) for window in windows(group, items, limit)]


def tokenized(tokenizer: Any, prompt: str, text: str) -> Tokens:
    """A prompt and a text, tokenized as one."""
    encoding = tokenizer.encode(prompt + text)
    inside = [index for index, sequence in enumerate(encoding.sequence_ids) if sequence is not None]
    first, last = (inside[0], inside[-1] + 1) if inside else (1, 1)
    ends = np.asarray([end for _, end in encoding.offsets[first:last]], np.int64) - len(prompt)
    before = int(np.searchsorted(ends, 0, side="right"))
    ids = np.asarray(encoding.ids, np.int64)
    return Tokens(ids, ends[before:], first + before, len(ids) - last)


def _window(number: int, tokens: Tokens, ranges: IntArray, window: Window) -> Sequence:
    low, high = int(ranges[window.first, 0]), int(ranges[window.end - 1, 1])
    text = tokens.ids[tokens.head + low : tokens.head + high]
    ids = np.concatenate([tokens.ids[: tokens.head], text, tokens.ids[len(tokens.ids) - tokens.tail :]])
    kept = ranges[window.keep_first : window.keep_end] - low + tokens.head
    kept[:, 0] = np.where(kept[:, 0] == kept[:, 1], kept[:, 0] - 1, kept[:, 0])
    if window.keep_first == 0:
        kept[0, 0] = 0
    if window.keep_end == len(ranges):
        kept[-1, 1] = len(ids)
    return Sequence(ids, tuple((int(start), int(stop)) for start, stop in kept), number, window.keep_first)


def check_length(sequence: Sequence, limit: int, model: str) -> None:
    """Raises `EmbedderRefused` for what the model would have to cut."""
    if len(sequence.ids) > limit:
        raise EmbedderRefused(
            f"the text has {len(sequence.ids):,} tokens, prompt and marks included; {model} takes {limit:,} here; set "
            f"a smaller chunking.size"
        )


def check_text(text: str) -> None:
    """Raises `EmbedderRefused` for what is no valid Unicode."""
    if not is_unicode(text):
        raise EmbedderRefused("the text has a lone surrogate: not valid Unicode; repair the source")
