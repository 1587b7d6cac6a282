"""Vectors that are given go into every engine, and come out of it with documents and hits."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nestvec import Chunk, Document
from nestvec._client import connect
from nestvec.capabilities import Power
from nestvec.encoding.vectors import normalize
from nestvec.runtime import Runtime
from nestvec_testing.registry import test_registry

from .engines import ENGINES, PARAMETERS

TEXTS = [f"text number {i}, of several words" for i in range(40)]


@pytest.fixture(params=PARAMETERS)
def client(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Any]:
    with ENGINES[request.param](tmp_path) as engine:
        values = {
            "backends": {"store": {"use": engine.use, **engine.options}},
            "embedders": {"model": {"use": "recording"}},
            "collections": {
                name: {"dimensions": 16, "chunking": {"size": 20}, "fields": {"n": "integer"}}
                for name in ("docs", "twin")
            },
        }
        with connect(values, Runtime(test_registry())) as opened:
            opened.apply()
            yield opened


def test_what_goes_in_comes_out_and_goes_in_again(client: Any) -> None:
    docs, fingerprint = client["docs"], client["docs"].space.fingerprint
    rows = client.embed(TEXTS, task="retrieval.passage", dimensions=16)
    report = docs.upsert_records(range(40), TEXTS, rows * 3, [{"n": i} for i in range(40)], vectors_from="measure")
    parts = [Chunk("one part", rows[0]), Chunk("another part", rows[1]), Chunk("a third one")]
    documents = [Document("parts", chunks=parts), Document("blank", "", vector=rows[2])]
    report += docs.upsert(documents, vectors_from=fingerprint)
    assert (report.given, report.embedded) == (43, 1)
    if Power.SETTLING in docs._among.live.state.capabilities.powers:
        docs.settle()

    found = {each.id: each for each in docs.get_many([*range(40), "parts", "blank"], vectors=True)}
    vectors = np.stack([found[str(i)].vector for i in range(40)])
    np.testing.assert_allclose(normalize(vectors), rows, atol=1e-5)
    assert [found[str(i)].text for i in range(40)] == TEXTS
    assert [(each.text, each.span) for each in found["parts"].chunks] == [
        ("one part", (0, 8)),
        ("another part", (10, 22)),
        ("a third one", (24, 35)),
    ]
    assert found["blank"].text == ""

    hits = docs.search(vector=rows[7], where={"n": 7}, vectors=True, limit=3)
    assert [hit.document_id for hit in hits] == ["7"]
    np.testing.assert_allclose(normalize(hits[0].vector[None])[0], rows[7], atol=1e-5)
    assert hits[0].score == pytest.approx(1, abs=1e-4)

    again = docs.upsert_records(range(40), TEXTS, rows * 3, [{"n": i} for i in range(40)], vectors_from=fingerprint)
    assert (again.unchanged, again.given) == (40, 0)
    twin = client["twin"]
    assert twin.upsert(found.values(), vectors_from=fingerprint).embedded == 0
    assert {each.id: each for each in twin.get_many(list(found), vectors=True)} == found
    assert client.status("docs")[0].outdated == 0


def test_a_copy_keeps_them(client: Any) -> None:
    docs, twin = client["docs"], client["twin"]
    rows = client.embed(TEXTS[:3], task="retrieval.query", dimensions=16)  # whoever says so is believed
    docs.upsert(Document("a", chunks=[Chunk(*pair) for pair in zip(TEXTS, rows, strict=False)]), vectors_from=docs)
    client.copy("docs", "twin")
    (one,), (two,) = docs.get_many(["a"], vectors=True), twin.get_many(["a"], vectors=True)
    assert one == two
    for before, after in zip(one.chunks, two.chunks, strict=True):
        np.testing.assert_allclose(before.vector, after.vector, atol=1e-6)
    assert (
        twin.upsert(
            Document("a", chunks=[Chunk(*pair) for pair in zip(TEXTS, rows, strict=False)]), vectors_from=twin
        ).unchanged
        == 3
    )
