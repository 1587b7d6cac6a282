"""The report, as values, and as plain JSON values."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from nestvec._evaluation.bootstrap import Interval
from nestvec._evaluation.recommend import Recommendation
from nestvec.errors import InvalidInput

#: Of the JSON form; it grows without a new version, and nothing in it changes its meaning without one.
VERSION = 1


@dataclass(frozen=True, slots=True)
class DimensionsSample:
    """What was measured on.

    Attributes:
        texts: How many were searched.
        questions: How many asked.
        labelled: For how many of them it is known which documents answer them.
        source: Where the texts come from, in words.
        questions_from: Where the questions come from, in words.
        fitted: How many other texts a rotation was fitted on.
    """

    texts: int
    questions: int
    labelled: int
    source: str
    questions_from: str
    fitted: int = 0


@dataclass(frozen=True, slots=True)
class SearchTimes:
    """Milliseconds of single searches.

    Attributes:
        median: Half of them took no longer.
        p95: Nineteen of twenty took no longer.
    """

    median: float
    p95: float


@dataclass(frozen=True, slots=True)
class DimensionsPoint:
    """A size on a curve.

    Attributes:
        dimensions: The size.
        recall: The share of the true `k` nearest at full size that are found.
        ndcg: Normalised discounted cumulative gain of the first `k`; None without labelled questions.
        kept: The share of the quality at full size that is kept.
        int8, binary: Recall with vectors quantised so, and rescored.
        unrescored: The same without rescoring, by storage kind.
        bytes: Of one vector, by storage kind.
        total: Of as many vectors as are expected, by storage kind.
        search_ms: Search times on the backend, where they were measured.
    """

    dimensions: int
    recall: Interval
    ndcg: Interval | None
    kept: Interval
    int8: Interval
    binary: Interval
    unrescored: Mapping[str, Interval]
    bytes: Mapping[str, int]
    total: Mapping[str, int]
    search_ms: SearchTimes | None = None


@dataclass(frozen=True, slots=True)
class DimensionsCurve:
    """The sizes of one kind of vectors.

    Attributes:
        name: "plain": the model's own vectors; "nested": those that a rotation turned.
        rotation: The rotation's fingerprint; None for plain ones.
        points: By size, ascending.
    """

    name: str
    rotation: str | None
    points: tuple[DimensionsPoint, ...]


@dataclass(frozen=True, slots=True)
class FunnelReport:
    """A search coarse to fine beside the plain one, on the backend itself.

    Attributes:
        stages: Lengths of the prefixes, ascending.
        oversampling: Candidates for each result that is wanted.
        recall, plain_recall: The share of the true `k` nearest that are found by it, and by the plain search.
        plain_ms, funnel_ms: Search times of both.
        backend: The backend's name in the configuration.
        questions: How many asked.
    """

    stages: tuple[int, ...]
    oversampling: float
    recall: Interval
    plain_recall: Interval
    plain_ms: SearchTimes
    funnel_ms: SearchTimes
    backend: str
    questions: int


@dataclass(frozen=True, slots=True)
class DimensionsReport:
    """Which size suffices, and what it was measured on.

    Attributes:
        collection: The collection, or None: texts were given.
        embedder: The embedder's name in the configuration.
        model: The model's canonical name.
        tasks: What texts ("index") and questions ("query") were embedded for.
        metric: "cosine", "dot" or "euclidean".
        full: The model's full size.
        sample: What was measured on.
        k, keep, confidence, resamples: As in the `DimensionsOptions`.
        expected: For how many vectors storage is summed up.
        curves: Quality and bytes by size.
        funnels: Searches coarse to fine, where they were measured.
        recommendation: Which size to take.
        warnings: Sentences for people.
    """

    collection: str | None
    embedder: str
    model: str
    tasks: Mapping[str, str | None]
    metric: str
    full: int
    sample: DimensionsSample
    k: int
    keep: float
    confidence: float
    resamples: int
    expected: int
    curves: tuple[DimensionsCurve, ...]
    funnels: tuple[FunnelReport, ...]
    recommendation: Recommendation
    warnings: tuple[str, ...]

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> DimensionsReport:
        """Read what `to_dict` gave, which may have been kept as JSON.

        Args:
            values: The report as plain values.

        Returns:
            An equal report.

        Raises:
            InvalidInput: It is of another version, or no report.

        Example:
            >>> options = nestvec.DimensionsOptions(k=2)
            >>> report = nv.dimensions(texts=[f"Invoice no. {n}" for n in range(30)], options=options)
            >>> nestvec.DimensionsReport.from_dict(report.to_dict()) == report
            True
        """
        version = values.get("version")
        if version != VERSION:
            raise InvalidInput(
                f"a dimensions report of version {version!r} cannot be read: this nestvec reads version {VERSION}; "
                "measure again, or use the nestvec that wrote it"
            )
        return _read(values)

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values.

        Returns:
            The fields by name, and `version`.

        Example:
            >>> options = nestvec.DimensionsOptions(k=2)
            >>> report = nv.dimensions(texts=[f"Invoice no. {n}" for n in range(30)], options=options)
            >>> report.to_dict()["version"]
            1
        """
        values = {"version": VERSION, **asdict(self)}
        lists = ("curves", "funnels", "warnings")
        values |= {name: list(values[name]) for name in lists}
        for curve in values["curves"]:
            curve["points"] = list(curve["points"])
        for funnel in values["funnels"]:
            funnel["stages"] = list(funnel["stages"])
        return values


def _read(values: Mapping[str, Any]) -> DimensionsReport:
    from pydantic import TypeAdapter

    try:
        json.dumps(values, allow_nan=False)  # a figure that is no number was not measured
        return TypeAdapter(DimensionsReport).validate_python(values)
    except (TypeError, ValueError) as error:  # pydantic's own is a ValueError
        raise InvalidInput(f"this is no dimensions report: {error}") from error
