"""Which task a model wants for which purpose.

Names and pairs follow the makers' documentation (the Jina embeddings API reference; the E5 model card, which
asks for "query: " on both sides of symmetric tasks).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from nestvec._similar import closest
from nestvec.capabilities import ModelCapabilities, TaskPair
from nestvec.errors import Unsupported
from nestvec.types import Purpose

PASSAGE, QUERY = "retrieval.passage", "retrieval.query"


def _same(task: str | None) -> TaskPair:
    return TaskPair(task, task)


def _pairs(matching: str, clustering: str, classification: str) -> dict[Purpose, TaskPair]:
    return {
        Purpose.RETRIEVAL: TaskPair(PASSAGE, QUERY),
        Purpose.MATCHING: _same(matching),
        Purpose.CLUSTERING: _same(clustering),
        Purpose.CLASSIFICATION: _same(classification),
    }


NO_TASKS: Mapping[Purpose, TaskPair] = {purpose: _same(None) for purpose in Purpose}
JINA_V2 = NO_TASKS
JINA_V3: Mapping[Purpose, TaskPair] = _pairs("text-matching", "separation", "classification")
#: v4 was trained for retrieval, matching and code; nothing of its own serves the other purposes.
JINA_V4: Mapping[Purpose, TaskPair] = {
    Purpose.RETRIEVAL: TaskPair(PASSAGE, QUERY),
    Purpose.MATCHING: _same("text-matching"),
}
JINA_V5: Mapping[Purpose, TaskPair] = _pairs("text-matching", "clustering", "classification")
#: Code models have many pairs; natural language to code is their default. Others: explicit `tasks`.
JINA_CODE: Mapping[Purpose, TaskPair] = {Purpose.RETRIEVAL: TaskPair("nl2code.passage", "nl2code.query")}
#: E5 tells passages from queries, and nothing else.
E5: Mapping[Purpose, TaskPair] = _pairs(QUERY, QUERY, QUERY)

JINA_V3_TASKS = (QUERY, PASSAGE, "text-matching", "classification", "separation")
JINA_V4_TASKS = (QUERY, PASSAGE, "code.query", "code.passage", "text-matching")
JINA_V5_TASKS = (QUERY, PASSAGE, "text-matching", "clustering", "classification")
JINA_CODE_TASKS = tuple(
    f"{kind}.{side}"
    for kind in ("nl2code", "qa", "code2code", "code2nl", "code2completion")
    for side in ("query", "passage")
)
E5_TASKS = (QUERY, PASSAGE)


def pair_for(model: ModelCapabilities, purpose: Purpose) -> TaskPair:
    """The tasks of a purpose. Raises `Unsupported`, naming what would work."""
    pair = model.purposes.get(purpose)
    if pair is None:
        raise Unsupported(
            f"{model.model} has no tasks for purpose {purpose.value!r}; use one of "
            f"{_listed([known.value for known in model.purposes])}, or set tasks = {{ index = …, query = … }} from "
            f"{_listed(model.tasks)}"
        )
    return pair


def explicit_pair(model: ModelCapabilities, index: str | None, query: str | None) -> TaskPair:
    """Check explicitly chosen tasks against the model. Raises `Unsupported`, naming what would work."""
    for task in (index, query):
        if task is not None and task not in model.tasks:
            raise Unsupported(_unknown_task(model, task))
    return TaskPair(index, query)


def check_task(model: ModelCapabilities, task: str | None) -> str | None:
    """Check one task against the model. Raises `Unsupported`."""
    if task is not None and task not in model.tasks:
        raise Unsupported(_unknown_task(model, task))
    return task


def _unknown_task(model: ModelCapabilities, task: str) -> str:
    if not model.tasks:
        return f"{model.model} knows no tasks, so {task!r} cannot be used; leave the task out"
    close = closest(task, model.tasks)
    hint = "" if close is None else f"did you mean {close!r}? "
    return f"{model.model} has no task {task!r}; {hint}it has {_listed(model.tasks)}"


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names) or "none"
