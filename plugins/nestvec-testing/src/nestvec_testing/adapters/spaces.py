"""The kit's checks on embedding spaces: mix-ups are refused, foreign collections left alone, switches followed."""

from __future__ import annotations

from typing import Any, Final

from nestvec._documents.layout import head_id
from nestvec.contract import Count, Create, Describe, Drop, Fetch, ListCollections, SetAlias, Write
from nestvec.errors import CollectionConflict, NestvecError, SpaceMismatch, SpaceUnknown
from nestvec.types import DENSE, Metric
from nestvec_testing.adapters.base import AdapterKit
from nestvec_testing.bench import FIELDS, Bench, BenchClient
from nestvec_testing.data import CHANGES, PARSED, creation, document, record, vectors, words
from nestvec_testing.guard import refused

#: What differs, the collection's settings, the embedder's options.
_MIX_UPS: Final[tuple[tuple[str, dict[str, Any], dict[str, Any]], ...]] = (
    ("model", {}, {"model": "recording-v2"}),
    ("index_task", {"purpose": "matching"}, {}),
    ("query_task", {"tasks": {"index": "retrieval.passage", "query": "retrieval.passage"}}, {}),
    ("rotation", {}, {"rotation": "r1"}),
    ("late_chunking", {"late_chunking": True}, {}),
    ("dimensions", {"dimensions": 16}, {}),
)
#: What a tool that is not nestvec may have written.
_FOREIGN: Final[tuple[dict[str, Any], ...]] = ({}, {"owner": "somebody else"}, {"nestvec": 99})


class SpaceChecks(AdapterKit):
    """Embedding spaces."""

    def test_mixed_up_spaces_are_refused(self, bench: Bench) -> None:
        """Other model, task, rotation, late chunking or size — on an empty collection, and on one with data."""
        session = bench.applied()
        for documents in (0, 2):
            session.docs.upsert([document(f"d{i}", seed=i) for i in range(documents)])
            for difference, settings, embedder in _MIX_UPS:
                other = bench.session(settings, embedder=embedder)
                before = len(bench.requests)
                for what, act in _uses(other):
                    rule = f"{what} with another {difference} ({documents} documents stored)"
                    with refused(SpaceMismatch, rule) as caught:
                        act()
                    assert isinstance(caught.error, SpaceMismatch)
                    assert difference in caught.error.differences, (
                        f"{rule}: the error names {difference}: {caught.text}"
                    )
                (change,) = other.plan()
                assert change.action == "conflict", f"another {difference} is a conflict, not {change}"
                with refused(CollectionConflict, f"applying another {difference}"):
                    other.apply()
                changed = [each for each in bench.requests[before:] if isinstance(each, CHANGES)]
                assert not changed, f"refusing another {difference} changes nothing, but {changed[0]} was sent"
        assert session.docs.count() == 2, "refusing mix-ups leaves the data alone"

    def test_foreign_collections_are_left_alone(self, bench: Bench) -> None:
        """A collection without nestvec's record is refused everywhere, and stays as it was."""
        for number, stamp in enumerate(_FOREIGN):
            name = f"{bench.name}f{number}"
            physical = bench.capabilities.names.physical(name, 1)
            bench.raw(Create(physical, {DENSE: 32}, Metric.COSINE, PARSED, stamp))
            bench.raw(Write(physical, [record("theirs")], {DENSE: vectors(1, 32, unit=True)}))
            bench.raw(SetAlias(bench.capabilities.names.encode(name), physical))
            _refuses_foreign(bench, name, SpaceUnknown)
            info = bench.raw(Describe(physical))
            assert (info.record or {}) == stamp, f"a foreign collection keeps its record {stamp}, not {info.record}"
            assert bench.raw(Count(physical)) == 1, "a foreign collection keeps its data"

    def test_foreign_collection_under_our_name(self, bench: Bench) -> None:
        """A collection that sits where nestvec's alias would go is a conflict, and stays as it was."""
        alias = bench.capabilities.names.encode(bench.name)
        bench.raw(Create(alias, {DENSE: 32}, Metric.COSINE, PARSED, {}))
        bench.raw(Write(alias, [record("theirs")], {DENSE: vectors(1, 32, unit=True)}))
        before = sorted(bench.raw(ListCollections()))
        _refuses_foreign(bench, bench.name, NestvecError)
        assert sorted(bench.raw(ListCollections())) == before, "a conflict with a foreign collection creates nothing"
        assert bench.raw(Count(alias)) == 1, "a foreign collection keeps its data"

    def test_space_survives_reopening(self, bench: Bench) -> None:
        """Where the store outlives the client: data, record and alias are there again, and guard the space."""
        session = bench.applied()
        session.docs.upsert([document("a")])
        before = bench.describe()
        if not bench.subject.reopens:
            return
        bench.reopen()
        assert bench.describe() == before, "a reopened store describes its collections as before"
        assert bench.session().docs.count() == 1, "a reopened store has its data"
        with refused(SpaceMismatch, "another model on a reopened store"):
            bench.session(embedder={"model": "recording-v2"}).docs.count()


class SwitchChecks(AdapterKit):
    """What happens under an open handle when the alias moves to the next generation."""

    def test_readers_follow_after_the_lease(self, bench: Bench) -> None:
        """Before the lease has passed one generation is read, after it the other; never both."""
        session = bench.applied()
        session.docs.upsert([document("old")])
        _next_generation(bench, session)
        bench.session().docs.upsert([document("new", seed=5)])
        seen = [hit.document_id for hit in session.docs.search(words(5))]
        assert seen == ["old"], f"within its lease a handle stays with the generation it resolved, but saw {seen}"
        bench.clock.now += 31
        seen = [hit.document_id for hit in session.docs.search(words(5))]
        assert seen == ["new"], f"after its lease a handle follows the moved alias, but saw {seen}"
        moved = [event for event in bench.events if event.name == "alias_moved"]
        assert len(moved) == 1, f"following a moved alias emits one event alias_moved, not {len(moved)}"

    def test_readers_follow_when_the_old_generation_is_gone(self, bench: Bench) -> None:
        """A dropped generation is looked up again at once, without waiting for the lease."""
        session = bench.applied()
        assert session.docs.count() == 0
        old = bench.physical()
        _next_generation(bench, session)
        bench.session().docs.upsert([document("new")])
        bench.raw(Drop(old))
        found = session.docs.count()
        assert found == 1, f"a handle whose generation was dropped follows the alias: 1 document, not {found}"

    def test_writers_are_fenced(self, bench: Bench) -> None:
        """The alias moves in the middle of a batch: all of it goes to the new generation, no head to the old one."""
        session = bench.applied({"chunking": {"size": 60}})
        old = bench.physical()
        generations = [bench.capabilities.names.physical(bench.name, number) for number in (1, 2)]
        writes: list[str] = []

        def move_after_the_first(request: Any, perform: Any) -> Any:
            answer = perform(request)
            if isinstance(request, Write) and request.physical in generations:
                writes.append(request.physical)
                if len(writes) == 1:
                    _next_generation(bench, session)
                    bench.clock.now += 31
            return answer

        bench.intercept = move_after_the_first
        report = session.docs.upsert([document("a", 60)])
        bench.intercept = None
        assert report.documents == 1, f"a fenced batch is repeated on the new generation, but the report says {report}"
        assert set(writes[1:]) == {bench.physical()}, f"after the alias moved nothing is written to {old!r}: {writes}"
        assert bench.session({"chunking": {"size": 60}}).docs.get("a") == document("a", 60), (
            "a fenced batch is complete"
        )
        left = bench.raw(Fetch(old, [head_id(None, "a")])).records
        assert not left, "a fenced writer leaves no head in the old generation"


def _uses(session: BenchClient) -> list[tuple[str, Any]]:
    docs = session.docs
    return [
        ("opening", docs.count),
        ("upsert", lambda: docs.upsert([document("intruder")])),
        ("search", lambda: docs.search("river stone")),
        ("get", lambda: docs.get("d0")),
        ("delete", lambda: docs.delete(["d0"])),
        ("scroll", docs.scroll),
    ]


def _refuses_foreign(bench: Bench, name: str, kind: type[NestvecError]) -> None:
    session = bench.session(collections={name: {"dimensions": 32, "fields": FIELDS}})
    (change,) = session.plan()
    assert change.action == "conflict", f"a foreign collection is a conflict, not {change}"
    with refused(CollectionConflict, "applying to a foreign collection"):
        session.apply()
    docs = session[name]
    for what, act in (
        ("upsert", lambda: docs.upsert([document("ours")])),
        ("search", lambda: docs.search("river")),
        ("delete", lambda: docs.delete(["theirs"])),
        ("count", docs.count),
    ):
        with refused(kind, f"{what} on a foreign collection"):
            act()


def _next_generation(bench: Bench, session: BenchClient) -> None:
    """Create generation 2 of the bench's collection and let the alias lead there."""
    spec = session.target.config.collections[bench.name]
    physical = bench.capabilities.names.physical(bench.name, 2)
    plain = Create(physical, spec.vectors, spec.metric, spec.fields, spec.record(2), spec.options)
    bench.raw(creation(plain, tenants=spec.namespaces))
    bench.raw(SetAlias(bench.capabilities.names.encode(bench.name), physical))
