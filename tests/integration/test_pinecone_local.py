"""Pinecone Local speaks API version 2025-01, and its container does not run here: all but the container is tested.

What docker-compose.yml sends to it and what nestvec sends to it are held against the official description of that
version, and the script that makes the index is run against a control plane that answers as described.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import threading
import tomllib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from nestvec._client import connect
from nestvec.errors import BackendRefused
from nestvec.types import Document
from nestvec_pinecone.testing import PineconeEmulator, PineconeExchange, PineconeSettings
from nestvec_pinecone.testing.contract import PineconeContract

from .places import INDEX, KEY, ROOT, SERVICES, STAND_INS, make_index

INIT = SERVICES["pinecone-index"]
VERSION = "2025-01"


def contract(plane: str, environment: Mapping[str, str] = os.environ) -> PineconeContract:
    """The official description, which is not part of this repository; skips or fails without."""
    folder = Path(environment.get("NESTVEC_CONTRACTS") or ROOT.parent / "shared" / "contracts")
    file = folder / f"pinecone-db_{plane}-{VERSION}.yaml"
    if not file.is_file():
        told = f"no {file.name} in {folder}: set NESTVEC_CONTRACTS to the folder of the API descriptions"
        if environment.get("CI") == "true":
            pytest.fail(f"{told}; CI must not go without")
        pytest.skip(told)
    return PineconeContract(file)


def exchange(path: str, body: bytes, status: int, reply: bytes, index: str | None = None) -> PineconeExchange:
    """A request and its answer, as the journal would have them."""
    return PineconeExchange(
        method="POST", path=path, query=(), headers={}, raw=body, status=status, reply=reply, index=index
    )


def creation(body: bytes) -> PineconeExchange:
    """The request that makes the index, and the answer that the description promises."""
    made = json.loads(body)
    status = {"ready": True, "state": "Ready"}
    model = {**{name: made.get(name) for name in ("name", "dimension", "metric", "spec")}, "host": "localhost:5081"}
    reply = json.dumps({**model, "vector_type": "dense", "deletion_protection": "disabled", "status": status})
    return exchange("/indexes", body, 201, reply.encode())


# ---------------------------------------------------------------- making the index


def test_the_index_is_made_in_the_form_of_that_version() -> None:
    described = contract("control")
    assert described.version == VERSION
    assert not described.problems(creation(json.dumps(INDEX).encode()))


@pytest.mark.parametrize(
    "change",
    [{"metric": "cos"}, {"dimension": "256"}, {"schema": {}}, {"spec": {"serverless": {"cloud": "aws"}}}, {"name": ""}],
)
def test_another_form_would_be_noticed(change: dict[str, Any]) -> None:
    assert contract("control").problems(creation(json.dumps({**INDEX, **change}).encode()))


def test_the_index_is_what_the_configuration_wants() -> None:
    config = tomllib.loads((ROOT / "nestvec.compose.toml").read_text())
    backend, collection = config["backends"]["pinecone"], config["collections"]["docs-pinecone"]
    assert backend["index_host"] == f"http://{INIT['environment']['INDEX_HOST']}"
    assert (collection["dimensions"], INDEX["metric"]) == (INDEX["dimension"], "cosine")
    assert INIT["healthcheck"]["test"][-1] == "http://pinecone:5081/describe_index_stats"
    assert SERVICES["pinecone"]["environment"]["PORT"] == INIT["environment"]["CONTROL"].rpartition(":")[2] == "5080"


class ControlPlane(ThreadingHTTPServer):
    """Answers as version 2025-01 describes it; the first request is met by a server that is still starting."""

    def __init__(self, host: str) -> None:
        super().__init__(("127.0.0.1", 0), ControlPlaneHandler)
        self.host = host
        self.bodies: list[bytes] = []
        self.headers: list[Mapping[str, str]] = []
        self.starting = 1

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class ControlPlaneHandler(BaseHTTPRequestHandler):
    server: ControlPlane

    def do_GET(self) -> None:
        self.server.headers.append(dict(self.headers))
        if self.server.starting:
            self.server.starting -= 1
            self.answer(503, {})
        elif self.path == "/indexes":
            self.answer(200, {"indexes": []})
        else:
            assert self.path == f"/indexes/{INDEX['name']}"
            self.answer(200, {"name": INDEX["name"], "host": self.server.host})

    def do_POST(self) -> None:
        self.server.headers.append(dict(self.headers))
        self.server.bodies.append(self.rfile.read(int(self.headers["Content-Length"])))
        self.answer(201 if len(self.server.bodies) == 1 else 409, {})

    def answer(self, status: int, body: Any) -> None:
        content = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *arguments: Any) -> None:
        """Nothing on standard error."""


@pytest.fixture(params=["localhost:5081"])
def control(request: pytest.FixtureRequest) -> Iterator[ControlPlane]:
    server = ControlPlane(request.param)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def script(control: ControlPlane, tmp_path: Path) -> list[str]:
    """The container's command, as compose hands it over."""
    if not (shutil.which("curl") and Path("/bin/sh").exists()):
        pytest.skip("needs curl and a shell")
    return [*INIT["entrypoint"], *(part.replace("$$", "$") for part in INIT["command"])]


@contextmanager
def started(script: list[str], control: ControlPlane) -> Iterator[subprocess.Popen[str]]:
    environment = {**os.environ, **INIT["environment"], "CONTROL": control.url, "no_proxy": "*"}
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen(script, env=environment, text=True, **pipes) as process:
        try:
            yield process
        finally:
            process.kill()


def test_the_script_waits_makes_the_index_once_and_stays(script: list[str], control: ControlPlane) -> None:
    for _ in range(2):  # the second time the index is there already
        with started(script, control) as process:
            assert process.stdout is not None
            told = [process.stdout.readline() for _ in range(2)]
            assert told[-1] == "the index is at localhost:5081\n"
            assert process.poll() is None
    described = contract("control")
    assert [described.problems(creation(body)) for body in control.bodies] == [[], []]
    assert [json.loads(body) for body in control.bodies] == [INDEX, INDEX]
    assert {headers["X-Pinecone-API-Version"] for headers in control.headers} == {VERSION}


@pytest.mark.parametrize("control", ["localhost:5082"], indirect=True)
def test_the_script_says_when_the_index_is_elsewhere(script: list[str], control: ControlPlane) -> None:
    with started(script, control) as process:
        _, told = process.communicate(timeout=60)
        assert process.returncode == 1
    assert "not at localhost:5081, where nestvec.compose.toml expects it" in told


# ---------------------------------------------------------------- working in it


@pytest.fixture
def emulator(monkeypatch: pytest.MonkeyPatch) -> Iterator[PineconeEmulator]:
    """As far as is known like Pinecone Local: nothing newer than 2025-01, no positions in the log."""
    monkeypatch.setenv("PINECONE_API_KEY", KEY)
    with PineconeEmulator(PineconeSettings(api_key=KEY, recent=False, lsn=False)) as running:
        make_index(running)
        running.forget()
        yield running


def settings(emulator: PineconeEmulator, **collection: Any) -> dict[str, Any]:
    """nestvec.compose.toml's backend, at the emulator, with one collection."""
    blocks = tomllib.loads((ROOT / "nestvec.compose.toml").read_text())
    backend = {**blocks["backends"]["pinecone"], "index_host": emulator.host(INDEX["name"])}
    return {
        "backends": {"pinecone": backend},
        "embedders": blocks["embedders"],
        "collections": {"docs": {**blocks["collections"]["docs-pinecone"], **collection}},
    }


def everything(emulator: PineconeEmulator) -> None:
    """Each operation of the client, with and without tenants."""
    for namespaces in (False, True):
        with connect(settings(emulator, namespaces=namespaces)) as client:
            client.apply()
            docs = client["docs"].namespace("acme") if namespaces else client["docs"]
            docs.upsert([Document(key, f"text of {key}", {"lang": "de", "year": 2020}) for key in "abc"])
            docs.upsert(Document("a", "another text " * 300, {"lang": "en"}))
            assert docs.get("a") is not None
            assert docs.count() == 3
            assert docs.count({"lang": "de"}) == 2
            assert docs.search("text", where={"year": {"$gte": 2000}}, limit=3)
            assert docs.delete(["b"]) == 1
            assert docs.delete(where={"lang": "de"}) == 1
            assert [page.records for page in docs.scroll()]
            assert client.status()
            emulator.index(INDEX["name"]).namespaces.clear()


def test_what_nestvec_sends_is_described_in_that_version(emulator: PineconeEmulator) -> None:
    everything(emulator)
    described = contract("data")
    assert described.version == VERSION
    assert not [problem for each in emulator.exchanges for problem in described.problems(each)]
    assert {each.index for each in emulator.exchanges} == {INDEX["name"]}, "the control plane is never asked"
    assert {each.path for each in emulator.exchanges} == {
        "/describe_index_stats",
        "/query",
        "/vectors/delete",
        "/vectors/fetch",
        "/vectors/list",
        "/vectors/upsert",
    }


def test_the_health_check_is_described_too(emulator: PineconeEmulator) -> None:
    check = INIT["healthcheck"]["test"]
    sent = check[check.index("-d") + 1].encode()
    reply = json.dumps({"namespaces": {}, "dimension": 256, "totalVectorCount": 0}).encode()
    assert not contract("data").problems(exchange("/describe_index_stats", sent, 200, reply, index="x"))


def test_the_header_that_pinecone_local_would_have_to_take(emulator: PineconeEmulator) -> None:
    """The SDK names its own version, which is newer. Whether Pinecone Local minds is what nobody here can tell."""
    everything(emulator)
    (version,) = {each.headers["x-pinecone-api-version"] for each in emulator.exchanges}
    assert version > VERSION


def test_other_sizes_are_refused_in_words(emulator: PineconeEmulator) -> None:
    with (
        connect(settings(emulator, dimensions=128)) as client,
        pytest.raises(BackendRefused, match=r"wants dimensions 128, but the index at .* has 256"),
    ):
        client.apply()


def test_every_backend_of_the_configuration_has_a_stand_in() -> None:
    assert set(STAND_INS) == set(tomllib.loads((ROOT / "nestvec.compose.toml").read_text())["backends"])


def test_without_the_descriptions_the_checks_are_skipped_and_in_ci_they_fail(tmp_path: Path) -> None:
    nowhere = {"NESTVEC_CONTRACTS": str(tmp_path)}
    with pytest.raises(pytest.skip.Exception, match="NESTVEC_CONTRACTS"):
        contract("data", nowhere)
    with pytest.raises(pytest.fail.Exception, match="NESTVEC_CONTRACTS"):
        contract("data", {**nowhere, "CI": "true"})
