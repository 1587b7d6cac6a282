"""Separation: characters of Star Wars and of Disney, alike within their world and unlike across."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import numpy as np
from _shared import connected, documents, main, say


def run(real: bool) -> None:
    """Compare all characters with each other, by the vectors that are stored."""
    with connected(__file__, real=real, vectors="e5") as nv:
        characters = nv["characters"]
        characters.upsert(documents(__file__, "characters.jsonl"))
        found = characters.matrix()
    names, worlds = found.document_ids, np.array([each["world"] for each in found.metadata])
    cosines = found.vectors @ found.vectors.T  # stored vectors are of unit length
    others = ~np.eye(len(names), dtype=bool)
    same = worlds[:, None] == worlds

    for world in np.unique(worlds):
        inside = np.outer(worlds == world, worlds == world) & others
        say(f"within {world + ':':<10} {cosines[inside].mean():.3f}")
    say(f"between:          {cosines[~same].mean():.3f}\n")

    nearest = np.where(others, cosines, -np.inf).argmax(axis=1)
    for number, name in enumerate(names):
        verdict = "same world" if same[number, nearest[number]] else "OTHER WORLD"
        say(f"{name:<15} is nearest to {names[nearest[number]]:<15} {verdict}")
    alike = sum(same[number, other] for number, other in enumerate(nearest))
    within, between = cosines[same & others].mean(), cosines[~same].mean()
    say(f"\nMean similarity {within:.3f} within and {between:.3f} between the worlds;")
    say(f"{alike} of {len(names)} characters have their nearest neighbour in their own world.")


if __name__ == "__main__":
    main(run)
