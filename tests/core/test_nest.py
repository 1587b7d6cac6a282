"""Fitting a rotation on what a collection holds, or on texts: what is sampled, refused, gained and written."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nestvec._artifacts import Artifact
from nestvec._client import aconnect, connect
from nestvec._documents.sampling import choose_texts
from nestvec.encoding.rotation import fit_rotation, unnest
from nestvec.errors import InvalidInput, Unsupported
from nestvec.nesting.fitting import different, fit
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
    assert again == replace(report, new=False)
    assert report.new
    assert report.vectors + report.questions + report.searched == len(stored)
    assert (report.questions, report.searched) == (len(stored) // 10, len(stored) // 5)
    assert "is small" in report.warnings[0]
    assert f"measured among {report.searched} vectors only" in report.warnings[1]
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
    assert found == replace(wanted, new=False)
    assert found.vectors + found.questions + found.searched == 150


def test_texts_are_embedded_as_the_model_gives_them(filled: Path) -> None:
    with connect(values(filled)) as nv:
        report = nv.nest(texts=texts()[:150])
    about = Artifact(filled / "artifacts", report.fingerprint).describe()
    assert (about.model, about.dimensions, about.vectors) == ("intfloat/multilingual-e5-small", 384, 150)
    assert not report.recall
    assert "was not measured" in report.warnings[-1]


def test_what_cannot_be_nested_says_why(filled: Path) -> None:
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


def random(amount: int, dimensions: int = 64, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((amount, dimensions)).astype(np.float32)


def test_what_is_measured_on_was_not_fitted_on() -> None:
    """Neither the questions nor what they search: the rotation is that of the others alone."""
    rows = random(400)
    found = fit(rows)
    assert (found.questions, found.searched, found.vectors) == (40, 80, 280)
    np.testing.assert_array_equal(found.rotation, fit_rotation(rows[120:]))


def test_the_figures_are_of_what_was_held_out() -> None:
    """Those fitted on lie in a plane that the others have nothing in: a prefix of that plane finds none of them."""
    rows = random(1000)
    rows[:300, :32], rows[300:, 32:] = 0, 0
    half = fit(rows).recall[-1]
    assert half.dimensions == 32
    assert half.nested < 0.3
    fading = np.float32(0.7) ** np.arange(64, dtype=np.float32)
    assert fit(random(1000) * fading).recall[-1].nested > 0.99


def test_too_few_or_repeated_vectors_do_not_suffice() -> None:
    rows = random(400)
    for few in (rows[:16], np.tile(rows[:10], (50, 1)), rows[:0]):
        with pytest.raises(InvalidInput, match=r"do not suffice .* give at least 17 different texts, better 364"):
            fit(few)
    assert fit(rows[:17]).vectors == 17


@pytest.mark.parametrize("amount", [17, 199, 200, 363, 364, 4999, 5000, 30_000])
def test_a_small_sample_is_told_and_more_of_it_is_never_refused(amount: int) -> None:
    found = fit(random(amount, 64))
    assert found.vectors + found.questions + found.searched == amount
    told = "\n".join(found.warnings)
    assert ("is small: with 364 or more" in told) == (amount < 364)
    assert ("not measured: so small a sample" in told) == (amount < 200) == (not found.recall)
    assert ("only, and among more of them prefixes find less" in told) == (200 <= amount < 5000)
    if amount < 200:
        assert "at least 200 different texts" in told


@pytest.mark.parametrize("amount", [193, 273, 274])
def test_nothing_is_held_out_that_is_needed_to_fit_on(amount: int) -> None:
    found = fit(random(amount, 768))
    assert found.vectors > 192
    assert (found.vectors == amount) == (not found.recall) == (amount < 274)
    assert found.recall or "at least 274 different texts" in found.warnings[-1]


def test_a_sample_of_texts_depends_on_the_seed_and_not_on_the_order() -> None:
    names = [f"text {i}" for i in range(1000)]
    chosen = choose_texts(names, 50)
    assert len(set(chosen)) == 50
    assert choose_texts([*reversed(names), *names], 50) == chosen
    assert choose_texts(names, 50, seed=1) != chosen


def test_of_equal_vectors_the_first_counts() -> None:
    rows = random(5)
    np.testing.assert_array_equal(different(rows[[3, 1, 3, 0, 1, 4]]), rows[[3, 1, 0, 4]])
    assert different(rows[:0]).shape == (0, 64)
