"""Collections: filled and searched in this process, and in the same space as the API's."""

from __future__ import annotations

import pytest

from nestvec import Document
from nestvec._client import connect
from nestvec.runtime import Runtime
from nestvec_testing.emulators.jina import JinaEmulator
from nestvec_testing.registry import test_registry

KEY = "NESTVEC_TEST_JINA_KEY"


def opened(block, store, **settings):
    values = {
        "embedders": {"model": block},
        "backends": {"store": {"use": "memory", "store": store}},
        "collections": {"handbook": {"dimensions": 128, "chunking": {"size": 60}, **settings}},
    }
    return connect(values, Runtime(test_registry()))


@pytest.fixture
def block(tiny):
    return {"use": "transformers", "path": str(tiny), "revision": "tiny-0", "device": "cpu"}


@pytest.mark.parametrize("late", [False, True])
def test_a_collection_is_filled_and_searched(block, kit, late):
    texts = {f"doc-{n}": "".join(kit.document(3, n)) for n in range(4)}
    with opened(block, f"filled {late}", late_chunking=late, purpose="matching") as client:
        client.apply()
        handbook = client["handbook"]
        report = handbook.upsert([Document(name, text) for name, text in texts.items()])
        assert (report.documents, report.failed) == (4, ())
        assert report.embedded > 8
        assert (report.usage.windows >= 4) is late
        if not late:
            chunk = handbook.search(texts["doc-2"][:50], limit=20)
            best = handbook.search(chunk[0].text, limit=1)[0]
            assert (best.text, round(best.score, 4)) == (chunk[0].text, 1.0)


def test_for_a_collection_of_the_apis_there_is_nothing_to_do(block, kit, monkeypatch):
    """Only the embedder's block changes, the space does not; whether the vectors agree is a matter of the weights."""
    with JinaEmulator() as api:
        monkeypatch.setenv(KEY, api.api_key)
        hosted = {"use": "jina", "api_key": {"env": KEY}, "base_url": api.base_url}
        with opened(hosted, "moved", late_chunking=True) as client:
            client.apply()
            client["handbook"].upsert([Document("old", kit.TEXTS[0])])
            fingerprint = client["handbook"].spec.space.fingerprint
    with opened(block, "moved", late_chunking=True) as client:
        assert client["handbook"].spec.space.fingerprint == fingerprint
        assert [change.action for change in client.plan()] == ["none"]
