"""The nesting rotation: an orthogonal matrix that makes prefixes of e5 vectors usable.

The model was not trained for Matryoshka truncation: what its first 64 numbers say is arbitrary. Turned onto
the principal axes of a large multilingual sample, the first numbers carry most of what tells texts apart.
The matrix is orthogonal, so full-size cosines stay as they were.

Convention: vectors are rows and `rotated = vectors @ rotation`; a prefix of length k is then
`rotated[:, :k]`, renormalised. Nothing is centred when encoding.

`scripts/fit_rotation.py` makes the matrices and `data/rotations.json` says what they were fitted on.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from nestvec.errors import PluginBroken, Unsupported

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

DIMENSIONS = 384

#: The fingerprint of each model's rotation. Vectors rotated by different matrices cannot be compared, so it
#: is part of the embedding space: changing a matrix orphans every stored collection.
FINGERPRINTS: dict[str, str] = {
    "multilingual-e5-small": "2caed0efcfa543d4",
    "portuguese-multilingual-e5-small": "0ae90fca564e1c3a",
}

_DATA = Path(__file__).parent / "data"


def load_rotation(model: str) -> NDArray[np.float32]:
    """Return the rotation of `model`: read-only float32 of shape (384, 384), for `vectors @ rotation`.

    `model` is a key of `FINGERPRINTS`. Reads the file on every call; the caller keeps the array, which may be
    shared by any number of threads. Raises `Unsupported` for a model without a rotation, and `PluginBroken`
    when the file is missing, damaged or not the pinned one.
    """
    from nestvec.encoding.rotation import fingerprint

    if model not in FINGERPRINTS:
        known = ", ".join(sorted(FINGERPRINTS))
        raise Unsupported(f"nestvec-e5 has no nesting rotation for the model {model!r}; it has one for: {known}")
    path = _DATA / f"rotation-{model}.npy"
    rotation = _read(path, model)
    found = fingerprint(rotation)
    if found != FINGERPRINTS[model]:
        raise PluginBroken(
            f"The nesting rotation of {model} is not the pinned one: {path} has the fingerprint {found}, "
            f"expected {FINGERPRINTS[model]}. Vectors turned by it would not match stored ones. "
            "Reinstall nestvec-e5."
        )
    rotation.flags.writeable = False
    return rotation


def _read(path: Path, model: str) -> NDArray[np.float32]:
    import numpy as np

    try:
        with path.open("rb") as file:
            rotation = np.load(file, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise PluginBroken(
            f"The nesting rotation of {model} cannot be read from {path}: {error}. Reinstall nestvec-e5."
        ) from error
    if rotation.shape != (DIMENSIONS, DIMENSIONS) or rotation.dtype != np.dtype("<f4"):
        raise PluginBroken(
            f"The nesting rotation of {model} in {path} is {rotation.dtype} of shape {rotation.shape}, "
            f"expected float32 of shape ({DIMENSIONS}, {DIMENSIONS}). Reinstall nestvec-e5."
        )
    return np.ascontiguousarray(rotation, dtype=np.float32)
