"""jina-embeddings-v3: texts in, vectors out."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nestvec.contract import Embedder, Encode, Encoded

if TYPE_CHECKING:
    from nestvec_transformers.options import TransformersOptions


class TransformersEmbedder(Embedder):
    """Being written."""

    def __init__(self, options: TransformersOptions) -> None:
        self._options = options

    def encode(self, request: Encode) -> Encoded:
        """Being written."""
        raise NotImplementedError
