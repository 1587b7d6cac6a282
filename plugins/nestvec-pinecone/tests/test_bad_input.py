"""What goes wrong for people, from the client and the command line: one clear message each, and nothing half-done.

A message names the collection or the address, and says what to do.
"""

from __future__ import annotations

import json
import logging
import math
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from click.testing import CliRunner

from nestvec._cli import main
from nestvec._client import connect
from nestvec.errors import (
    BackendDenied,
    BackendFull,
    BackendRefused,
    BackendUnavailable,
    CollectionConflict,
    ConfigError,
    IngestFailed,
    InvalidName,
)
from nestvec.runtime import RetryPolicy, Runtime
from nestvec.types import Document
from nestvec_pinecone.testing import HttpStatus
from nestvec_testing.registry import test_registry

INDEX_LIMIT = "Request failed. You've reached the max serverless indexes allowed in project docs (5)."
POD_QUOTA = "Increase your quota or upgrade to create more indexes."
STORAGE = "Request failed. You've exceeded the storage quota of your plan."
MONTHLY = "Request failed. You've reached your write unit limit for the current month (2000000)."
RATE = "Too many requests. You've exceeded the limit of 100 upserts per second for namespace 'x'."


class Place:
    """A configuration with one backend `search` and one collection, for both faces of nestvec."""

    def __init__(self, folder, **options):
        self.runtime = Runtime(test_registry(), retry=RetryPolicy(attempts=2, first_wait=0.0, longest_wait=0.0))
        self.path = folder / "nestvec.toml"
        self.options = {"use": "pinecone", "api_key": {"env": "NESTVEC_TEST_PINECONE_KEY"}, **options}
        self.collections = {"docs": {"dimensions": 32}}

    def client(self):
        return connect(self.values(), self.runtime)

    def values(self):
        embedders = {"model": {"use": "recording"}}
        return {"backends": {"search": self.options}, "embedders": embedders, "collections": self.collections}

    def run(self, *arguments):
        """A command; its error, which must be one message."""
        lines = ["[backends.search]", *(f"{name} = {_toml(value)}" for name, value in self.options.items())]
        lines += ["[embedders.model]", 'use = "recording"']
        for name, block in self.collections.items():
            lines += [f"[collections.{name}]", *(f"{key} = {_toml(value)}" for key, value in block.items())]
        self.path.write_text("\n".join(lines), encoding="utf-8")
        done = CliRunner().invoke(main, ["-c", str(self.path), *arguments], obj=self.runtime)
        assert isinstance(done.exception, SystemExit | None), done.exception
        assert done.exit_code == 1, done.stdout + done.stderr
        assert done.stderr.count("error:") == 1
        assert "Traceback" not in done.stderr
        return done.stderr

    def both(self, kind, *told):
        """`apply` fails in this way, from the client and from the command line."""
        with self.client() as client, pytest.raises(kind) as caught:
            client.apply()
        for words in (str(caught.value), self.run("apply")):
            assert all(part in words for part in told), words
        return str(caught.value)


def _toml(value):
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{key} = {_toml(item)}" for key, item in value.items()) + " }"
    return json.dumps(value)


@pytest.fixture
def place(tmp_path, emulator):
    return Place(tmp_path, control_host=emulator.url)


@pytest.fixture
def applied(place):
    with place.client() as client:
        client.apply()
    return place


# ---------------------------------------------------------------- what Pinecone has not


REFUSED = [
    (
        {"funnel": [8]},
        "search coarse to fine; leave funnel out (a record has one dense",
    ),
    ({"storage": "int8"}, "storage: backend 'search' has no 'int8'; it has float32 (Pinecone itself decides how"),
]


@pytest.mark.parametrize("one_index", [False, True])
@pytest.mark.parametrize(("settings", "told"), REFUSED)
def test_what_it_cannot_do_is_refused_with_the_reason_before_anything_is_asked(tmp_path, one_index, settings, told):
    place = Place(tmp_path, **({"index_host": "http://127.0.0.1:9"} if one_index else {}))
    place.collections["docs"] |= settings
    with pytest.raises(ConfigError) as caught:
        place.client()
    for words in (str(caught.value), place.run("plan"), place.run("apply")):
        (line,) = [line for line in words.splitlines() if told in line]
        assert "collections.docs" in line
        assert line.endswith(")")


# ---------------------------------------------------------------- the server


def test_a_server_that_is_not_there(tmp_path, emulator):
    for option in ("control_host", "index_host"):
        there = Place(tmp_path, **{option: "http://127.0.0.1:9"})
        there.both(BackendUnavailable, "cannot be reached", "http://127.0.0.1:9", "port")


class Elsewhere(BaseHTTPRequestHandler):
    """A web server that knows nothing of Pinecone."""

    def answer(self):
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.send_response(self.server.status)
        self.send_header("Content-Length", str(len(self.server.page)))
        self.end_headers()
        self.wfile.write(self.server.page)

    do_GET = do_POST = answer  # noqa: N815 - the base class looks for these names

    def log_message(self, *arguments):
        pass


@pytest.fixture(params=[(404, b"<html>Not Found</html>"), (404, b'{"detail": "Not Found"}'), (405, b"no"), (501, b"")])
def elsewhere(request):
    server = ThreadingHTTPServer(("127.0.0.1", 0), Elsewhere)
    server.status, server.page = request.param
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.mark.parametrize("option", ["control_host", "index_host"])
def test_a_wrong_port_where_something_else_listens(tmp_path, emulator, elsewhere, option):
    told = Place(tmp_path, **{option: elsewhere}).both(BackendRefused, elsewhere, option, "port")
    assert "nestvec apply" not in told, "what is missing is not the collection"


def test_the_addresses_of_the_planes_swapped(tmp_path, place, emulator, kit):
    Place(tmp_path, index_host=emulator.url).both(BackendRefused, emulator.url, "index_host", "control plane")
    with place.client() as client:
        client.apply()
    host = emulator.host("docs-1")
    Place(tmp_path, control_host=host).both(BackendRefused, host, "control_host", "port")


def test_an_index_that_is_gone(tmp_path, emulator):
    host = emulator.host("deleted")
    Place(tmp_path, index_host=host).both(BackendRefused, host, "index_host", "still there")


# ---------------------------------------------------------------- the key


def test_a_wrong_key(place, emulator, monkeypatch):
    monkeypatch.setenv("NESTVEC_TEST_PINECONE_KEY", "wrong-key-value")
    told = place.both(BackendDenied, "401", "Invalid API Key", "api_key")
    assert "wrong-key-value" not in told
    assert "401" in CliRunner().invoke(main, ["-c", str(place.path), "doctor"], obj=place.runtime).stdout


def test_a_key_that_may_not_create_indexes(place, emulator):
    emulator.inject(HttpStatus(status=403, message="Forbidden"), path="/indexes", method="POST", times=2)
    place.both(BackendDenied, "403", "'docs-1'", "what that key may do")
    assert emulator.pending_faults == 0, "and it is not tried again"


def test_a_key_that_may_not_write(applied, emulator):
    emulator.inject(HttpStatus(status=403, message="Forbidden"), path="/vectors/upsert", times=2)
    with applied.client() as client, pytest.raises(BackendDenied, match=r"403.*Forbidden") as caught:
        client["docs"].upsert(Document("a", "text"))
    assert "'docs-1'" in str(caught.value)
    file = applied.path.with_name("a.txt")
    file.write_text("text")
    assert "what that key may do" in applied.run("ingest", "docs", str(file))


# ---------------------------------------------------------------- limits of the project


@pytest.mark.parametrize("message", [INDEX_LIMIT, POD_QUOTA])
def test_as_many_indexes_as_the_plan_allows(place, emulator, message):
    emulator.inject(HttpStatus(status=403, message=message), path="/indexes", method="POST", times=2)
    place.both(BackendFull, message, "'docs-1'", "index_host")
    assert emulator.pending_faults == 0


@pytest.mark.parametrize(("status", "message"), [(403, STORAGE), (429, MONTHLY)])
def test_a_quota_that_is_used_up_ends_an_ingestion_at_once(applied, emulator, status, message):
    emulator.inject(HttpStatus(status=status, message=message), path="/vectors/upsert", times=9)
    with applied.client() as client, pytest.raises(BackendFull, match="plan") as caught:
        client["docs"].upsert([Document(key, "text") for key in "abc"])
    assert message in str(caught.value)
    assert emulator.pending_faults == 8, "neither tried again nor document by document"


def test_a_limit_that_passes_is_waited_for(applied, emulator):
    emulator.inject(HttpStatus(status=429, message=RATE), path="/vectors/upsert", times=1)
    with applied.client() as client:
        assert client["docs"].upsert(Document("a", "text")).documents == 1
    emulator.inject(HttpStatus(status=429, message=RATE), path="/vectors/upsert", times=2)
    with applied.client() as client, pytest.raises(BackendUnavailable, match="concurrency") as caught:
        client["docs"].upsert(Document("b", "text"))
    assert RATE in str(caught.value)
    assert "'docs-1'" in str(caught.value)


# ---------------------------------------------------------------- an index that is being created


def test_an_index_that_takes_its_time(kit, adapter, emulator, caplog):
    """Progress every ten seconds, then the end, and the way on."""
    now = [0.0]
    adapter.component.client.clock = lambda: now[0]
    kit.pause_with(adapter, lambda seconds: now.__setitem__(0, now[0] + seconds))
    emulator.dial(creating=100_000)
    with caplog.at_level(logging.WARNING), pytest.raises(BackendUnavailable, match="ready_timeout") as caught:
        adapter.create(kit.create())
    assert "'docs-1' is not ready" in str(caught.value)
    assert "repeat this later" in str(caught.value)
    told = [record.getMessage() for record in caplog.records]
    assert 25 <= len(told) <= 30
    assert told[0].startswith("Pinecone index 'docs-1' is not ready after 10 seconds; waiting up to 300")
    caplog.clear()
    emulator.index("docs-1").ready_after = 3
    adapter.create(kit.create())
    assert not caplog.records, "what is quick needs no words"


def test_the_command_that_waits_in_vain_says_so(tmp_path, emulator, monkeypatch):
    monkeypatch.setattr("nestvec_pinecone.client._SILENCE", 0.0)
    emulator.dial(creating=100_000)
    told = Place(tmp_path, control_host=emulator.url, ready_timeout=1).run("apply")
    assert "'docs-1' is not ready yet" in told
    emulator.dial(creating=0)
    emulator.index("docs-1").ready_after = 0
    with Place(tmp_path, control_host=emulator.url).client() as client:
        assert client.apply()[0].action in ("create", "none")
        assert client["docs"].count() == 0


# ---------------------------------------------------------------- too large, or not to be stored


@pytest.mark.parametrize("status", [413, 400])
def test_a_message_that_is_too_large_costs_only_the_documents_that_are(applied, emulator, status):
    """The server (or a proxy) takes less than Pinecone says: the batch is halved until the guilty one is alone."""
    message = "Request size 3000000 exceeds the maximum supported size"
    with applied.client() as client:
        emulator.inject(HttpStatus(status=status, message=message), path="/vectors/upsert", times=2)
        with pytest.raises(IngestFailed, match=message) as caught:
            client["docs"].upsert([Document("a", "text"), Document("b", "text")])
        assert [failed.document_id for failed in caught.value.report.failed] == ["a"]
        assert client["docs"].get("b") is not None
    assert "'docs-1'" in str(caught.value)
    assert status != 413 or "smaller chunks" in str(caught.value)


VALUES = {
    "not a number": ({"author": math.nan}, "author"),
    "infinite": ({"author": math.inf}, "author"),
    "a string of 100 KB": ({"author": "x" * 100_000}, "make it shorter"),
    "40 KB altogether": ({"author": "x" * 30_000, **{f"f{n}": "y" * 1000 for n in range(11)}}, "40960"),
}


def _vectors(emulator):
    return [vector for each in emulator.sent("/vectors/upsert") for vector in each.body["vectors"]]


@pytest.mark.parametrize("name", VALUES)
def test_values_that_cannot_be_stored(applied, emulator, name):
    """Document and key are named; the other documents go through."""
    metadata, told = VALUES[name]
    emulator.forget()
    with applied.client() as client:
        with pytest.raises(IngestFailed) as caught:
            client["docs"].upsert([Document("good", "text", {"fine": 1}), Document("doc-9", "text", metadata)])
        assert [failed.document_id for failed in caught.value.report.failed] == ["doc-9"]
        assert client["docs"].get("good").metadata == {"fine": 1}
        assert client["docs"].get("doc-9") is None
    for part in ("'docs'", "'doc-9'", "'author'", told):
        assert part in str(caught.value)
    sent = {vector["metadata"]["nestvec_document_id"] for vector in _vectors(emulator)}
    assert sent - {""} == {"good"}, "it was refused before anything was sent"  # "" is the writer's intent


def test_the_same_from_a_file(applied):
    rows = [{"id": "good", "text": "text"}, {"id": "doc-9", "text": "text", "author": {"name": "x" * 50_000}}]
    file = applied.path.with_name("docs.jsonl")
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    Place.run(applied, "status", "nothing")  # the configuration is written
    done = CliRunner().invoke(main, ["-c", str(applied.path), "ingest", "docs", str(file)], obj=applied.runtime)
    assert done.exit_code == 1
    for part in (f"{file}:2", "'doc-9'", "nested values"):
        assert part in done.stdout + done.stderr


# ---------------------------------------------------------------- names


def test_a_name_that_reads_like_a_generation_of_another(place):
    place.collections = {"docs": {"dimensions": 32}, "docs-1": {"dimensions": 32}}
    with pytest.raises(ConfigError, match=r"'docs' and 'docs-1' .* live side by side"):
        place.client()
    assert "rename one of them" in place.run("plan")


def test_a_name_that_an_index_of_somebody_else_has(place, kit, open_adapter, emulator):
    """Reading it by that name could mean either."""
    open_adapter().create(kit.create("docs", size=8))
    place.both(CollectionConflict, "'docs'", "'search'", "choose another collection name")
    assert emulator.index("docs").dimension == 8


def test_a_name_that_is_too_long(place):
    place.collections = {"a" * 40: {"dimensions": 32}}
    with pytest.raises((ConfigError, InvalidName), match="shorter name"):
        place.client()
    assert "shorter name" in place.run("plan")
