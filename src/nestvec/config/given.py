"""Embedders that stand in no file: objects that are handed over, and none at all."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from nestvec.capabilities import ModelCapabilities, TaskPair
from nestvec.contract import Embedder, EmbedderPlugin, Encode, Encoded
from nestvec.errors import ConfigError, Unsupported
from nestvec.options import Options
from nestvec.types import Purpose

if TYPE_CHECKING:
    from nestvec.config.blocks import CollectionBlock


class NoOptions(Options):
    """Nothing can be said of it in a file."""


def plugin_of(name: str, embedder: object) -> EmbedderPlugin:
    """An embedder that was handed over, as if a plugin had opened it. Raises `ConfigError` for what is none."""
    capabilities = getattr(embedder, "capabilities", None)
    if not isinstance(embedder, Embedder) or not isinstance(capabilities, ModelCapabilities):
        raise ConfigError(
            f"embedder {name!r} is an object without a name for its space; wrap it: nestvec.embedders.wrap(object, "
            f'name="the-model")'
        )
    return EmbedderPlugin(
        name=name,
        summary="An object of the program.",
        options=NoOptions,
        capabilities=lambda _: capabilities,
        open=lambda _: Handed(embedder),
    )


class Handed(Embedder):
    """Somebody else's embedder: used, and not closed."""

    def __init__(self, inner: Embedder) -> None:
        self.inner = inner

    def encode(self, request: Encode) -> Any:
        """See `Embedder`."""
        return self.inner.encode(request)

    def rotation(self) -> Any:
        """See `Embedder`."""
        return self.inner.rotation()

    def count_tokens(self) -> Any:
        """See `Embedder`."""
        return self.inner.count_tokens()


def model_without_embedder(block: CollectionBlock) -> ModelCapabilities:
    """What a collection says of the model that made its vectors. Raises `ConfigError`."""
    missing = [key for key in ("model", "dimensions") if getattr(block, key) is None]
    if missing:
        raise ConfigError(
            f'embedder = "none" needs {" and ".join(missing)}: what made the vectors, and how long they are'
        )
    assert block.model is not None  # noqa: S101 - just looked at
    assert block.dimensions is not None  # noqa: S101
    return ModelCapabilities(
        model=block.model,
        dimensions=block.dimensions,
        min_dimensions=block.dimensions,
        purposes=dict.fromkeys(Purpose, TaskPair(None, None)),
        normalized=block.normalized is not False,
    )


class _Nobody(Embedder):
    """Stands where a collection has no embedder."""

    def encode(self, request: Encode) -> Encoded:  # noqa: ARG002 - whatever it is
        """Raises `Unsupported`."""
        raise Unsupported(
            'this collection has no embedder (embedder = "none"): give documents their vectors, and search with one: '
            "search(vector=…), search_vectors(…)"
        )


def nobody() -> EmbedderPlugin:
    """The embedder of collections that have none."""
    unknown: Mapping[Purpose, TaskPair] = dict.fromkeys(Purpose, TaskPair(None, None))
    return EmbedderPlugin(
        name="none",
        summary="No embedder: vectors come with documents and questions.",
        options=NoOptions,
        capabilities=lambda _: ModelCapabilities("none", 1, 1, unknown),
        open=lambda _: _Nobody(),
    )
