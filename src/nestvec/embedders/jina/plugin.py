"""What the Jina embedder registers. Light on purpose: HTTP is imported when an embedder opens."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nestvec.contract import EmbedderPlugin
from nestvec.embedders.jina.options import JinaOptions, capabilities
from nestvec.hookspecs import hookimpl

if TYPE_CHECKING:
    from nestvec.embedders.jina.embedder import JinaEmbedder

_EXAMPLE = """\
[embedders.jina]
use = "jina"
model = "jina-embeddings-v3"
api_key = { env = "JINA_API_KEY" }
"""


def open_embedder(options: JinaOptions) -> JinaEmbedder:
    """Read the key; connect when the first text comes."""
    from nestvec.embedders.jina.embedder import JinaEmbedder

    return JinaEmbedder(options)


def open_async(options: JinaOptions) -> JinaEmbedder:
    """The same, to be awaited."""
    from nestvec.embedders.jina.embedder import JinaEmbedder

    return JinaEmbedder(options, native=True)


@hookimpl
def nestvec_embedder() -> EmbedderPlugin:
    """Five tasks, 1 to 1,024 dimensions, late chunking: jina-embeddings-v3, and its relatives."""
    return EmbedderPlugin(
        name="jina",
        summary="The Jina embeddings API (v2 to v5, code), or a server that speaks its protocol.",
        options=JinaOptions,
        capabilities=capabilities,
        open=open_embedder,
        open_async=open_async,
        example=_EXAMPLE,
    )
