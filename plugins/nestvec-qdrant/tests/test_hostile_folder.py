"""A folder that somebody else prepared: nothing of it is run, and the message names folder and collection."""

from __future__ import annotations

import datetime
import decimal
import json
import os
import pickle
import sqlite3
import uuid
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from qdrant_client import QdrantClient, models

from nestvec.contract import Count
from nestvec.errors import BackendRefused
from nestvec_qdrant import points
from nestvec_qdrant.adapter import open_adapter
from nestvec_qdrant.options import QdrantOptions, made
from nestvec_qdrant.points import UnexpectedPoint


@pytest.fixture
def folder(tmp_path, kit):
    """A folder with a collection `docs_1` of one record."""
    path = tmp_path / "store"
    adapter = kit.open(kit.options(path=str(path)))
    kit.fill(adapter, [kit.record(1)])
    adapter.close()
    return path


@pytest.fixture
def bomb(tmp_path):
    """What makes a file when it is unpickled, and that file."""
    mark = tmp_path / "CODE-RAN"
    return SimpleNamespace(mark=mark, value=Calling(os.system, f"touch {mark}"))


class Calling:
    def __init__(self, function, *arguments):
        self.call = (function, arguments)

    def __reduce__(self):
        return self.call


def plant(folder, value, name="docs_1"):
    path = folder / "collection" / name
    path.mkdir(exist_ok=True)
    with closing(sqlite3.connect(path / "storage.sqlite")) as connection, connection:
        connection.execute("CREATE TABLE IF NOT EXISTS points (id TEXT PRIMARY KEY, point BLOB)")
        connection.execute("DELETE FROM points")
        connection.execute("INSERT INTO points VALUES ('x', ?)", (value,))


def refused(kit, folder, *words):
    with pytest.raises(BackendRefused) as caught:
        kit.open(kit.options(path=str(folder)))
    for word in (str(folder), *words):
        assert word in str(caught.value)
    assert "\n" not in str(caught.value)


def point(vector=None, payload=None, identity=1):
    return models.PointStruct.model_construct(id=identity, vector=vector or {"dense": [1.0]}, payload=payload or {})


# ---------------------------------------------------------------- points


def test_a_point_that_is_a_program(kit, folder, bomb):
    plant(folder, pickle.dumps(bomb.value))
    refused(kit, folder, "'docs_1'", "posix.system", "nothing of it was run")
    assert not bomb.mark.exists()


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_a_program_inside_of_a_point(protocol, kit, folder, bomb):
    for hidden in (
        point(payload={"a": [bomb.value]}),
        point(vector={"dense": bomb.value}),
        point(identity=bomb.value),
        point(payload={"a": np.array([bomb.value], object)}),
    ):
        plant(folder, pickle.dumps(hidden, protocol))
        refused(kit, folder, "'docs_1'")
        assert not bomb.mark.exists()


@pytest.mark.parametrize(
    "evil",
    [
        b"cbuiltins\neval\n(V1\ntR.",
        b"(V1\nios\nsystem\n.",
        b"\x80\x04\x8c\x02os\x8c\x06system\x93\x8c\x01x\x85R.",
        b"cnumpy.core.multiarray\nscalar\n(V1\nV2\ntR.",
        b"cdatetime\nsys\n.",
        b"cqdrant_client.http.models.models\nBaseModel\n.",
        b"cqdrant_client.http.models.models\nPointStruct\n}V__eq__\nV1\nsb.",  # changes the class itself
        b"cqdrant_client.http.models.models\nPointStruct\n(N}V__eq__\nV1\nstb.",
        b"cuuid\nSafeUUID\n}V_make\nI1\nsb.",
        b"cuuid\nSafeUUID\n(N}V_make\nI1\nstb.",
        b"cdatetime\ndatetime\n(N}V__eq__\nI1\nstb.",
        b"cuuid\nUUID\n(N}V__eq__\nI1\nstb.",
        b"\x80\x04\x82\x01.",  # a registered extension
        b"Pid\n.",  # a persistent id
        b"",
        b".",
        b"\x80\xff.",
        b"no pickle",
        pickle.dumps(5),
        pickle.dumps(point())[:-20],
        pickle.dumps(point(payload="no table")),
        pickle.dumps(models.PointStruct.model_construct(id=1)),
        pickle.dumps(models.PointStruct.model_construct(id=None, vector=[], payload={})),
        "text",
        None,
        7,
    ],
)
def test_bytes_that_are_no_point(evil):
    before = dict(vars(models.PointStruct)), dict(vars(uuid.UUID)), dict(vars(uuid.SafeUUID))
    with pytest.raises(UnexpectedPoint):
        points.load(evil)
    assert (dict(vars(models.PointStruct)), dict(vars(uuid.UUID)), dict(vars(uuid.SafeUUID))) == before


@pytest.mark.parametrize("protocol", [4, 5])
@pytest.mark.parametrize(
    "value",
    [
        np.arange(6, dtype=np.float32).reshape(2, 3),
        np.asfortranarray(np.arange(6, dtype=">i2").reshape(2, 3)),
        np.array([True, False]),
        np.float64(1.5),
        np.int8(-3),
        datetime.datetime(2024, 2, 29, 12, tzinfo=datetime.UTC),
        datetime.date(2024, 2, 29),
        datetime.timedelta(1),
        decimal.Decimal("1.50"),
        uuid.UUID(int=7),
    ],
    ids=repr,
)
def test_values_that_programs_leave_in_payloads(value, protocol):
    """Protocols 4 and 5 are those that versions of Python write by default for which there is a qdrant-client."""
    found = points.load(pickle.dumps(point(payload={"a": value}), protocol)).payload["a"]
    np.testing.assert_array_equal(np.asarray(found), value)
    if isinstance(value, np.ndarray | np.generic):
        assert found.dtype.newbyteorder("=") == value.dtype.newbyteorder("=")


@pytest.mark.parametrize(
    "value",
    [
        np.array([None], object),
        np.zeros(2, [("a", "f4")]),
        np.zeros(2, "V8"),
        np.zeros(2, "U3"),
        np.zeros(2, "M8[s]"),
        np.zeros(2, np.longdouble),
    ],
    ids=lambda value: str(value.dtype),
)
def test_arrays_of_something_other_than_numbers(value):
    with pytest.raises(UnexpectedPoint):
        points.load(pickle.dumps(point(payload={"a": value})))


def test_an_array_that_says_it_is_longer_than_it_is():
    dtype = Calling(np.dtype, "f4")
    longer = Calling(_reconstruct_with, np.ndarray, (0,), b"b")
    longer.call = (*np.zeros(1).__reduce__()[:2], (1, (1000,), np.dtype("f4"), False, b"1234"))
    with pytest.raises(UnexpectedPoint, match="cannot be read"):
        points.load(pickle.dumps(point(payload={"a": longer})))
    assert points.load(pickle.dumps(point(payload={"a": dtype}))).payload


def _reconstruct_with(*_):
    raise AssertionError("never called")


def test_a_point_stored_twice_is_the_newest(kit, folder):
    """As earlier versions of the client could leave it."""
    identity = kit.identity(1)
    with closing(sqlite3.connect(folder / "collection" / "docs_1" / "storage.sqlite")) as connection, connection:
        ((stored,),) = connection.execute("SELECT point FROM points")
        newer = pickle.loads(stored)
        newer.id, newer.payload = identity.upper(), {**newer.payload, "text": "newer"}
        connection.execute("INSERT INTO points VALUES ('another key', ?)", (pickle.dumps(newer),))
    adapter = kit.open(kit.options(path=str(folder)))
    assert adapter.count(Count("docs_1")) == 1
    adapter.close()
    with closing(QdrantClient(path=str(folder))) as client:
        (found,) = client.retrieve("docs_1", [identity])
        assert found.payload["text"] == "newer"


# ---------------------------------------------------------------- what else is in the folder


@pytest.mark.parametrize("sql", ["CREATE VIEW v AS SELECT 1", "CREATE TABLE more (a)", "CREATE TRIGGER t {trigger}"])
def test_a_database_with_more_than_points(sql, kit, folder):
    with closing(sqlite3.connect(folder / "collection" / "docs_1" / "storage.sqlite")) as connection, connection:
        connection.execute(sql.format(trigger="AFTER DELETE ON points BEGIN DELETE FROM points; END"))
    refused(kit, folder, "'docs_1'", "in its database")


def test_points_of_a_collection_that_is_not_listed(kit, folder, bomb):
    """qdrant-client would load them when a collection of that name is made."""
    plant(folder, pickle.dumps(bomb.value), "docs_2")
    adapter = kit.open(kit.options(path=str(folder)))
    with pytest.raises(BackendRefused, match=r"docs_2.* does not list") as caught:
        adapter.create(kit.create("docs_2"))
    assert str(folder) in str(caught.value)
    assert not bomb.mark.exists()
    with closing(sqlite3.connect(folder / "collection" / "docs_2" / "storage.sqlite")) as connection, connection:
        connection.execute("DELETE FROM points")
    adapter.create(kit.create("docs_2"))
    adapter.close()


def good(folder):
    return json.loads((folder / "meta.json").read_text())


ODD = {
    "no table": lambda meta: [],
    "no collections": lambda meta: meta.pop("collections") and meta,
    "collections are a list": lambda meta: {**meta, "collections": []},
    "a collection is a list": lambda meta: {**meta, "collections": {"docs_1": []}},
    "aliases are a list": lambda meta: {**meta, "aliases": []},
    "an alias of no text": lambda meta: {**meta, "aliases": {"a": 5}},
    "an alias of nothing": lambda meta: {**meta, "aliases": {"a": "docs_9"}},
    "an index of nothing": lambda meta: {**meta, "text_indexes": {"docs_9": {}}},
    "an odd index": lambda meta: {**meta, "text_indexes": {"docs_1": {"a": 5}}},
    "an odd vector": lambda meta: {**meta, "collections": {"docs_1": {"vectors": {"dense": {"size": -1}}}}},
    **{
        f"a name {name!r}": lambda meta, name=name: {**meta, "collections": {name: meta["collections"]["docs_1"]}}
        for name in ("../../elsewhere", "/tmp/elsewhere", "a/../../../b", "", ".", "..", "a//b", "a\\..\\b", "\0")
    },
}


@pytest.mark.parametrize("odd", ODD)
def test_odd_descriptions(odd, kit, folder):
    (folder / "meta.json").write_text(json.dumps(ODD[odd](good(folder))))
    outside = sorted(path for path in folder.parent.rglob("*") if folder not in path.parents)
    refused(kit, folder)
    assert sorted(path for path in folder.parent.rglob("*") if folder not in path.parents) == outside
    assert not Path("/tmp/elsewhere").exists()


@pytest.mark.parametrize("content", ["", "{", "[" * 100_000, '{"collections": {}, "aliases": {}', "\xff"])
def test_descriptions_that_are_no_json(content, kit, folder):
    (folder / "meta.json").write_bytes(content.encode("latin-1"))
    refused(kit, folder, "meta.json", "damaged")


@pytest.mark.parametrize("name", ["meta.json", ".lock", "collection/docs_1/storage.sqlite", "collection/docs_1/more"])
def test_what_leads_elsewhere(name, kit, folder, tmp_path):
    path, elsewhere = folder / name, tmp_path / "elsewhere"
    if path.exists():
        path.rename(elsewhere)
    else:
        elsewhere.write_text("precious")
    before = elsewhere.read_bytes()
    path.symlink_to(elsewhere)
    refused(kit, folder, path.name, "is a link")
    path.unlink()
    os.mkfifo(path)
    refused(kit, folder, path.name, "is a pipe")
    assert elsewhere.read_bytes() == before


def test_a_journal_that_names_another_file(kit, folder):
    mark = bytes.fromhex("d9d505f920a163d7")
    (folder / "collection" / "docs_1" / "storage.sqlite-journal").write_bytes(mark + b"/home/x" + mark)
    refused(kit, folder, "would have SQLite delete")


def test_a_refused_folder_is_let_go_of(kit, folder):
    meta = good(folder)
    (folder / "meta.json").write_text(json.dumps({**meta, "collections": {**meta["collections"], "b": {"vectors": 7}}}))
    refused(kit, folder, "'b'")
    (folder / "meta.json").write_text(json.dumps(meta))
    adapter = kit.open(kit.options(path=str(folder)))
    assert adapter.count(Count("docs_1")) == 1
    adapter.close()


def test_a_folder_of_the_embedded_backend(tmp_path):
    (tmp_path / "store.sqlite3").touch()
    with pytest.raises(BackendRefused, match='use = "embedded"'):
        open_adapter(QdrantOptions(path=tmp_path), blocking=True)
    assert [path.name for path in tmp_path.iterdir()] == ["store.sqlite3"]
    assert not made(tmp_path)


def test_whose_folder_it_is(folder):
    assert made(folder)
    assert not made(folder.parent)
