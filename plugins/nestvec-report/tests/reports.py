"""Made-up dimensions reports, as their JSON, from the least that one may hold to the most."""

from __future__ import annotations

from functools import cache
from typing import Any

from nestvec import DimensionsReport
from nestvec_report import render

SIZES = (16, 32, 64, 96, 128, 192, 256, 384)
HOSTILE = "<script>alert('x')</script><img src=https://evil.example/x onerror=alert(1)>\"&\u202e\x00\ud800"


def page_of(values: dict[str, Any]) -> str:
    """The page of a report in its JSON form."""
    return render(DimensionsReport.from_dict(values))


def interval(value: float, width: float = 0.01) -> dict[str, float]:
    """A figure with its interval."""
    return {"value": value, "low": max(value - width, 0.0), "high": min(value + width, 1.0)}


def recall(dimensions: int, full: int, *, nested: bool) -> dict[str, float]:
    """Something like the recall of real prefixes; 1 at full size."""
    missing = 1 - dimensions / full
    value = 1 - (0.40 if nested else 0.75) * missing ** (10 if nested else 5)
    return interval(value, 0.022 * (1 - value) ** 0.5 if value < 1 else 0.0)


def point(dimensions: int, full: int, expected: int, *, nested: bool = False, **more: Any) -> dict[str, Any]:
    """A size."""
    sizes = {"float32": 4 * dimensions, "float16": 2 * dimensions, "int8": dimensions, "binary": (dimensions + 7) // 8}
    at = recall(dimensions, full, nested=nested)
    return {
        "dimensions": dimensions, "recall": at, "ndcg": None, "kept": at, "int8": at, "binary": at,
        "unrescored": {}, "bytes": sizes, "total": {name: size * expected for name, size in sizes.items()},
        "search_ms": None, **more,
    }  # fmt: skip


def report(**more: Any) -> dict[str, Any]:
    """A plain report: one curve, no labels, no times, no funnels."""
    points = [point(size, 384, 1_000_000) for size in SIZES]
    return {
        "version": 1, "collection": "handbook", "embedder": "small", "model": "multilingual-e5-small",
        "tasks": {"index": "retrieval.passage", "query": "retrieval.query"}, "metric": "cosine", "full": 384,
        "sample": {
            "texts": 5000, "questions": 500, "labelled": 0, "source": "collection handbook",
            "questions_from": "texts of the sample, held out",
        },
        "k": 10, "keep": 0.99, "confidence": 0.95, "resamples": 1000, "expected": 1_000_000,
        "curves": [{"name": "plain", "rotation": None, "points": points}],
        "funnels": [],
        "recommendation": {
            "dimensions": 256, "curve": "plain", "measure": "recall@10", "kept": points[6]["kept"], "saved": 1 / 3,
            "reason": "256 is the smallest size whose interval lies at or above 99 %, as do all larger ones.",
        },
        "warnings": [], **more,
    }  # fmt: skip


def full_report() -> dict[str, Any]:
    """Everything there can be: two curves, small storage, labels, times, funnels and warnings."""
    made = report(
        curves=[
            {"name": "plain", "rotation": None, "points": [_rich(size, nested=False) for size in SIZES]},
            {"name": "nested", "rotation": "rot-5f2a9c1d0b7e", "points": [_rich(size, nested=True) for size in SIZES]},
        ],
        funnels=[
            _funnel([64, 256], 4.0, 0.987, 3.1, 1.4),
            _funnel([64], 4.0, 0.969, 3.1, 1.1),
            _funnel([32, 128, 256], 8.0, 0.958, 3.1, 3.0),
        ],
        warnings=[
            "The questions are held-out texts, not questions that somebody asked: real ones (--queries) may be harder.",
            "nested: the rotation was fitted on 4,000 other texts of the same sample.",
        ],
    )
    made["recommendation"] = {
        "dimensions": 128, "curve": "nested", "measure": "recall@10", "kept": made["curves"][1]["points"][4]["kept"],
        "saved": 2 / 3,
        "reason": "128 is the smallest size whose interval lies at or above 99 %; without a rotation it would be 256.",
    }  # fmt: skip
    made["sample"] |= {"labelled": 480, "fitted": 4000, "questions_from": "questions.jsonl"}
    return made


def _rich(dimensions: int, *, nested: bool) -> dict[str, Any]:
    at = recall(dimensions, 384, nested=nested)["value"]
    time = 0.7 + dimensions / 130
    return point(
        dimensions, 384, 1_000_000, nested=nested,
        ndcg=interval(0.447 * at**0.6, 0.014), int8=interval(at * 0.997, 0.004),
        binary=interval(at * (0.80 + 0.18 * (dimensions / 384) ** 0.4), 0.011),
        unrescored={"int8": interval(at * 0.985, 0.006), "binary": interval(at * 0.62, 0.013)},
        search_ms={"median": time, "p95": time * 1.7},
    )  # fmt: skip


def _funnel(stages: list[int], oversampling: float, found: float, plain: float, funnel: float) -> dict[str, Any]:
    return {
        "stages": stages, "oversampling": oversampling, "backend": "qdrant",
        "recall": interval(found, 0.005), "plain_recall": interval(0.993, 0.003),
        "plain_ms": {"median": plain, "p95": plain * 1.6}, "funnel_ms": {"median": funnel, "p95": funnel * 1.5},
        "questions": 200,
    }  # fmt: skip


def one_point() -> dict[str, Any]:
    """The full size alone; few vectors, nobody's collection."""
    at = point(384, 384, 1)
    made = report(collection=None, expected=1, curves=[{"name": "plain", "rotation": None, "points": [at]}])
    made["recommendation"] = {
        "dimensions": 384, "curve": "plain", "measure": "recall@10", "kept": at["kept"], "saved": 0.0,
        "reason": "No other size was measured.",
    }  # fmt: skip
    return made


def labelled() -> dict[str, Any]:
    """Judged by nDCG@10, of which a short prefix has more than the full size."""
    made = report(full=1024, expected=250_000_000)
    points = [
        point(size, 1024, 250_000_000, ndcg=interval(0.5 - 3 / size, 0.004), kept=_kept(size))
        for size in (32, 64, 128, 256, 512, 768, 1024)
    ]
    made["curves"] = [{"name": "plain", "rotation": None, "points": points}]
    made["recommendation"] = {
        "dimensions": 512, "curve": "plain", "measure": "nDCG@10", "kept": points[4]["kept"], "saved": 0.5,
        "reason": "512 is the smallest size whose interval lies at or above 99 %, as do all larger ones.",
    }  # fmt: skip
    made["sample"]["labelled"] = 500
    return made


def _kept(size: int) -> dict[str, float]:
    value = 1.01 - 6 / size
    return interval(1, 0) if size == 1024 else {"value": value, "low": value - 0.005, "high": value + 0.005}


def hostile() -> dict[str, Any]:
    """Every text that comes from somebody else tries to be more than text."""
    made = full_report()
    made |= {
        "collection": HOSTILE,
        "embedder": HOSTILE,
        "model": HOSTILE * 3,
        "metric": HOSTILE,
        "warnings": [HOSTILE, "long" * 200, "--" + "long" * 200],
    }
    made["tasks"] = {"index": HOSTILE, "query": HOSTILE}
    made["sample"] |= {"source": HOSTILE, "questions_from": f"{'very/' * 60}{HOSTILE}"}
    made["recommendation"]["reason"] = f"{'long' * 200}{HOSTILE}"
    made["curves"][0]["name"] = HOSTILE
    made["curves"][1]["rotation"] = HOSTILE
    made["funnels"][0]["backend"] = HOSTILE
    return made


REPORTS = {
    "plain": report,
    "full": full_report,
    "one": one_point,
    "labelled": labelled,
    "hostile": hostile,
    "warned": lambda: report(warnings=[f"Warning {i}: there were only {i} questions." for i in range(30)]),
}


@cache
def drawn(name: str) -> str:
    """The page of one of them; drawn once a process."""
    return page_of(REPORTS[name]())
