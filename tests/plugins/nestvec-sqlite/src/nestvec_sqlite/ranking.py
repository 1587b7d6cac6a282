"""Exact scores."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from nestvec.types import Metric

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from nestvec.contract import Query
    from nestvec.types import FloatArray


def scores(vectors: FloatArray, question: FloatArray, metric: Metric) -> FloatArray:
    """One score for each row of `vectors`, shape (n, d); higher is better, as `Metric` says."""
    if metric is Metric.EUCLIDEAN:
        distances: FloatArray = np.linalg.norm(vectors - question, axis=1)
        return -distances
    products: FloatArray = vectors @ question
    if metric is Metric.DOT:
        return products
    lengths = np.linalg.norm(vectors, axis=1) * np.linalg.norm(question)
    # A vector of zeros has no direction: its cosine counts as 0.
    cosines: FloatArray = np.divide(products, lengths, out=np.zeros_like(products), where=lengths > 0)
    return cosines


def best(row: FloatArray, request: Query) -> NDArray[np.intp]:
    """The positions wanted by the query, best first; equal scores keep their order."""
    order = np.argsort(-row, kind="stable")
    if request.threshold is not None:
        order = order[row[order] >= request.threshold]
    return order[request.offset : request.offset + request.limit]
