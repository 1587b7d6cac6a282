"""Which tasks a model's prompts make."""

from __future__ import annotations

import pytest

from nestvec.capabilities import TaskPair
from nestvec.encoding.tasks import NO_TASKS, PASSAGE, QUERY
from nestvec.types import Purpose
from nestvec_transformers.sentence_tasks import Call, Tasks

GEMMA = {
    "query": "task: search result | query: ",
    "document": "title: none | text: ",
    "Clustering": "task: clustering | query: ",
    "Classification": "task: classification | query: ",
    "STS": "task: sentence similarity | query: ",
}


def pair(index: str | None, query: str | None) -> TaskPair:
    return TaskPair(index, query)


def test_a_model_without_prompts_has_no_tasks() -> None:
    tasks = Tasks({"query": "", "document": ""})
    assert (tasks.names, tasks.texts, tasks.purposes) == ((), {}, NO_TASKS)
    assert tasks.call(None) == Call("", None)


@pytest.mark.parametrize("name", ["document", "passage", "corpus", "retrieval.passage"])
def test_prompts_of_retrieval_go_by_several_names(name: str) -> None:
    tasks = Tasks({"query": "q: ", name: "p: "})
    assert tasks.names == (QUERY, PASSAGE)
    assert tasks.texts == {QUERY: "q: ", PASSAGE: "p: "}
    assert tasks.call(QUERY) == Call("q: ", "query")
    assert tasks.call(PASSAGE) == Call("p: ", "document")


def test_an_empty_prompt_does_not_hide_the_next_name() -> None:
    # sentence-transformers writes an empty "document" into models that call it "passage".
    assert Tasks({"query": "q: ", "document": "", "passage": "p: "}).texts[PASSAGE] == "p: "


def test_prompts_for_questions_only() -> None:
    tasks = Tasks({"query": "ask: "})
    assert tasks.names == (QUERY, PASSAGE)
    assert tasks.call(PASSAGE) == Call("", "document")
    assert tasks.purposes[Purpose.RETRIEVAL] == pair(PASSAGE, QUERY)
    # No instruction on either side of a symmetric task.
    assert tasks.purposes[Purpose.CLUSTERING] == pair(PASSAGE, PASSAGE)


def test_symmetric_purposes_take_the_question_s_prompt_where_documents_have_one_too() -> None:
    purposes = Tasks({"query": "query: ", "passage": "passage: "}).purposes
    assert purposes[Purpose.RETRIEVAL] == pair(PASSAGE, QUERY)
    assert {purposes[each] for each in Purpose if each is not Purpose.RETRIEVAL} == {pair(QUERY, QUERY)}


def test_symmetric_purposes_take_their_own_prompts() -> None:
    tasks = Tasks(GEMMA)
    assert tasks.names == (QUERY, PASSAGE, "Clustering", "Classification", "STS")
    assert tasks.purposes[Purpose.MATCHING] == pair("STS", "STS")
    assert tasks.purposes[Purpose.CLUSTERING] == pair("Clustering", "Clustering")
    assert tasks.purposes[Purpose.CLASSIFICATION] == pair("Classification", "Classification")
    assert tasks.call("STS") == Call("task: sentence similarity | query: ", None)


def test_other_prompts_are_tasks_of_their_own_names_and_no_purpose_takes_them() -> None:
    tasks = Tasks({"web_query": "Instruct: …\nQuery: ", "summary": "s: "})
    assert tasks.names == ("web_query", "summary")
    assert tasks.purposes == NO_TASKS


def test_names_that_mean_the_same_do_not_displace_each_other() -> None:
    tasks = Tasks({"query": "a", "retrieval.query": "b", "document": "c", "passage": "d"})
    assert tasks.texts == {QUERY: "b", PASSAGE: "c", "query": "a", "passage": "d"}


def test_equal_prompts_tell_nothing_apart() -> None:
    assert Tasks({"query": "x: ", "document": "x: "}).purposes[Purpose.RETRIEVAL] == pair(PASSAGE, PASSAGE)


def test_a_default_prompt_stands_before_texts_without_a_task() -> None:
    tasks = Tasks({"general": "g: "}, default="general")
    assert tasks.call(None) == Call("g: ", None)
    assert tasks.purposes[Purpose.RETRIEVAL] == pair("general", "general")


def test_an_asymmetric_model_needs_no_prompts_for_its_tasks() -> None:
    tasks = Tasks({}, asymmetric=True)
    assert tasks.names == (QUERY, PASSAGE)
    assert (tasks.call(QUERY), tasks.call(PASSAGE)) == (Call("", "query"), Call("", "document"))
    assert tasks.purposes[Purpose.MATCHING] == pair(PASSAGE, PASSAGE)
