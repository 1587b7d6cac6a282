"""The right host and the wrong port or scheme: said at once, with what to write, and never "try again later"."""

from __future__ import annotations

import http.server
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from typing import Any

import grpc
import pytest
import trustme

import nestvec
from nestvec import NestvecError
from nestvec.contract import misdirected
from nestvec.runtime import RetryPolicy, Runtime
from nestvec_testing.registry import test_registry

from .engines import patched_environment

AUTHORITY = trustme.CA()
CERTIFICATE = AUTHORITY.issue_cert("localhost")


class Answers(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()

    do_POST = do_PUT = do_GET  # noqa: N815 - names of the standard library's

    def log_message(self, *_: object) -> None:
        """Tests are quiet."""


class Quiet(http.server.ThreadingHTTPServer):
    def handle_error(self, *_: object) -> None:
        """Broken handshakes are what is tried here."""


@contextmanager
def web(*, tls: bool) -> Iterator[int]:
    server = Quiet(("127.0.0.1", 0), Answers)
    if tls:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        CERTIFICATE.configure_cert(context)
        server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server.server_port
    server.shutdown()
    server.server_close()


@contextmanager
def rpc(*, tls: bool) -> Iterator[int]:
    server = grpc.server(ThreadPoolExecutor(1))
    key, chain = CERTIFICATE.private_key_pem.bytes(), CERTIFICATE.cert_chain_pems[0].bytes()
    own = grpc.ssl_server_credentials([(key, chain)])
    port = server.add_secure_port("127.0.0.1:0", own) if tls else server.add_insecure_port("127.0.0.1:0")
    server.start()
    yield port
    server.stop(None).wait()


@contextmanager
def greeting() -> Iterator[int]:
    """A server that speaks first, as those of SSH and of mail do."""
    listening = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        while True:
            try:
                connection, _ = listening.accept()
            except OSError:
                return
            with connection, suppress(OSError):
                connection.sendall(b"220 mail.example ESMTP\r\n\r\n")
                connection.settimeout(0.2)
                while connection.recv(1000):
                    pass

    threading.Thread(target=serve, daemon=True).start()
    yield listening.getsockname()[1]
    listening.shutdown(socket.SHUT_RDWR)
    listening.close()


@pytest.fixture(scope="module")
def ports() -> Iterator[dict[str, int]]:
    with ExitStack() as stack:
        stack.enter_context(patched_environment(NESTVEC_WRONG_KEY="key"))
        yield {
            "HTTP": stack.enter_context(web(tls=False)),
            "HTTP over TLS": stack.enter_context(web(tls=True)),
            "gRPC": stack.enter_context(rpc(tls=False)),
            "gRPC over TLS": stack.enter_context(rpc(tls=True)),
            "mail": stack.enter_context(greeting()),
        }


KEY = {"env": "NESTVEC_WRONG_KEY"}
CLIENTS: dict[str, Callable[[str, int], dict[str, Any]]] = {
    "qdrant": lambda scheme, port: {"use": "qdrant", "url": f"{scheme}://localhost:{port}"},
    "qdrant by gRPC": lambda scheme, port: {
        "use": "qdrant",
        "url": f"{scheme}://localhost:1",
        "grpc": True,
        "grpc_port": port,
    },
    "milvus": lambda scheme, port: {"use": "milvus", "uri": f"{scheme}://localhost:{port}"},
    "pinecone": lambda scheme, port: {
        "use": "pinecone",
        "control_host": f"{scheme}://localhost:{port}",
        "api_key": KEY,
    },
    "jina": lambda scheme, port: {"use": "jina", "base_url": f"{scheme}://localhost:{port}/v1", "api_key": KEY},
}
#: What a client with this scheme may meet, and what it is told.
MET = [
    ("http", "HTTP over TLS", "https://"),
    ("http", "gRPC", "gRPC"),
    ("http", "gRPC over TLS", "https://"),
    ("http", "mail", ""),
    ("https", "HTTP", "no TLS is spoken"),
    ("https", "HTTP over TLS", "certificate"),
    ("https", "gRPC", "no TLS is spoken"),
    ("https", "gRPC over TLS", "certificate"),
    ("https", "mail", "no TLS is spoken"),
]
GRPC_CLIENTS = {"qdrant by gRPC", "milvus"}
#: A server that wants TLS hangs up without a word, as one that stops does: that is tried a few times.
SILENT = {"HTTP over TLS", "gRPC over TLS"}


def ask(client: str, block: dict[str, Any]) -> NestvecError:
    other: dict[str, Any] = {"use": "memory"} if client == "jina" else {"use": "recording"}
    embedder, backend = (block, other) if client == "jina" else (other, block)
    values = {"embedders": {"model": embedder}, "backends": {"store": backend}, "collections": {"docs": {}}}
    if client == "jina":
        embedder["backoff"] = 0.0
    runtime = Runtime(test_registry(), retry=RetryPolicy(first_wait=0.0, longest_wait=0.0))
    with nestvec.connect(values, runtime) as nv, pytest.raises(NestvecError) as caught:
        nv.embed(["text"]) if client == "jina" else nv["docs"].count()
    return caught.value


@pytest.mark.parametrize(("scheme", "there", "told"), MET, ids=[f"{scheme} to {there}" for scheme, there, _ in MET])
@pytest.mark.parametrize("client", CLIENTS)
def test_it_says_what_is_wrong(client: str, scheme: str, there: str, told: str, ports: dict[str, int]) -> None:
    error = ask(client, CLIENTS[client](scheme, ports[there]))
    assert str(ports[there]) in str(error)
    if client == "milvus" and there == "gRPC":
        told = "gRPC" if scheme == "http" else told
    assert told in str(error)
    assert "try again later" not in str(error)
    assert not error.retryable or (scheme == "http" and there in SILENT), str(error)


def test_http_where_grpc_is_wanted(ports: dict[str, int]) -> None:
    for client in GRPC_CLIENTS:
        error = ask(client, CLIENTS[client]("http", ports["HTTP"]))
        assert not error.retryable
        assert "not gRPC" in str(error)
        assert str(ports["HTTP"]) in str(error)


@pytest.mark.parametrize(
    "passing",
    [
        "[Errno 111] Connection refused",
        "Server disconnected without sending a response.",
        "[Errno 104] Connection reset by peer",
        "[Errno -3] Temporary failure in name resolution",
        "failed to connect to all addresses; last error: UNKNOWN: ipv4:127.0.0.1:1: Failed to connect to remote host",
        "EOF occurred in violation of protocol (_ssl.c:1006)",
        "",
    ],
)
def test_what_time_may_mend_is_no_wrong_address(passing: str) -> None:
    assert misdirected(passing) is None
