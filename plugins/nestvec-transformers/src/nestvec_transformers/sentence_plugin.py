"""What the sentence-transformers embedder registers. Light on purpose: torch is imported when an embedder opens."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nestvec.contract import EmbedderPlugin
from nestvec.hookspecs import hookimpl
from nestvec_transformers.sentence_options import SentenceOptions, capabilities

if TYPE_CHECKING:
    from nestvec_transformers.sentence_embedder import SentenceEmbedder

_EXAMPLE = """\
[embedders.minilm]
use = "sentence-transformers"
model = "sentence-transformers/all-MiniLM-L6-v2"
revision = "the commit that was downloaded"
dimensions = 384
"""


def open_embedder(options: SentenceOptions) -> SentenceEmbedder:
    """Load the model, and check that it is what the options say."""
    from nestvec_transformers.sentence_embedder import SentenceEmbedder

    return SentenceEmbedder(options)


@hookimpl
def nestvec_embedder() -> EmbedderPlugin:
    """Whatever model sentence-transformers loads, with its prompts as tasks."""
    return EmbedderPlugin(
        name="sentence-transformers",
        summary="Any model of sentence-transformers in this process, with its prompts as tasks.",
        options=SentenceOptions,
        capabilities=capabilities,
        open=open_embedder,
        example=_EXAMPLE,
    )
