"""Fitting a nesting rotation: Matryoshka prefixes for a model that was not trained for them.

What the first numbers of such a model's vectors say is arbitrary. Turned onto the principal axes of a sample, the
first numbers carry most of what tells texts apart. The matrix is orthogonal, so no cosine at full length changes.

Convention: vectors are rows, and `nested = vectors @ rotation`. Nothing is centred when encoding.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import numpy as np

from nestvec.errors import InvalidInput

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from nestvec.types import FloatArray

#: How far a rotation's columns may be from orthonormal: full-size cosines stay equal to 1e-6.
ORTHOGONAL = 1e-6


def fit_rotation(vectors: FloatArray) -> FloatArray:
    """The rotation onto the principal axes of `vectors`: float32 (d, d), for `vectors @ rotation`.

    `vectors` has shape (n, d), n at least 2, and is centred for the fit only. All d directions are kept, those with
    the largest variance first; each points so that its largest entry is positive. The order of the rows does not
    matter, and the same rows give the same bits on the same kind of machine (elsewhere the last bits may differ: an
    artifact is fitted once and then copied). Where fewer directions vary than there are dimensions, the others follow
    in an arbitrary but orthogonal way; see `directions`.

    Raises `InvalidInput` for another shape, for NaN or infinity, and for vectors that are all alike.
    """
    values, axes = _principal(vectors)
    if values[-1] <= 0.0:
        raise InvalidInput("a rotation cannot be fitted on vectors that are all alike")
    axes = axes[:, ::-1]
    largest = axes[np.abs(axes).argmax(axis=0), np.arange(len(axes))]
    return np.ascontiguousarray(axes * np.where(largest < 0, -1.0, 1.0), dtype=np.float32)


def directions(vectors: FloatArray) -> int:
    """How many directions a sample of shape (n, d) tells apart, up to the rounding of float32: at most n - 1 and d."""
    values, _ = _principal(vectors)
    # Singular values are roots of these; what is below the rounding of the numbers handed in says nothing.
    least = (max(vectors.shape) * float(np.finfo(np.float32).eps)) ** 2 * max(float(values[-1]), 0.0)
    return int(np.count_nonzero(values > least))


def fingerprint(rotation: FloatArray) -> str:
    """The first 16 hex digits of the SHA-256 of the matrix as little-endian float32 in C order."""
    return hashlib.sha256(rotation.astype("<f4").tobytes(order="C")).hexdigest()[:16]


def fault(rotation: NDArray[np.generic], dimensions: int | None = None) -> str | None:
    """What keeps a matrix from being a rotation (of that many dimensions), in a few words; None: it is one."""
    if rotation.dtype != np.dtype("<f4"):
        return f"it holds {rotation.dtype}, not float32"
    size = len(rotation) if dimensions is None and rotation.ndim == 2 else dimensions
    if rotation.shape != (size, size) or not size:
        return f"its shape is {rotation.shape}, not {(size, size) if size else 'square'}"
    if not np.isfinite(rotation).all():
        return "it holds NaN or infinity"
    exact = rotation.astype(np.float64)
    off = float(np.abs(exact.T @ exact - np.eye(len(exact))).max())
    return f"it is not orthogonal: off by {off:.1e}, allowed {ORTHOGONAL:.0e}" if off > ORTHOGONAL else None


def unnest(vectors: FloatArray, rotation: FloatArray) -> FloatArray:
    """The model's own vectors again, from full-length ones that a rotation turned: shape (n, d)."""
    return (vectors.astype(np.float64) @ rotation.T.astype(np.float64)).astype(np.float32)


def _principal(vectors: FloatArray) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Variances in ascending order, and their axes as columns."""
    rows = _sorted(_checked(vectors)).astype(np.float64)
    rows -= rows.mean(axis=0)
    # The right singular vectors of the rows, by way of the covariance: a tenth of the time for many rows.
    values, axes = np.linalg.eigh(rows.T @ rows / len(rows))
    return values, axes


def _checked(vectors: FloatArray) -> FloatArray:
    rows = np.asarray(vectors)
    if rows.ndim != 2 or len(rows) < 2 or not rows.shape[1]:
        raise InvalidInput(f"a rotation is fitted on a matrix of at least two vectors, not on shape {rows.shape}")
    rows = np.ascontiguousarray(rows, dtype=np.float32)
    if not np.isfinite(rows).all():
        bad = int(np.flatnonzero(~np.isfinite(rows).all(axis=1))[0])
        raise InvalidInput(f"a rotation cannot be fitted on NaN or infinity (vector number {bad})")
    return rows


def _sorted(rows: FloatArray) -> FloatArray:
    """The rows in an order of their own: sums of floats depend on it in the last bits."""
    return rows[sorted(range(len(rows)), key=lambda i: rows[i].tobytes())]
