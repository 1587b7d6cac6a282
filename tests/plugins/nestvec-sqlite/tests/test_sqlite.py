"""What is SQLite's own: the file, its lock, its errors, and filters as SQL."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from nestvec_sqlite.adapter import SqliteAdapter
from nestvec_sqlite.plugin import SqliteOptions, nestvec_backend
from nestvec_sqlite.store import Store

from nestvec._client import connect
from nestvec.contract import (
    Count,
    Create,
    Describe,
    Drop,
    Fetch,
    ListCollections,
    ResolveAlias,
    Scroll,
    SetAlias,
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
from nestvec_testing.registry import test_registry
from nestvec_testing.strategies import filters_for, metadata_for

FIELDS = {
    **{kind.value: Field(kind) for kind in FieldType},
    **{f"{kind.value}_list": Field(kind, many=True) for kind in FieldType},
    'odd "name" \\ $.x': Field(FieldType.KEYWORD),
}
CREATE = Create("notes_1", {DENSE: 2}, Metric.COSINE, FIELDS, {"nestvec": 1})


@pytest.fixture
def adapter() -> Iterator[SqliteAdapter]:
    opened = SqliteAdapter(Path(":memory:"))
    opened.create(CREATE)
    yield opened
    opened.close()


def write_of(*metadata: Any, ids: str = "abcdefgh", dimensions: int = 2, tenant: str | None = None) -> Write:
    records = [Record(key, f"doc-{key}", key, values, {"chunk": 0}) for key, values in zip(ids, metadata, strict=False)]
    return Write("notes_1", records, {DENSE: np.ones((len(records), dimensions), np.float32)}, tenant=tenant)


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
    with pytest.raises(TypeError):
        adapter.write(write_of({"keyword": "fine"}, {"keyword": object()}))
    assert adapter.count(Count("notes_1")) == 0


def test_a_replaced_record_keeps_its_place_in_the_scroll(adapter: SqliteAdapter) -> None:
    adapter.write(write_of({}, {}, {}))
    first = adapter.scroll(Scroll("notes_1", limit=1))
    adapter.write(write_of({"keyword": "new"}, ids="a"))
    rest = adapter.scroll(Scroll("notes_1", limit=5, cursor=first.cursor))
    assert [record.id for record in (*first.records, *rest.records)] == ["a", "b", "c"]


def test_a_tenant_can_not_replace_the_record_of_another(adapter: SqliteAdapter) -> None:
    adapter.write(write_of({"keyword": "theirs"}, tenant="acme"))
    adapter.write(write_of({"keyword": "ours"}, tenant="zenith"))
    (record,) = adapter.fetch(Fetch("notes_1", ["a"], tenant="acme")).records
    assert record.metadata == {"keyword": "theirs"}


def test_wrong_vectors_are_refused_with_the_collection_s_own(adapter: SqliteAdapter) -> None:
    with pytest.raises(BackendRefused, match=r"'notes_1' takes vectors \{'dense': 2\}, not \{'dense': 3\}"):
        adapter.write(write_of({}, dimensions=3))


def test_creating_something_else_under_a_taken_name_is_refused(adapter: SqliteAdapter) -> None:
    adapter.create(CREATE)
    with pytest.raises(BackendRefused, match="exists and differs"):
        adapter.create(Create("notes_1", {DENSE: 3}, Metric.COSINE, FIELDS, {"nestvec": 1}))


def test_dropping_takes_records_and_pointers_along(adapter: SqliteAdapter) -> None:
    adapter.write(write_of({}))
    adapter.set_alias(SetAlias("notes", "notes_1"))
    adapter.drop(Drop("notes_1"))
    assert adapter.resolve_alias(ResolveAlias("notes")) is None
    with pytest.raises(CollectionNotFound, match="nestvec apply"):
        adapter.count(Count("notes_1"))
    adapter.create(CREATE)
    assert adapter.count(Count("notes_1")) == 0


def test_a_pointer_can_not_hide_a_collection(adapter: SqliteAdapter) -> None:
    with pytest.raises(BackendRefused, match="hide"):
        adapter.set_alias(SetAlias("notes_1", "notes_1"))


# ---------------------------------------------------------------- the file


def test_a_file_keeps_everything_over_a_reopen(tmp_path: Path) -> None:
    first = SqliteAdapter(tmp_path / "notes.db")
    first.create(CREATE)
    first.write(write_of({"integer": 2**62, "float": 0.1 + 0.2, "keyword": "Straße"}))
    first.close()
    first.close()
    again = SqliteAdapter(tmp_path / "notes.db")
    assert again.describe(Describe("notes_1")).record == {"nestvec": 1}  # type: ignore[union-attr]
    batch = again.fetch(Fetch("notes_1", ["a"], vectors=True))
    assert batch.records[0].metadata == {"integer": 2**62, "float": 0.1 + 0.2, "keyword": "Straße"}
    assert batch.vectors is not None
    np.testing.assert_array_equal(batch.vectors[DENSE], np.ones((1, 2), np.float32))
    again.close()


def test_an_adapter_that_was_closed_says_so(adapter: SqliteAdapter) -> None:
    adapter.close()
    with pytest.raises(BackendRefused, match="closed"):
        adapter.list_collections(ListCollections())


def test_a_file_that_another_process_holds_is_locked(tmp_path: Path) -> None:
    path = tmp_path / "notes.db"
    hold = (
        "import sys, pathlib; from nestvec_sqlite.store import Store; "
        "store = Store(pathlib.Path(sys.argv[1])); print('held', flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", hold, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(BackendLocked, match=r"notes\.db.*close the other process") as caught:
            Store(path)
        assert isinstance(caught.value.__cause__, sqlite3.OperationalError)
        holder.communicate()
    Store(path).close()


def test_a_file_that_is_no_database_is_refused_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "letter.txt"
    path.write_text("Dear all, this is no database. " * 50)
    with pytest.raises(BackendRefused, match="not a database"):
        Store(path)
    assert path.read_text().startswith("Dear all")


def test_a_damaged_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "notes.db"
    store = SqliteAdapter(path)
    store.create(CREATE)
    store.close()
    whole = path.read_bytes()
    path.write_bytes(whole[:1024] + b"\xff" * (len(whole) - 1024))
    with pytest.raises(BackendRefused, match="restore the file"):
        SqliteAdapter(path).describe(Describe("notes_1"))


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(BackendRefused, match="check that the folder exists"):
        Store(tmp_path / "absent" / "notes.db")


@pytest.mark.parametrize(("pragma", "kind"), [("query_only = ON", BackendFull), ("max_page_count = 1", BackendFull)])
def test_a_file_that_can_not_be_written_is_full(tmp_path: Path, pragma: str, kind: type[BackendError]) -> None:
    opened = SqliteAdapter(tmp_path / "notes.db")
    opened.create(CREATE)
    with opened._store.transaction() as db:
        db.execute(f"PRAGMA {pragma}")
    with pytest.raises(kind):
        opened.write(write_of(*[{"keyword": "x" * 9_000}] * 8))
    opened.close()


# ---------------------------------------------------------------- the options


def test_memory_is_no_file_and_relative_paths_count_from_the_folder() -> None:
    folder = {"folder": Path("/etc/service")}
    assert SqliteOptions.model_validate({"path": ":memory:"}, context=folder).path == Path(":memory:")
    assert SqliteOptions.model_validate({"path": "notes.db"}, context=folder).path == Path("/etc/service/notes.db")


@pytest.mark.parametrize("place", [None, Path("store.db")])
def test_the_embedded_options_are_valid(place: Path | None) -> None:
    plugin = nestvec_backend()
    assert plugin.embedded is not None
    opened = plugin.options.model_validate(plugin.embedded(place))
    assert opened == SqliteOptions(path=place or Path(":memory:"))


@pytest.mark.parametrize(("settings", "why"), [({"funnel": [8]}, "save nothing"), ({"storage": "int8"}, "bit for bit")])
def test_what_it_does_not_have_is_refused_with_the_reason(settings: dict[str, Any], why: str) -> None:
    values = {
        "backends": {"store": {"use": "sqlite", "path": ":memory:"}},
        "embedders": {"model": {"use": "recording"}},
        "collections": {"docs": {"dimensions": 32, **settings}},
    }
    with pytest.raises(ConfigError, match=why):
        connect(values, Runtime(test_registry()))
