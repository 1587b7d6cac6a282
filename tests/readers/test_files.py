"""Paths, folders, text files, compression, and how far reading has come."""

from __future__ import annotations

import gzip
import io
import os
from pathlib import Path

import pytest

from nestvec._limits import ReadLimits
from nestvec._readers import FORMATS, Mapping, ReadDocument, ReadFailure, discover, read, total_size
from nestvec.errors import InvalidInput
from nestvec.types import Document

ROW = '{"id": "row", "text": "x"}\n'


@pytest.fixture
def folder(tmp_path) -> Path:
    root = tmp_path / "docs"
    (root / "b").mkdir(parents=True)
    (root / ".git").mkdir()
    (root / "z.txt").write_text("zett")
    (root / "b" / "Ä.md").write_text("# Ä", "utf-8")
    (root / "b" / "c.MARKDOWN").write_text("# c")
    (root / "a.jsonl").write_text(ROW)
    (root / "picture.png").write_bytes(b"\x89PNG")
    (root / "b" / "Makefile").write_text("all:")
    (root / ".hidden.md").write_text("no")
    (root / ".git" / "config.txt").write_text("no")
    return root


def ids(items) -> list[str]:
    return [item.document.id for item in items]


def test_a_folder_is_read_recursively_in_sorted_order_without_hidden_files(folder):
    assert ids(read([folder])) == ["row", "b/c.MARKDOWN", "b/Ä.md", "z.txt"]


def test_files_of_unknown_type_in_a_folder_are_counted(folder):
    found = discover([folder])
    assert found.skipped == (str(folder / "b" / "Makefile"), str(folder / "picture.png"))
    assert len(ids(read(found))) == 4


def test_the_id_of_a_text_given_by_itself_is_its_name(folder):
    (item,) = read([str(folder / "b" / "Ä.md")])
    assert item == ReadDocument(Document("Ä.md", "# Ä"), str(folder / "b" / "Ä.md"), None, 4)


def test_one_path_need_not_be_in_a_list(folder):
    assert ids(read(str(folder / "z.txt"))) == ["z.txt"]


def test_a_text_is_kept_as_it_is_but_for_the_byte_order_mark(tmp_path):
    path = tmp_path / "a.txt"
    path.write_bytes(b"\xef\xbb\xbfone\r\ntwo\n\xef\xbb\xbf")
    (item,) = read([path])
    assert item.document.text == "one\r\ntwo\n\ufeff"
    assert item.document.metadata == {}


def test_a_text_that_is_not_utf8_is_a_failure_that_names_the_byte(tmp_path):
    (tmp_path / "a.txt").write_bytes(b"gr\xfc\xdfe")
    (tmp_path / "b.txt").write_text("good")
    (tmp_path / "c.txt").write_text("wide", "utf-16")
    bad, good, wide = read([tmp_path])
    assert bad.error.startswith(f"{tmp_path / 'a.txt'}: not valid UTF-8: byte 0xfc at offset 2 of the file")
    assert (bad.document_id, bad.line) == ("a.txt", None)
    assert good.document.text == "good"
    assert "UTF-16" in wide.error


def test_a_large_text_passes_and_one_over_the_limit_is_a_failure(tmp_path):
    path = tmp_path / "a.md"
    path.write_text("wort " * 1_000_000)
    (item,) = read([path])
    assert len(item.document.text) == 5_000_000
    (bad,) = read([path], limits=ReadLimits(document=4_999_999))
    assert "longer than" in bad.error


def test_a_name_that_is_not_utf8_is_a_failure_that_can_be_printed(tmp_path):
    try:
        (tmp_path / os.fsdecode(b"\xff.txt")).write_text("x")
    except OSError:
        pytest.skip("this file system takes UTF-8 names only")
    (bad,) = read([tmp_path])
    assert "rename the file" in bad.error
    assert r"\xff.txt" in bad.error
    bad.error.encode()


# ---------------------------------------------------------------- what is refused at once


def test_a_missing_path_is_refused_before_anything_is_read(folder):
    with pytest.raises(InvalidInput, match=r"nowhere\.jsonl does not exist"):
        read([folder, folder / "nowhere.jsonl"])  # not even iterated


def test_a_file_of_unknown_type_given_by_name_is_refused(folder):
    with pytest.raises(InvalidInput, match=r"picture\.png is of unknown type.*\.jsonl.*--format"):
        read([folder / "picture.png"])


def test_an_unreadable_path_given_by_name_is_refused(folder, monkeypatch):
    monkeypatch.setattr(os, "access", lambda *_: False)
    with pytest.raises(InvalidInput, match="permission denied"):
        read([folder / "z.txt"])


def test_a_path_that_cannot_be_reached_is_refused():
    with pytest.raises(InvalidInput, match="cannot be reached"):
        read(["x" * 5000 + ".txt"])


def test_a_folder_with_nothing_to_read_is_refused(tmp_path):
    with pytest.raises(InvalidInput, match=r"has no files to read: nestvec reads .*\.jsonl.*\.md"):
        read([tmp_path])
    (tmp_path / "a.png").touch()
    (tmp_path / ".b.md").touch()
    with pytest.raises(InvalidInput, match="1 of unknown type skipped"):
        read([tmp_path])


@pytest.mark.parametrize(
    ("paths", "options", "said"),
    [
        ([], {}, "nothing to read"),
        (["-", "-"], {}, "named twice"),
        (["-"], {"format": "josnl"}, r"'josnl' is not known \(did you mean 'jsonl'\?\)"),
        (["-"], {"format": "parquet"}, "Parquet cannot be read from standard input"),
    ],
)
def test_calls_without_sense_are_refused(paths, options, said):
    with pytest.raises(InvalidInput, match=said):
        read(paths, stdin=io.BytesIO(), **options)


def test_a_mapping_for_texts_alone_is_refused(folder):
    with pytest.raises(InvalidInput, match="have none"):
        read([folder / "z.txt"], Mapping(text="body"))
    (folder / "a.jsonl").write_text('{"id": "row", "body": "x"}\n')
    assert len(ids(read([folder], Mapping(text="body")))) == 4


def test_a_format_for_inputs_already_discovered_is_refused(folder):
    with pytest.raises(InvalidInput, match=r"discover\(\)"):
        read(discover([folder]), format="text")


# ---------------------------------------------------------------- what fails on the way


def test_a_file_that_cannot_be_opened_is_a_failure_and_the_others_are_read(folder, monkeypatch):
    real = os.open

    def denied(path, *arguments, **options):
        if Path(path).name in {"a.jsonl", "b.csv"}:
            raise PermissionError(13, "Permission denied", str(path))
        return real(path, *arguments, **options)

    (folder / "b.csv").write_text("id,text\n")
    monkeypatch.setattr(os, "open", denied)
    items = list(read([folder]))
    failures = [item for item in items if isinstance(item, ReadFailure)]
    assert [item.path for item in failures] == [str(folder / "a.jsonl"), str(folder / "b.csv")]
    assert all("Permission denied" in item.error for item in failures)
    assert len(items) == 5


def test_a_sub_folder_that_cannot_be_listed_is_a_failure(folder, monkeypatch):
    real = Path.iterdir

    def denied(self):
        if self.name == "b":
            raise PermissionError(13, "Permission denied", str(self))
        return real(self)

    monkeypatch.setattr(Path, "iterdir", denied)
    first, bad, last = read([folder])
    assert (first.document.id, last.document.id) == ("row", "z.txt")
    assert bad.error == f"{folder / 'b'}: the folder cannot be listed: Permission denied"


def test_links_are_followed_but_not_in_circles(folder, tmp_path):
    other = tmp_path / "other"
    other.mkdir()
    (other / "linked.md").write_text("linked")
    (folder / "circle").symlink_to(folder, target_is_directory=True)
    (folder / "far").symlink_to(other, target_is_directory=True)
    (folder / "self").symlink_to(folder / "self")
    (folder / "dead.md").symlink_to(tmp_path / "gone.md")
    items = list(read([folder]))
    bad = [item for item in items if isinstance(item, ReadFailure)]
    good = ids(item for item in items if isinstance(item, ReadDocument))
    assert good == ["row", "b/c.MARKDOWN", "b/Ä.md", "far/linked.md", "z.txt"]
    assert [item.path for item in bad] == [str(folder / "dead.md")]


def test_a_pipe_in_a_folder_is_passed_over(folder):
    os.mkfifo(folder / "pipe.jsonl")
    assert str(folder / "pipe.jsonl") in discover([folder]).skipped


# ---------------------------------------------------------------- gzip


@pytest.mark.parametrize(
    ("name", "data"), [("a.jsonl.gz", ROW), ("a.ndjson.GZ", ROW), ("a.csv.gz", "id,text\nrow,x\n")]
)
def test_packed_files_are_unpacked(tmp_path, name, data):
    (tmp_path / name).write_bytes(gzip.compress(data.encode()))
    (item,) = read([tmp_path])
    assert item.document == Document("row", "x")
    assert item.position == total_size([tmp_path])


def test_only_rows_are_unpacked(tmp_path):
    (tmp_path / "a.txt.gz").write_bytes(gzip.compress(b"words"))
    with pytest.raises(InvalidInput, match="unknown type"):
        read([tmp_path / "a.txt.gz"])


@pytest.mark.parametrize(
    "spoil",
    [
        lambda data: data[:-10],
        lambda data: data[:200] + b"\x00" * 50 + data[250:],
        lambda data: b"no gzip" + data,
        lambda data: data[:-8] + b"\x00" * 8,
    ],
)
@pytest.mark.parametrize("name", ["a.jsonl.gz", "a.csv.gz"])
def test_damaged_packed_files_are_failures(tmp_path, spoil, name):
    rows = ["id,text"] if "csv" in name else []
    make = (lambda n: f"{n},{n**5}") if "csv" in name else (lambda n: f'{{"id": {n}, "text": "{n**5}"}}')
    data = "\n".join(rows + [make(number) for number in range(2000)]).encode()
    (tmp_path / name).write_bytes(spoil(gzip.compress(data)))
    (tmp_path / "b.txt").write_text("next")
    *_, bad, last = read([tmp_path])
    assert str(tmp_path / name) in bad.error
    assert "cannot be read" in bad.error
    assert last.document.text == "next"


# ---------------------------------------------------------------- format and standard input


def test_a_format_overrules_the_suffix(folder):
    assert ids(read([folder / "b" / "Makefile"], format="text")) == ["Makefile"]
    assert len(ids(read([folder / "b"], format="text"))) == 3
    assert FORMATS == ("jsonl", "csv", "text", "markdown", "parquet")


def test_standard_input_is_jsonl_unless_told_otherwise():
    (item,) = read(["-"], stdin=io.BytesIO(ROW.encode()))
    assert item == ReadDocument(Document("row", "x"), "-", 1, len(ROW))
    (item,) = read(["-"], format="text", stdin=io.BytesIO(b"words"))
    assert item.document == Document("stdin", "words")


def test_standard_input_is_the_process_own_by_default_and_stays_open(monkeypatch):
    stream = io.BytesIO(ROW.encode())
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(stream))
    assert ids(read(["-"])) == ["row"]
    assert not stream.closed


def test_standard_input_hands_out_a_line_as_soon_as_it_is_there():
    reader, writer = os.pipe()
    with os.fdopen(reader, "rb") as stdin, os.fdopen(writer, "wb", buffering=0) as out:
        items = read(["-"], stdin=stdin)
        out.write(ROW.encode())
        assert next(items).document.id == "row"  # would hang if it waited for a full buffer


def test_standard_input_among_files(folder):
    items = read([folder / "z.txt", "-"], stdin=io.BytesIO(ROW.encode()))
    assert ids(items) == ["z.txt", "row"]


# ---------------------------------------------------------------- position and size


def test_positions_rise_to_the_total_size(folder):
    (folder / "c.csv").write_text("id,text\n" + "a,x\n" * 50_000)
    positions = [item.position for item in read([folder])]
    assert positions == sorted(positions)
    assert len(set(positions)) > 5
    assert positions[-1] == total_size([folder])
    assert total_size([folder]) == sum(source.size or 0 for source in discover([folder]).sources)


def test_the_size_of_standard_input_is_unknown(folder):
    assert total_size([folder, "-"]) is None
    assert total_size([folder / "b" / "Makefile"], format="text") == 4


def test_a_file_that_grows_never_counts_more_than_its_size(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_text(ROW)
    found = discover([path])
    path.write_text(ROW * 3)
    assert [item.position for item in read(found)] == [len(ROW)] * 3


def test_files_are_closed_when_reading_stops_early(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_text(ROW * 3)
    items = read([path])
    next(items)
    items.close()  # an unclosed file would be an error of the test run
    with pytest.raises(StopIteration):
        next(items)
