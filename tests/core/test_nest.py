"""Fitting a rotation on what a collection holds, or on texts: what is sampled, refused, gained and written."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nestvec.artifacts import Artifact
from nestvec.client import aconnect, connect
from nestvec.encoding.nesting import fit_rotation, unnest
from nestvec.errors import InvalidInput, Unsupported
from nestvec.flows.nest import fit
from nestvec.flows.sampling import choose_texts
from nestvec.types import Document

UDHR = Path(__file__).parents[2] / "benchmarks/data/udhr.json"


def texts() -> list[str]:
    every = json.loads(UDHR.read_text(encoding="utf-8"))["texts"]
    return list(dict.fromkeys(text[:120] for lines in every.values() for text in lines))[:220]


def values(folder: Path, **embedder: Any) -> dict[str, Any]:
    return {
        "artifacts": str(folder / "artifacts"),
        "backends": {"store": {"use": "qdrant", "path": str(folder / "qdrant")}},
        "embedders": {"small": {"use": "e5", **embedder}},
        "collections": {"docs": {}},
    }


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("nest")
    with connect(values(folder)) as nv:
        nv.apply()
        nv["docs"].upsert(Document(f"d{i}", text) for i, text in enumerate(texts()))
    return folder


def test_a_collection_under_a_rotation_gives_one_of_the_raw_vectors(filled: Path) -> None:
    """Nothing is embedded; the shipped rotation is undone, so the artifact takes its place."""
    with connect(values(filled)) as nv:
        report = nv.nest("docs")
        again = nv.nest("docs")
        stored, shipped = nv["docs"].matrix().vectors, nv.embedder("small").rotation()
    assert again.fingerprint == report.fingerprint
    assert report.vectors + report.held_out == len(stored)
    assert "fitted on" in report.warnings[0]
    rotation = Artifact(filled / "artifacts", report.fingerprint).load()
    raw = unnest(stored, shipped)
    np.testing.assert_allclose((raw @ rotation) @ (raw @ rotation).T, stored @ stored.T, atol=1e-6)
    assert [each.dimensions for each in report.recall] == [48, 96, 192]
    assert all(each.nested > each.plain for each in report.recall), report.recall
    with connect(values(filled, nesting=report.fingerprint) | {"collections": {"new": {"dimensions": 64}}}) as nv:
        assert nv["new"].spec.space.rotation == report.fingerprint
        nv.apply()
        nv["new"].upsert([Document("a", texts()[0]), Document("b", texts()[1])])
        assert nv["new"].search(texts()[1])[0].document_id == "b"


async def test_asynchronously_the_same(filled: Path) -> None:
    with connect(values(filled)) as nv:
        wanted = nv.nest("docs", sample=150, seed=7)
    async with aconnect(values(filled)) as nv:
        found = await nv.nest("docs", sample=150, seed=7)
    assert found == wanted
    assert found.vectors + found.held_out == 150


def test_texts_are_embedded_as_the_model_gives_them(filled: Path) -> None:
    with connect(values(filled)) as nv:
        report = nv.nest(texts=texts()[:150])
    about = Artifact(filled / "artifacts", report.fingerprint).describe()
    assert (about.model, about.dimensions, about.vectors) == ("intfloat/multilingual-e5-small", 384, 135)


def test_what_can_not_be_nested_says_why(filled: Path) -> None:
    short = values(filled) | {"collections": {"short": {"dimensions": 64}}}
    with connect(short) as nv, pytest.raises(Unsupported, match="holds 64 of 384 dimensions"):
        nv.nest("short")
    trained = values(filled) | {"embedders": {"small": {"use": "jina", "api_key": {"env": "NOT_SET"}}}}
    with connect(trained) as nv, pytest.raises(Unsupported, match="was trained for Matryoshka"):
        nv.nest("docs")
    with connect(values(filled)) as nv:
        with pytest.raises(InvalidInput, match="give one of them"):
            nv.nest()
        with pytest.raises(InvalidInput, match="do not suffice"):
            nv.nest(texts=["one", "two", "three"])


def test_too_few_or_repeated_vectors_do_not_suffice() -> None:
    rows = np.random.default_rng(0).standard_normal((400, 64)).astype(np.float32)
    assert fit(rows).vectors == 360
    assert not fit(rows).warnings
    for few in (rows[:16], np.tile(rows[:10], (50, 1)), rows[:0]):
        with pytest.raises(InvalidInput, match="do not suffice"):
            fit(few)
    np.testing.assert_array_equal(fit(rows).rotation, fit_rotation(rows[40:]))


def test_a_sample_of_texts_depends_on_the_seed_and_not_on_the_order() -> None:
    names = [f"text {i}" for i in range(1000)]
    chosen = choose_texts(names, 50)
    assert len(set(chosen)) == 50
    assert choose_texts([*reversed(names), *names], 50) == chosen
    assert choose_texts(names, 50, seed=1) != chosen
