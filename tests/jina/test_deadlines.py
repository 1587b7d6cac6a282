"""Nothing goes on for ever, and no server is asked sooner than it wants."""

from __future__ import annotations

import http.server
import threading
import time

import pytest

from nestvec.errors import EmbedderUnavailable
from nestvec_testing.emulators.jina import Hold, HttpStatus

from .conftest import ask, group


@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_pause_beyond_the_deadline_is_an_error_at_once(open_jina, emulator, status):
    emulator.inject(HttpStatus(status=status, retry_after=3600), times=None)
    embedder, started = open_jina(), time.monotonic()
    with pytest.raises(EmbedderUnavailable):
        encode(embedder, 5)
    assert time.monotonic() - started < 5
    assert len(emulator.exchanges) == 1


def encode(embedder, seconds):
    """Ends by itself, whatever the embedder does."""
    end = time.monotonic() + seconds
    request = ask(*(group(f"d{i}", f"text {i}") for i in range(64)))
    object.__setattr__(request, "cancelled", lambda: time.monotonic() > end)
    return embedder.encode(request)


def test_a_server_that_never_answers_is_not_asked_for_ever(open_jina, emulator):
    emulator.inject(hold := Hold(), times=None)
    embedder = open_jina(timeout=0.1, deadline=1.0)
    started = time.monotonic()
    try:
        with pytest.raises(EmbedderUnavailable):
            encode(embedder, 15)
    finally:
        hold.release()
    assert time.monotonic() - started < 8, "64 texts, a timeout of 0.1 and a deadline of 1 second"


class Drip(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        self.rfile.read(int(self.headers["content-length"]))
        self.send_response(200)
        self.send_header("content-length", "1000")
        self.end_headers()
        for _ in range(100):
            try:
                self.wfile.write(b" ")
                time.sleep(0.05)
            except OSError:
                return

    def log_message(self, *_):
        pass


def test_a_reply_that_drips_ends_with_its_timeout(open_jina):
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Drip) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        embedder = open_jina(base_url=f"http://127.0.0.1:{server.server_port}/v1", timeout=0.3, attempts=1)
        started = time.monotonic()
        with pytest.raises(EmbedderUnavailable, match=r"did not answer within 0\.3 seconds"):
            embedder.encode(ask(group("a", "text")))
        assert time.monotonic() - started < 2
        server.shutdown()
