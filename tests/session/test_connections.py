"""What a client opens: each component once, closed with the client, and callable in the client's own form."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from nestvec._client import AsyncNestvec, Nestvec, aconnect, connect, connections
from nestvec._client import handle as handles
from nestvec.capabilities import Power
from nestvec.contract import (
    Adapter,
    Aliases,
    Create,
    Encode,
    Encoded,
    Group,
    ListTenants,
    ReadNote,
    Write,
    WriteNote,
)
from nestvec.errors import NestvecError
from nestvec.runtime import Runtime
from nestvec.types import DENSE, Document, Metric
from nestvec_testing.data import record
from nestvec_testing.memory import MemoryAdapter
from nestvec_testing.memory import nestvec_backend as memory
from nestvec_testing.minimal import CAPABILITIES, MinimalAdapter
from nestvec_testing.minimal import nestvec_backend as minimal
from nestvec_testing.recording import RecordingEmbedder
from nestvec_testing.recording import nestvec_embedder as recording
from nestvec_testing.registry import test_registry

VALUES: dict[str, Any] = {
    "backends": {"store": {"use": "acme"}},
    "embedders": {"model": {"use": "recording"}},
    "collections": {"docs": {"dimensions": 32}},
}


def client(
    backend: Any, values: dict[str, Any] = VALUES, make_embedder: Callable[[Any], Any] = RecordingEmbedder
) -> Nestvec:
    """On a backend's plugin, and embedders of the test's own."""
    return connect(values, runtime(backend, make_embedder))


def aclient(backend: Any) -> AsyncNestvec:
    return aconnect(VALUES, runtime(backend, RecordingEmbedder))


def runtime(backend: Any, make_embedder: Callable[[Any], Any]) -> Runtime:
    registry, embedder = test_registry(), replace(recording(), open=make_embedder)
    registry.backend = lambda name: backend  # type: ignore[method-assign]  # the only ones here
    registry.embedder = lambda name: embedder  # type: ignore[method-assign]
    return Runtime(registry)


# ---------------------------------------------------------------- closing


def test_closing_waits_for_what_another_thread_opens() -> None:
    begun, go_on, closed = threading.Event(), threading.Event(), threading.Event()

    class Told(MemoryAdapter):
        def close(self) -> None:
            closed.set()

    def slowly(_: object) -> MemoryAdapter:
        begun.set()
        assert go_on.wait(10)
        return Told()

    nv = client(replace(memory(), open=slowly))
    opening, closing = threading.Thread(target=lambda: nv.adapter("store")), threading.Thread(target=nv.close)
    opening.start()
    assert begun.wait(10)
    closing.start()
    closing.join(0.1)
    go_on.set()
    opening.join(10)
    closing.join(10)
    assert closed.is_set()
    with pytest.raises(NestvecError, match="this client is closed"):
        nv.adapter("store")


def test_closing_while_opening_in_the_same_thread_does_not_wait_for_itself() -> None:
    def interrupted(_: object) -> MemoryAdapter:
        nv.close()  # as the handler of a signal does
        return MemoryAdapter()

    nv = client(replace(memory(), open=interrupted))
    opening = threading.Thread(target=lambda: nv.adapter("store"), daemon=True)
    opening.start()
    opening.join(10)
    assert not opening.is_alive()


@pytest.mark.parametrize("close_at_once", [False, True])
def test_a_cancelled_task_leaves_nothing_half_open(close_at_once: bool) -> None:
    go_on, opened, closed = threading.Event(), list[MemoryAdapter](), list[MemoryAdapter]()

    class Told(MemoryAdapter):
        def close(self) -> None:
            closed.append(self)

    def slowly(_: object) -> MemoryAdapter:
        opened.append(Told())
        assert go_on.wait(10)
        return opened[-1]

    async def impatient() -> None:
        async with aclient(replace(memory(), open=slowly)) as nv:
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(nv["docs"].count(), 0.05)
            asyncio.get_running_loop().call_later(0.05, go_on.set)
            if not close_at_once:
                await nv.apply()

    asyncio.run(impatient())
    assert len(opened) == 1
    assert closed == opened


class Stuck(MemoryAdapter):
    """Cannot be closed the first time."""

    def __init__(self) -> None:
        super().__init__()
        self.asked = 0

    def close(self) -> None:
        self.asked += 1
        if self.asked == 1:
            raise NestvecError("not now")


class Closing(RecordingEmbedder):
    """Counts how often it is closed."""

    asked = 0

    def close(self) -> None:
        self.asked += 1


@pytest.mark.parametrize("form", ["plain", "awaited", "the other face"])
def test_what_cannot_be_closed_leaves_nothing_else_open(form: str) -> None:
    stuck, embedder = Stuck(), Closing(None)
    plugin = replace(memory(), open=lambda _: stuck, open_async=(lambda _: stuck) if form == "awaited" else None)
    nv: Any = (aconnect if form == "awaited" else connect)(VALUES, runtime(plugin, lambda _: embedder))

    async def used(face: AsyncNestvec) -> None:
        await face.apply()
        await face["docs"].upsert([Document("a", "text")])

    if form == "plain":
        nv.apply()
        nv["docs"].upsert([Document("a", "text")])
    else:
        asyncio.run(used(nv if form == "awaited" else nv.aio))
    close = (lambda: asyncio.run(nv.close())) if form == "awaited" else nv.close
    with pytest.raises(NestvecError, match="not now"):
        close()
    assert (stuck.asked, embedder.asked) == (1, 1)
    for _ in range(2):
        close()
    tried_again = form == "awaited"  # else others could use what was open: it was given up before
    assert (stuck.asked, embedder.asked) == (1 + tried_again, 1)


async def test_closing_that_is_cancelled_closes_what_follows() -> None:
    begun, embedder = asyncio.Event(), Closing(None)

    class Slow(MemoryAdapter):
        async def close(self) -> None:  # type: ignore[override]  # the contract allows it
            begun.set()
            await asyncio.Event().wait()

    plugin = replace(memory(), open_async=lambda _: Slow())
    nv = aconnect(VALUES, runtime(plugin, lambda _: embedder))
    await nv.apply()
    await nv["docs"].upsert([Document("a", "text")])
    task = asyncio.create_task(nv.close())
    await begun.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert embedder.asked == 1


# ---------------------------------------------------------------- in the synchronous form


class AliasesAlone(MinimalAdapter, Aliases):
    """Plain methods, and one power: what the core adds for the others are coroutines."""

    def resolve_alias(self, request: Any) -> str | None:
        return None

    def set_alias(self, request: Any) -> None: ...

    def drop_alias(self, request: Any) -> None: ...


def test_an_adapter_is_called_plainly_also_where_the_core_helps_it_out() -> None:
    declared = replace(CAPABILITIES, powers=frozenset({Power.ALIASES}))
    made: Adapter = AliasesAlone()
    with client(replace(minimal(), capabilities=lambda _: declared, open=lambda _: made)) as nv:
        adapter: Any = nv.adapter("store")
        adapter.create(Create("docs_1", {DENSE: 2}, Metric.COSINE, {}, {}))
        adapter.write_note(WriteNote("docs_1", "gate", "down"))
        assert adapter.read_note(ReadNote("docs_1", "gate")) == "down"
        one = Write("docs_1", [record("a")], {DENSE: np.ones((1, 2), np.float32)})
        adapter.of_tenant("acme").write(one)
        assert adapter.list_tenants(ListTenants("docs_1")) == ["acme"]


class NeverSuspends(RecordingEmbedder):
    """As the contract allows it: a coroutine that never suspends."""

    async def encode(self, request: Encode) -> Encoded:  # type: ignore[override]  # the contract allows it
        return super().encode(request)


def test_an_embedder_is_called_plainly_whatever_its_plugin_wrote() -> None:
    with client(memory(), make_embedder=NeverSuspends) as nv:
        reply = nv.embedder("model").encode(Encode((Group("a", "one text", ((0, 8),)),), "retrieval.passage", 64))
        assert isinstance(reply, Encoded)
        assert nv.embedder("model").rotation() is None


# ---------------------------------------------------------------- once


def test_documents_are_split_by_one_splitter_also_where_the_collection_was_another_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made: list[object] = []
    make = handles.make_splitter

    def counted(*arguments: Any) -> Any:
        made.append(arguments)
        return make(*arguments)

    monkeypatch.setattr(handles, "make_splitter", counted)
    block = {"dimensions": 32, "previous": {"dimensions": 16}}
    with client(memory(), {**VALUES, "collections": {"docs": block}}) as nv:
        nv.apply()
        for number in range(3):
            nv["docs"].upsert(Document(str(number), "a text"))
    assert len(made) == 1


def test_what_an_embedder_is_wrapped_in_is_loaded_once(monkeypatch: pytest.MonkeyPatch) -> None:
    wrapped: list[object] = []
    wrap, together = connections.wrapping, threading.Barrier(4)

    def counted(*arguments: Any) -> Any:
        wrapped.append(arguments)
        time.sleep(0.05)
        return wrap(*arguments)

    monkeypatch.setattr(connections, "wrapping", counted)
    with client(memory()) as nv:

        def embed() -> None:
            together.wait(10)
            nv.embed(["a text"])

        threads = [threading.Thread(target=embed) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(10)
    assert len(wrapped) == 1
