"""Searching coarse to fine: a record's prefix vectors, and how many candidates each step of a search takes."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

from nestvec._collections.opening import OpenCollection, Target
from nestvec.contract import Query, QueryStaged, Stage
from nestvec.encoding.vectors import truncate
from nestvec.types import DENSE, prefix_name

if TYPE_CHECKING:
    from nestvec._specs import CollectionSpec
    from nestvec.types import FloatArray


def named(spec: CollectionSpec, rows: FloatArray) -> dict[str, FloatArray]:
    """All vectors of a collection's records or questions, from the full ones of shape (n, dimensions)."""
    cut = {prefix_name(size): truncate(rows, size, normalized=spec.space.normalized) for size in spec.funnel}
    return {**cut, DENSE: rows}


def aimed(collection: OpenCollection, target: Target, query: Query, limit: int, offset: int = 0) -> Query:
    """The query for so many results, with the candidates that this takes."""
    spec, most = collection.spec, collection.capabilities.max_limit
    wanted = limit + offset
    stages = tuple(
        Stage(prefix_name(size), candidates(wanted, spec.oversampling, steps, most))
        for steps, size in zip(range(len(spec.funnel), 0, -1), spec.funnel, strict=True)
    )
    # The database may keep vectors otherwise than configured, until the configuration is applied.
    quantised = spec.storage.quantised or target.stored.storage.quantised
    rescore = candidates(wanted, spec.oversampling, 1, most) if quantised and not stages else None
    if not stages and rescore is None:
        return replace(query, limit=limit, offset=offset)
    whole = (query.physical, query.vectors, query.metric, limit, offset, query.threshold, query.where)
    return QueryStaged(*whole, stages, rescore)


def candidates(wanted: int, oversampling: float, steps: int, most: int | None = None) -> int:
    """How many candidates are taken so many steps before the final order.

    Each step takes `oversampling` times as many as the next one: the coarser the vectors, the further down a good
    record may be found. Never fewer than the results that are wanted, never more than the backend returns.

    >>> [candidates(10, 4.0, steps) for steps in (2, 1)]
    [160, 40]
    """
    number = max(wanted, math.ceil(wanted * oversampling**steps))
    return number if most is None else min(number, most)
