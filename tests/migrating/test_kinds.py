"""Migrations of every kind of collection: namespaces, late chunking, funnels, storage, hosts; and what they tell."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nestvec import MigrationProgress, MigrationReport, Overlap
from nestvec._client import aconnect, connect
from nestvec._collections import write_fence
from nestvec._hosts.note import NOTE, Canaries
from nestvec._migration.report import MigrationStage
from nestvec._migration.routes import Way
from nestvec._session.session import finished
from nestvec.encoding.vectors import normalize, truncate
from nestvec.errors import HostMismatch
from nestvec.runtime import Runtime
from nestvec.types import Document
from nestvec_testing.registry import test_registry

from .world import (
    FIELDS,
    MATCHING,
    METRIC,
    SHORTER,
    Time,
    World,
    contents,
    corpus,
    document,
    expected,
    filled,
    note,
    pausing,
    settled,
)


def test_every_namespace_arrives(world: Any) -> None:
    there = world(namespaces=True)
    client = filled(there)
    client["docs"].namespace("other").upsert([document("d0", 4, "theirs")])
    client = there.open(MATCHING)
    report = client.migrate("docs")
    assert (report.documents, report.verified, report.switched) == (13, 13, True)
    assert client["docs"].tenants() == ["acme", "other"]
    assert client["docs"].namespace("other").get("d0").text.startswith("theirs0")  # type: ignore[union-attr]
    settled(there, corpus(), MATCHING)


@pytest.mark.parametrize("late", [True, False], ids=["to late", "from late"])
def test_late_chunking_embeds_documents_as_wholes(world: Any, late: bool) -> None:
    there = world(late_chunking=not late)
    filled(there)
    client = there.open({"late_chunking": late})
    recorded: Any = client.embedder("model")
    report = client.migrate("docs")
    assert (report.way, report.switched) == (Way.EMBED, True)
    assert report.reason == "another late chunking"
    assert all(request.late is late for request in recorded.requests)
    settled(there, corpus(), {"late_chunking": late})


def test_another_chunking_is_used_where_texts_are_embedded_anyway(world: Any) -> None:
    there = world()
    filled(there)
    wanted = {**MATCHING, "chunking": {"size": 1000}}
    report = there.open(wanted).migrate("docs")
    assert (report.documents, report.chunks) == (12, 12)
    settled(there, corpus(), wanted)
    assert there.open(wanted).status()[0].outdated == 0


@pytest.mark.parametrize("storage", ["float16", "binary"])
def test_storage_and_funnel(world: Any, storage: str) -> None:
    there = world()
    filled(there)
    wanted = {"storage": storage, "funnel": [8, 16]}
    client = there.open(wanted)
    report = client.migrate("docs")
    assert (report.way, report.switched, report.verified) == (Way.COPY, True, 12)
    assert client["docs"].search("word1 word2")
    settled(there, corpus(), wanted)
    assert client.rollback("docs").switched
    settled(there, corpus(), {})


def test_fields_that_were_declared_once_keep_their_types(world: Any) -> None:
    there = world()
    filled(there)
    only = {"fields": {"lang": "keyword"}}
    there.open(only, previous=False).apply()
    client = there.open({**only, **SHORTER}, previous=False)
    assert client.migrate("docs").switched
    assert client.adapter("store")._collections["docs_2"].info.record["retired"] == {"year": "integer"}  # type: ignore[attr-defined, index]
    assert contents(client) == expected(corpus())


def test_a_field_of_another_type_is_checked_document_by_document(world: Any) -> None:
    there = world()
    filled(there, [document("d0"), Document("d1", "text", {"free": "words"})])
    wanted = {"fields": {**FIELDS, "free": "integer"}, **SHORTER}
    report = there.open({**wanted, "strict_fields": True}, previous=False).migrate("docs")
    assert (report.switched, [each.document_id for each in report.failed]) == (False, ["d1"])
    assert "free" in report.failed[0].error
    report = there.open(wanted, previous=False).migrate("docs")
    assert (report.switched, report.failed) == (True, ())
    (misfit,) = report.misfits
    assert (misfit.field, misfit.document_id, misfit.documents) == ("free", "d1", 1)


# ---------------------------------------------------------------- hosts


def canaries(client: Any, physical: str, backend: str = "store") -> Canaries:
    info = client.adapter(backend)._collections[physical].info
    space = type(client["docs"].spec.space).from_dict(info.record["space"])
    return Canaries.read(note(client, NOTE, physical, backend) or "", space, "docs")


@pytest.fixture
def hosted(world: Any) -> World:
    there: World = world()
    there.embedders["model"] = {"use": "recording", "host": "api"}
    filled(there)
    client = there.open()
    found = canaries(client, "docs_1").accepting("local", replace_agreement())
    client.adapter("store").write_note(_write("docs_1", found))
    return there


def replace_agreement() -> Any:
    from nestvec._hosts.agreement import Agreement

    return Agreement(1.0, 1.0, 0.0)


def _write(physical: str, found: Canaries) -> Any:
    from nestvec.contract import WriteNote

    return WriteNote(physical, NOTE, found.to_text())


def test_copied_vectors_keep_their_canaries(hosted: World) -> None:
    client = hosted.open(METRIC)
    client.migrate("docs")
    assert note(client, NOTE, "docs_2") == note(client, NOTE, "docs_1")


def test_canaries_go_the_way_of_the_vectors(hosted: World) -> None:
    client = hosted.open(SHORTER)
    recorded: Any = client.embedder("model")
    client.migrate("docs")
    assert not recorded.requests
    before, after = canaries(client, "docs_1"), canaries(client, "docs_2")
    assert (after.host, dict(after.accepted)) == ("api", {})
    for leg, rows in before.vectors.items():
        cosines = (normalize(truncate(rows, 8)) * normalize(after.vectors[leg])).sum(axis=1)
        assert cosines.min() > 0.999
    hosted.embedders["model"] = {"use": "recording", "host": "local"}
    other = hosted.open(SHORTER)
    other["docs"].upsert([document("more")])
    assert list(canaries(other, "docs_2").accepted) == ["local"]
    hosted.embedders["model"] = {"use": "recording", "host": "elsewhere", "skew": "prompt"}
    with pytest.raises(HostMismatch):
        hosted.open(SHORTER)["docs"].upsert([document("much more")])


def test_embedded_vectors_get_canaries_of_their_own(hosted: World) -> None:
    hosted.embedders["model"] = {"use": "recording", "host": "local"}
    client = hosted.open(MATCHING)
    assert client.migrate("docs").switched
    assert (canaries(client, "docs_2").host, dict(canaries(client, "docs_2").accepted)) == ("local", {})


# ---------------------------------------------------------------- what is told


def test_questions_are_asked_of_both(world: Any) -> None:
    there = world()
    filled(there)
    client = there.open(MATCHING)
    recorded: Any = client.embedder("model")
    report = client.migrate("docs", questions=["word1 word2", "word3"])
    assert report.overlap is not None
    assert (report.overlap.questions, report.overlap.asked) == (2, True)
    asked = [(request.task, group.text) for request in recorded.requests for group in request.groups]
    for task in ("retrieval.query", "text-matching"):
        assert {text for each, text in asked if each == task} >= {"word1 word2", "word3"}


def test_without_the_old_embedder_documents_ask(world: Any) -> None:
    there = world(embedder="old")
    there.embedders = {"old": {"use": "recording", "model": "old"}}
    filled(there)
    there.embedders = {"new": {"use": "recording", "model": "new"}}
    there.before["embedder"] = "new"
    heard: list[MigrationProgress] = []
    report = there.open().migrate("docs", questions=["word1"], progress=heard.append)
    assert report.switched
    assert report.overlap == Overlap(12, 10, report.overlap.mean, report.overlap.least, asked=False)  # type: ignore[union-attr]
    assert any("documents ask instead of questions" in each.note for each in heard)


def test_what_is_found_before_and_after_is_compared_by_documents(world: Any) -> None:
    """Of vectors that are thrown together, the nearest are others; that each is nearest to itself does not count."""
    there = world()
    filled(there, [document(f"d{i}", 4, f"about{i}-") for i in range(200)])
    client = there.open(MATCHING)
    embedder: Any = client.embedder("model")
    encode, rng = embedder.encode, np.random.default_rng(1)

    def scrambled(request: Any) -> Any:
        reply = encode(request)
        rows = tuple(normalize(rng.standard_normal(each.shape).astype(np.float32)) for each in reply.vectors)
        return replace(reply, vectors=rows)

    embedder.encode = scrambled
    report = client.migrate("docs")
    assert report.overlap is not None
    assert 0.0 <= report.overlap.least < report.overlap.mean < 0.1


def test_progress_and_event(world: Any) -> None:
    there: World = world()
    filled(there)
    client = there.open(SHORTER)
    told: list[Any] = []
    client._connections.runtime = replace(client._runtime, registry=_Listening(told))
    heard: list[MigrationProgress] = []
    report = client.migrate("docs", progress=heard.append)
    stages = list(dict.fromkeys(each.stage for each in heard))
    assert stages == [
        *(MigrationStage.COPYING, MigrationStage.CATCHING_UP, MigrationStage.VERIFYING, MigrationStage.DRAINING),
        *(MigrationStage.SWITCHING, MigrationStage.DONE),
    ]
    assert [each for each in heard if each.stage is MigrationStage.COPYING][-1].brought == 12
    (wait,) = [each.note for each in heard if each.stage is MigrationStage.DRAINING]
    assert "36 s" in wait
    (event,) = [each for each in told if each.name == "collection_migrated"]
    assert event.collection == "docs"
    assert event.data == {
        "from": "'docs_1' on backend 'store'",
        "to": "'docs_2' on backend 'store'",
        "way": "derive",
        "chunks": report.chunks,
    }
    assert not [each for each in told if each.name.startswith(("document_", "search_"))]
    assert report.to_dict()["source"] == {"backend": "store", "physical": "docs_1"}


class _Listening:
    def __init__(self, told: list[Any]) -> None:
        self.notify = told.append


def test_other_candidates_are_told_of(world: Any) -> None:
    there: World = world()
    filled(there)
    client = there.open(SHORTER)
    client.adapter("store").set_alias = lambda request: 1 / 0  # type: ignore[method-assign, assignment]
    pausing(client, lambda seconds: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        client.migrate("docs")
    heard: list[MigrationProgress] = []
    there.open({"dimensions": 16}).migrate("docs", progress=heard.append)
    assert "'docs_2' on backend 'store'; `nestvec cleanup`" in heard[0].note


# ---------------------------------------------------------------- real backends, and the other client


def values(folder: Path, wanted: dict[str, Any], kinds: Sequence[str] = ("qdrant", "memory")) -> dict[str, Any]:
    options: dict[str, dict[str, Any]] = {"qdrant": {"path": str(folder / "q")}, "memory": {"store": str(folder)}}
    return {
        "backends": {name: {"use": kind, **options[kind]} for name, kind in zip(("one", "two"), kinds, strict=True)},
        "embedders": {"model": {"use": "recording"}},
        "collections": {
            "docs": {"backend": "one", "dimensions": 32, "fields": FIELDS, "chunking": {"size": 20}, **wanted}
        },
    }


def runtime(time: Time) -> Runtime:
    return Runtime(test_registry(), time.clock, wall=time.wall, pause=time.pass_)


def in_qdrant(folder: Path) -> Time:
    time = Time()
    with connect(values(folder, {}), runtime(time)) as client:
        client.apply()
        client["docs"].upsert(corpus())
    return time


def test_qdrant_migrates_and_goes_back(tmp_path: Path) -> None:
    time = in_qdrant(tmp_path)
    wanted = {**MATCHING, "previous": {"purpose": "retrieval"}}
    with connect(values(tmp_path, wanted), runtime(time)) as client:
        report = client.migrate("docs")
        assert (report.way, report.switched, report.documents, report.verified) == (Way.EMBED, True, 12, 12)
        assert contents(client) == expected(corpus())
        client["docs"].upsert([document("new")])
        report = client.rollback("docs")
        assert (report.switched, report.brought) == (True, 1)
    with connect(values(tmp_path, {}), runtime(time)) as client:
        assert contents(client) == expected([*corpus(), document("new")])


def test_qdrant_shrinks_and_moves_to_another_backend(tmp_path: Path) -> None:
    time = in_qdrant(tmp_path)
    with connect(values(tmp_path, {}), runtime(time)) as client:
        report = client.shrink("docs", 8)
        assert (report.way, report.switched, report.documents, report.verified) == (Way.DERIVE, True, 12, 12)
    moved = {"backend": "two", "dimensions": 8, "previous": {"backend": "one"}}
    with connect(values(tmp_path, moved), runtime(time)) as client:
        report = client.migrate("docs")
        assert (report.way, report.switched, report.documents) == (Way.COPY, True, 12)
        assert contents(client) == expected(corpus())
        assert finished(client.adapter("one").read_note, _fence_of("docs_2")) is not None


def _fence_of(physical: str) -> Any:
    from nestvec.contract import ReadNote

    return ReadNote(physical, write_fence.NOTE)


async def test_the_asynchronous_client_does_the_same(tmp_path: Path) -> None:
    time = in_qdrant(tmp_path)
    async with aconnect(values(tmp_path, {**MATCHING, "previous": {"purpose": "retrieval"}}), runtime(time)) as client:
        report: MigrationReport = await client.migrate("docs", questions=["word1"])
        assert (report.way, report.switched, report.documents, report.verified) == (Way.EMBED, True, 12, 12)
        assert await client["docs"].count() == 12
        report = await client.rollback("docs", discard=True)
        assert report.switched
    async with aconnect(values(tmp_path, {}), runtime(time)) as client:
        assert (await client.shrink("docs", 8)).switched
    async with aconnect(values(tmp_path, {"dimensions": 8}), runtime(time)) as client:
        assert await client["docs"].count() == 12


async def test_a_cancelled_migration_lifts_its_fence(tmp_path: Path) -> None:
    time = in_qdrant(tmp_path)
    async with aconnect(values(tmp_path, {"dimensions": 8}), runtime(time)) as client:
        adapter: Any = await client.adapter("one")
        waiting = asyncio.Event()

        def wait(seconds: float) -> None:
            waiting.set()
            task.cancel()

        pausing(client, wait)
        task = asyncio.ensure_future(client.migrate("docs"))
        with pytest.raises(asyncio.CancelledError):
            await task
        assert waiting.is_set()
        assert await adapter.read_note(_fence_of("docs_1")) is None
