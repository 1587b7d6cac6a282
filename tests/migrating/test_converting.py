"""A store of one backend as a store of another: nothing is lost, nothing half done stays, and the old one is only read.

What is converted here is a folder of Qdrant's engine, of which most stores are that anybody has.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import shutil
import signal
import subprocess
import sys
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nestvec import ConversionProgress, ConversionStage, Document, F, Runtime, connect, convert_store
from nestvec._collections.write_fence import NOTE as GATE
from nestvec._collections.write_fence import FenceState, GenerationPlace, WriteFence
from nestvec._migration import converting
from nestvec._migration.generations import NOTE as MIGRATION
from nestvec._migration.generations import MigrationNote
from nestvec._session.session import finished
from nestvec.contract import (
    Adapter,
    CreateExtended,
    Describe,
    ForeignLayout,
    ReadNote,
    ResolveAlias,
    Scroll,
    SetAlias,
    Write,
    WriteNote,
)
from nestvec.errors import (
    BackendError,
    BackendLocked,
    BackendRefused,
    CollectionConflict,
    CollectionError,
    InvalidInput,
    NestvecError,
    PluginNotFound,
    Unsupported,
)
from nestvec.types import DENSE, Field, FieldType, Metric, Record, prefix_name
from nestvec_embedded.adapter import EmbeddedAdapter
from nestvec_embedded.adapter import open_adapter as open_embedded
from nestvec_embedded.options import CAPABILITIES, EmbeddedOptions
from nestvec_qdrant.adapter import open_adapter as open_qdrant
from nestvec_qdrant.options import QdrantOptions
from nestvec_testing.registry import test_registry

from .world import Time

TIME = Time()
RUNTIME = Runtime(test_registry(), TIME.clock, wall=TIME.wall, pause=TIME.pass_)
SPACE = {
    "version": 1,
    "model": "m",
    "dimensions": 4,
    "normalized": True,
    "late_chunking": False,
    "rotation": None,
    "index_task": None,
    "query_task": None,
    "index_prompt": "",
    "query_prompt": "",
}
FIELDS = {"lang": Field(FieldType.KEYWORD), "years": Field(FieldType.INTEGER, many=True)}
#: Names of the notes, with texts that are not looked into.
NOTES = {"supersedes": '{"version": 1, "dimensions": 8}', "canaries": "ü" * 100}
TENANTS = ("acme", "Büro 2", "empty")


@contextmanager
def adapter(make: Callable[..., Any], options: Any, **more: Any) -> Iterator[Any]:
    opened = make(options, **more)
    try:
        yield opened
    finally:
        finished(opened.close)


def qdrant(folder: Path) -> Any:
    return adapter(open_qdrant, QdrantOptions(path=folder), blocking=True)


def embedded(folder: Path) -> Any:
    return adapter(open_embedded, EmbeddedOptions(path=folder))


def ask(opened: Adapter, request: Any) -> Any:
    return finished(getattr(opened, request.method), request)


def values(folder: Path, use: str) -> dict[str, Any]:
    """A configuration whose backend has the plugin's name, as it is without a configuration."""
    usual = {"fields": {"lang": "keyword"}, "chunking": {"size": 20}, "dimensions": 32}
    return {
        "backends": {use: {"use": use, "path": str(folder)}},
        "embedders": {"words": {"use": "recording"}},
        "collections": {"docs": {**usual, "funnel": [8]}, "shared": {**usual, "namespaces": True}},
    }


def digests(folder: Path) -> dict[str, str]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def record_of(name: str, generation: int, *, namespaces: bool = False, funnel: tuple[int, ...] = ()) -> dict[str, Any]:
    """What nestvec keeps on a collection."""
    with connect({**values(Path("/unused"), "memory"), "backends": {"memory": {"use": "memory"}}}, RUNTIME) as nv:
        spec = nv["shared" if namespaces else "docs"].spec
        return replace(spec, name=name, funnel=funnel).record(generation)


def rows(count: int, size: int, seed: int) -> Any:
    drawn = np.random.default_rng(seed).normal(size=(count, size)).astype(np.float32)
    return drawn / np.linalg.norm(drawn, axis=1, keepdims=True)


def identity(number: int) -> str:
    return f"00000000-0000-4000-8000-{number:012d}"


def record(number: int) -> Record:
    metadata = {"lang": "dé", "years": [1, 2], "deep": {"a": [1.0, 2, None, True, {"b": "ü\u2028"}]}, "n": number}
    return Record(identity(number), f"doc/{number}", f"text {number}" if number % 3 else None, metadata, {"chunk": 0})


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`docs` in two generations with several vectors; `shared`, of tenants and, in part, of nobody; `bare`, empty."""
    folder = tmp_path_factory.mktemp("made")
    with qdrant(folder) as there:
        vectors = {prefix_name(2): 2, DENSE: 4}
        for number in (1, 2):
            told = record_of("docs", number, funnel=(2,))
            ask(there, CreateExtended(f"docs_{number}", vectors, Metric.COSINE, FIELDS, told))
            given = {prefix_name(2): rows(5, 2, number), DENSE: rows(5, 4, number)}
            ask(there, Write(f"docs_{number}", [record(10 * number + i) for i in range(5)], given))
        for name, text in NOTES.items():
            ask(there, WriteNote("docs_2", name, text))
        ask(there, WriteNote("docs_2", MIGRATION, MigrationNote("x", GenerationPlace("qdrant", "docs_1")).to_text()))
        moved = WriteFence(FenceState.MOVED, to=GenerationPlace("mine", "docs_2"))
        ask(there, WriteNote("docs_1", GATE, moved.to_text()))
        ask(there, SetAlias("docs", "docs_2"))
        told = record_of("shared", 1, namespaces=True)
        ask(there, CreateExtended("shared_1", {DENSE: 4}, Metric.DOT, FIELDS, told, tenants=True))
        for place, (tenant, count) in enumerate({"acme": 7, "Büro 2": 2}.items()):
            records = [record(100 * (place + 1) + i) for i in range(count)]
            ask(there.of_tenant(tenant), Write("shared_1", records, {DENSE: 3 * rows(count, 4, place)}))
        ask(there, Write("shared_1", [record(300 + i) for i in range(4)], {DENSE: rows(4, 4, 9)}))
        ask(there, SetAlias("shared", "shared_1"))
        ask(there, CreateExtended("bare_1", {DENSE: 3}, Metric.EUCLIDEAN, {}, record_of("bare", 1)))
    return folder


@pytest.fixture
def old(made: Path, tmp_path: Path) -> Path:
    """A copy of it for one test."""
    return Path(shutil.copytree(made, tmp_path / "old"))


def convert(old: Path, new: Path, **more: Any) -> Any:
    return convert_store(old, new, runtime=RUNTIME, **more)


def all_of(opened: Any, physical: str, tenant: str | None) -> Any:
    """Every record by id with its vectors' bytes; of a tenant, or of all."""
    seen = opened if tenant is None else opened.of_tenant(tenant)
    batch = ask(seen, Scroll(physical, limit=1000, vectors=True))
    return {
        each.id: (each, {name: matrix[row].tobytes() for name, matrix in batch.vectors.items()})
        for row, each in enumerate(batch.records)
    }


# ------------------------------------------------------------------ whole


@pytest.mark.parametrize("page", [1, 3, 2048])
def test_everything_is_there(old: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, page: int) -> None:
    monkeypatch.setattr(converting, "_RECORDS", page)
    before, new = digests(old), tmp_path / "deep" / "new"
    report = convert(old, new)
    assert digests(old) == before
    assert (report.source, report.target, report.path) == ("qdrant", "embedded", str(new))
    assert {each.physical: (each.name, each.records, each.tenants) for each in report.collections} == {
        "bare_1": ("bare", 0, 0),
        "docs_1": ("docs", 5, 0),
        "docs_2": ("docs", 5, 0),
        "shared_1": ("shared", 13, 2),
    }
    assert (report.records, report.left_out, report.replaced, report.renamed) == (23, (), None, True)
    assert sorted(path.name for path in new.parent.iterdir()) == ["new"]
    with qdrant(old) as one, embedded(new) as two:
        for physical in ("docs_1", "docs_2", "shared_1", "bare_1"):
            was, now = (ask(each, Describe(physical)) for each in (one, two))
            assert (now.vectors, now.metric, now.record) == (was.vectors, was.metric, was.record)
            for tenant in (None, *TENANTS) if physical == "shared_1" else (None,):
                assert all_of(two, physical, tenant) == all_of(one, physical, tenant)
        assert ask(two, Describe("docs_1")).fields == record_fields("docs_1", two)
        assert [len(all_of(two, "shared_1", tenant)) for tenant in (None, *TENANTS)] == [13, 7, 2, 0]
        for alias in ("docs", "shared", "bare"):
            assert ask(two, ResolveAlias(alias)) == ask(one, ResolveAlias(alias))
        assert ask(two, ResolveAlias("docs")) == "docs_2"
        for name, text in NOTES.items():
            assert ask(two, ReadNote("docs_2", name)) == text


def record_fields(physical: str, opened: Any) -> dict[str, Field]:
    declared = ask(opened, Describe(physical)).record["fields"]
    return {name: Field.parse(kind) for name, kind in declared.items()}


def test_notes_name_the_new_backend_where_they_named_the_old_one(old: Path, tmp_path: Path) -> None:
    convert(old, tmp_path / "new")
    with embedded(tmp_path / "new") as there:
        note = MigrationNote.from_text(ask(there, ReadNote("docs_2", MIGRATION)), "docs_2")
        fence = WriteFence.from_text(ask(there, ReadNote("docs_1", GATE)), "docs_1")
    assert note == MigrationNote("x", GenerationPlace("embedded", "docs_1"))
    assert fence.to == GenerationPlace("mine", "docs_2")  # a block's own name stays


def test_a_converted_store_is_used_as_the_old_one_was(tmp_path: Path) -> None:
    documents = [Document(f"d{i}", f"word{i} and more words of it {i}", {"lang": "de", "n": i}) for i in range(12)]
    with connect(values(tmp_path / "old", "qdrant"), RUNTIME) as nv:
        nv.apply()
        nv["docs"].upsert(documents)
        nv["shared"].namespace("acme").upsert(documents[:3])
        nv.shrink("docs", 16)
    with connect(values(tmp_path / "old", "qdrant"), RUNTIME) as nv:  # it scales vectors whenever it reads its folder
        assert nv["docs"].get("d3") == documents[3]  # its configuration says 32 dimensions still
        matrix = nv["docs"].matrix()
        found = [hit.document_id for hit in nv["docs"].search("word7")]
    convert(tmp_path / "old", tmp_path / "new")
    with connect(values(tmp_path / "new", "embedded"), RUNTIME) as nv:
        assert [change.action for change in nv.plan()] == ["none", "none"]
        assert nv["docs"].get_many([each.id for each in documents]) == documents
        converted = nv["docs"].matrix()
        order = [converted.ids.index(each) for each in matrix.ids]
        assert converted.vectors[order].tobytes() == matrix.vectors.tobytes()
        assert [hit.document_id for hit in nv["docs"].search("word7")] == found
        assert nv["docs"].count(F.lang == "de") == 12
        assert nv["docs"].upsert(documents).embedded == 0
        assert nv["shared"].tenants() == ["acme"]
        assert nv["shared"].namespace("acme").get("d2") == documents[2]
        nv["docs"].delete(["d1"])
        back = nv.rollback("docs")
        assert (back.switched, back.deleted) == (True, 1)
        assert nv["docs"].matrix().vectors.shape[1] == 32


def test_a_store_that_this_process_has_open_is_shared(tmp_path: Path) -> None:
    with connect(values(tmp_path / "old", "qdrant"), RUNTIME) as nv:
        nv.apply()
        nv["docs"].upsert(Document("a", "one"))
        assert convert(tmp_path / "old", tmp_path / "new").records == 1
        assert nv["docs"].count() == 1


def test_and_back(old: Path, tmp_path: Path) -> None:
    """Any backend with embedded stores may be either side; what one rounds is compared with some tolerance."""
    convert(old, tmp_path / "new")
    report = convert(tmp_path / "new", tmp_path / "again", to="qdrant")
    assert (report.source, report.target, report.records) == ("embedded", "qdrant", 23)
    with qdrant(old) as one, qdrant(tmp_path / "again") as two:
        for tenant in (None, *TENANTS):
            assert all_of(two, "shared_1", tenant) == all_of(one, "shared_1", tenant)


def test_progress_is_heard_of_both_stages(old: Path, tmp_path: Path) -> None:
    heard: list[ConversionProgress] = []
    convert(old, tmp_path / "new", progress=heard.append)
    for stage in ConversionStage:
        done = [each.done for each in heard if each.stage is stage]
        assert done == sorted(done)
        assert (done[-1], {each.total for each in heard}) == (23, {23})
    assert {each.collection for each in heard} == {"docs_1", "docs_2", "shared_1"}


def test_ten_times_the_data_takes_no_ten_times_the_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(converting, "_RECORDS", 25)
    peaks = []
    for count in (100, 1000):
        folder = tmp_path / f"of-{count}"
        with embedded(folder) as there:
            ask(there, CreateExtended("bare_1", {DENSE: 64}, Metric.DOT, {}, record_of("bare", 1)))
            ask(there, Write("bare_1", [record(i) for i in range(count)], {DENSE: rows(count, 64, 1)}))
        tracemalloc.start()
        try:
            convert(folder, tmp_path / f"new-{count}", to="sqlite")
            peaks.append(tracemalloc.get_traced_memory()[1])
        finally:
            tracemalloc.stop()
    assert peaks[1] < 2.5 * peaks[0]


# ------------------------------------------------------------------ what other programs made


@pytest.fixture
def mixed(old: Path) -> Path:
    """With collections that are not nestvec's: a plain one, one that is adopted, one of a metric that is not known."""
    from qdrant_client import QdrantClient, models

    client = QdrantClient(path=str(old))
    client.create_collection("theirs", models.VectorParams(size=3, distance=models.Distance.COSINE))
    client.upsert("theirs", [models.PointStruct(id=1, vector=[1, 0, 0], payload={"page_content": "x"})])
    client.create_collection("far", models.VectorParams(size=3, distance=models.Distance.MANHATTAN))
    client.create_collection("adopted", models.VectorParams(size=3, distance=models.Distance.DOT))
    client.close()
    with qdrant(old) as there:
        told = {**record_of("adopted", 1), "foreign": ForeignLayout("adopted").to_dict()}
        calls = there.client.on_behalf_of(None)
        finished(lambda: calls.update_collection(collection_name="adopted", metadata={"nestvec": told}))
        assert ask(there, Describe("adopted")).record is not None
    return old


def test_what_other_programs_made_is_refused_by_name(mixed: Path, tmp_path: Path) -> None:
    with pytest.raises(CollectionConflict, match=r"'adopted', 'far', 'theirs'.*--leave-foreign.*Nothing was converted"):
        convert(mixed, tmp_path / "new")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["old"]


def test_what_other_programs_made_is_left_out_if_that_is_said(mixed: Path, tmp_path: Path) -> None:
    before = digests(mixed)
    report = convert(mixed, tmp_path / "new", leave_foreign=True)
    assert (report.left_out, report.records) == (("adopted", "far", "theirs"), 23)
    assert digests(mixed) == before


# ------------------------------------------------------------------ interruptions


def steps(old: Path, new: Path) -> int:
    heard: list[ConversionProgress] = []
    convert(old, new, progress=heard.append)
    return len(heard)


def test_an_interruption_at_any_step_leaves_nothing(old: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(converting, "_RECORDS", 12)
    before, new, there = digests(old), tmp_path / "new", tmp_path / "new.converting"
    for step in range(steps(old, tmp_path / "first")):
        left = step

        def stop(_: ConversionProgress) -> None:
            nonlocal left
            assert there.is_dir()
            assert not new.exists()
            if left == 0:
                raise KeyboardInterrupt
            left -= 1

        with pytest.raises(KeyboardInterrupt):
            convert(old, new, progress=stop)
        assert sorted(path.name for path in tmp_path.iterdir()) == ["first", "old"]
    assert digests(old) == before
    assert convert(old, new).replaced is None


@pytest.mark.parametrize("method", ["create", "set_alias", "write_note", "list_collections", "close"])
def test_a_failure_of_the_new_store_leaves_nothing(
    old: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    def fail(*_: Any) -> None:
        raise BackendRefused("no")

    with monkeypatch.context() as patched:
        patched.setattr(EmbeddedAdapter, method, fail)
        with pytest.raises(BackendRefused, match="no"):
            convert(old, tmp_path / "new")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["old"]


_KILLED = """
import os, signal, sys
from nestvec import convert_store

convert_store(sys.argv[1], sys.argv[2], progress=lambda _: os.kill(os.getpid(), signal.SIGKILL))
"""


def test_what_a_kill_leaves_is_named_and_replaced_by_the_next_run(old: Path, tmp_path: Path) -> None:
    before, new, left = digests(old), tmp_path / "new", tmp_path / "new.converting"
    command = [sys.executable, "-c", _KILLED, str(old), str(new)]
    assert subprocess.run(command, check=False).returncode == -signal.SIGKILL
    assert left.is_dir()
    assert not new.exists()
    assert digests(old) == before
    report = convert(old, new)
    assert (report.replaced, report.records) == (str(left), 23)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["new", "old"]
    with embedded(new) as there:
        assert len(all_of(there, "shared_1", None)) == 13


def test_two_conversions_to_one_place_do_not_meet(old: Path, tmp_path: Path) -> None:
    """The second one hears of the first, and removes nothing of it."""
    other: list[Exception] = []

    def again(_: ConversionProgress) -> None:
        with pytest.raises(BackendLocked, match="another process is converting") as told:
            convert(old, tmp_path / "new")
        other.append(told.value)

    assert convert(old, tmp_path / "new", progress=again).records == 23
    assert other


def test_something_else_of_that_name_is_left_alone(old: Path, tmp_path: Path) -> None:
    mine = tmp_path / "new.converting" / "store.txt"
    mine.parent.mkdir()
    mine.write_text("mine")
    with pytest.raises(InvalidInput, match="is in the way"):
        convert(old, tmp_path / "new")
    assert mine.read_text() == "mine"


# ------------------------------------------------------------------ what is not the same


def altered(change: Callable[[Write], Write]) -> Callable[..., None]:
    write = EmbeddedAdapter.write

    def changed(self: EmbeddedAdapter, request: Write) -> None:
        write(self, change(request))

    return changed


def first(**changes: Any) -> Callable[[Write], Write]:
    return lambda request: replace(request, records=[replace(request.records[0], **changes), *request.records[1:]])


def fewer(request: Write) -> Write:
    return replace(request, records=request.records[1:], vectors={k: v[1:] for k, v in request.vectors.items()})


def last_bit(request: Write) -> Write:
    vectors = {name: matrix.copy() for name, matrix in request.vectors.items()}
    vectors[DENSE].view(np.uint32)[-1, -1] ^= 1
    return replace(request, vectors=vectors)


def one_more(self: EmbeddedAdapter, request: Write, write: Any = EmbeddedAdapter.write) -> None:
    """What is one tenant's is another one's, too."""
    write(self, request)
    if self.tenant == "Büro 2":
        write(self.of_tenant("acme"), request)


LIES: dict[str, tuple[str, Callable[..., Any], str]] = {
    "a record": ("write", altered(fewer), "the number of records"),
    "whose records they are": ("write", one_more, "the number of records of 'acme'"),
    "an id": ("write", altered(first(id=identity(999))), "is missing"),
    "a document": ("write", altered(first(document_id="other")), "has another text"),
    "a text": ("write", altered(first(text="other")), "has another text"),
    "metadata": ("write", altered(first(metadata={"lang": "dé"})), "other metadata"),
    "a number's type": ("write", altered(first(metadata={**record(10).metadata, "n": 10.0})), "other metadata"),
    "a system field": ("write", altered(first(system={"chunk": 1})), "other system fields"),
    "the last bit of a vector": ("write", altered(last_bit), "has other vectors"),
    "an alias": ("set_alias", lambda *_: None, "where alias 'docs' leads"),
    "a note": ("write_note", lambda *_: None, "note 'gate'"),
    "tenants": ("of_tenant", lambda self, _: self, "the tenants of collection 'shared_1'"),
}


@pytest.mark.parametrize("lie", LIES)
def test_a_store_that_is_not_the_same_does_not_count(
    old: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lie: str
) -> None:
    method, instead, told = LIES[lie]
    monkeypatch.setattr(EmbeddedAdapter, method, instead)
    with pytest.raises(CollectionError, match=told):
        convert(old, tmp_path / "new")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["old"]


def test_a_collection_that_is_missing_or_described_otherwise(
    old: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    create = EmbeddedAdapter.create_extended

    def otherwise(self: EmbeddedAdapter, request: Any) -> None:
        create(self, replace(request, record={**request.record, "more": 1}))

    with monkeypatch.context() as patched:
        patched.setattr(EmbeddedAdapter, "create_extended", otherwise)
        with pytest.raises(CollectionError, match="the description of collection 'shared_1'"):
            convert(old, tmp_path / "new")
    monkeypatch.setattr(EmbeddedAdapter, "list_collections", lambda *_: ["docs_1"])
    with pytest.raises(CollectionError, match="the names of its collections"):
        convert(old, tmp_path / "new")


def test_what_is_written_meanwhile_is_noticed(tmp_path: Path) -> None:
    with connect(values(tmp_path / "old", "qdrant"), RUNTIME) as nv:
        nv.apply()
        nv["docs"].upsert([Document("a", "one"), Document("b", "two")])

        def write(state: ConversionProgress) -> None:
            if state.stage is ConversionStage.CONVERTING:
                nv["docs"].upsert(Document("a", "another one"))

        with pytest.raises(CollectionError, match="while nobody writes"):
            convert(tmp_path / "old", tmp_path / "new", progress=write)


# ------------------------------------------------------------------ refusals


def missing(folder: Path) -> dict[str, Any]:
    return {"old": folder / "nothing"}


def filled(folder: Path) -> dict[str, Any]:
    (folder / "new").mkdir()
    (folder / "new" / "mine").touch()
    return {}


def a_file(folder: Path) -> dict[str, Any]:
    (folder / "new").touch()
    return {}


def of_nothing(folder: Path) -> dict[str, Any]:
    (folder / "other").mkdir()
    return {"old": folder / "other"}


def linked(folder: Path) -> dict[str, Any]:
    (folder / "new").symlink_to(folder / "old")
    return {}


def of_both(folder: Path) -> dict[str, Any]:
    (folder / "old" / "LOCK").touch()
    (folder / "old" / "collections").mkdir()
    return {}


REFUSALS: dict[str, tuple[Callable[[Path], dict[str, Any]], type[Exception], str]] = {
    "a missing folder": (missing, InvalidInput, "there is no store"),
    "the same folder": (lambda it: {"new": it / "old"}, InvalidInput, "is the old store itself"),
    "the same folder behind a link": (linked, InvalidInput, "is the old store itself"),
    "a folder within": (lambda it: {"new": it / "old" / "new"}, InvalidInput, "lies within"),
    "a folder that is not empty": (filled, InvalidInput, r"is not empty \('mine'\)"),
    "a file": (a_file, InvalidInput, "no folder"),
    "a folder of nothing known": (of_nothing, InvalidInput, "is no store of a backend .*embedded, milvus, qdrant"),
    "a folder of two": (of_both, InvalidInput, "could be a store of milvus, qdrant; say with --from"),
    "the same backend": (lambda _: {"to": "qdrant"}, InvalidInput, "nothing to convert"),
    "not the one that is named": (lambda _: {"source": "milvus"}, InvalidInput, "no store of backend 'milvus'"),
    "a backend that is not there": (lambda _: {"to": "qdrantt"}, PluginNotFound, "did you mean 'qdrant'"),
    "a backend without stores": (lambda _: {"to": "pinecone"}, InvalidInput, "has no embedded stores"),
    "a backend of one vector": (lambda _: {"to": "sqlite"}, Unsupported, "'docs_1' has 2 vectors for each record"),
}


@pytest.mark.parametrize("case", REFUSALS)
def test_refusals(old: Path, tmp_path: Path, case: str) -> None:
    prepare, kind, told = REFUSALS[case]
    arguments = {"old": old, "new": tmp_path / "new", **prepare(tmp_path)}
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(kind, match=told):
        convert(**arguments)
    assert sorted(tmp_path.rglob("*")) == before


LACKS: dict[str, tuple[dict[str, Any], str]] = {
    "dimensions": ({"max_dimensions": 3}, "'docs_1' has vectors of 4 dimensions, and 3 are the most"),
    "vectors": ({"max_vectors": 1}, "has 2 vectors for each record, and 1 are the most"),
    "funnels": ({"powers": frozenset()}, "is searched coarse to fine"),
    "metrics": ({"metrics": frozenset({Metric.COSINE})}, "'shared_1' compares vectors by dot"),
    "names": ({"names": replace(CAPABILITIES.names, underscore=False)}, "'docs_1' would have another name there"),
    "long names": ({"names": replace(CAPABILITIES.names, max_length=9)}, "'docs_1' would have another name there"),
    "storage": ({"storage": frozenset({"float16"})}, "keeps vectors as float32"),
}


@pytest.mark.parametrize("lack", LACKS)
def test_a_target_that_cannot_keep_something_is_refused_first(
    old: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lack: str
) -> None:
    changes, told = LACKS[lack]
    monkeypatch.setattr("nestvec_embedded.plugin.CAPABILITIES", replace(CAPABILITIES, **changes))
    with pytest.raises(Unsupported, match=f"backend 'embedded' cannot keep.*{told}.*nothing was converted"):
        convert(old, tmp_path / "new")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["old"]


def test_an_empty_folder_may_be_there(old: Path, tmp_path: Path) -> None:
    (tmp_path / "new").mkdir()
    convert(old, tmp_path / "new")
    with pytest.raises(InvalidInput, match="is not empty"):
        convert(old, tmp_path / "new")


def test_a_folder_in_use_is_refused(old: Path, tmp_path: Path) -> None:
    with (old / ".lock").open("r+") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        with pytest.raises(BackendLocked, match="in use by another client"):
            convert(old, tmp_path / "new")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["old"]


def describe_nothing(old: Path) -> None:
    (old / "meta.json").write_text("{")


def lose_the_points(old: Path) -> None:
    (path,) = (old / "collection" / "shared_1").glob("*.sqlite")
    path.write_bytes(b"no database" * 1000)


def forge_a_record(old: Path) -> None:
    meta = json.loads((old / "meta.json").read_text())
    meta["collections"]["docs_1"]["metadata"]["nestvec"] = {"nestvec": 99}
    (old / "meta.json").write_text(json.dumps(meta))


@pytest.mark.parametrize("damage", [describe_nothing, lose_the_points, forge_a_record])
def test_a_damaged_store_is_refused(old: Path, tmp_path: Path, damage: Callable[[Path], None]) -> None:
    damage(old)
    with pytest.raises((BackendError, NestvecError)):
        convert(old, tmp_path / "new")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["old"]


def test_damage_that_is_found_while_reading_leaves_nothing(old: Path, tmp_path: Path) -> None:
    convert(old, tmp_path / "new")
    (first_file, *_) = sorted((tmp_path / "new").glob("vectors-2-*"))
    content = bytearray(first_file.read_bytes())
    content[0] ^= 1
    first_file.write_bytes(content)
    with pytest.raises(BackendRefused, match="vectors are not what was written"):
        convert(tmp_path / "new", tmp_path / "again", to="qdrant")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["new", "old"]


def test_every_note_of_the_core_is_brought_over() -> None:
    """The contract lists no notes: a new one has to be named."""
    source = Path(converting.__file__).parents[1]
    defined = [
        path for path in source.rglob("*.py") if "\nNOTE = " in path.read_text() or "\nNOTE: " in path.read_text()
    ]
    assert len(defined) == len(converting.NOTES) == 4
