"""Exact scores in plain numpy: what backends in memory answer, and others are compared with."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from nestvec.types import Metric

if TYPE_CHECKING:
    from nestvec.types import FloatArray


def scores(matrix: FloatArray, query: FloatArray, metric: Metric) -> FloatArray:
    """Exact scores of shape (n,), higher is better: cosine, dot, or minus the euclidean distance."""
    if metric is Metric.EUCLIDEAN:
        distances: FloatArray = np.linalg.norm(matrix - query, axis=1)
        return -distances
    products: FloatArray = matrix @ query
    if metric is Metric.DOT:
        return products
    lengths = np.linalg.norm(matrix, axis=1) * np.linalg.norm(query)
    cosines: FloatArray = np.divide(products, lengths, out=np.zeros_like(products), where=lengths > 0)
    return cosines
