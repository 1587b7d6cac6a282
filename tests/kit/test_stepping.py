from __future__ import annotations

import pytest

from nestvec._collections.opening import Emit
from nestvec.contract import Count, Event, ResolveAlias
from nestvec.errors import BackendRefused
from nestvec_testing import Stepper, trace


def flow():
    first = yield ResolveAlias("docs")
    yield Emit(Event("noted"))
    try:
        second = yield Count(first)
    except BackendRefused:
        return "refused"
    return first, second


def test_stepping_by_hand():
    step = Stepper(flow())
    assert step.request == ResolveAlias("docs")
    assert not step.done
    assert step.answer("docs_1") == Count("docs_1")
    assert [event.name for event in step.events] == ["noted"]
    assert step.answer(3) is None
    assert step.done
    assert step.result == ("docs_1", 3)


def test_emits_can_be_seen():
    step = Stepper(flow(), emits=True)
    assert step.answer("docs_1") == Emit(Event("noted"))
    assert step.answer() == Count("docs_1")


def test_a_request_may_fail():
    step = Stepper(flow())
    step.answer("docs_1")
    step.fail(BackendRefused("no"))
    assert step.result == "refused"


def test_what_the_flow_does_not_handle_comes_out():
    step = Stepper(flow())
    with pytest.raises(BackendRefused):
        step.fail(BackendRefused("no"))
    with pytest.raises(AssertionError, match="waits for no answer"):
        step.answer(1)
    with pytest.raises(AssertionError, match="has not ended"):
        _ = step.result


def test_no_result_before_the_end():
    step = Stepper(flow())
    with pytest.raises(AssertionError, match="ResolveAlias"):
        _ = step.result
    step.close()
    with pytest.raises(AssertionError):
        step.answer(1)


@pytest.mark.parametrize(
    "answers",
    [
        ["docs_1", 3],
        {ResolveAlias: "docs_1", Count: lambda request: len(request.physical) - 3},
        lambda request: "docs_1" if isinstance(request, ResolveAlias) else 3,
    ],
    ids=["sequence", "mapping", "function"],
)
def test_tracing(answers):
    course = trace(flow(), answers)
    assert course.result == ("docs_1", 3)
    assert course.methods == ["resolve_alias", "count"]
    assert len(course.events) == 1


def test_tracing_a_failure():
    assert trace(flow(), ["docs_1", BackendRefused("no")]).result == "refused"


def test_tracing_wants_neither_too_few_answers_nor_too_many():
    with pytest.raises(AssertionError, match="used up"):
        trace(flow(), ["docs_1"])
    with pytest.raises(AssertionError, match="unused"):
        trace(flow(), ["docs_1", 3, 4])
    with pytest.raises(AssertionError, match="no answer was given"):
        trace(flow(), {ResolveAlias: "docs_1"})
