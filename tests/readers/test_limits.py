"""Files that are made to fill the memory or never to end: each is one failure or error that names the limit."""

from __future__ import annotations

import gzip
import io
import itertools
import json
import os
import socket
import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import pytest

from nestvec._files import NotAFile, open_file, read_file
from nestvec._limits import ReadLimits, in_bytes
from nestvec._readers import ReadDocument, ReadFailure, discover, read
from nestvec._readers.questions import read_questions
from nestvec.errors import InvalidInput

from .test_memory import Generated

MEGA = 1_000_000


def failures(*arguments, **more) -> list[str]:
    return [item.error for item in read(*arguments, **more) if isinstance(item, ReadFailure)]


def packed(path: Path, parts: Iterator[bytes]) -> Path:
    with gzip.open(path, "wb", compresslevel=1) as file:
        for part in parts:
            file.write(part)
    return path


# ---------------------------------------------------------------- real bombs: little on disk, much in memory


def bomb(folder: Path, kind: str) -> Path:
    """40 MB in well under 1 MB."""
    block = b"x" * MEGA
    if kind == "line.jsonl.gz":
        return packed(folder / kind, itertools.chain([b'{"id": "a", "text": "'], itertools.repeat(block, 40)))
    if kind == "quotation.csv.gz":
        lines = itertools.repeat(b"some words, and more\n" * 50_000, 40)
        return packed(folder / kind, itertools.chain([b'id,text\na,"'], lines))
    if kind == "blank.jsonl.gz":
        return packed(folder / kind, itertools.repeat(b"\n" * MEGA, 40))
    if kind == "header.csv.gz":
        return packed(folder / kind, itertools.repeat(block, 40))
    assert kind == "names.csv.gz"
    return packed(folder / kind, itertools.chain([b'id,"'], itertools.repeat(b"some words\n" * 100_000, 40)))


@pytest.mark.parametrize(
    ("kind", "limit"),
    [
        ("line.jsonl.gz", "document"),
        ("quotation.csv.gz", "document"),
        ("blank.jsonl.gz", "rows"),
        ("header.csv.gz", "document"),
        ("names.csv.gz", "document"),
    ],
)
def test_a_packed_bomb_is_a_failure_and_memory_is_bounded(tmp_path, kind, limit):
    path = bomb(tmp_path, kind)
    assert path.stat().st_size < MEGA
    limits = ReadLimits(document=MEGA, rows=100_000, failures=20)
    failures([path], limits=ReadLimits(document=1000, rows=1))  # what is imported at first is not counted
    tracemalloc.start()
    try:
        found = failures([path], limits=limits)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 20 * MEGA, f"{peak:,}"
    assert 1 <= len(found) <= 21
    assert all(str(path) in error for error in found)
    assert f"`{limit}` in [limits]" in found[0]


def test_a_file_that_unpacks_to_too_much_is_read_no_further(tmp_path):
    row = b'{"id": "%d", "text": "words"}\n'
    path = packed(tmp_path / "a.jsonl.gz", (row % number for number in range(100_000)))
    items = list(read([path], limits=ReadLimits(file=MEGA)))
    assert sum(isinstance(item, ReadDocument) for item in items[:-1]) == len(items) - 1 < 40_000
    assert "more than 1 MB (unpacked)" in items[-1].error
    assert "`file` in [limits]" in items[-1].error


@pytest.mark.parametrize("name", ["a.jsonl", "a.csv", "a.txt", "a.parquet"])
def test_a_file_that_is_too_large_is_not_begun(tmp_path, name):
    with (tmp_path / name).open("wb") as file:
        file.truncate(10 * MEGA)  # a hole: takes no room
    (error,) = failures([tmp_path], limits=ReadLimits(file=MEGA))
    assert "more than 1 MB" in error


def test_standard_input_ends_at_the_limit():
    endless = Generated(itertools.repeat(b"x" * 65_536))
    *_, error = failures(["-"], stdin=endless, limits=ReadLimits(document=MEGA, file=10 * MEGA))
    assert "standard input" in error
    assert "more than 10 MB" in error


def test_rows_that_are_no_documents_end_a_file_and_not_the_others(tmp_path):
    (tmp_path / "a.jsonl").write_text("x\n" * 1000)
    (tmp_path / "b.jsonl").write_text('{"id": "b", "text": "good"}\n')
    *bad, last, good = read([tmp_path], limits=ReadLimits(failures=10))
    assert len(bad) == 10
    assert "10 of its rows are no documents" in last.error
    assert good.document.id == "b"


def test_a_row_of_many_lines_is_as_long_as_a_document(tmp_path):
    cell = "\n".join(["words"] * 10)
    data = f'id,text\na,"{cell}"\nb,"{cell * 10}"\nc,inside?\n'
    first, second = read(["-"], format="csv", stdin=io.BytesIO(data.encode()), limits=ReadLimits(document=100))
    assert first.document.text == cell
    assert "perhaps a quoted cell is never closed (lines 12 to " in second.error
    assert "read no further" in second.error


def test_exactly_the_limit_passes():
    line = json.dumps({"id": "a", "text": "words"})
    for end in ("", "\n", "\r\n"):
        limits = ReadLimits(document=len(line), rows=1, file=len(line + end))
        (item,) = read(["-"], stdin=io.BytesIO((line + end).encode()), limits=limits)
        assert isinstance(item, ReadDocument)
    (error,) = failures(["-"], stdin=io.BytesIO(line.encode()), limits=ReadLimits(document=len(line) - 1))
    assert f"longer than {len(line) - 1} bytes" in error


# ---------------------------------------------------------------- Parquet


@pytest.fixture
def parquet(tmp_path):
    pa, pq = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")

    def write(columns: dict[str, object], **options: object) -> Path:
        pq.write_table(pa.table(columns), tmp_path / "a.parquet", **options)
        return tmp_path / "a.parquet"

    return write


def test_millions_of_empty_rows_in_a_small_file(parquet):
    pa = pytest.importorskip("pyarrow")
    empty = pa.nulls(2 * MEGA, pa.string())
    path = parquet({"id": empty, "text": empty})
    assert path.stat().st_size < 20_000
    (error,) = failures([path], limits=ReadLimits(rows=MEGA))
    assert "more than 1,000,000 rows" in error
    assert "`rows` in [limits]" in error


def test_millions_of_values_in_one_row(parquet):
    path = parquet({"id": ["a"], "text": ["b"], "list": [[None] * 200_000]})
    (error,) = failures([path], limits=ReadLimits(rows=100_000))
    assert "more than 100,000 rows" in error


def test_a_long_text_that_many_rows_share(parquet):
    pa = pytest.importorskip("pyarrow")
    text = "x" * (4 * MEGA)
    shared = pa.DictionaryArray.from_arrays(pa.array([0] * 64), pa.array([text])).cast(pa.string())
    path = parquet({"id": list(range(64)), "text": shared}, dictionary_pagesize_limit=10 * MEGA)
    assert path.stat().st_size < MEGA
    pool = pa.default_memory_pool()
    before, most = pool.bytes_allocated(), 0
    for item in read([path], limits=ReadLimits(document=5 * MEGA)):
        assert isinstance(item, ReadDocument)
        most = max(most, pool.bytes_allocated() - before)
    assert most < 40 * MEGA, f"{most:,}"  # all rows at once are 256
    assert len(failures([path], limits=ReadLimits(document=MEGA))) == 64


def test_more_than_a_file_may_hold_once_it_is_decoded(parquet):
    path = parquet({"id": ["a"], "text": ["x" * 2 * MEGA]})
    assert path.stat().st_size < MEGA
    (error,) = failures([path], limits=ReadLimits(file=MEGA))
    assert "more than 1 MB" in error


# ---------------------------------------------------------------- what is no file


def special(folder: Path, kind: str) -> tuple[Path, str]:
    path = folder / f"{kind}.jsonl"
    if kind == "pipe":
        os.mkfifo(path)
        return path, "a pipe (FIFO)"
    if kind == "socket":
        with socket.socket(socket.AF_UNIX) as made:
            made.bind(str(path))
        return path, "a socket"
    if kind == "device":
        path.symlink_to("/dev/zero")
        return path, "a device"
    if kind == "folder":
        path.mkdir()
        return path, "a folder"
    path.symlink_to("/proc/self/environ")
    return path, "made up by the system"


KINDS = ["pipe", "socket", "device", "folder", "proc"]


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_no_file_is_not_read(tmp_path, kind):
    path, named = special(tmp_path, kind)
    with pytest.raises(NotAFile, match=named.replace("(", r"\(").replace(")", r"\)")):
        open_file(path)
    with pytest.raises(OSError, match="not a file"):
        read_file(path, 10)
    if kind != "folder":  # which is searched for files
        with pytest.raises(InvalidInput, match="standard input") as caught:
            discover([path])
        assert str(path) in str(caught.value)
        assert named in str(caught.value)
    questions = path.rename(path.with_suffix(".txt"))
    with pytest.raises(InvalidInput, match="questions cannot be read") as caught:
        read_questions(questions)
    assert named in str(caught.value)


def test_what_becomes_a_pipe_after_it_was_found_is_a_failure(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_text('{"id": "a", "text": "b"}')
    found = discover([path])
    path.unlink()
    os.mkfifo(path)
    (error,) = failures(found)
    assert "a pipe (FIFO)" in error


def test_an_empty_file_is_a_file(tmp_path):
    (tmp_path / "a.jsonl").touch()
    assert list(read([tmp_path])) == []
    assert read_file(tmp_path / "a.jsonl", 0) == b""


def test_long_files_of_questions_are_refused(tmp_path):
    (tmp_path / "q.txt").write_text("who?\n" * 100)
    assert len(read_questions(tmp_path / "q.txt")) == 100
    with pytest.raises(InvalidInput, match=r"q\.txt: it is longer than 100 bytes"):
        read_questions(tmp_path / "q.txt", ReadLimits(document=100))


@pytest.mark.parametrize(("size", "shown"), [(1, "1 bytes"), (32 * MEGA, "32 MB"), (64_000 * MEGA, "64 GB")])
def test_sizes_in_messages(size, shown):
    assert in_bytes(size) == shown
