"""Vectors, on whole matrices of float32: prefixes, nesting, renormalising; and what happens around every `Encode`.

A Matryoshka prefix is a vector of its own only after it is renormalised (Kusupati et al., arXiv 2205.13147).
*Nesting* gives such prefixes to a model that was not trained for them: an orthogonal rotation onto the principal axes
of a sample changes no cosine at full length and puts most of the information in front.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from nestvec.contract import Encode, Encoded, EncodeFailure
from nestvec.errors import EmbedderInvalidReply, PluginBroken, Unsupported

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from nestvec.capabilities import ModelCapabilities
    from nestvec.contract import Group
    from nestvec.types import FloatArray

#: Lengths that databases can compare. They square vectors in float32, where less vanishes and more overflows.
SHORTEST, LONGEST = 1e-15, 1e15
#: How far the square of a length may be from 1: vectors that were computed or sent in float16 are no further off.
_ROUNDING = 2e-3


def normalize(vectors: FloatArray) -> FloatArray:
    """Scale rows to length 1: shape (n, d) in and out. A row of zeros stays zero, without a warning."""
    # float64 norms: a float32 sum of squares loses digits at 1,024 dimensions, and overflows at 1e19.
    norms = np.linalg.norm(vectors.astype(np.float64), axis=1, keepdims=True)
    np.copyto(norms, 1.0, where=norms == 0)
    scaled: FloatArray = (vectors / norms).astype(np.float32)
    return scaled


def truncate(vectors: FloatArray, dimensions: int, *, normalized: bool = True) -> FloatArray:
    """The first `dimensions` columns of shape (n, d ≥ dimensions), renormalised unless told otherwise."""
    if not 1 <= dimensions <= vectors.shape[1]:
        raise Unsupported(f"vectors of {vectors.shape[1]} dimensions have no prefix of {dimensions}")
    prefix = np.ascontiguousarray(vectors[:, :dimensions], dtype=np.float32)
    return normalize(prefix) if normalized else prefix


def nest(vectors: FloatArray, rotation: FloatArray) -> FloatArray:
    """Rotate rows: shape (n, d) times an orthogonal (d, d)."""
    return np.ascontiguousarray(vectors @ rotation, dtype=np.float32)


def check_vectors(vectors: FloatArray, rows: int, dimensions: int, source: str) -> FloatArray:
    """Return float32 of shape (rows, dimensions), or raise `EmbedderInvalidReply`. See `fitting` for what is in it."""
    array = np.asarray(vectors)
    if array.shape != (rows, dimensions):
        raise EmbedderInvalidReply(f"{source} returned vectors of shape {array.shape}; expected {(rows, dimensions)}")
    with np.errstate(over="ignore"):  # what is too large becomes infinite, and that is a failure
        return np.ascontiguousarray(array, dtype=np.float32)


def without_direction(vectors: FloatArray) -> NDArray[np.bool_]:
    """Which rows of shape (n, d) have no direction that a database could compare: zeros, or far too short or long."""
    with np.errstate(over="ignore"):
        squares = np.einsum("ij,ij->i", vectors, vectors, dtype=np.float64)
    wrong: NDArray[np.bool_] = ~((squares >= SHORTEST**2) & (squares <= LONGEST**2))
    return wrong


def fitting(number: int, group: Group, vectors: FloatArray, model: ModelCapabilities) -> FloatArray | EncodeFailure:
    """The vectors of a group as they are stored; or its failure, where one has no direction that a search could find.

    Those of a model that gives lengths of 1 have that length: some hosts cut vectors and leave them shorter, and scores
    would come out of bounds. What is 1 but for rounding stays bit for bit what it is.
    """
    with np.errstate(over="ignore", invalid="ignore"):
        squares = np.einsum("ij,ij->i", vectors, vectors, dtype=np.float64)
    sound = (squares >= SHORTEST**2) & (squares <= LONGEST**2)
    if not sound.all():
        return _failure(number, group, vectors, int(np.flatnonzero(~sound)[0]), model)
    return scaled(vectors, squares) if model.normalized else vectors


def scaled(vectors: FloatArray, squares: NDArray[np.float64] | None = None) -> FloatArray:
    """Rows of shape (n, d) with length 1; those that have it but for rounding stay bit for bit what they are."""
    known = np.einsum("ij,ij->i", vectors, vectors, dtype=np.float64) if squares is None else squares
    off = np.abs(known - 1) > _ROUNDING
    if not off.any():
        return vectors
    found = vectors.copy()
    found[off] = normalize(vectors[off])
    return found


def _failure(number: int, group: Group, vectors: FloatArray, span: int, model: ModelCapabilities) -> EncodeFailure:
    length = float(np.linalg.norm(vectors[span].astype(np.float64)))
    what = f"a vector of length {length:.1g}" if length else "a vector of zeros only"
    what = what if np.isfinite(vectors[span]).all() else "a vector with NaN or infinity"
    told = (
        f"{model.model}, document {group.key!r:.80}, returned {what}, which has no direction to compare (number "
        f"{span}); embed it again, and if that goes on, look into the embedder's host and its log"
    )
    return EncodeFailure(number, EmbedderInvalidReply(told), span)


def widen(request: Encode, model: ModelCapabilities) -> Encode:
    """What to ask of the embedder: full vectors where the core nests them, else exactly what is wanted."""
    if request.late and not model.late_chunking:
        raise Unsupported(f"{model.model} does not offer late chunking; set late_chunking = false")
    return replace(request, dimensions=model.dimensions) if model.rotation else request


def checked(request: Encode, reply: Encoded, model: ModelCapabilities) -> Encoded:
    """The reply to exactly this request: every group is there, as float32, or its failure is (see `fitting`).

    Raises `EmbedderInvalidReply` where it breaks the contract.
    """
    if len(reply.vectors) != len(request.groups):
        raise EmbedderInvalidReply(
            f"{model.model} answered {len(reply.vectors)} documents; {len(request.groups)} were sent"
        )
    failed = {failure.group: failure for failure in reply.failures}
    if any(not 0 <= number < len(reply.vectors) or reply.vectors[number] is not None for number in failed):
        raise EmbedderInvalidReply(
            f"{model.model} named a failure for a document that it embedded, or was not asked for"
        )
    vectors: list[FloatArray | None] = []
    for number, (group, rows) in enumerate(zip(request.groups, reply.vectors, strict=True)):
        if rows is None:
            failed.setdefault(number, _silent(number, model))
            vectors.append(None)
            continue
        shape = len(group.spans), request.dimensions
        if (
            isinstance(rows, np.ndarray)
            and rows.dtype == np.float32
            and rows.shape == shape
            and rows.flags.c_contiguous
        ):
            vectors.append(rows)
            continue
        vectors.append(check_vectors(rows, *shape, f"{model.model}, document {group.key!r:.80},"))
    return _fitting(request, replace(reply, vectors=tuple(vectors), failures=tuple(failed.values())), model)


def _fitting(request: Encode, reply: Encoded, model: ModelCapabilities) -> Encoded:
    """The reply with every vector as it is stored; groups with one that cannot be compared become failures."""
    if _all_fit([rows for rows in reply.vectors if rows is not None], model):
        return reply
    vectors: list[FloatArray | None] = []
    failures: list[EncodeFailure] = []
    for number, (group, rows) in enumerate(zip(request.groups, reply.vectors, strict=True)):
        found = None if rows is None else fitting(number, group, rows, model)
        if isinstance(found, EncodeFailure):
            failures.append(found)
            found = None
        vectors.append(found)
    return replace(reply, vectors=tuple(vectors), failures=(*reply.failures, *failures))


def _all_fit(parts: Sequence[FloatArray], model: ModelCapabilities) -> bool:
    """Whether all rows are as they are stored, as nearly always: told of all at once, and not of each document."""
    if not parts:
        return True
    rows = np.concatenate(parts) if len(parts) > 1 else parts[0]
    least, most = (1 - _ROUNDING, 1 + _ROUNDING) if model.normalized else (SHORTEST**2, LONGEST**2)
    with np.errstate(over="ignore", invalid="ignore"):
        squares = np.einsum("ij,ij->i", rows, rows, dtype=np.float64)
        return bool(((squares >= least) & (squares <= most)).all())


def finish(request: Encode, reply: Encoded, model: ModelCapabilities, rotation: FloatArray | None) -> Encoded:
    """Check the reply, nest and cut it. Raises `EmbedderInvalidReply` where it breaks the contract."""
    sound = checked(widen(request, model), reply, model)
    if model.rotation is None:
        return sound
    vectors = (None if rows is None else _fit(rows, request.dimensions, model, rotation) for rows in sound.vectors)
    return _fitting(request, replace(sound, vectors=tuple(vectors)), model)  # a prefix may have lost it


def _fit(rows: FloatArray, dimensions: int, model: ModelCapabilities, rotation: FloatArray | None) -> FloatArray:
    if rotation is None:
        raise PluginBroken(
            f"{model.model} is nested with rotation {model.rotation}, but its embedder offers no rotation; "
            f"reinstall the embedder's package"
        )
    return truncate(nest(rows, rotation), dimensions, normalized=model.normalized)


def _silent(number: int, model: ModelCapabilities) -> EncodeFailure:
    return EncodeFailure(number, EmbedderInvalidReply(f"{model.model} returned neither vectors nor a reason"))
