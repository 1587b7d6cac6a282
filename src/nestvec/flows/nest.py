"""Fitting a rotation: which vectors it is fitted on, whether they suffice, and what it gains."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from nestvec.capabilities import ModelCapabilities
from nestvec.encoding.matryoshka import nest, normalize, truncate
from nestvec.encoding.nesting import directions, fit_rotation
from nestvec.errors import InvalidInput, Unsupported
from nestvec.flows.base import Binding, Flow
from nestvec.flows.sampling import Progress, check_sample, require_full, stored_sample

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from nestvec.types import FloatArray

#: Vectors that are fitted on, unless told otherwise: 20 for each dimension of a model with 1,024.
SAMPLE = 20_000
#: Of a sample, this share (and at most so many) is held out, to measure what the rotation gains.
_HELD_OUT, _QUESTIONS = 10, 500
#: A quarter-length prefix holds a quarter of the axes. A sample that tells fewer directions apart would leave some of
#: them to chance: refused. Axes become stable at a few vectors for each of them: below, there is a warning.
_LEAST, _AMPLE = 4, 4
_NEIGHBOURS = 10


@dataclass(frozen=True, slots=True)
class PrefixRecall:
    """How much of exact search at full size a prefix finds: the share of the true ten nearest among its own ten."""

    dimensions: int
    plain: float
    nested: float


@dataclass(frozen=True, slots=True)
class Fit:
    """A rotation, and what it gains on vectors that it was not fitted on."""

    rotation: FloatArray
    vectors: int
    held_out: int
    recall: tuple[PrefixRecall, ...]
    warnings: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class NestReport:
    """A rotation that was fitted and kept.

    `path` is the file of the matrix; another one beside it says what it is. `vectors` is how many it was fitted on,
    `held_out` how many others were questions for `recall`. `config` are the lines that put it to use.
    """

    fingerprint: str
    path: Path
    embedder: str
    model: str
    dimensions: int
    vectors: int
    held_out: int
    recall: tuple[PrefixRecall, ...]
    warnings: tuple[str, ...] = ()

    @property
    def config(self) -> str:
        """What to write into the configuration."""
        return f'[embedders.{self.embedder}]\nnesting = "{self.fingerprint}"'

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        return asdict(self) | {"path": str(self.path), "config": self.config}


def check_nestable(declared: ModelCapabilities) -> None:
    """Raise `Unsupported` for a model that was trained for prefixes. `declared`: without a rotation of the user's."""
    if declared.matryoshka and declared.rotation is None:
        raise Unsupported(
            f"{declared.model} was trained for Matryoshka prefixes: they are what a rotation would give other models; "
            f"set dimensions to {declared.min_dimensions} or more, without one"
        )


def sample_to_fit(binding: Binding, size: int, seed: int = 0, progress: Progress | None = None) -> Flow[FloatArray]:
    """Vectors of a full-size collection as they are stored, of all its namespaces: shape (at most `size`, d).

    Raises `Unsupported` for a collection that is truncated already.
    """
    check_sample(size)
    require_full(binding, "fit a rotation", "nest")
    return (yield from stored_sample(binding, size, seed, progress)).vectors


def fit(sample: FloatArray) -> Fit:
    """Fit on most of a sample of the model's own vectors, and measure on the rest: shape (n, d).

    What is measured is what is returned: the rotation is not fitted again on everything. Raises `InvalidInput` where
    the sample does not suffice.
    """
    dimensions = sample.shape[1]
    held_out = min(_QUESTIONS, len(sample) // _HELD_OUT)
    questions, rows = sample[:held_out], sample[held_out:]
    lacking = shortfall(rows)
    if lacking is not None:
        raise InvalidInput(
            f"{len(sample):,} vectors do not suffice to fit a rotation of {dimensions} dimensions: without the "
            f"{held_out:,} held out {lacking}; give at least {_least(dimensions) + 1 + held_out:,} different texts, "
            f"better {_AMPLE * dimensions:,}"
        )
    rotation = fit_rotation(rows)
    sizes = sorted({max(1, dimensions // part) for part in (8, 4, 2)} - {dimensions})
    recall = tuple(_recall(questions, rows, rotation, size) for size in sizes) if held_out else ()
    return Fit(rotation, len(rows), held_out, recall, tuple(_warnings(len(rows), dimensions)))


def shortfall(rows: FloatArray) -> str | None:
    """Why vectors of shape (n, d) do not suffice to fit a rotation on, in a few words; None: they do."""
    least = _least(rows.shape[1])
    found = directions(rows) if len(rows) > 1 else 0
    if found >= least:
        return None
    return (
        f"{len(rows):,} vectors tell {found} directions apart (repeated ones do not count), and a prefix of {least} "
        f"needs as many"
    )


def _least(dimensions: int) -> int:
    return max(2, dimensions // _LEAST)


def _warnings(vectors: int, dimensions: int) -> Iterable[str]:
    if vectors < _AMPLE * dimensions:
        yield (
            f"fitted on {vectors:,} vectors; with {_AMPLE * dimensions:,} or more ({_AMPLE} for each dimension) its "
            f"prefixes would do better on texts to come"
        )


def _recall(questions: FloatArray, rows: FloatArray, rotation: FloatArray, size: int) -> PrefixRecall:
    wanted = _nearest(questions, rows)
    found = [
        _nearest(truncate(left, size), truncate(right, size))
        for left, right in ((questions, rows), (nest(questions, rotation), nest(rows, rotation)))
    ]
    plain, nested = (
        float(np.mean([len(np.intersect1d(one, two)) / len(one) for one, two in zip(wanted, each, strict=True)]))
        for each in found
    )
    return PrefixRecall(size, plain, nested)


def _nearest(questions: FloatArray, rows: FloatArray) -> NDArray[np.intp]:
    """The numbers of the rows with the highest cosines: shape (questions, at most 10)."""
    scores = normalize(questions) @ normalize(rows).T
    count = min(_NEIGHBOURS, len(rows))
    nearest: NDArray[np.intp] = np.argpartition(-scores, count - 1, axis=1)[:, :count]
    return nearest
