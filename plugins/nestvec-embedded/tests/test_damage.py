"""Folders of others, damaged ones, and places that are none: one clear error each, and nothing is changed."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from nestvec.contract import Count, Drop, Fetch, ListCollections, Query
from nestvec.errors import BackendError, BackendLocked, BackendRefused, CollectionNotFound
from nestvec.filters import F, resolve
from nestvec.types import DENSE, Metric

from .conftest import CREATE, FIELDS, opened, record, write

FILE = "store.sqlite3"
VECTORS = "vectors-1-0.f32"


def run(folder: Path, *statements: str) -> None:
    """Change the tables behind the store's back."""
    with closing(sqlite3.connect(folder / FILE)) as connection:
        connection.execute("PRAGMA writable_schema = ON")
        for statement in statements:
            connection.execute(statement)
        connection.commit()


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file() and path.name != ".lock"}


def use(folder: Path) -> None:
    """Open the store, and read and search everything."""
    adapter = opened(folder)
    try:
        adapter.count(Count("docs_1", resolve(F.keyword == "k1", FIELDS)))
        adapter.fetch(Fetch("docs_1", [f"r{number}" for number in range(10)], vectors=True))
        adapter.query(Query("docs_1", {DENSE: np.ones((1, 4), np.float32)}, Metric.COSINE, 10))
    finally:
        adapter.close()


def cut(name: str, size: int) -> Callable[[Path], None]:
    return lambda folder: os.truncate(folder / name, size)


def overwritten(name: str, content: bytes, place: int = 0) -> Callable[[Path], None]:
    def damage(folder: Path) -> None:
        with (folder / name).open("r+b") as file:
            file.seek(place)
            file.write(content)

    return damage


def sql(*statements: str) -> Callable[[Path], None]:
    return lambda folder: run(folder, *statements)


DAMAGES = {
    "another file": overwritten(FILE, b"not a database, but a text that is long enough to be one " * 20),
    "half of the tables": cut(FILE, 8192),
    "no vectors": lambda folder: (folder / VECTORS).unlink(),
    "half of the vectors": cut(VECTORS, 5 * 16),
    "other vectors": overwritten(VECTORS, b"\x01" * 64, 16),
    "a table less": sql("DROP TABLE contents_1"),
    "a view": sql("CREATE VIEW more AS SELECT load_extension('x')"),
    "a trigger": sql("CREATE TRIGGER more AFTER DELETE ON records_1 BEGIN DELETE FROM notes; END"),
    "another table of that name": sql("DROP TABLE terms_1", "CREATE TABLE terms_1 (path, value, slot)"),
    "a table that computes": sql("DROP TABLE notes", "CREATE TABLE notes (number, name, text AS (abs(1)))"),
    "a description that is no JSON": sql("UPDATE collections SET about = '{'"),
    "a description of something else": sql("UPDATE collections SET about = '[1]'"),
    "vectors of no size": sql("""UPDATE collections SET about = json_set(about, '$.vectors.dense', -4)"""),
    "vectors of another size": sql("""UPDATE collections SET about = json_set(about, '$.vectors.dense', 4000000)"""),
    "records that are no JSON": sql("UPDATE contents_1 SET content = 'x'"),
    "records of another shape": sql("UPDATE contents_1 SET system = '[1, 2]'"),
    "a slot beyond the file": sql("UPDATE records_1 SET slot = 4000000000 WHERE slot = 3"),
    "a slot before the file": sql("UPDATE records_1 SET slot = -3 WHERE slot = 3"),
    "lengths of another size": sql("UPDATE records_1 SET lengths = x'00' WHERE slot = 3"),
    "an index of records that cannot be": sql("UPDATE terms_1 SET slot = slot + 4000000000"),
    "an index of records before all": sql("UPDATE terms_1 SET slot = slot - 4000000000"),
    "another program": sql("PRAGMA application_id = 7"),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_folder_is_told_and_left_alone(folder: Path, damage: str) -> None:
    DAMAGES[damage](folder)
    before = contents(folder)
    with pytest.raises(BackendRefused, match="damaged") as caught:
        use(folder)
    assert str(folder) in str(caught.value)
    assert "\n" not in str(caught.value)
    assert contents(folder) == before


def test_a_newer_layout_asks_for_an_upgrade(folder: Path) -> None:
    run(folder, "PRAGMA user_version = 2")
    with pytest.raises(BackendRefused, match="newer nestvec; upgrade"):
        use(folder)


@pytest.mark.parametrize("name", ["meta.json", "data.bin"])
def test_a_folder_of_something_else_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("{}")
    with pytest.raises(BackendRefused, match="folder") as caught:
        opened(tmp_path)
    told = f"nestvec convert {tmp_path} NEW_FOLDER" if name == "meta.json" else name
    assert told in str(caught.value)
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_a_path_to_a_file_is_no_folder(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("text")
    with pytest.raises(BackendRefused, match="cannot be a folder"):
        opened(tmp_path / "file")


@pytest.mark.parametrize("name", [FILE, VECTORS])
def test_links_are_not_followed(folder: Path, tmp_path: Path, name: str) -> None:
    elsewhere = tmp_path / "elsewhere"
    (folder / name).rename(elsewhere)
    (folder / name).symlink_to(elsewhere)
    before = elsewhere.read_bytes()
    with pytest.raises(BackendRefused, match="is a link"):
        use(folder)
    assert elsewhere.read_bytes() == before


def test_files_of_a_collection_that_is_gone_are_swept(folder: Path) -> None:
    (folder / "vectors-9-0.f32").write_bytes(b"left by a process that died")
    (folder / "notes.txt").write_text("not ours")
    use(folder)
    assert not (folder / "vectors-9-0.f32").exists()
    assert (folder / "notes.txt").exists()
    adapter = opened(folder)
    adapter.drop(Drop("docs_1"))
    assert not (folder / VECTORS).exists()
    assert adapter.list_collections(ListCollections()) == []
    with pytest.raises(CollectionNotFound, match="'docs_1'"):
        adapter.count(Count("docs_1"))
    adapter.create(CREATE)
    assert adapter.count(Count("docs_1")) == 0
    adapter.close()


SCRIPT = """
import sys
from nestvec_embedded.adapter import open_adapter
from nestvec_embedded.options import EmbeddedOptions
try:
    open_adapter(EmbeddedOptions(path=sys.argv[1])).close()
except Exception as error:
    print(type(error).__name__, error)
"""


def in_another_process(folder: Path) -> str:
    done = subprocess.run([sys.executable, "-c", SCRIPT, str(folder)], capture_output=True, text=True, check=True)
    return done.stdout


def test_a_second_process_finds_it_locked(folder: Path) -> None:
    adapter = opened(folder)
    said = in_another_process(folder)
    assert said.startswith("BackendLocked")
    assert str(folder) in said
    with pytest.raises(BackendLocked):
        opened(folder)
    adapter.write(write(record("r1", 5)))
    adapter.close()
    assert in_another_process(folder) == ""


def test_closing_twice_and_asking_afterwards(folder: Path) -> None:
    adapter = opened(folder)
    adapter.close()
    adapter.close()
    with pytest.raises(BackendError):
        adapter.count(Count("docs_1"))
