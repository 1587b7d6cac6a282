"""The canary texts, and how a space's hosts are asked for their vectors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise
from typing import TYPE_CHECKING

import numpy as np

from nestvec.contract import Encode, Encoded, Group

if TYPE_CHECKING:
    from nestvec.spaces import EmbeddingSpace
    from nestvec.types import FloatArray

#: The texts by version, the most telling first: prose, code and numbers, other scripts, a long one, a single word.
#: Version 2 is short throughout, for models that take few tokens. Databases hold vectors of them: a version is never
#: changed, only followed by another.
TEXTS: Mapping[int, tuple[str, ...]] = {
    1: (
        "The library opens at nine in the morning and closes at six; on Sundays it stays shut.",
        "def mean(values):\n    return sum(values) / len(values)  # 3.14, 1e-6, 2026-11-25",
        "請在出發前檢查車票和護照。",
        (
            "Wer eine Rechnung nicht innerhalb von vierzehn Tagen bezahlt, erhält zuerst eine freundliche Erinnerung, "
            "danach eine Mahnung mit Gebühr; nach drei Monaten übernimmt ein Inkassobüro."
        ),
        "كم يوما من الإجازة يحق للموظف الجديد؟",
        "Миграция",
    ),
    2: ("The library opens at nine.", "mean([3.14, 1e-6])", "請檢查護照。", "Straße gesperrt", "كم يوما؟", "Миграция"),
}
VERSION, SHORT = 1, 2
#: Tokens that suffice for `VERSION` with marks and a prompt, whatever splits the texts: a token is a byte at least.
_TOKENS = 320
#: Between the chunks of a late-chunked document, at the end of the first, as the splitter leaves it.
_BREAK = "\n\n"


@dataclass(frozen=True, slots=True)
class Leg:
    """One way in which texts of a space are embedded."""

    task: str | None
    late: bool = False

    def __str__(self) -> str:
        task = f"task {self.task}" if self.task is not None else "no task"
        return f"{task}, late-chunked" if self.late else task


def fits(version: int, max_tokens: int | None) -> bool:
    """Whether a model that takes so many tokens (None: any number) certainly takes the texts of this version.

    `SHORT` is what is tried with every model.
    """
    return version == SHORT or max_tokens is None or max_tokens >= _TOKENS


def version_for(max_tokens: int | None) -> int:
    """The texts to leave beside a collection by a model that takes so many tokens."""
    return VERSION if fits(VERSION, max_tokens) else SHORT


def legs_of(space: EmbeddingSpace) -> tuple[Leg, ...]:
    """How stored texts are embedded and how questions are; one leg where that is the same."""
    index, query = Leg(space.index_task, space.late_chunking), Leg(space.query_task)
    return (index,) if index == query else (index, query)


def canary_request(leg: Leg, dimensions: int, texts: Sequence[str], *, fresh: bool = True) -> Encode:
    """Ask for the vectors of the texts, in order; `fresh` ones are never answered from a cache.

    Late-chunked, they are two documents of several chunks, so that pooling over chunks is compared as well.
    """
    middle = (len(texts) + 1) // 2
    documents = (texts[:middle], texts[middle:]) if leg.late else [(text,) for text in texts]
    groups = tuple(_group(f"canary {i}", chunks) for i, chunks in enumerate(documents) if chunks)
    return Encode(groups, leg.task, dimensions, leg.late, fresh=fresh)


def canary_rows(reply: Encoded) -> FloatArray:
    """The answer's vectors: shape (texts, dimensions). Raises the embedder's error where a text was refused."""
    if reply.failures:
        raise reply.failures[0].error
    return np.concatenate([rows for rows in reply.vectors if rows is not None])


def _group(key: str, chunks: Sequence[str]) -> Group:
    text = _BREAK.join(chunks)
    ends = [*accumulate(len(chunk) + len(_BREAK) for chunk in chunks)]
    ends[-1] = len(text)
    return Group(key, text, tuple(pairwise([0, *ends])))
