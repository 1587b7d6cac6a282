"""Where the vectors of replies come from."""

from __future__ import annotations

import threading
from functools import lru_cache, partial
from typing import TYPE_CHECKING, Any, Final, Protocol

import numpy as np

from nestvec_testing.blocking import blocking
from nestvec_testing.emulators.jina.request import Ask
from nestvec_testing.emulators.jina.vectors import finished, late_vectors, plain_vectors

if TYPE_CHECKING:
    from nestvec.capabilities import ModelCapabilities
    from nestvec.types import FloatArray

#: How much of a chunk's vector its neighbours become under late chunking by an embedder.
_SHARE: Final = 0.25


class VectorSource(Protocol):
    """Vectors for requests that can be carried out."""

    #: Whether it would keep the server's loop from other requests.
    slow: bool

    def vectors(self, ask: Ask, late_tokens: int) -> FloatArray:
        """Shape (texts, dimensions), float32."""

    def close(self) -> None:
        """Let go of what it holds."""


class WordVectors:
    """Of the words of the texts: see `vectors`."""

    slow = False

    def vectors(self, ask: Ask, late_tokens: int) -> FloatArray:
        """Shape (texts, dimensions), float32."""
        embed = partial(late_vectors, limit=late_tokens) if ask.late else plain_vectors
        return embed(ask.texts, ask.model, ask.task, dimensions=ask.dimensions, normalized=ask.normalized)

    def close(self) -> None:
        """Nothing to do."""


class Constant:
    """One vector for all, as a benchmark wants it: what is measured is the client."""

    slow = False

    def vectors(self, ask: Ask, late_tokens: int) -> FloatArray:
        """Shape (texts, dimensions), float32: a view on a single row."""
        return np.broadcast_to(_constant(ask.dimensions), (len(ask.texts), ask.dimensions))

    def close(self) -> None:
        """Nothing to do."""


class Embedded:
    """Of an installed embedder that runs by itself, such as `e5`, whatever model the request names.

    Its full vectors (nested, where it has a rotation) are followed by zeros if the model's are longer, which changes no
    cosine; a shorter one is a prefix. `retrieval.query` and other tasks on that side are embedded as its questions,
    passages as its passages, symmetric tasks as it wants them. Late chunking mixes a quarter of the neighbouring
    inputs' vectors in.
    """

    slow = True

    def __init__(self, name: str) -> None:
        from nestvec.registry import default_registry

        plugin = default_registry().embedder(name)
        options = plugin.options.model_validate(dict(plugin.embedded or {}))
        self._model: ModelCapabilities = plugin.capabilities(options)
        self._embedder: Any = blocking(plugin.open(options))
        self._lock = threading.Lock()  # one request at a time: two would only take turns on the processor

    def vectors(self, ask: Ask, late_tokens: int) -> FloatArray:
        """Shape (texts, dimensions), float32."""
        full = self._full(ask).astype(np.float64)
        if ask.late and len(full) > 1:
            full = _mixed(full)
        wide = np.zeros((len(full), ask.dimensions))
        wide[:, : full.shape[1]] = full[:, : ask.dimensions]
        return finished(wide, normalized=ask.normalized)

    def close(self) -> None:
        """Let go of the model."""
        self._embedder.close()

    def _full(self, ask: Ask) -> FloatArray:
        from nestvec.contract import Encode, Encoded, Group
        from nestvec.encoding.vectors import finish

        groups = tuple(Group(f"input.{n}", text, ((0, len(text)),)) for n, text in enumerate(ask.texts))
        request = Encode(groups, task_of(ask.task, self._model), self._model.dimensions)
        with self._lock:
            reply: Encoded = self._embedder.encode(request)
            encoded = finish(request, reply, self._model, self._embedder.rotation())
        for failure in encoded.failures:
            raise failure.error
        return np.concatenate([rows for rows in encoded.vectors if rows is not None])


def open_source(embedder: str | None, kind: str) -> VectorSource:
    """By the settings. Raises `PluginError` for an embedder that cannot be used."""
    if embedder is not None:
        return Embedded(embedder)
    return Constant() if kind == "constant" else WordVectors()


def task_of(task: str | None, model: ModelCapabilities) -> str | None:
    """The task of the embedder that comes closest."""
    from nestvec.types import Purpose

    purposes = {
        "text-matching": Purpose.MATCHING,
        "separation": Purpose.CLUSTERING,
        "clustering": Purpose.CLUSTERING,
        "classification": Purpose.CLASSIFICATION,
    }
    pair = model.purposes.get(purposes.get(task or "", Purpose.RETRIEVAL))
    if pair is None:
        return None
    return pair.query if (task or "").endswith(".query") else pair.index


def _mixed(
    vectors: np.ndarray[tuple[int, int], np.dtype[np.float64]],
) -> np.ndarray[tuple[int, int], np.dtype[np.float64]]:
    before, after = np.vstack([vectors[:1], vectors[:-1]]), np.vstack([vectors[1:], vectors[-1:]])
    return (1 - _SHARE) * vectors + _SHARE / 2 * (before + after)


@lru_cache(maxsize=64)
def _constant(dimensions: int) -> FloatArray:
    row = np.full((1, dimensions), dimensions**-0.5, np.float32)
    row.flags.writeable = False
    return row
