from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from nestvec.capabilities import ModelCapabilities
from nestvec.encoding.sizes import check_dimensions
from nestvec.encoding.tasks import NO_TASKS
from nestvec.encoding.vectors import check_vectors, nest, normalize, truncate
from nestvec.errors import EmbedderInvalidReply, Unsupported

VECTORS = arrays(
    np.float32,
    array_shapes(min_dims=2, max_dims=2, max_side=40),
    elements=st.floats(-(2.0**60), 2.0**60, width=32, allow_subnormal=False),
)


@given(VECTORS, st.data())
def test_a_prefix_is_the_slice_renormalised(vectors: np.ndarray, data: st.DataObject) -> None:
    size = data.draw(st.integers(1, vectors.shape[1]))
    prefix = truncate(vectors, size)
    assert prefix.dtype == np.float32
    assert prefix.shape == (len(vectors), size)
    assert prefix.flags.c_contiguous
    for row, original in zip(prefix, vectors[:, :size].astype(np.float64), strict=True):
        length = np.linalg.norm(original)
        np.testing.assert_allclose(row, original / length if length else original, atol=2e-7)


@given(VECTORS)
def test_zero_rows_stay_zero_and_others_have_length_one(vectors: np.ndarray) -> None:
    with np.errstate(divide="raise", invalid="raise", over="raise"):
        lengths = np.linalg.norm(normalize(vectors).astype(np.float64), axis=1)
    zero = ~vectors.any(axis=1)
    assert (lengths[zero] == 0).all()
    np.testing.assert_allclose(lengths[~zero], 1, atol=1e-6)


def test_a_prefix_of_a_prefix_is_the_prefix() -> None:
    vectors = np.random.default_rng(0).standard_normal((50, 1024)).astype(np.float32)
    np.testing.assert_allclose(truncate(truncate(vectors, 512), 64), truncate(vectors, 64), atol=1e-6)


def test_an_unnormalised_model_keeps_its_lengths() -> None:
    vectors = np.array([[3, 4, 5]], np.float32)
    assert truncate(vectors, 2, normalized=False).tolist() == [[3, 4]]


def test_the_input_is_left_alone() -> None:
    vectors = np.full((2, 4), 2.0, np.float32)
    truncate(vectors, 4)
    assert (vectors == 2).all()


@pytest.mark.parametrize("dimensions", [0, -1, 5])
def test_impossible_prefixes_are_refused(dimensions: int) -> None:
    with pytest.raises(Unsupported, match="4 dimensions"):
        truncate(np.ones((1, 4), np.float32), dimensions)


def test_nesting_keeps_cosines() -> None:
    generator = np.random.default_rng(1)
    rotation = np.linalg.qr(generator.standard_normal((64, 64)))[0].astype(np.float32)
    vectors = normalize(generator.standard_normal((30, 64)).astype(np.float32))
    turned = nest(vectors, rotation)
    assert turned.dtype == np.float32
    np.testing.assert_allclose(turned @ turned.T, vectors @ vectors.T, atol=1e-6)


def model(**changes: object) -> ModelCapabilities:
    return ModelCapabilities(**{"model": "m", "dimensions": 1024, "min_dimensions": 1, "purposes": NO_TASKS, **changes})  # type: ignore[arg-type]


@pytest.mark.parametrize("dimensions", [0, -3, 1025, True, 2.0, "256", None])
def test_dimensions_that_a_model_does_not_offer(dimensions: object) -> None:
    with pytest.raises(Unsupported):
        check_dimensions(model(), dimensions)  # type: ignore[arg-type]


def test_the_message_says_what_a_model_offers() -> None:
    with pytest.raises(Unsupported, match="1 to 1024"):
        check_dimensions(model(), 2048)
    with pytest.raises(Unsupported, match=r"768 only: it has no Matryoshka prefixes \(nesting"):
        check_dimensions(model(dimensions=768, min_dimensions=768), 256)
    with pytest.raises(Unsupported, match=r"768 only$"):  # no nesting makes a vector longer
        check_dimensions(model(dimensions=768, min_dimensions=768), 1024)
    assert check_dimensions(model(), 1) == 1
    assert check_dimensions(model(), 1024) == 1024


def test_replies_are_checked() -> None:
    with pytest.raises(EmbedderInvalidReply, match=r"\(2, 3\); expected \(2, 4\)"):
        check_vectors(np.ones((2, 3), np.float32), 2, 4, "m")
    assert check_vectors(np.ones((1, 2), np.float64), 1, 2, "m").dtype == np.float32
