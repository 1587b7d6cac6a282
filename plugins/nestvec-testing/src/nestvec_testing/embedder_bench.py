"""The bench on which the kit puts an embedder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from nestvec.capabilities import ModelCapabilities
from nestvec.contract import EmbedderPlugin, Encode, Encoded, Group
from nestvec.encoding.vectors import finish, widen
from nestvec.registry import EMBEDDERS, Registry
from nestvec_testing.bench import client_of, load_module, open_plugin
from nestvec_testing.loop import Driver, Loop
from nestvec_testing.registry import test_registry

if TYPE_CHECKING:
    from nestvec.types import FloatArray


@dataclass(frozen=True, slots=True)
class EmbedderUnderTest:
    """What the `embedder` fixture returns.

    `plugin` is the name of an embedder that `registry` (by default: the installed plugins) knows, the name of its
    module, or the `EmbedderPlugin` itself. `options` is its `[embedders.NAME]` block without `use`. `tolerance` is
    how far two runs of one text may differ in a component, e.g. in batches of other sizes or in half precision.
    """

    plugin: str | EmbedderPlugin
    options: Mapping[str, Any] = field(default_factory=dict)
    registry: Registry | None = None
    tolerance: float = 1e-5

    def load(self) -> EmbedderPlugin:
        """The plugin. Raises `PluginNotFound` or `PluginBroken`."""
        if isinstance(self.plugin, EmbedderPlugin):
            return self.plugin
        registry = self.registry or test_registry()
        if self.plugin in registry.names(EMBEDDERS):
            return registry.embedder(self.plugin)
        plugin: EmbedderPlugin = load_module(self.plugin, "nestvec_embedder", EmbedderPlugin)
        return plugin


class _OneEmbedder(Registry):
    """A registry in which the plugin under test goes by its own name."""

    def __init__(self, plugin: EmbedderPlugin) -> None:
        super().__init__()
        self._plugin = plugin

    def embedder(self, name: str) -> EmbedderPlugin:
        return self._plugin if name == self._plugin.name else super().embedder(name)


class EmbedderBench:
    """One open embedder behind one driver, and what the core makes of its replies. Use it in a `with` statement."""

    def __init__(self, subject: EmbedderUnderTest, driver: Driver = "sync") -> None:
        self.subject = subject
        self.driver = driver
        self.plugin = subject.load()
        self.options = self.plugin.options.model_validate(dict(subject.options))
        self.loop = Loop()
        self._inner: Any = None
        self._native = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    @property
    def model(self) -> ModelCapabilities:
        """What the plugin declares for these options, without opening anything."""
        declared: ModelCapabilities = self.plugin.capabilities(self.options)
        return declared

    @property
    def inner(self) -> Any:
        """The open embedder itself."""
        if self._inner is None:
            self._inner, self._native = open_plugin(self.plugin, self.options, self.driver)
        return self._inner

    @property
    def native(self) -> bool:
        """Whether the embedder under test is awaited in an event loop; else it never suspends."""
        return self.inner is not None and self._native

    @property
    def passage(self) -> str | None:
        """A task for stored texts."""
        return next(iter(self.model.purposes.values())).index

    def reply(self, request: Encode) -> Encoded:
        """The embedder's own answer to what the core would ask of it."""
        answer: Encoded = self.loop.ask(self.native, self.inner.encode, widen(request, self.model))
        return answer

    def encode(self, request: Encode) -> Encoded:
        """The answer as the core passes it on: checked, nested, cut."""
        return finish(request, self.reply(request), self.model, self.inner.rotation())

    def rows(
        self, texts: Sequence[str], task: str | None = None, dimensions: int | None = None, *, together: bool = False
    ) -> FloatArray:
        """One vector for each text, shape (texts, dimensions): each its own group, or all spans of one (late)."""
        size = self.model.dimensions if dimensions is None else dimensions
        groups = (whole(texts),) if together else tuple(single(text) for text in texts)
        answer = self.encode(Encode(groups, task, size, late=together))
        assert not answer.failures, f"these texts can be embedded, but {answer.failures[0].error}"
        return np.concatenate([part for part in answer.vectors if part is not None])

    def client(self) -> Any:
        """A client of the driver's kind that has this embedder, named "model"."""
        values = {"embedders": {"model": {"use": self.plugin.name, **self.subject.options}}}
        return client_of(self.driver, values, _OneEmbedder(self.plugin))

    def close(self) -> None:
        """Close it. Safe to call twice."""
        inner, self._inner = self._inner, None
        if inner is not None:
            self.loop.ask(self._native, inner.close)
        self.loop.close()


def single(text: str) -> Group:
    """A group of one text."""
    return Group(f"text {text[:12]!r}", text, ((0, len(text)),))


def whole(texts: Sequence[str]) -> Group:
    """One document whose chunks are the texts."""
    spans, start = [], 0
    for text in texts:
        spans.append((start, start + len(text)))
        start += len(text) + 1
    return Group("document", " ".join(texts), tuple(spans))
