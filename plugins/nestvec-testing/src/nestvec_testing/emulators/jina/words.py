"""Words as sparse vectors, remembered: what makes the emulated vectors quick.

A word's vector has a few non-zero coordinates in each octave of the dimensions ([0], [1], [2, 3], [4 … 7], …), so every
prefix of it says something, the more the longer it is. Where and with which sign follows from a hash of the word
in lower case. The energy of an octave grows with the square root of its size; all energies sum up to 1.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Sequence
from itertools import chain
from typing import TYPE_CHECKING, Final

import numpy as np

from nestvec_testing.emulators.jina.tokens import MARKS, WORD, tokens_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

#: Coordinates of a word in each octave.
_SPREAD: Final = (1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3, 3)
_STARTS: Final = np.array([0, *(2**n for n in range(len(_SPREAD) - 1))])
_SIZES: Final = np.array([1, *_STARTS[1:]])
WIDEST: Final = int(_SIZES.sum())
_OCTAVE: Final = np.repeat(np.arange(len(_SPREAD)), _SPREAD)
_ENERGY: Final = np.sqrt(_SIZES) / np.sqrt(_SIZES).sum()
_SIZE_OF: Final = np.sqrt(_ENERGY / np.array(_SPREAD))[_OCTAVE]
#: Characters that are neither letters nor digits count for so much of a word.
_PUNCTUATION: Final = 0.1
_REMEMBERED: Final = 200_000


class _Counts(dict[str, int]):
    """Tokens of each piece between white space."""

    def __missing__(self, piece: str) -> int:
        self[piece] = count = sum(tokens_of(word) for word in WORD.findall(piece))
        return count


class _Numbers(dict[str, tuple[int, ...]]):
    """The words of each piece between white space, as numbers of a lexicon."""

    def __init__(self, lexicon: Lexicon) -> None:
        super().__init__()
        self._lexicon = lexicon

    def __missing__(self, piece: str) -> tuple[int, ...]:
        self[piece] = numbers = tuple(map(self._lexicon.number, WORD.findall(piece)))
        return numbers


class Lexicon:
    """All words met so far. Safe to use from several threads, under `lock`."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self._forget()

    def _forget(self) -> None:
        self._counts, self._numbers = _Counts(), _Numbers(self)
        self._known: dict[tuple[str, int], int] = {}
        self._new: list[tuple[str, int]] = []
        self._places = np.empty((0, len(_OCTAVE)), np.intp)
        self._values = np.empty((0, len(_OCTAVE)), np.float64)
        self._tokens = np.empty(0, np.intp)

    def count(self, text: str) -> int:
        """Like `count_tokens`, but remembers."""
        with self.lock:
            return MARKS + sum(map(self._counts.__getitem__, text.split()))

    def number(self, word: str) -> int:
        """Under `lock`: the word's own."""
        key = (word.lower(), tokens_of(word))
        if key not in self._known:
            self._known[key] = len(self._known)
            self._new.append(key)
        return self._known[key]

    def words(self, texts: Sequence[str]) -> list[NDArray[np.intp]]:
        """Under `lock`: the numbers of each text's words, in order. They hold until the next call."""
        if len(self._numbers) > _REMEMBERED:
            self._forget()
        found = [
            np.fromiter(chain.from_iterable(map(self._numbers.__getitem__, text.split())), np.intp) for text in texts
        ]
        self._learn()
        return found

    def tokens(self, words: NDArray[np.intp]) -> NDArray[np.intp]:
        """Under `lock`: how many tokens each of them is."""
        counts: NDArray[np.intp] = self._tokens[words]
        return counts

    def sums(
        self,
        rows: NDArray[np.intp],
        words: NDArray[np.intp],
        weights: NDArray[np.float64],
        height: int,
        dimensions: int,
    ) -> NDArray[np.float64]:
        """Under `lock`: the weighted sum of the words of each row, shape (height, dimensions).

        Summed up in order of the words, so a text's vector is the same to the last bit whatever stands beside it.
        """
        octaves = int(np.searchsorted(_STARTS, dimensions))
        width, used = int(_STARTS[octaves - 1] + _SIZES[octaves - 1]), int(np.sum(_SPREAD[:octaves]))
        places = self._places[words, :used] + (rows * width)[:, None]
        values = self._values[words, :used] * weights[:, None]
        summed: NDArray[np.float64] = np.bincount(places.ravel(), values.ravel(), height * width).astype(
            np.float64, copy=False
        )
        return summed.reshape(height, width)[:, :dimensions]

    def _learn(self) -> None:
        if not self._new:
            return
        words, self._new = self._new, []
        seeds = np.array([_seed(word) for word, _ in words], np.uint64)
        bits = _scramble(seeds[:, None] + np.arange(1, len(_OCTAVE) + 1, dtype=np.uint64) * _STEP)
        places = _STARTS[_OCTAVE] + (bits >> np.uint64(1)).astype(np.intp) % _SIZES[_OCTAVE]
        heard = np.array([1.0 if word[0].isalnum() else _PUNCTUATION for word, _ in words])
        values = np.where(bits & np.uint64(1), 1.0, -1.0) * _SIZE_OF * heard[:, None]
        self._places = np.concatenate([self._places, places])
        self._values = np.concatenate([self._values, values])
        self._tokens = np.concatenate([self._tokens, [tokens for _, tokens in words]]).astype(np.intp)


_STEP: Final = np.uint64(0x9E3779B97F4A7C15)


def _seed(word: str) -> int:
    return int.from_bytes(hashlib.blake2b(word.encode(errors="surrogatepass"), digest_size=8).digest(), "little")


def _scramble(seeds: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """The finishing steps of splitmix64 (Steele, Lea, Flood: Fast splittable pseudorandom number generators)."""
    mixed = (seeds ^ (seeds >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return mixed ^ (mixed >> np.uint64(31))


#: One for the process: emulators and the functions that tests compare them with share what is remembered.
LEXICON: Final = Lexicon()
