"""Clients and handles that are copied, or pickled into another process: they travel as configuration and name.

What is open stays where it is. Where a pickle lands, nothing is read and nothing raised before it is used.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from copy import deepcopy
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Self

from pydantic import BaseModel, SecretBytes, SecretStr

from nestvec._client.connections import CLOSED
from nestvec._client.places import stored_at
from nestvec.config import load_config, parse_config
from nestvec.errors import ConfigError, NestvecError, Unsupported

if TYPE_CHECKING:
    from nestvec.config import Config
    from nestvec.runtime import Runtime

#: Held while something that landed is opened: threads that use it first open it once.
_OPENING: Final = threading.RLock()
_ARRIVED: Final = "_arrived"


@dataclass(frozen=True, slots=True)
class Recipe:
    """What a client travels as. `left_out` are the keys of secrets that stood literally in its configuration."""

    source: Path | Mapping[str, Any]
    folder: Path
    runtime: Runtime
    left_out: tuple[str, ...] = ()
    #: Embedders that are objects of the program.
    embedders: Mapping[str, object] = field(default_factory=dict)

    @classmethod
    def of(cls, config: Config, runtime: Runtime) -> Recipe:
        """Raises `Unsupported` where it cannot be opened elsewhere."""
        _require_stored(config)
        if config.source is None:
            raise Unsupported("this client cannot be pickled: its configuration was neither read nor parsed as a whole")
        require_pickles("this client", "runtime", runtime)
        for name, embedder in config.given.items():
            require_pickles("this client", f"embedder {name!r}", embedder)
        if isinstance(config.source, Path):
            return cls(config.source, Path.cwd(), runtime, embedders=config.given)
        source, left_out = deepcopy(dict(config.source)), []
        for key in _secrets(config):
            *tables, last = key
            table: Any = source
            for each in tables:
                table = table[each]
            del table[last]
            left_out.append(".".join(key))
        return cls(source, Path.cwd(), runtime, tuple(left_out), config.given)

    def config(self) -> Config:
        """The configuration, read where it landed. Raises `ConfigError` and `PluginError`."""
        if self.left_out:
            raise ConfigError(
                f"this client was pickled without {', '.join(self.left_out)}: a secret that stands literally in a "
                f"configuration does not travel; set it where this process connects by itself, or refer to it there "
                f"with a variable or a file"
            )
        if isinstance(self.source, Path):
            return load_config(self.source, self.runtime.registry, embedders=self.embedders)
        return parse_config(self.source, self.runtime.registry, folder=self.folder, embedders=self.embedders)


class Traveling:
    """What landed is opened when anything of it is asked for that is not there yet."""

    if not TYPE_CHECKING:  # otherwise no name would be unknown to a type checker

        def __getattr__(self, name: str) -> Any:
            if name.startswith("__") or _ARRIVED not in self.__dict__:
                raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}", name=name, obj=self)
            with _OPENING:
                if _ARRIVED in self.__dict__:
                    self.__dict__[_ARRIVED](self)
                    self.__dict__.pop(_ARRIVED, None)
            return getattr(self, name)

    @classmethod
    def _landed(cls, arrive: Callable[[Any], None]) -> Self:
        made = cls.__new__(cls)
        made.__dict__[_ARRIVED] = arrive
        return made

    @property
    def _opened(self) -> bool:
        """Not where it landed and was not used yet."""
        return _ARRIVED not in self.__dict__

    def _close_unopened(self) -> None:
        """It will not be opened any more."""
        self.__dict__[_ARRIVED] = _refuse


class TravelingClient(Traveling):
    """A client that is pickled as its configuration. A copy shares what is open, and is closed by itself."""

    if TYPE_CHECKING:
        config: Config
        _runtime: Runtime

    def __reduce__(self) -> Any:
        if not self._opened:
            return _landed_again, (type(self), self.__dict__[_ARRIVED])
        return land_client, (type(self), Recipe.of(self.config, self._runtime))

    def __copy__(self) -> Self:
        if not self._opened:
            return type(self)._landed(self.__dict__[_ARRIVED])
        other: Self = _copied(self)
        return other

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        return self.__copy__()


class TravelingHandle(Traveling):
    """A handle that is pickled as its client, its name and its tenant."""

    if TYPE_CHECKING:
        spec: Any
        tenant: str | None
        _owner: Any
        _owns: bool

    def __reduce__(self) -> Any:
        if not self._opened:
            return _landed_again, (type(self), self.__dict__[_ARRIVED])
        return land_handle, (type(self), self._owner, self.spec.name, self.tenant, self._owns)

    def __copy__(self) -> Self:
        return self.__deepcopy__({})

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        if not self._opened:
            return type(self)._landed(self.__dict__[_ARRIVED])
        owns = self._owns or id(self._owner) not in memo
        copied: Self = land_handle(type(self), deepcopy(self._owner, memo), self.spec.name, self.tenant, owns)
        return copied


@dataclass(frozen=True, slots=True)
class _Client:
    recipe: Recipe

    def __call__(self, client: Any) -> None:
        client.__init__(self.recipe.config(), self.recipe.runtime)


@dataclass(frozen=True, slots=True)
class _Handle:
    owner: Any
    name: str
    tenant: str | None
    owns: bool

    def __call__(self, handle: Any) -> None:
        like = self.owner[self.name]
        handle.__dict__.update(like.__dict__)
        handle.tenant, handle._owns = self.tenant, self.owns


def land_client(kind: type[Any], recipe: Recipe) -> Any:
    """A client where its pickle landed."""
    return kind._landed(_Client(recipe))


def land_handle(kind: type[Any], owner: Any, name: str, tenant: str | None, owns: bool) -> Any:
    """A handle where its pickle landed."""
    return kind._landed(_Handle(owner, name, tenant, owns))


def _copied(client: Any) -> Any:
    """Another client of the same family. Stores in memory last until it is closed, too."""
    family = client._connections.family
    other = type(client)(client.config, client._runtime, family=family)
    other._connections.kept += family.in_memory()
    return other


def _landed_again(kind: type[Any], arrive: Callable[[Any], None]) -> Any:
    return kind._landed(arrive)


def _refuse(_: Any) -> None:
    raise NestvecError(CLOSED)


def require_pickles(subject: str, what: str, value: object) -> None:
    """Raise `Unsupported` where something that somebody else wrote does not pickle."""
    import pickle

    try:
        pickle.dumps(value)
    except (pickle.PicklingError, TypeError, AttributeError) as error:
        raise Unsupported(
            f"{subject} cannot be pickled, because its {what} cannot be ({error}); connect anew in the other process"
        ) from error


def _require_stored(config: Config) -> None:
    """Raise `Unsupported` for what is kept in this process's memory: elsewhere it would be empty, and nobody told."""
    for name in dict.fromkeys(spec.backend for spec in config.collections.values()):
        connection = config.backends[name]
        if connection.plugin.path_option is not None and connection.declared.embedded and stored_at(connection) is None:
            raise Unsupported(
                f"this client cannot be pickled: its backend {name!r} keeps everything in this process's memory, and "
                f"would be empty elsewhere; give it a path, or use a server"
            )


def _secrets(config: Config) -> Iterator[tuple[str, ...]]:
    """The keys of secrets that plugins let stand in a configuration literally."""
    for group, connections in (("backends", config.backends), ("embedders", config.embedders)):
        for name, connection in connections.items():
            yield from ((group, name, *path) for path in _secret_keys(connection.options))


def _secret_keys(options: BaseModel) -> Iterator[tuple[str, ...]]:
    for key in options.model_fields_set:
        value = getattr(options, key)
        if isinstance(value, SecretStr | SecretBytes):
            yield (key,)
        elif isinstance(value, BaseModel):
            yield from ((key, *path) for path in _secret_keys(value))
