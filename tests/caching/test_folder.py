"""The folder: bounded, private, shared by processes. Whatever is wrong with it, texts are embedded all the same."""

from __future__ import annotations

import logging
import random
import shutil
import sqlite3
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import diskcache
import numpy as np
import pytest

from nestvec._caching import disk
from nestvec._caching.disk import CacheState, clear, inspect
from nestvec._caching.keys import keys_of
from nestvec.contract import Encode
from nestvec.errors import ConfigError
from nestvec_testing.recording import RecordingOptions, capabilities

from .conftest import Folder, Picky, ask, group

TEXTS = [f"text number {i}" for i in range(60)]


def request(texts: list[str] = TEXTS, **options: Any) -> Encode:
    return ask(*(group(text, text) for text in texts), **options)


KEYS = keys_of(request(), capabilities(RecordingOptions()))


def assert_right(embedder: Any, texts: list[str] = TEXTS) -> int:
    """The vectors are those of the embedder; returns how many came from the cache."""
    reply = embedder.encode(request(texts))
    np.testing.assert_allclose(np.concatenate(reply.vectors), np.concatenate(Picky().encode(request(texts)).vectors))
    return reply.usage.cached


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.name.startswith("nestvec._caching")]


# ---------------------------------------------------------------- what it keeps


def test_what_was_kept_is_found_by_the_next_one_to_open_it(folder: Folder) -> None:
    assert assert_right(folder.open()) == 0
    folder.close()
    assert assert_right(folder.open()) == len(TEXTS)


def test_the_folder_is_made_for_its_owner_only_and_holds_no_text(folder: Folder) -> None:
    folder.open().encode(request(["a text that nobody else may read"]))
    folder.close()
    assert folder.path.stat().st_mode & 0o777 == 0o700
    stored = b"".join(file.read_bytes() for file in folder.path.rglob("*") if file.is_file())
    assert len(stored) > 256
    assert b"nobody else" not in stored


def test_a_folder_that_was_there_keeps_its_permissions(folder: Folder) -> None:
    folder.path.mkdir(mode=0o755)
    folder.open().encode(request())
    assert folder.path.stat().st_mode & 0o777 == 0o755


def test_closing_closes_the_database_and_ends_the_thread(folder: Folder) -> None:
    embedder = folder.open()
    embedder.encode(request())
    named = [thread for thread in threading.enumerate() if thread.name.startswith("nestvec-cache")]
    assert len(named) == 1
    embedder.close()
    embedder.close()
    assert not named[0].is_alive()
    assert [file.name for file in folder.path.iterdir()] == ["cache.db"], "the last connection removes SQLite's log"
    assert assert_right(embedder) == 0, "afterwards nothing is found, nor kept"


def test_threads_share_a_cache(folder: Folder) -> None:
    embedder = folder.open()
    parts = [TEXTS[start : start + 30] for start in range(0, 31, 3)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda part: assert_right(embedder, part), parts * 4))
    assert assert_right(embedder) == len(TEXTS)


def test_it_never_grows_beyond_its_size_and_lets_go_of_what_was_not_used_for_longest(
    folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    size, slack = 1_000_000, 300_000  # the slack: one batch, before room is made
    embedder = folder.open(size=size, dimensions=1024)
    texts = [f"text {i}" for i in range(1200)]
    always, most = ["used every day"], 0
    for day, start in enumerate(range(0, 1200, 40)):
        monkeypatch.setattr(disk, "_today", lambda day=day: day)
        embedder.encode(request(always, dimensions=1024))
        embedder.encode(request(texts[start : start + 40], dimensions=1024))
        most = max(most, (folder.path / "cache.db").stat().st_size)
    assert 0.8 * size < most < size + slack
    assert inspect(folder.path, size).used <= size
    for some, found in ((always, 1), (texts[1160:], 40), (texts[:40], 0)):
        assert embedder.encode(request(some, dimensions=1024)).usage.cached == found


def test_looking_writes_nothing_but_the_first_use_of_a_day(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    embedder = folder.open()
    embedder.encode(request())
    written = []
    keep = diskcache.Cache.set
    monkeypatch.setattr(diskcache.Cache, "set", lambda *args, **named: written.append(1) or keep(*args, **named))
    for day, expected in ((disk._today(), 0), (7, 60), (7, 60), (8, 120)):
        monkeypatch.setattr(disk, "_today", lambda day=day: day)
        assert assert_right(embedder) == 60
        assert len(written) == expected


def test_nothing_is_ever_unpickled(folder: Folder, tmp_path: Path) -> None:
    """A database that somebody else prepared gives no vectors and runs no code."""
    folder.open().encode(request())
    folder.close()
    with diskcache.Cache(str(folder.path)) as planted:
        for key in KEYS[:30]:
            planted[key] = Bomb(tmp_path / "exploded")
        planted.set(KEYS[30], "text")
        planted.set(KEYS[31], 5)
    with closing(sqlite3.connect(folder.path / "cache.db")) as connection, connection:
        secret = tmp_path / "secret"
        secret.write_bytes(b"\0" * 264)
        connection.execute("UPDATE Cache SET mode = 2, filename = ? WHERE key = ?", (str(secret), KEYS[40]))
    assert assert_right(folder.open()) == len(TEXTS) - 33
    assert not (tmp_path / "exploded").exists()


class Bomb:
    """Pickled, it makes a file when it is loaded."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return (Path.touch, (self.path,))


def test_another_texts_vector_is_none(folder: Folder) -> None:
    """To which a damaged index of the database may lead."""
    folder.open().encode(request())
    folder.close()
    with closing(sqlite3.connect(folder.path / "cache.db")) as connection, connection:
        swap = "UPDATE Cache SET value = (SELECT value FROM Cache WHERE key = ?) WHERE key = ?"
        connection.execute(swap, (KEYS[1], KEYS[0]))
    assert assert_right(folder.open()) == len(TEXTS) - 1


# ---------------------------------------------------------------- what may be wrong with it


def garbage(path: Path) -> None:
    path.mkdir()
    (path / "cache.db").write_bytes(b"this is no database, whatever its name says" * 100)


def cut_off(path: Path) -> None:
    made = Folder(path)
    made.open().encode(request())
    made.close()
    content = (path / "cache.db").read_bytes()
    (path / "cache.db").write_bytes(content[: len(content) // 2])


def another_program(path: Path) -> None:
    path.mkdir()
    with closing(sqlite3.connect(path / "cache.db")) as connection:
        connection.execute("CREATE TABLE Cache (something TEXT)")


def a_file(path: Path) -> None:
    path.write_text("no folder")


def a_folder_as_database(path: Path) -> None:
    (path / "cache.db").mkdir(parents=True)


TROUBLE = {each.__name__: each for each in (garbage, cut_off, another_program, a_file, a_folder_as_database)}


@pytest.mark.parametrize("trouble", TROUBLE)
def test_without_a_usable_folder_texts_are_embedded_and_it_is_said_once(
    trouble: str, folder: Folder, caplog: pytest.LogCaptureFixture
) -> None:
    TROUBLE[trouble](folder.path)
    one, other = folder.open(), folder.open()
    for embedder in (one, other, one):
        assert assert_right(embedder) == 0
    (said,) = warnings(caplog)
    assert str(folder.path) in said
    assert "texts are embedded without it" in said
    assert [(event.name, event.data["path"]) for event in folder.events] == [("cache_failed", str(folder.path))]
    assert inspect(folder.path, 1_000_000).problem == folder.events[0].data["error"]


@pytest.mark.parametrize("trouble", ["garbage", "cut_off"])
def test_a_damaged_database_is_named_as_such_and_cleared_away(trouble: str, folder: Folder) -> None:
    TROUBLE[trouble](folder.path)
    (folder.path / "mine.txt").write_text("not the cache's")
    assert "its database is damaged" in str(inspect(folder.path, 1_000_000).problem)
    assert clear(folder.path, 1_000_000) is None
    assert [file.name for file in folder.path.iterdir()] == ["mine.txt"]
    assert assert_right(folder.open()) == 0
    assert assert_right(folder.open()) == len(TEXTS)


def test_a_path_below_a_file(folder: Folder, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "file").write_text("no folder")
    folder.path = tmp_path / "file" / "deep" / "cache"
    assert assert_right(folder.open()) == 0
    assert len(warnings(caplog)) == 1
    with pytest.raises(ConfigError, match="cannot be cleared"):
        clear(tmp_path / "file", 1_000_000)


def test_a_lock_that_another_process_holds(
    folder: Folder, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(disk, "_PATIENCE", 0.05)
    embedder = folder.open()
    embedder.encode(request())
    with closing(sqlite3.connect(folder.path / "cache.db", isolation_level=None)) as holder:
        holder.execute("BEGIN IMMEDIATE")
        assert assert_right(embedder) == len(TEXTS), "who only looks does not wait for who writes"
        assert assert_right(embedder, ["a new text"]) == 0
        assert "another process holds its database" in warnings(caplog)[0]
        began = time.perf_counter()
        assert "is locked" in str(inspect(folder.path, 1_000_000).problem)
        assert time.perf_counter() - began < 30, "diskcache alone would wait for a minute"
        with pytest.raises(ConfigError, match="cannot be cleared: database is locked"):
            clear(folder.path, 1_000_000)
    assert assert_right(embedder) == 0, "it is left alone for a while"
    folder.now += 301
    assert assert_right(embedder) == len(TEXTS)
    assert len(warnings(caplog)) == 1


def test_a_failure_in_the_middle_of_keeping_leaves_what_was_kept(
    folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    embedder = folder.open()
    embedder.encode(request(TEXTS[:10]))
    keep = diskcache.Cache.set
    left = iter(range(5))

    def full(self: Any, *arguments: Any, **options: Any) -> Any:
        if next(left, None) is None:
            raise sqlite3.OperationalError("database or disk is full")
        return keep(self, *arguments, **options)

    monkeypatch.setattr(diskcache.Cache, "set", full)
    assert assert_right(embedder) == 10
    assert "disk is full" in folder.events[0].data["error"]
    monkeypatch.undo()
    folder.now += 301
    assert assert_right(embedder) == 10, "of the batch that failed nothing is there"
    assert assert_right(embedder) == len(TEXTS)


def test_a_folder_that_failed_is_let_go_of(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    embedder = folder.open()
    embedder.encode(request())
    assert len(list(folder.path.iterdir())) == 3

    def malformed(self: Any, *arguments: Any, **options: Any) -> Any:
        raise sqlite3.DatabaseError("database disk image is malformed")

    monkeypatch.setattr(diskcache.Cache, "get", malformed)
    assert assert_right(embedder) == 0
    assert [file.name for file in folder.path.iterdir()] == ["cache.db"], "nobody has it open any more"


def test_any_damage_gives_the_right_vectors(folder: Folder) -> None:
    """Bytes changed at random, or the end cut off: a vector is right, or embedded anew; never wrong, never an error."""
    folder.open().encode(request())
    folder.close()
    sound = folder.path.with_name("sound.db")
    shutil.copy(folder.path / "cache.db", sound)
    content = sound.read_bytes()
    found = []
    for seed in range(60):
        chance = random.Random(seed)
        broken = bytearray(content)
        for _ in range(chance.choice([1, 20, 300])):
            beginning = chance.random() < 0.5  # where the schema and the settings are
            broken[chance.randrange(8192 if beginning else len(broken))] = chance.randrange(256)
        if seed % 4 == 0:
            del broken[chance.randrange(len(broken)) :]
        shutil.rmtree(folder.path)
        folder.path.mkdir()
        (folder.path / "cache.db").write_bytes(broken)
        found.append(assert_right(folder.open()))
        folder.close()
    assert 0 in found
    assert any(0 < count < len(TEXTS) for count in found), "some of what is sound is still found"


def test_looking_at_a_folder_that_is_not_there_does_not_make_it(folder: Folder) -> None:
    assert inspect(folder.path, 1_000_000) == CacheState()
    assert clear(folder.path, 1_000_000) == 0
    assert not folder.path.exists()


def test_clearing_while_somebody_uses_it(folder: Folder) -> None:
    embedder = folder.open()
    embedder.encode(request())
    assert clear(folder.path, 10_000_000) == len(TEXTS)
    assert assert_right(embedder) == 0
    assert assert_right(embedder) == len(TEXTS)


def test_a_library_that_is_missing_is_named_with_its_extra(monkeypatch: pytest.MonkeyPatch, open_client: Any) -> None:
    for name in ("nestvec._caching.cache", "nestvec._caching.disk"):
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "diskcache", None)
    client = open_client()
    assert client["docs"].count() == 0, "without an embedder nothing is missing"
    with pytest.raises(ConfigError, match=r"pip install 'nestvec\[cache\]'"):
        client.embed(["text"])


def test_it_is_a_warning_of_its_own_logger(folder: Folder, caplog: pytest.LogCaptureFixture) -> None:
    garbage(folder.path)
    folder.open().encode(request())
    assert [(record.name, record.levelno) for record in caplog.records] == [("nestvec._caching.cache", logging.WARNING)]
