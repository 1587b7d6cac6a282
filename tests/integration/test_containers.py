"""The conformance kit, and the commands that people type first, on the backends of docker-compose.yml.

`make integration` runs this against the containers. Everywhere else stand-ins take their places: the emulators of
Qdrant and Pinecone, and Milvus Lite. What is tested is the same, so only the containers themselves stay untested there.
"""

from __future__ import annotations

import json
import re
import tomllib
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from click.testing import CliRunner

from nestvec._cli import main
from nestvec._client import connect
from nestvec.contract import Drop, ListCollections
from nestvec.registry import default_registry
from nestvec.types import Document
from nestvec_testing import AdapterConformance, BackendUnderTest
from nestvec_testing.blocking import blocking
from nestvec_testing.emulators.jina import JinaEmulator

from .places import CONFIGURATION, KEY, STAND_INS, configuration, in_one_index

Configure = Callable[[str], str]


@pytest.fixture(params=[pytest.param("container", marks=pytest.mark.docker), "stand-in"])
def where(request: pytest.FixtureRequest) -> str:
    """`-m docker` chooses the containers, and everything else the stand-ins."""
    return str(request.param)


@pytest.fixture
def configured(where: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Configure]:
    """The text of nestvec.compose.toml, by the name of the backend that is going to be used."""
    monkeypatch.setenv("PINECONE_API_KEY", KEY)
    with ExitStack() as started:
        yield lambda backend: started.enter_context(configuration(backend, where, tmp_path))


def backend_of(configured: Configure, name: str) -> BackendUnderTest:
    options = tomllib.loads(configured(name))["backends"][name]
    return BackendUnderTest(options.pop("use"), options, reopens=True)


class TestQdrant(AdapterConformance):
    @pytest.fixture
    def backend(self, configured: Configure) -> BackendUnderTest:
        return backend_of(configured, "qdrant")


class TestMilvus(AdapterConformance):
    @pytest.fixture
    def backend(self, configured: Configure) -> BackendUnderTest:
        return backend_of(configured, "milvus")


class TestPinecone(AdapterConformance):
    """In one index, so with one size: see `in_one_index`."""

    @pytest.fixture
    def backend(self, configured: Configure) -> BackendUnderTest:
        subject = backend_of(configured, "pinecone")
        plugin = in_one_index(default_registry().backend("pinecone"))
        return BackendUnderTest(plugin, subject.options, reopens=True)


class Shell:
    """Commands on a configuration in a folder of its own, whose one collection is called anew each time."""

    def __init__(self, folder: Path, text: str, backend: str) -> None:
        block = re.search(rf'\[collections\.([\w-]+)\]\nbackend = "{backend}"', text)
        assert block is not None
        self.backend = backend
        self.collection = f"t{uuid.uuid4().hex[:10]}"
        self.folder = folder
        head, *blocks = re.split(r"(?=^\[collections\.)", text, flags=re.MULTILINE)
        ours = [each for each in blocks if re.match(rf"\[collections\.{block[1]}[.\]]", each)]
        self.path = folder / "nestvec.toml"
        renamed = "".join(ours).replace(f"[collections.{block[1]}", f"[collections.{self.collection}")
        self.path.write_text(head + renamed)

    def __call__(self, *arguments: str, code: int | None = 0) -> str:
        done = CliRunner().invoke(main, ["-c", str(self.path), *arguments], prog_name="nestvec")
        assert code in (done.exit_code, None), f"{arguments}: {done.stdout}{done.stderr}"
        return done.stdout

    def clear(self) -> None:
        """Drop what was made."""
        with connect(self.path) as client:
            adapter = blocking(client.adapter(self.backend))
            for physical in adapter.list_collections(ListCollections()):
                if self.collection in physical:
                    adapter.drop(Drop(physical))


@pytest.mark.parametrize("backend", STAND_INS)
def test_the_first_commands(backend: str, configured: Configure, tmp_path: Path) -> None:
    """What the README shows, with the embedded model."""
    shell = Shell(tmp_path, configured(backend), backend)
    name = shell.collection
    rows = [
        {"id": "hr-7", "text": "Jeder Mitarbeiter hat dreißig Tage Urlaub im Jahr.", "lang": "de", "year": 2026},
        {"id": "it-2", "text": "Passwörter werden alle neunzig Tage geändert.", "lang": "de", "year": 2024},
        {"id": "hr-8", "text": "Employees may work from home two days a week.", "lang": "en", "year": 2026},
    ]
    (tmp_path / "docs.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    shell("plan", code=3)
    shell("apply")
    try:
        shell("plan")
        # The other backends of the file may not be there.
        assert re.search(rf"ok +backend {backend}: answers", shell("doctor", code=None))
        shell("ingest", name, str(tmp_path / "docs.jsonl"))
        (status,) = json.loads(shell("status", "--json"))["collections"]
        assert (status["documents"], status["change"]["action"]) == (3, "none")
        question = "How many days of vacation do I get?"
        hits = json.loads(shell("search", name, question, "--json"))["hits"]
        assert hits[0]["document_id"] == "hr-7"
        assert hits[0]["metadata"] == {"lang": "de", "year": 2026}
        found = json.loads(shell("search", name, question, "--where", '{"year": {"$lt": 2025}}', "--json"))["hits"]
        assert [hit["document_id"] for hit in found] == ["it-2"]
        assert "1 document deleted" in shell("delete", name, "it-2")
        (status,) = json.loads(shell("status", "--json"))["collections"]
        assert status["documents"] == 2
    finally:
        shell.clear()


@pytest.mark.parametrize("where", [pytest.param("container", marks=pytest.mark.docker), "stand-in"])
def test_the_emulated_embeddings_api(where: str) -> None:
    """What the configuration says of it: no key, late chunking, the size of its collection."""
    values = tomllib.loads(CONFIGURATION)
    name, block = next((name, block) for name, block in values["collections"].items() if block["embedder"] == "jina")
    values |= {"collections": {name: block}, "backends": {block["backend"]: {"use": "qdrant", "path": ":memory:"}}}
    with ExitStack() as stack:
        if where == "stand-in":
            values["embedders"]["jina"]["base_url"] = stack.enter_context(JinaEmulator(keys=None)).base_url
        client = stack.enter_context(connect(values))
        client.apply()
        text = "The lake is cold. " * 60 + "It lies in the north."
        report = client[name].upsert([Document("lake", text), Document("tea", "Tea is served at four.")])
        of_canaries = 2  # by which other hosts of the model will be told apart
        assert (report.documents, report.usage.windows) == (2, 2 + of_canaries)
        assert client[name].search("When is tea served?", limit=1)[0].document_id == "tea"
