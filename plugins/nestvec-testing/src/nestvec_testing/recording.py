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
from typing import TYPE_CHECKING, Literal, TypeAlias

import numpy as np

from nestvec.capabilities import ModelCapabilities
from nestvec.contract import Embedder, EmbedderPlugin, Encode, Encoded, EncodeFailure, Group
from nestvec.encoding.tasks import JINA_V3, JINA_V3_TASKS
from nestvec.encoding.vectors import truncate
from nestvec.errors import EmbedderRefused
from nestvec.hookspecs import hookimpl
from nestvec.options import Options
from nestvec.types import Usage

if TYPE_CHECKING:
    from nestvec.types import FloatArray


Skew: TypeAlias = Literal["rounding", "prompt", "adapter", "pooling", "neighbours", "length"]


class RecordingOptions(Options):
    """Which model to stand in for, and on which host.

    `skew` lets this host differ from others of the model: numbers rounded as in bfloat16, a prompt that others do not
    put in front, other weights for a task, another pooling (of all texts, or late-chunked ones), or another length.
    `matryoshka` false stands in for a model that was not trained for prefixes. A text of more than `max_tokens` words
    is refused.
    """

    model: str = "recording-v3"
    dimensions: int = 64
    matryoshka: bool = True
    rotation: str | None = None
    batch: int = 64
    keep: int = 1000
    host: str = ""
    max_tokens: int | None = None
    skew: Skew | None = None


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
        refused = tuple(filter(None, (self._refusal(*each, late=request.late) for each in enumerate(request.groups))))
        numbers = {failure.group for failure in refused}
        groups = [None if number in numbers else group for number, group in enumerate(request.groups)]
        vectors = tuple(None if group is None else self._group(group, request) for group in groups)
        tokens = sum(len(text.split()) for group in groups if group is not None for text in group.texts())
        return Encoded(vectors, refused, Usage(tokens=tokens, requests=1))

    def _refusal(self, number: int, group: Group, *, late: bool) -> EncodeFailure | None:
        """Why a group is not embedded: late-chunked it goes in one piece."""
        words = max(len(text.split()) for text in ([group.text] if late else group.texts()))
        if self.options.max_tokens is None or words <= self.options.max_tokens:
            return None
        told = f"document {group.key!r}: {words} words are more than the {self.options.max_tokens} that the model takes"
        return EncodeFailure(number, EmbedderRefused(told))

    def rotation(self) -> FloatArray | None:
        """A reversal of the axes, if the options name a rotation."""
        if self.options.rotation is None:
            return None
        return np.ascontiguousarray(np.eye(self.options.dimensions, dtype=np.float32)[::-1])

    def count_tokens(self) -> Callable[[str], int]:
        """Tokens are words here."""
        return lambda text: len(text.split())

    def _group(self, group: Group, request: Encode) -> FloatArray:
        model, size, skew = self.options.model, self.options.dimensions, self.options.skew
        prompt = "passage: " if skew == "prompt" else ""
        words = _first_word if skew == "pooling" else _words
        rows = np.stack([words(model, prompt + text, size) for text in group.texts()])
        if request.late:
            # Half itself, half its neighbourhood; so a chunk alone is what it is without neighbours.
            own = 0.75 if skew == "neighbours" else 0.5
            rows = own * rows + (1 - own) * rows.mean(axis=0)
        task = "another" if skew == "adapter" else request.task
        rows = truncate((rows + 0.3 * _direction(f"{model}/task/{task}", size)).astype(np.float32), request.dimensions)
        if skew == "length":
            rows *= np.float32(1.1)
        return _rounded(rows) if skew == "rounding" else rows


def _rounded(rows: FloatArray) -> FloatArray:
    """The numbers as bfloat16 keeps them: the upper half of their bits."""
    kept: FloatArray = (rows.view(np.uint32) & np.uint32(0xFFFF0000)).view(np.float32)
    return kept


def _first_word(model: str, text: str, size: int) -> FloatArray:
    return _words(model, text.split(maxsplit=1)[0], size)


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
        min_dimensions=1 if options.matryoshka else options.dimensions,
        purposes=JINA_V3,
        tasks=JINA_V3_TASKS,
        late_chunking=True,
        max_tokens=options.max_tokens,
        host=options.host,
        rotation=options.rotation,
        batch=options.batch,
    )


@hookimpl
def nestvec_embedder() -> EmbedderPlugin:
    """Registered by `nestvec_testing.registry`, not installed."""
    return EmbedderPlugin(
        name="recording",
        summary="Deterministic vectors without a model, for tests.",
        options=RecordingOptions,
        capabilities=capabilities,
        open=RecordingEmbedder,
        embedded={},
    )
