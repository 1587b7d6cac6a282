"""Finds plugins by their entry points and loads them by name.

Listing reads package metadata only: no plugin is imported. Loading imports one plugin's entry module,
registers it with pluggy and checks that it keeps the hook contract. One broken plugin does not affect the
others. The registry may be shared between threads.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, cached_property, partial
from importlib.metadata import EntryPoint, entry_points
from inspect import iscoroutinefunction, isgeneratorfunction
from typing import TYPE_CHECKING, Any, TypeVar

import pluggy

from nestvec import hookspecs
from nestvec._similar import closest
from nestvec.errors import PluginBroken, PluginConflict, PluginError, PluginNotFound

if TYPE_CHECKING:
    import logging

    from nestvec.contract import BackendPlugin, EmbedderPlugin, Event

BACKENDS = "nestvec.backends"
EMBEDDERS = "nestvec.embedders"
LISTENERS = "nestvec.listeners"
P = TypeVar("P")
_KIND = {BACKENDS: "backend", EMBEDDERS: "embedder", LISTENERS: "listener"}


@dataclass(frozen=True, slots=True)
class Listed:
    """A plugin as package metadata announces it, not loaded."""

    kind: str
    name: str
    distribution: str
    version: str
    module: str


class Registry:
    """The plugins of one process. `extra` entry points are added to those found in the environment."""

    def __init__(self, extra: Mapping[str, Sequence[EntryPoint]] | None = None) -> None:
        self._extra = extra or {}
        self._lock = threading.RLock()
        self._manager = pluggy.PluginManager("nestvec")
        self._manager.add_hookspecs(hookspecs)
        self._listening = False
        #: Listeners that raised, by their modules: each is told of once.
        self._told = set[str]()

    def __reduce__(self) -> tuple[Callable[..., Registry], tuple[Any, ...]]:
        """By where plugins are found: they are loaded anew in another process."""
        return (default_registry, ()) if self is default_registry() else (Registry, (self._extra,))

    @cached_property
    def _found(self) -> dict[str, dict[str, list[EntryPoint]]]:
        found: dict[str, dict[str, list[EntryPoint]]] = {group: {} for group in _KIND}
        installed = entry_points()  # read once: looking for one group reads the metadata of all distributions
        for group, by_name in found.items():
            for entry in [*installed.select(group=group), *self._extra.get(group, ())]:
                same = by_name.setdefault(entry.name, [])
                if not any(entry.value == other.value and _owner(entry) == _owner(other) for other in same):
                    same.append(entry)
        return found

    def installed(self) -> list[Listed]:
        """Every installed plugin, without importing any."""
        return [
            Listed(_KIND[group], name, *_owner(entry), entry.value)
            for group, by_name in self._found.items()
            for name, entries in sorted(by_name.items())
            for entry in entries
        ]

    def names(self, group: str) -> list[str]:
        """The plugin names of one group."""
        return sorted(self._found[group])

    def backend(self, name: str) -> BackendPlugin:
        """Load a backend. Raises `PluginNotFound`, `PluginConflict` or `PluginBroken`."""
        from nestvec.contract import BackendPlugin

        return self._offer(BACKENDS, name, "nestvec_backend", BackendPlugin)

    def embedder(self, name: str) -> EmbedderPlugin:
        """Load an embedder. Raises `PluginNotFound`, `PluginConflict` or `PluginBroken`."""
        from nestvec.contract import EmbedderPlugin

        return self._offer(EMBEDDERS, name, "nestvec_embedder", EmbedderPlugin)

    def notify(self, event: Event) -> None:
        """Tell every listener.

        The work that an event reports is done: a listener that is broken or raises is logged as an error, with
        its traceback, and disturbs neither that work nor the other listeners. Of one listener that is done once; what
        it raises later is logged for debugging. Only what ends a process passes: `KeyboardInterrupt`, `SystemExit`.
        """
        self._load_listeners()
        for heard in self._manager.hook.nestvec_event.get_hookimpls():
            try:
                # pluggy lets a hook leave out arguments that it does not need.
                heard.function(*({"event": event}[name] for name in heard.argnames))
            except (KeyboardInterrupt, SystemExit):
                raise
            except BaseException:  # noqa: BLE001 - a foreign function: its CancelledError, too, would end an ingestion
                self._tell(heard.plugin_name, event)

    def _tell(self, listener: str, event: Event) -> None:
        """Log what a listener raised just now."""
        with self._lock:
            first = listener not in self._told
            self._told.add(listener)
        if first:
            _log().exception(
                "listener %s raised on event %s; the work goes on. It is told every further event, and what it raises "
                "then is logged for debugging only",
                listener,
                event.name,
            )
        else:
            _log().debug("listener %s raised on event %s", listener, event.name, exc_info=True)

    def _load_listeners(self) -> None:
        with self._lock:
            if self._listening:
                return
            self._listening = True
            for name in self.names(LISTENERS):
                try:
                    self._require(self._load(LISTENERS, name), LISTENERS, name, "nestvec_event")
                    self._require_plain(name)
                except PluginError:
                    _log().exception("listener %s cannot be used and hears nothing", name)

    def _offer(self, group: str, name: str, hook: str, kind: type[P]) -> P:
        with self._lock:
            plugin = self._load(group, name)
        self._require(plugin, group, name, hook)
        try:
            offer = getattr(plugin, hook)()
        except Exception as error:
            raise PluginBroken(
                f"{self._label(group, name)}: {hook}() raised {type(error).__name__}: {error}; reinstall or remove it"
            ) from error
        if not isinstance(offer, kind) or getattr(offer, "name", None) != name:
            raise PluginBroken(
                f"{self._label(group, name)}: {hook}() must return a {kind.__name__} named {name!r}, not {offer!r}"
            )
        return offer

    def _require(self, plugin: object, group: str, name: str, hook: str) -> None:
        callers = self._manager.get_hookcallers(plugin) or ()
        if hook not in {caller.name for caller in callers}:
            raise PluginBroken(
                f"{self._label(group, name)} is listed under {group} but has no hook {hook}(): define a function of "
                f"that name and mark it with @nestvec.hookspecs.hookimpl"
            )

    def _require_plain(self, name: str) -> None:
        """Of a listener: nobody awaits or iterates over what it returns."""
        key = self._single(LISTENERS, name).value
        own = [each for each in self._manager.hook.nestvec_event.get_hookimpls() if each.plugin_name == key]
        if any(iscoroutinefunction(each.function) or isgeneratorfunction(each.function) for each in own):
            self._manager.unregister(name=key)
            raise PluginBroken(
                f"{self._label(LISTENERS, name)}: nestvec_event is awaited by nobody, and no wrapper; make it a plain "
                f"function"
            )

    def _label(self, group: str, name: str) -> str:
        return f"{_KIND[group]} plugin {name!r} ({_source(self._single(group, name))})"

    def _load(self, group: str, name: str) -> object:
        entry = self._single(group, name)
        known = self._manager.get_plugin(entry.value)
        if known is not None:
            return known
        try:
            plugin = entry.load()
        except Exception as error:  # whatever a foreign module raises on import, it is broken
            raise PluginBroken(
                f"{self._label(group, name)} cannot be imported: "
                f"{type(error).__name__}: {error}; reinstall or remove it"
            ) from error
        self._register(plugin, entry.value, partial(self._label, group, name))
        return plugin

    def _register(self, plugin: object, key: str, label: Callable[[], str]) -> None:
        try:
            self._manager.register(plugin, name=key)
            self._manager.check_pending()
        except Exception as error:  # a foreign module: looking at its names may raise anything
            if self._manager.has_plugin(key):
                self._manager.unregister(name=key)
            raise PluginBroken(f"{label()} does not keep the hook contract: {error}") from error

    def _single(self, group: str, name: str) -> EntryPoint:
        entries = self._found[group].get(name)
        if not entries:
            raise PluginNotFound(self._missing(group, name))
        if len(entries) > 1:
            sources = " and ".join(sorted(_source(entry) for entry in entries))
            raise PluginConflict(
                f"{_KIND[group]} {name!r} is claimed by {sources}; uninstall one of them (pip uninstall …)"
            )
        return entries[0]

    def _missing(self, group: str, name: str) -> str:
        kind, installed = _KIND[group], self.names(group)
        close = closest(name, installed)
        message = f"no {kind} named {name!r} is installed"
        if close is not None:
            message += f"; did you mean {close!r}?"
        else:
            message += (
                f"; install the distribution that provides it, usually nestvec-{name} (nestvec's own, from its "
                f"checkout: pip install ./plugins/nestvec-{name})."
            )
        return f"{message} Installed {kind}s: {', '.join(installed) or 'none'}."


def _log() -> logging.Logger:
    import logging  # late: only listeners that fail are logged

    return logging.getLogger(__name__)


def _owner(entry: EntryPoint) -> tuple[str, str]:
    dist = entry.dist
    return (dist.name, dist.version) if dist is not None else ("unknown distribution", "")


def _source(entry: EntryPoint) -> str:
    return " ".join(filter(None, _owner(entry)))


@cache
def default_registry() -> Registry:
    """The registry that everything uses unless it is given another."""
    return Registry()
