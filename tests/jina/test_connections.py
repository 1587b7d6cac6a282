"""How the API is reached: through a proxy, and over TLS."""

from __future__ import annotations

import ssl
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

import httpx
import pytest
import trustme

from nestvec.errors import EmbedderDenied

from .conftest import ask, group


class Forwarding(BaseHTTPRequestHandler):
    """Hands each request on to `self.server.url`, as a proxy or as what ends TLS in front of a service."""

    def do_POST(self):
        content = self.rfile.read(int(self.headers["content-length"]))
        self.server.asked.append(self.path)
        kept = {name: self.headers[name] for name in ("authorization", "content-type")}
        answer = httpx.post(f"{self.server.url}{urlsplit(self.path).path}", content=content, headers=kept)
        self.send_response(answer.status_code)
        self.send_header("content-length", str(len(answer.content)))
        self.end_headers()
        self.wfile.write(answer.content)

    def log_message(self, *arguments):
        """Tests are quiet."""


@contextmanager
def forwarding(url, context=None):
    """A server that forwards to `url`; over TLS with a context."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Forwarding)
    server.url, server.asked = url, []
    if context is not None:
        server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture
def encrypted(emulator, tmp_path):
    """The emulator over TLS: its address, and the certificate of the authority that nobody else trusts."""
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(context)
    authority.cert_pem.write_to_path(str(tmp_path / "authority.pem"))
    with forwarding(emulator.url, context) as server:
        yield f"https://localhost:{server.server_port}/v1", tmp_path / "authority.pem"


def test_requests_go_through_the_proxy(open_jina, emulator):
    with forwarding(emulator.url) as proxy:
        embedder = open_jina(
            base_url="http://api.invalid/v1", proxy=f"http://127.0.0.1:{proxy.server_port}", allow_http_key=True
        )
        assert embedder.encode(ask(group("a", "text"))).failures == ()
    assert proxy.asked == ["http://api.invalid/v1/embeddings"]


def test_an_authority_of_ones_own_is_trusted_when_named(open_jina, encrypted):
    url, authority = encrypted
    assert open_jina(base_url=url, ca=authority).encode(ask(group("a", "text"))).failures == ()


def test_a_certificate_that_nobody_vouches_for_is_refused_at_once(open_jina, encrypted, emulator):
    url, _ = encrypted
    with pytest.raises(EmbedderDenied, match=r"certificate that is not trusted.*set ca"):
        open_jina(base_url=url).encode(ask(group("a", "text")))
    assert emulator.exchanges == (), "the key did not travel"
