"""Search time and funnels are measured on every engine in a collection that is gone afterwards."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from nestvec import DimensionsOptions, Document
from nestvec._client import connect
from nestvec.contract import ListCollections
from nestvec.runtime import Runtime
from nestvec_testing.blocking import blocking
from nestvec_testing.registry import test_registry

from .engines import ENGINES, PARAMETERS, Engine

TEXTS = [f"{word} number {i} by the river {i % 7}" for i in range(40) for word in ("boat", "lamp", "violin")]
OPTIONS = DimensionsOptions(k=5, resamples=20, time=True, dimensions=(16,), funnels=[(16,)])


@pytest.fixture(params=PARAMETERS)
def engine(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Engine]:
    with ENGINES[request.param](tmp_path) as opened:
        yield opened


def test_time_and_funnel_on_the_engine_itself(engine: Engine) -> None:
    values = {
        "backends": {"store": {"use": engine.use, **engine.options}},
        "embedders": {"model": {"use": "recording"}},
        "collections": {"docs": {}},
    }
    with connect(values, Runtime(test_registry())) as nv:
        nv.apply()
        nv["docs"].upsert(Document(f"d{number}", text) for number, text in enumerate(TEXTS))
        report = nv.dimensions("docs", options=OPTIONS)
        left = blocking(nv.adapter("store")).list_collections(ListCollections())
        funnels = nv.config.backends["store"].capabilities.funnels
        assert nv["docs"].count() == len(TEXTS)
    assert len(left) == 1, left
    assert all(point.search_ms is not None for point in report.curves[0].points), report.warnings
    if not funnels:
        assert "the funnel 16 was not measured: backend 'store' cannot search coarse to fine" in str(report.warnings)
        return
    (funnel,) = report.funnels
    assert funnel.plain_recall.value >= (0.9 if engine.approximate else 1)
    assert funnel.recall.value > 0.5
