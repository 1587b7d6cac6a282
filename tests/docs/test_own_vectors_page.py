"""The page on bringing one's own vectors: its snippets run, one after the other, and do what they say."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "bring-your-own-vectors.md"


def test_its_snippets_do_what_they_say() -> None:
    blocks = re.findall(r"^```python\n(.*?)^```", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    assert len(blocks) == 5
    ran: dict[str, Any] = {}
    for number, block in enumerate(blocks):
        exec(compile(block, f"{PAGE.name}, snippet {number}", "exec"), ran)
    assert (ran["report"].given, ran["report"].unchanged, ran["report"].embedded) == (1, 1, 0)
    assert (ran["split"].given, ran["split"].embedded) == (1, 1)
    assert "None of them was written" in ran["refusal"]
    assert ran["hits"][0].vector.shape == (128,)
    assert ran["same"][0].document_id == "leave"
    assert ran["whole"].chunks[1].text == "It never freezes."
    assert ran["again"].given == 2
    assert ran["docs"].count() == 3
    ran["nv"].close()
