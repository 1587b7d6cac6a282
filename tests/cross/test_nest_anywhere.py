"""A rotation is fitted on what any engine holds: with namespaces and without, of nestvec's own and of adopted ones."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nestvec._artifacts import Artifact
from nestvec._client import connect
from nestvec.errors import SpaceUnknown
from nestvec.runtime import Runtime
from nestvec.types import Document
from nestvec_testing.memory import make_foreign
from nestvec_testing.registry import test_registry

from .engines import ENGINES, Engine

TEXTS = [f"The river {i} runs by stone {i % 7} in winter {i % 5}." for i in range(40)]
TENANTS = ("acme", "zenith")
SIZE = 16


RUNTIME = Runtime(test_registry())


def values(engine: Engine, folder: Path, **collection: Any) -> dict[str, Any]:
    return {
        "artifacts": str(folder / "artifacts"),
        "backends": {"store": {"use": engine.use, **engine.options}},
        "embedders": {"model": {"use": "recording", "dimensions": SIZE, "matryoshka": False}},
        "collections": {"docs": {"purpose": "matching", **collection}},
    }


@pytest.fixture(params=["memory", "sqlite", "embedded-folder", "qdrant-folder", "milvus-lite", "pinecone"])
def engine(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Engine]:
    with ENGINES[request.param](tmp_path) as opened:
        yield opened


def test_all_namespaces_are_read_and_a_second_run_writes_nothing(engine: Engine, tmp_path: Path) -> None:
    """The same vectors under the same ids in two namespaces count once, and those of one alone are there, too."""
    with connect(values(engine, tmp_path, namespaces=True), RUNTIME) as nv:
        nv.apply()
        for tenant, texts in zip(TENANTS, (TEXTS[:30], TEXTS[20:]), strict=True):
            nv["docs"].namespace(tenant).upsert(Document(text, text) for text in texts)
        first = nv.nest("docs")
        files = {path.name: path.stat().st_mtime_ns for path in (tmp_path / "artifacts").iterdir()}
        second = nv.nest("docs")
        whole = nv.embed(TEXTS, task="text-matching")
    assert (first.vectors, first.new) == (len(TEXTS), True)
    assert second == replace(first, new=False)
    assert {path.name: path.stat().st_mtime_ns for path in (tmp_path / "artifacts").iterdir()} == files
    rotation = Artifact(tmp_path / "artifacts", first.fingerprint).load()
    off = np.cov(whole @ rotation, rowvar=False)
    np.testing.assert_allclose(off - np.diag(np.diag(off)), 0, atol=1e-4)


def test_an_adopted_collection_gives_a_sample_and_needs_no_namespaces(tmp_path: Path) -> None:
    foreign = {"collection": "articles", "text": "body"}
    config = values(Engine("memory", {}), tmp_path, adopt=True, foreign=foreign)
    with connect(config, RUNTIME) as nv:
        rows = nv.embed(TEXTS, task="text-matching")
        make_foreign(nv.adapter("store"), "articles", {"": rows}, [{"body": text} for text in TEXTS])
        with pytest.raises(SpaceUnknown, match="nestvec apply"):
            nv.nest("docs")
        nv.apply()
        assert nv.nest("docs").vectors == len(TEXTS)
