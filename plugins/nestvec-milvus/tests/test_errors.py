"""Options that cannot be, and errors that say what to do."""

from __future__ import annotations

import base64
import errno
import logging
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import grpc
import pytest
from pydantic import ValidationError

from nestvec.contract import (
    BackendPlugin,
    Count,
    Describe,
    Drop,
    ErrorContext,
    ListCollections,
    Query,
    ResolveAlias,
    SetAlias,
    Write,
)
from nestvec.errors import (
    BackendDenied,
    BackendFull,
    BackendLocked,
    BackendRefused,
    BackendUnavailable,
    CollectionNotFound,
    ConfigError,
    SecretError,
    Unsupported,
)
from nestvec.registry import Registry
from nestvec.types import Metric
from nestvec_milvus.adapter import open_adapter
from nestvec_milvus.client import message
from nestvec_milvus.errors import translate
from nestvec_milvus.options import MilvusCollectionOptions, MilvusOptions
from nestvec_testing.blocking import blocking

TOKEN = {"env": "MILVUS_TEST_TOKEN"}
LOCAL = ErrorContext("the Milvus Lite store /data", embedded=True, method="write", collection="docs_1")


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ({}, "exactly one of uri"),
        ({"uri": "http://localhost", "path": "x.db"}, "exactly one of uri"),
        ({"uri": "localhost:19530"}, "http://localhost:19530"),
        ({"uri": "http://user:hunter2@localhost"}, "must not contain credentials"),
        ({"uri": "http://localhost/db"}, "database = "),
        ({"uri": "http://localhost", "token": "literal-key"}, "cannot stand here literally"),
        ({"uri": "http://localhost", "user": "root"}, "belong together"),
        ({"uri": "http://localhost", "user": "root", "password": TOKEN, "token": TOKEN}, "either token"),
        ({"uri": "http://milvus.example.com", "token": TOKEN}, "unencrypted to milvus.example.com"),
        ({"uri": "http://localhost", "ca": "ca.pem"}, "only for https"),
        ({"uri": "https://localhost", "client_cert": "c.pem"}, "belong together"),
        ({"uri": "http://localhost", "timeout": 0}, "timeout"),
        ({"path": "x.db", "token": TOKEN}, "only for a server"),
        ({"uri": "http://localhost", "retries": 3}, "retries"),
    ],
)
def test_wrong_options_are_refused(values, told):
    with pytest.raises(ValidationError, match=told) as caught:
        MilvusOptions.model_validate(values)
    problems = " ".join(problem["msg"] for problem in caught.value.errors())
    assert "hunter2" not in problems
    assert "literal-key" not in problems


@pytest.mark.parametrize(
    "values",
    [{"nlist": 8}, {"index": "FLAT", "hnsw_m": 8}, {"index": "HNSW", "nprobe": 8}, {"shards": 0}, {"index": "X"}],
)
def test_wrong_collection_options_are_refused(values):
    with pytest.raises(ValidationError):
        MilvusCollectionOptions.model_validate(values)


@pytest.mark.parametrize(
    ("uri", "target"),
    [
        ("http://localhost", "localhost:19530"),
        ("https://in01.api.zillizcloud.com", "in01.api.zillizcloud.com:443"),
        ("http://[::1]:5", "[::1]:5"),
    ],
)
def test_addresses(uri, target):
    options = MilvusOptions(uri=uri)
    assert options.target == target
    assert options.cloud is ("zilliz" in uri)


def test_the_plugin_is_found_and_light():
    code = (
        "import sys\n"
        "from nestvec.registry import Registry\n"
        "plugin = Registry().backend('milvus')\n"
        "plugin.capabilities(plugin.options.model_validate(plugin.embedded(None)))\n"
        "heavy = {'pymilvus', 'milvus_lite', 'numpy', 'grpc', 'pandas'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_what_the_plugin_offers(tmp_path):
    plugin = Registry().backend("milvus")
    assert isinstance(plugin, BackendPlugin)
    assert plugin.options.model_validate(plugin.embedded(tmp_path / "x.db")).path == tmp_path / "x.db"
    lite = plugin.options.model_validate(plugin.embedded(None))
    assert plugin.open_async(lite) is None
    capabilities = plugin.capabilities(lite)
    assert (capabilities.embedded, capabilities.exact, capabilities.names.hyphen) == (True, True, False)


# ---------------------------------------------------------------------------------------------- a failing server

TRY = (
    (grpc.StatusCode.UNAVAILABLE, "", BackendUnavailable),
    (grpc.StatusCode.DEADLINE_EXCEEDED, "", BackendUnavailable),
    (grpc.StatusCode.UNAUTHENTICATED, "auth check failure", BackendDenied),
    (grpc.StatusCode.PERMISSION_DENIED, "", BackendDenied),
    (grpc.StatusCode.UNIMPLEMENTED, "", BackendRefused),
    (grpc.StatusCode.RESOURCE_EXHAUSTED, "received message larger than max", BackendRefused),
    (grpc.StatusCode.INTERNAL, "boom", BackendRefused),
)


@pytest.mark.parametrize(("code", "details", "kind"), TRY, ids=lambda each: getattr(each, "name", None))
def test_a_failing_call_is_one_call_and_one_clear_error(client, failing, code, details, kind):
    failing.code = (code, details or "out of order")
    with pytest.raises(kind) as caught:
        client.list_collections(ListCollections())
    assert failing.calls == ["ShowCollections"], "nothing below the drivers repeats a call"
    assert failing.uri in str(caught.value)
    assert "s3cret" not in str(caught.value)
    assert isinstance(caught.value.__cause__, grpc.RpcError)


STATUS = (
    ({"code": 100, "reason": "collection not found[collection=docs_1]"}, CollectionNotFound),
    ({"error_code": 4, "reason": "can't find collection"}, CollectionNotFound),
    ({"code": 8, "error_code": 49, "reason": "rate limit exceeded"}, BackendUnavailable),
    ({"code": 2, "error_code": 2, "reason": "service unavailable"}, BackendUnavailable),
    ({"code": 7, "error_code": 1, "reason": "disk limit exceeded"}, BackendFull),
    ({"code": 1401, "error_code": 1, "reason": "privilege not permitted"}, BackendDenied),
    ({"code": 1100, "error_code": 6, "reason": "invalid parameter"}, BackendRefused),
)


@pytest.mark.parametrize(("status", "kind"), STATUS)
def test_a_servers_refusal_is_mapped_and_not_repeated(client, failing, status, kind, caplog):
    failing.status = status
    with pytest.raises(kind) as caught:
        client.list_collections(ListCollections())
    assert failing.calls == ["ShowCollections"]
    assert status["reason"] in str(caught.value)
    assert type(caught.value.__cause__).__name__ == "MilvusException"
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]


def test_credentials_and_database_travel_with_each_call(client, failing):
    client.list_collections(ListCollections())
    (headers,) = failing.headers
    assert base64.b64decode(headers["authorization"]) == b"s3cret"
    assert headers["dbname"] == "db"
    assert "s3cret" not in repr(client)


def test_user_and_password(failing, monkeypatch):
    monkeypatch.setenv("MILVUS_TEST_TOKEN", "pässword")
    options = MilvusOptions.model_validate({"uri": failing.uri, "user": "root", "password": TOKEN})
    adapter = blocking(open_adapter(options, blocking=True))
    adapter.list_collections(ListCollections())
    assert base64.b64decode(failing.headers[0]["authorization"]).decode() == "root:pässword"
    adapter.close()


def test_a_missing_secret_is_named(monkeypatch):
    monkeypatch.delenv("MILVUS_TEST_TOKEN", raising=False)
    with pytest.raises(SecretError, match="MILVUS_TEST_TOKEN"):
        blocking(open_adapter(MilvusOptions.model_validate({"uri": "http://localhost", "token": TOKEN}), blocking=True))


# ------------------------------------------------------------------------------------------------ Milvus Lite


def test_a_second_process_finds_the_store_locked(lite, tmp_path):
    code = (
        "import sys\n"
        "from nestvec_milvus.adapter import open_adapter\n"
        "from nestvec_milvus.options import MilvusOptions\n"
        "from nestvec.errors import BackendLocked\n"
        "try:\n"
        "    open_adapter(MilvusOptions(path=sys.argv[1]), blocking=True)\n"
        "except BackendLocked as error:\n"
        "    print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path / "store.db")], capture_output=True, text=True)
    assert "store.db" in done.stdout
    assert "Traceback" not in done.stderr


def test_closing_unlocks_and_is_final(kit, lite, tmp_path):
    with pytest.raises(BackendLocked):
        blocking(open_adapter(kit.options(path=str(tmp_path / "store.db")), blocking=True))
    lite.close()
    lite.close()
    with pytest.raises(BackendRefused, match="was closed"):
        lite.list_collections(ListCollections())
    blocking(open_adapter(kit.options(path=str(tmp_path / "store.db")), blocking=True)).close()


def test_threads_that_ask_for_one_collection_come_one_after_another(kit, lite):
    """An operation of several calls is not come between: the engine would refuse what another thread has just done."""

    def make(number):
        lite.create(kit.create())
        lite.set_alias(SetAlias("docs", "docs_1"))
        lite.write(Write("docs_1", [kit.record(f"r{number}")], kit.vectors(1)))
        return lite.count(Count("docs_1"))

    with ThreadPoolExecutor(8) as pool:
        counts = list(pool.map(make, range(24)))
    assert max(counts) == lite.count(Count("docs_1")) == 24
    assert lite.resolve_alias(ResolveAlias("docs")) == "docs_1"
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: lite.drop(Drop("docs_1")), range(8)))
    assert lite.list_collections(ListCollections()) == []


def test_paths_that_cannot_be(kit, tmp_path):
    (tmp_path / "file.db").write_text("x")
    with pytest.raises(ConfigError, match="is a file"):
        blocking(open_adapter(kit.options(path=str(tmp_path / "file.db")), blocking=True))
    with pytest.raises(ConfigError, match="no folder"):
        blocking(open_adapter(kit.options(path=str(tmp_path / "absent" / "x.db")), blocking=True))


def test_a_store_in_memory_leaves_nothing_behind(kit):
    adapter = blocking(open_adapter(kit.options(path=":memory:"), blocking=True))
    adapter.create(kit.create())
    scratch = adapter.client.raw._scratch
    assert scratch.is_dir()
    adapter.close()
    assert not scratch.exists()


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EROFS, errno.EACCES])
def test_a_full_or_read_only_disk(code):
    error = OSError(code, "no")
    mapped = translate(error, LOCAL)
    assert isinstance(mapped, BackendFull)
    assert mapped.__cause__ is error


def test_an_engine_that_fails_to_write_says_that_the_disk_is_full(kit, lite, monkeypatch, capfd):
    lite.create(kit.create())
    from milvus_lite.engine.collection import Collection

    def full(*_, **__):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Collection, "upsert", full)
    with pytest.raises(BackendFull, match="docs_1"):
        lite.write(Write("docs_1", [kit.record("a")], kit.vectors(1)))
    assert "Traceback" not in capfd.readouterr().err


def test_a_collection_that_is_not_loaded_is_loaded(kit, lite):
    lite.create(kit.create())
    lite.write(Write("docs_1", [kit.record("a")], kit.vectors(1)))
    lite.client.raw.send("ReleaseCollection", message("ReleaseCollection", collection_name="docs_1"))
    assert lite.count(Count("docs_1")) == 1


def test_what_does_not_fit_names_document_and_field(kit, lite):
    lite.create(kit.create())
    long = "x" * 70_000
    for record, told in (
        (kit.record("a", "ü" * 40_000, "doc-7"), "the text of a chunk takes 80000 bytes"),
        (kit.record("a", None, "doc-7", keyword=long), "keyword"),
        (kit.record("a", None, "doc-7", loose=long), "'loose'"),
    ):
        with pytest.raises(BackendRefused, match="doc-7") as caught:
            lite.write(Write("docs_1", [record], kit.vectors(1)))
        assert told in str(caught.value)
    assert lite.count(Count("docs_1")) == 0


def test_windows_larger_than_milvus_has_are_unsupported(kit, lite):
    lite.create(kit.create())
    with pytest.raises(Unsupported, match="16384"):
        lite.query(Query("docs_1", kit.vectors(1), Metric.COSINE, 16_000, 500))


def test_settings_that_milvus_lite_would_ignore_are_refused(kit, lite):
    with pytest.raises(Unsupported, match="shards"):
        lite.create(kit.create(options=MilvusCollectionOptions(shards=2)))
    assert lite.describe(Describe("docs_1")) is None
