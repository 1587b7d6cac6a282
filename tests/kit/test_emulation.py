"""What emulators are built on, over real HTTP: the server, faults, latency and the journal."""

from __future__ import annotations

import asyncio
import signal
import socket
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import httpx
import pytest
from starlette.applications import Starlette
from starlette.responses import JSONResponse
from starlette.routing import Route

from nestvec.errors import BackendUnavailable
from nestvec_testing.emulators.emulation import Emulation
from nestvec_testing.emulators.faults import Cut, CutShort, Delay, Hold, HttpStatus, Malformed, Meet
from nestvec_testing.emulators.journal import Exchange
from nestvec_testing.emulators.plan import Storm
from nestvec_testing.emulators.server import EmulatorServer, serve

SECONDS = 10
KEY = "key-that-nobody-may-see"


class Counter:
    """A service that counts: POST /count adds one, whatever else is asked."""

    def __init__(self):
        self.count = 0

    def build(self):
        return Starlette(
            routes=[
                Route("/count", self._add, methods=["POST"]),
                Route("/health", self._health),
                Route("/mistake", self._mistake, methods=["POST"]),
            ]
        )

    def exchange(self, request, raw):
        return None if request.url.path == "/health" else Exchange.of(request, raw)

    def refusal(self, request, status, message):
        return JSONResponse({"detail": message}, status)

    async def _add(self, request):
        self.count += 1
        return JSONResponse({"count": self.count, "echo": await request.json(), "padding": "x" * 1000})

    async def _health(self, request):
        return JSONResponse({"ok": True})

    async def _mistake(self, request):
        raise ZeroDivisionError


class World:
    """An emulation of a counter, and a client."""

    def __init__(self):
        self.service = Counter()
        self.emulation = Emulation("counter emulator", lambda: self.service)
        self.faults, self.journal = self.emulation.faults, self.emulation.journal
        self.client = httpx.Client()

    def post(self, body=1, path="/count", timeout=SECONDS, **more):
        return self.client.post(self.emulation.url + path, json=body, timeout=timeout, **more)


@pytest.fixture
def world():
    made = World()
    made.emulation.start()
    yield made
    made.client.close()
    made.emulation.stop()


async def hello(scope, receive, send):
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
    await send({"type": "http.response.body", "body": b"hi"})


@pytest.fixture
def taken():
    """A port that somebody else listens on."""
    with closing(socket.create_server(("127.0.0.1", 0))) as listener:
        yield listener.getsockname()[1]


class TestServer:
    def test_nothing_is_left_behind(self):
        before = set(threading.enumerate())
        with serve(hello) as server, httpx.Client() as client:
            assert client.get(server.url).text == "hi"
            port = int(server.url.rsplit(":", 1)[1])
        assert set(threading.enumerate()) == before
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", port))

    def test_it_stops_when_the_block_fails(self):
        before = set(threading.enumerate())
        with pytest.raises(KeyError), serve(hello):
            raise KeyError
        assert set(threading.enumerate()) == before

    def test_a_port_that_is_taken(self, taken):
        before = set(threading.enumerate())
        with pytest.raises(BackendUnavailable, match=rf"The thing cannot listen on 127.0.0.1, port {taken}: .*free"):
            EmulatorServer("thing", port=taken).start(hello)
        assert set(threading.enumerate()) == before

    @pytest.mark.parametrize(("host", "port"), [("198.51.100.7", 0), ("no such host", 0), ("127.0.0.1", 70_000)])
    def test_an_address_that_cannot_be(self, host, port):
        with pytest.raises(BackendUnavailable, match="cannot listen on"):
            EmulatorServer("thing", host=host, port=port).start(hello)

    def test_an_application_that_cannot_be_loaded(self):
        before = set(threading.enumerate())
        server = EmulatorServer("thing")
        with pytest.raises(BackendUnavailable, match=r"The thing did not start at http://127\.0\.0\.1:") as caught:
            server.start("nowhere:app")
        assert caught.value.__cause__ is not None
        assert set(threading.enumerate()) == before
        with pytest.raises(httpx.ConnectError):
            httpx.get(server.url)
        server.start(hello)
        assert httpx.get(server.url).text == "hi"
        server.stop()

    def test_no_address_before_the_first_start(self):
        for fresh in (EmulatorServer("thing"), Emulation("thing", Counter)):
            with pytest.raises(BackendUnavailable, match="The thing has no address yet"):
                _ = fresh.url

    def test_starting_twice(self, world):
        with pytest.raises(BackendUnavailable, match="already runs at"):
            world.emulation.start()
        assert world.post().status_code == 200

    def test_a_restart_keeps_the_port(self, world):
        url = world.emulation.url
        world.emulation.stop()
        world.emulation.stop()
        with pytest.raises(httpx.ConnectError):
            world.post()
        world.emulation.start()
        assert world.emulation.url == url
        assert world.post().json()["count"] == 1

    def test_a_mistake_of_the_emulator_is_an_answer_and_a_log_entry(self, world, caplog):
        assert world.post(path="/mistake").status_code == 500
        assert "ZeroDivisionError" in caplog.text
        assert [each.status for each in world.journal.answered] == [500]

    def test_a_missing_library_is_named(self, monkeypatch):
        monkeypatch.delitem(sys.modules, "nestvec_testing.emulators.server")
        monkeypatch.setitem(sys.modules, "uvicorn", None)
        with pytest.raises(BackendUnavailable, match=r"needs uvicorn.*nestvec-testing\[emulators\]"):
            Emulation("thing", Counter).start()

    def test_importing_the_parts_needs_no_server(self):
        script = (
            "import sys, nestvec_testing.emulators.emulation, nestvec_testing.emulators.faults;"
            "heavy = {'starlette', 'uvicorn', 'numpy'} & set(sys.modules);"
            "sys.exit(str(heavy) if heavy else 0)"
        )
        done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr


FOREGROUND = """
import threading
from starlette.applications import Starlette
from nestvec_testing.emulators.emulation import Emulation
from nestvec_testing.emulators.faults import Hold
from nestvec_testing.emulators.journal import Exchange

class Service:
    def build(self): return Starlette()
    def exchange(self, request, raw): return Exchange.of(request, raw)
    def refusal(self, request, status, message): raise NotImplementedError

def tell():
    hold.arrived.wait()
    print("held", flush=True)

emulation, hold = Emulation("thing", Service), Hold()
emulation.faults.add(hold, path="/held")
threading.Thread(target=tell, daemon=True).start()
emulation.run("127.0.0.1", 0, lambda url: print(url, flush=True))
print(len(emulation.journal.requests), "done")
"""


class TestForeground:
    @pytest.fixture
    def process(self):
        with subprocess.Popen([sys.executable, "-c", FOREGROUND], stdout=subprocess.PIPE, text=True) as process:
            yield process
            process.kill()

    def test_an_interrupt_ends_it_in_order(self, process):
        url = process.stdout.readline().strip()
        assert [httpx.get(url + path).status_code for path in ("/a", "/b")] == [404, 404]
        process.send_signal(signal.SIGINT)
        rest, _ = process.communicate(timeout=SECONDS)
        assert (rest.strip(), process.returncode) == ("2 done", 0)

    def test_termination_lets_waiting_requests_go(self, process):
        url = process.stdout.readline().strip()
        with ThreadPoolExecutor(1) as pool:
            held = pool.submit(httpx.get, f"{url}/held", timeout=SECONDS)
            assert process.stdout.readline() == "held\n"
            process.send_signal(signal.SIGTERM)
            assert held.result(SECONDS).status_code == 404
        assert process.wait(SECONDS) == -signal.SIGTERM

    def test_the_journal_does_not_grow_for_ever(self, world, monkeypatch):
        world.emulation.stop()
        monkeypatch.setattr(EmulatorServer, "run", lambda *arguments: None)
        world.emulation.run("127.0.0.1", 0)
        assert world.journal.keep == 100

    def test_a_port_that_is_taken(self, taken):
        with pytest.raises(BackendUnavailable, match=f"port {taken}"):
            Emulation("thing", Counter).run("127.0.0.1", taken)


class TestFaults:
    def test_statuses(self, world):
        world.faults.add(HttpStatus(status=429, message="slow down", retry_after=7, headers=(("x-quota", "0"),)))
        reply = world.post()
        assert (reply.status_code, reply.json(), world.service.count) == (429, {"detail": "slow down"}, 0)
        assert (reply.headers["retry-after"], reply.headers["x-quota"]) == ("7", "0")
        world.faults.add(HttpStatus(status=500, applied=True))
        assert (world.post().status_code, world.service.count) == (500, 1)

    @pytest.mark.parametrize("applied", [False, True])
    def test_cuts_before_and_after(self, world, applied):
        world.faults.add(Cut(applied=applied))
        with pytest.raises(httpx.RemoteProtocolError, match="without sending a response"):
            world.post()
        assert world.service.count == applied
        assert [each.status for each in world.journal.answered] == [0]

    @pytest.mark.parametrize("share", [0.0, 0.5])
    def test_cuts_within_a_reply(self, world, share):
        world.faults.add(CutShort(share=share))
        with pytest.raises(httpx.RemoteProtocolError, match=r"complete message body \(received"):
            world.post()
        (each,) = world.journal.answered
        assert (world.service.count, each.status) == (1, 200)
        assert len(each.reply) == pytest.approx(1030 * share, abs=20)

    def test_malformed_replies(self, world):
        world.faults.add(Malformed())
        world.faults.add(Malformed(content=b"<html>", status=502))
        half, page = world.post(), world.post()
        assert (half.status_code, page.status_code, page.content) == (200, 502, b"<html>")
        assert half.text.startswith('{"count":1,')
        with pytest.raises(ValueError, match="Unterminated"):
            half.json()
        assert world.service.count == 2

    @pytest.mark.parametrize("applied", [False, True])
    def test_delays(self, world, applied):
        world.faults.add(Delay(seconds=600, applied=applied), path="/count")
        with pytest.raises(httpx.ReadTimeout):
            world.post(timeout=0.2)
        assert world.service.count == applied
        world.faults.add(Delay(seconds=0.05))
        assert world.post().status_code == 200
        late = world.journal.requests[-1]
        assert late.ended - late.started >= 0.05

    def test_stopping_lets_waiting_requests_go(self, world):
        world.faults.add(Hold(), path="/hold")
        world.faults.add(Delay(seconds=600), path="/delay")
        world.faults.add(Meet(number=9, seconds=600), path="/meet")
        with ThreadPoolExecutor(3) as pool:
            sent = [pool.submit(world.post, path=path) for path in ("/hold", "/delay", "/meet")]
            deadline = time.monotonic() + SECONDS
            while world.journal.in_flight < 3:
                assert time.monotonic() < deadline
            world.emulation.stop()
            assert [each.result(SECONDS).status_code for each in sent] == [404, 404, 503]

    def test_holding(self, world):
        hold = Hold()
        world.faults.add(hold)
        with ThreadPoolExecutor(1) as pool:
            held = pool.submit(world.post)
            assert hold.arrived.wait(SECONDS)
            assert world.post().json()["count"] == 1
            world.faults.clear()
            assert held.result(SECONDS).json()["count"] == 2

    def test_those_who_waited_in_vain_do_not_count(self, world):
        world.faults.add(Meet(number=2, seconds=0.05), times=2)
        assert [world.post().status_code for _ in range(2)] == [503, 503]

    def test_left_out_requests_meet_none(self, world):
        world.faults.add(HttpStatus(status=500), times=None)
        assert httpx.get(world.emulation.url + "/health").json() == {"ok": True}
        assert [world.post().status_code for _ in range(3)] == [500] * 3
        assert [each.path for each in world.journal.requests] == ["/count"] * 3

    def test_storms(self, world):
        world.faults.storm(Storm(3, {HttpStatus(status=429): 0.2, Cut(): 0.2, Malformed(applied=True): 0.2}, most=2))

        def until_it_works(number):
            for attempt in range(1, 4):
                try:
                    if world.post(number).json()["echo"] == number:
                        return attempt
                except (httpx.RemoteProtocolError, ValueError, KeyError):
                    continue
            return None

        with ThreadPoolExecutor(8) as pool:
            attempts = list(pool.map(until_it_works, range(40)))
        world.faults.clear()
        world.faults.storm(Storm(3, {HttpStatus(status=429): 0.2, Cut(): 0.2, Malformed(applied=True): 0.2}, most=2))
        assert set(attempts) == {1, 2, 3}
        assert [until_it_works(number) for number in range(40)] == attempts


class TestJournal:
    def test_what_is_kept(self, world):
        headers = {"Authorization": f"Bearer {KEY}", "api-key": KEY, "X-Api-Key": KEY, "X-Trace": "t1"}
        reply = world.post({"a": 1}, path="/count?x=1&x=2", headers=headers)
        (each,) = world.journal.requests
        assert (each.method, each.path, each.query) == ("POST", "/count", (("x", "1"), ("x", "2")))
        assert (each.body, each.answer, each.status) == ({"a": 1}, reply.json(), 200)
        assert each.headers["x-trace"] == "t1"
        assert {each.headers[name] for name in ("authorization", "api-key", "x-api-key")} == {"<secret>"}
        assert KEY not in repr(world.journal.requests)
        assert each.started <= each.ended

    async def test_requests_in_flight_and_latency(self, world):
        many, world.emulation.latency = 40, 0.15
        world.faults.add(Meet(number=many), times=many)
        began = time.monotonic()
        async with httpx.AsyncClient(limits=httpx.Limits(max_connections=many), timeout=SECONDS) as client:
            await asyncio.gather(*(client.post(f"{world.emulation.url}/count", json=n) for n in range(many)))
        took = time.monotonic() - began
        assert world.journal.peak == many
        assert world.journal.in_flight == 0
        assert sorted(each.in_flight for each in world.journal.requests) == list(range(1, many + 1))
        assert all(each.ended - each.started >= 0.149 for each in world.journal.requests)
        assert took < many * 0.15 / 2  # together, not one after the other

    async def test_never_more_in_flight_than_the_client_had(self, world):
        limit, world.emulation.latency = 4, 0.002
        turn = asyncio.Semaphore(limit)
        async with httpx.AsyncClient(timeout=SECONDS) as client:

            async def send(number):
                async with turn:
                    await client.post(f"{world.emulation.url}/count", json=number)

            await asyncio.gather(*(send(number) for number in range(100)))
        assert world.journal.peak == limit


def test_replies_do_not_wait_for_acknowledgements() -> None:
    listener = EmulatorServer("test service")._bind()
    with listener:
        assert listener.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY), "connections inherit it"
