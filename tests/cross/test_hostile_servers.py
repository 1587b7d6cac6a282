"""Servers that repeat the key they were sent, in every encoding, or send whoever has it elsewhere."""

from __future__ import annotations

import json
import threading
import traceback
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import grpc
import pytest

from nestvec import connect
from nestvec.contract import ErrorContext
from nestvec.errors import BackendError, NestvecError
from nestvec.masking import masked, remember
from nestvec_testing.echoes import ECHOES

KEY = "sk_0aF/x+9&b<c-_Zz~7890="

ENGINES: dict[str, Callable[[str], dict[str, Any]]] = {
    "jina": lambda url: {
        "embedders": {"e": {"use": "jina", "base_url": f"{url}/v1", "api_key": {"env": "THE_KEY"}, "attempts": 1}}
    },
    "qdrant": lambda url: {"backends": {"b": {"use": "qdrant", "url": url, "api_key": {"env": "THE_KEY"}}}},
    "pinecone": lambda url: {
        "backends": {"b": {"use": "pinecone", "control_host": url, "api_key": {"env": "THE_KEY"}}}
    },
    "pinecone, one index": lambda url: {
        "backends": {"b": {"use": "pinecone", "index_host": url, "api_key": {"env": "THE_KEY"}}}
    },
    "sagemaker": lambda url: {
        "embedders": {
            "e": {"use": "sagemaker", "endpoint_name": "x", "endpoint_url": url, "region": "eu-west-1", "attempts": 1}
        }
    },
}
COLLECTION = {"dimensions": 64}
BODIES: dict[str, Callable[[str], bytes]] = {
    "text": lambda told: f"you sent {told} to us".encode(),
    "cut off": lambda told: f"{'x' * 285}{told} to us".encode(),
    "JSON": lambda told: json.dumps(
        {
            "detail": f"you sent {told}",
            "message": f"you sent {told}",
            "Message": f"you sent {told}",
            "OriginalMessage": f"you sent {told}",
            "status": {"error": f"you sent {told}"},
            "error": {"code": "UNAUTHENTICATED", "message": f"you sent {told}"},
        }
    ).encode(),
    "raw JSON": lambda told: f'{{"detail": "{told}", "message": "{told}", "status": {{"error": "{told}"}}}}'.encode(),
    "UTF-16": lambda told: json.dumps({"detail": told, "message": told}, ensure_ascii=False).encode("utf-16"),
}


class Server(ThreadingHTTPServer):
    """Answers everything alike; `seen` are the headers of all requests."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.answer: tuple[int, dict[str, str], bytes] = (200, {}, b"{}")
        self.seen: list[dict[str, str]] = []
        self.url = f"http://127.0.0.1:{self.server_port}"


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def _reply(self) -> None:
        server: Any = self.server
        self.rfile.read(int(self.headers.get("content-length") or 0))
        server.seen.append(dict(self.headers))
        status, headers, body = server.answer
        self.send_response(status)
        for name, value in {"Content-Type": "application/json", "Content-Length": str(len(body)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    do_GET = do_POST = do_PUT = do_DELETE = do_PATCH = _reply  # noqa: N815 - the library's names

    def log_message(self, *_: object) -> None:
        """Nothing."""


@contextmanager
def serving() -> Iterator[Server]:
    server = Server()
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.fixture
def servers(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Server, Server]]:
    monkeypatch.setenv("THE_KEY", KEY)
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"):
        monkeypatch.setenv(name, KEY)
    with ExitStack() as stack:
        yield stack.enter_context(serving()), stack.enter_context(serving())


@contextmanager
def asking(engine: str, url: str) -> Iterator[Callable[[], object]]:
    """What makes one request that holds the key."""
    settings = ENGINES[engine](url)
    embedded = "embedders" in settings
    values = {
        "backends": {"b": {"use": "qdrant", "path": ":memory:"}},
        "embedders": {"e": {"use": "e5"}},
        **settings,
        "collections": {"docs": COLLECTION},
    }
    with connect(values) as client:
        yield (lambda: client.embed(["text"])) if embedded else (lambda: client["docs"].count())


def everything(error: BaseException) -> str:
    return "".join(traceback.format_exception(error)) + repr(error) + repr(getattr(error, "__dict__", None))


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("body", BODIES)
def test_no_echo_of_a_key_gets_out(engine: str, body: str, servers: tuple[Server, Server]) -> None:
    server, _ = servers
    with asking(engine, server.url) as ask:
        for echo, spell in ECHOES.items():
            told = spell(KEY)
            server.answer = (401, {"X-Amzn-ErrorType": "ModelError"}, BODIES[body](told))
            with pytest.raises(NestvecError) as caught:
                ask()
            text = everything(caught.value)
            for each in (KEY, told):
                assert each.strip("\"'b=") not in text, f"{echo}: {text}"
            assert masked(text) == text, echo
            if body == "cut off" and echo in ("plain", "percent", "hexadecimal", "base64"):
                assert told[:9] not in str(caught.value), "half of it is left"
    assert KEY in str(server.seen[0]) or engine == "sagemaker"


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_nobody_is_sent_elsewhere_with_the_key(engine: str, status: int, servers: tuple[Server, Server]) -> None:
    server, elsewhere = servers
    server.answer = (status, {"Location": f"{elsewhere.url}/stolen"}, b"{}")
    with asking(engine, server.url) as ask, pytest.raises(NestvecError):
        ask()
    assert server.seen
    assert not elsewhere.seen


@pytest.mark.parametrize("echo", ECHOES)
def test_no_echo_gets_out_of_milvus(echo: str) -> None:
    """Whose replies come through gRPC: as the details of a failure, or as the reason in a reply."""
    from pymilvus.exceptions import MilvusException

    from nestvec_milvus.errors import translate

    class Failed(grpc.RpcError):
        def code(self) -> grpc.StatusCode:
            return grpc.StatusCode.UNAUTHENTICATED

        def details(self) -> str:
            return ECHOES[echo](KEY)

    remember(KEY)
    for error in (Failed(), MilvusException(1400, ECHOES[echo](KEY)), MilvusException(65535, "x " * 140 + KEY)):
        told = translate(error, ErrorContext("Milvus at http://x"))
        assert isinstance(told, BackendError)
        assert ECHOES[echo](KEY).strip("\"'b=") not in str(told)
        assert KEY[:9] not in str(told)
        assert "***" in str(told)


@pytest.mark.parametrize(
    "host",
    ["http://8.8.8.8", "HTTP://index.example", "http://index.example/-/a", "//x", "https://k@x", "https://x?k=1"],
)
def test_a_host_that_a_control_plane_names(host: str, servers: tuple[Server, Server]) -> None:
    """`allow_http_key` holds for it, too: the key is not sent there."""
    server, _ = servers
    model = {
        "name": "docs",
        "dimension": 64,
        "metric": "cosine",
        "host": host,
        "spec": {"serverless": {"cloud": "aws", "region": "us-east-1"}},
        "status": {"ready": True, "state": "Ready"},
        "vector_type": "dense",
        "deletion_protection": "disabled",
    }
    server.answer = (200, {}, json.dumps({**model, "indexes": [model]}).encode())
    from nestvec_pinecone.client import PineconeClient
    from nestvec_pinecone.options import PineconeOptions

    options = PineconeOptions.model_validate({"control_host": server.url, "api_key": {"env": "THE_KEY"}})
    client = PineconeClient(options, blocking=True)
    call = client.call(None, host, "describe_index_stats")
    with pytest.raises(NestvecError, match="names an index at an address that nestvec does not send the key to"):
        call.send(None)
    assert not client._clients
