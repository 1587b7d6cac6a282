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
    """What was measured on. `texts` were searched; `fitted` others are what a rotation was fitted on."""

    texts: int
    questions: int
    labelled: int
    source: str
    questions_from: str
    fitted: int = 0


@dataclass(frozen=True, slots=True)
class SearchTimes:
    """Milliseconds of single searches."""

    median: float
    p95: float


@dataclass(frozen=True, slots=True)
class DimensionsPoint:
    """A size on a curve. `int8` and `binary` are recall with rescoring, `unrescored` without. Bytes by storage kind."""

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
    """The sizes of the model's own vectors ("plain"), or of those that a rotation turned ("nested")."""

    name: str
    rotation: str | None
    points: tuple[DimensionsPoint, ...]


@dataclass(frozen=True, slots=True)
class FunnelReport:
    """A search coarse to fine beside the plain one, on the backend itself."""

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
    """Which size suffices, and what it was measured on. The fields are those of `to_dict`."""

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
        """The report of which `to_dict` gave these values, which may have been kept as JSON.

        Raises `InvalidInput` for those of another version, and for what is no report.
        """
        version = values.get("version")
        if version != VERSION:
            raise InvalidInput(
                f"a dimensions report of version {version!r} cannot be read: this nestvec reads version {VERSION}; "
                "measure again, or use the nestvec that wrote it"
            )
        return _read(values)

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
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
