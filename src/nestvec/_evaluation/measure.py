"""What each prefix finds, measured for every question against exact search at full size."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from nestvec._evaluation.labels import Labels
from nestvec._evaluation.scoring import Neighbours, aligned, nearest, rescored
from nestvec.encoding.quantised import approximated
from nestvec.encoding.vectors import truncate
from nestvec.types import Metric, Storage

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from nestvec.types import FloatArray

    Exact = NDArray[np.float64]
    Places = NDArray[np.intp]

QUANTISED = (Storage.INT8, Storage.BINARY)


@dataclass(frozen=True, slots=True)
class Trial:
    """Full vectors of the questions, and of the texts that they search: (questions, d) and (texts, d).

    `documents` says which document a text is of. `labelled` are the numbers of the questions for which `relevant` says
    what answers them; all of that is among the documents.
    """

    questions: FloatArray
    rows: FloatArray
    documents: Sequence[str]
    labelled: Sequence[int] = ()
    relevant: Sequence[Mapping[str, float]] = ()
    metric: Metric = Metric.COSINE
    normalized: bool = True

    def turned(self, questions: FloatArray, rows: FloatArray) -> Trial:
        """The same under a rotation."""
        return Trial(
            questions, rows, self.documents, self.labelled, self.relevant, self.metric, normalized=self.normalized
        )


@dataclass(frozen=True, slots=True)
class Measured:
    """What a prefix of this length finds: a figure for each question (`ndcg`: for each labelled one; None: no labels).

    `quantised` is the recall where a search runs through vectors of that storage and rescores its candidates by the
    prefix itself; `unrescored` the same without that.
    """

    dimensions: int
    recall: Exact
    ndcg: Exact | None
    quantised: Mapping[Storage, Exact]
    unrescored: Mapping[Storage, Exact]


def measure(trial: Trial, sizes: Sequence[int], neighbours: Neighbours, k: int) -> list[Measured]:
    """Every prefix of a trial's vectors against the true neighbours."""
    labels = Labels(trial.documents, trial.relevant) if trial.labelled else None
    return [_prefix(trial, size, neighbours, labels, k) for size in sizes]


def _prefix(trial: Trial, size: int, neighbours: Neighbours, labels: Labels | None, k: int) -> Measured:
    questions, rows = (truncate(part, size, normalized=trial.normalized) for part in (trial.questions, trial.rows))
    left, right = aligned(questions, rows, trial.metric)
    recall = neighbours.recall(nearest(left, right, k))
    ndcg = labels.ndcg(left[list(trial.labelled)], right) if labels is not None else None
    quantised, unrescored = {}, {}
    for storage in QUANTISED:
        rough = aligned(approximated(questions, storage), approximated(rows, storage), trial.metric)
        found = nearest(*rough, max(k, math.ceil(k * storage.oversampling)))
        unrescored[storage] = neighbours.recall(found[:, :k])
        quantised[storage] = neighbours.recall(rescored(left, right, found, k))
    return Measured(size, recall, ndcg, quantised, unrescored)


def bytes_a_vector(dimensions: int) -> dict[str, int]:
    """What a search runs through, by storage kind; without the originals that int8 and binary keep beside it."""
    return {
        Storage.FLOAT32.value: 4 * dimensions,
        Storage.FLOAT16.value: 2 * dimensions,
        Storage.INT8.value: dimensions,
        Storage.BINARY.value: math.ceil(dimensions / 8),
    }
