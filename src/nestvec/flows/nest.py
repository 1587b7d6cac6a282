"""Fitting a rotation: which vectors it is fitted on, whether they suffice, and what it gains.

A sample is those of all candidates whose keyed hash is smallest: even, the same for the same seed whatever order a
backend reads in, and gathered in one pass in the memory of the sample alone. It comes in the order of the hashes, so
any part of it is a sample, too.
"""

from __future__ import annotations

import hashlib
import heapq
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from nestvec.artifacts import DEFAULT_SAMPLE
from nestvec.capabilities import ModelCapabilities
from nestvec.contract import Batch, Encode, Encoded, Fetch, Group, Scroll
from nestvec.encoding.matryoshka import nest, normalize, truncate
from nestvec.encoding.nesting import directions, fit_rotation
from nestvec.errors import InvalidInput, Unsupported
from nestvec.flows.base import Binding, Flow, Target, with_target
from nestvec.flows.documents import tenants as tenants_of
from nestvec.flows.search import check_texts
from nestvec.types import DENSE

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
_PAGE, _BLOCK = 1000, 128

#: Hears how many vectors were read or embedded, and how many there will be.
Progress = Callable[[int, int], object]


@dataclass(frozen=True, slots=True)
class PrefixRecall:
    """How much of exact search at full size a prefix finds: the share of the true ten nearest among its own ten.

    Without a rotation (`plain`) and with it (`nested`).
    """

    dimensions: int
    plain: float
    nested: float


@dataclass(frozen=True, slots=True)
class Fit:
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

    `path` is the file of the matrix; another one beside it says what it is. `new` is False where this very rotation was
    kept already, so that nothing was written. `vectors` is how many it was fitted on. `recall` was measured on others:
    `questions` vectors that searched `searched` more; it is empty where the sample was too small to hold any out.
    `config` are the lines that put it to use.
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


def check_sample(size: int) -> None:
    """Raise `InvalidInput` unless this is a number of vectors."""
    if isinstance(size, bool) or not isinstance(size, int) or size < 1:
        raise InvalidInput(f"sample must be a whole number of at least 1, not {size!r}")


def stored_sample(binding: Binding, size: int, seed: int = 0, progress: Progress | None = None) -> Flow[FloatArray]:
    """Vectors of a full-size collection as they are stored, of all its namespaces: shape (at most `size`, d).

    Raises `Unsupported` for a collection that is truncated already.
    """
    space, model = binding.spec.space, binding.spec.model
    check_sample(size)
    if space.dimensions < model.dimensions:
        raise Unsupported(
            f"collection {binding.spec.name!r} holds {space.dimensions} of {model.dimensions} dimensions: what was cut "
            f"off is needed to fit a rotation; name a full-size collection, or fit on texts: "
            f"nestvec nest --embedder {binding.spec.embedder} FILE"
        )

    def use(target: Target) -> Flow[FloatArray]:
        tenants: Sequence[str | None] = [None]
        if binding.spec.namespaces:
            tenants = yield from tenants_of(binding)
        smallest = _Smallest(size, seed)
        for number, tenant in enumerate(tenants):
            yield from _look(target, tenant, number, smallest)
        return (yield from _fetched(target, tenants, smallest.sorted(), space.dimensions, progress))

    return (yield from with_target(binding, use))


def choose_texts(texts: Iterable[str], size: int, seed: int = 0) -> list[str]:
    """A sample of the texts, each once. Raises `InvalidInput` for one that can not be embedded."""
    check_sample(size)
    smallest, kept = _Smallest(size, seed), dict[str, None]()
    for text in texts:
        check_texts([text])
        if text not in kept and smallest.offer(text, 0):
            kept[text] = None
            if len(kept) > 2 * size:
                kept = dict.fromkeys(text for text, _ in smallest.sorted())
    return [text for text, _ in smallest.sorted()]


def embedded_sample(
    model: ModelCapabilities, texts: Sequence[str], task: str | None, progress: Progress | None = None
) -> Flow[FloatArray]:
    """Full vectors of texts, as many at a time as the embedder takes: shape (texts, d)."""
    step = model.batch * max(1, model.concurrency)
    blocks = [np.zeros((0, model.dimensions), np.float32)]
    for start in range(0, len(texts), step):
        part = texts[start : start + step]
        groups = tuple(Group(f"text {text[:40]!r}", text, ((0, len(text)),)) for text in part)
        reply: Encoded = yield Encode(groups, task, model.dimensions)
        if reply.failures:
            raise reply.failures[0].error
        blocks += [rows for rows in reply.vectors if rows is not None]
        if progress is not None:
            progress(start + len(part), len(texts))
    return np.concatenate(blocks)


def different(rows: FloatArray) -> FloatArray:
    """The rows, of equal ones the first: else some that are held out could be among those that are fitted on."""
    first = {row.tobytes(): number for number, row in reversed(list(enumerate(rows)))}
    return rows[sorted(first.values())]


def fit(sample: FloatArray) -> Fit:
    """Fit on most of a sample of the model's own vectors, all different, and measure on the rest: shape (n, d).

    What is measured is what is returned: the rotation is not fitted again on everything. Raises `InvalidInput` where
    the sample does not suffice.
    """
    dimensions = sample.shape[1]
    least = max(2, dimensions // _LEAST)
    asking, searched = _held_out(len(sample), least)
    questions, others, rows = np.split(sample, [asking, asking + searched])
    found = directions(rows) if len(rows) > 1 else 0
    if found < least:
        raise InvalidInput(
            f"{len(sample):,} different vectors do not suffice to fit a rotation of {dimensions} dimensions: those to "
            f"fit on ({len(rows):,}) tell {found} directions apart, and a prefix of {least} needs as many; give at "
            f"least {least + 1:,} different texts, better {_sample_of(_AMPLE * dimensions, least):,}"
        )
    rotation = fit_rotation(rows)
    sizes = sorted({max(1, dimensions // part) for part in (8, 4, 2)} - {dimensions})
    recall = tuple(_recall(questions, others, rotation, size) for size in sizes) if asking else ()
    return Fit(
        rotation, len(rows), asking, searched, recall, tuple(_warnings(len(sample), searched, dimensions, least))
    )


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


class _Smallest:
    """The names with the smallest hashes among all that were offered."""

    def __init__(self, size: int, seed: int) -> None:
        self._size = size
        self._salt = str(seed).encode()
        self._heap: list[tuple[int, str, int]] = []

    def offer(self, name: str, part: int) -> bool:
        """Whether the name is among them so far. `part` tells equal names of different parts apart."""
        told = b"%d\0%s" % (part, name.encode("utf-8", "surrogatepass"))
        digest = hashlib.blake2b(told, digest_size=8, key=self._salt).digest()
        item = (-int.from_bytes(digest, "big"), name, part)
        if len(self._heap) < self._size:
            heapq.heappush(self._heap, item)
            return True
        return heapq.heappushpop(self._heap, item) != item

    def sorted(self) -> list[tuple[str, int]]:
        """Names and parts, in the order of their hashes."""
        return [(name, part) for _, name, part in sorted(self._heap, reverse=True)]


def _look(target: Target, tenant: str | None, number: int, smallest: _Smallest) -> Flow[None]:
    """Offer all records of a tenant, without reading their vectors."""
    cursor: str | int | None = None
    while True:
        batch: Batch = yield Scroll(
            target.physical, limit=_PAGE, cursor=cursor, content=False, tenant=tenant, foreign=target.foreign
        )
        for record in batch.records:
            smallest.offer(record.id, number)
        cursor = batch.cursor
        if cursor is None:
            return


def _fetched(
    target: Target,
    tenants: Sequence[str | None],
    chosen: Sequence[tuple[str, int]],
    dimensions: int,
    progress: Progress | None,
) -> Flow[FloatArray]:
    """The vectors of the chosen records, in their order; those that were deleted meanwhile are left out."""
    found: dict[tuple[str, int], FloatArray] = {}
    for number, tenant in enumerate(tenants):
        ids = [name for name, part in chosen if part == number]
        for start in range(0, len(ids), _BLOCK):
            block = ids[start : start + _BLOCK]
            batch: Batch = yield Fetch(
                target.physical, block, vectors=True, content=False, tenant=tenant, foreign=target.foreign
            )
            if batch.vectors is not None:
                rows = batch.vectors[DENSE]
                found |= {(record.id, number): row for record, row in zip(batch.records, rows, strict=True)}
            if progress is not None:
                progress(len(found), len(chosen))
    rows_there = [found[key] for key in chosen if key in found]
    return np.stack(rows_there) if rows_there else np.zeros((0, dimensions), np.float32)
