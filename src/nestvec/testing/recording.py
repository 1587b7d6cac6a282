"""An embedder that writes down what it was asked, and gives deterministic vectors.

Vectors depend on the model, the words, the task and — under late chunking — on the neighbours; similar texts
are near each other; prefixes are Matryoshka prefixes. No model is involved, so it is fast.
"""

from __future__ import annotations

import hashlib
import threading
from collections import deque
from collections.abc import Callable
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from nestvec.capabilities import ModelCapabilities
from nestvec.contract import Embedder, EmbedderPlugin, Encode, Encoded, Group
from nestvec.encoding.matryoshka import truncate
from nestvec.encoding.tasks import JINA_V3, JINA_V3_TASKS
from nestvec.hookspecs import hookimpl
from nestvec.options import Options
from nestvec.types import Usage

if TYPE_CHECKING:
    from nestvec.types import FloatArray


class RecordingOptions(Options):
    """Which model to stand in for."""

    model: str = "recording-v3"
    dimensions: int = 64
    rotation: str | None = None
    batch: int = 64
    keep: int = 1000


class RecordingEmbedder(Embedder):
    """Answers `Encode` with deterministic vectors and keeps the latest `options.keep` requests in `requests`."""

    def __init__(self, options: RecordingOptions | None = None) -> None:
        self.options = options or RecordingOptions()
        self.requests: deque[Encode] = deque(maxlen=self.options.keep)
        self._lock = threading.Lock()

    @property
    def tasks(self) -> list[str | None]:
        """The tasks of the recorded requests, in order."""
        return [request.task for request in self.requests]

    def encode(self, request: Encode) -> Encoded:
        """Deterministic vectors of the wanted size."""
        with self._lock:
            self.requests.append(request)
        vectors = tuple(self._group(group, request) for group in request.groups)
        tokens = sum(len(text.split()) for group in request.groups for text in group.texts())
        return Encoded(vectors, (), Usage(tokens=tokens, requests=1))

    def rotation(self) -> FloatArray | None:
        """A reversal of the axes, if the options name a rotation."""
        if self.options.rotation is None:
            return None
        return np.ascontiguousarray(np.eye(self.options.dimensions, dtype=np.float32)[::-1])

    def count_tokens(self) -> Callable[[str], int]:
        """Tokens are words here."""
        return lambda text: len(text.split())

    def _group(self, group: Group, request: Encode) -> FloatArray:
        size = self.options.dimensions
        rows = np.stack([_words(self.options.model, text, size) for text in group.texts()])
        if request.late:
            # Half itself, half its neighbourhood; so a chunk alone is what it is without neighbours.
            rows = (rows + rows.mean(axis=0)) / 2
        rows = rows + 0.3 * _direction(f"{self.options.model}/task/{request.task}", size)
        return truncate(rows.astype(np.float32), request.dimensions)


def _words(model: str, text: str, size: int) -> FloatArray:
    total = np.zeros(size, np.float32)
    for word in text.lower().split():
        total += _direction(f"{model}/{word}", size)
    return total


@lru_cache(maxsize=20_000)
def _direction(name: str, size: int) -> FloatArray:
    seed = int.from_bytes(hashlib.blake2b(name.encode(), digest_size=8).digest(), "big")
    return np.random.default_rng(seed).standard_normal(size).astype(np.float32)


def capabilities(options: RecordingOptions) -> ModelCapabilities:
    """Those of jina-embeddings-v3, smaller."""
    return ModelCapabilities(
        model=options.model,
        dimensions=options.dimensions,
        min_dimensions=1,
        purposes=JINA_V3,
        tasks=JINA_V3_TASKS,
        late_chunking=True,
        rotation=options.rotation,
        batch=options.batch,
    )


@hookimpl
def nestvec_embedder() -> EmbedderPlugin:
    """Registered by `nestvec.testing.registry`, not installed."""
    return EmbedderPlugin(
        name="recording",
        summary="Deterministic vectors without a model, for tests.",
        options=RecordingOptions,
        capabilities=capabilities,
        open=RecordingEmbedder,
        embedded={},
    )
