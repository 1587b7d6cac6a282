"""A stand-in for the models' tokenizers: the same for all of them, and simple enough to compute by hand.

A run of letters is cut into pieces of four, of which the last may be shorter; every other character that is no
white space is a token of its own; two marks, one at either end, belong to every input. So "Annual leave!" has
2 + 2 + 1 + 2 = 7 tokens.
"""

from __future__ import annotations

import re
from itertools import islice
from typing import Final

LETTERS: Final = 4
#: Tokens before and after the text of each input.
MARKS: Final = 2
#: What has a meaning of its own: runs of letters, runs of digits, any other character.
WORD: Final = re.compile(r"[^\W\d_]+|\d+|\S")
_TOKEN: Final = re.compile(rf"[^\W\d_]{{1,{LETTERS}}}|\S")


def count_tokens(text: str) -> int:
    """Tokens of one input, marks included."""
    return MARKS + sum(1 for _ in _TOKEN.finditer(text))


def tokens_of(word: str) -> int:
    """Tokens of one match of `WORD`."""
    return len(word) if word[0].isdecimal() else -(-len(word) // LETTERS)


def cut(text: str, tokens: int) -> str:
    """The start of a text that has at most so many tokens, marks included."""
    found = list(islice(_TOKEN.finditer(text), tokens - MARKS + 1))
    return text if len(found) <= tokens - MARKS else text[: found[-1].start()]
