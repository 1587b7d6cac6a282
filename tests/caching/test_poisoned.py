"""A cache folder that somebody else prepared: nothing outside of it is read, written or removed."""

from __future__ import annotations

import os
import sqlite3
import struct
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nestvec._caching.disk import BytesDisk, Disk, clear, inspect
from nestvec.errors import ConfigError

from .conftest import Folder, Picky, ask, group

TEXTS = [f"text number {i}" for i in range(20)]
SIZE = 10_000_000


def request(texts: list[str] = TEXTS) -> Any:
    return ask(*(group(text, text) for text in texts))


def works(folder: Folder) -> int:
    """The vectors are right, whatever the folder holds; returns how many came from it."""
    reply = folder.open().encode(request())
    np.testing.assert_allclose(np.concatenate(reply.vectors), np.concatenate(Picky().encode(request()).vectors))
    folder.close()
    return reply.usage.cached


def sql(folder: Folder, statement: str, *values: Any) -> None:
    with closing(sqlite3.connect(folder.path / "cache.db")) as connection, connection:
        connection.execute(statement, values)


@pytest.fixture
def filled(folder: Folder) -> Folder:
    assert works(folder) == 0
    assert works(folder) == len(TEXTS)
    return folder


# ---------------------------------------------------------------- names of files in the database


@pytest.fixture
def victims(tmp_path: Path) -> list[Path]:
    """Files in folders of their own, which would go with the last of their files."""
    found = [tmp_path / "home" / "thesis.txt", tmp_path / "keys" / "key.pem"]
    for path in found:
        path.parent.mkdir()
        path.write_text("precious")
    return found


def overwrite(folder: Folder) -> None:
    works(folder)


def look(folder: Folder) -> None:
    assert works(folder) == 0, "a value with a file is none of nestvec's"


def empty(folder: Folder) -> None:
    assert clear(folder.path, SIZE) == len(TEXTS)


def evict(folder: Folder) -> None:
    with closing(Disk(folder.path, 10_000)) as disk:
        disk.put([(b"key", b"value" * 10_000)])
        assert len(disk) < len(TEXTS)


@pytest.mark.parametrize("how", ["absolute", "relative", "inside"])
@pytest.mark.parametrize("operation", [look, overwrite, evict, empty])
def test_a_name_in_the_database_leads_nowhere(
    operation: Callable[[Folder], None], how: str, filled: Folder, victims: list[Path]
) -> None:
    (filled.path / "mine.txt").write_text("precious")
    for number, path in enumerate([*victims, *victims, filled.path / "mine.txt"]):
        relative = os.path.relpath(path, filled.path)
        name = {"absolute": str(path), "relative": relative, "inside": f"x/../{relative}"}[how]
        which = "rowid = (SELECT min(rowid) + ? FROM Cache)"
        sql(filled, f"UPDATE Cache SET filename = ?, mode = 2, size = 10 WHERE {which}", name, number)
    sql(filled, "UPDATE Cache SET mode = 2, filename = ? WHERE filename IS NULL", str(victims[0]))
    operation(filled)
    assert [path.read_text() for path in [*victims, filled.path / "mine.txt"]] == ["precious"] * 3


def test_no_value_is_ever_a_file_or_a_pickle(tmp_path: Path) -> None:
    disk = BytesDisk(str(tmp_path))
    for value in ({"a": 1}, "text", 5):
        with pytest.raises(TypeError, match="a cache keeps bytes"):
            disk.store(value, False)
        with pytest.raises(TypeError, match="a cache keeps bytes"):
            disk.put(value)
    for mode in (2, 3, 4):
        with pytest.raises(OSError, match="no bytes"):
            disk.fetch(mode, "name", None, False)


# ---------------------------------------------------------------- what diskcache would do because it is told to

POISON = {
    "the folder to work in": "INSERT INTO Settings VALUES ('_directory', '{elsewhere}')",
    "an attribute": "INSERT INTO Settings VALUES ('close', 'no function')",
    "a pragma": "INSERT INTO Settings VALUES ('sqlite_writable_schema', 1)",
    "a pragma's value": "UPDATE Settings SET value = 'OFF; x' WHERE key = 'sqlite_journal_mode'",
    "a counter": "UPDATE Settings SET value = 'many' WHERE key = 'size'",
    "a trigger": "CREATE TRIGGER t AFTER INSERT ON Cache BEGIN DELETE FROM Cache; END",
    "a view": "CREATE VIEW v AS SELECT load_extension('x')",
    "a table": "CREATE VIRTUAL TABLE v USING fts5(a)",
}


@pytest.mark.parametrize("poison", POISON)
def test_what_is_not_nestvecs_is_not_opened(poison: str, filled: Folder, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    sql(filled, POISON[poison].format(elsewhere=elsewhere))
    assert works(filled) == 0
    (event,) = filled.events
    assert "not nestvec's" in event.data["error"]
    assert "run nestvec cache clear" in event.data["error"]
    assert not list(elsewhere.iterdir())
    assert clear(filled.path, SIZE) is None
    assert works(filled) == 0
    assert works(filled) == len(TEXTS)


def hot_journal(victim: Path, database: Path) -> None:
    """Would have SQLite delete the victim: the journal says that it was part of a transaction of several files."""
    magic, name = bytes.fromhex("d9d505f920a163d7"), str(victim).encode()
    header = magic + struct.pack(">IIIII", 0, 1, database.stat().st_size // 4096, 512, 4096)
    checksum = sum(byte if byte < 128 else byte - 256 for byte in name) & 0xFFFFFFFF
    tail = struct.pack(">I", 0x40000000 // 4096 + 1) + name + struct.pack(">II", len(name), checksum) + magic
    database.with_name(database.name + "-journal").write_bytes(header.ljust(512, b"\0") + tail)


def test_a_journal_that_names_another_file(filled: Folder, victims: list[Path]) -> None:
    hot_journal(victims[0], filled.path / "cache.db")
    assert works(filled) == 0
    assert "would have SQLite delete" in str(inspect(filled.path, SIZE).problem)
    assert clear(filled.path, SIZE) is None
    assert victims[0].exists()
    assert [file.name for file in filled.path.iterdir()] == []
    # The journal does what is said of it: without the check the test above would fail.
    assert works(filled) == 0
    hot_journal(victims[0], filled.path / "cache.db")
    with closing(sqlite3.connect(filled.path / "cache.db")) as connection:
        connection.execute("SELECT * FROM Cache").fetchall()
    assert not victims[0].exists()


def link(target: Path, path: Path) -> None:
    path.symlink_to(target)


def hard_link(target: Path, path: Path) -> None:
    path.hardlink_to(target)


def pipe(_: Path, path: Path) -> None:
    os.mkfifo(path)


@pytest.mark.parametrize("make", [link, hard_link, pipe])
@pytest.mark.parametrize("name", ["cache.db", "cache.db-wal", "cache.db-shm", "cache.db-journal"])
def test_files_that_are_elsewhere(
    make: Callable[[Path, Path], None], name: str, filled: Folder, tmp_path: Path
) -> None:
    other = tmp_path / "other"
    with closing(sqlite3.connect(other)) as connection, connection:
        connection.execute("CREATE TABLE mine (a)")
    before = other.read_bytes()
    (filled.path / name).unlink(missing_ok=True)
    make(other, filled.path / name)
    assert works(filled) == 0
    assert name in str(inspect(filled.path, SIZE).problem)
    assert clear(filled.path, SIZE) is None
    assert other.read_bytes() == before
    assert works(filled) == 0
    assert works(filled) == len(TEXTS)


# ---------------------------------------------------------------- the folder itself


@pytest.mark.parametrize("mode", [0o777, 0o770, 0o1777])
def test_a_folder_that_others_may_write_to(mode: int, filled: Folder) -> None:
    filled.path.chmod(mode)
    assert works(filled) == 0
    told = str(inspect(filled.path, SIZE).problem)
    assert f"(its mode is {mode:04o})" in told
    assert "chmod go-w" in told
    with pytest.raises(ConfigError, match="cannot be cleared: others may write"):
        clear(filled.path, SIZE)
    filled.path.chmod(0o755)
    assert works(filled) == len(TEXTS)


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root gives files away")
@pytest.mark.parametrize("through_a_link", [False, True])
def test_a_folder_of_another_user(through_a_link: bool, filled: Folder) -> None:
    if through_a_link:
        real = filled.path.rename(filled.path.with_name("real"))
        filled.path.symlink_to(real)
    os.chown(filled.path, 12345, 12345, follow_symlinks=False)
    assert works(filled) == 0
    assert "another user (12345)" in str(inspect(filled.path, SIZE).problem)
    with pytest.raises(ConfigError, match="another user"):
        clear(filled.path, SIZE)


def test_a_link_of_ones_own_to_a_folder_of_ones_own(filled: Folder) -> None:
    real = filled.path.rename(filled.path.with_name("real"))
    filled.path.symlink_to(real)
    assert works(filled) == len(TEXTS)
    real.chmod(0o777)
    assert works(filled) == 0


def test_a_name_that_diskcache_would_expand(folder: Folder, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("ELSEWHERE", str(tmp_path / "elsewhere"))
    folder.path = tmp_path / "x$ELSEWHERE"
    assert works(folder) == 0
    assert "choose another path" in folder.events[0].data["error"]
    assert not list(tmp_path.rglob("cache.db"))
