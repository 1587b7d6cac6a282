from __future__ import annotations

import pytest

from nestvec.capabilities import ModelCapabilities, TaskPair
from nestvec.encoding import tasks
from nestvec.encoding.tasks import check_task, explicit_pair, pair_for
from nestvec.errors import Unsupported
from nestvec.types import Purpose

TABLES = {
    "v2": (tasks.JINA_V2, ()),
    "v3": (tasks.JINA_V3, tasks.JINA_V3_TASKS),
    "v4": (tasks.JINA_V4, tasks.JINA_V4_TASKS),
    "v5": (tasks.JINA_V5, tasks.JINA_V5_TASKS),
    "code": (tasks.JINA_CODE, tasks.JINA_CODE_TASKS),
    "e5": (tasks.E5, tasks.E5_TASKS),
}


def model(family: str) -> ModelCapabilities:
    purposes, names = TABLES[family]
    return ModelCapabilities(family, 1024, 1, purposes, names)


@pytest.mark.parametrize("family", TABLES)
def test_tables_name_only_tasks_that_the_model_has(family: str) -> None:
    purposes, names = TABLES[family]
    assert {task for pair in purposes.values() for task in (pair.index, pair.query)} - {None} <= set(names)


@pytest.mark.parametrize(
    ("family", "purpose", "pair"),
    [
        ("v2", "retrieval", (None, None)),
        ("v3", "retrieval", ("retrieval.passage", "retrieval.query")),
        ("v3", "matching", ("text-matching", "text-matching")),
        ("v3", "clustering", ("separation", "separation")),
        ("v3", "classification", ("classification", "classification")),
        ("v4", "matching", ("text-matching", "text-matching")),
        ("v5", "clustering", ("clustering", "clustering")),
        ("code", "retrieval", ("nl2code.passage", "nl2code.query")),
        ("e5", "retrieval", ("retrieval.passage", "retrieval.query")),
        ("e5", "matching", ("retrieval.query", "retrieval.query")),
    ],
)
def test_purposes(family: str, purpose: str, pair: tuple[str | None, str | None]) -> None:
    assert pair_for(model(family), Purpose(purpose)) == TaskPair(*pair)


def test_a_purpose_that_a_model_does_not_serve_names_what_would_work() -> None:
    with pytest.raises(Unsupported, match=r"retrieval, matching.*code\.query"):
        pair_for(model("v4"), Purpose.CLUSTERING)


def test_explicit_tasks_are_checked() -> None:
    assert explicit_pair(model("v4"), "code.passage", "code.query") == TaskPair("code.passage", "code.query")
    assert explicit_pair(model("v3"), None, None) == TaskPair(None, None)
    with pytest.raises(Unsupported, match="did you mean 'separation'"):
        explicit_pair(model("v3"), "seperation", None)
    with pytest.raises(Unsupported, match="knows no tasks"):
        check_task(model("v2"), "retrieval.query")
