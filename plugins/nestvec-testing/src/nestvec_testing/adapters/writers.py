"""The kit's checks on several writers: what rules ask of a server that other processes write, too.

An embedded store is asked the same, as if others could write it.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Final

from nestvec._chunking import Splitter
from nestvec._collections.intents import is_intent
from nestvec._collections.opening import CollectionState, OpenCollection
from nestvec._documents.deleting import delete_any
from nestvec._documents.search import SearchOptions, search
from nestvec._documents.upsert import IncomingDocument, upsert
from nestvec.contract import Encode, Scroll, Write
from nestvec.encoding.vectors import finish, widen
from nestvec.types import Document, Record
from nestvec_testing.adapters.base import AdapterKit
from nestvec_testing.bench import Bench
from nestvec_testing.recording import RecordingEmbedder
from nestvec_testing.requests import Splitting, Wait, Within
from nestvec_testing.stepping import Asking, Stepper

_SMALL: Final = {"chunking": {"size": 10}}
_LEASE: Final = 30.0


def _text(word: str, chunks: int) -> str:
    return " ".join(f"{word}{number:07d}" for number in range(chunks))


class Process:
    """A process of its own, that writes and reads the bench's collection request by request."""

    def __init__(self, bench: Bench, spec: Any) -> None:
        self.bench, self.spec = bench, spec
        capabilities = replace(bench.capabilities, embedded=False, scans=False)
        self.state = CollectionState(spec, capabilities, bench.clock, _LEASE, bench.clock)
        self.asking = Asking(model=spec.model, clock=bench.clock)
        self.embedder = RecordingEmbedder()

    def begin(self, rule: Any, **arguments: Any) -> Stepper[Any]:
        """A rule on its way."""
        return Stepper(rule(OpenCollection(self.state, self.asking), **arguments))

    def put(self, *documents: Document) -> Stepper[Any]:
        """An ingestion on its way."""
        return self.begin(upsert, incoming=[IncomingDocument(each) for each in documents])

    def go_on(self, step: Stepper[Any]) -> None:
        """Answer one request."""
        request = step.request
        if isinstance(request, Encode):
            reply = self.embedder.encode(widen(request, self.spec.model))
            step.answer(finish(request, reply, self.spec.model, None))
        elif isinstance(request, Splitting):
            step.answer(Splitter(self.spec.chunking))
        elif isinstance(request, Wait):
            self.bench.clock.now += request.seconds
            step.answer()
        else:
            asked = request.request if isinstance(request, Within) else request
            step.answer(self.bench.raw(asked))

    def to_the_end(self, step: Stepper[Any]) -> Any:
        """Its result."""
        while not step.done:
            self.go_on(step)
        return step.result

    def to_the_heads(self, step: Stepper[Any]) -> None:
        """Until it is about to write heads, its chunks being there."""
        while not (isinstance(step.request, Write) and any(_is_head(each) for each in step.request.records)):
            self.go_on(step)


def _is_head(record: Record) -> bool:
    return record.system.get("chunk") == 0


class WriterChecks(AdapterKit):
    """Writers that know nothing of each other."""

    def test_several_writers_leave_one_version(self, bench: Bench) -> None:
        """Two replace one document at once: the last head wins as a whole, and nothing else stays."""
        spec = bench.applied(_SMALL).docs.spec
        one, two = Process(bench, spec), Process(bench, spec)
        one.to_the_end(one.put(Document("d", _text("o", 3))))
        first, last = one.put(Document("d", _text("a", 4))), two.put(Document("d", _text("b", 5)))
        two.to_the_heads(last)
        one.to_the_end(first)
        two.to_the_end(last)
        _is_all(bench, {"d": _text("b", 5)}, "two writers leave one version, that of the last head")

    def test_what_a_dead_writer_left_is_removed(self, bench: Bench) -> None:
        """By any writer that comes along once two leases have passed; until then searches leave it out."""
        spec = bench.applied(_SMALL).docs.spec
        one, two = Process(bench, spec), Process(bench, spec)
        one.to_the_end(one.put(Document("d", _text("o", 3))))
        killed = one.put(Document("d", _text("a", 4)))
        one.to_the_heads(killed)
        killed.close()
        options = SearchOptions(limit=20)
        (hits,) = two.to_the_end(two.begin(search, questions=["anything"], options=options))
        found = sorted(hit.text for hit in hits)
        assert found == sorted(_text("o", 3).split(" ")) or found == sorted(
            f"{word} " if number < 2 else word for number, word in enumerate(_text("o", 3).split(" "))
        ), f"a search leaves out what no head owns, but found {found}"
        bench.clock.now += 3 * _LEASE
        three = Process(bench, spec)
        three.to_the_end(three.put(Document("e", "other")))
        _is_all(bench, {"d": _text("o", 3), "e": "other"}, "what a dead writer left is removed by the next")

    def test_deleting_everything_empties_the_collection(self, bench: Bench) -> None:
        """Whatever dead writers left."""
        spec = bench.applied(_SMALL).docs.spec
        one, two = Process(bench, spec), Process(bench, spec)
        one.to_the_end(one.put(Document("d", _text("o", 3)), Document("e", "other")))
        killed = one.put(Document("d", _text("a", 4)))
        one.to_the_heads(killed)
        killed.close()
        bench.clock.now += 3 * _LEASE
        two.to_the_end(two.begin(delete_any, ids=(), where=None, everything=True))
        _is_all(bench, {}, "deleting everything leaves no record")


def _is_all(bench: Bench, wanted: dict[str, str], promise: str) -> None:
    """There is nothing in the collection but these documents, by their texts."""
    records: list[Record] = []
    cursor: Any = None
    while True:
        batch = bench.raw(Scroll(bench.physical(), None, 100, cursor))
        records += batch.records
        cursor = batch.cursor
        if cursor is None:
            break
    intents = [record for record in records if is_intent(record)]
    assert not intents, f"{promise}: {len(intents)} intents are left"
    texts: dict[str, list[Record]] = {}
    for record in records:
        texts.setdefault(record.document_id, []).append(record)
    found = {key: "".join(str(each.text) for each in sorted(parts, key=_number)) for key, parts in texts.items()}
    assert found == wanted, f"{promise}: {found}"


def _number(record: Record) -> int:
    return int(record.system["chunk"])
