"""A store becomes one of another backend, whole, or it does not become one at all."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from qdrant_client import QdrantClient, models

import nestvec
from nestvec import Document
from nestvec._cli import main
from nestvec._migration import converting
from nestvec.contract import Create, Describe, ListCollections, ReadNote, ResolveAlias, Scroll, WriteNote
from nestvec.errors import BackendRefused, CollectionConflict, CollectionError, InvalidInput, PluginError
from nestvec.runtime import RetryPolicy, Runtime
from nestvec.types import DENSE
from nestvec_testing.registry import test_registry

METADATA = {"n": 1, "note": None, "deep": {"er": [1, "x"]}, "when": "2026-01-01", "tags": ["a", "b"]}


def runtime() -> Runtime:
    return Runtime(test_registry(), retry=RetryPolicy(attempts=1), lease=0.1)


def values(use: str, folder: Path) -> dict[str, Any]:
    fields = {"n": "integer", "tags": "keyword[]"}
    return {
        "backends": {"store": {"use": use, "path": str(folder)}},
        "embedders": {"model": {"use": "recording"}},
        "collections": {
            "docs": {"dimensions": 64, "funnel": [16], "fields": fields},
            "tenants": {"dimensions": 32, "namespaces": True},
        },
    }


@pytest.fixture
def old(tmp_path: Path) -> Path:
    """A folder of Qdrant's engine with two collections, two generations of one, and more than a page."""
    folder = tmp_path / "old"
    with nestvec.connect(values("qdrant", folder), runtime()) as nv:
        nv.apply()
        nv["docs"].upsert(Document(f"d{number}", f"text number {number}", METADATA) for number in range(300))
        for tenant in ("acme", "Büro 2"):
            nv["tenants"].namespace(tenant).upsert([Document("one", f"the text of {tenant}")])
        adapter = nv.adapter("store")
        first = adapter.describe(Describe("docs_1"))
        adapter.create(Create("docs_2", first.vectors, first.metric, {}, {**first.record, "generation": 2}))
        adapter.write_note(WriteNote("docs_2", "migration", "a note"))
    return folder


def everything(use: str, folder: Path) -> Any:
    """All that is in a store."""
    with nestvec.connect(values(use, folder), runtime()) as nv:
        adapter = nv.adapter("store")
        found: dict[str, Any] = {}
        for name in sorted(adapter.list_collections(ListCollections())):
            info = adapter.describe(Describe(name))
            notes = {note: adapter.read_note(ReadNote(name, note)) for note in converting.NOTES}
            found[name] = (dict(info.vectors), info.metric, info.record, notes)
            for tenant in (None, "acme", "Büro 2"):
                view = adapter if tenant is None else adapter.of_tenant(tenant)
                found[f"{name} {tenant}"] = records(view, name)
        aliases = {name: adapter.resolve_alias(ResolveAlias(name)) for name in ("docs", "tenants")}
        return found, aliases


def records(adapter: Any, name: str) -> Mapping[str, Any]:
    page = adapter.scroll(Scroll(name, limit=1000, vectors=True))
    return {
        each.id: (each, *(page.vectors[key][i].tolist() for key in sorted(page.vectors)))
        for i, each in enumerate(page.records)
    }


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_everything_is_carried_and_the_old_folder_stays(old: Path, tmp_path: Path) -> None:
    before, bytes_before, seen = everything("qdrant", old), contents(old), []
    report = nestvec.convert_store(old, tmp_path / "new", progress=seen.append, runtime=runtime())
    assert report == nestvec.ConversionReport(("docs_1", "docs_2", "tenants_1"), 302)
    assert everything("embedded", tmp_path / "new") == before
    assert contents(old) == bytes_before
    assert [(each.written, each.total) for each in seen][-1] == (302, 302)
    assert len(seen) > 3
    with nestvec.connect(values("embedded", tmp_path / "new"), runtime()) as nv:
        assert [change.action for change in nv.plan()] == ["none", "none"]
        again = nv["docs"].upsert(Document(f"d{number}", f"text number {number}", METADATA) for number in range(300))
        assert (again.unchanged, again.embedded) == (300, 0)
        assert nv["docs"].search("text number 7", limit=1, where={"n": 1})[0].document_id == "d7"
        assert nv["docs"].get("d7").metadata == METADATA
    assert {path.name for path in tmp_path.iterdir()} == {"old", "new"}


def test_there_and_back(old: Path, tmp_path: Path) -> None:
    before = everything("qdrant", old)
    nestvec.convert_store(old, tmp_path / "new", runtime=runtime())
    nestvec.convert_store(tmp_path / "new", tmp_path / "back", to="qdrant", runtime=runtime())
    assert everything("qdrant", tmp_path / "back") == before


@pytest.mark.parametrize("step", ["create_extended", "write", "write_note", "set_alias", "scroll"])
def test_broken_off_anywhere_nothing_new_is_there(
    old: Path, tmp_path: Path, step: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from nestvec_embedded.adapter import EmbeddedAdapter

    (tmp_path / "new").mkdir()
    with monkeypatch.context() as patch:
        patch.setattr(EmbeddedAdapter, step, interrupted)
        with pytest.raises(KeyboardInterrupt):
            nestvec.convert_store(old, tmp_path / "new", runtime=runtime())
    assert list((tmp_path / "new").iterdir()) == []
    assert {path.name for path in tmp_path.iterdir()} == {"old", "new"}
    # What a kill leaves is replaced.
    part = tmp_path / "new.nestvec-converting"
    part.mkdir()
    (part / "store.sqlite3").write_text("half")
    assert nestvec.convert_store(old, tmp_path / "new", runtime=runtime()).records == 302
    assert not part.exists()


def interrupted(*_: Any) -> Any:
    raise KeyboardInterrupt


def test_what_differs_at_the_end_is_told(old: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from nestvec_embedded.adapter import EmbeddedAdapter

    whole = EmbeddedAdapter.write

    def changed(self: Any, request: Any) -> None:
        request.vectors[DENSE][0] = np.roll(request.vectors[DENSE][0], 1)
        whole(self, request)

    monkeypatch.setattr(EmbeddedAdapter, "write", changed)
    with pytest.raises(CollectionError, match=r"docs_1.*not the same on both sides \(300 before, 300 after\)"):
        nestvec.convert_store(old, tmp_path / "new", runtime=runtime())
    assert not (tmp_path / "new").exists()


def test_collections_of_others_are_named_or_left_out(old: Path, tmp_path: Path) -> None:
    client = QdrantClient(path=str(old))
    client.create_collection("theirs", models.VectorParams(size=3, distance=models.Distance.DOT))
    client.close()
    with pytest.raises(CollectionConflict, match="theirs"):
        nestvec.convert_store(old, tmp_path / "new", runtime=runtime())
    assert not (tmp_path / "new").exists()
    report = nestvec.convert_store(old, tmp_path / "new", leave_foreign=True, runtime=runtime())
    assert (report.left, report.records) == (("theirs",), 302)


def test_what_cannot_be_converted_is_told(old: Path, tmp_path: Path) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full/file").write_text("text")
    (tmp_path / "empty").mkdir()
    new = tmp_path / "new"
    for one, two, more, words in [
        (tmp_path / "missing", new, {}, "no folder"),
        (tmp_path / "empty", new, {}, r"cannot be told.*embedded.*qdrant"),
        (old, tmp_path / "full", {}, "not empty"),
        (old, old / "inside", {}, "beside"),
        (old, old, {}, "beside"),
        (old, new, {"to": "qdrant"}, "already"),
        (old, new, {"to": "pinecone"}, "no embedded form"),
    ]:
        with pytest.raises(InvalidInput, match=words):
            nestvec.convert_store(one, two, runtime=runtime(), **more)
    with pytest.raises(PluginError, match="quadrant"):
        nestvec.convert_store(old, new, to="quadrant", runtime=runtime())
    assert not new.exists()


def test_a_folder_of_the_other_engine_is_told_which_command_converts_it(old: Path, tmp_path: Path) -> None:
    with (
        nestvec.connect(values("embedded", old), runtime()) as nv,
        pytest.raises(BackendRefused, match="nestvec convert"),
    ):
        nv.plan()
    nestvec.convert_store(old, tmp_path / "new", runtime=runtime())
    with (
        nestvec.connect(values("qdrant", tmp_path / "new"), runtime()) as nv,
        pytest.raises(BackendRefused, match='use = "embedded"'),
    ):
        nv.plan()


def test_the_command(old: Path, tmp_path: Path) -> None:
    done = CliRunner().invoke(main, ["convert", str(old), str(tmp_path / "new")], obj=runtime())
    assert done.exit_code == 0, done.output
    assert "302 records of 3 collections carried" in done.stdout
    assert f'use = "embedded", path = "{tmp_path / "new"}"' in done.stdout
    again = CliRunner().invoke(main, ["convert", str(old), str(tmp_path / "new"), "--json"], obj=runtime())
    assert again.exit_code == 1
    assert "not empty" in json.loads(again.stdout)["error"]["message"]
    told = CliRunner().invoke(main, ["convert", str(old), str(tmp_path / "more"), "--json"], obj=runtime())
    assert json.loads(told.stdout)["use"] == "embedded"
