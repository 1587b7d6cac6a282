"""Options that cannot be, and errors that say what to do."""

from __future__ import annotations

import errno
import json
import sqlite3
import subprocess
import sys
import threading

import grpc
import httpx
import pytest
from pydantic import ValidationError
from qdrant_client.common.client_exceptions import ResourceExhaustedResponse
from qdrant_client.http.exceptions import ResponseHandlingException, UnexpectedResponse

from nestvec.capabilities import Power
from nestvec.contract import BackendPlugin, Count, ErrorContext, ListCollections
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
from nestvec_qdrant.errors import translate
from nestvec_qdrant.options import MEMORY, QdrantCollectionOptions, QdrantOptions
from nestvec_qdrant.plugin import nestvec_backend
from nestvec_qdrant.schema import check_version

KEY = {"env": "QDRANT_TEST_KEY"}
REMOTE = ErrorContext("Qdrant at http://x:6333", embedded=False, method="write", collection="docs_1")
LOCAL = ErrorContext("the Qdrant folder /data", embedded=True, method="write", collection="docs_1")


# ------------------------------------------------------------------------------------------------ options


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ({}, "exactly one of url"),
        ({"url": "http://localhost:6333", "path": ":memory:"}, "exactly one of url"),
        ({"url": "localhost:6333"}, "http://localhost:6333"),
        ({"url": "ftp://localhost"}, "expected an address"),
        ({"url": "http://localhost:port"}, "ort"),
        ({"url": "http://localhost:6333/?a=b"}, "must end after its path"),
        ({"url": "http://user:hunter2@localhost"}, "use api_key"),
        ({"url": "http://qdrant.example.com", "api_key": KEY}, "unencrypted to qdrant.example.com"),
        ({"url": "http://localhost", "api_key": "literal-key"}, "cannot stand here literally"),
        ({"url": "http://localhost", "ca": "ca.pem"}, "ca is for https"),
        ({"url": "http://localhost", "timeout": 0}, "timeout"),
        ({"url": "http://localhost", "retries": 3}, "retries"),
        ({"path": "./x", "api_key": KEY}, "only for a server"),
        ({"path": ":memory:", "grpc": True}, "only for a server"),
    ],
)
def test_wrong_options_are_refused(values, told):
    with pytest.raises(ValidationError, match=told) as caught:
        QdrantOptions.model_validate(values)
    problems = " ".join(problem["msg"] for problem in caught.value.errors())
    assert "hunter2" not in problems
    assert "literal-key" not in problems


@pytest.mark.parametrize(
    "values",
    [
        {"url": "https://qdrant.example.com", "api_key": KEY},
        {"url": "http://qdrant.example.com", "api_key": KEY, "allow_http_key": True},
        *(
            {"url": f"http://{host}:6333", "api_key": KEY}
            for host in ("localhost", "127.0.0.2", "[::1]", "a.localhost")
        ),
    ],
)
def test_keys_travel_encrypted_or_not_far(values):
    assert QdrantOptions.model_validate(values).api_key is not None


def test_paths_count_from_the_configurations_folder(tmp_path):
    options = QdrantOptions.model_validate({"path": "store"}, context={"folder": tmp_path})
    assert options.path == tmp_path / "store"
    assert QdrantOptions.model_validate({"path": MEMORY}, context={"folder": tmp_path}).path == MEMORY


def test_collection_options_are_checked():
    with pytest.raises(ValidationError):
        QdrantCollectionOptions.model_validate({"shard_number": 0})
    with pytest.raises(ValidationError):
        QdrantCollectionOptions.model_validate({"hnsw": 8})


# ------------------------------------------------------------------------------------------------- plugin


def test_the_plugin_is_found_and_light():
    code = (
        "import sys\n"
        "from nestvec.registry import Registry\n"
        "plugin = Registry().backend('qdrant')\n"
        "plugin.capabilities(plugin.options.model_validate(plugin.embedded(None)))\n"
        "heavy = {'qdrant_client', 'numpy', 'grpc', 'httpx'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_what_the_plugin_offers(tmp_path):
    plugin = Registry().backend("qdrant")
    assert isinstance(plugin, BackendPlugin)
    assert not plugin.default
    assert plugin.made is not None
    assert not plugin.made(tmp_path)
    assert plugin.options.model_validate(plugin.embedded(tmp_path)).path == tmp_path
    local = plugin.capabilities(plugin.options.model_validate(plugin.embedded(None)))
    server = plugin.capabilities(plugin.options.model_validate({"url": "http://localhost:6333"}))
    assert (local.embedded, local.exact, set(Power) - local.powers) == (True, True, {Power.STORAGE, Power.SETTLING})
    assert (server.embedded, server.exact, set(Power) - server.powers) == (False, False, {Power.SETTLING})
    assert local.why_not["storage"].startswith("an embedded store has no quantisation")
    assert server.max_write_bytes < 32 * 2**20


async def test_only_servers_have_an_asynchronous_form():
    plugin = nestvec_backend()
    assert plugin.open_async(plugin.options.model_validate({"path": ":memory:"})) is None
    adapter = plugin.open_async(plugin.options.model_validate({"url": "http://localhost:6333"}))
    await adapter.close()
    await adapter.close()


# -------------------------------------------------------------------------------------------------- keys


def test_a_missing_key_is_named_and_a_present_one_is_not(monkeypatch, kit):
    options = kit.options(url="http://localhost:6333", api_key=KEY)
    monkeypatch.delenv("QDRANT_TEST_KEY", raising=False)
    with pytest.raises(SecretError, match="QDRANT_TEST_KEY"):
        kit.open(options)
    for wrong in ("schlüssel-123", "two\nlines"):
        monkeypatch.setenv("QDRANT_TEST_KEY", wrong)
        with pytest.raises(SecretError) as caught:
            kit.open(options)
        assert wrong not in str(caught.value)
        assert caught.value.__cause__ is None
    monkeypatch.setenv("QDRANT_TEST_KEY", "s3cret-key")
    adapter = kit.open(options)
    assert "s3cret-key" not in repr(adapter) + repr(options)
    adapter.close()


def test_an_unreadable_authority_is_a_mistake_of_the_configuration(tmp_path, kit):
    (tmp_path / "ca.pem").write_text("no certificate")
    for name in ("ca.pem", "missing.pem"):
        with pytest.raises(ConfigError, match=name):
            kit.open(kit.options(url="https://localhost:6333", ca=str(tmp_path / name)))


# ----------------------------------------------------------------------------------------------- mapping


def response(status, error="it went wrong", content=None):
    body = json.dumps({"status": {"error": error}}).encode() if content is None else content
    return UnexpectedResponse(status, "Reason", body, httpx.Headers())


class Rpc(grpc.RpcError):
    def __init__(self, code, details="it went wrong"):
        self._code, self._details = code, details

    def code(self):
        return self._code

    def details(self):
        return self._details


def wrapped(error):
    return ResponseHandlingException(error)


CODE = grpc.StatusCode
GONE = "Not found: Collection `docs_1` doesn't exist!"


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (response(400), BackendRefused),
        (response(401, content=b"Invalid API key"), BackendDenied),
        (response(403), BackendDenied),
        (response(404, GONE), CollectionNotFound),
        (response(404, content=b"<html>nginx</html>"), BackendRefused),
        (response(409), BackendRefused),
        (response(413), BackendRefused),
        (response(422), BackendRefused),
        (response(301, content=b""), BackendRefused),
        (response(429), BackendUnavailable),
        (response(500), BackendUnavailable),
        (response(503), BackendUnavailable),
        (response(507), BackendFull),
        (response(500, "Service internal error: No space left on device (os error 28)"), BackendFull),
        (ResourceExhaustedResponse("slow down", 3), BackendUnavailable),
        (wrapped(httpx.ConnectError("refused")), BackendUnavailable),
        (wrapped(httpx.ReadTimeout("slow")), BackendUnavailable),
        (wrapped(httpx.RemoteProtocolError("cut")), BackendUnavailable),
        (json.JSONDecodeError("Expecting value", "<html>", 0), BackendUnavailable),
        (Rpc(CODE.UNAUTHENTICATED), BackendDenied),
        (Rpc(CODE.PERMISSION_DENIED), BackendDenied),
        (Rpc(CODE.NOT_FOUND, GONE), CollectionNotFound),
        (Rpc(CODE.INVALID_ARGUMENT), BackendRefused),
        (Rpc(CODE.ALREADY_EXISTS), BackendRefused),
        (Rpc(CODE.UNAVAILABLE), BackendUnavailable),
        (Rpc(CODE.DEADLINE_EXCEEDED), BackendUnavailable),
        (Rpc(CODE.RESOURCE_EXHAUSTED), BackendUnavailable),
        (Rpc(CODE.INTERNAL, "No space left on device"), BackendFull),
    ],
    ids=lambda value: repr(value)[:60],
)
def test_errors_of_servers(error, kind):
    mapped = translate(error, REMOTE)
    assert type(mapped) is kind
    assert mapped.retryable is (kind is BackendUnavailable)
    assert mapped.__cause__ is error
    for part in ("http://x:6333", "write", "docs_1"):
        assert part in str(mapped)


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (ValueError("Collection docs_1 not found"), CollectionNotFound),
        (ValueError("Wrong input: Vector dimension error: expected dim: 3, got 2"), BackendRefused),
        (RuntimeError("Storage folder /data is already accessed by another instance"), BackendLocked),
        (OSError(errno.ENOSPC, "No space left on device"), BackendFull),
        (OSError(errno.EROFS, "Read-only file system"), BackendFull),
        (sqlite3.OperationalError("database or disk is full"), BackendFull),
        (sqlite3.OperationalError("attempt to write a readonly database"), BackendFull),
        (sqlite3.OperationalError("disk I/O error"), BackendRefused),
        (KeyError("docs_1"), BackendRefused),
    ],
    ids=repr,
)
def test_errors_of_the_engine_in_this_process(error, kind):
    mapped = translate(error, LOCAL)
    assert type(mapped) is kind
    assert mapped.__cause__ is error
    assert "/data" in str(mapped)


def test_long_answers_are_cut():
    assert len(str(translate(response(400, "x" * 10_000), REMOTE))) < 600


def test_nobody_there(kit):
    adapter = kit.open(kit.options(url="http://127.0.0.1:9"))
    with pytest.raises(BackendUnavailable, match=r"http://127\.0\.0\.1:9 cannot be reached"):
        adapter.count(Count("docs_1"))
    adapter.close()


def test_nobody_there_by_grpc(kit):
    adapter = kit.open(kit.options(url="http://127.0.0.1:9", grpc=True, grpc_port=9, timeout=2))
    with pytest.raises(BackendUnavailable, match="gRPC on port 9"):
        adapter.list_collections(ListCollections())
    adapter.close()


def test_the_client_asks_for_no_version_by_itself(monkeypatch, kit):
    started = []
    monkeypatch.setattr("qdrant_client.qdrant_remote.Thread", lambda **more: started.append(more) or threading.Thread())
    kit.open(kit.options(url="http://127.0.0.1:9")).close()
    assert started == []


def test_old_servers_are_refused():
    with pytest.raises(Unsupported, match=r"1\.16"):
        check_version("1.15.3", "Qdrant at x")
    for version in ("1.16.0", "2.0.0", "1.20.1-dev", "dev"):
        check_version(version, "Qdrant at x")
