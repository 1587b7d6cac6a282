"""What is looked at in a folder before a library may open it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from nestvec.folders import Untrusted, check_file, check_owner, check_tree, leads_out


@pytest.mark.parametrize(
    "name",
    ["", "/etc/passwd", "../x", "a/../../x", "a/..", "..", "C:/x", "c:x", "\\\\host\\x", "..\\x", "a\0b", "//x"],
)
def test_names_that_lead_out(name: str) -> None:
    assert leads_out(name)


@pytest.mark.parametrize("name", ["x", "a/b.parquet", "a..b", "...", "data/2024-01-01T10:00", ".hidden"])
def test_names_that_stay(name: str) -> None:
    assert not leads_out(name)


def test_what_is_deep_in_a_folder_is_found(tmp_path: Path) -> None:
    deep = tmp_path / "a" / "b"
    deep.mkdir(parents=True)
    (deep / "file").write_text("one")
    check_tree(tmp_path)
    (deep / "link").symlink_to(tmp_path.parent)
    with pytest.raises(Untrusted, match="link is a link, where a file is expected; remove it"):
        check_tree(tmp_path)
    (deep / "link").unlink()
    os.mkfifo(deep / "pipe")
    with pytest.raises(Untrusted, match="pipe is a pipe"):
        check_tree(tmp_path)


def test_journals_of_sqlites_own(tmp_path: Path) -> None:
    mark = bytes.fromhex("d9d505f920a163d7")
    journal = tmp_path / "x.db-journal"
    for content in (b"", b"x", mark, mark + bytes(504)):
        journal.write_bytes(content)
        check_file(journal)
    journal.write_bytes(mark + b"name" + mark)
    with pytest.raises(Untrusted, match="delete a file of another name"):
        check_file(journal)
    check_file(tmp_path / "none")


def test_a_folder_of_ones_own(tmp_path: Path) -> None:
    tmp_path.chmod(0o750)
    check_owner(tmp_path)
    tmp_path.chmod(0o757)
    with pytest.raises(Untrusted, match="chmod go-w"):
        check_owner(tmp_path)
