"""Retrieval: passages about lightsabers in six languages, questions about them in twelve others."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from _shared import connected, documents, main, rows, say


def run(real: bool) -> None:
    """Ask every question, and see whether its passage comes first."""
    questions = rows(__file__, "questions.jsonl")
    with connected(__file__, real=real, vectors="e5") as nv:
        lightsabers = nv["lightsabers"]
        lightsabers.upsert(documents(__file__, "passages.jsonl"))
        found = lightsabers.search_many([each["question"] for each in questions], limit=1)
    first = 0
    for asked, (hit,) in zip(questions, found, strict=True):
        right = hit.document_id == asked["answer"]
        first += right
        say(f"\n{asked['lang']}: {asked['question']}")
        say(f"    {hit.metadata['lang']}: {hit.text}\n    {'right' if right else 'WRONG'}, {hit.score:.3f}")
    say(f"\n{first} of {len(questions)} questions found their passage first; no passage is in a question's language.")


if __name__ == "__main__":
    main(run)
