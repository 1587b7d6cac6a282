"""What the transformers embedder registers. Light on purpose: torch is imported when an embedder opens."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nestvec.contract import EmbedderPlugin
from nestvec.hookspecs import hookimpl
from nestvec_transformers.options import TransformersOptions, capabilities

if TYPE_CHECKING:
    from nestvec_transformers.embedder import TransformersEmbedder

_EXAMPLE = """\
[embedders.transformers]
use = "transformers"
path = "models/jina-embeddings-v3"
revision = "COMMIT"
"""


def open_embedder(options: TransformersOptions) -> TransformersEmbedder:
    """Load the model."""
    from nestvec_transformers.embedder import TransformersEmbedder

    return TransformersEmbedder(options)


@hookimpl
def nestvec_embedder() -> EmbedderPlugin:
    """Five tasks, 1 to 1,024 dimensions, late chunking: jina-embeddings-v3 without a server."""
    return EmbedderPlugin(
        name="transformers",
        summary="jina-embeddings-v3 in this process, through transformers and PEFT.",
        options=TransformersOptions,
        capabilities=capabilities,
        open=open_embedder,
        example=_EXAMPLE,
    )
