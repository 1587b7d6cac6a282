"""`demo`: what it indexes, what it measures, and that it measures it live."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace

import pytest

from nestvec._cli.comparison import QUESTIONS, ComparedQuestion, compare, summary
from nestvec._cli.demo import comparison_table, index
from nestvec._cli.docstrings import LONGEST, docstrings
from nestvec._client import connect
from nestvec.runtime import Runtime
from nestvec_testing.recording import RecordingEmbedder
from nestvec_testing.registry import test_registry as registry_with

ASKED = (
    ComparedQuestion("English", "return true if the file exists", "posixpath.lexists"),
    ComparedQuestion("English", "serialize obj to a json formatted str", "json.dumps"),
    ComparedQuestion("English", "no such words anywhere", "not.there"),
)
STACK = {
    "backends": {"m": {"use": "memory"}},
    "embedders": {"r": {"use": "recording"}},
    "collections": {"demo": {}},
}


def test_the_texts_are_many_short_and_always_the_same():
    found = docstrings(600)
    assert len(found) == 600
    assert len({document.id for document in found}) == 600
    assert all(0 < len(document.text) <= LONGEST and "\n" not in document.text for document in found)
    assert found == docstrings(600)
    texts = {document.id: document.text for document in found}
    assert texts["json.dumps"] == "Serialize ``obj`` to a JSON formatted ``str``."


def test_every_question_has_its_docstring_even_in_a_small_demo():
    expected = [question.expected for question in QUESTIONS]
    assert len({question.language for question in QUESTIONS}) >= 5
    assert {document.id for document in docstrings(20, expected)} >= set(expected)


def test_reading_docstrings_imports_none_of_the_modules():
    script = (
        "import sys; from nestvec._cli.docstrings import docstrings, MODULES; before = set(sys.modules); "
        "docstrings(900); print(*sorted(set(MODULES) & (set(sys.modules) - before)))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""


@pytest.fixture
def demo():
    with connect(STACK, Runtime(registry_with())) as nv:
        nv.apply()
        index(nv, docstrings(120, [question.expected for question in ASKED]))
        yield nv


def test_the_comparison_is_what_live_searches_find(demo):
    rows = compare(demo, "demo", ASKED)
    for row in rows[:2]:
        best = demo["demo"].search(row.question.text, limit=1)[0]
        assert (row.right.document_id, row.right.score) == (best.document_id, pytest.approx(best.score))
        vector = demo.embed([row.question.text], task="retrieval.passage")[0]
        other = demo["demo"].search_vector(vector, limit=1)[0]
        assert (row.wrong.document_id, row.wrong.score) == (other.document_id, pytest.approx(other.score))
    assert rows[1].right.rank == 1
    assert rows[2].right.rank is None


def test_swapped_tasks_swap_the_table(demo, monkeypatch):
    before = compare(demo, "demo", ASKED)
    encode = RecordingEmbedder.encode
    swapped = {"retrieval.query": "retrieval.passage", "retrieval.passage": "retrieval.query"}
    monkeypatch.setattr(
        RecordingEmbedder, "encode", lambda self, request: encode(self, replace(request, task=swapped[request.task]))
    )
    after = compare(demo, "demo", ASKED)
    assert [row.right.score for row in after] == pytest.approx([row.wrong.score for row in before])
    assert [row.right.score for row in after] != pytest.approx([row.right.score for row in before])
    assert comparison_table(after, 100) != comparison_table(before, 100)


def test_the_summary_is_arithmetic(demo):
    result = summary([row.right for row in compare(demo, "demo", ASKED)])
    ranks = [row.right.rank for row in compare(demo, "demo", ASKED)]
    assert result.questions == 3
    assert result.first == sum(rank == 1 for rank in ranks)
    assert result.reciprocal == pytest.approx(sum(1 / rank for rank in ranks if rank) / 3)


@pytest.fixture
def embedded(shell):
    pytest.importorskip("nestvec_e5")
    pytest.importorskip("nestvec_qdrant")
    return shell


def test_end_to_end_on_the_embedded_default(embedded):
    run = embedded("demo", "--documents", "60", "--json")
    assert run.code == 0
    result = json.loads(run.out)
    assert result["documents"] == 60
    assert len(result["questions"]) == len(QUESTIONS)
    right, wrong = result["summary"]["right_routing"], result["summary"]["as_passages"]
    assert right["questions"] == len(QUESTIONS)
    assert right["mean_reciprocal_rank"] > wrong["mean_reciprocal_rank"]
    assert right["rank_1"] >= len(QUESTIONS) // 2
    assert "indexing 60 docstrings" in run.err
