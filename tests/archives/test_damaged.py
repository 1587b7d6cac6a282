"""A file that is torn, changed, or none of ours is refused before anything is written; so is one of another space."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow
import pyarrow.parquet as pq
import pytest

from nestvec import Document, errors
from nestvec._archives.content import ArchivedDocument, ArchiveHeader, Tally
from nestvec._archives.files import Archive
from nestvec._archives.jsonl import JsonlWriter
from nestvec._client import connect
from nestvec._limits import ReadLimits
from nestvec.types import Metric

from .conftest import filled

SUFFIXES = pytest.mark.parametrize("suffix", ["jsonl", "parquet"])


@pytest.fixture
def exported(opened, tmp_path) -> Callable[[str], Path]:
    def export(suffix: str) -> Path:
        path = Path(tmp_path / f"docs.{suffix}")
        filled(opened())["docs"].export_to(path, overwrite=True)
        return path

    return export


def refused(opened: Any, path: Path, match: str) -> None:
    target = opened()["docs"]
    with pytest.raises(errors.InvalidInput, match=match) as caught:
        target.import_from(path)
    assert str(path) in str(caught.value)
    assert target.count() == 0


@SUFFIXES
def test_a_torn_file_is_refused_wherever_it_is_torn(opened, exported, suffix) -> None:
    path = exported(suffix)
    whole = path.read_bytes()
    for size in [*range(0, len(whole), max(1, len(whole) // 25)), len(whole) - 1]:
        path.write_bytes(whole[:size])
        refused(opened, path, "cannot be imported")


def test_a_line_less_or_more_is_told(opened, exported) -> None:
    path = exported("jsonl")
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(lines[:-1]))
    refused(opened, path, "it is torn: its header tells of 13 documents in 34 chunks, and there are 12")
    path.write_bytes(b"".join([*lines, lines[-1]]))
    refused(opened, path, "is in it twice")
    path.write_bytes(b"".join([lines[0], *lines[2:], lines[1]]))
    refused(opened, path, "its checksum is not what its header says")


@pytest.mark.parametrize(
    ("old", "new", "match"),
    [
        (b"Ein langer", b"Ein kurzer", "its checksum"),
        (b'"lang":"de"', b'"lang":"en"', "its checksum"),
        (b'"start":0', b'"start":1', "its checksum|is at"),
        (b'"start":0', b'"start":-1', "line 2: chunk 0 is at -1"),
        (b'"start":0', b'"start":true', "line 2: chunk 0 is at True"),
        (b'"vector":[', b'"vector":[1,', "not of 32 dimensions|vectors of 32 numbers"),
        (b'"vector":[', b'"vector":["a",', "no vectors of 32 numbers"),
        (b'"vector":[', b'"victor":[', "no vectors of 32 numbers|not of 32"),
        (b'"vector":[0', b'"vector":[1e300', "not finite|not valid JSON"),
        (b'"vector":[0', b'"vector":[NaN', "NaN is no JSON number"),
        (b'"metadata":{', b'"metadata":{"lang":1,', "the key 'lang' is there twice"),
        (b'"id":"d0"', b'"id":""', "its id is empty"),
        (b'"id":"d0"', b'"id":7', "its id is no text"),
        (b'"id":"d0"', b'"id":"\\ud800"', "half of a surrogate pair"),
        (b'"chunks":[{', b'"chunks":[],"x":[{', "one or more chunks"),
        (b'"layout"', b'"lay"', "its layout is no text"),
        (b'"nestvec_export":1', b'"nestvec_export":2', "version 2; this nestvec reads version 1"),
        (b'"nestvec_export"', b'"something"', "no export of nestvec"),
        (b'"documents":13', b'"documents":-1', "header is damaged"),
        (b'"dimensions":32', b'"dimensions":64', "header is damaged"),
        (b'"metric":"cosine"', b'"metric":"angle"', "header is damaged"),
        (b'"nestvec:datetime":"2026-01-01T12:00:00.123456+00:00"', b'"nestvec:datetime":"soon"', "metadata cannot"),
    ],
)
def test_whatever_is_changed_is_found(opened, exported, old, new, match) -> None:
    path = exported("jsonl")
    before = path.read_bytes()
    assert old in before
    path.write_bytes(before.replace(old, new, 1))
    refused(opened, path, match)


def test_a_parquet_file_of_other_columns_or_values(opened, exported) -> None:
    path = exported("parquet")
    table = pq.read_table(path)
    meta = pq.ParquetFile(path).metadata.metadata

    def write(changed: Any, keep: bool = True) -> None:
        with pq.ParquetWriter(path, changed.schema.remove_metadata()) as writer:
            writer.write_table(changed.replace_schema_metadata(None))
            if keep:
                writer.add_key_value_metadata({b"nestvec": meta[b"nestvec"]})

    write(table, keep=False)
    refused(opened, path, "no export of nestvec")
    write(table.drop_columns(["layout"]))
    refused(opened, path, "its columns are not those of an export")
    write(table.slice(0, 3))
    refused(opened, path, "it is torn")
    nulls = pyarrow.nulls(table.num_rows)
    for name in ("id", "metadata", "chunks", "vectors", "layout"):
        number = table.schema.get_field_index(name)
        write(table.set_column(number, table.schema.field(name), nulls.cast(table.schema.field(name).type)))
        refused(opened, path, "row 1")
    write(table)
    assert opened()["docs"].import_from(path).documents == 13


@SUFFIXES
def test_more_than_may_be_read_is_refused(exported, suffix) -> None:
    path = exported(suffix)
    for limits in (ReadLimits(file=500), ReadLimits(document=10) if suffix == "jsonl" else ReadLimits(rows=3)):
        with pytest.raises(errors.InvalidInput, match=r"\[limits\]"):
            Archive(path, limits).verify()


def test_what_is_no_file(opened, tmp_path) -> None:
    refused(opened, tmp_path / "missing.jsonl", "No such file")
    (tmp_path / "folder.jsonl").mkdir()
    refused(opened, tmp_path / "folder.jsonl", "folder, not a file")
    os.mkfifo(tmp_path / "pipe.parquet")
    refused(opened, tmp_path / "pipe.parquet", "pipe")
    (tmp_path / "empty.parquet").write_bytes(b"")
    refused(opened, tmp_path / "empty.parquet", "torn, or no Parquet file|not a file")
    refused(opened, tmp_path / "docs.csv", r"named \*\.jsonl or")


@SUFFIXES
def test_another_space_is_refused_naming_both(opened, exported, suffix) -> None:
    path = exported(suffix)
    for settings, error in (({"dimensions": 64}, errors.SpaceMismatch), ({"metric": "dot"}, errors.CollectionConflict)):
        target = opened(**settings)["docs"]
        with pytest.raises(error) as caught:
            target.import_from(path)
        assert "Nothing was imported" in str(caught.value)
        if error is errors.SpaceMismatch:
            assert "dimensions: exported 32, wanted 64" in str(caught.value)
            assert target.space.fingerprint in str(caught.value)
        assert target.count() == 0


def _forged(path: Path, space: Any, row: Any) -> None:
    """A file with everything as it should be but the vector."""
    rows = np.asarray([row], np.float32)
    values = {"id": "a", "text": "x", "metadata": {}, "document_hash": "h", "metadata_hash": "h", "layout": "l"}
    chunk = {"start": 0, "end": 1, "hash": "h"}
    document = ArchivedDocument.read({**values, "chunks": [chunk]}, rows)
    tally = Tally()
    tally.add(document)
    header = ArchiveHeader("docs", None, space, Metric.COSINE, {}, None, 1, 1, tally.checksum)
    with path.open("wb") as file:
        writer = JsonlWriter(file, header)
        writer.add(document)
        writer.finish(header)


def test_a_vector_without_direction_is_refused_and_a_long_one_shortened(opened, tmp_path) -> None:
    target, path = opened()["docs"], tmp_path / "forged.jsonl"
    _forged(path, target.space, [0.0] * 32)
    refused(opened, path, "line 2: a vector is all zeros")
    _forged(path, target.space, [3.0] + [0.0] * 31)
    target.import_from(path)
    assert target.get("a", vectors=True).vector.tolist() == [1.0] + [0.0] * 31


def test_hosts_that_disagree_are_not_mixed(tmp_path, runtime) -> None:
    def client(host: str, skew: str | None = None) -> Any:
        embedder = {"use": "recording", "host": host, **({"skew": skew} if skew else {})}
        values = {
            "backends": {"store": {"use": "memory"}},
            "embedders": {"model": embedder},
            "collections": {"docs": {"dimensions": 32}},
        }
        nv = connect(values, runtime)
        nv.apply()
        return nv

    path = tmp_path / "docs.jsonl"
    with client("one") as one, client("two", "pooling") as two, client("two", "pooling") as empty:
        one["docs"].upsert(Document("a", "some text of several words"))
        one["docs"].export_to(path)
        two["docs"].upsert(Document("b", "some text of several words"))
        with pytest.raises(errors.HostMismatch, match="holds vectors of host 'two'; those of 'docs', host 'one'"):
            two["docs"].import_from(path)
        assert two["docs"].count() == 1
        empty["docs"].import_from(path)
        assert list(empty["docs"].hosts()) == ["one"]
        with pytest.raises(errors.HostMismatch):
            empty["docs"].upsert(Document("b", "some text of several words"))
