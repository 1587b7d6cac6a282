"""From what people give `connect` to a configuration; and the embedded default, which needs none."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from nestvec.config import Config, load_config, parse_config
from nestvec.contract import BackendPlugin
from nestvec.errors import ConfigError, PluginError
from nestvec.registry import BACKENDS, EMBEDDERS, Registry


def as_config(
    source: str | Path | Mapping[str, Any] | Config, registry: Registry, embedders: Mapping[str, object] | None = None
) -> Config:
    """A configuration from a file, plain values, or one that was read before; with embedders that are handed over."""
    if isinstance(source, Config):
        if embedders:
            raise ConfigError("embedders are handed over where a configuration is read: give the file or its values")
        return source
    if isinstance(source, Mapping):
        return parse_config(source, registry, embedders=embedders)
    if not isinstance(source, str | Path):
        raise ConfigError(f"a configuration is a path, a mapping or a Config, not {type(source).__name__}")
    return load_config(source, registry, embedders=embedders)


def default_backend(registry: Registry) -> BackendPlugin:
    """The backend that offers itself as the embedded default. Raises `ConfigError`."""
    found: BackendPlugin = _default(registry.names(BACKENDS), registry.backend, "backend")
    return found


def default_plugins(registry: Registry) -> tuple[Any, Any]:
    """The backend and the embedder that offer themselves as the embedded default. Raises `ConfigError`."""
    backend = default_backend(registry)
    embedder = _default(registry.names(EMBEDDERS), registry.embedder, "embedder")
    return backend, embedder


def default_values(
    registry: Registry, name: str, path: str | Path | None, settings: Mapping[str, Any], embedder: object = None
) -> dict[str, Any]:
    """Configuration values for one collection on the embedded default stack that is installed.

    With an `embedder` of the program, which is handed over beside them, or "none", the default one is not needed.
    """
    backend: Any = default_backend(registry)
    place = Path(path) if path is not None else None
    values: dict[str, Any] = {
        "backends": {backend.name: {"use": backend.name, **backend.embedded(place)}},
        "collections": {name: {key: value for key, value in settings.items() if value is not None}},
    }
    if embedder is None:
        usual = _default(registry.names(EMBEDDERS), registry.embedder, "embedder")
        values["embedders"] = {usual.name: {"use": usual.name, **usual.embedded}}
    elif isinstance(embedder, str):
        values["collections"][name]["embedder"] = embedder
    return values


def handed_over(embedder: object, name: str | None) -> dict[str, object]:
    """The embedder of one collection, wrapped, where it is an object. Raises `InvalidInput` for one without a name."""
    if embedder is None or isinstance(embedder, str):
        return {}
    from nestvec.embedders.objects import wrap

    return {"object": wrap(embedder, name=name)}


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
