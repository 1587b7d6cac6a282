"""Exports: everything comes back, on any engine, and nothing is embedded; what is no export stores nothing."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import nestvec
from nestvec import Document, F
from nestvec.errors import CollectionConflict, InvalidInput, InvalidName, SpaceMismatch
from nestvec.runtime import Runtime
from nestvec_testing.registry import test_registry

from .engines import PARAMETERS
from .test_existing_and_empty import embedded  # noqa: F401 - a fixture
from .test_metadata import exactly, opened

LONG = "one two three four five six seven eight nine ten"
METADATA: list[dict[str, Any]] = [
    {"n": 1, "deep": {"x": [1, 1.0, None, {"y": "ü"}]}, "day": datetime(2026, 1, 31, tzinfo=UTC)},
    {"nestvec:datetime": "text", "n": 2.0},
    {},
]
BLOCK = {"fields": {"n": "integer"}, "chunking": {"size": 20}, "empty": "keep"}


def documents() -> list[Document]:
    found = [Document(f"d{n}", f"{LONG} {n}", metadata) for n, metadata in enumerate(METADATA)]
    return [*found, Document("ü\n", "short"), Document("none", None, {"n": 3}), Document("blank", " ")]


@pytest.mark.parametrize("name", PARAMETERS)
@pytest.mark.parametrize("suffix", [".jsonl", ".parquet"])
def test_everything_comes_back_and_nothing_is_embedded(
    name: str,
    suffix: str,
    tmp_path: Path,
    embedded: list[str],  # noqa: F811 - the fixture
) -> None:
    file = tmp_path / f"docs{suffix}"
    (tmp_path / "one").mkdir()
    (tmp_path / "two").mkdir()
    with opened("memory", tmp_path / "one", **BLOCK) as docs:
        docs.upsert(documents())
        docs.upsert(Document("given", "vector", vector=[1, 0, 0, 0]), vectors_from=docs.space.fingerprint)
        before = {each.id: each for each in docs.documents(vectors=True)}
        heard: list[int] = []
        report = docs.export_to(file, progress=heard.append)
        assert (report.documents, report.path, heard[-1]) == (7, str(file), 7)
        assert report.chunks == docs.count(chunks=True)
    embedded.clear()
    with opened(name, tmp_path / "two", **BLOCK) as docs:
        report = docs.import_from(file)
        assert (report.documents, report.embedded, report.failed) == (7, 0, ())
        after = {each.id: each for each in docs.documents(vectors=True)}
        assert after.keys() == before.keys()
        for key, document in before.items():
            assert after[key].text == document.text
            assert exactly(after[key].metadata) == exactly(document.metadata)
            rows = [
                np.stack([c.vector for c in each.chunks] if each.chunks else [each.vector])
                for each in (document, after[key])
            ]
            assert np.allclose(rows[0], rows[1], atol=1e-6)
        again = docs.import_from(file)
        assert (again.given, again.unchanged) == (0, docs.count(chunks=True))
        assert docs.upsert(documents()).documents == 6
        assert embedded == [], "the source is found unchanged"
        assert {hit.document_id for hit in docs.search("short", where=F.n == 1)} == {"d0"}


@pytest.mark.parametrize("suffix", [".jsonl", ".parquet"])
def test_what_is_no_export_or_torn_stores_nothing(suffix: str, tmp_path: Path) -> None:
    file = tmp_path / f"docs{suffix}"
    with opened("memory", tmp_path, **BLOCK) as docs:
        docs.upsert(documents())
        docs.export_to(file)
        whole = file.read_bytes()
        docs.delete(everything=True)
        for name, data in {
            "torn": whole[: len(whole) * 2 // 3],
            "empty": b"",
            "others": b'{"id": "a", "text": "b"}\n',
            "changed": whole.replace(b"short", b"shorn"),
            "without its end": whole[: whole.rstrip(b"\n").rfind(b"\n") + 1] if suffix == ".jsonl" else whole[:-8],
            "of another version": whole.replace(b'"nestvec_export":1', b'"nestvec_export":2'),
        }.items():
            if name == "changed" and suffix == ".parquet":
                continue  # columns are for others, and compressed: the lines are what is read and vouched for
            file.write_bytes(data)
            with pytest.raises(InvalidInput, match="docs"):
                docs.import_from(file)
            assert docs.count() == 0, name
        for wrong in (tmp_path / "docs.csv", tmp_path / f"missing{suffix}", tmp_path):
            with pytest.raises(InvalidInput):
                docs.import_from(wrong)


def test_a_line_that_is_no_document_is_named(tmp_path: Path) -> None:
    file = tmp_path / "docs.jsonl"
    with opened("memory", tmp_path, **BLOCK) as docs:
        docs.upsert(documents())
        docs.export_to(file)
        header, first, *rest = file.read_bytes().splitlines(keepends=True)
        chunk = json.loads(first)["chunks"][0]
        for change in (
            {"chunks": [{**chunk, "vector": [1.0]}]},
            {"chunks": [{**chunk, "vector": "not a vector"}]},
            {"chunks": []},
            {"chunks": [{**chunk, "start": 5, "end": 2}]},
            {"metadata": [1]},
            {"id": ""},
            {"id": 7},
            {"chunks": [{**chunk, "vector": [1e300, 0, 0, 0]}]},
        ):
            line = json.dumps({**json.loads(first), **change}).encode() + b"\n"
            file.write_bytes(header + line + b"".join(rest))
            with pytest.raises(InvalidInput, match="line 2"):
                docs.import_from(file)


def test_another_space_or_metric_is_refused_before_anything_is_stored(tmp_path: Path) -> None:
    file = tmp_path / "docs.jsonl"
    with opened("memory", tmp_path) as docs:
        docs.upsert(Document("a", "words"))
        docs.export_to(file)
        with pytest.raises(InvalidInput, match="there already"):
            docs.export_to(file)
        docs.export_to(file, overwrite=True)
        with pytest.raises(InvalidInput, match=r"named \*\.jsonl or"):
            docs.export_to(tmp_path / "docs.csv")
        with pytest.raises(InvalidInput, match="cannot be written"):
            docs.export_to(tmp_path / "nowhere" / "docs.jsonl")
    with opened("memory", tmp_path, dimensions=8) as docs, pytest.raises(SpaceMismatch, match="dimensions"):
        docs.import_from(file)
    with opened("memory", tmp_path, metric="dot") as docs, pytest.raises(CollectionConflict, match="cosine"):
        docs.import_from(file)
    assert [each.name for each in tmp_path.iterdir()] == ["docs.jsonl"], "nothing is left aside"


def test_a_failure_leaves_no_file(tmp_path: Path) -> None:
    def stop(done: int) -> None:
        raise KeyboardInterrupt

    with opened("memory", tmp_path) as docs:
        docs.upsert(Document("a", "words"))
        with pytest.raises(KeyboardInterrupt):
            docs.export_to(tmp_path / "docs.jsonl", progress=stop)
    assert list(tmp_path.iterdir()) == []


def test_namespaces_are_exported_one_by_one(tmp_path: Path) -> None:
    with opened("memory", tmp_path, namespaces=True) as docs:
        docs.namespace("acme").upsert(Document("a", "words"))
        with pytest.raises(InvalidName):
            docs.export_to(tmp_path / "docs.jsonl")
        assert docs.namespace("acme").export_to(tmp_path / "docs.jsonl").documents == 1
        assert docs.namespace("other").import_from(tmp_path / "docs.jsonl").documents == 1
        assert docs.tenants() == ["acme", "other"]


async def test_the_asynchronous_client_does_the_same(tmp_path: Path) -> None:
    values = {
        "embedders": {"model": {"use": "recording"}},
        "backends": {"store": {"use": "memory"}},
        "collections": {"docs": {"dimensions": 4}, "other": {"dimensions": 4}},
    }
    async with nestvec.aconnect(values, Runtime(test_registry())) as nv:
        await nv.apply()
        await nv["docs"].upsert([Document(f"d{n}", f"text {n}") for n in range(300)])
        assert (await nv["docs"].export_to(tmp_path / "docs.parquet")).documents == 300
        heard: list[Any] = []
        assert (await nv["other"].import_from(tmp_path / "docs.parquet", progress=heard.append)).documents == 300
        assert len(heard) == 3
        assert [each.id async for each in nv["other"].documents(after="d98")] == ["d99"]
