"""A collection that is migrated by hand, step by step, and actors that are advanced one request at a time."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Coroutine
from dataclasses import replace
from typing import Any

from nestvec._chunking import Splitter
from nestvec._client import connect
from nestvec._collections import write_fence
from nestvec._collections.apply import apply
from nestvec._collections.opening import CollectionState, OpenCollection, Target
from nestvec._collections.write_fence import GenerationPlace, WriteFence
from nestvec._documents.layout import head_id
from nestvec._migration.passes import run_pass
from nestvec._migration.routes import Transform, Way
from nestvec._migration.transfer import Transfer, TransferStatistics
from nestvec._session.session import Backend, Session, complete
from nestvec._specs import StoredCollection
from nestvec.contract import Create, Fetch, SetAlias
from nestvec.errors import NestvecError
from nestvec.runtime import RetryPolicy, Runtime
from nestvec.types import Document
from nestvec_testing.registry import test_registry
from nestvec_testing.requests import Wait, bare
from nestvec_testing.stepping import Stepper

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
        complete(apply(OpenCollection(self.before, self.docs._sessions[1])))

    @property
    def before(self) -> CollectionState:
        """A state of what the collection was, of its own."""
        return replace(self.docs._among.previous, target=None)

    @property
    def pinned(self) -> CollectionState:
        """A state of the new generation, which no alias leads to yet."""
        spec = self.docs.spec
        stored = StoredCollection.read(spec.record(2), self.to.physical)
        return replace(self.docs._among.wanted, target=Target(self.to.physical, stored, math.inf))

    def embedder(self, name: str) -> Any:
        return self.client.embedder(name)

    def passing(self, wanted: Session, previous: Session) -> Coroutine[Any, Any, TransferStatistics]:
        """A pass, by these sessions."""
        source = OpenCollection(replace(self.before, target=self.source), previous)
        target = OpenCollection(self.pinned, wanted)
        splitter = Splitter(self.docs.spec.chunking)
        return run_pass(Transfer(source, target, Way.EMBED, Transform(16), splitter), "changes")

    @property
    def source(self) -> Target:
        spec = self.before.spec
        return Target("docs_1", StoredCollection.read(spec.record(1), "docs_1"), math.inf)

    def create(self) -> None:
        spec = self.docs.spec
        record = spec.record(2 if self.to.physical == "docs_2" else 1)
        self.new.create(Create(self.to.physical, spec.vectors, spec.metric, spec.fields, record, spec.namespaces))

    def bring(self) -> TransferStatistics:
        return complete(self.passing(*self.docs._sessions))

    @property
    def backend(self) -> Backend:
        """Where the collection was."""
        backend: Backend = self.docs._sessions[1].backend
        return backend

    def fence(self) -> WriteFence:
        return complete(write_fence.raise_fence(self.backend, self.time, "docs_1", "m", 90))

    def switch(self, fence: WriteFence) -> None:
        assert self.to_switching(fence)
        self.new.set_alias(SetAlias("docs", self.to.physical))
        complete(write_fence.mark_moved(self.backend, "docs_1", self.to))

    def to_switching(self, fence: WriteFence) -> bool:
        return complete(write_fence.to_switching(self.backend, self.time, "docs_1", fence, self.to))

    def migrate(self) -> None:
        """All at once: nobody else waits."""
        self.create()
        fence = self.fence()
        self.bring()
        self.switch(fence)

    def back(self) -> None:
        """To what it was: everything is there still."""
        complete(write_fence.reopen(self.backend, "docs_1"))
        self.old.set_alias(SetAlias("docs", "docs_1"))
        there = self.docs._sessions[0].backend
        complete(write_fence.mark_moved(there, self.to.physical, GenerationPlace("old", "docs_1")))


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
    """A rule, advanced one request at a time; what waits goes on when its time has come."""

    def __init__(self, move: Move, rule: Coroutine[Any, Any, Any], answer: Callable[[Any], Any]) -> None:
        self.move, self._answer, self.until = move, answer, 0.0
        self.step = Stepper(rule)
        self._arm()

    @property
    def done(self) -> bool:
        return self.step.done

    @property
    def result(self) -> Any:
        return self.step.result

    def advance(self) -> bool:
        """One request, if it may; returns whether it did."""
        if self.done or self.move.time.now < self.until:
            return False
        if isinstance(bare(self.step.request), Wait):
            self.step.answer()
        else:
            self._make()
        self._arm()
        return True

    def _make(self) -> None:
        try:
            answer = self._answer(self.step.request)
        except NestvecError as error:
            self.step.fail(error)
        else:
            self.step.answer(answer)

    def _arm(self) -> None:
        request = bare(self.step.request)
        self.until = self.move.time.now + request.seconds if isinstance(request, Wait) else 0.0
