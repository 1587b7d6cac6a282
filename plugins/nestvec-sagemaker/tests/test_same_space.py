"""One collection, two hosts of the same weights: nothing changes but the embedder's block."""

from __future__ import annotations

import pytest

from nestvec import Document, F
from nestvec._client import connect
from nestvec.errors import HostMismatch
from nestvec.runtime import Runtime
from nestvec_testing.emulators.jina import JinaEmulator
from nestvec_testing.registry import test_registry

KEY = "NESTVEC_TEST_JINA_KEY"
TEXTS = {
    "leave": "Annual leave is thirty days. Ask your manager before you book a holiday. Public holidays are extra.",
    "river": "The river carries cold water from the mountains. It reaches the sea after nine days. Boats follow it.",
    "pay": "Wages are paid on the last day of the month. The bill for travel is paid with them. Keep the receipts.",
    "music": "She tuned the violin in the empty concert hall. The orchestra came later. Nobody clapped.",
}
QUESTIONS = ("How many days of holiday do I have?", "Where does the water go?", "When are wages paid?")


@pytest.fixture(scope="module")
def api():
    with JinaEmulator() as emulator:
        yield emulator


@pytest.fixture
def blocks(api, emulator, monkeypatch):
    monkeypatch.setenv(KEY, api.api_key)
    return {
        "api": {"use": "jina", "api_key": {"env": KEY}, "base_url": api.base_url},
        "aws": {"use": "sagemaker", **emulator.options},
    }


def config(block, folder, late):
    return {
        "embedders": {"model": block},
        "backends": {"store": {"use": "sqlite", "path": str(folder / "store.db")}},
        "collections": {
            "handbook": {
                "dimensions": 128,
                "late_chunking": late,
                "fields": {"subject": "keyword"},
                "chunking": {"size": 60, "overlap": 0},
            }
        },
    }


def opened(block, folder, late):
    return connect(config(block, folder, late), Runtime(test_registry()))


def fill(client):
    client.apply()
    handbook = client["handbook"]
    handbook.upsert([Document(name, text, {"subject": name}) for name, text in TEXTS.items()])
    return handbook


def found(handbook):
    asked = [(question, None) for question in QUESTIONS] + [(QUESTIONS[0], F.subject == "pay")]
    return [
        [(hit.document_id, hit.text, round(hit.score, 4)) for hit in handbook.search(question, limit=5, where=where)]
        for question, where in asked
    ]


@pytest.mark.parametrize("late", [False, True])
def test_the_same_space_and_the_same_hits(blocks, tmp_path, late):
    results = {}
    for name, block in blocks.items():
        folder = tmp_path / name
        folder.mkdir()
        with opened(block, folder, late) as client:
            handbook = fill(client)
            results[name] = handbook.spec.space.fingerprint, found(handbook)
    assert results["api"] == results["aws"]
    assert [hits[0][0] for hits in results["aws"][1]] == ["leave", "river", "pay", "pay"]


def test_a_collection_moves_to_the_other_host_as_it_is(blocks, tmp_path):
    """Filled through the API, searched and added to through SageMaker: measured, and no migration."""
    with opened(blocks["api"], tmp_path, late=True) as client:
        before = found(fill(client))
    with opened(blocks["aws"], tmp_path, late=True) as client:
        handbook = client["handbook"]
        assert found(handbook) == before
        handbook.upsert([Document("new", "Fire drills are on Mondays.", {"subject": "safety"})])
        assert handbook.search("When are fire drills?", limit=1)[0].document_id == "new"
        (first, accepted), agreement = handbook.hosts(), handbook.hosts()["sagemaker:jina"]
        assert (first, accepted) == (
            blocks["api"]["base_url"].removeprefix("http://").removesuffix("/v1"),
            "sagemaker:jina",
        )
        assert agreement.least > 0.9999


@pytest.mark.parametrize("late", [False, True])
def test_an_endpoint_that_serves_something_else_is_noticed(blocks, emulator, tmp_path, late):
    """The block says v3, whoever deployed the endpoint took v4: the same tasks and sizes, other vectors."""
    with opened(blocks["api"], tmp_path, late) as client:
        before = found(fill(client))
    emulator.dial(endpoints={"jina": "jina-embeddings-v4"})
    with opened(blocks["aws"], tmp_path, late) as client:
        handbook = client["handbook"]
        with pytest.raises(HostMismatch, match="host 'sagemaker:jina', gives other ones"):
            handbook.search(QUESTIONS[0])
        with pytest.raises(HostMismatch):
            handbook.upsert([Document("new", "Fire drills are on Mondays.")])
    with opened(blocks["api"], tmp_path, late) as client:
        assert found(client["handbook"]) == before
