"""Rotations: fitted, known by their content, and kept in files that are what they say or refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nestvec._artifacts import About, Artifact, is_fingerprint, save
from nestvec.encoding.rotation import directions, fault, fingerprint, fit_rotation, unnest
from nestvec.encoding.vectors import nest, normalize
from nestvec.errors import ConfigError, InvalidInput

MODEL = "some/model"


def sample(seed: int, rows: int, size: int) -> np.ndarray:
    """Vectors of length 1 whose variance lies in directions that no prefix follows."""
    generator = np.random.default_rng(seed)
    mixing = generator.standard_normal((size, size)) / np.arange(1, size + 1)[:, None]
    return normalize((generator.standard_normal((rows, size)) @ mixing + 0.3).astype(np.float32))


SAMPLES = st.builds(sample, st.integers(0, 2**32 - 1), st.integers(2, 60), st.integers(1, 24))


@settings(max_examples=40)
@given(SAMPLES)
def test_a_fitted_rotation_is_orthogonal_and_changes_no_cosine_at_full_size(vectors: np.ndarray) -> None:
    if (vectors == vectors[0]).all():
        return  # of one dimension: all alike
    rotation = fit_rotation(vectors)
    assert rotation.dtype == np.float32
    assert fault(rotation, vectors.shape[1]) is None
    turned = nest(vectors, rotation)
    np.testing.assert_allclose(turned @ turned.T, vectors @ vectors.T, atol=1e-6)
    np.testing.assert_allclose(unnest(turned, rotation), vectors, atol=1e-6)


@settings(max_examples=40)
@given(SAMPLES)
def test_variance_falls_from_the_first_number_to_the_last(vectors: np.ndarray) -> None:
    if (vectors == vectors[0]).all():
        return
    variances = (vectors.astype(np.float64) @ fit_rotation(vectors)).var(axis=0)
    assert (np.diff(variances) <= 1e-7).all()
    # No other orthogonal prefix holds more of it: not that of the plain vectors either.
    assert (np.cumsum(variances) >= np.cumsum(vectors.astype(np.float64).var(axis=0)) - 1e-6).all()


@settings(max_examples=20)
@given(SAMPLES, st.randoms(use_true_random=False))
def test_the_same_vectors_in_any_order_give_the_same_fingerprint(vectors: np.ndarray, random: object) -> None:
    if (vectors == vectors[0]).all():
        return
    order = list(range(len(vectors)))
    random.shuffle(order)  # type: ignore[attr-defined]
    assert fingerprint(fit_rotation(vectors[order])) == fingerprint(fit_rotation(vectors))


def test_a_fit_does_not_alter_what_it_is_given() -> None:
    vectors = sample(1, 40, 8)
    before = vectors.copy()
    fit_rotation(vectors)
    assert (vectors == before).all()


def test_axes_point_so_that_their_largest_entry_is_positive() -> None:
    rotation = fit_rotation(sample(2, 200, 16))
    assert (rotation[np.abs(rotation).argmax(axis=0), np.arange(16)] > 0).all()


@pytest.mark.parametrize(("rows", "size", "found"), [(5, 16, 4), (200, 16, 16), (2, 16, 1)])
def test_a_sample_tells_apart_as_many_directions_as_it_has_rows_to_spare(rows: int, size: int, found: int) -> None:
    assert directions(sample(3, rows, size)) == found


def test_repeated_vectors_tell_nothing_apart() -> None:
    assert directions(np.tile(sample(4, 3, 16), (100, 1))) == 2
    assert directions(np.ones((10, 4), np.float32)) == 0


@pytest.mark.parametrize(
    ("vectors", "said"),
    [
        (np.ones((10, 4)), "all alike"),
        (np.ones((1, 4)), "at least two"),
        (np.ones(4), "at least two"),
        (np.ones((3, 0)), "at least two"),
        (np.array([[1.0, 2.0], [np.nan, 1.0]]), "NaN or infinity .vector number 1"),
        (np.array([[1.0, np.inf], [2.0, 1.0]]), "NaN or infinity .vector number 0"),
    ],
)
def test_what_cannot_be_fitted_on_is_refused(vectors: np.ndarray, said: str) -> None:
    with pytest.raises(InvalidInput, match=said):
        fit_rotation(vectors)


def test_a_fingerprint_is_of_the_numbers_not_of_how_they_lie_in_memory() -> None:
    rotation = fit_rotation(sample(5, 100, 16))
    assert is_fingerprint(fingerprint(rotation))
    assert fingerprint(np.asfortranarray(rotation)) == fingerprint(rotation)
    assert fingerprint(rotation.astype(">f4")) == fingerprint(rotation)
    assert fingerprint(np.ascontiguousarray(rotation.T)) != fingerprint(rotation)


# ------------------------------------------------------------ files


@pytest.fixture(scope="module")
def rotation() -> np.ndarray:
    return fit_rotation(sample(6, 200, 16))


@pytest.fixture
def kept(rotation: np.ndarray, tmp_path: Path) -> Artifact:
    return save(tmp_path / "artifacts", rotation, About(MODEL, 16, "tests", 200, "2026-11-25T00:00:00+00:00"))


def files(artifact: Artifact) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in artifact.folder.iterdir()}


def test_what_was_kept_comes_back_bit_for_bit(rotation: np.ndarray, kept: Artifact) -> None:
    again = Artifact(kept.folder, kept.fingerprint)
    assert kept.fingerprint == fingerprint(rotation)
    assert (again.load() == rotation).all()
    assert not again.load().flags.writeable
    assert again.describe() == About(MODEL, 16, "tests", 200, "2026-11-25T00:00:00+00:00")
    assert sorted(files(kept)) == [f"{kept.fingerprint}.json", f"{kept.fingerprint}.npy"], "and nothing beside them"


def test_keeping_it_again_alters_nothing(rotation: np.ndarray, kept: Artifact) -> None:
    before = files(kept)
    assert save(kept.folder, rotation, About(MODEL, 16, "elsewhere", 7, "later")) == kept
    assert files(kept) == before


def test_the_half_that_is_missing_is_written_again(rotation: np.ndarray, kept: Artifact) -> None:
    kept.about.unlink()
    assert save(kept.folder, rotation, About(MODEL, 16, "again")).describe().source == "again"


def test_an_artifact_of_another_model_is_not_overwritten(rotation: np.ndarray, kept: Artifact) -> None:
    before = files(kept)
    with pytest.raises(ConfigError, match=f"is of {MODEL} .* not of other/model"):
        save(kept.folder, rotation, About("other/model", 16))
    assert files(kept) == before


def test_a_damaged_matrix_is_not_overwritten(rotation: np.ndarray, kept: Artifact) -> None:
    kept.matrix.write_bytes(b"precious")
    with pytest.raises(ConfigError, match="cannot be read"):
        save(kept.folder, rotation, About(MODEL, 16))
    assert kept.matrix.read_bytes() == b"precious"


@pytest.mark.parametrize("failing", [KeyboardInterrupt, OSError(28, "No space left on device")])
def test_an_interrupted_writer_leaves_nothing(
    rotation: np.ndarray, tmp_path: Path, failing: BaseException, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(*_: object) -> None:
        raise failing

    monkeypatch.setattr("os.fsync", stop)
    with pytest.raises((KeyboardInterrupt, ConfigError)):
        save(tmp_path, rotation, About(MODEL, 16))
    assert list(tmp_path.iterdir()) == []


def test_no_matrix_is_kept_that_is_no_rotation(rotation: np.ndarray, tmp_path: Path) -> None:
    for matrix, said in [
        (rotation * 2, "not orthogonal"),
        (rotation[:8], "shape"),
        (rotation.astype(float), "float64"),
    ]:
        with pytest.raises(InvalidInput, match=said):
            save(tmp_path, matrix, About(MODEL, 16))
    assert list(tmp_path.iterdir()) == []


def _flip(artifact: Artifact) -> None:
    content = bytearray(artifact.matrix.read_bytes())
    content[-3] ^= 1  # in the middle of a number: still orthogonal to 1e-6
    artifact.matrix.write_bytes(content)


def _matrix(change: Callable[[np.ndarray], np.ndarray]) -> Callable[[Artifact], None]:
    return lambda artifact: np.save(artifact.matrix, change(np.load(artifact.matrix)))


def _text(artifact: Artifact, **changes: object) -> None:
    artifact.about.write_text(json.dumps(json.loads(artifact.about.read_text()) | changes))


def _nan(matrix: np.ndarray) -> np.ndarray:
    return np.where(np.eye(16, dtype=bool), np.float32("nan"), matrix)


CORRUPTIONS: dict[str, tuple[Callable[[Artifact], object], str]] = {
    "no matrix": (lambda a: a.matrix.unlink(), "there is no file .*npy"),
    "no description": (lambda a: a.about.unlink(), "there is no file .*json"),
    "an empty matrix": (lambda a: a.matrix.write_bytes(b""), "cannot be read"),
    "half a matrix": (lambda a: a.matrix.write_bytes(a.matrix.read_bytes()[:300]), "cannot be read"),
    "a pickle": (lambda a: np.save(a.matrix, np.array([{}], object), allow_pickle=True), "cannot be read"),
    "an archive": (lambda a: np.savez(a.matrix.open("wb"), one=np.eye(16)), "no single matrix"),
    "a bit": (_flip, "is damaged"),
    "doubles": (_matrix(lambda matrix: matrix.astype(np.float64)), "float64"),
    "another size": (_matrix(lambda matrix: np.eye(8, dtype=np.float32)), "shape"),
    "not square": (_matrix(lambda matrix: matrix[:8]), "shape"),
    "stretched": (_matrix(lambda matrix: matrix * np.float32(1.01)), "not orthogonal"),
    "NaN": (_matrix(_nan), "NaN"),
    "another rotation": (_matrix(lambda matrix: np.ascontiguousarray(matrix.T)), "has the fingerprint"),
    "no JSON": (lambda a: a.about.write_text("{"), "json cannot be read"),
    "no object": (lambda a: a.about.write_text("[]"), "json cannot be read"),
    "not UTF-8": (lambda a: a.about.write_bytes(b"\xff"), "json cannot be read"),
    "a key less": (lambda a: a.about.write_text(json.dumps({"fingerprint": a.fingerprint})), "cannot be read.*model"),
    "of another": (lambda a: _text(a, fingerprint="0" * 16), "it describes 0000000000000000"),
    "no size": (lambda a: _text(a, dimensions="16"), "positive whole number"),
}


@pytest.mark.parametrize("corruption", CORRUPTIONS)
def test_every_corruption_is_noticed_and_says_what_to_do(kept: Artifact, corruption: str) -> None:
    damage, said = CORRUPTIONS[corruption]
    damage(kept)
    with pytest.raises(ConfigError, match=said) as caught:
        kept.load()
    assert kept.fingerprint in str(caught.value)
    assert "nestvec nest" in str(caught.value)


@pytest.mark.parametrize("text", ["", "../../etc/passwd", "2CAED0EFCFA543D4", "2caed0efcfa543d4\n", "2caed0efcfa543d"])
def test_nothing_but_a_fingerprint_names_a_file(text: str) -> None:
    assert not is_fingerprint(text)
