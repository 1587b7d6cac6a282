"""A model of the API without Matryoshka prefixes is nested: whole vectors are asked for, prefixes are stored."""

from __future__ import annotations

import numpy as np
import pytest

from nestvec._client import connect
from nestvec.encoding.vectors import nest, truncate
from nestvec.errors import ConfigError
from nestvec.runtime import Runtime
from nestvec.types import Document
from nestvec_testing.registry import test_registry

MODEL = "jina-embeddings-v2-base-en"
WORDS = ("river", "mountain", "wages", "holiday", "violin", "engine", "winter", "letter", "garden", "bridge", "lamp")
TEXTS = [f"The {WORDS[i % 11]} and the {WORDS[i * 7 % 11]} of {WORDS[i * 3 % 11]} {i}." for i in range(400)]


@pytest.fixture
def values(settings, tmp_path):
    return {
        "artifacts": str(tmp_path / "artifacts"),
        "backends": {"store": {"use": "memory"}},
        "embedders": {"api": {**settings, "model": MODEL}},
    }


def test_v2_at_256_dimensions(values, emulator):
    with connect(values, Runtime(test_registry())) as client:
        report = client.nest(texts=TEXTS, embedder="api")
    values["embedders"]["api"]["nesting"] = report.fingerprint
    values["collections"] = {"docs": {"dimensions": 256}}
    emulator.journal.clear()
    with connect(values, Runtime(test_registry())) as client:
        client.apply()
        docs = client["docs"]
        docs.upsert([Document(f"d{i}", text) for i, text in enumerate(TEXTS[:20])])
        assert docs.search(TEXTS[3], limit=1)[0].document_id == "d3"
        stored = docs.matrix()
        rotation = client.embedder("api").rotation()
    assert emulator.exchanges
    assert not any("dimensions" in each.body for each in emulator.exchanges), (
        "v2 has no such field: all of it is asked for"
    )
    assert docs.spec.space.rotation == report.fingerprint
    assert stored.vectors.shape == (20, 256)
    del values["embedders"]["api"]["nesting"], values["collections"]
    with connect(values, Runtime(test_registry())) as client:
        raw = client.embed([record.text for record in stored.records])
    np.testing.assert_allclose(stored.vectors, truncate(nest(raw, rotation), 256), atol=1e-6)
    np.testing.assert_allclose(nest(raw, rotation) @ nest(raw, rotation).T, raw @ raw.T, atol=1e-6)


def test_without_it_256_dimensions_are_refused(values):
    values["collections"] = {"docs": {"dimensions": 256}}
    with pytest.raises(ConfigError, match=r"768 only.*nest"):
        connect(values, Runtime(test_registry()))
