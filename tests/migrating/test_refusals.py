"""What migrations refuse, and how they end when something goes wrong: nothing is switched, writers go on."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from nestvec._client import Nestvec, aconnect, connect
from nestvec._collections import write_fence
from nestvec._collections.write_fence import FenceState, WriteFence
from nestvec.contract import Create, WriteNote
from nestvec.errors import (
    BackendRefused,
    BackendUnavailable,
    CollectionConflict,
    CollectionError,
    CollectionNotFound,
    ConfigError,
    InvalidInput,
    MigrationInterrupted,
    Unsupported,
)
from nestvec.runtime import Runtime
from nestvec.types import DENSE, Document
from nestvec_testing.registry import test_registry

from .world import (
    ELSEWHERE,
    FIELDS,
    MATCHING,
    METRIC,
    SHORTER,
    Death,
    Killed,
    contents,
    corpus,
    document,
    filled,
    note,
    pausing,
    settled,
    whole,
)


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
    there.open(ELSEWHERE, previous=False).apply()
    elsewhere = there.open(ELSEWHERE)
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
    started = there.time.now
    report = client.migrate("docs")
    assert (report.switched, [each.document_id for each in report.failed]) == (False, ["d7"])
    assert report.documents == 11
    assert there.time.now == started, "no writer had to wait"
    assert note(client, write_fence.NOTE, "docs_1") is None
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
            other = there.open()
            other["docs"]._among.wanted.target = replace(client_target(other), fence=None)
            other["docs"].upsert([document("d7", 3, "late")])
            adapter.write = lambda request: (_ for _ in ()).throw(BackendRefused("too fat"))

    pausing(client, late)
    report = client.migrate("docs")
    assert (report.switched, [each.document_id for each in report.failed]) == (False, ["d7"])
    assert note(client, write_fence.NOTE, "docs_1") is None
    adapter.write = write


def client_target(client: Nestvec) -> Any:
    client["docs"].count()
    return client["docs"]._among.wanted.target


def test_a_name_that_is_taken_is_told_before_anything_is_made(world: Any) -> None:
    there = world()
    spec = filled(there)["docs"].spec
    client = there.open(ELSEWHERE)
    client.adapter("other").create(Create("docs", spec.vectors, spec.metric, {}, {}))
    with pytest.raises(
        CollectionConflict, match=r"backend 'other' already has a collection 'docs' that is not nestvec"
    ):
        client.migrate("docs")
    assert list(client.adapter("other")._collections) == ["docs"]


def test_a_pointer_that_is_refused_lets_writers_in_again(world: Any) -> None:
    there = world()
    filled(there)
    client = there.open(SHORTER)
    adapter: Any = client.adapter("store")
    adapter.set_alias = lambda request: (_ for _ in ()).throw(BackendRefused("no"))
    with pytest.raises(BackendRefused):
        client.migrate("docs")
    assert note(client, write_fence.NOTE, "docs_1") is None
    there.open()["docs"].upsert([document("new")])
    del adapter.set_alias
    assert client.migrate("docs").brought == 1
    settled(there, [*corpus(), document("new")], SHORTER)


@pytest.mark.parametrize("error", [BackendUnavailable("gone"), KeyboardInterrupt()], ids=["error", "Ctrl-C"])
def test_a_fence_is_lifted_when_the_migration_breaks_off(world: Any, error: BaseException) -> None:
    there = world()
    filled(there)
    client = there.open(SHORTER)

    def interrupted(seconds: float) -> None:
        assert note(client, write_fence.NOTE, "docs_1") is not None
        raise error

    pausing(client, interrupted)
    with pytest.raises(type(error)):
        client.migrate("docs")
    assert note(client, write_fence.NOTE, "docs_1") is None
    pausing(client, there.time.pass_)
    assert client.migrate("docs").switched
    settled(there, corpus(), SHORTER)


def test_a_fence_of_another_run_is_left_alone(world: Any) -> None:
    """Another process goes on with the same migration: what it holds is not this one's to lift."""
    there = world()
    filled(there)
    client = there.open(SHORTER)
    taken: list[WriteFence] = []

    def overtaken(seconds: float) -> None:
        held = WriteFence.from_text(note(client, write_fence.NOTE, "docs_1") or "", "docs_1")
        taken.append(replace(held, until=(held.until or 0) + 10))
        client.adapter("store").write_note(WriteNote("docs_1", write_fence.NOTE, taken[0].to_text()))

    pausing(client, overtaken)
    with pytest.raises(CollectionConflict, match="cannot run at once"):
        client.migrate("docs")
    assert WriteFence.from_text(note(client, write_fence.NOTE, "docs_1") or "", "docs_1") == taken[0]


def test_a_switch_of_another_migration_has_to_be_ended_first(world: Any) -> None:
    there = world()
    filled(there)
    client = there.open(SHORTER)
    adapter: Any = client.adapter("store")
    adapter.set_alias = lambda request: (_ for _ in ()).throw(BackendUnavailable("gone"))
    with pytest.raises(MigrationInterrupted):
        client.migrate("docs")
    assert WriteFence.from_text(note(client, write_fence.NOTE, "docs_1") or "", "docs_1").state is FenceState.SWITCHING
    for other in (there.open({"dimensions": 16}, previous=False), there.open()):
        with pytest.raises(
            CollectionConflict, match=r"'docs_2' on backend 'store' was interrupted.*nestvec migrate docs"
        ):
            other.migrate("docs")
    del adapter.set_alias
    assert client.migrate("docs").switched
    settled(there, corpus(), SHORTER)


def test_a_last_pass_that_takes_longer_than_its_fence_is_repeated_and_then_given_up(world: Any) -> None:
    there = world()
    filled(there)
    client = there.open(SHORTER)
    adapter: Any = client.adapter("store")
    scroll, slow = adapter.scroll, [100.0, 10.0]

    def slowly(request: Any) -> Any:
        held = note(client, write_fence.NOTE, "docs_1")
        if held is not None:
            there.time.pass_(slow[0])
            slow[0] *= slow[1]
        return scroll(request)

    adapter.scroll = slowly
    with pytest.raises(CollectionError, match=r"changes faster than it can be brought over.*seconds"):
        client.migrate("docs")
    assert note(client, write_fence.NOTE, "docs_1") is None
    slow[:] = [200.0, 1.0]
    report = client.migrate("docs")
    assert report.switched
    assert 800 < report.writers_waited < 1000, "the second fence was long enough"
    settled(there, corpus(), SHORTER)


def test_what_changed_in_the_configuration_meanwhile_makes_another_candidate(world: Any) -> None:
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


def test_a_candidate_of_an_earlier_generation_is_not_gone_on_with(world: Any) -> None:
    there = world()
    filled(there)
    client = there.open(SHORTER)
    Death(client, 25, after=True)
    with pytest.raises(Killed):
        client.migrate("docs")
    assert there.open({"dimensions": 16}).migrate("docs").target.physical == "docs_3"
    report = there.open(SHORTER).migrate("docs")
    assert (report.switched, report.target.physical, report.brought) == (True, "docs_4", 12)


def test_records_that_nobody_knows_of_stop_the_switch(world: Any) -> None:
    there = world()
    filled(there)
    client = there.open(SHORTER)
    adapter: Any = client.adapter("store")
    count = adapter.count
    adapter.count = lambda request: count(request) + (request.physical == "docs_2")
    with pytest.raises(CollectionError, match="has 35 records where its documents have 34"):
        client.migrate("docs")
    assert note(client, write_fence.NOTE, "docs_1") is None


def test_a_count_that_lags_is_asked_for_again(world: Any) -> None:
    there = world()
    filled(there)
    client = there.open(SHORTER)
    adapter: Any = client.adapter("store")
    count, late = adapter.count, [3]

    def lagging(request: Any) -> int:
        if request.physical == "docs_2" and late[0]:
            late[0] -= 1
            return 0
        return int(count(request))

    adapter.count = lagging
    report = client.migrate("docs")
    assert report.switched
    assert report.writers_waited == write_fence.drain(30) + 3 * write_fence.POLL


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


def without_a_key(path: Path, embedder: str) -> dict[str, Any]:
    return {
        "backends": {"store": {"use": "sqlite", "path": str(path)}},
        "embedders": {
            "model": {"use": "recording"},
            "paid": {"use": "jina", "model": "jina-embeddings-v3", "api_key": {"env": "NESTVEC_TEST_NO_SUCH_KEY"}},
        },
        "collections": {"docs": {"embedder": embedder, "dimensions": 16}},
    }


@pytest.fixture
def unpaid(tmp_path: Path) -> dict[str, Any]:
    """The configuration of a collection that is to be embedded by an embedder whose key is missing."""
    with connect(without_a_key(tmp_path / "store.db", "model"), Runtime(test_registry())) as client:
        client.apply()
        client["docs"].upsert(Document("one", "some text"))
    return without_a_key(tmp_path / "store.db", "paid")


def test_a_missing_key_is_told_before_anything_is_made(unpaid: dict[str, Any]) -> None:
    with connect(unpaid, Runtime(test_registry())) as client:
        with pytest.raises(ConfigError, match="NESTVEC_TEST_NO_SUCH_KEY"):
            client.migrate("docs")
        assert [each.physical for each in client.generations("docs")] == ["docs_1"]


async def test_a_missing_key_is_told_asynchronously_too(unpaid: dict[str, Any]) -> None:
    async with aconnect(unpaid, Runtime(test_registry())) as client:
        with pytest.raises(ConfigError, match="NESTVEC_TEST_NO_SUCH_KEY"):
            await client.migrate("docs")
        assert [each.physical for each in await client.generations("docs")] == ["docs_1"]
