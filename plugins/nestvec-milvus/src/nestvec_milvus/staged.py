"""Searches whose candidates are compared once more: coarse to fine, and on quantised indexes.

Milvus cannot search within the results of a search. The candidates' vectors are fetched by id and compared here, once
for all questions. The other way, a search whose filter lists the candidates, takes one call for each question: it was
measured to take as long for one question on a server, five times as long for 32, and on Milvus Lite, which looks at
every record for a filter, twenty to eighty times as long.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from nestvec.contract import Found, Query
from nestvec.types import Metric, Record
from nestvec_milvus.records import ResultTable

if TYPE_CHECKING:
    from nestvec.types import FloatArray


class Candidates:
    """What was fetched of the candidates: their vectors of one name, and their records if those were fetched, too."""

    def __init__(self, name: str, dimensions: int, tables: Sequence[ResultTable], *, content: bool = False) -> None:
        ids = [identity for table in tables for identity in table.ids]
        self._rows = np.concatenate([np.zeros((0, dimensions), np.float32), *(table.rows(name) for table in tables)])
        self._places: Mapping[str, int] = {identity: place for place, identity in enumerate(ids)}
        self._records: Sequence[Record] = [each for table in tables for each in table.records()] if content else []

    def best(self, ids: Sequence[str], question: FloatArray, metric: Metric, limit: int) -> list[str]:
        """The best of some candidates. Those that were deleted meanwhile are left out."""
        there, scores = self._scored(ids, question, metric)
        return [there[place] for place in np.argsort(-scores, kind="stable")[:limit]]

    def found(self, ids: Sequence[str], question: FloatArray, request: Query) -> list[Found]:
        """The answer to a question: the best of its candidates, as the request wants them."""
        there, scores = self._scored(ids, question, request.metric)
        order = np.argsort(-scores, kind="stable")
        if request.threshold is not None:
            order = order[scores[order] >= np.float32(request.threshold)]
        chosen = order[request.offset : request.offset + request.limit]
        return [Found(self._records[self._places[there[place]]], float(scores[place])) for place in chosen]

    def _scored(self, ids: Sequence[str], question: FloatArray, metric: Metric) -> tuple[list[str], FloatArray]:
        there = [identity for identity in ids if identity in self._places]
        return there, scored(self._rows[[self._places[identity] for identity in there]], question, metric)


def scored(rows: FloatArray, question: FloatArray, metric: Metric) -> FloatArray:
    """The scores of rows of shape (n, dimensions), higher is better: shape (n,)."""
    if metric is Metric.EUCLIDEAN:
        distances: FloatArray = np.linalg.norm(rows - question, axis=1)
        return np.float32(0) - distances
    products: FloatArray = rows @ question
    if metric is Metric.COSINE:
        lengths = np.linalg.norm(rows, axis=1) * np.linalg.norm(question)
        np.divide(products, lengths, out=products, where=lengths > 0)
    return products
