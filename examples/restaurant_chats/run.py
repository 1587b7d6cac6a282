"""Late chunking: a line says "there" or "it", and the name of the restaurant stands lines before."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from _shared import connected, main, say

from nestvec import Document, Hit

#: The question, the chat, and words of the line that answers it. No such line has the name in it.
QUESTIONS = (
    ("How was the mushroom risotto at Fiorella?", "fiorella", "mushroom risotto"),
    ("How was the mushroom risotto at Lindenhof?", "lindenhof", "mushroom risotto"),
    ("How was the mushroom risotto at Marinella?", "marinella", "mushroom risotto"),
    ("Do they allow dogs at Fiorella?", "fiorella", "allow dogs"),
    ("Do they allow dogs at Lindenhof?", "lindenhof", "allow dogs"),
    ("Do they allow dogs at Marinella?", "marinella", "allow dogs"),
)


def run(real: bool) -> None:
    """Ask the same of lines embedded alone, and of lines embedded in their chats."""
    files = sorted(Path(__file__).parent.glob("*.txt"))
    right = {"plain": 0, "late": 0}
    with connected(__file__, real=real, vectors="words") as nv:
        if not real:
            say("         Its late chunking lets each line take in the whole chat: the mechanism, not the model.")
        for name in right:
            nv[name].upsert([Document(file.stem, file.read_text(encoding="utf-8")) for file in files])
        for question, chat, words in QUESTIONS:
            say(f"\n{question}")
            for name in right:
                hits = nv[name].search(question, limit=100)
                right[name] += shown(name, hits, chat, words)
    say(f"\nThe right line comes first for {right['plain']} of {len(QUESTIONS)} questions with plain chunking,")
    say(f"for {right['late']} with late chunking.")


def shown(name: str, hits: list[Hit], chat: str, words: str) -> bool:
    """Print the best line, and say whether it is the right one."""
    best = hits[0]
    rank = next(n for n, hit in enumerate(hits, 1) if hit.document_id == chat and words in (hit.text or ""))
    verdict = "right" if rank == 1 else f"WRONG: the right line is number {rank} of {len(hits)}"
    say(f"    {name:<5} {best.score:.3f}  {best.document_id:<9}  {(best.text or '').strip()}")
    say(f"                 {verdict}")
    return rank == 1


if __name__ == "__main__":
    main(run)
