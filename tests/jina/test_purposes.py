"""Every purpose on every kind of model: the task on the wire, neighbours of a text, and what a model does not serve."""

from __future__ import annotations

import pytest

from nestvec._cli import main
from nestvec._client import aconnect, connect
from nestvec.errors import ConfigError
from nestvec.runtime import Runtime
from nestvec.types import Document
from nestvec_testing.registry import test_registry

from .canaries import canaries

PURPOSES = ("retrieval", "matching", "clustering", "classification")
RETRIEVAL = ("retrieval.passage", "retrieval.query")
#: What is sent for documents and for questions, in the order of the purposes; None: refused.
TASKS = {
    "jina-embeddings-v2-base-de": [(None, None)] * 4,
    "jina-embeddings-v3": [RETRIEVAL, ("text-matching",) * 2, ("separation",) * 2, ("classification",) * 2],
    "jina-embeddings-v4": [RETRIEVAL, ("text-matching",) * 2, None, None],
    "jina-embeddings-v5-text-nano": [RETRIEVAL, ("text-matching",) * 2, ("clustering",) * 2, ("classification",) * 2],
    "jina-embeddings-v5-text-small": [RETRIEVAL, ("text-matching",) * 2, ("clustering",) * 2, ("classification",) * 2],
    "jina-code-embeddings-0.5b": [("nl2code.passage", "nl2code.query"), None, None, None],
}
CASES = [
    (model, purpose, pair) for model, pairs in TASKS.items() for purpose, pair in zip(PURPOSES, pairs, strict=True)
]
SERVED = [case for case in CASES if case[2] is not None]
REFUSED = [case[:2] for case in CASES if case[2] is None]
TEXTS = {
    "river": "The river carries cold water from the mountains.",
    "stream": "Cold water of the river comes from high mountains.",
    "wages": "Wages are paid on the last day of the month.",
}


def values(settings, model, purpose):
    return {
        "backends": {"store": {"use": "memory"}},
        "embedders": {"api": {**settings, "model": model}},
        "collections": {"docs": {"purpose": purpose}},
    }


def sent(emulator):
    """The texts and the task of each request, without those that measure the host.

    A request without a task has no such field, not an empty one.
    """
    rest = emulator.exchanges[len(canaries(emulator)) :]
    found = [(tuple(each.body["input"]), task_of(each)) for each in rest]
    emulator.journal.clear()
    return found


def task_of(exchange):
    task = exchange.body.get("task", "no field")
    return None if task == "no field" else task


@pytest.mark.parametrize(("model", "purpose", "pair"), SERVED)
def test_the_right_task_is_sent_on_both_sides(settings, emulator, model, purpose, pair):
    index, query = pair
    with connect(values(settings, model, purpose), Runtime(test_registry())) as client:
        client.apply()
        docs = client["docs"]
        assert (client.status()[0].tasks.index, client.status()[0].tasks.query) == pair
        docs.upsert([Document(key, text) for key, text in TEXTS.items()])
        assert [task_of(each) for each in canaries(emulator)] == list(dict.fromkeys(pair))
        assert sent(emulator) == [(tuple(TEXTS.values()), index)]
        hits = docs.search(TEXTS["river"], limit=3)
        assert sent(emulator) == [((TEXTS["river"],), query)]
        assert [hit.document_id for hit in hits] == ["river", "stream", "wages"]
        # With one task on both sides, a text is found as itself; a question is never quite a passage.
        assert (hits[0].score > 0.9999) == (index == query)
        own = docs.matrix()
        found = docs.search_vector(own.vectors[own.document_ids.index("stream")], limit=2)
        assert [hit.document_id for hit in found] == ["stream", "river"]
        assert found[0].score == pytest.approx(1, abs=1e-5)
        assert not emulator.exchanges


@pytest.mark.parametrize("purpose", PURPOSES)
async def test_the_right_task_is_sent_asynchronously(settings, emulator, purpose):
    index, query = TASKS["jina-embeddings-v3"][PURPOSES.index(purpose)]
    async with aconnect(values(settings, "jina-embeddings-v3", purpose), Runtime(test_registry())) as client:
        await client.apply()
        await client["docs"].upsert([Document(key, text) for key, text in TEXTS.items()])
        await client["docs"].search(TEXTS["river"])
    assert [task for _, task in sent(emulator)] == [index, query]


@pytest.mark.parametrize(("model", "purpose"), REFUSED)
def test_a_purpose_that_a_model_does_not_serve_is_refused_with_what_would_work(settings, emulator, model, purpose):
    with pytest.raises(ConfigError) as caught:
        connect(values(settings, model, purpose), Runtime(test_registry()))
    told = str(caught.value)
    served = [name for name, pair in zip(PURPOSES, TASKS[model], strict=True) if pair is not None]
    assert f"collections.docs.purpose: {model} has no tasks for purpose '{purpose}'" in told
    assert f"use one of {', '.join(served)}, or set tasks" in told
    assert TASKS[model][0][0] in told
    assert not emulator.exchanges


def test_the_command_line_shows_that_a_model_has_no_tasks(emulator, tmp_path, capsys):
    file = tmp_path / "nestvec.toml"
    file.write_text(f"""
[backends.store]
use = "qdrant"
path = "./store"
[embedders.api]
use = "jina"
model = "jina-embeddings-v2-base-en"
base_url = "{emulator.base_url}"
[collections.docs]
purpose = "clustering"
""")
    shown = {}
    for command, code in (("plan", 3), ("apply", 0), ("status", 0)):
        with pytest.raises(SystemExit) as ended:
            main(["-c", str(file), command])
        assert ended.value.code == code
        shown[command] = capsys.readouterr().out
    assert "jina-embeddings-v2-base-en, no tasks" in shown["plan"]
    assert shown["status"].splitlines()[-1].split()[-2:] == ["none", "ok"]
