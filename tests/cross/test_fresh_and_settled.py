"""What was just ingested is found in every engine, as it is and when it has settled: 6,000 documents, exact search."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from nestvec._client import Collection, connect
from nestvec.filters import F
from nestvec.runtime import Runtime
from nestvec.types import Document
from nestvec_testing.registry import test_registry

from .engines import ENGINES, PARAMETERS, Engine

MANY = 6000


@pytest.fixture(scope="module", params=PARAMETERS)
def engine(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    with ENGINES[request.param](tmp_path_factory.mktemp("engine")) as opened:
        yield opened


@pytest.fixture(scope="module")
def docs(engine: Engine) -> Iterator[Collection]:
    # HNSW is to find all but a few of random vectors, which are the hardest, for the loss to be that of freshness.
    thorough = {"milvus": {"hnsw_ef": 512}} if engine.approximate else {}
    values = {
        "backends": {"store": {"use": engine.use, **engine.options}},
        "embedders": {"model": {"use": "recording", "dimensions": 64, "batch": 500}},
        "collections": {"many": {"dimensions": 64, "fields": {"number": "integer"}, **thorough}},
    }
    with connect(values, Runtime(test_registry())) as opened:
        opened.apply()
        given = (Document(f"d{i}", f"text number {i}", {"number": i}) for i in range(MANY))
        assert opened["many"].upsert(given).unsettled is None
        yield opened["many"]


@pytest.mark.parametrize("state", ["fresh", "settled"])
def test_searches_find_what_was_ingested(docs: Collection, engine: Engine, state: str) -> None:
    if state == "settled":
        docs.settle()
    for number in range(5, MANY, MANY // 20):
        hits = docs.search("what is asked for?", where=F.number == number)
        assert [hit.document_id for hit in hits] == [f"d{number}"]
    questions = [f"question {i}" for i in range(20)]
    exact = np.sort(docs.embed(questions) @ docs.matrix().vectors.T, axis=1)[:, :-11:-1]
    scores = np.array([[hit.score for hit in found] for found in docs.search_many(questions, limit=10)])
    assert np.mean(scores >= exact[:, -1:] - 1e-4) >= (0.95 if engine.approximate else 1.0)
