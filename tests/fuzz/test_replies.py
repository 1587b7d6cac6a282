"""What servers answer: bytes that were a reply once, read by the parts that read them, and through whole clients."""

from __future__ import annotations

import base64
import socketserver
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import httpx
import numpy as np
from hypothesis import strategies as st
from pinecone.errors import exceptions as pinecone_errors
from qdrant_client.http.exceptions import UnexpectedResponse
from tests.fuzz.campaigns import fuzz, ours
from tests.fuzz.inputs import TEXTS, TOKENS, VALUES, damaged, replaced, texts_of

from nestvec._session.session import complete
from nestvec.contract import (
    Count,
    Describe,
    Encode,
    ErrorContext,
    Fetch,
    Group,
    ListCollections,
    Query,
    ReadNote,
    ResolveAlias,
    Scroll,
)
from nestvec.embedders.jina import governor, wire
from nestvec.embedders.jina.embedder import JinaEmbedder
from nestvec.embedders.jina.options import JinaOptions
from nestvec.errors import EmbedderError, NestvecError
from nestvec.registry import default_registry
from nestvec.types import DENSE, Metric
from nestvec_pinecone.errors import translate as from_pinecone
from nestvec_pinecone.records import record_of as pinecone_record
from nestvec_qdrant.errors import translate as from_qdrant
from nestvec_qdrant.records import record_of as qdrant_record

VECTOR = base64.b64encode(np.ones(64, "<f4").tobytes()).decode()
GOOD = {
    "data": [{"index": 0, "embedding": VECTOR}, {"index": 1, "embedding": [0.5] * 64}],
    "usage": {"total_tokens": 9},
}
REFUSALS = [
    {"detail": "no", "code": "RATE_TOKEN_LIMIT_EXCEEDED", "errors": [{"field": "input", "message": "long"}]},
    {"status": {"error": "Not found: Collection `x` doesn't exist!"}, "time": 0.0},
    {"error": {"code": "NOT_FOUND", "message": "no"}, "status": 404},
    {"code": 5, "message": "no namespace", "details": []},
]
OPTIONS = JinaOptions.model_validate({"base_url": "http://localhost:1"})
STATUSES = st.sampled_from([200, 201, 302, 400, 401, 402, 403, 404, 408, 409, 413, 422, 429, 500, 501, 503, 507, 599])
HEADERS = st.dictionaries(
    st.sampled_from(["retry-after", "date", "x-ratelimit-remaining-tokens", "x-ratelimit-remaining-requests"]),
    st.one_of(
        TEXTS,
        st.sampled_from(
            ["9" * 5000, "1e308", "nan", "-5", "Mon, 01 Jan 0001 00:00:00 +2359", "Thu, 31 Dec 9999 23:59:59 -2359"]
        ),
        st.text("0123456789:, +-JanMoGT", max_size=40),
    ),
)


@fuzz(texts_of([GOOD]), 200)
def test_embeddings(folder: Path, text: str) -> None:
    """Bytes that were vectors."""
    found = ours(lambda: wire.decode(text.encode(), 2, 64))
    if found is not None:
        assert found[0].shape == (2, 64)
        assert str(found[1] + found[1])
        assert float(found[1]) >= 0


@fuzz(st.tuples(STATUSES, st.one_of(texts_of(REFUSALS).map(str.encode), damaged([b"<html>no</html>"])), HEADERS), 200)
def test_refusals(folder: Path, given: Any) -> None:
    """Bytes that were an error's, by every reader of errors."""
    status, content, headers = given
    assert isinstance(wire.refusal(status, content, headers, OPTIONS), EmbedderError)
    for what in ("tokens", "requests"):
        wire.remaining(headers, what)
    context = ErrorContext("place", method="query", collection="docs")
    response = UnexpectedResponse(status, "reason", content, httpx.Headers())
    assert isinstance(from_qdrant(response, context), NestvecError)


@fuzz(st.tuples(STATUSES, VALUES, VALUES), 100)
def test_pinecone_s_errors(folder: Path, given: Any) -> None:
    """What Pinecone's client makes of anything."""
    status, message, body = given
    error = pinecone_errors.ApiError(str(message), status, body)
    for option in (None, "control_host", "index_host"):
        assert isinstance(from_pinecone(error, ErrorContext("place"), option), NestvecError)


# ---------------------------------------------------------------- whole clients


class Point(NamedTuple):
    """As the client gives it."""

    id: int
    payload: dict[str, Any] | None


class Answering(socketserver.StreamRequestHandler):
    """Answers every request with the same bytes, and hangs up."""

    answer: ClassVar[bytes] = b""

    def handle(self) -> None:
        length = 0
        while (line := self.rfile.readline(65_536)).strip():
            name, _, value = line.partition(b":")
            length = int(value) if name.lower() == b"content-length" else length
        self.rfile.read(length)
        self.wfile.write(self.answer)


class Server(socketserver.ThreadingTCPServer):
    """Says nothing of clients that hang up first."""

    allow_reuse_address = daemon_threads = True

    def handle_error(self, *_: object) -> None:
        pass


@contextmanager
def answering(content: bytes) -> Iterator[str]:
    """The address of a server that answers so."""
    handler = type("Handler", (Answering,), {"answer": content})
    with Server(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.005})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()
            thread.join()


def framed(status: int, body: bytes, headers: bytes = b"") -> bytes:
    """A reply of HTTP."""
    return b"HTTP/1.1 %d X\r\ncontent-type: application/json\r\ncontent-length: %d\r\n%s\r\n%s" % (
        status,
        len(body),
        headers,
        body,
    )


def of_http(bodies: st.SearchStrategy[bytes]) -> st.SearchStrategy[bytes]:
    """Replies with any of these bodies; some of them damaged as a whole."""
    whole = st.builds(framed, st.sampled_from([200, 200, 200, 404, 500]), bodies)
    junk = st.sampled_from(
        [b"", b"\x00" * 50, b"HTTP/1.1 200", b"HTTP/1.1 200 X\r\ncontent-encoding: gzip\r\n\r\nx", b"SSH-2.0-x\r\n"]
    )
    broken = st.tuples(whole, st.integers(0, 60), st.sampled_from(TOKENS)).map(
        lambda given: given[0][: given[1]] + given[2] + given[0][given[1] :]
    )
    return st.one_of(whole, whole, broken, junk)


def asked_jina(url: str) -> None:
    governor._STATES.clear()
    values = {"base_url": url, "attempts": 1, "deadline": 2.0, "backoff": 0.0, "timeout": 3.0, "max_reply": 1_000_000}
    embedder = JinaEmbedder(JinaOptions.model_validate(values))
    try:
        reply = ours(lambda: embedder.encode(Encode((Group("a", "words", ((0, 2), (2, 5))),), "retrieval.passage", 64)))
        if reply is not None:
            assert all(isinstance(failure.error, NestvecError) for failure in reply.failures)
    finally:
        embedder.close()


@fuzz(of_http(texts_of([GOOD, *REFUSALS]).map(str.encode)), 25)
def test_jina(folder: Path, content: bytes) -> None:
    """The embedder, on a server that says anything."""
    with answering(content) as url:
        asked_jina(url)


POINT = {
    "id": 1,
    "payload": {"document_id": "a", "system": {"chunk": 0}, "metadata": {}},
    "vector": {"dense": [0.5, 0.5]},
    "score": 0.5,
    "version": 1,
}
QDRANT = [
    {"result": {"collections": [{"name": "docs"}]}, "status": "ok", "time": 0.0},
    {"result": {"aliases": [{"alias_name": "docs", "collection_name": "docs"}]}, "status": "ok", "time": 0.0},
    {"result": [POINT], "status": "ok", "time": 0.0},
    {"result": [{"points": [POINT]}], "status": "ok", "time": 0.0},
    {"result": {"points": [POINT], "next_page_offset": None}, "status": "ok", "time": 0.0},
    {"result": {"count": 5}, "status": "ok", "time": 0.0},
    {"title": "qdrant", "version": "1.16.0"},
]
INDEX = {
    "name": "docs",
    "dimension": 2,
    "metric": "cosine",
    "host": "127.0.0.1:1",
    "status": {"ready": True, "state": "Ready"},
    "spec": {"serverless": {"cloud": "aws", "region": "x"}},
    "tags": {},
}
VECTORS = {
    "a": {
        "id": "a",
        "values": [0.5, 0.5],
        "metadata": {"nestvec_document_id": "a", "nestvec_types": "{}", "nestvec_system_chunk": 0},
    }
}
PINECONE = [
    {"indexes": [INDEX]},
    INDEX,
    {"vectors": VECTORS, "namespace": "x", "usage": {"readUnits": 1}},
    {"matches": [{**VECTORS["a"], "score": 0.5}], "namespace": "x"},
    {"vectors": [{"id": "a"}], "pagination": {"next": ""}},
    {"dimension": 2, "metric": "cosine", "totalVectorCount": 1, "namespaces": {"x": {"vectorCount": 1}}},
]
ROWS = np.ones((1, 2), np.float32)
REQUESTS: list[tuple[str, Any]] = [
    ("describe", Describe("docs")),
    ("list_collections", ListCollections()),
    ("resolve_alias", ResolveAlias("docs")),
    ("read_note", ReadNote("docs", "gate")),
    ("fetch", Fetch("docs", ["a"], vectors=True)),
    ("scroll", Scroll("docs", None, 10)),
    ("count", Count("docs")),
    ("query", Query("docs", {DENSE: ROWS}, Metric.COSINE, 5)),
]


def asked_store(name: str, **options: Any) -> Callable[[str], None]:
    def ask(url: str) -> None:
        plugin = default_registry().backend(name)
        given = {key: value.format(url=url) if isinstance(value, str) else value for key, value in options.items()}
        adapter: Any = plugin.open(plugin.options.model_validate({**given, "max_reply": 1_000_000, "timeout": 3}))
        try:
            for method, request in REQUESTS:
                ours(lambda method=method, request=request: complete(getattr(adapter, method)(request)))
        finally:
            complete(adapter.close())

    return ask


@fuzz(of_http(texts_of(QDRANT).map(str.encode)), 25)
def test_qdrant(folder: Path, content: bytes) -> None:
    """The adapter, on a server that says anything."""
    with answering(content) as url:
        asked_store("qdrant", url="{url}")(url)


@fuzz(of_http(texts_of(PINECONE).map(str.encode)), 25)
def test_pinecone(folder: Path, content: bytes) -> None:
    """The same, at one index."""
    (folder / "key").write_text("secret-of-pinecone")
    with answering(content) as url:
        asked_store("pinecone", index_host="{url}", api_key={"file": str(folder / "key")})(url)


@fuzz(of_http(texts_of(PINECONE).map(str.encode)), 25)
def test_pinecone_s_control_plane(folder: Path, content: bytes) -> None:
    """The same, with a control plane."""
    (folder / "key").write_text("secret-of-pinecone")
    with answering(content) as url:
        asked_store("pinecone", control_host="{url}", api_key={"file": str(folder / "key")})(url)


WRITTEN = {
    "nestvec_document_id": "a",
    "nestvec_text": "x",
    "nestvec_system_chunk": 0.0,
    "lang": "de",
    "seen": 5.0,
    "nestvec_types": '{"seen": "d", "sizes": "=[1, 2]", "places": "i*"}',
    "places": ["1", "2"],
}


@fuzz(replaced(WRITTEN), 150)
def test_pinecone_s_records(folder: Path, value: Any) -> None:
    """What was the metadata of a record of ours."""
    if isinstance(value, dict):
        ours(lambda: pinecone_record("a", value))
    ours(lambda: qdrant_record(Point(1, value if isinstance(value, dict) else None)))  # type: ignore[arg-type]
