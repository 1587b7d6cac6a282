"""What goes wrong around a backend, line by line: one clear message each, in Python and on the command line.

What options cannot be, and how each status of a server is mapped, is in test_errors.
"""

from __future__ import annotations

import http.server
import logging
import re
import socket
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import grpc
import pytest
from pymilvus.grpc_gen import common_pb2, milvus_pb2

from nestvec.contract import Count, Create, Describe, Drop, ErrorContext, ListCollections, ResolveAlias, SetAlias, Write
from nestvec.errors import (
    BackendDenied,
    BackendFull,
    BackendRefused,
    BackendUnavailable,
    CollectionNotFound,
)
from nestvec.types import DENSE, Metric
from nestvec_milvus.adapter import open_adapter
from nestvec_milvus.client import MilvusConnection, message
from nestvec_milvus.errors import translate
from nestvec_milvus.options import MilvusOptions, capabilities
from nestvec_testing.blocking import blocking

NOT_LOADED = common_pb2.Status(code=101, reason="collection not loaded[collection=7]")
OK = common_pb2.Status()
LOADING, LOADED, RELEASED = (milvus_pb2.GetLoadStateResponse(state=state) for state in (2, 3, 1))


def refuses(error, *told):
    """One message, that says all of this, and nothing of how it came about."""
    message = str(error)
    assert "Traceback" not in message
    assert "_InactiveRpcError" not in message
    assert "debug_error_string" not in message
    assert [each for each in told if each not in message] == [], message
    assert error.__cause__ is not None or type(error).__name__ == "Unsupported"


def tells(done, *told):
    """The command fails with one message on stderr that says all of this."""
    assert done.code == 1
    assert len(re.findall("^error: ", done.err, re.MULTILINE)) == 1
    assert "Traceback" not in done.err
    assert [each for each in told if each not in done.err] == [], done.err


# --------------------------------------------------------------------------------------- not there, not a Milvus


def web_server():
    """Answers HTTP/1.1, and nothing else."""

    class Quiet(http.server.BaseHTTPRequestHandler):
        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Quiet)
    threading.Thread(target=server.serve_forever, daemon=True).start()

    def stop():
        server.shutdown()
        server.server_close()

    return server.server_port, stop


def foreign_grpc():
    """A gRPC server that knows nothing of Milvus."""
    server = grpc.server(ThreadPoolExecutor(1))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    return port, lambda: server.stop(None).wait()


def nobody():
    """A port that is taken, where nobody listens."""
    taken = socket.socket()
    taken.bind(("127.0.0.1", 0))
    return taken.getsockname()[1], taken.close


def mute():
    """A port where connections are taken, and nothing is ever said."""
    listening = socket.socket()
    listening.bind(("127.0.0.1", 0))
    listening.listen()
    return listening.getsockname()[1], listening.close


AROUND = {
    "nobody": (nobody, "http", BackendUnavailable, "is it running, and is the address right?"),
    "mute": (mute, "http", BackendUnavailable, "is it running, and is the address right?"),
    "an HTTP server": (web_server, "http", BackendRefused, "does not speak Milvus's gRPC"),
    "another gRPC server": (foreign_grpc, "http", BackendRefused, "does not speak Milvus's gRPC"),
    "https where there is none": (foreign_grpc, "https", BackendRefused, "http or https right?"),
    "https on an HTTP server": (web_server, "https", BackendRefused, "http or https right?"),
}


@pytest.fixture(params=AROUND)
def around(request):
    """Something at an address: the address, the error, and what it says."""
    make, scheme, kind, told = AROUND[request.param]
    port, stop = make()
    yield f"{scheme}://127.0.0.1:{port}", kind, told
    stop()


def test_what_is_at_the_address_is_no_milvus(around, open_client):
    uri, kind, told = around
    adapter = open_client(uri=uri)
    for ask in (lambda: adapter.list_collections(ListCollections()), adapter.capabilities):
        with pytest.raises(kind) as caught:
            ask()
        refuses(caught.value, uri, told)
        assert caught.value.retryable is (kind is BackendUnavailable)


def test_what_is_at_the_address_is_no_milvus_on_the_command_line(around, shell):
    uri, _, told = around
    options = {"uri": f'"{uri}"', "timeout": 5}
    tells(shell(options, "plan"), uri, "'docs'", told)
    tells(shell(options, "search", "docs", "question"), uri, "'docs'", told)
    doctor = shell(options, "doctor")
    assert doctor.code == 1
    assert "backend store" in doctor.out
    assert uri in doctor.out


def test_a_server_that_is_too_old_on_the_command_line(scripted, shell):
    missing = common_pb2.Status(code=100, reason="collection not found")
    scripted.replies |= {
        "GetVersion": [milvus_pb2.GetVersionResponse(version="v2.2.16")],
        "DescribeCollection": [milvus_pb2.DescribeCollectionResponse(status=missing)],
        "ShowCollections": [milvus_pb2.ShowCollectionsResponse()],
    }
    options = {"uri": f'"{scripted.uri}"'}
    tells(shell(options, "apply"), scripted.uri, "v2.2.16", "upgrade it to 2.3 or later")
    assert "CreateCollection" not in scripted.calls
    doctor = shell(options, "doctor")
    assert (doctor.code, "upgrade it to 2.3" in " ".join(doctor.out.split())) == (1, True)


# ------------------------------------------------------------------------------------------------- who calls


@pytest.mark.parametrize("name", ["MILVUS_TEST_WRONG", None])
def test_a_wrong_token_and_none(guarded_server, open_client, name):
    adapter = open_client(uri=guarded_server.uri, **({"token": {"env": name}} if name else {}))
    for ask in (lambda: adapter.list_collections(ListCollections()), adapter.capabilities):
        with pytest.raises(BackendDenied) as caught:
            ask()
        refuses(caught.value, guarded_server.uri, "check token, or user and password")
        assert "s3cret" not in str(caught.value)


def test_a_wrong_token_on_the_command_line(guarded_server, shell):
    options = {"uri": f'"{guarded_server.uri}"', "token": '{ env = "MILVUS_TEST_WRONG" }'}
    done = shell(options, "plan")
    tells(done, guarded_server.uri, "check token, or user and password")
    assert "s3cret" not in done.err + done.out


def test_what_a_user_may_not_do(guarded_server, open_client, kit):
    adapter = open_client(uri=guarded_server.uri, token={"env": "MILVUS_TEST_LOW"})
    assert adapter.describe(Describe("docs_1")) is not None, "looking is allowed to every user"
    asked = {
        "count": lambda: adapter.count(Count("docs_1")),
        "write": lambda: adapter.write(Write("docs_1", [kit.record("a")], kit.vectors(1))),
        "create": lambda: adapter.create(kit.create("other_1")),
        "drop": lambda: adapter.drop(Drop("docs_1")),
        "set_alias": lambda: adapter.set_alias(SetAlias("docs", "docs_1")),
    }
    for name, ask in asked.items():
        with pytest.raises(BackendDenied) as caught:
            ask()
        refuses(caught.value, guarded_server.uri, f"{name} on collection", "Privilege", "grant this user the privilege")


def test_what_a_user_may_not_do_on_the_command_line(guarded_server, shell):
    options = {"uri": f'"{guarded_server.uri}"', "token": '{ env = "MILVUS_TEST_LOW" }'}
    assert shell(options, "plan").code in (1, 3)
    tells(shell(options, "apply"), guarded_server.uri, "'docs_", "grant this user the privilege")


# ------------------------------------------------------------------------------- loading, released, being indexed


def counted(number):
    reply = milvus_pb2.QueryResults()
    reply.fields_data.add().scalars.long_data.data.append(number)
    return reply


def test_reading_waits_for_a_collection_that_is_being_loaded(scripted, open_client, caplog):
    scripted.replies |= {
        "Query": [milvus_pb2.QueryResults(status=NOT_LOADED), counted(7)],
        "GetLoadState": [*[LOADING] * 12, LOADED],
        "GetLoadingProgress": [milvus_pb2.GetLoadingProgressResponse(progress=40)],
    }
    with caplog.at_level(logging.INFO, "nestvec_milvus"):
        assert open_client(uri=scripted.uri).count(Count("docs_1")) == 7
    assert "LoadCollection" not in scripted.calls, "what is being loaded keeps its settings"
    told = [record.getMessage() for record in caplog.records if record.name.startswith("nestvec_milvus")]
    assert told == [f"Milvus at {scripted.uri} is loading collection 'docs_1' into memory: 40 % loaded"]


def test_reading_loads_a_collection_that_was_released(scripted, open_client):
    scripted.replies |= {
        "Query": [milvus_pb2.QueryResults(status=NOT_LOADED), counted(7)],
        "GetLoadState": [RELEASED, LOADED],
    }
    assert open_client(uri=scripted.uri).count(Count("docs_1")) == 7
    assert scripted.calls.count("LoadCollection") == 1


def test_a_collection_that_is_released_is_loaded_by_the_engine_itself(shared):
    shared.client.raw.send("ReleaseCollection", message("ReleaseCollection", collection_name="shared_1"))
    assert shared.count(Count("shared_1")) >= 0


def test_waiting_has_an_end_and_says_for_what_it_was(scripted, open_client):
    index = milvus_pb2.IndexDescription(
        field_name=DENSE, index_name=DENSE, state=common_pb2.InProgress, indexed_rows=10, total_rows=500
    )
    scripted.replies |= {
        "Query": [milvus_pb2.QueryResults(status=NOT_LOADED)],
        "GetLoadState": [LOADING],
        "GetLoadingProgress": [milvus_pb2.GetLoadingProgressResponse(progress=40)],
        "DescribeIndex": [milvus_pb2.DescribeIndexResponse(index_descriptions=[index])],
    }
    with pytest.raises(BackendUnavailable) as caught:
        open_client(uri=scripted.uri, load_timeout=0.2).count(Count("docs_1"))
    told = str(caught.value)
    assert "'docs_1'" in told
    assert "within 0.2 seconds (40 % loaded; the index of 'dense' is being built, 10 of 500 rows)" in told
    assert "set a longer load_timeout" in told
    assert caught.value.retryable


def test_why_loading_fails_is_passed_on(scripted, open_client):
    failed = common_pb2.Status(code=3, reason="load segment failed, OOM if load")
    index = milvus_pb2.IndexDescription(field_name=DENSE, state=common_pb2.Failed, index_state_fail_reason="bad nlist")
    scripted.replies |= {
        "Query": [milvus_pb2.QueryResults(status=NOT_LOADED)],
        "GetLoadState": [RELEASED],
        "GetLoadingProgress": [milvus_pb2.GetLoadingProgressResponse(status=failed)],
        "DescribeIndex": [milvus_pb2.DescribeIndexResponse(index_descriptions=[index])],
    }
    with pytest.raises(BackendUnavailable, match=r"OOM if load.*'dense' failed: bad nlist"):
        open_client(uri=scripted.uri, load_timeout=0.2).count(Count("docs_1"))


def test_waiting_is_told_once_a_second_and_ends_in_time(scripted, open_client, monkeypatch, caplog):
    waited = []

    async def sleep(_, seconds):
        waited.append(seconds)

    monkeypatch.setattr(MilvusConnection, "sleep", sleep)
    scripted.replies |= {
        "Query": [milvus_pb2.QueryResults(status=NOT_LOADED)],
        "GetLoadState": [LOADING],
        "GetLoadingProgress": [milvus_pb2.GetLoadingProgressResponse(progress=1)],
    }
    with (
        caplog.at_level(logging.INFO, "nestvec_milvus"),
        pytest.raises(BackendUnavailable, match="within 5 seconds"),
    ):
        open_client(uri=scripted.uri, load_timeout=5).count(Count("docs_1"))
    assert 5 <= sum(waited) < 5.5
    assert len([record for record in caplog.records if record.name == "nestvec_milvus.adapter"]) == 4


def test_a_collection_that_vanishes_while_it_is_loaded(scripted, open_client):
    scripted.replies |= {
        "Query": [milvus_pb2.QueryResults(status=NOT_LOADED)],
        "GetLoadState": [milvus_pb2.GetLoadStateResponse(state=common_pb2.LoadStateNotExist)],
        "LoadCollection": [common_pb2.Status(code=100, reason="collection not found")],
    }
    with pytest.raises(CollectionNotFound, match="nestvec apply"):
        open_client(uri=scripted.uri).count(Count("docs_1"))


@pytest.mark.parametrize("reason", ["there is no vector index on collection: docs_1", "index not found[collection=7]"])
def test_without_an_index_nothing_is_loaded(scripted, open_client, reason):
    scripted.replies |= {
        "Query": [milvus_pb2.QueryResults(status=NOT_LOADED)],
        "GetLoadState": [RELEASED],
        "LoadCollection": [common_pb2.Status(code=700, reason=reason)],
    }
    with pytest.raises(BackendRefused) as caught:
        open_client(uri=scripted.uri).count(Count("docs_1"))
    refuses(caught.value, scripted.uri, "'docs_1'", "its vectors have no index", "create one on the server")


def test_an_index_that_somebody_dropped(shared, kit):
    name = "bare_1"
    shared.create(kit.create(name, fields={}))
    shared.write(Write(name, [kit.record("a")], kit.vectors(1)))
    shared.count(Count(name))
    for method, more in (("ReleaseCollection", {}), ("DropIndex", {"field_name": DENSE, "index_name": DENSE})):
        shared.client.raw.send(method, message(method, collection_name=name, **more))
    if shared.client.embedded:
        assert shared.count(Count(name)) == 1, "Milvus Lite reads without"
    else:
        with pytest.raises(BackendRefused) as caught:
            shared.count(Count(name))
        refuses(caught.value, repr(name), "its vectors have no index", "nestvec apply")
        shared.create(kit.create(name, fields={}))
        assert shared.count(Count(name)) == 1, "creating it again completes it"
    shared.drop(Drop(name))


# ---------------------------------------------------------------------------------------------- no room


@pytest.mark.skipif(sys.platform != "linux", reason="there is no folder that nobody can write to")
def test_a_path_that_cannot_be_written(kit, shell):
    with pytest.raises(BackendFull) as caught:
        blocking(open_adapter(kit.options(path="/sys/store.db"), blocking=True))
    refuses(caught.value, "/sys/store.db", "choose a place that may be written")
    tells(shell({"path": '"/sys/store.db"'}, "apply"), "/sys/store.db", "choose a place that may be written")


def test_a_full_disk_on_the_command_line(shell, tmp_path, monkeypatch):
    from milvus_lite.engine.collection import Collection

    options = {"path": f'"{tmp_path / "store.db"}"'}
    assert shell(options, "apply").code == 0
    (tmp_path / "a.txt").write_text("a text")

    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Collection, "upsert", full)
    done = shell(options, "ingest", "docs", str(tmp_path / "a.txt"))
    assert done.code == 1
    assert "Traceback" not in done.err
    assert "'docs_1'" in done.err
    assert "No space left on device; free some space" in done.err


def test_a_request_that_is_too_large_for_the_server(scripted, open_client, kit):
    records = [kit.record(number, "x" * 60_000) for number in range(100)]
    with pytest.raises(BackendRefused) as caught:
        open_client(uri=scripted.uri).write(Write("docs_1", records, kit.vectors(100)))
    refuses(caught.value, scripted.uri, "write on collection 'docs_1'", "proxy.grpc.serverMaxRecvSize")
    assert not caught.value.retryable
    assert "Upsert" not in scripted.calls


def test_an_answer_that_is_too_large_for_the_server():
    code = grpc.StatusCode.RESOURCE_EXHAUSTED
    scene = ErrorContext("Milvus at x", embedded=False, method="scroll", collection="docs_1")
    for details in ("trying to send message larger than max (9 vs. 4)", "SERVER: Received message larger than max"):
        error = grpc.aio.AioRpcError(code, grpc.aio.Metadata(), grpc.aio.Metadata(), details)
        assert isinstance(translate(error, scene), BackendRefused)


# ---------------------------------------------------------------------------------------------- names


def test_a_name_that_stands_for_something_else(shared, kit):
    """A collection cannot have the name of an alias, nor an alias that of a collection."""
    for name in ("first_1", "second_1"):
        shared.create(kit.create(name, fields={}))
    with pytest.raises(BackendRefused) as caught:
        shared.set_alias(SetAlias("first_1", "second_1"))
    refuses(caught.value, "first_1", "nothing was changed", "choose another one")
    shared.set_alias(SetAlias("pointer", "first_1"))
    with pytest.raises(BackendRefused) as caught:
        shared.create(Create("pointer", {DENSE: 5}, Metric.DOT, {}, {"nestvec": 1}))
    refuses(caught.value, "'pointer'", "nothing was changed", "choose another one")
    assert shared.resolve_alias(ResolveAlias("pointer")) == "first_1"
    assert shared.describe(Describe("first_1")).vectors == {DENSE: 3}
    for name in ("first_1", "second_1"):
        shared.drop(Drop(name))


def test_a_name_that_is_taken_on_the_command_line(shell, kit, tmp_path):
    adapter = blocking(open_adapter(kit.options(path=str(tmp_path / "store.db")), blocking=True))
    adapter.create(kit.create("docs", fields={}, record={}))
    adapter.close()
    options = {"path": f'"{tmp_path / "store.db"}"'}
    plan = shell(options, "plan")
    assert plan.code == 1
    assert "backend 'store' already has a collection 'docs' that is not nestvec's" in plan.out
    tells(shell(options, "apply"), "choose another collection name", "Nothing was changed")


def test_two_names_never_meet():
    """What a hyphen becomes is escaped where it stands in a name of its own."""
    rules = capabilities(MilvusOptions(path=":memory:")).names
    names = ["a-b", "a_b", "ab", "azhb", "azb", "azzhb", "a--b", "azh-b"]
    encoded = [rules.encode(name) for name in names]
    assert len(set(encoded)) == len(names)
    assert [rules.decode(each) for each in encoded] == names
