"""Plans, generations and cleaning up on every engine that keeps what it is given."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from nestvec._client import Nestvec, connect
from nestvec._collections.write_fence import GenerationPlace
from nestvec._migration.generations import GenerationRole
from nestvec._migration.routes import Way
from nestvec._session.session import finished
from nestvec.contract import ListCollections, ResolveAlias
from nestvec.runtime import Runtime
from nestvec.types import Document
from nestvec_testing.memory import _STORES
from nestvec_testing.registry import test_registry

from .engines import ENGINES, PARAMETERS, Engine

KEEPING = [each for each in PARAMETERS if each.values[0] != "memory"]
NUMBERS = itertools.count()


class Time:
    """Passes when somebody waits for it."""

    def __init__(self) -> None:
        self.now = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now

    def pass_(self, seconds: float) -> None:
        self.now += seconds


@pytest.fixture(params=KEEPING)
def engine(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Engine]:
    with ENGINES[request.param](tmp_path) as opened:
        yield opened


def test_from_the_first_generation_to_another_backend(engine: Engine) -> None:
    time, elsewhere = Time(), f"cross-migrating-{next(NUMBERS)}"
    runtime = Runtime(test_registry(), wall=time, pause=time.pass_)

    def opened(**collection: Any) -> Nestvec:
        values = {
            "backends": {
                "engine": {"use": engine.use, **engine.options},
                "other": {"use": "memory", "store": elsewhere},
            },
            "embedders": {"old": {"use": "recording"}, "new": {"use": "recording", "model": "recording-v4"}},
            "collections": {"docs": {"backend": "engine", "embedder": "old", "dimensions": 32, **collection}},
        }
        return connect(values, runtime)

    with opened() as nv:
        nv.apply()
        nv["docs"].upsert(Document(f"d{i}", f"text number {i} of thirty") for i in range(30))
        first = nv.generations()[0].physical
    with opened(embedder="new", dimensions=8) as nv:
        plan = nv.plan_migration("docs")
        assert (plan.way, plan.documents, plan.tokens) == (Way.EMBED, 30, 30 * (5 + 2))
        report = nv.migrate("docs")
        assert (report.switched, report.target) == (True, plan.target)
        old, new = nv.generations()
        assert (old.physical, old.role, old.dimensions, old.chunks) == (first, GenerationRole.RETIRED, 32, 30)
        assert (new.role, new.model, new.created_from) == (
            GenerationRole.LIVE,
            "recording-v4",
            GenerationPlace("engine", first),
        )
        assert [each.removed for each in nv.cleanup("docs")] == [False]
        time.now += 60
        assert [each.removed for each in nv.cleanup("docs")] == [True]
        assert [each.role for each in nv.generations()] == [GenerationRole.LIVE]
        assert nv["docs"].count() == 30
    moved = {"backend": "other", "embedder": "new", "dimensions": 8, "previous": {"backend": "engine"}}
    with opened(**moved) as nv:
        assert nv.plan_migration("docs").way is Way.COPY
        assert nv.migrate("docs").switched
        time.now += 60
        assert [each.removed for each in nv.cleanup("docs")] == [True]
        adapter = nv.adapter("engine")
        alias = nv.config.backends["engine"].capabilities.names.encode("docs")
        assert finished(adapter.resolve_alias, ResolveAlias(alias)) is None
        assert not [name for name in finished(adapter.list_collections, ListCollections()) if "docs" in name]
        assert nv["docs"].count() == 30
    _STORES.pop(elsewhere)
