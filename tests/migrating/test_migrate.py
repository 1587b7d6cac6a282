"""Migrating, going back and shrinking: everything arrives, and nothing is done that need not be."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nestvec._artifacts import About, save
from nestvec._collections import write_fence
from nestvec._collections.write_fence import GenerationPlace
from nestvec._migration.report import MigrationProgress, MigrationStage
from nestvec._migration.routes import Route, Way, transform
from nestvec.contract import Drop, WriteNote
from nestvec.encoding.rotation import fit_rotation
from nestvec.encoding.vectors import nest, normalize, truncate
from nestvec.errors import CollectionNotFound, ConfigError, Unsupported

from .world import (
    CASES,
    ELSEWHERE,
    MATCHING,
    SHORTER,
    World,
    contents,
    corpus,
    document,
    filled,
    note,
    settled,
    whole,
    write,
)


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
    assert write_fence.drain(30) <= report.writers_waited < write_fence.drain(30) + 5
    whole(client, corpus())
    again = client.migrate("docs")
    assert (again.way, again.switched) == (None, False)
    assert "nothing to do" in again.reason


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
    assert report.target == GenerationPlace("store", "docs_1")
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


def test_the_clients_own_handles_look_again_at_once(world: Any) -> None:
    there = world()
    filled(there)
    client = there.open(MATCHING)
    docs = client["docs"]

    def wait(seconds: float) -> None:
        there.time.pass_(seconds)
        assert docs.count() == 12, "which is known for a lease from now on"

    client._runtime = replace(client._runtime, pause=wait)
    assert docs.count() == 12
    assert docs.space.index_task == "retrieval.passage"
    client.migrate("docs")
    assert docs.count() == 12
    assert docs.space.index_task == "text-matching"
    client.rollback("docs")
    there.open()["docs"].upsert([document("new")])
    assert docs.count() == 13


@pytest.mark.parametrize("run", ["migrate", "rollback"])
def test_a_switch_whose_end_is_missing_is_ended_and_told(world: Any, run: str) -> None:
    there = world()
    filled(there)
    client = there.open(MATCHING)
    if run == "rollback":
        client.migrate("docs")
        client = there.open(MATCHING)
    adapter: Any = client.adapter("store")
    point = adapter.set_alias

    def last(request: Any) -> None:
        point(request)
        adapter.write_note = adapter.update = lambda request: 1 / 0

    adapter.set_alias = last
    with pytest.raises(ZeroDivisionError):
        getattr(client, run)("docs")
    report = getattr(there.open(MATCHING), run)("docs")
    assert (report.way, report.switched, report.documents) == (None, True, 12)
    assert report.source.physical != report.target.physical
    again = getattr(there.open(MATCHING), run)("docs")
    assert (again.way, again.switched) == (None, False)
    assert again.target == report.target
    settled(there, corpus(), MATCHING if run == "migrate" else {})


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
    # A `previous` of long ago does not say otherwise; one that is just this does.
    there.before["previous"] = {"purpose": "matching"}
    assert "dimensions = 8" in there.open().migrate("docs").reason
    del there.before["previous"]
    assert client.shrink("docs", 4).switched
    assert json.loads(note(client, "supersedes", "docs_3") or "")["dimensions"] == 32
    there.before["previous"] = {"dimensions": 4, "funnel": []}
    assert there.open().migrate("docs").way is Way.EMBED
    del there.before["previous"]
    whole(there.open(), corpus())


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
    for size, reason in [
        (32, "it has 16, and what was cut off"),
        (0, "offers 1 to 64"),
        (65, "offers 1 to 64"),
    ]:
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


def test_a_rotation_is_turned_back(world: Any, tmp_path: Path) -> None:
    there = world(dimensions=64, embedder="nested")
    rotation = np.linalg.qr(np.random.default_rng(1).standard_normal((64, 64)))[0].astype(np.float32)
    there.artifacts = tmp_path
    kept = save(tmp_path, rotation, About("recording-v3", 64))
    there.embedders = {
        "plain": {"use": "recording"},
        "nested": {"use": "recording", "nesting": {"rotation": kept.fingerprint}},
    }
    filled(there)
    wanted = {"embedder": "plain", "dimensions": 20}
    report = there.open(wanted).migrate("docs")
    assert (report.way, report.switched) == (Way.DERIVE, True)
    settled(there, corpus(), wanted)


def test_without_its_block_a_rotation_is_found_by_its_fingerprint(world: Any, tmp_path: Path) -> None:
    there = world(dimensions=64)
    there.artifacts = tmp_path
    rotation = np.linalg.qr(np.random.default_rng(1).standard_normal((64, 64)))[0].astype(np.float32)
    kept = save(tmp_path, rotation, About("recording-v3", 64))
    there.embedders["model"]["nesting"] = {"rotation": kept.fingerprint}
    filled(there)
    del there.embedders["model"]["nesting"]
    kept.matrix.rename(tmp_path / "away")
    with pytest.raises(ConfigError, match=rf"{kept.fingerprint}.*nestvec nest"):
        there.open(SHORTER, previous=False).migrate("docs")
    (tmp_path / "away").rename(kept.matrix)
    assert there.open(SHORTER, previous=False).migrate("docs").way is Way.DERIVE
    settled(there, corpus(), SHORTER)


def test_vectors_are_turned_from_one_rotation_to_another() -> None:
    rng = np.random.default_rng(2)
    own = normalize(rng.standard_normal((5, 16)).astype(np.float32))
    was, now = (np.linalg.qr(rng.standard_normal((16, 16)))[0].astype(np.float32) for _ in range(2))
    wanted = World().open().config.collections["docs"]
    wanted = replace(wanted, space=replace(wanted.space, dimensions=4))
    turned = transform(Route(Way.DERIVE, rotated=True), wanted, was, now)
    np.testing.assert_allclose(turned(nest(own, was)), truncate(nest(own, now), 4), atol=1e-6)
    np.testing.assert_allclose(transform(Route(Way.DERIVE), wanted, was, now)(own), truncate(own, 4), atol=1e-6)


def test_documents_in_other_chunks_are_not_touched_by_going_back(world: Any) -> None:
    there = world()
    filled(there)
    there.before["chunking"] = {"size": 50}
    there.open().apply()
    client = there.open(MATCHING)
    assert client.migrate("docs").brought == 12
    assert client.rollback("docs").brought == 0
    settled(there, corpus(), {})


@pytest.mark.parametrize(("batch", "most"), [(4, 64), (300, 100)])
def test_as_much_is_embedded_at_once_as_the_embedder_takes(world: Any, batch: int, most: int) -> None:
    there = world()
    filled(there, [document(f"d{i}", 2) for i in range(100)])
    there.embedders["model"]["batch"] = batch
    client = there.open(MATCHING)
    recorded: Any = client.embedder("model")
    heard: list[MigrationProgress] = []
    client.migrate("docs", progress=heard.append)
    assert max(sum(len(group.spans) for group in request.groups) for request in recorded.requests) == most
    brought = [each.brought for each in heard if each.stage is MigrationStage.COPYING]
    assert brought == sorted(brought)
    assert brought[0] == most
    assert (heard[0].done, heard[0].total) == (most, 100)


def test_of_two_places_in_use_the_one_that_came_from_the_other_counts(world: Any) -> None:
    """A second run that was killed may have opened what the first one left."""
    there = world()
    filled(there)
    client = there.open(ELSEWHERE)
    client.migrate("docs")
    client.adapter("store").write_note(WriteNote("docs_1", write_fence.NOTE, None))
    report = there.open(ELSEWHERE).migrate("docs")
    assert (report.way, report.switched, report.target) == (None, True, GenerationPlace("other", "docs_1"))
    settled(there, corpus(), ELSEWHERE)
    client.rollback("docs")
    client.adapter("other").write_note(WriteNote("docs_1", write_fence.NOTE, None))
    there.time.pass_(1)
    report = there.open(ELSEWHERE).rollback("docs")
    assert (report.way, report.switched, report.target) == (None, True, GenerationPlace("store", "docs_1"))
    settled(there, corpus(), {})
