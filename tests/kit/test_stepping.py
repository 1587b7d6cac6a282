"""Rules stepped by hand: over one session and over two, killed anywhere, and answered by plugins."""

from __future__ import annotations

from typing import Any

import pytest

from nestvec._session.session import Blocking, Component, Session
from nestvec.contract import (
    Count,
    Create,
    Describe,
    Encode,
    Event,
    ForeignLayout,
    Group,
    ListCollections,
    ResolveAlias,
    Scroll,
    Write,
)
from nestvec.errors import BackendRefused, BackendUnavailable, CollectionNotFound
from nestvec.types import DENSE, Metric
from nestvec_testing.data import PARSED, record, vectors
from nestvec_testing.memory import MemoryAdapter
from nestvec_testing.recording import RecordingEmbedder, RecordingOptions, capabilities
from nestvec_testing.requests import SideRequest, Splitting, Wait, Within, bare
from nestvec_testing.stepping import Asking, Stepper, answered, perform, trace

ENCODE = Encode((Group("a", "some text", ((0, 9),)),), "retrieval.passage", 16)


async def rule(session: Session) -> Any:
    first = await session.backend.resolve_alias(ResolveAlias("docs"))
    session.emit(Event("noted"))
    try:
        second = await session.backend.count(Count(str(first)))
    except BackendRefused:
        return "refused"
    return first, second


def test_stepping_by_hand() -> None:
    asking = Asking()
    step = Stepper(rule(asking))
    assert step.request == ResolveAlias("docs")
    assert not step.done
    assert step.answer("docs_1") == Count("docs_1")
    assert [event.name for event in step.events] == ["noted"]
    assert step.answer(3) is None
    assert step.done
    assert step.result == ("docs_1", 3)
    assert asking.events == step.events


def test_the_course_has_requests_and_events_in_order() -> None:
    step = Stepper(rule(Asking()))
    step.answer("docs_1")
    assert step.course == [ResolveAlias("docs"), Event("noted"), Count("docs_1")]
    assert step.requests == [ResolveAlias("docs"), Count("docs_1")]


def test_events_are_told_to_the_stepper_whose_rule_runs() -> None:
    asking = Asking()
    one, two = Stepper(rule(asking)), Stepper(rule(asking))
    one.answer("docs_1")
    assert (len(one.events), len(two.events), len(asking.events)) == (1, 0, 1)
    two.answer("docs_2")
    assert (len(one.events), len(two.events), len(asking.events)) == (1, 1, 2)


def test_a_request_may_fail() -> None:
    step = Stepper(rule(Asking()))
    step.answer("docs_1")
    step.fail(BackendRefused("no"))
    assert step.result == "refused"


def test_what_the_rule_does_not_handle_comes_out() -> None:
    step = Stepper(rule(Asking()))
    with pytest.raises(BackendRefused):
        step.fail(BackendRefused("no"))
    with pytest.raises(AssertionError, match="waits for no answer"):
        step.answer(1)
    with pytest.raises(AssertionError, match="has not ended"):
        _ = step.result


def test_no_result_before_the_end() -> None:
    step = Stepper(rule(Asking()))
    with pytest.raises(AssertionError, match="ResolveAlias"):
        _ = step.result
    step.close()
    with pytest.raises(AssertionError):
        step.answer(1)


async def everything(session: Session) -> Any:
    rows = await session.encode(ENCODE)
    await session.wait(2.5)
    splitter = await session.splitter()
    async with session.alone():
        mine = await session.backend.of_tenant("acme").count(Count("docs_1"))
        theirs = await session.backend.reading(ForeignLayout("other", "v")).scroll(Scroll("other"))
    return rows, splitter, mine, theirs


def test_all_that_a_rule_waits_for_is_handed_out() -> None:
    course = trace(everything(Asking()), ["rows", None, "splitter", 3, "page"])
    assert course.requests == (
        ENCODE,
        Wait(2.5),
        Splitting(),
        Within(Count("docs_1"), tenant="acme"),
        Within(Scroll("other"), layout=ForeignLayout("other", "v")),
    )
    assert course.methods == ["encode", "wait", "splitting", "count", "scroll"]
    assert course.result == ("rows", "splitter", 3, "page")


async def across(source: Session, target: Session) -> int:
    while await source.backend.count(Count("docs_1")) > await target.backend.of_tenant("acme").count(Count("docs_2")):
        await source.wait(1.0)
        target.emit(Event("waited"))
    return len(await source.backend.list_collections(ListCollections()))


def test_two_sides_are_told_apart() -> None:
    source, target = Asking("source"), Asking("target")
    step = Stepper(across(source, target))
    assert step.request == SideRequest("source", Count("docs_1"))
    assert step.answer(2) == SideRequest("target", Within(Count("docs_2"), tenant="acme"))
    assert bare(step.request) == Count("docs_2")
    assert step.request.method == "count"
    assert step.answer(1) == SideRequest("source", Wait(1.0))
    step.answer()
    assert [event.name for event in step.events] == ["waited"]
    assert (len(source.events), len(target.events)) == (0, 1)
    step.answer(1)
    assert step.answer(1) == SideRequest("source", ListCollections())
    step.answer(["docs_1"])
    assert step.result == 1


def test_a_mapping_of_answers_knows_no_sides() -> None:
    course = trace(across(Asking("source"), Asking("target")), {Count: 1, ListCollections: ["a", "b"]})
    assert course.result == 2


async def cleaning(session: Session) -> None:
    try:
        await session.backend.count(Count("docs_1"))
    except BaseException:
        await session.backend.count(Count("lift"))
        await session.wait(1.0)
        raise


def test_a_rule_that_is_killed_gets_no_more_answers() -> None:
    step = Stepper(cleaning(Asking()))
    step.close()
    assert step.request is None
    assert not step.done
    step.close()


def test_a_rule_that_is_interrupted_cleans_up() -> None:
    step = Stepper(cleaning(Asking()))
    assert step.fail(KeyboardInterrupt()) == Count("lift")
    assert step.answer(1) == Wait(1.0)
    with pytest.raises(KeyboardInterrupt):
        step.answer()


@pytest.mark.parametrize(
    "answers",
    [
        ["docs_1", 3],
        {ResolveAlias: "docs_1", Count: lambda request: len(request.physical) - 3},
        lambda request: "docs_1" if isinstance(request, ResolveAlias) else 3,
    ],
    ids=["sequence", "mapping", "function"],
)
def test_tracing(answers: Any) -> None:
    course = trace(rule(Asking()), answers)
    assert course.result == ("docs_1", 3)
    assert course.methods == ["resolve_alias", "count"]
    assert len(course.events) == 1


def test_tracing_a_failure() -> None:
    assert trace(rule(Asking()), ["docs_1", BackendRefused("no")]).result == "refused"


def test_tracing_wants_neither_too_few_answers_nor_too_many() -> None:
    with pytest.raises(AssertionError, match="used up"):
        trace(rule(Asking()), ["docs_1"])
    with pytest.raises(AssertionError, match="unused"):
        trace(rule(Asking()), ["docs_1", 3, 4])
    with pytest.raises(AssertionError, match="no answer was given"):
        trace(rule(Asking()), {ResolveAlias: "docs_1"})


class AsyncCount(MemoryAdapter):
    """Plain but for one method."""

    async def count(self, request: Count) -> int:  # type: ignore[override]  # the contract allows it
        return super().count(request)


def stored(adapter: MemoryAdapter) -> MemoryAdapter:
    adapter.create(Create("docs_1", {DENSE: 8}, Metric.COSINE, PARSED, {}))
    adapter.of_tenant("acme").write(Write("docs_1", [record("a")], {DENSE: vectors(1, 8)}))
    return adapter


@pytest.mark.parametrize("kind", [MemoryAdapter, AsyncCount])
def test_an_adapter_answers_what_is_handed_out(kind: type[MemoryAdapter]) -> None:
    adapter = stored(kind())
    assert perform(adapter, Count("docs_1")) == 1
    assert perform(adapter, Within(Count("docs_1"), tenant="acme")) == 1
    assert perform(adapter, SideRequest("source", Within(Count("docs_1"), tenant="other"))) == 0
    with pytest.raises(CollectionNotFound):
        perform(adapter, Count("docs_2"))


def blocking_session(adapter: Any, passed: list[float]) -> Session:
    async def opened() -> Any:
        return adapter

    async def embedder() -> Any:
        return RecordingEmbedder()

    async def splitter() -> Any:
        return "splitter"

    model = capabilities(RecordingOptions())
    waiting = Blocking(passed.append)
    return Session(Component(opened), Component(embedder), model, lambda _: None, waiting, make_splitter=splitter)


def test_a_session_answers_whatever_is_handed_out() -> None:
    passed: list[float] = []
    session = blocking_session(stored(MemoryAdapter()), passed)
    encoded = answered(session, ENCODE)
    assert encoded.vectors[0].shape == (1, 16)
    assert answered(session, SideRequest("target", Wait(3.0))) is None
    assert passed == [3.0]
    assert answered(session, Splitting()) == "splitter"
    assert answered(session, SideRequest("source", Within(Count("docs_1"), tenant="acme"))) == 1
    assert answered(session, Describe("nothing")) is None


def test_what_a_session_answers_for_another_is_repeated_by_it_alone() -> None:
    class Flaky(MemoryAdapter):
        left = 1

        def count(self, request: Count) -> int:
            self.left -= 1
            if self.left >= 0:
                raise BackendUnavailable("not now")
            return super().count(request)

    passed: list[float] = []
    step = Stepper(rule(Asking()))
    step.answer("docs_1")
    step.answer(answered(blocking_session(stored(Flaky()), passed), step.request))
    assert step.result == ("docs_1", 1)
    assert len(passed) == 1
