"""Several writers and a reader of one collection on a server, request by request, with deaths and late requests."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from nestvec._chunking import Chunking, Splitter
from nestvec._collections.apply import apply
from nestvec._collections.intents import is_intent
from nestvec._collections.opening import LEASE, CollectionState, OpenCollection, open_to_read
from nestvec._documents import repair as repairing
from nestvec._documents.layout import Head
from nestvec._session.session import Blocking, Component, Session, complete
from nestvec._specs import CollectionSpec
from nestvec.capabilities import TaskPair
from nestvec.contract import Batch, Count, Create, Found, Query, Remove, Scroll, Write
from nestvec.encoding.tasks import JINA_V3
from nestvec.errors import BackendUnavailable
from nestvec.spaces import space_of
from nestvec_testing.memory import CAPABILITIES, MemoryAdapter
from nestvec_testing.recording import RecordingEmbedder, RecordingOptions, capabilities
from nestvec_testing.stepping import Asking, Repeated, Stepper, answered

#: As of a server: other processes may write, too.
SERVER = replace(CAPABILITIES, embedded=False)


async def nothing_to_open() -> Any:
    raise AssertionError("all that there is was opened")


class Eventual(MemoryAdapter):
    """Reads by id and reads by filter see a write at different times: it is answered once both do.

    Pages go by id, as databases' do, so what one page says need not be so any more when the next one is read.
    """

    def __init__(self) -> None:
        super().__init__()
        self.searched = MemoryAdapter()

    def create(self, request: Create) -> None:
        super().create(request)
        self.searched.create(request)

    def write(self, request: Write) -> None:
        super().write(request)
        self.searched.write(request)

    def remove(self, request: Remove) -> None:
        super().remove(request)
        self.searched.remove(request)

    def seen_by_id(self, request: Write | Remove) -> None:
        """Only reads by id see it yet."""
        super().write(request) if isinstance(request, Write) else super().remove(request)

    def seen_by_filter(self, request: Write | Remove) -> None:
        """Only searches, scrolls and counts see it yet."""
        self.searched.write(request) if isinstance(request, Write) else self.searched.remove(request)

    def scroll(self, request: Scroll) -> Batch:
        found = self.searched.scroll(replace(request, limit=10**6, cursor=None)).records
        after = str(request.cursor or "")
        records = sorted((record for record in found if record.id > after), key=lambda record: record.id)
        page = records[: request.limit]
        return Batch(page, None, page[-1].id if len(records) > len(page) else None)

    def count(self, request: Count) -> int:
        return self.searched.count(request)

    def query(self, request: Query) -> list[list[Found]]:
        return self.searched.query(request)


@dataclass
class World:
    """One store, one clock. `since` says for how long a chunk has not been its document's."""

    now: float = 1000.0
    adapter: Eventual = field(default_factory=Eventual)
    late: list[tuple[float, Any]] = field(default_factory=list)
    since: dict[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        model = capabilities(RecordingOptions())
        pair = TaskPair(JINA_V3["retrieval"].index, JINA_V3["retrieval"].query)  # type: ignore[index]
        space = space_of(model, 8, pair, late_chunking=False)
        self.spec = CollectionSpec("docs", space, model, "store", "model", chunking=Chunking(size=10))
        self.model = model
        self.blocking = self._session()
        complete(apply(self.handle(self.blocking)))

    def clock(self) -> float:
        return self.now

    def _session(self) -> Session:
        store: Component[Any] = Component(nothing_to_open)
        embedder: Component[Any] = Component(nothing_to_open)
        store.opened, embedder.opened = self.adapter, RecordingEmbedder()

        async def splitter() -> Splitter:
            return Splitter(self.spec.chunking)

        waiting = Blocking(pause=self.advance)
        return Session(store, embedder, self.model, lambda _: None, waiting, clock=self.clock, make_splitter=splitter)

    def state(self) -> CollectionState:
        return CollectionState(self.spec, SERVER, self.clock, wall=self.clock)

    def opened(self) -> CollectionState:
        """Of a process that knows where the collection is."""
        state = self.state()
        complete(open_to_read(self.handle(self.blocking, state)))
        return state

    def handle(self, session: Session, state: CollectionState | None = None) -> OpenCollection:
        return OpenCollection(state or self.state(), session)

    def run(self, rule: Callable[[OpenCollection], Coroutine[Any, Any, Any]]) -> Any:
        """Run a rule to its end, alone, by a process of its own; time passes in it."""
        return complete(rule(self.handle(self.blocking)))

    # ------------------------------------------------------------ time, and what takes effect in it

    def advance(self, seconds: float) -> None:
        end = self.now + seconds
        for due, request in sorted(self.late, key=lambda each: each[0]):
            if due <= end:
                self.now = max(self.now, due)
                self.late.remove((due, request))
                self.apply(request)
        self.now = end

    def apply(self, request: Any, how: str = "do", records: int | None = None) -> None:
        """Let a write take effect, or its first records; for all reads, or for one kind of them."""
        if isinstance(request, Write):
            some = request.records[:records]
            rows = {name: values[: len(some)] for name, values in request.vectors.items()}
            request = replace(request, records=some, vectors=rows)
        else:
            request = replace(request, ids=request.ids[:records])
        if how == "seen by id":
            self.adapter.seen_by_id(request)
        elif how == "seen by filter":
            self.adapter.seen_by_filter(request)
        else:
            self.adapter.write(request) if isinstance(request, Write) else self.adapter.remove(request)
        self._look()

    def _look(self) -> None:
        revisions = {key: head.revision for key, head in self.current().items()}
        left = {
            record.id
            for record in self.records()
            if not is_intent(record)
            and record.system["chunk"]
            and revisions.get(record.document_id) != record.system["revision"]
        }
        self.since = {identity: self.since.get(identity, self.now) for identity in left}

    # ------------------------------------------------------------ what is there

    def records(self) -> list[Any]:
        return [point.record for point in self.adapter._collections["docs_1"].points.values()]

    def current(self) -> dict[str, Head]:
        return {
            record.document_id: Head.of(record)
            for record in self.records()
            if not is_intent(record) and not record.system["chunk"]
        }

    def check(self) -> dict[str, str]:
        """Every record is its document's, every document is whole; returns their texts."""
        searched = self.adapter.searched._collections["docs_1"].points
        assert searched.keys() == {record.id for record in self.records()}, "both kinds of reads see the same"
        texts: dict[str, list[Any]] = {}
        for record in self.records():
            assert not is_intent(record), f"an intent is left: {record.system}"
            texts.setdefault(record.document_id, []).append(record)
        current = self.current()
        for key, records in texts.items():
            assert key in current, f"records without a head: {records}"
            head = current[key]
            assert {record.system["revision"] for record in records} == {head.revision}
            assert sorted(record.system["chunk"] for record in records) == list(range(head.chunks))
            assert {record.system["version"] for record in records} == {head.version}
        return {key: "".join(each.text for each in sorted(found, key=_number)) for key, found in texts.items()}


async def repair(collection: OpenCollection) -> repairing.RepairReport:
    """What both clients do, without their locks."""
    surveys = await repairing.survey(collection)
    removed = 0
    for found in surveys:
        for block in found.blocks():
            removed += await repairing.mend(collection, found, block)
    notes = await repairing.finish(collection, [each.tenant for each in surveys], dry_run=False)
    return repairing.report_of(surveys, removed, notes, dry_run=False)


def _number(record: Any) -> int:
    return int(record.system["chunk"])


@dataclass
class Process:
    """A process with a handle of its own, which does one thing after another."""

    world: World
    work: Sequence[Callable[[OpenCollection], Coroutine[Any, Any, Any]]]
    done: list[Any] = field(default_factory=list)
    asked_at: float = 0.0
    #: A write that one kind of reads sees, and the other will.
    seen_by_some: Any = None

    def __post_init__(self) -> None:
        self.asking = Asking(model=self.world.model, clock=self.world.clock)
        self.state = self.world.opened()
        self.left = list(self.work)
        self.step: Stepper[Any] | None = None

    @property
    def over(self) -> bool:
        return self.step is None and not self.left

    def request(self) -> Any:
        """What it asks now, or None."""
        if self.step is None and self.left:
            self.step = Stepper(self.left.pop(0)(self.world.handle(self.asking, self.state)))
        return self.step.request if self.step is not None else None

    def die(self) -> None:
        """What it was at is never done; a process like it does the rest."""
        if self.step is not None:
            self.step.close()
        if self.seen_by_some is not None:
            self.world.late.append((self.world.now, self.seen_by_some))
        self.step, self.seen_by_some, self.state = None, None, self.world.opened()

    def stop(self) -> None:
        """For good."""
        self.die()
        self.left = []

    def go_on(self, how: str, number: int) -> None:
        """Take the next step, in one of several ways."""
        request = self.request()
        if request is None:
            return
        if how == "die":
            self.die()
        elif not isinstance(request, Write | Remove):
            if isinstance(request, Query):
                self.asked_at = self.world.now
            answer = answered(self.world.blocking, request)
            self._advanced(lambda step: step.answer(answer))
        elif self.seen_by_some is None and request.until is not None and self.world.now >= request.until:
            self._advanced(lambda step: step.fail(BackendUnavailable("the lease ended before it was sent")))
        else:
            self._write(request, how, number)

    def _write(self, request: Any, how: str, number: int) -> None:
        late = (self.world.now + number * LEASE / 8, request)
        if how.startswith("seen"):
            self.seen_by_some = request
        elif how in ("do", "do and die", "repeat"):
            self.seen_by_some = None
        if how in ("repeat", "late and die"):
            self.world.late.append(late)
        if how != "late and die":
            self.world.apply(request, how, number if how in ("half", "half and die") else None)
        if how in ("do", "do and die", "repeat"):
            self._advanced(lambda step: step.answer(Repeated(None) if how == "repeat" else None))
        if how in ("do and die", "half and die", "late and die"):
            self.die()

    def _advanced(self, move: Callable[[Stepper[Any]], Any]) -> None:
        assert self.step is not None
        try:
            move(self.step)
        except BackendUnavailable as error:
            self.done.append(error)
            self.step = None
            return
        if self.step.done:
            self.done.append(self.step.result)
            self.step = None
