"""What is exported comes back as it was, in both formats and on every engine, and nothing is embedded."""

from __future__ import annotations

import stat
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nestvec import Document, Report, errors
from nestvec._client import aconnect, connect
from nestvec.contract import Create, Fetch, Write
from nestvec.types import DENSE

from .conftest import FIELDS, documents, filled

SUFFIXES = pytest.mark.parametrize("suffix", ["jsonl", "parquet"])


def stored(client: Any, physical: str = "docs_1") -> Any:
    """Every record without its revision, and every vector, by document and chunk."""
    adapter, found = client.adapter("store"), {}
    for page in client["docs"].scroll():
        batch = adapter.fetch(Fetch(physical, list(page.ids), vectors=True))
        for record, row in zip(batch.records, batch.vectors[DENSE], strict=True):
            system = {name: value for name, value in record.system.items() if name != "revision"}
            metadata = client["docs"].spec.projection.given(record.metadata)
            found[record.document_id, system["chunk"]] = (record.text, metadata, system, row.tolist())
    return found


def without_vectors(found: Any) -> Any:
    return {key: parts[:3] for key, parts in found.items()}


@SUFFIXES
@pytest.mark.parametrize("backend", ["memory", "embedded", "qdrant", "sqlite"])
def test_everything_comes_back_as_it_was(opened, tmp_path, backend, suffix) -> None:
    source, target = filled(opened(backend)), opened(backend)
    path = tmp_path / f"docs.{suffix}"
    report = source["docs"].export_to(path)
    assert (report.documents, report.chunks) == (len(documents()), source["docs"].count(chunks=True))
    done = target["docs"].import_from(path)
    assert (done.documents, done.given, done.embedded, done.failed) == (report.documents, report.chunks, 0, ())
    before, after = stored(source), stored(target)
    if backend == "qdrant":  # it scales whatever it takes, and may round otherwise the second time
        assert without_vectors(after) == without_vectors(before)
        np.testing.assert_allclose(*[[found[key][3] for key in sorted(found)] for found in (before, after)], atol=1e-6)
    else:
        assert after == before
    assert not target.embedder("model").requests
    again = target["docs"].upsert(documents(), vectors_from="measure")
    assert (again.embedded, again.given, again.unchanged) == (0, 0, report.chunks)


@SUFFIXES
def test_a_second_import_and_a_second_export_change_nothing(opened, tmp_path, suffix) -> None:
    source, target = filled(opened()), opened()
    one, two = (tmp_path / f"{name}.{suffix}" for name in ("one", "two"))
    first = source["docs"].export_to(one)
    target["docs"].import_from(one)
    done = target["docs"].import_from(one)
    assert (done.documents, done.given, done.unchanged) == (first.documents, 0, first.chunks)
    back = target["docs"].export_to(two)
    assert (back.documents, back.chunks) == (first.documents, first.chunks)
    assert back.checksum == first.checksum


def test_both_formats_have_one_checksum(opened, tmp_path) -> None:
    source = filled(opened())["docs"]
    reports = [source.export_to(tmp_path / f"docs.{suffix}") for suffix in ("jsonl", "parquet")]
    assert reports[0].checksum == reports[1].checksum


@SUFFIXES
def test_what_is_there_is_replaced_or_stays(opened, tmp_path, suffix) -> None:
    source, target = filled(opened()), opened()
    path = tmp_path / f"docs.{suffix}"
    source["docs"].export_to(path)
    target["docs"].upsert([Document("d1", "Something else, in a few more words than one chunk of sixty takes up " * 3)])
    target["docs"].upsert([Document("mine", "stays")])
    target["docs"].import_from(path)
    assert target["docs"].get("d1") == source["docs"].get("d1")
    assert target["docs"].get("mine").text == "stays"
    assert target["docs"].count() == source["docs"].count() + 1
    assert target["docs"].repair(dry_run=True).leftovers == 0


def test_other_fields_are_projected_anew(opened, tmp_path) -> None:
    source, target = filled(opened()), opened(fields={"place": {"path": "nested.b", "type": "float[]"}, "n": "keyword"})
    source["docs"].export_to(tmp_path / "docs.jsonl")
    target["docs"].import_from(tmp_path / "docs.jsonl")
    assert [each.metadata for each in target["docs"].get_many([d.id for d in documents()])] == [
        each.metadata for each in source["docs"].get_many([d.id for d in documents()])
    ]


def test_texts_that_are_not_stored_are_not_exported_nor_kept(opened, tmp_path) -> None:
    source, target = opened(store_text=False), opened()
    source["docs"].upsert(documents()[:8])
    source["docs"].export_to(tmp_path / "docs.jsonl")
    assert "langer" not in (tmp_path / "docs.jsonl").read_text()
    target["docs"].import_from(tmp_path / "docs.jsonl")
    assert target["docs"].get("d7").text == ""
    private = opened(store_text=False)
    filled(opened())["docs"].export_to(tmp_path / "texts.jsonl")
    private["docs"].import_from(tmp_path / "texts.jsonl")
    assert private["docs"].get("d7").text == ""


def test_a_document_without_text_goes_where_such_are_kept(opened, tmp_path) -> None:
    source, target = filled(opened()), opened(empty="refuse")
    source["docs"].export_to(tmp_path / "docs.jsonl")
    with pytest.raises(errors.IngestFailed, match='set empty = "keep"') as caught:
        target["docs"].import_from(tmp_path / "docs.jsonl")
    assert [each.document_id for each in caught.value.report.failed] == ["blank", "nothing"]
    assert target["docs"].count() == len(documents()) - 2


def test_namespaces_are_exported_one_by_one(opened, tmp_path) -> None:
    client = opened(namespaces=True)
    client["docs"].namespace("one").upsert([Document("a", "of one")])
    with pytest.raises(errors.InvalidName, match="--namespace acme"):
        client["docs"].export_to(tmp_path / "docs.jsonl")
    client["docs"].namespace("one").export_to(tmp_path / "docs.jsonl")
    with pytest.raises(errors.InvalidName):
        client["docs"].import_from(tmp_path / "docs.jsonl")
    client["docs"].namespace("two").import_from(tmp_path / "docs.jsonl")
    assert client["docs"].namespace("two").get("a").text == "of one"
    assert client["docs"].namespace("one").count() == 1


def test_what_somebody_else_made_is_exported_as_documents(tmp_path, runtime) -> None:
    values = {
        "backends": {"store": {"use": "memory", "store": "archived-foreign"}},
        "embedders": {"model": {"use": "recording"}},
        "collections": {
            "own": {"dimensions": 32},
            "theirs": {"dimensions": 32, "adopt": True, "foreign": {"collection": "theirs", "verify": False}},
        },
    }
    with connect(values, runtime) as nv:
        nv.apply("own")
        nv["own"].upsert([Document("a", "one text", {"x": 1})])
        _as_theirs(nv)
        nv.apply("theirs")
        nv["theirs"].export_to(tmp_path / "theirs.jsonl")
        with pytest.raises(errors.Unsupported, match="adopted"):
            nv["theirs"].import_from(tmp_path / "theirs.jsonl")
        nv["own"].import_from(tmp_path / "theirs.jsonl")
        assert nv["own"].count() == 2


def _as_theirs(nv: Any) -> None:
    """A record that nestvec did not make, with a vector that is not of length 1."""
    store, spec = nv.adapter("store"), nv["own"].spec
    store.create(Create("theirs", spec.vectors, spec.metric, {}, None))
    found = store.fetch(Fetch("own_1", list(next(iter(nv["own"].scroll())).ids), vectors=True))
    record = replace(found.records[0], id="1", document_id="1", system={})
    store.write(Write("theirs", [record], {DENSE: found.vectors[DENSE] * 3}))


async def test_asynchronously_the_same(opened, tmp_path, runtime) -> None:
    filled(opened())["docs"].export_to(tmp_path / "sync.jsonl")
    values = {
        "backends": {"store": {"use": "memory"}},
        "embedders": {"model": {"use": "recording"}},
        "collections": {"docs": {"dimensions": 32, "fields": FIELDS, "chunking": {"size": 60}, "empty": "keep"}},
    }
    heard: list[int] = []
    async with aconnect(values, runtime) as nv:
        await nv.apply()
        report = await nv["docs"].import_from(
            tmp_path / "sync.jsonl", progress=lambda each: heard.append(each.documents)
        )
        assert report.documents == len(documents())
        await nv["docs"].export_to(tmp_path / "async.parquet", progress=heard.append)
    assert heard == [13, 13]


@SUFFIXES
def test_an_interrupted_import_goes_on(opened, tmp_path, suffix, monkeypatch) -> None:
    from nestvec._archives import files

    monkeypatch.setattr(files, "_CHUNKS", 5)
    source, target = filled(opened()), opened()
    path = tmp_path / f"docs.{suffix}"
    chunks = source["docs"].export_to(path).chunks
    done_by_now: list[int] = []

    def stop(report: Report) -> None:
        done_by_now.append(report.documents)
        if sum(done_by_now) > len(documents()) // 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        target["docs"].import_from(path, progress=stop)
    there = target["docs"].count(chunks=True)
    assert 0 < there < chunks
    done = target["docs"].import_from(path)
    assert (done.unchanged, done.given) == (there, chunks - there)
    assert stored(target) == stored(source)


@SUFFIXES
def test_a_file_appears_whole_or_not_at_all_and_is_private(opened, tmp_path, suffix) -> None:
    source = filled(opened())
    path = tmp_path / "sub" / f"docs.{suffix}"
    with pytest.raises(errors.InvalidInput, match="no folder"):
        source["docs"].export_to(path)
    path.parent.mkdir()

    def stop(done: int) -> None:
        assert not path.exists()
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        source["docs"].export_to(path, progress=stop)
    assert list(path.parent.iterdir()) == []
    source["docs"].export_to(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    before = path.read_bytes()
    with pytest.raises(errors.InvalidInput, match="is there already"):
        source["docs"].export_to(path)
    assert path.read_bytes() == before
    source["docs"].delete("d1")
    source["docs"].export_to(path, overwrite=True)
    assert path.read_bytes() != before
    assert list(path.parent.iterdir()) == [path]


def test_numbers_keep_every_bit(opened, tmp_path) -> None:
    rng = np.random.default_rng(0)
    rows = rng.standard_normal((50, 32)).astype(np.float32)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    rows[::2] = rows[::2].astype(np.float16)  # as some hosts send them
    source, target = opened(), opened()
    space = source["docs"].space.fingerprint
    source["docs"].upsert_records([str(i) for i in range(50)], ["t"] * 50, rows, vectors_from=space)
    for suffix in ("jsonl", "parquet"):
        source["docs"].export_to(Path(tmp_path / f"v.{suffix}"))
        target["docs"].delete(everything=True)
        target["docs"].import_from(tmp_path / f"v.{suffix}")
        assert stored(target) == stored(source)


def test_what_was_shrunk_is_exported_as_what_it_is(opened, tmp_path) -> None:
    source, target = filled(opened()), opened(dimensions=16)
    source.shrink("docs", 16)
    assert source["docs"].export_to(tmp_path / "docs.jsonl").space == target["docs"].space.fingerprint
    assert target["docs"].import_from(tmp_path / "docs.jsonl").documents == len(documents())
    assert stored(target, "docs_1") == stored(source, "docs_2")


def test_one_that_is_shrunk_meanwhile_takes_no_more(opened, tmp_path, monkeypatch) -> None:
    from nestvec._archives import files

    monkeypatch.setattr(files, "_CHUNKS", 5)
    source, target = filled(opened()), opened()
    source["docs"].export_to(tmp_path / "docs.jsonl")
    target["docs"].upsert(Document("first", "some text"))

    def shrink(report: Report) -> None:
        if target["docs"].space.dimensions == 32:
            target.shrink("docs", 16)
            target["docs"].count()

    with pytest.raises(errors.SpaceMismatch, match="dimensions: exported 32, wanted 16"):
        target["docs"].import_from(tmp_path / "docs.jsonl", progress=shrink)
