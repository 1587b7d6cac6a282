"""What servers, files and arguments say is shown, and steers nothing."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from nestvec._visible import visible
from nestvec.errors import BackendRefused

EVIL = "\x1b[2J\x1b]52;c;ZXZpbA==\x07\x9b31m\u202eeslaf\u2066\u200b\u2028x\r\nerror: everything is lost \x7f"
STEERING = set(EVIL) - set(visible(EVIL)) - {"\n"}


class Evil(BaseHTTPRequestHandler):
    """Answers whatever it is asked with words that steer a terminal."""

    def do_GET(self) -> None:
        body = json.dumps({"detail": EVIL, "status": {"error": EVIL}, "error": {"message": EVIL}, "message": EVIL})
        self.rfile.read(int(self.headers.get("content-length") or 0))
        self.send_response(422)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body.encode())

    do_POST = do_PUT = do_GET  # noqa: N815 - the standard library's names

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture(scope="module")
def evil() -> Iterator[str]:
    """The address of a server with evil words."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Evil)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def is_harmless(*streams: str) -> bool:
    """Nothing steers, and no line begins as the server would like."""
    return not any(STEERING & set(stream) or "\nerror: everything" in f"\n{stream}" for stream in streams)


JINA = """
[backends.store]
use = "shared"
[embedders.words]
use = "jina"
base_url = "{url}"
backoff = 0.0
[collections.docs]
"""
STORES = {
    "qdrant": 'use = "qdrant"\nurl = "{url}"',
    "pinecone": 'use = "pinecone"\ncontrol_host = "{url}"\napi_key = {{ env = "NESTVEC_TEST_PINECONE" }}',
}
STORE = """
[backends.store]
{store}
[embedders.words]
use = "recording"
[collections.docs]
dimensions = 32
"""


@pytest.mark.parametrize("options", [(), ("--json",)], ids=["people", "json"])
@pytest.mark.parametrize("command", [("search", "docs", "x"), ("status",), ("doctor",), ("ingest", "docs", "-")])
@pytest.mark.parametrize("server", ["jina", *STORES])
def test_a_servers_words_steer_nothing(shell, evil, monkeypatch, lines, server, command, options):
    monkeypatch.setenv("NESTVEC_TEST_PINECONE", "key")
    text = JINA if server == "jina" else STORE.format(store=STORES[server]).replace("{{", "{").replace("}}", "}")
    shell.config.write_text(text.replace("{url}", evil), encoding="utf-8")
    if server == "jina":
        assert shell("apply").code == 0
    run = shell(*command, *options, stdin=lines({"id": "a", "text": "b"}))
    assert is_harmless(run.out, run.err)
    assert (server == "jina" and command == ("status",)) or "everything is lost" in run.out + run.err


def test_what_was_found_is_shown_and_is_exact_as_json(applied, lines):
    text = f"quick fox {EVIL}"
    document = {"id": "fo\u202ex\x1b[31m", "text": text, "lang": f"d\ne{EVIL}"}
    assert applied("ingest", "docs", "-", stdin=lines(document)).code == 0
    run = applied("search", "docs", f"quick fox {EVIL}")
    assert run.code == 0
    assert is_harmless(run.out, run.err)
    assert r"fo\u202ex\x1b[31m" in run.out
    assert r"\x1b[2J" in run.out
    found = applied("search", "docs", f"quick fox {EVIL}", "--json")
    assert is_harmless(found.out, found.err)
    assert found.json["hits"][0]["text"] == text
    assert found.json["hits"][0]["document_id"] == document["id"]


@pytest.mark.parametrize(
    "arguments",
    [
        ("search", f"docs{EVIL}", "x"),
        (f"sea{EVIL}rch",),
        ("search", "docs", "x", f"--li{EVIL}mit"),
        (f"--op{EVIL}tion", "status"),
        ("search", "docs", "x", "--limit", f"1{EVIL}"),
        ("search", "docs", "x", "--where", EVIL),
        ("ingest", "docs", f"no{EVIL}where.jsonl"),
        ("ingest", "docs", "-", "--id", f"i{EVIL}d"),
        ("-c", f"no{EVIL}where.toml", "status"),
    ],
)
def test_arguments_steer_nothing(applied, arguments, lines):
    run = applied(*arguments, stdin=lines({"id": "a", "text": "b"}))
    assert run.code
    assert run.err
    assert is_harmless(run.out, run.err)


def test_wrong_usage_that_repeats_a_name_steers_nothing(applied):
    name = applied.file(f"{EVIL}.txt", "words")
    run = applied("nest", name)
    assert run.code == 2
    assert r"\x1b[2J" in run.err
    assert is_harmless(run.out, run.err)


def test_files_steer_nothing(applied):
    name = EVIL.replace("\n", "")
    failing = applied("ingest", "docs", applied.file(f"{name}.jsonl", json.dumps({"id": 1, EVIL: [{}]}) + "\n{"))
    assert failing.code == 1
    assert is_harmless(failing.out, failing.err)
    applied.config.write_text(f'[backends."st\\u001b[2J\\u202eore"]\nuse = "nobo\\ndy"\n"{name.strip()}" = 1', "utf-8")
    assert is_harmless(*(stream for run in (applied("status"), applied("doctor")) for stream in (run.out, run.err)))


def test_progress_and_notes_steer_nothing(applied, store, lines):
    def refuse(ids: list[str]) -> None:
        raise BackendRefused(f"the store says: {EVIL}")

    store.before_write = refuse
    run = applied("ingest", "docs", "-", stdin=lines({"id": "a", "text": "b"}, {"id": "c", "text": "d"}))
    assert run.code == 1
    assert "everything is lost" in run.err
    assert is_harmless(run.out, run.err)


def test_warnings_of_libraries_steer_nothing(applied, capsys):
    import logging
    import warnings

    applied("status")
    assert logging.lastResort is not None
    record = logging.LogRecord("x", logging.WARNING, "f", 1, "the server said %s", (EVIL,), None)
    assert is_harmless(logging.lastResort.format(record), warnings.formatwarning(EVIL, UserWarning, "f.py", 1))
