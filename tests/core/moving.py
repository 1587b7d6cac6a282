"""A collection that is migrated by hand, step by step, and actors that are advanced one request at a time."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from nestvec._session.sync import PairPorts, run

from nestvec._chunking import Splitter
from nestvec._client import connect
from nestvec._collections import write_fence
from nestvec._collections.apply import apply
from nestvec._collections.opening import Binding, Flow, Target, Wait
from nestvec._collections.write_fence import WriteFence, GenerationPlace
from nestvec._documents.layout import head_id
from nestvec._migration.passes import Transfer, TransferStatistics, run_pass
from nestvec._migration.routes import Transform, Way
from nestvec._specs import StoredCollection
from nestvec.contract import Create, Fetch, SetAlias
from nestvec.runtime import RetryPolicy, Runtime
from nestvec.types import Document
from nestvec_testing.registry import test_registry

NUMBERS = itertools.count()
WANTED = {"embedder": "v3", "dimensions": 16}
PREVIOUS = {"embedder": "v2", "dimensions": 24}


class Time:
    """Both clocks, moved by hand. `during` is called once, when something waits."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.during: Callable[[], object] | None = None

    def __call__(self) -> float:
        return self.now

    def pass_(self, seconds: float) -> None:
        self.now += seconds
        during, self.during = self.during, None
        if during is not None:
            during()


class Move:
    """A collection `docs` that is what it was before, and a migration to what is wanted, played by hand."""

    def __init__(self, *, apart: bool = True, wanted: Any = (), previous: Any = (), **common: Any) -> None:
        self.time, number = Time(), next(NUMBERS)
        backends = {name: {"use": "memory", "store": f"following-{number}-{name}"} for name in ("old", "new")}
        before = {"backend": "old", **PREVIOUS, **dict(previous)}
        block = {"backend": "new" if apart else "old", **WANTED, **common, **dict(wanted)}
        self.values: dict[str, Any] = {
            "backends": backends,
            "embedders": {"v2": {"use": "recording", "model": "recording-v2"}, "v3": {"use": "recording"}},
            "collections": {"docs": {**block, "previous": before}},
        }
        self.runtime = Runtime(
            test_registry(),
            clock=self.time,
            wall=self.time,
            pause=self.time.pass_,
            retry=RetryPolicy(attempts=1),
        )
        self.client = connect(self.values, self.runtime)
        self.docs: Any = self.client["docs"]
        self.old: Any = self.client.adapter("old")
        self.new: Any = self.client.adapter(block["backend"])
        self.to = GenerationPlace(block["backend"], "docs_1" if apart else "docs_2")
        run(apply(self.before), self.docs._places[1])

    @property
    def before(self) -> Binding:
        """A binding to what the collection was, of its own."""
        return replace(self.docs._among.previous, target=None)

    @property
    def pinned(self) -> Binding:
        """A binding to the new generation, which no pointer leads to yet."""
        spec = self.docs.spec
        stored = StoredCollection.read(spec.record(2), self.to.physical)
        return replace(self.docs._binding, target=Target(self.to.physical, stored, math.inf))

    def embedder(self, name: str) -> Any:
        return self.client.embedder(name)

    def passing(self) -> Any:
        spec = self.docs.spec
        job = Transfer(
            replace(self.before, target=self.source), self.pinned, Way.EMBED, Transform(16), Splitter(spec.chunking)
        )
        return run_pass(job, "changes")

    @property
    def source(self) -> Target:
        spec = self.before.spec
        return Target("docs_1", StoredCollection.read(spec.record(1), "docs_1"), math.inf)

    def create(self) -> None:
        spec = self.docs.spec
        record = spec.record(2 if self.to.physical == "docs_2" else 1)
        self.new.create(Create(self.to.physical, spec.vectors, spec.metric, spec.fields, record, spec.namespaces))

    def bring(self) -> TransferStatistics:
        wanted, previous = self.docs._places
        return run(self.passing(), PairPorts(previous, wanted))

    def fence(self) -> WriteFence:
        return self.on_old(write_fence.raise_fence(self.time, "docs_1", "m", 90))

    def switch(self, fence: WriteFence) -> None:
        assert self.on_old(write_fence.to_switching(self.time, "docs_1", fence, self.to))
        self.new.set_alias(SetAlias("docs", self.to.physical))
        self.on_old(write_fence.mark_moved("docs_1", self.to))

    def on_old(self, flow: Flow[Any]) -> Any:
        return run(flow, self.docs._places[1])

    def migrate(self) -> None:
        """All at once: nobody else waits."""
        self.create()
        fence = self.fence()
        self.bring()
        self.switch(fence)

    def back(self) -> None:
        """To what it was: everything is there still."""
        self.on_old(write_fence.reopen("docs_1"))
        self.old.set_alias(SetAlias("docs", "docs_1"))
        run(write_fence.mark_moved(self.to.physical, GenerationPlace("old", "docs_1")), self.docs._places[0])


def text(number: int) -> str:
    return f"word{number} word{number + 1} text"


def corpus(count: int = 6) -> list[Document]:
    return [Document(f"d{i}", text(i)) for i in range(count)]


def stored(adapter: Any, physical: str, *ids: str) -> list[str]:
    batch = adapter.fetch(Fetch(physical, [head_id(None, key) for key in ids]))
    return [record.document_id for record in batch.records]


def spy(adapter: Any) -> list[Any]:
    """What an adapter is asked from now on."""
    asked: list[Any] = []

    def spied(method: Callable[[Any], Any]) -> Callable[[Any], Any]:
        def call(request: Any) -> Any:
            asked.append(request)
            return method(request)

        return call

    for name in ("resolve_alias", "describe", "read_note", "count", "scroll", "query", "fetch", "write", "remove"):
        setattr(adapter, name, spied(getattr(adapter, name)))
    return asked


class Actor:
    """A flow, advanced one request at a time; what waits goes on when its time has come."""

    def __init__(self, move: Move, flow: Any, answer: Callable[[Any], Any]) -> None:
        self.move, self.flow, self._answer = move, flow, answer
        self.until, self.done = 0.0, False
        self.request: Any = None
        self.result: Any = None
        self._step(lambda: next(flow))

    def advance(self) -> bool:
        """One request, if it may; returns whether it did."""
        if self.done or self.move.time.now < self.until:
            return False
        inner = getattr(self.request, "request", self.request)
        if isinstance(inner, Wait):
            self._step(lambda: self.flow.send(None))
            return True
        try:
            answer = self._answer(self.request)
        except Exception as error:
            failure = error
            self._step(lambda: self.flow.throw(failure))
        else:
            self._step(lambda: self.flow.send(answer))
        return True

    def _step(self, move: Callable[[], Any]) -> None:
        try:
            self.request = move()
        except StopIteration as stop:
            self.done, self.request, self.result = True, None, stop.value
        inner = getattr(self.request, "request", None)
        self.until = self.move.time.now + inner.seconds if isinstance(inner, Wait) else 0.0
