"""What is SQLite's own: the file, its lock, its errors, and filters as SQL."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from nestvec_sqlite.adapter import SqliteAdapter
from nestvec_sqlite.client import SqliteClient
from nestvec_sqlite.options import SqliteOptions
from nestvec_sqlite.plugin import nestvec_backend

from nestvec._client import connect
from nestvec.contract import (
    CollectionInfo,
    Count,
    Create,
    Describe,
    Drop,
    Fetch,
    ListCollections,
    ListTenants,
    Query,
    ReadNote,
    ResolveAlias,
    Scroll,
    SetAlias,
    Update,
    Write,
)
from nestvec.errors import (
    BackendError,
    BackendFull,
    BackendLocked,
    BackendRefused,
    CollectionNotFound,
    ConfigError,
)
from nestvec.filters import F, Filter, matches, resolve
from nestvec.runtime import Runtime
from nestvec.types import DENSE, Field, FieldType, Metric, Record
from nestvec_testing.minimal import MinimalAdapter
from nestvec_testing.registry import test_registry
from nestvec_testing.strategies import filters_for, metadata_for

FIELDS = {
    **{kind.value: Field(kind) for kind in FieldType},
    **{f"{kind.value}_list": Field(kind, many=True) for kind in FieldType},
    'odd "name" \\ $.x': Field(FieldType.KEYWORD),
}
#: A file as 0.1.0 made it, with one of everything.
FIRST_VERSION = r"""
CREATE TABLE collections (physical TEXT PRIMARY KEY, about TEXT NOT NULL);
CREATE TABLE pointers (
        name TEXT PRIMARY KEY,
        physical TEXT NOT NULL REFERENCES collections ON DELETE CASCADE);
CREATE TABLE records (
        seq INTEGER PRIMARY KEY,
        physical TEXT NOT NULL REFERENCES collections ON DELETE CASCADE,
        tenant TEXT NOT NULL,
        id TEXT NOT NULL,
        text TEXT,
        metadata TEXT NOT NULL,
        system TEXT NOT NULL,
        vector BLOB NOT NULL,
        UNIQUE (physical, tenant, id));
CREATE TABLE notes (
        physical TEXT NOT NULL REFERENCES collections ON DELETE CASCADE,
        name TEXT NOT NULL,
        text TEXT NOT NULL,
        PRIMARY KEY (physical, name));
INSERT INTO collections VALUES ('notes_1',
    '{"vectors": {"dense": 2}, "metric": "cosine", "fields": {"lang": "keyword"}, "record": {"nestvec": 1}}');
INSERT INTO pointers VALUES ('notes', 'notes_1');
INSERT INTO notes VALUES ('notes_1', 'canaries', 'text');
INSERT INTO records VALUES (1, 'notes_1', 'acme', 'a', NULL, '{"lang": "de\u0001\u0002"}',
    '{"chunk": 0, "document_id": "doc-a"}', x'0000003F00000040')"""
CREATE = Create("notes_1", {DENSE: 2}, Metric.COSINE, FIELDS, {"nestvec": 1})


@pytest.fixture
def adapter() -> Iterator[SqliteAdapter]:
    opened = SqliteAdapter(SqliteClient(Path(":memory:")))
    opened.create(CREATE)
    yield opened
    opened.close()


def write_of(*metadata: Any, ids: str = "abcdefgh", dimensions: int = 2) -> Write:
    records = [Record(key, f"doc-{key}", key, values, {"chunk": 0}) for key, values in zip(ids, metadata, strict=False)]
    return Write("notes_1", records, {DENSE: np.ones((len(records), dimensions), np.float32)})


def ids_of(adapter: SqliteAdapter, where: Filter | None) -> list[str]:
    return [record.id for record in adapter.scroll(Scroll("notes_1", resolve(where, FIELDS))).records]


# ---------------------------------------------------------------- filters


@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.lists(metadata_for(FIELDS), min_size=1, max_size=6), filters_for(FIELDS))
def test_filters_mean_what_the_reference_says(adapter: SqliteAdapter, stored: Any, where: Filter) -> None:
    adapter.drop(Drop("notes_1"))
    adapter.create(CREATE)
    adapter.write(write_of(*stored))
    resolved = resolve(where, FIELDS)
    expected = [key for key, values in zip("abcdefgh", stored, strict=False) if matches(resolved, values)]
    assert ids_of(adapter, where) == expected
    assert adapter.count(Count("notes_1", resolved)) == len(expected)


@pytest.mark.parametrize("stray", [None, [], "[]", "text", 3, 3.5, True, ["x"], [3], "2024-01-01"])
@pytest.mark.parametrize("name", [*FIELDS])
def test_values_of_another_type_exist_but_satisfy_no_comparison(adapter: SqliteAdapter, name: str, stray: Any) -> None:
    adapter.write(write_of({name: stray}))
    values = {"keyword": "text", "integer": 3, "float": 3.5, "boolean": True, "datetime": "2024-01-01"}
    kind = FIELDS[name]
    equal = F[name].contains(values[kind.type]) if kind.many else F[name] == values[kind.type]
    for where in (equal, ~equal, F[name].exists(), ~F[name].exists()):
        assert ids_of(adapter, where) == (["a"] if matches(resolve(where, FIELDS), {name: stray}) else [])


@pytest.mark.parametrize("value", ["' OR 1=1 --", "?", ":x", "');DROP TABLE records;--"])
def test_values_and_names_never_become_syntax(adapter: SqliteAdapter, value: str) -> None:
    odd = 'odd "name" \\ $.x'
    adapter.write(write_of({odd: value, "keyword": value}, {odd: "other"}))
    assert ids_of(adapter, (F[odd] == value) & (F.keyword == value)) == ["a"]
    assert ids_of(adapter, ~(F[odd] == value)) == ["b"]


ODD = st.text('\x00\x01\x02\\"u0a/', max_size=6)


@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(ODD.filter(lambda name: name != ""), ODD, ODD)
def test_text_of_any_characters_is_kept_and_found(adapter: SqliteAdapter, name: str, value: str, other: str) -> None:
    adapter.write(write_of({name: value}))
    (record,) = adapter.fetch(Fetch("notes_1", ["a"])).records
    assert record.metadata == {name: value}
    where = resolve(F[name] == other, {name: Field(FieldType.KEYWORD)})
    assert adapter.count(Count("notes_1", where)) == int(value == other)
    assert adapter.count(Count("notes_1", resolve(F[name].exists(), {name: Field(FieldType.KEYWORD)}))) == 1


def test_a_value_for_every_id_although_sqlite_limits_parameters(adapter: SqliteAdapter) -> None:
    adapter.write(write_of({"keyword": "de"}))
    ids = ["a", *(f"missing-{i}" for i in range(300_000))]
    assert [record.id for record in adapter.fetch(Fetch("notes_1", ids)).records] == ["a"]


# ---------------------------------------------------------------- writes


def test_a_write_that_fails_half_way_leaves_nothing(adapter: SqliteAdapter) -> None:
    fine = write_of({"keyword": "fine"}, {"keyword": "fine"})
    broken = [fine.records[0], replace(fine.records[1], text=object())]  # type: ignore[arg-type]
    with pytest.raises(BackendRefused, match="not supported"):
        adapter.write(replace(fine, records=broken))
    assert adapter.count(Count("notes_1")) == 0


def test_a_replaced_record_keeps_its_place_in_the_scroll(adapter: SqliteAdapter) -> None:
    adapter.write(write_of({}, {}, {}))
    first = adapter.scroll(Scroll("notes_1", limit=1))
    adapter.write(write_of({"keyword": "new"}, ids="a"))
    rest = adapter.scroll(Scroll("notes_1", limit=5, cursor=first.cursor))
    assert [record.id for record in (*first.records, *rest.records)] == ["a", "b", "c"]


def test_a_tenant_cannot_replace_the_record_of_another(adapter: SqliteAdapter) -> None:
    adapter.of_tenant("acme").write(write_of({"keyword": "theirs"}))
    adapter.of_tenant("zenith").write(write_of({"keyword": "ours"}))
    (record,) = adapter.of_tenant("acme").fetch(Fetch("notes_1", ["a"])).records
    assert record.metadata == {"keyword": "theirs"}
    assert adapter.count(Count("notes_1")) == 2


def test_wrong_vectors_are_refused_with_the_collection_s_own(adapter: SqliteAdapter) -> None:
    with pytest.raises(BackendRefused, match=r"'notes_1' takes vectors \{'dense': 2\}, not \{'dense': 3\}"):
        adapter.write(write_of({}, dimensions=3))


def test_creating_something_else_under_a_taken_name_is_refused(adapter: SqliteAdapter) -> None:
    adapter.create(CREATE)
    with pytest.raises(BackendRefused, match="exists and differs"):
        adapter.create(Create("notes_1", {DENSE: 3}, Metric.COSINE, FIELDS, {"nestvec": 1}))


def test_dropping_takes_records_and_aliases_along(adapter: SqliteAdapter) -> None:
    adapter.write(write_of({}))
    adapter.set_alias(SetAlias("notes", "notes_1"))
    adapter.drop(Drop("notes_1"))
    assert adapter.resolve_alias(ResolveAlias("notes")) is None
    with pytest.raises(CollectionNotFound, match="nestvec apply"):
        adapter.count(Count("notes_1"))
    adapter.create(CREATE)
    assert adapter.count(Count("notes_1")) == 0


def test_an_alias_cannot_hide_a_collection(adapter: SqliteAdapter) -> None:
    with pytest.raises(BackendRefused, match="hide"):
        adapter.set_alias(SetAlias("notes_1", "notes_1"))


# ---------------------------------------------------------------- searches


@pytest.mark.parametrize("metric", [*Metric])
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.data())
def test_searches_answer_what_the_smallest_backend_answers(metric: Metric, data: st.DataObject) -> None:
    numbers = st.integers(-2, 2)  # zeros, and equal scores
    rows = data.draw(st.lists(st.tuples(numbers, numbers), min_size=1, max_size=8))
    question = Query(
        "notes_1",
        {DENSE: np.array(data.draw(st.lists(st.tuples(numbers, numbers), min_size=1, max_size=2)), np.float32)},
        metric,
        data.draw(st.integers(1, 5)),
        data.draw(st.integers(0, 3)),
        data.draw(st.sampled_from([None, -1.5, -0.5, 0.05, 0.75])),  # none of them is a score
        data.draw(st.none() | st.just(resolve(F.integer >= 3, FIELDS))),
    )
    answers = []
    for adapter in (SqliteAdapter(SqliteClient(":memory:")), MinimalAdapter()):
        adapter.create(replace(CREATE, metric=metric))
        written = write_of(*({"integer": i} for i in range(len(rows))))
        adapter.write(replace(written, vectors={DENSE: np.array(rows, np.float32)}))
        answers.append(adapter.query(question))
        adapter.close()
    for ours, wanted in zip(*answers, strict=True):
        assert [hit.score for hit in ours] == pytest.approx([hit.score for hit in wanted], abs=1e-6)
        if metric is not Metric.COSINE:  # rounding may part what is equally alike
            assert [hit.record for hit in ours] == [hit.record for hit in wanted]


# ---------------------------------------------------------------- the file


def test_a_file_keeps_everything_over_a_reopen(tmp_path: Path) -> None:
    first = SqliteAdapter(SqliteClient(tmp_path / "notes.db"))
    first.create(CREATE)
    first.write(write_of({"integer": 2**62, "float": 0.1 + 0.2, "keyword": "Straße"}))
    first.close()
    first.close()
    again = SqliteAdapter(SqliteClient(tmp_path / "notes.db"))
    assert again.describe(Describe("notes_1")).record == {"nestvec": 1}  # type: ignore[union-attr]
    batch = again.fetch(Fetch("notes_1", ["a"], vectors=True))
    assert batch.records[0].metadata == {"integer": 2**62, "float": 0.1 + 0.2, "keyword": "Straße"}
    assert batch.vectors is not None
    np.testing.assert_array_equal(batch.vectors[DENSE], np.ones((1, 2), np.float32))
    again.close()


def test_a_file_of_the_first_version_still_opens(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "notes.db") as db:
        db.executescript(FIRST_VERSION)
    db.close()
    adapter = SqliteAdapter(SqliteClient(tmp_path / "notes.db"))
    info = CollectionInfo("notes_1", {DENSE: 2}, Metric.COSINE, {"nestvec": 1}, {"lang": Field(FieldType.KEYWORD)})
    assert adapter.describe(Describe("notes_1")) == info
    assert adapter.resolve_alias(ResolveAlias("notes")) == "notes_1"
    assert adapter.read_note(ReadNote("notes_1", "canaries")) == "text"
    assert adapter.list_tenants(ListTenants("notes_1")) == ["acme"]
    where = resolve(F.lang == "de\x00", {"lang": Field(FieldType.KEYWORD)})
    batch = adapter.of_tenant("acme").scroll(Scroll("notes_1", where, vectors=True))
    assert batch.records == [Record("a", "doc-a", None, {"lang": "de\x00"}, {"chunk": 0})]
    assert batch.vectors is not None
    np.testing.assert_array_equal(batch.vectors[DENSE], [[0.5, 2.0]])
    adapter.update(Update("notes_1", {}, {"nestvec": 2}))
    adapter.drop(Drop("notes_1"))
    assert adapter.resolve_alias(ResolveAlias("notes")) is None
    adapter.close()


def test_an_adapter_that_was_closed_says_so(adapter: SqliteAdapter) -> None:
    adapter.close()
    with pytest.raises(BackendRefused, match="closed"):
        adapter.list_collections(ListCollections())


def test_a_file_that_another_process_holds_is_locked(tmp_path: Path) -> None:
    path = tmp_path / "notes.db"
    hold = (
        "import sys, pathlib; from nestvec_sqlite.client import SqliteClient; "
        "store = SqliteClient(pathlib.Path(sys.argv[1])); print('held', flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", hold, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(BackendLocked, match=r"notes\.db.*close the other process") as caught:
            SqliteClient(path)
        assert isinstance(caught.value.__cause__, sqlite3.OperationalError)
        holder.communicate()
    SqliteClient(path).close()


def test_a_file_that_is_no_database_is_refused_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "letter.txt"
    path.write_text("Dear all, this is no database. " * 50)
    with pytest.raises(BackendRefused, match="not a database"):
        SqliteClient(path)
    assert path.read_text().startswith("Dear all")


def test_a_damaged_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "notes.db"
    store = SqliteAdapter(SqliteClient(path))
    store.create(CREATE)
    store.close()
    whole = path.read_bytes()
    path.write_bytes(whole[:1024] + b"\xff" * (len(whole) - 1024))
    with pytest.raises(BackendRefused, match="restore the file"):
        SqliteAdapter(SqliteClient(path)).describe(Describe("notes_1"))


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(BackendRefused, match="check that the folder exists"):
        SqliteClient(tmp_path / "absent" / "notes.db")


@pytest.mark.parametrize(("pragma", "kind"), [("query_only = ON", BackendFull), ("max_page_count = 1", BackendFull)])
def test_a_file_that_cannot_be_written_is_full(tmp_path: Path, pragma: str, kind: type[BackendError]) -> None:
    opened = SqliteAdapter(SqliteClient(tmp_path / "notes.db"))
    opened.create(CREATE)
    with opened.client.transaction() as db:
        db.execute(f"PRAGMA {pragma}")
    with pytest.raises(kind):
        opened.write(write_of(*[{"keyword": "x" * 9_000}] * 8))
    opened.close()


# ---------------------------------------------------------------- the options


def test_memory_is_no_file_and_relative_paths_count_from_the_folder() -> None:
    folder = {"folder": Path("/etc/service")}
    assert SqliteOptions.model_validate({"path": ":memory:"}, context=folder).path == ":memory:"
    assert SqliteOptions.model_validate({"path": "notes.db"}, context=folder).path == Path("/etc/service/notes.db")


@pytest.mark.parametrize("place", [None, Path("store.db")])
def test_the_embedded_options_are_valid(place: Path | None) -> None:
    plugin = nestvec_backend()
    assert plugin.embedded is not None
    opened = plugin.options.model_validate(plugin.embedded(place))
    assert opened == SqliteOptions(path=place or ":memory:")


@pytest.mark.parametrize(("settings", "why"), [({"funnel": [8]}, "save nothing"), ({"storage": "int8"}, "bit for bit")])
def test_what_it_does_not_have_is_refused_with_the_reason(settings: dict[str, Any], why: str) -> None:
    values = {
        "backends": {"store": {"use": "sqlite", "path": ":memory:"}},
        "embedders": {"model": {"use": "recording"}},
        "collections": {"docs": {"dimensions": 32, **settings}},
    }
    with pytest.raises(ConfigError, match=why):
        connect(values, Runtime(test_registry()))
