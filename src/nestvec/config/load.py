"""Reading a configuration: strictly, and with all problems of a file at once.

No secret is read and no SDK imported here; plugins are loaded by the names that the file uses.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, TypeVar

from pydantic import ValidationError

from nestvec.config.blocks import CollectionBlock, FileBlock, PluginBlock
from nestvec.config.problems import did_you_mean, sentences
from nestvec.contract import BackendPlugin, EmbedderPlugin
from nestvec.encoding.matryoshka import check_dimensions
from nestvec.encoding.tasks import explicit_pair, pair_for
from nestvec.errors import ConfigError, NestvecError
from nestvec.options import Options
from nestvec.registry import Registry, default_registry
from nestvec.spaces import space_of
from nestvec.specs import CollectionSpec
from nestvec.types import Purpose

P = TypeVar("P", BackendPlugin, EmbedderPlugin)


@dataclass(frozen=True, slots=True)
class Connection(Generic[P]):
    """A plugin with validated options: enough to describe it, and to open it."""

    name: str
    plugin: P
    options: Options

    @property
    def capabilities(self) -> Any:
        """Declared capabilities."""
        return self.plugin.capabilities(self.options)


@dataclass(frozen=True, slots=True)
class Config:
    """A configuration that holds together. Safe to share; opens nothing."""

    backends: Mapping[str, Connection[BackendPlugin]] = field(default_factory=dict)
    embedders: Mapping[str, Connection[EmbedderPlugin]] = field(default_factory=dict)
    collections: Mapping[str, CollectionSpec] = field(default_factory=dict)
    path: Path | None = None


def load_config(path: str | Path, registry: Registry | None = None) -> Config:
    """Read a TOML file. Raises `ConfigError` naming the file and everything that is wrong with it."""
    file = Path(path)
    try:
        data = tomllib.loads(file.read_text(encoding="utf-8-sig"))
    except FileNotFoundError as error:
        raise ConfigError(f"there is no configuration file {file}; write one with `nestvec init`") from error
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"the configuration file {file} can not be read: {error}") from error
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{file} is not valid TOML: {error}") from error
    return parse_config(data, registry, path=file)


def parse_config(data: Mapping[str, Any], registry: Registry | None = None, *, path: Path | None = None) -> Config:
    """Check a configuration given as plain values; relative paths in it count from the file's folder."""
    label = str(path) if path else "the configuration"
    try:
        blocks = FileBlock.model_validate(dict(data))
    except ValidationError as error:
        raise ConfigError(f"{label} has mistakes:", sentences(error, FileBlock)) from error
    except NestvecError as error:
        raise ConfigError(f"{label} has mistakes:", [str(error)]) from error
    reader = _Reader(registry or default_registry(), path.parent if path else None)
    config = reader.read(blocks, path)
    if reader.problems:
        raise ConfigError(f"{label} has mistakes:", reader.problems)
    return config


class _Reader:
    """Collects problems while it builds a `Config`."""

    def __init__(self, registry: Registry, folder: Path | None) -> None:
        self.problems: list[str] = []
        self._registry = registry
        self._folder = folder

    def read(self, blocks: FileBlock, path: Path | None) -> Config:
        backends = self._connections("backends", blocks.backends, self._registry.backend)
        embedders = self._connections("embedders", blocks.embedders, self._registry.embedder)
        config = Config(backends, embedders, {}, path)
        specs: dict[str, CollectionSpec] = {}
        for name, block in blocks.collections.items():
            with self._noting(f"collections.{name}"):
                spec = self._collection(name, block, blocks, config)
                if spec is not None:
                    specs[name] = spec
        return Config(backends, embedders, specs, path)

    @contextmanager
    def _noting(self, key: str) -> Iterator[None]:
        try:
            yield
        except NestvecError as error:
            self.problems.append(f"{key}: {error}")

    def _connections(self, group: str, blocks: Mapping[str, PluginBlock], load: Any) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for name, block in blocks.items():
            key = f"{group}.{name}"
            with self._noting(f"{key}.use"):
                plugin = load(block.use)
                options = self._options(plugin.options, block.options, key)
                if options is not None:
                    found[name] = Connection(name, plugin, options)
        return found

    def _options(self, model: type[Options], values: Mapping[str, Any], key: str) -> Options | None:
        try:
            return model.model_validate(dict(values), context={"folder": self._folder})
        except ValidationError as error:
            self.problems += sentences(error, model, key.split("."))
            return None

    def _collection(
        self, name: str, block: CollectionBlock, blocks: FileBlock, config: Config
    ) -> CollectionSpec | None:
        key = f"collections.{name}"
        backend = self._choose(f"{key}.backend", block.backend, blocks.backends, config.backends, "backends")
        embedder = self._choose(f"{key}.embedder", block.embedder, blocks.embedders, config.embedders, "embedders")
        options = self._collection_options(key, block, backend)
        if backend is None or embedder is None:
            return None
        return build_spec(name, block, backend, embedder, options)

    def _choose(
        self, key: str, wanted: str | None, declared: Mapping[str, Any], usable: Mapping[str, Any], group: str
    ) -> Any:
        if wanted is None and len(declared) != 1:
            self.problems.append(f"{key}: is missing; the file has {group}: {', '.join(declared) or 'none'}")
            return None
        name = wanted if wanted is not None else next(iter(declared))
        if name not in declared:
            self.problems.append(f"{key}: there is no [{group}.{name}]{did_you_mean(name, declared)}")
        return usable.get(name)

    def _collection_options(
        self, key: str, block: CollectionBlock, backend: Connection[BackendPlugin] | None
    ) -> Options | None:
        extra = dict(block.model_extra or {})
        if backend is None:
            return None
        plugin = backend.plugin
        own = extra.pop(plugin.name, {}) if plugin.collection_options else None
        known = [*CollectionBlock.model_fields, *([plugin.name] if plugin.collection_options else [])]
        self.problems += [f"{key}.{name}: unknown key{did_you_mean(name, known)}" for name in extra]
        if plugin.collection_options is None or own is None:
            return None
        return self._options(plugin.collection_options, own, f"{key}.{plugin.name}")


def build_spec(
    name: str,
    block: CollectionBlock,
    backend: Connection[BackendPlugin],
    embedder: Connection[EmbedderPlugin],
    options: Options | None = None,
) -> CollectionSpec:
    """The spec that a collection block describes. Raises where model and backend can not do it."""
    model, can = embedder.capabilities, backend.capabilities
    dimensions = model.dimensions if block.dimensions is None else check_dimensions(model, block.dimensions)
    if block.tasks is not None:
        tasks = explicit_pair(model, block.tasks.index, block.tasks.query)
    else:
        tasks = pair_for(model, block.purpose or Purpose.RETRIEVAL)
    _check_possible(block, dimensions, model, backend, can)
    can.names.encode(name)
    return CollectionSpec(
        name=name,
        space=space_of(model, dimensions, tasks, late_chunking=block.late_chunking),
        model=model,
        backend=backend.name,
        embedder=embedder.name,
        metric=block.metric,
        fields=block.fields,
        chunking=block.chunking.chunking(),
        namespaces=block.namespaces,
        store_text=block.store_text,
        options=options,
    )


def _check_possible(
    block: CollectionBlock, dimensions: int, model: Any, backend: Connection[BackendPlugin], can: Any
) -> None:
    reasons = []
    if block.late_chunking and not model.late_chunking:
        reasons.append(f"{model.model} does not offer late chunking; set late_chunking = false")
    if block.metric not in can.metrics:
        offered = ", ".join(sorted(can.metrics))
        reasons.append(f"backend {backend.name!r} has no metric {block.metric.value!r}; it has {offered}")
    if can.max_dimensions is not None and dimensions > can.max_dimensions:
        reasons.append(
            f"backend {backend.name!r} stores at most {can.max_dimensions} dimensions; lower dimensions = {dimensions}"
        )
    if block.namespaces and not can.tenants:
        reasons.append(f"backend {backend.name!r} has no namespaces; set namespaces = false")
    if reasons:
        raise ConfigError("; ".join(reasons))
