"""The page on duplicates, clusters and classification: its snippets run, one after the other, and do what they say."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "cluster-classify-deduplicate.md"


@pytest.fixture(scope="module")
def ran() -> Mapping[str, Any]:
    """What is defined when all snippets have run."""
    blocks = re.findall(r"^```python\n(.*?)^```", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    assert len(blocks) > 8
    names: dict[str, Any] = {}
    for number, block in enumerate(blocks):
        exec(compile(block, f"{PAGE.name}, snippet {number}", "exec"), names)
    return names


def test_the_purposes_of_its_table_are_those_of_the_model() -> None:
    from nestvec.encoding.tasks import JINA_V3

    rows = re.findall(r"^\| `(\w+)` \| .* \| `([\w-]+)` \|$", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    assert len(rows) == 3
    assert rows == [(purpose.value, pair.index) for purpose, pair in JINA_V3.items() if pair.index == pair.query]


def test_duplicates_are_found_both_ways(ran: Mapping[str, Any]) -> None:
    assert ran["lowest"] > ran["threshold"] > ran["highest"]
    late = ["letter-0", "letter-1", "letter-2"]
    assert ran["pairs"] == {("letter-0", "letter-1"), ("letter-0", "letter-2"), ("letter-1", "letter-2")}
    (members,) = ran["duplicates"]
    ids = ran["whole"].document_ids  # in the order of all rows, for each is one chunk
    assert sorted(ids[member] for member in members) == late


def test_documents_of_one_chunk_are_their_chunk(ran: Mapping[str, Any]) -> None:
    assert len(ran["whole"]) == len(ran["LETTERS"])
    np.testing.assert_allclose(np.linalg.norm(ran["whole"].vectors, axis=1), 1, atol=1e-6)


def test_clusters_are_the_topics(ran: Mapping[str, Any]) -> None:
    clusters = {}
    for text, label in zip(ran["found"].texts, ran["best"].labels_, strict=True):
        clusters.setdefault(label, set()).add(next(word for word in ("bus", "pool", "library") if word in text))
    assert sorted(map(sorted, clusters.values())) == [["bus"], ["library"], ["pool"]]


def test_new_texts_get_labels_and_what_says_nothing_gets_none(ran: Mapping[str, Any]) -> None:
    model = ran["model"]
    chosen = ran["probabilities"].max() > 0.6
    assert ran["text"] == "Hello?"
    assert not chosen
    assert model.score(ran["learned"].vectors, ran["labels"]) == 1
    assert model.predict(ran["learned"].vectors[:1]) == ran["labels"][:1]
