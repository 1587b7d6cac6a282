"""The models that are emulated, as the public description of the API has them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

_TEXT: Final = ("retrieval.query", "retrieval.passage", "text-matching", "classification")
_CODE: Final = tuple(
    f"{kind}.{side}"
    for kind in ("nl2code", "qa", "code2code", "code2nl", "code2completion")
    for side in ("query", "passage")
)
_ALL: Final = frozenset({"model", "input", "embedding_type", "truncate"})


@dataclass(frozen=True)
class Model:
    """One model. `fields` are those of a request that it declares; without a default task a vector has none."""

    dimensions: int
    max_tokens: int
    tasks: tuple[str, ...] = ()
    default_task: str | None = None
    fields: frozenset[str] = field(default=_ALL)


def _model(
    dimensions: int, max_tokens: int, more: str, tasks: tuple[str, ...] = (), default_task: str | None = None
) -> Model:
    return Model(dimensions, max_tokens, tasks, default_task, _ALL | set(more.split()))


_V2: Final = _model(768, 8192, "normalized")
_V5_TASKS: Final = (*_TEXT, "clustering")
MODELS: Final = {
    **{f"jina-embeddings-v2-base-{language}": _V2 for language in ("en", "de", "es", "zh", "code")},
    "jina-embeddings-v3": _model(1024, 8192, "dimensions task normalized late_chunking", (*_TEXT, "separation")),
    "jina-embeddings-v4": _model(
        2048,
        32768,
        "dimensions task late_chunking return_multivector return_tokenized_input",
        ("retrieval.query", "retrieval.passage", "code.query", "code.passage", "text-matching"),
        "text-matching",
    ),
    # The description allows 1,024 dimensions for both; the small one's vectors end at 768.
    "jina-embeddings-v5-text-nano": _model(768, 8192, "dimensions task normalized", _V5_TASKS, "text-matching"),
    "jina-embeddings-v5-text-small": _model(1024, 32768, "dimensions task normalized", _V5_TASKS, "text-matching"),
    "jina-code-embeddings-0.5b": _model(896, 32768, "dimensions task", _CODE, "nl2code.query"),
    "jina-code-embeddings-1.5b": _model(1536, 32768, "dimensions task", _CODE, "nl2code.query"),
}
