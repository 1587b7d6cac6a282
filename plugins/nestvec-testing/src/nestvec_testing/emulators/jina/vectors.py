"""The emulated vectors, as functions: what tests compare replies with.

**Plain.** A text's vector is the mean of the vectors of its tokens (see `tokens`): each token has the vector of its
word (see `words`), each of the two marks a tiny vector that is the same everywhere. Its coordinates then change
their signs, half of them as the model wants it and a tenth as the task does. Vectors of two models have
nothing in common; those of two tasks are alike, and not equal. A shorter vector is a prefix of the longer one.

**Late chunking.** The texts of a request are one sequence of tokens, cut off after `limit` of them. Each token has
its neighbours in it, `WINDOW` tokens on either side, and the whole of it:

    (1 - NEAR - WHOLE) * own + NEAR / (2 * WINDOW) * sum of the neighbours + WHOLE * mean of the sequence

where its own stands in for neighbours beyond the ends of the sequence. The vector of a text is the mean over its
tokens, of what the cut left of it; nothing left, it is the marks' vector. The weights of a token sum up to 1 both
ways, so one text alone gets its plain vector.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Final

import numpy as np

from nestvec_testing.emulators.jina.models import MODELS
from nestvec_testing.emulators.jina.tokens import MARKS
from nestvec_testing.emulators.jina.words import LEXICON, WIDEST

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from nestvec.types import FloatArray

#: Tokens on either side that a token takes in; how much of it they become, and how much the whole sequence does.
WINDOW: Final = 64
NEAR: Final = 0.25
WHOLE: Final = 0.5
#: Tokens of one late-chunked request.
LATE_TOKENS: Final = 8192
V3: Final = "jina-embeddings-v3"


def plain_vectors(
    texts: Sequence[str],
    model: str = V3,
    task: str | None = None,
    *,
    dimensions: int | None = None,
    normalized: bool = True,
) -> FloatArray:
    """Vectors of texts on their own, shape (texts, dimensions), float32. By default all the model has."""
    size = dimensions or MODELS[model].dimensions
    with LEXICON.lock:
        found = LEXICON.words(texts)
        words = np.concatenate([*found, np.empty(0, np.intp)])
        rows = np.repeat(np.arange(len(texts)), [len(each) for each in found])
        weights = LEXICON.tokens(words).astype(np.float64)
        sums = LEXICON.sums(rows, words, weights, len(texts), size)
    tokens = MARKS + np.bincount(rows, weights, len(texts))
    means = (sums + MARKS * _mark()[:size]) / tokens[:, None]
    return finished(means * signs(model, task)[:size], normalized=normalized)


def late_vectors(
    texts: Sequence[str],
    model: str = V3,
    task: str | None = None,
    *,
    dimensions: int | None = None,
    normalized: bool = True,
    limit: int = LATE_TOKENS,
) -> FloatArray:
    """Vectors of texts that are one document, shape (texts, dimensions), float32. By default all the model has."""
    size = dimensions or MODELS[model].dimensions
    with LEXICON.lock:
        parts = [_sequence(words, LEXICON.tokens(words)) for words in LEXICON.words(texts)]
        sequence = np.concatenate([*parts, np.empty(0, np.intp)])[:limit]
        ends = np.minimum(np.cumsum([len(part) for part in parts]), limit)
        spans = [*zip([0, *ends[:-1]], ends, strict=True), (0, len(sequence))]
        weighed = [_weighed(row, span, sequence) for row, span in enumerate(spans)]
        rows, words, weights = (np.concatenate(column) for column in zip(*weighed, strict=True))
        heard = words >= 0
        sums = LEXICON.sums(rows[heard], words[heard], weights[heard], len(spans), size)
    sums += np.bincount(rows[~heard], weights[~heard], len(spans))[:, None] * _mark()[:size]
    shares = np.where([start < end for start, end in spans], WHOLE, 0.0)[:, None]
    mixed = (1 - shares) * sums + shares * sums[-1]
    return finished(mixed[:-1] * signs(model, task)[:size], normalized=normalized)


def finished(vectors: NDArray[np.float64], *, normalized: bool) -> FloatArray:
    """As float32; of unit length if wanted."""
    if normalized:
        vectors = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), np.finfo(np.float64).tiny)
    return vectors.astype(np.float32)


#: Stands for a mark in a sequence of words.
_MARK: Final = -1


def _sequence(words: NDArray[np.intp], tokens: NDArray[np.intp]) -> NDArray[np.intp]:
    """The word of each token of one input."""
    return np.concatenate([[_MARK], np.repeat(words, tokens), [_MARK]])


def _weighed(
    row: int, span: tuple[int, int], sequence: NDArray[np.intp]
) -> tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.float64]]:
    """Row, word and weight of each token that has a part in the mean over a span, of 1 in all."""
    start, end = span
    if start == end:
        return np.array([row]), np.array([_MARK]), np.array([1.0])
    at = np.arange(max(0, start - WINDOW), min(len(sequence), end + WINDOW))
    first, last = np.maximum(at - WINDOW, 0), np.minimum(at + WINDOW + 1, len(sequence))
    within = np.maximum(np.minimum(last, end) - np.maximum(first, start), 0)
    inside = (start <= at) & (at < end)
    share = NEAR / (1 - WHOLE) / (2 * WINDOW)
    weights = np.where(inside, 1 - share * (last - first - within), share * within) / (end - start)
    return np.full(len(at), row), sequence[at], weights


@lru_cache(maxsize=256)
def signs(model: str, task: str | None) -> NDArray[np.float64]:
    """What a model and a task change in a vector: +1 or -1 for each coordinate."""
    of_model = np.where(_dice(f"model {model}").random(WIDEST) < 0.5, -1.0, 1.0)
    return of_model * np.where(_dice(f"task {task}").random(WIDEST) < 0.1, -1.0, 1.0)


@lru_cache(maxsize=1)
def _mark() -> NDArray[np.float64]:
    """Never zero anywhere: no prefix of a vector vanishes, whatever its words are."""
    dice = _dice("mark")
    mark: NDArray[np.float64] = np.where(dice.random(WIDEST) < 0.5, -1.0, 1.0) * (0.001 + 0.002 * dice.random(WIDEST))
    return mark


def _dice(name: str) -> np.random.Generator:
    return np.random.default_rng(int.from_bytes(hashlib.blake2b(name.encode(), digest_size=8).digest(), "little"))
