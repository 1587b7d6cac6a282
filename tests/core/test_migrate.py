"""Migrating, shrinking and going back: everything arrives, whatever is written and wherever it dies meanwhile."""

from __future__ import annotations

import contextlib
import itertools
import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from nestvec.artifacts import About, save
from nestvec.client import Collection, Nestvec, connect
from nestvec.client.base import Runtime
from nestvec.contract import Drop, ReadNote, WriteNote
from nestvec.drivers.retry import RetryPolicy
from nestvec.encoding.nesting import fit_rotation
from nestvec.errors import (
    BackendRefused,
    BackendUnavailable,
    CollectionConflict,
    CollectionError,
    CollectionNotFound,
    InvalidInput,
    SpaceError,
    Unsupported,
)
from nestvec.flows import gate
from nestvec.flows.gate import Gate, Place, State
from nestvec.flows.migrate.places import NOTE, Journal
from nestvec.flows.migrate.report import MigrationReport, Stage
from nestvec.flows.migrate.routes import Way
from nestvec.testing.registry import test_registry
from nestvec.types import DENSE, Document

FIELDS = {"lang": "keyword", "year": "integer"}
BEFORE = {"dimensions": 32, "fields": FIELDS, "chunking": {"size": 20}}
SHORTER = {"dimensions": 8}
MATCHING = {"purpose": "matching"}
METRIC = {"metric": "dot"}
ELSEWHERE = {"backend": "other"}
USUAL = {"purpose": "retrieval", "metric": "cosine", "late_chunking": False, "storage": "float32", "store_text": True}
REGISTRY = test_registry()
_STORES = itertools.count()


class Time:
    """Both clocks, moved by waiting alone."""

    def __init__(self) -> None:
        self.now = 1000.0

    def clock(self) -> float:
        return self.now

    def wall(self) -> float:
        return self.now + 500

    def pass_(self, seconds: float) -> None:
        self.now += seconds


class World:
    """A collection `docs` in one of two stores; configurations of it; clients are opened and closed on the stores."""

    def __init__(self, before: dict[str, Any] | None = None) -> None:
        self.time = Time()
        self.stores = {name: f"migrate-{next(_STORES)}" for name in ("store", "other")}
        self.before = {**BEFORE, "backend": "store", **(before or {})}
        self.after: dict[str, Any] | None = None
        self.embedders: dict[str, Any] = {"model": {"use": "recording", "batch": 4}}
        self.artifacts: Any = None
        self.opened: list[Nestvec] = []

    def open(self, wanted: dict[str, Any] | None = None, *, previous: bool = True) -> Nestvec:
        """A client of a new process: with what is wanted now, and what there was before."""
        block = dict(self.before)
        if wanted is not None:
            block = {**self.before, **wanted}
            block = {key: value for key, value in block.items() if value is not None}
            if previous:
                block["previous"] = {key: self.before[key] if key in self.before else USUAL[key] for key in wanted}
        values = {
            "backends": {name: {"use": "memory", "store": store} for name, store in self.stores.items()},
            "embedders": self.embedders,
            "collections": {"docs": block},
            **({"artifacts": str(self.artifacts)} if self.artifacts else {}),
        }
        policy = RetryPolicy(attempts=1)
        runtime = Runtime(
            REGISTRY, self.time.clock, retry=policy, wall=self.time.wall, pause=self.time.pass_, lease=30.0
        )
        self.opened.append(connect(values, runtime))
        return self.opened[-1]

    def close(self) -> None:
        for client in self.opened:
            client.close()


@pytest.fixture
def world() -> Iterator[Callable[..., World]]:
    made: list[World] = []

    def make(**before: Any) -> World:
        made.append(World(before))
        return made[-1]

    yield make
    for each in made:
        each.close()


def document(key: str, words: int = 8, word: str = "word", year: int = 2000) -> Document:
    return Document(key, " ".join(f"{word}{i}" for i in range(words)), {"lang": "de", "year": year, "free": 1})


def corpus(count: int = 12) -> list[Document]:
    return [document(f"d{i}", 2 + i) for i in range(count)]


def handle(client: Nestvec) -> Collection:
    docs = client["docs"]
    return docs.namespace("acme") if docs.spec.namespaces else docs


def filled(world: World, documents: list[Document] | None = None) -> Nestvec:
    client = world.open()
    client.apply()
    handle(client).upsert(documents or corpus())
    return client


def contents(client: Nestvec) -> dict[str, tuple[str, Any]]:
    """Every document that can be read by the collection's name."""
    pages = list(handle(client).scroll(group_by_document=True))
    return {record.document_id: (record.text, record.metadata) for page in pages for record in page.records}


def expected(documents: list[Document]) -> dict[str, tuple[str, Any]]:
    return {each.id: (each.text, each.metadata) for each in documents}


def whole(client: Nestvec, documents: list[Document]) -> None:
    """The collection holds exactly these documents, no chunk twice, and each is found by its own text."""
    assert contents(client) == expected(documents)
    docs = handle(client)
    spec = docs.spec
    physical = client.adapter(spec.backend)._pointers["docs"]  # type: ignore[attr-defined]
    points = client.adapter(spec.backend)._collections[physical].points.values()  # type: ignore[attr-defined]
    keys = [(each.record.document_id, each.record.system["chunk"]) for each in points]
    assert len(keys) == len(set(keys))
    found = docs.matrix()
    assert found.vectors.shape == (len(keys), spec.space.dimensions)
    wanted = client.embed(
        [record.text or "" for record in found.records],
        task=spec.space.index_task,
        dimensions=spec.space.dimensions,
        embedder=spec.embedder,
    )
    if not spec.space.late_chunking and spec.storage == "float32":
        np.testing.assert_allclose(found.vectors, wanted, atol=1e-5)


METHODS = (
    *("resolve", "describe", "list_collections", "create", "update", "point", "unpoint", "drop", "write_note"),
    *("read_note", "write", "remove", "fetch", "scroll", "count", "tenants", "query"),
)


class Killed(BaseException):
    """As a process ends: nothing can be done about it, and nothing is answered any more."""


class Death:
    """Comes at the n-th call to a backend or embedder: before it had any effect, or after that."""

    def __init__(self, client: Nestvec, left: int, *, after: bool) -> None:
        self.left, self.after, self.calls = left, after, 0
        for plugin, methods in [
            *((client.adapter(name), METHODS) for name in client.config.backends),
            *((client.embedder(name), ("encode",)) for name in client.config.embedders),
        ]:
            for method in methods:
                setattr(plugin, method, self._mortal(getattr(plugin, method)))

    def _mortal(self, method: Any) -> Any:
        def call(request: Any) -> Any:
            self.calls += 1
            if self.calls > self.left + 1 or (self.calls == self.left + 1 and not self.after):
                raise Killed
            answer = method(request)
            if self.calls == self.left + 1:
                raise Killed
            return answer

        return call


CASES = {
    "copy": (METRIC, Way.COPY),
    "derive": (SHORTER, Way.DERIVE),
    "embed": (MATCHING, Way.EMBED),
    "copy elsewhere": (ELSEWHERE, Way.COPY),
    "derive elsewhere": ({**ELSEWHERE, **SHORTER}, Way.DERIVE),
    "embed elsewhere": ({**ELSEWHERE, **MATCHING}, Way.EMBED),
}


@pytest.mark.parametrize("case", CASES)
def test_everything_arrives(world: Any, case: str) -> None:
    wanted, way = CASES[case]
    there = world()
    filled(there)
    client = there.open(wanted)
    recorded: Any = client.embedder("model")
    report = client.migrate("docs")
    assert (report.way, report.switched, report.failed) == (way, True, ())
    assert (report.documents, report.brought, report.changed, report.verified) == (12, 12, 0, 12)
    assert report.chunks == client["docs"].count(chunks=True)
    assert bool(recorded.requests) is (way is Way.EMBED)
    assert report.overlap is not None
    assert report.overlap.k == 10
    if way is Way.COPY:
        assert report.overlap.least == 1.0
    assert gate.drain(30) <= report.writers_waited < gate.drain(30) + 5
    whole(client, corpus())
    again = client.migrate("docs")
    assert (again.way, again.switched) == (None, False)
    assert "nothing to do" in again.reason


def write(client: Nestvec) -> list[Document]:
    """Replace, change, add and delete documents of the corpus; returns what there is then."""
    docs = client["docs"]
    changed = [document("d3", 1, "other"), document("d4", 6, year=1999), document("new", 9)]
    docs.upsert(changed)
    docs.delete(["d5", "d6"])
    kept = {each.id: each for each in [*corpus(), *changed]}
    return [each for key, each in kept.items() if key not in ("d5", "d6")]


@pytest.mark.parametrize("case", CASES)
def test_going_back_brings_what_was_written_since_and_touches_nothing_else(world: Any, case: str) -> None:
    wanted, _ = CASES[case]
    there = world()
    filled(there)
    client = there.open(wanted)
    client.migrate("docs")
    documents = write(client)
    report = client.rollback("docs")
    assert (report.switched, report.brought, report.deleted, report.failed) == (True, 3, 2, ())
    assert report.source.backend == client["docs"].spec.backend
    assert report.target == Place("store", "docs_1")
    assert report.documents == len(documents)
    whole(there.open(), documents)
    settled(there, documents, {})


def test_going_forward_again_uses_what_was_gone_back_from(world: Any) -> None:
    there = world()
    filled(there)
    client = there.open(MATCHING)
    client.migrate("docs")
    client.rollback("docs")
    documents = write(there.open())
    recorded: Any = client.embedder("model")
    recorded.requests.clear()
    report = client.migrate("docs")
    assert (report.switched, report.brought, report.deleted, report.target.physical) == (True, 3, 2, "docs_2")
    assert {group.key for request in recorded.requests for group in request.groups} == {"d3", "new"}
    settled(there, documents, MATCHING)
    assert client.rollback("docs").brought == 0
    again = client.rollback("docs")
    assert (again.way, again.switched) == (None, False)
    assert "gone back to already, from 'docs_2'" in again.reason
    settled(there, documents, {})


def test_going_back_without_what_was_written_since(world: Any) -> None:
    there = world()
    filled(there)
    client = there.open(MATCHING)
    client.migrate("docs")
    write(client)
    report = client.rollback("docs", discard=True)
    assert (report.way, report.switched, report.brought, report.documents) == (None, True, 0, 12)
    assert "left behind" in report.reason
    settled(there, corpus(), {})


def test_going_back_needs_the_old_embedder_only_for_what_changed(world: Any) -> None:
    there = world(embedder="old")
    there.embedders = {"old": {"use": "recording", "model": "old"}}
    filled(there)
    there.embedders["new"] = {"use": "recording", "model": "new"}
    client = there.open({"embedder": "new"})
    client.migrate("docs")
    del there.embedders["old"]
    alone = there.open({"embedder": "new"}, previous=False)
    back = alone.rollback("docs")
    assert (back.switched, back.brought) == (True, 0)
    assert alone.migrate("docs").switched
    write(alone)
    with pytest.raises(Unsupported, match=r"5 documents changed since.*\[collections.docs.previous\].*--discard"):
        alone.rollback("docs")
    assert len(contents(alone)) == 11
    alone["docs"].upsert([document("more")])
    assert alone.rollback("docs", discard=True).switched
    there.embedders = {"old": {"use": "recording", "model": "old"}}
    settled(there, corpus(), {})


def test_nothing_to_go_back_to(world: Any) -> None:
    there = world()
    client = filled(there)
    with pytest.raises(Unsupported, match="not made by a migration"):
        client.rollback("docs")
    client = there.open(SHORTER)
    client.migrate("docs")
    client.adapter("store").drop(Drop("docs_1"))
    with pytest.raises(CollectionNotFound, match="no longer there"):
        client.rollback("docs")


# ---------------------------------------------------------------- shrinking


def note(client: Nestvec, name: str, physical: str, backend: str = "store") -> str | None:
    found: str | None = client.adapter(backend).read_note(ReadNote(physical, name))
    return found


def test_shrinking_embeds_nothing_and_leaves_a_note(world: Any) -> None:
    there = world(funnel=[4, 16])
    filled(there)
    client = there.open()
    recorded: Any = client.embedder("model")
    report = client.shrink("docs", 8)
    assert (report.way, report.switched, report.documents) == (Way.DERIVE, True, 12)
    assert not recorded.requests
    assert json.loads(note(client, "supersedes", "docs_2") or "") == {"version": 1, "dimensions": 32}
    settled(there, corpus(), {**SHORTER, "funnel": [4]})
    for again in (client.shrink("docs", 8), client.migrate("docs")):
        assert (again.way, again.switched) == (None, False)
        assert "nothing to do" in again.reason
    assert "dimensions = 8" in client.migrate("docs").reason
    assert client.shrink("docs", 4).switched
    assert json.loads(note(client, "supersedes", "docs_3") or "")["dimensions"] == 32


def test_a_size_that_the_configuration_says_already_needs_no_note(world: Any) -> None:
    there = world()
    filled(there)
    client = there.open(SHORTER, previous=False)
    assert client.shrink("docs", 8).switched
    assert note(client, "supersedes", "docs_2") is None


def test_shrinking_refuses_what_would_have_to_be_embedded(world: Any) -> None:
    there = world(dimensions=16)
    filled(there)
    client = there.open()
    for size, reason in [(32, "16 dimensions and 32 are wanted"), (0, "offers 1 to 64"), (65, "offers 1 to 64")]:
        with pytest.raises(Unsupported, match=reason):
            client.shrink("docs", size)
    with pytest.raises(Unsupported, match=r"another .*tasks?.*nestvec migrate docs"):
        there.open(MATCHING).shrink("docs", 8)
    assert list(client.adapter("store")._collections) == ["docs_1"]  # type: ignore[attr-defined]


def test_a_model_without_prefixes_is_nested_and_then_shrunk(world: Any, tmp_path: Any) -> None:
    there = world(dimensions=64)
    there.embedders["model"] = {"use": "recording"}
    rows = filled(there, corpus(60)).embed([each.text for each in corpus(60)], task="retrieval.passage")
    rotation = fit_rotation(rows)
    kept = save(tmp_path, rotation, About("recording-v3", 64))
    there.artifacts = tmp_path
    plain, there.embedders["model"] = (
        there.embedders["model"],
        {"use": "recording", "nesting": {"rotation": kept.fingerprint}},
    )
    client = there.open()
    recorded: Any = client.embedder("model")
    report = client.shrink("docs", 16)
    assert (report.way, report.switched, report.verified) == (Way.DERIVE, True, 32)
    assert not recorded.inner.requests
    settled(there, corpus(60), {"dimensions": 16})
    # And back to the plain vectors, which are there still.
    there.embedders["model"] = plain
    assert client.rollback("docs").switched
    settled(there, corpus(60), {})


def test_a_rotation_is_turned_back(world: Any) -> None:
    there = world(dimensions=64)
    there.embedders["model"] = {"use": "recording", "rotation": "reversal"}
    filled(there)
    there.embedders = {"plain": {"use": "recording"}, "nested": there.embedders["model"]}
    there.before["embedder"] = "nested"
    client = there.open({"embedder": "plain", "dimensions": 20})
    report = client.migrate("docs")
    assert (report.way, report.switched) == (Way.DERIVE, True)
    settled(there, corpus(), {"embedder": "plain", "dimensions": 20})


# ---------------------------------------------------------------- refusals


def test_what_apply_can_do_is_left_to_it(world: Any) -> None:
    there = world()
    filled(there)
    for change in ({"fields": {**FIELDS, "more": "keyword"}}, {"chunking": {"size": 50}}):
        report = there.open(change, previous=False).migrate("docs")
        assert (report.way, report.switched) == (None, False)
        assert "nestvec apply" in report.reason


def test_there_has_to_be_something_to_migrate(world: Any) -> None:
    there = world()
    with pytest.raises(CollectionNotFound, match=r"nestvec apply.*\[collections.docs.previous\]"):
        there.open(SHORTER).migrate("docs")
    with pytest.raises(InvalidInput, match="no collection 'dosc'"):
        there.open(SHORTER).migrate("dosc")
    filled(there)
    elsewhere = there.open(ELSEWHERE)
    elsewhere.apply()
    with pytest.raises(CollectionConflict, match=r"two places, 'docs_1' on backend 'other' and 'docs_1' on"):
        elsewhere.migrate("docs")
    with pytest.raises(CollectionConflict, match="namespaces = false"):
        there.open({"namespaces": True, **SHORTER}, previous=False).migrate("docs")


def test_missing_texts_are_told_before_anything_is_made(world: Any) -> None:
    there = world(store_text=False)
    filled(there)
    client = there.open(MATCHING)
    recorded: Any = client.embedder("model")
    with pytest.raises(Unsupported, match=r"another .*not stored.*--from"):
        client.migrate("docs")
    assert list(client.adapter("store")._collections) == ["docs_1"]  # type: ignore[attr-defined]
    report = client.migrate("docs", documents=corpus(11))
    assert (report.switched, [each.document_id for each in report.failed]) == (False, ["d11"])
    assert len(contents(there.open())) == 12
    embedded = len(recorded.requests)
    report = client.migrate("docs", documents=corpus())
    assert (report.switched, report.brought, report.failed) == (True, 1, ())
    assert len(recorded.requests) == embedded + 1


def test_only_documents_give_texts(world: Any) -> None:
    there = world()
    filled(there)
    with pytest.raises(InvalidInput, match=r"nestvec\.Document objects, not str"):
        there.open(MATCHING).migrate("docs", documents=["text"])
    with pytest.raises(InvalidInput, match="list of texts"):
        there.open(MATCHING).migrate("docs", questions="text")


def test_a_document_that_the_backend_refuses_is_named_and_nothing_switches(world: Any) -> None:
    there = world()
    filled(there)
    client = there.open(SHORTER)
    adapter: Any = client.adapter("store")
    write = adapter.write

    def picky(request: Any) -> None:
        if any(record.document_id == "d7" for record in request.records):
            raise BackendRefused("too fat")
        write(request)

    adapter.write = picky
    report = client.migrate("docs")
    assert (report.switched, [each.document_id for each in report.failed]) == (False, ["d7"])
    assert report.documents == 11
    assert note(client, gate.NOTE, "docs_1") is None
    adapter.write = write
    assert client.migrate("docs").brought == 1
    settled(there, corpus(), SHORTER)


def test_a_document_that_fails_under_the_fence_lets_writers_in_again(world: Any) -> None:
    there = world()
    filled(there)
    client = there.open(SHORTER)
    adapter: Any = client.adapter("store")
    write = adapter.write

    def late(seconds: float) -> None:
        there.time.pass_(seconds)
        if seconds > 30:  # the last pass is next
            there.open()["docs"].spec  # noqa: B018
            other = there.open()
            other["docs"]._binding.target = replace(client_target(other), gate=None)
            other["docs"].upsert([document("d7", 3, "late")])
            adapter.write = lambda request: (_ for _ in ()).throw(BackendRefused("too fat"))

    client._runtime = replace(client._runtime, pause=late)
    report = client.migrate("docs")
    assert (report.switched, [each.document_id for each in report.failed]) == (False, ["d7"])
    assert note(client, gate.NOTE, "docs_1") is None
    adapter.write = write


def client_target(client: Nestvec) -> Any:
    client["docs"].count()
    return client["docs"]._binding.target


@pytest.mark.parametrize("error", [BackendUnavailable("gone"), KeyboardInterrupt()], ids=["error", "Ctrl-C"])
def test_a_fence_is_lifted_when_the_migration_breaks_off(world: Any, error: BaseException) -> None:
    there = world()
    filled(there)
    client = there.open(SHORTER)

    def interrupted(seconds: float) -> None:
        assert note(client, gate.NOTE, "docs_1") is not None
        raise error

    client._runtime = replace(client._runtime, pause=interrupted)
    with pytest.raises(type(error)):
        client.migrate("docs")
    assert note(client, gate.NOTE, "docs_1") is None
    client._runtime = replace(client._runtime, pause=there.time.pass_)
    assert client.migrate("docs").switched
    settled(there, corpus(), SHORTER)


def test_a_fence_of_another_run_is_left_alone(world: Any) -> None:
    """Another process goes on with the same migration: what it holds is not this one's to lift."""
    there = world()
    filled(there)
    client = there.open(SHORTER)
    taken: list[Gate] = []

    def overtaken(seconds: float) -> None:
        held = Gate.from_text(note(client, gate.NOTE, "docs_1") or "", "docs_1")
        taken.append(replace(held, until=(held.until or 0) + 10))
        client.adapter("store").write_note(WriteNote("docs_1", gate.NOTE, taken[0].to_text()))

    client._runtime = replace(client._runtime, pause=overtaken)
    with pytest.raises(CollectionConflict, match="can not run at once"):
        client.migrate("docs")
    assert Gate.from_text(note(client, gate.NOTE, "docs_1") or "", "docs_1") == taken[0]


def test_a_switch_of_another_migration_has_to_be_ended_first(world: Any) -> None:
    there = world()
    filled(there)
    client = there.open(SHORTER)
    adapter: Any = client.adapter("store")
    adapter.point = lambda request: (_ for _ in ()).throw(BackendUnavailable("gone"))
    with pytest.raises(BackendUnavailable):
        client.migrate("docs")
    assert Gate.from_text(note(client, gate.NOTE, "docs_1") or "", "docs_1").state is State.SWITCHING
    for other in (there.open({"dimensions": 16}, previous=False), there.open()):
        with pytest.raises(
            CollectionConflict, match=r"'docs_2' on backend 'store' was interrupted.*nestvec migrate docs"
        ):
            other.migrate("docs")
    del adapter.point
    assert client.migrate("docs").switched
    settled(there, corpus(), SHORTER)


def test_a_last_pass_that_takes_longer_than_its_fence_is_repeated_and_then_given_up(world: Any) -> None:
    there = world()
    filled(there)
    client = there.open(SHORTER)
    adapter: Any = client.adapter("store")
    scroll, slow = adapter.scroll, [100.0, 10.0]

    def slowly(request: Any) -> Any:
        held = note(client, gate.NOTE, "docs_1")
        if held is not None:
            there.time.pass_(slow[0])
            slow[0] *= slow[1]
        return scroll(request)

    adapter.scroll = slowly
    with pytest.raises(CollectionError, match=r"changes faster than it can be brought over.*seconds"):
        client.migrate("docs")
    assert note(client, gate.NOTE, "docs_1") is None
    slow[:] = [50.0, 1.0]
    report = client.migrate("docs")
    assert report.switched
    assert report.writers_waited > 200, "it needed a second fence"
    settled(there, corpus(), SHORTER)


def test_what_changed_in_the_configuration_meanwhile_makes_another_shadow(world: Any) -> None:
    there = world()
    filled(there)
    client = there.open(SHORTER)
    mortal = Death(client, 25, after=True)
    with pytest.raises(Killed):
        client.migrate("docs")
    assert mortal.calls == 26
    client = there.open({"dimensions": 16})
    report = client.migrate("docs")
    assert (report.switched, report.target.physical, report.brought) == (True, "docs_3", 12)
    whole(client, corpus())


def test_records_that_nobody_knows_of_stop_the_switch(world: Any) -> None:
    there = world()
    filled(there)
    client = there.open(SHORTER)
    adapter: Any = client.adapter("store")
    count = adapter.count
    adapter.count = lambda request: count(request) + (request.physical == "docs_2")
    with pytest.raises(CollectionError, match="has 35 records where its documents have 34"):
        client.migrate("docs")
    assert note(client, gate.NOTE, "docs_1") is None


@pytest.mark.parametrize("spoilt", ["vectors", "text"])
def test_a_sample_is_compared(world: Any, spoilt: str) -> None:
    there = world()
    filled(there)
    client = there.open(METRIC)
    adapter: Any = client.adapter("store")
    write = adapter.write

    def spoil(request: Any) -> None:
        if request.physical == "docs_2" and spoilt == "vectors":
            request = replace(request, vectors={DENSE: request.vectors[DENSE][::-1].copy()})
        if request.physical == "docs_2" and spoilt == "text":
            request = replace(request, records=[replace(each, text="x" + each.text[1:]) for each in request.records])
        write(request)

    adapter.write = spoil
    with pytest.raises(CollectionError, match=r"document 'd[0-9]*'"):
        client.migrate("docs")
    assert len(contents(there.open())) == 12


# ---------------------------------------------------------------- dying anywhere


def answers(world: World, wanted: dict[str, Any]) -> list[dict[str, tuple[str, Any]]]:
    """What handles of the one and of the other configuration read, where they read anything."""
    found = []
    for client in (world.open(), world.open(wanted)):
        with contextlib.suppress(CollectionError, SpaceError):
            found.append(contents(client))
    return found


def settled(world: World, documents: list[Document], wanted: dict[str, Any]) -> None:
    """Nothing of the migration is left but its journal."""
    client = world.open(wanted or None)
    whole(client, documents)
    backend = client["docs"].spec.backend
    physical = client.adapter(backend)._pointers["docs"]  # type: ignore[attr-defined]
    made = [(name, each) for name in world.stores for each in client.adapter(name)._collections]  # type: ignore[attr-defined]
    assert len(made) == 2, "there is another shadow"
    assert "shadow" not in client.adapter(backend)._collections[physical].info.record  # type: ignore[attr-defined]
    journal = Journal.from_text(client.adapter(backend).read_note(ReadNote(physical, NOTE)), physical)  # type: ignore[arg-type]
    assert journal.stage is Stage.DONE
    assert journal.left is not None
    held = client.adapter(journal.source.backend).read_note(ReadNote(journal.source.physical, gate.NOTE))
    assert Gate.from_text(held or "", "docs_1") == Gate(State.MOVED, to=Place(backend, physical))
    assert client.adapter(backend).read_note(ReadNote(physical, gate.NOTE)) is None


class Act:
    """What may die: how it begins, what is run, and what the collection is afterwards."""

    def __init__(
        self, before: dict[str, Any], wanted: dict[str, Any], run: Callable[[Nestvec], MigrationReport]
    ) -> None:
        self.before, self.wanted, self.run = before, wanted, run

    def begin(self, world: World) -> None:
        filled(world, corpus(3))

    @property
    def after(self) -> dict[str, Any]:
        return self.wanted


class Back(Act):
    """Going back, after something was written."""

    def begin(self, world: World) -> None:
        filled(world, corpus(3))
        client = world.open(self.wanted)
        client.migrate("docs")
        client["docs"].upsert([document("d1", 5, "second")])
        client["docs"].upsert(corpus(3))

    @property
    def after(self) -> dict[str, Any]:
        return {}


class Again(Back):
    """Going forward after having gone back."""

    def begin(self, world: World) -> None:
        super().begin(world)
        world.open(self.wanted).rollback("docs")

    @property
    def after(self) -> dict[str, Any]:
        return self.wanted


def migrating(client: Nestvec) -> MigrationReport:
    return client.migrate("docs")


def shrinking(client: Nestvec) -> MigrationReport:
    return client.shrink("docs", 8)


def going_back(client: Nestvec) -> MigrationReport:
    return client.rollback("docs")


ACTS = {
    **{case: Act({}, wanted, migrating) for case, (wanted, _) in CASES.items()},
    "namespaces": Act({"namespaces": True}, MATCHING, migrating),
    "shrink": Act({}, SHORTER, shrinking),
    **{f"back, {case}": Back({}, CASES[case][0], going_back) for case in ("embed", "derive elsewhere")},
    **{f"again, {case}": Again({}, CASES[case][0], migrating) for case in ("embed", "copy elsewhere")},
}


@pytest.mark.parametrize("after", [False, True], ids=["before it", "after it"])
@pytest.mark.parametrize("name", ACTS)
def test_it_may_die_at_any_request_and_goes_on(name: str, after: bool) -> None:
    act = ACTS[name]
    for death in itertools.count():
        world = World(act.before)
        act.begin(world)
        report = dying(world, act, death, after=after)
        if report is not None:
            assert death > 30, "it was never killed"
            break
        assert expected(corpus(3)) in answers(world, act.wanted), f"nobody answers after death {death}"
        report = act.run(world.open(act.wanted))
        assert report.switched or "nothing to do" in report.reason
        settled(world, corpus(3), act.after)
        world.close()
    world.close()


def dying(world: World, act: Act, death: int, *, after: bool) -> MigrationReport | None:
    client = world.open(act.wanted)
    Death(client, death, after=after)
    try:
        return act.run(client)
    except Killed:
        return None
