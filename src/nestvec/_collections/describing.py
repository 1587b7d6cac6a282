"""From a configuration to what rules work on: a collection's spec, its state, and what splits its documents."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nestvec._chunking import Splitter
from nestvec._collections.following import Alternatives
from nestvec._collections.opening import CollectionState
from nestvec.config.problems import did_you_mean
from nestvec.errors import ConfigError, InvalidName

if TYPE_CHECKING:
    from collections.abc import Callable

    from nestvec._specs import CollectionSpec
    from nestvec.config import Config
    from nestvec.runtime import Runtime


def spec_named(config: Config, name: str) -> CollectionSpec:
    """The spec of a collection. Raises `InvalidName` with a suggestion."""
    spec = config.collections.get(name)
    if spec is None:
        raise InvalidName(f"the configuration has no collection {name!r}{did_you_mean(name, config.collections)}")
    return spec


def embedder_named(config: Config, name: str | None) -> str:
    """The embedder to use: the one named, or the only one. Raises `ConfigError`."""
    if name is None and len(config.embedders) != 1:
        raise ConfigError(f"say which embedder: the configuration has {', '.join(config.embedders) or 'none'}")
    chosen = name if name is not None else next(iter(config.embedders))
    if chosen not in config.embedders:
        raise ConfigError(f"the configuration has no embedder {chosen!r}{did_you_mean(chosen, config.embedders)}")
    return chosen


def collection_state(config: Config, spec: CollectionSpec, runtime: Runtime) -> CollectionState:
    """A fresh state: nothing is known yet of where the collection is."""
    capabilities = config.backends[spec.backend].capabilities
    return CollectionState(spec, capabilities, runtime.clock, runtime.lease, runtime.wall)


def alternatives(config: Config, spec: CollectionSpec, runtime: Runtime) -> Alternatives:
    """What a handle's collection may be: as the configuration wants it, and as it was before."""
    previous = config.previous.get(spec.name)
    before = collection_state(config, previous, runtime) if previous is not None else None
    return Alternatives(collection_state(config, spec, runtime), before)


def counts_tokens(spec: CollectionSpec) -> bool:
    """Whether splitting its documents needs the embedder to count tokens."""
    return spec.chunking.unit == "tokens" and spec.chunking.tokenizer is None


def make_splitter(config: Config, spec: CollectionSpec, count: Callable[[str], int] | None) -> Splitter:
    """What splits a collection's documents. Raises `Unsupported` where nothing counts the tokens it needs."""
    return Splitter(spec.chunking, count, config.path.parent if config.path else None)
