"""Searches whose candidates are compared once more: what is asked of the engine, and what comes of it."""

from __future__ import annotations

import numpy as np
import pytest

from nestvec.contract import Create, QueryStaged, Remove, Stage, Write
from nestvec.encoding.vectors import truncate
from nestvec.errors import BackendRefused, Unsupported
from nestvec.filters import F, resolve
from nestvec.types import DENSE, Field, FieldType, Metric
from nestvec_milvus.adapter import _parts, _stages
from nestvec_milvus.records import placeholders
from nestvec_milvus.staged import scored
from nestvec_testing.data import exact, vectors

SIZES = {"dense_4": 4, "dense_8": 8, DENSE: 16}
STAGES = (Stage("dense_4", 60), Stage("dense_8", 20))
YEAR = {"year": Field(FieldType.INTEGER)}
MANY = 150


def named(rows):
    return {name: truncate(rows, size) if name != DENSE else rows for name, size in SIZES.items()}


@pytest.fixture
def funnel(lite, kit):
    """Milvus Lite with a collection that has prefixes, its vectors, and the calls that it is sent from now on."""
    rows = vectors(MANY, SIZES[DENSE], 1, unit=True)
    lite.create(Create("docs_1", SIZES, Metric.COSINE, YEAR, kit.RECORD))
    lite.write(Write("docs_1", [kit.record(f"r{n}", year=n % 3) for n in range(MANY)], named(rows)))
    sent, send = [], lite.client.raw.send
    lite.client.raw.send = lambda method, message: sent.append((method, message)) or send(method, message)
    return lite, rows, sent


def searched(sent):
    return [(method, request) for method, request in sent if method in ("Search", "Query")]


def ask(questions, limit=5, **more):
    return QueryStaged("docs_1", named(questions), Metric.COSINE, limit, **{"stages": STAGES, **more})


def expected(rows, question, limit, among=None):
    """The oracle: stage by stage."""
    chosen = np.arange(len(rows)) if among is None else among
    for stage in STAGES:
        ranked = exact(named(rows)[stage.vector][chosen], named(question[None])[stage.vector][0], Metric.COSINE)
        chosen = chosen[np.argsort(-ranked, kind="stable")[: stage.limit]]
    ranked = exact(rows[chosen], question, Metric.COSINE)
    return [f"r{chosen[place]}" for place in np.argsort(-ranked, kind="stable")[:limit]]


def test_many_questions_take_as_many_calls_as_one(funnel):
    adapter, rows, sent = funnel
    for count in (1, 40):
        questions = vectors(count, SIZES[DENSE], 7, unit=True)
        sent.clear()
        answers = adapter.query_staged(ask(questions))
        assert [[hit.record.id for hit in each] for each in answers] == [expected(rows, row, 5) for row in questions]
        (first, *fetched) = searched(sent)
        assert (first[0], [method for method, _ in fetched]) == ("Search", ["Query", "Query"])
        assert list(first[1].output_fields) == ["id"], "candidates come without their content"
        assert first[1].placeholder_group == placeholders(named(questions)["dense_4"])
        assert [list(request.output_fields) for _, request in fetched] == [
            ["id", "dense_8"],
            ["id", "document_id", "system", "text", "metadata", DENSE],
        ]
        assert all(request.use_default_consistency for _, request in (first, *fetched)), "as fresh as the search"
        # Each candidate once, however many questions have it.
        named_ids = [request.expr.count('"') // 2 for _, request in fetched]
        assert named_ids[0] <= MANY
        assert len(set(fetched[1][1].expr.split('"')[1::2])) == named_ids[1]


def test_the_filter_is_the_engines_and_holds_for_the_first_stage(funnel):
    adapter, rows, sent = funnel
    (question,) = vectors(1, SIZES[DENSE], 9, unit=True)
    (answer,) = adapter.query_staged(ask(question[None], where=resolve(F.year == 2, YEAR)))
    among = np.arange(2, MANY, 3)
    assert [hit.record.id for hit in answer] == expected(rows, question, 5, among)
    assert {hit.record.metadata["year"] for hit in answer} == {2}
    assert "year" in searched(sent)[0][1].dsl


def test_candidates_are_fetched_in_portions(funnel, monkeypatch):
    adapter, rows, sent = funnel
    monkeypatch.setattr("nestvec_milvus.adapter._IDS", 7)
    monkeypatch.setattr("nestvec_milvus.adapter._ANSWER_BYTES", 6 * 16 * 4)
    monkeypatch.setattr("nestvec_milvus.adapter._CANDIDATES", 120)
    questions = vectors(5, SIZES[DENSE], 3, unit=True)
    answers = adapter.query_staged(ask(questions))
    assert [[hit.record.id for hit in each] for each in answers] == [expected(rows, row, 5) for row in questions]
    calls = searched(sent)
    assert [request.nq for method, request in calls if method == "Search"] == [2, 2, 1]
    ids = [request.expr.count('"') // 2 for method, request in calls if method == "Query"]
    by_last = [request.expr.count('"') // 2 for method, request in calls if "text" in list(request.output_fields)]
    assert (max(ids), max(by_last)) == (7, 6)


def test_what_was_deleted_meanwhile_is_left_out(funnel):
    adapter, rows, _ = funnel
    (question,) = vectors(1, SIZES[DENSE], 5, unit=True)
    wanted = expected(rows, question, 6)
    send = adapter.client.raw.send

    def deleting(method, message):
        reply = send(method, message)
        if method == "Search":
            adapter.client.raw.send = send
            adapter.remove(Remove("docs_1", [wanted[0]]))
        return reply

    adapter.client.raw.send = deleting
    (answer,) = adapter.query_staged(ask(question[None], limit=5))
    found = [hit.record.id for hit in answer]
    assert (found[:2], len(found)) == (wanted[1:3], 5)
    assert wanted[0] not in found


def test_every_candidate_was_deleted_meanwhile(funnel):
    adapter, _, _ = funnel
    send = adapter.client.raw.send

    def deleting(method, message):
        reply = send(method, message)
        if method == "Search":
            adapter.client.raw.send = send
            adapter.remove(Remove("docs_1", [f"r{n}" for n in range(MANY)]))
        return reply

    adapter.client.raw.send = deleting
    assert adapter.query_staged(ask(vectors(2, SIZES[DENSE], 5))) == [[], []]


def test_a_threshold_and_an_offset_count_in_the_final_order(funnel):
    adapter, _, _ = funnel
    (question,) = vectors(1, SIZES[DENSE], 11, unit=True)
    (first,) = adapter.query_staged(ask(question[None], limit=8))
    (paged,) = adapter.query_staged(ask(question[None], limit=3, offset=4))
    assert paged == first[4:7]
    (above,) = adapter.query_staged(ask(question[None], limit=8, threshold=first[2].score))
    assert above == first[:3]
    assert adapter.query_staged(ask(question[None], limit=0)) == [[]]
    (none,) = adapter.query_staged(ask(question[None], threshold=2.0))
    assert none == []


def test_a_collection_without_records(lite, kit):
    lite.create(Create("docs_1", SIZES, Metric.COSINE, {}, kit.RECORD))
    assert lite.query_staged(ask(vectors(3, SIZES[DENSE], 1))) == [[], [], []]


def test_mistakes_are_named(funnel):
    adapter, _, sent = funnel
    questions = vectors(1, SIZES[DENSE], 1)
    with pytest.raises(Unsupported, match="at most 16384 results, and 16385 candidates are more"):
        adapter.query_staged(ask(questions, stages=(Stage("dense_4", 16_385), STAGES[1])))
    with pytest.raises(Unsupported, match=r"20000 candidates are more; .* set a lower oversampling"):
        adapter.query_staged(ask(questions, stages=(), rescore=20_000))
    wrong = {"dense_3": questions[:, :3], DENSE: questions}
    with pytest.raises(BackendRefused, match=r"takes vectors of dimensions .*'dense_4': 4.* not .*'dense_3': 3"):
        adapter.query_staged(QueryStaged("docs_1", wrong, Metric.COSINE, 5, stages=(Stage("dense_3", 9),)))
    assert searched(sent) == []


# ------------------------------------------------------------ without an engine


@pytest.mark.parametrize("metric", list(Metric))
def test_scores_are_those_of_the_oracle(metric):
    rows, (question,) = vectors(20, 8, 1), vectors(1, 8, 2)
    assert np.allclose(scored(rows, question, metric), exact(rows, question, metric), atol=1e-5)
    assert scored(rows[:0], question, metric).shape == (0,)
    nothing = scored(np.zeros((1, 8), np.float32), question, metric)
    assert np.isfinite(nothing).all()


def test_how_many_questions_are_searched_at_once():
    questions = vectors(300, SIZES[DENSE], 1)
    assert _stages(ask(questions)) == STAGES
    assert _stages(ask(questions, stages=(), rescore=40)) == (Stage(DENSE, 40),)
    assert _stages(ask(questions, stages=())) == ()
    for stages, size in (((), 64), ((Stage("dense_4", 160),), 62), ((Stage("dense_4", 16_384),), 1)):
        found = _parts(ask(questions), stages)
        assert found[0] == slice(0, size)
        assert [each for part in found for each in range(*part.indices(300))] == list(range(300))
