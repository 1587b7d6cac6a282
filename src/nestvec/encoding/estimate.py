"""How many tokens a text has: counted where there is a tokenizer, else estimated and corrected by what replies say."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

from nestvec._files import check_file
from nestvec.errors import ConfigError

_LETTERS = re.compile(r"[A-Za-z ]+")
#: Tokens a character, on the safe side for the models' tokenizers: ASCII letters join into tokens, the rest less.
_LETTER, _OTHER = 0.45, 1.0
#: Beginning and end marks of a sequence.
SPECIALS = 2
#: Replies are trusted slowly, and only with a margin: texts differ.
_MARGIN, _WEIGHT, _LOWEST = 1.15, 0.2, 0.3
#: Rough tokens in a request from which it teaches something: in a short one, marks and prompts weigh more than text.
_ENOUGH = 200


def rough(text: str) -> float:
    """An upper estimate of a text's tokens, without the marks around it."""
    others = len(_LETTERS.sub("", text))
    return (len(text) - others) * _LETTER + others * _OTHER + 1


class TokenEstimate:
    """Estimates for one model. Safe for threads.

    `factor` begins at 1 and follows the ratio of real to estimated tokens: down slowly, up at once.
    """

    def __init__(self, count: Callable[[str], int] | None = None) -> None:
        self._count = count
        self._factor = 1.0
        self._lock = threading.Lock()

    @property
    def exact(self) -> bool:
        """Whether tokens are counted."""
        return self._count is not None

    @property
    def factor(self) -> float:
        """What rough estimates are multiplied with."""
        return self._factor

    def tokens(self, text: str, least: float = 0.0) -> int:
        """Tokens of one text, without the marks around it; `least` is a factor for one document that has more."""
        if self._count is not None:
            return int(self._count(text) * max(1.0, least))
        return int(rough(text) * max(self._factor, least)) + 1

    def learn(self, texts: Sequence[str], used: int) -> None:
        """Correct the factor by what a request with these texts was charged."""
        whole = sum(map(rough, texts))
        if self._count is not None or used <= 0 or whole < _ENOUGH:
            return
        ratio = max(_LOWEST, used / whole * _MARGIN)
        with self._lock:
            grown = ratio > self._factor
            self._factor = ratio if grown else self._factor + (ratio - self._factor) * _WEIGHT


def counter(tokenizer: Path | None) -> Callable[[str], int] | None:
    """Counts tokens without the marks around a text, if there is a tokenizer file. Raises `ConfigError`."""
    if tokenizer is None:
        return None
    try:
        from tokenizers import Tokenizer
    except ImportError as error:
        raise ConfigError("tokenizer: needs the package tokenizers; pip install 'nestvec[tokenizers]'") from error
    try:
        check_file(tokenizer)
        loaded = Tokenizer.from_file(str(tokenizer))
    except Exception as error:  # the library raises bare Exception
        raise ConfigError(
            f"tokenizer: the file {tokenizer} cannot be used: {error}; give the model's tokenizer.json"
        ) from error
    return lambda text: len(loaded.encode(text, add_special_tokens=False).ids)
