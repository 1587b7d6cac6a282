"""From what people give `connect` to a configuration; and the embedded default, which needs none."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from nestvec.config import Config, load_config, parse_config
from nestvec.errors import ConfigError, PluginError
from nestvec.registry import BACKENDS, EMBEDDERS, Registry


def as_config(source: str | Path | Mapping[str, Any] | Config, registry: Registry) -> Config:
    """A configuration from a file, plain values, or one that was read before."""
    if isinstance(source, Config):
        return source
    if isinstance(source, Mapping):
        return parse_config(source, registry)
    if not isinstance(source, str | Path):
        raise ConfigError(f"a configuration is a path, a mapping or a Config, not {type(source).__name__}")
    return load_config(source, registry)


def default_plugins(registry: Registry) -> tuple[Any, Any]:
    """The backend and the embedder that offer themselves as the embedded default. Raises `ConfigError`."""
    backend = _default(registry.names(BACKENDS), registry.backend, "backend")
    embedder = _default(registry.names(EMBEDDERS), registry.embedder, "embedder")
    return backend, embedder


def default_values(
    registry: Registry, name: str, path: str | Path | None, settings: Mapping[str, Any]
) -> dict[str, Any]:
    """Configuration values for one collection on the embedded default stack that is installed."""
    backend, embedder = default_plugins(registry)
    place = Path(path) if path is not None else None
    return {
        "backends": {backend.name: {"use": backend.name, **backend.embedded(place)}},
        "embedders": {embedder.name: {"use": embedder.name, **embedder.embedded}},
        "collections": {name: {key: value for key, value in settings.items() if value is not None}},
    }


def _default(names: Sequence[str], load: Callable[[str], Any], kind: str) -> Any:
    offers, broken = [], []
    for name in names:
        try:
            plugin = load(name)
        except PluginError as error:  # it may not have been the one; if none is left, it is named
            broken.append(str(error))
            continue
        if plugin.embedded is not None and plugin.default:
            offers.append(plugin)
    if len(offers) == 1:
        return offers[0]
    if offers:
        found = ", ".join(plugin.name for plugin in offers)
        raise ConfigError(f"several {kind}s offer themselves as the default ({found}); write a configuration file")
    raise ConfigError(
        f"no {kind} offers itself as the embedded default; install one with pip install 'nestvec[default]' "
        f"(in a checkout of nestvec: the first command of its README)",
        broken,
    )
