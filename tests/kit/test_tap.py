"""Adapters in front of adapters: every request passes, with the view that it goes to, in both forms."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from nestvec._session.session import finished
from nestvec.contract import POWERS, Adapter, Count, Create, CreateExtended, Describe, ForeignLayout, Notes, Write
from nestvec.errors import BackendRefused
from nestvec.types import DENSE, Metric
from nestvec_testing.blocking import blocking
from nestvec_testing.data import PARSED, record, vectors
from nestvec_testing.memory import MemoryAdapter
from nestvec_testing.requests import Within
from nestvec_testing.tap import tap, tap_in_place

CREATE = Create("docs_1", {DENSE: 8}, Metric.COSINE, PARSED, {})
WRITE = Write("docs_1", [record("a")], {DENSE: vectors(1, 8)})


class Journal:
    def __init__(self) -> None:
        self.seen: list[Any] = []

    def __call__(self, request: Any, perform: Any) -> Any:
        self.seen.append(request)
        return perform(request)


def test_requests_pass_and_views_say_whose_they_are() -> None:
    seen, inner = Journal(), MemoryAdapter()
    front = tap(inner, seen)
    front.create(CREATE)
    front.of_tenant("acme").write(WRITE)
    assert (front.count(Count("docs_1")), front.of_tenant("other").count(Count("docs_1"))) == (1, 0)
    layout = ForeignLayout("docs_1")
    assert front.reading(layout).describe(Describe("docs_1")).fields is None
    assert seen.seen == [
        CREATE,
        Within(WRITE, tenant="acme"),
        Count("docs_1"),
        Within(Count("docs_1"), tenant="other"),
        Within(Describe("docs_1"), layout=layout),
    ]
    front.close()
    assert inner.count(Count("docs_1")) == 1


def test_a_tap_has_the_powers_of_what_it_stands_before() -> None:
    class Noting(Adapter, Notes):
        """Abstract: it is asked for nothing."""

    inner = object.__new__(type("Made", (Noting,), dict.fromkeys(Noting.__abstractmethods__)))
    assert [power for power in POWERS if isinstance(tap(inner, Journal()), power)] == [Notes]
    assert all(isinstance(tap(MemoryAdapter(), Journal()), power) for power in POWERS)


def test_an_interceptor_may_break_and_change_requests() -> None:
    def broken(request: Any, perform: Any) -> Any:
        if isinstance(request, Within):
            return perform(replace(request, tenant="theirs"))
        raise BackendRefused("no")

    inner = MemoryAdapter()
    inner.create(CREATE)
    front = tap(inner, broken)
    front.of_tenant("mine").write(WRITE)
    assert inner.of_tenant("theirs").count(Count("docs_1")) == 1
    with pytest.raises(BackendRefused):
        front.count(Count("docs_1"))


class Awaited(MemoryAdapter):
    """Never suspends."""

    async def count(self, request: Count) -> int:  # type: ignore[override]  # the contract allows it
        return super().count(request)


class Suspending(MemoryAdapter):
    """For an event loop."""

    async def count(self, request: Count) -> int:  # type: ignore[override]  # the contract allows it
        await asyncio.sleep(0.001)
        return super().count(request)


def test_async_methods_that_never_suspend_are_finished() -> None:
    seen, inner = Journal(), Awaited()
    inner.create(CREATE)
    assert finished(tap(inner, seen).of_tenant("acme").count, Count("docs_1")) == 0
    assert len(seen.seen) == 1


async def test_a_native_adapter_is_awaited_while_the_interceptor_runs_in_a_thread() -> None:
    answers: list[Any] = []

    def watching(request: Any, perform: Any) -> Any:
        with pytest.raises(RuntimeError):
            asyncio.get_running_loop()
        answers.append(perform(request))
        return answers[-1]

    inner = Suspending()
    inner.create(CREATE)
    front = tap(inner, watching, native=True)
    assert await asyncio.gather(*(front.of_tenant("acme").count(Count("docs_1")) for _ in range(3))) == [0, 0, 0]
    assert await front.describe(Describe("other")) is None
    assert answers == [0, 0, 0, None]


def test_in_place() -> None:
    seen, adapter = Journal(), MemoryAdapter()
    tap_in_place(adapter, seen)
    extended = CreateExtended("docs_1", {DENSE: 8}, Metric.COSINE, PARSED, {}, tenants=True)
    adapter.create_extended(extended)
    adapter.of_tenant("acme").write(WRITE)
    assert adapter.count(Count("docs_1")) == 1
    assert adapter.of_tenant("other").count(Count("docs_1")) == 0
    assert seen.seen == [
        extended,
        Within(WRITE, tenant="acme"),
        Count("docs_1"),
        Within(Count("docs_1"), tenant="other"),
    ]


def test_in_place_twice() -> None:
    one, two, adapter = Journal(), Journal(), MemoryAdapter()
    tap_in_place(adapter, one)
    tap_in_place(adapter, two)
    adapter.create(CREATE)
    adapter.of_tenant("acme").write(WRITE)
    assert one.seen == two.seen == [CREATE, Within(WRITE, tenant="acme")]
    assert adapter.of_tenant("acme").count(Count("docs_1")) == 1


def test_a_facade_calls_either_kind() -> None:
    for kind in (MemoryAdapter, Awaited):
        adapter = blocking(kind())
        adapter.create(CREATE)
        adapter.of_tenant("acme").write(WRITE)
        assert adapter.of_tenant("acme").count(Count("docs_1")) == 1
