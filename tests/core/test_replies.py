"""Replies that never end, or unpack to more than there is room for: each client gives up early, in one message."""

from __future__ import annotations

import asyncio
import gzip
import io
import json
import threading
import time
import tracemalloc
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import ClassVar

import httpx
import pytest

from nestvec.contract import Describe, Encode, Group
from nestvec.contract.replies import ReplyTooLarge, limit_replies, too_large
from nestvec.embedders.jina.embedder import JinaEmbedder
from nestvec.embedders.jina.options import JinaOptions
from nestvec.errors import NestvecError
from nestvec.registry import default_registry

MEGA = 1_000_000


def _bomb() -> bytes:
    """100 MB in 100 kB."""
    packed = io.BytesIO()
    with gzip.GzipFile(fileobj=packed, mode="wb", compresslevel=6) as file:
        for _ in range(100):
            file.write(b" " * MEGA)
    return packed.getvalue()


class Hostile(BaseHTTPRequestHandler):
    """What it does is the last part of the path, wherever it stands in it."""

    protocol_version = "HTTP/1.1"
    bomb: ClassVar[bytes] = _bomb()
    stop: ClassVar[threading.Event]
    kind: ClassVar[str] = ""

    def do_GET(self) -> None:
        self.rfile.read(int(self.headers.get("content-length") or 0))
        try:
            getattr(self, self.kind or self.path.strip("/"))()
        except OSError:
            self.close_connection = True  # the client has gone, as it should

    do_POST = do_PUT = do_GET  # noqa: N815 - the standard library's names

    def answer(self, body: bytes, **headers: str) -> None:
        self.send_response(200)
        for name, value in {"Content_Length": str(len(body)), "Content_Type": "application/json", **headers}.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(body)

    def good(self) -> None:
        self.answer(gzip.compress(b'{"ok": true}'), Content_Encoding="gzip")

    def plain(self) -> None:
        self.answer(b'{"ok": true}')

    def gzipped(self) -> None:
        self.answer(self.bomb, Content_Encoding="gzip")

    def refused(self) -> None:
        self.send_response(422)
        self.send_header("Content-Encoding", "gzip")
        self.send_header("Content-Length", str(len(self.bomb)))
        self.end_headers()
        self.wfile.write(self.bomb)

    def twice(self) -> None:
        self.answer(gzip.compress(self.bomb), Content_Encoding="gzip, gzip")

    def brotli(self) -> None:
        self.answer(b"\x00", Content_Encoding="br")

    def damaged(self) -> None:
        self.answer(b"no gzip at all", Content_Encoding="gzip")

    def claimed(self) -> None:
        self.answer(b"", Content_Length=str(10**15))

    def endless(self) -> None:
        self.send_response(200)
        self.end_headers()
        while not self.stop.is_set():
            self.wfile.write(b" " * 65_536)

    def dripping(self) -> None:
        self.send_response(200)
        self.end_headers()
        while not self.stop.wait(0.02):
            self.wfile.write(b" ")
            self.wfile.flush()

    def headers_dripping(self) -> None:
        self.wfile.write(b"HTTP/1.1 200 OK\r\nX-Long: ")
        while not self.stop.wait(0.02):
            self.wfile.write(b"x")
            self.wfile.flush()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def hostile() -> Iterator[tuple[str, type[Hostile]]]:
    """A server's address, and its handler."""
    handler = type("Handler", (Hostile,), {"stop": threading.Event()})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    server.handle_error = lambda *_: None  # clients go away, as they should
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}", handler
    handler.stop.set()
    server.shutdown()
    thread.join()
    server.server_close()


def blocking(url: str, most: int = MEGA, seconds: float = 5.0) -> httpx.Response:
    with httpx.Client(timeout=seconds) as client:
        limit_replies(client, most)
        return client.get(url)


def awaited(url: str, most: int = MEGA, seconds: float = 5.0) -> httpx.Response:
    async def get() -> httpx.Response:
        async with httpx.AsyncClient(timeout=seconds) as client:
            limit_replies(client, most)
            return await client.get(url)

    return asyncio.run(get())


FORMS = pytest.mark.parametrize("get", [blocking, awaited])
Get = Callable[..., httpx.Response]


@FORMS
@pytest.mark.parametrize("kind", ["good", "plain"])
def test_what_is_small_is_read(hostile, get: Get, kind):
    assert get(f"{hostile[0]}/{kind}").json() == {"ok": True}


@FORMS
@pytest.mark.parametrize("kind", ["gzipped", "endless", "claimed", "refused"])
def test_what_is_too_large_is_given_up_early(hostile, get: Get, kind):
    with pytest.raises(httpx.HTTPError):
        get(f"{hostile[0]}/claimed", most=10)  # what is imported at first is not counted
    tracemalloc.start()
    try:
        with pytest.raises(ReplyTooLarge, match=r"more than 1 MB \(unpacked\).*set max_reply higher"):
            get(f"{hostile[0]}/{kind}")
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 8 * MEGA, f"{peak:,}"


@FORMS
@pytest.mark.parametrize("kind", ["twice", "brotli", "damaged"])
def test_what_is_packed_in_another_way_is_refused(hostile, get: Get, kind):
    with pytest.raises(httpx.DecodingError, match=r"was not asked for|no valid gzip"):
        get(f"{hostile[0]}/{kind}")


@FORMS
@pytest.mark.parametrize("kind", ["dripping", "headers_dripping"])
def test_a_reply_that_drips_is_given_up_in_time(hostile, get: Get, kind):
    started = time.monotonic()
    with pytest.raises(httpx.ReadTimeout):
        get(f"{hostile[0]}/{kind}", seconds=0.3)
    assert time.monotonic() - started < 3


def test_a_connection_serves_again_with_a_deadline_of_its_own(hostile):
    with httpx.Client(timeout=0.4) as client:
        limit_replies(client, MEGA)
        for _ in range(3):
            assert client.get(f"{hostile[0]}/good").json() == {"ok": True}
            time.sleep(0.2)


def test_the_cause_of_an_sdk_error_is_found():
    error = RuntimeError("of an SDK")
    error.__cause__ = ReplyTooLarge("x")
    assert too_large(error) is error.__cause__
    assert too_large(ValueError()) is None
    assert json.dumps(str(too_large(error))) == '"x"'


# ---------------------------------------------------------------- the clients of this repository


def ask_jina(url: str, **limits: object) -> None:
    embedder = JinaEmbedder(JinaOptions(base_url=url, attempts=1, deadline=2.0, backoff=0.0, **limits))
    try:
        reply = embedder.encode(Encode((Group("a", "text", ((0, 4),)),), "retrieval.passage", 64))
        raise reply.failures[0].error
    finally:
        embedder.close()


def ask_store(name: str, native: bool) -> Callable[..., None]:
    def ask(url: str, **limits: object) -> None:
        given = {"url": url} if name == "qdrant" else {"control_host": url, "api_key": {"env": "NESTVEC_TEST_KEY"}}
        plugin = default_registry().backend(name)
        options = plugin.options.model_validate({**given, **limits})
        asyncio.run(_describe((plugin.open_async or plugin.open)(options) if native else plugin.open(options)))

    return ask


async def _describe(adapter) -> None:
    try:
        await adapter.describe(Describe("docs"))
    finally:
        await adapter.close()


ASKING = {"jina": ask_jina} | {
    f"{name} {'awaited' if native else 'blocking'}": ask_store(name, native)
    for name in ("qdrant", "pinecone")
    for native in (False, True)
}


@pytest.fixture(params=ASKING)
def ask(request, monkeypatch) -> Callable[..., None]:
    monkeypatch.setenv("NESTVEC_TEST_KEY", "key")
    return ASKING[request.param]


@pytest.mark.parametrize("kind", ["gzipped", "endless", "refused"])
def test_a_client_gives_up_a_reply_that_is_too_large(hostile, ask, kind):
    url, handler = hostile
    handler.kind = kind
    with pytest.raises(NestvecError, match=r"more than 1 MB \(unpacked\).*set max_reply higher") as caught:
        ask(url, max_reply="1 MB")
    assert url in str(caught.value)
    assert not caught.value.retryable


@pytest.mark.parametrize("kind", ["dripping", "headers_dripping"])
def test_a_client_gives_up_a_reply_that_drips(hostile, ask, kind):
    url, handler = hostile
    handler.kind = kind
    started = time.monotonic()
    with pytest.raises(NestvecError, match="did not answer") as caught:
        ask(url, timeout=1)
    assert url in str(caught.value)
    assert time.monotonic() - started < 6
