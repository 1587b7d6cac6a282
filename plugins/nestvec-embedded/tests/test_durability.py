"""Kills, losses of power, full disks and interruptions: what was acknowledged is there, and nothing is half there."""

from __future__ import annotations

import random
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from nestvec.contract import Count, Create, Drop, Fetch, Remove
from nestvec.errors import BackendFull
from nestvec_embedded import store, table, vectors
from nestvec_embedded.adapter import EmbeddedAdapter

from .conftest import CREATE, opened, record, write

IDS = [f"r{number}" for number in range(10)]


def state(adapter: EmbeddedAdapter) -> dict[str, str | None]:
    """The texts of all records; that vectors and texts are of one version is looked at."""
    found = adapter.fetch(Fetch("docs_1", [f"r{number}" for number in range(200)], vectors=True))
    assert found.vectors is not None
    for each, row in zip(found.records, found.vectors["dense"], strict=True):
        assert row.tolist() == [1.0, float(each.system["chunk"]), 0.0, float(int(each.id[1:]))]
    assert adapter.count(Count("docs_1")) == len(found.records)
    return {each.id: each.text for each in found.records}


def state_of(folder: Path) -> dict[str, str | None]:
    adapter = opened(folder)
    try:
        return state(adapter)
    finally:
        adapter.close()


# ---------------------------------------------------------------- kills

WRITER = """
import sys, random
from nestvec.contract import Remove
from {tests}.conftest import opened, record, write
adapter = opened(sys.argv[1])
version, generator = int(sys.argv[2]), random.Random(int(sys.argv[2]))
while True:
    version += 1
    chosen = generator.sample(range(10), 6)
    adapter.write(write(*(record(f"r{{number}}", version, keyword=f"k{{version}}") for number in chosen)))
    print("W", version, *chosen, flush=True)
    adapter.remove(Remove("docs_1", [f"r{{chosen[0]}}"]))
    print("R", version, chosen[0], flush=True)
"""


def test_a_kill_loses_nothing_that_was_acknowledged(folder: Path, tmp_path: Path) -> None:
    shutil.copy(Path(__file__).with_name("conftest.py"), tmp_path / "kept_conftest.py")
    script = WRITER.replace("{tests}.conftest", "kept_conftest").replace("{{", "{").replace("}}", "}")
    generator = random.Random(1)
    known: dict[str, int] = dict.fromkeys(IDS, 0)
    version = 0
    for _ in range(4):
        process = subprocess.Popen(
            [sys.executable, "-c", script, str(folder), str(version)],
            stdout=subprocess.PIPE, text=True, cwd=tmp_path,
        )  # fmt: skip
        assert process.stdout is not None
        said = [process.stdout.readline() for _ in range(generator.randint(1, 60))]
        process.send_signal(signal.SIGKILL)
        said += process.stdout.readlines()
        process.wait()
        process.stdout.close()
        last: list[str] = []
        for line in said:
            if line.endswith("\n"):
                last = line.split()
                version = int(last[1])
                for number in last[2:]:
                    known[f"r{number}"] = version if last[0] == "W" else -1
        found = {key: int(str(text).split()[-1]) for key, text in state_of(folder).items()}
        # Of what came after the last acknowledged line, one request may have been made as a whole.
        differing = {key for key in IDS if found.get(key, -1) != known[key]}
        assert not differing or all(found.get(key, -1) in (-1, version + 1) for key in differing)
        assert len(differing) in ((0, 1) if last[0] == "W" else (0, 6)), (differing, last)
        known = {key: found.get(key, -1) for key in IDS}
        version = max(version, *found.values())


# ---------------------------------------------------------------- losses of power


@contextmanager
def watched(adapter: EmbeddedAdapter, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """What happens to the disk, in its order: rows written, waited for, and transactions made."""
    events: list[str] = []
    write_rows, sync_rows = vectors.FileRows.write, vectors.FileRows.sync
    monkeypatch.setattr(vectors.FileRows, "write", lambda *all_: (events.append("write"), write_rows(*all_))[1])
    monkeypatch.setattr(vectors.FileRows, "sync", lambda *all_: (sync_rows(*all_), events.append("sync"))[0])
    adapter.store._db.set_trace_callback(lambda sql: events.append("commit") if sql == "COMMIT" else None)
    yield events
    adapter.store._db.set_trace_callback(None)


def test_vectors_are_on_the_disk_before_anything_speaks_of_them(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    adapter = opened(folder)
    with watched(adapter, monkeypatch) as events:
        for version in range(1, 4):
            adapter.write(write(*(record(key, version) for key in IDS)))
            adapter.remove(Remove("docs_1", ["r1"]))
    assert events == ["write", "sync", "commit", "commit"] * 3
    durable = [adapter.store._db.execute(f"PRAGMA {name}").fetchone()[0] for name in ("journal_mode", "synchronous")]
    assert durable == ["wal", 2]
    adapter.close()


def test_new_files_have_names_on_the_disk_before_they_count(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    adapter, events = opened(folder), []
    whole = store.sync_folder
    monkeypatch.setattr(store, "sync_folder", lambda path: (whole(path), events.append("sync"))[0])
    adapter.store._db.set_trace_callback(lambda sql: events.append("commit") if sql == "COMMIT" else None)
    adapter.create(Create("more_1", CREATE.vectors, CREATE.metric, CREATE.fields, CREATE.record))
    assert events == ["sync", "commit"]
    adapter.close()


@pytest.mark.parametrize("seed", range(6))
def test_files_that_mix_before_and_after_are_the_one_or_the_other(
    folder: Path, tmp_path: Path, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    generator = random.Random(seed)
    adapter = opened(folder)
    images = Images(folder, tmp_path / "image")
    monkeypatch.setattr(vectors.FileRows, "sync", lambda self: images.before_waiting())
    for version in range(1, 6):
        before = state(adapter)
        images.begin()
        chosen = generator.sample(range(14), 8)
        adapter.write(write(*(record(f"r{number}", version) for number in chosen)))
        after = state(adapter)
        # The power fails before the rows are on the disk: each sector is as it was, or as it was going to be.
        images.make(tables=images.tables, rows=mixed(images.rows, images.written, generator))
        assert state_of(images.copy) == before
        # It fails right after the transaction: nothing that it speaks of may be missing.
        images.make(tables=images.now(), rows=images.written)
        assert state_of(images.copy) == after
    adapter.close()


class Images:
    """Copies of a store's files at different moments."""

    def __init__(self, folder: Path, copy: Path) -> None:
        self._folder, self.copy = folder, copy

    def begin(self) -> None:
        """Before a request."""
        self.tables, self.rows = self.now(), (self._folder / "vectors-1-0.f32").read_bytes()

    def before_waiting(self) -> None:
        """Rows are written, and the tables know nothing of it yet."""
        self.written = (self._folder / "vectors-1-0.f32").read_bytes()

    def now(self) -> dict[str, bytes]:
        """The files of the tables."""
        return {path.name: path.read_bytes() for path in self._folder.glob("store.sqlite3*")}

    def make(self, tables: dict[str, bytes], rows: bytes) -> None:
        """A folder of these files."""
        shutil.rmtree(self.copy, ignore_errors=True)
        self.copy.mkdir()
        for name, content in {**tables, "vectors-1-0.f32": rows}.items():
            (self.copy / name).write_bytes(content)


def mixed(before: bytes, after: bytes, generator: random.Random) -> bytes:
    """Pieces of 16 bytes, each from before or after; a file that grew may have grown."""
    before = before.ljust(len(after), b"\0")
    pieces = [generator.choice((before, after))[start : start + 16] for start in range(0, len(after), 16)]
    return b"".join(pieces)


# ---------------------------------------------------------------- full disks

FILLER = """
import sys
from pathlib import Path
import kept_conftest as made
from nestvec.contract import Count, Fetch
from nestvec.errors import BackendFull
folder = Path(sys.argv[1]) / "store"
adapter, version, full = made.opened(folder), 0, 0
adapter.create(made.CREATE)
while full < 3:
    version += 1
    numbers = range(version * 40, version * 40 + 60)
    records = [made.record(f"r{number}", version, keyword="x" * 300) for number in numbers]
    try:
        adapter.write(made.write(*records))
        done = version
    except BackendFull as error:
        assert "free some space on its disk" in str(error), error
        full += 1
count = adapter.count(Count("docs_1"))
adapter.close()
adapter = made.opened(folder)
assert adapter.count(Count("docs_1")) == count == done * 40 + 20, (count, done)
found = adapter.fetch(Fetch("docs_1", [f"r{done * 40 + 59}"], vectors=True))
assert found.records[0].text.endswith(f"version {done}")
adapter.close()
print("fine", count)
"""


def test_a_full_disk_is_an_error_and_the_store_goes_on(tmp_path: Path) -> None:
    shutil.copy(Path(__file__).with_name("conftest.py"), tmp_path / "kept_conftest.py")
    (tmp_path / "disk").mkdir()
    mount = 'mount -t tmpfs -o size=3m none "$0" && exec "$@"'
    prefix = ["unshare", "--mount", "sh", "-c", mount, str(tmp_path / "disk")]
    if (
        shutil.which("unshare") is None
        or subprocess.run([*prefix, "true"], capture_output=True, check=False).returncode
    ):
        pytest.skip("nothing can be mounted here")
    done = subprocess.run(
        [*prefix, sys.executable, "-c", FILLER, str(tmp_path / "disk")],
        capture_output=True, text=True, cwd=tmp_path, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("fine")


def test_room_that_is_not_there_is_given_back(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    adapter = opened(folder)
    before, size = state(adapter), (folder / "vectors-1-0.f32").stat().st_size

    def full(file: int, start: int, wanted: int) -> None:
        vectors._write_at(file, memoryview(bytes(wanted // 2)), start)
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(vectors, "_allocate", full)
    with pytest.raises(BackendFull, match="free some space"):
        adapter.write(write(*(record(f"r{number}", 1) for number in range(10, 2000))))
    assert (folder / "vectors-1-0.f32").stat().st_size == size
    assert state(adapter) == before
    adapter.close()


# ---------------------------------------------------------------- interruptions

STEPS: dict[str, tuple[Any, str]] = {
    "before the rows": (vectors.FileRows, "write"),
    "while waiting for the disk": (vectors.FileRows, "sync"),
    "while reading what is replaced": (table.RecordTable, "_whole"),
    "while inserting": (table, "contents_of"),
    "before memory follows": (table.RecordTable, "settle"),
}


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("late", [False, True])
def test_an_interruption_leaves_all_or_nothing(
    folder: Path, step: str, late: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    adapter = opened(folder)
    before = state(adapter)
    owner, name = STEPS[step]
    with monkeypatch.context() as patch:
        patch.setattr(owner, name, interrupted(getattr(owner, name), late))
        with pytest.raises(KeyboardInterrupt):
            adapter.write(write(*(record(f"r{number}", 1) for number in range(5, 15))))
    after = {**before, **{f"r{number}": f"r{number} in version 1" for number in range(5, 15)}}
    assert state(adapter) == (after if step == "before memory follows" else before)
    adapter.write(write(*(record(f"r{number}", 1) for number in range(5, 15))))
    assert state(adapter) == after
    adapter.close()
    assert state_of(folder) == after


def interrupted(work: Callable[..., Any], late: bool) -> Callable[..., Any]:
    def call(*arguments: Any) -> Any:
        if late:
            list(work(*arguments) or ())
        raise KeyboardInterrupt

    return call


def test_an_interrupted_drop_leaves_nothing_half(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    adapter = opened(folder)
    with monkeypatch.context() as patch:
        patch.setattr(store.Store, "_sweep", interrupted(lambda self: None, late=False))
        with pytest.raises(KeyboardInterrupt):
            adapter.drop(Drop("docs_1"))
    adapter.create(CREATE)
    assert state(adapter) == {}
    adapter.close()
    assert state_of(folder) == {}
    assert [path.name for path in folder.glob("vectors*")] == ["vectors-2-0.f32"]
