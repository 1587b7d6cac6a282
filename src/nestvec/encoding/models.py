"""What is known of the Jina models: one row each, the same for every host of their weights.

Source: the embeddings API reference and its OpenAPI description of 2026-04 (https://api.jina.ai/openapi.json), and the
models' cards. Hosts (the API, a local model, SageMaker) take their capabilities from here, so that they are one space.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from nestvec.capabilities import ModelCapabilities, TaskPair
from nestvec.encoding.tasks import (
    JINA_CODE,
    JINA_CODE_TASKS,
    JINA_V2,
    JINA_V3,
    JINA_V3_TASKS,
    JINA_V4,
    JINA_V4_TASKS,
    JINA_V5,
    JINA_V5_TASKS,
)
from nestvec.types import Purpose

#: Request fields, besides `model`, `input` and `embedding_type`, that a model may declare.
FIELDS = ("task", "dimensions", "late_chunking", "normalized", "truncate")


@dataclass(frozen=True, slots=True)
class KnownModel:
    """A model. `fields` are the request fields that it declares, beyond those that all have.

    `min_dimensions` is `dimensions` where a prefix of the vector is not a vector.
    """

    dimensions: int
    min_dimensions: int
    fields: frozenset[str]
    tasks: tuple[str, ...] = ()
    purposes: Mapping[Purpose, TaskPair] = field(default_factory=dict)
    max_tokens: int = 8192
    #: The sum of tokens in one late-chunked request.
    late_tokens: int = 8192

    @property
    def late_chunking(self) -> bool:
        """Whether it embeds chunks in the context of their document."""
        return "late_chunking" in self.fields

    def capabilities(self, name: str) -> ModelCapabilities:
        """As the core sees it. Prompts are the model's own business, and follow from its name."""
        return ModelCapabilities(
            model=name,
            dimensions=self.dimensions,
            min_dimensions=self.min_dimensions,
            purposes=self.purposes,
            tasks=self.tasks,
            max_tokens=self.max_tokens,
            late_chunking=self.late_chunking,
        )


_V2 = KnownModel(768, 768, frozenset({"normalized", "truncate"}), purposes=JINA_V2)


def _v5(dimensions: int, max_tokens: int) -> KnownModel:
    fields = frozenset({"task", "dimensions", "normalized", "truncate"})
    return KnownModel(dimensions, 1, fields, JINA_V5_TASKS, JINA_V5, max_tokens)


def _code(dimensions: int) -> KnownModel:
    fields = frozenset({"task", "dimensions", "truncate"})
    return KnownModel(dimensions, 1, fields, JINA_CODE_TASKS, JINA_CODE, max_tokens=32768)


MODELS: Mapping[str, KnownModel] = {
    "jina-embeddings-v3": KnownModel(1024, 1, frozenset(FIELDS), JINA_V3_TASKS, JINA_V3),
    "jina-embeddings-v4": KnownModel(
        2048,
        1,
        frozenset({"task", "dimensions", "late_chunking", "truncate"}),
        JINA_V4_TASKS,
        JINA_V4,
        max_tokens=32768,
    ),
    # The API's schema allows 1,024 for both; the smaller model has no more than 768. Its token limit is given as 8,192
    # on its page and as 32,768 elsewhere: the lower one is safe.
    "jina-embeddings-v5-text-nano": _v5(768, 8192),
    "jina-embeddings-v5-text-small": _v5(1024, 32768),
    "jina-code-embeddings-0.5b": _code(896),
    "jina-code-embeddings-1.5b": _code(1536),
    **{f"jina-embeddings-v2-base-{language}": _V2 for language in ("en", "de", "es", "zh", "code")},
}
