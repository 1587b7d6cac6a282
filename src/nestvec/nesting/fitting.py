"""Fitting a rotation: which vectors it is fitted on, whether they suffice, and what it gains."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from nestvec._artifacts import DEFAULT_SAMPLE
from nestvec._collections.opening import OpenCollection
from nestvec._documents.sampling import SampleProgress, check_sample, require_full, stored_sample
from nestvec.capabilities import ModelCapabilities
from nestvec.encoding.rotation import directions, fit_rotation
from nestvec.encoding.vectors import nest, normalize, truncate
from nestvec.errors import InvalidInput, Unsupported

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from nestvec.types import FloatArray

#: The size of a sample, unless told otherwise.
SAMPLE = DEFAULT_SAMPLE
#: Of a sample one part in so many, and at most so many vectors, are held out to measure on: questions, and what they
#: search. Among fewer than `_TELLING` chance alone finds a good part of the ten nearest: nothing is measured, and so
#: nothing held out. Below `_MANY` there is a warning.
_QUESTIONS, _MOST_QUESTIONS = 10, 500
_SEARCHED, _MOST_SEARCHED = 5, 5_000
_TELLING, _MANY = 40, 1_000
#: A quarter-length prefix holds a quarter of the axes. A sample that tells fewer directions apart would leave some of
#: them to chance: refused. Axes become stable at a few vectors for each of them: below, there is a warning.
_LEAST, _AMPLE = 4, 4
_NEIGHBOURS = 10


@dataclass(frozen=True, slots=True)
class PrefixRecall:
    """How much of exact search at full size a prefix finds: the share of the true ten nearest among its own ten.

    Attributes:
        dimensions: Length of the prefix.
        plain, nested: Without a rotation, and with it.
    """

    dimensions: int
    plain: float
    nested: float


@dataclass(frozen=True, slots=True)
class FittedRotation:
    """A rotation, and what it gains on vectors that it was not fitted on; see `NestReport`."""

    rotation: FloatArray
    vectors: int
    questions: int
    searched: int
    recall: tuple[PrefixRecall, ...]
    warnings: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class NestReport:
    """A rotation that was fitted and kept.

    Attributes:
        fingerprint: Its name.
        path: The file of the matrix; another one beside it says what it is.
        embedder: The embedder's name in the configuration.
        model, dimensions: The model's canonical name, and its full size.
        new: False where this very rotation was kept already, so that nothing was written.
        vectors: How many it was fitted on.
        questions, searched: How many others asked, and how many they searched, to measure `recall`.
        recall: What prefixes gain; empty where the sample was too small to hold any vectors out.
        warnings: Sentences for people.
    """

    fingerprint: str
    path: Path
    embedder: str
    model: str
    dimensions: int
    new: bool
    vectors: int
    questions: int
    searched: int
    recall: tuple[PrefixRecall, ...]
    warnings: tuple[str, ...] = ()

    @property
    def config(self) -> str:
        """The lines that put it to use in the configuration."""
        return f'[embedders.{self.embedder}]\nnesting = "{self.fingerprint}"'

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values.

        Returns:
            The fields by name, and `config`.

        Example:
            >>> from pathlib import Path
            >>> report = nestvec.NestReport("0123456789abcdef", Path("a.npy"), "model", "e5", 384, True, 900, 0, 0, ())
            >>> report.to_dict()["path"]
            'a.npy'
        """
        return asdict(self) | {"path": str(self.path), "config": self.config}


def check_nestable(declared: ModelCapabilities) -> None:
    """Raise `Unsupported` for a model that was trained for prefixes. `declared`: without a rotation of the user's."""
    if declared.matryoshka and declared.rotation is None:
        raise Unsupported(
            f"{declared.model} was trained for Matryoshka prefixes: they are what a rotation would give other models; "
            f"set dimensions to {declared.min_dimensions} or more, without one"
        )


async def sample_to_fit(
    collection: OpenCollection, size: int, seed: int = 0, progress: SampleProgress | None = None
) -> FloatArray:
    """Vectors of a full-size collection as they are stored, of all its namespaces: shape (at most `size`, d).

    Raises `Unsupported` for a collection that is truncated already.
    """
    check_sample(size)
    require_full(collection, "fit a rotation", "nest")
    return (await stored_sample(collection, size, seed, progress)).vectors


def different(rows: FloatArray) -> FloatArray:
    """The rows, of equal ones the first: else some that are held out could be among those that are fitted on."""
    first = {row.tobytes(): number for number, row in reversed(list(enumerate(rows)))}
    return rows[sorted(first.values())]


def fit(sample: FloatArray) -> FittedRotation:
    """Fit on most of a sample of the model's own vectors, all different, and measure on the rest: shape (n, d).

    What is measured is what is returned: the rotation is not fitted again on everything. Raises `InvalidInput` where
    the sample does not suffice.
    """
    dimensions = sample.shape[1]
    least = _least(dimensions)
    asking, searched = _held_out(len(sample), least)
    questions, others, rows = np.split(sample, [asking, asking + searched])
    lacking = shortfall(rows)
    if lacking is not None:
        raise InvalidInput(
            f"{len(sample):,} different vectors do not suffice to fit a rotation of {dimensions} dimensions: {lacking}"
            f"; give at least {least + 1:,} different texts, better {_sample_of(_AMPLE * dimensions, least):,}"
        )
    rotation = fit_rotation(rows)
    sizes = sorted({max(1, dimensions // part) for part in (8, 4, 2)} - {dimensions})
    recall = tuple(_recall(questions, others, rotation, size) for size in sizes) if asking else ()
    return FittedRotation(
        rotation, len(rows), asking, searched, recall, tuple(_warnings(len(sample), searched, dimensions, least))
    )


def shortfall(rows: FloatArray) -> str | None:
    """Why vectors of shape (n, d) do not suffice to fit a rotation on, in a few words; None: they do."""
    least = _least(rows.shape[1])
    found = directions(rows) if len(rows) > 1 else 0
    if found >= least:
        return None
    return f"those to fit on ({len(rows):,}) tell {found} directions apart, and a prefix of {least} needs as many"


def _least(dimensions: int) -> int:
    return max(2, dimensions // _LEAST)


def _held_out(sample: int, least: int) -> tuple[int, int]:
    """Of so many vectors, how many are questions, and how many others they search, so that enough are left to fit."""
    asking, searched = min(_MOST_QUESTIONS, sample // _QUESTIONS), min(_MOST_SEARCHED, sample // _SEARCHED)
    return (asking, searched) if searched >= _TELLING and sample - asking - searched > least else (0, 0)


def _sample_of(fitted: int, least: int) -> int:
    """How large a sample has to be to fit on so many vectors of it, and measure on others."""
    sizes = ((size, sum(_held_out(size, least))) for size in count(fitted))
    return next(size for size, held in sizes if held and size - held >= fitted)


def _warnings(sample: int, searched: int, dimensions: int, least: int) -> Iterable[str]:
    ample = _sample_of(_AMPLE * dimensions, least)
    if sample < ample:
        yield (
            f"a sample of {sample:,} vectors is small: with {ample:,} or more (to fit on {_AMPLE} for each dimension) "
            f"prefixes would do better on texts to come"
        )
    if not searched:
        yield (
            f"what prefixes gain was not measured: so small a sample is needed whole to fit on; give at least "
            f"{_sample_of(least + 1, least):,} different texts"
        )
    elif searched < _MANY:
        yield (
            f"recall was measured among {searched:,} vectors only, and among more of them prefixes find less; give at "
            f"least {_MANY * _SEARCHED:,} different texts for figures to go by"
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
