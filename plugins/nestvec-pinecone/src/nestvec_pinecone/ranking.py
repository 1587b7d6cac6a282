"""Scores on nestvec's scale."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from nestvec.contract import Query
from nestvec.types import Metric


def best(request: Query, matches: Sequence[tuple[str, Any]]) -> list[tuple[str, Any, float]]:
    """Scored on nestvec's scale, best first, cut to what was asked for."""
    scored = [(space, match, _score(request.metric, match.score)) for space, match in matches]
    least = -np.inf if request.threshold is None else request.threshold
    ranked = sorted((hit for hit in scored if hit[2] >= least), key=lambda hit: -hit[2])
    return ranked[request.offset : request.offset + request.limit]


def _score(metric: Metric, score: float) -> float:
    """Pinecone's euclidean scores are squared distances, which rounding may take below 0."""
    return 0.0 - float(np.sqrt(max(score, 0.0))) if metric is Metric.EUCLIDEAN else float(score)
