"""Where engines run in this process: an embedded store is opened once, however many clients use it.

A place is where a component may be opened: an embedded store's path, which is the same for all clients of the process,
or a block of one configuration, which both faces of a client share. Whoever uses what is open there has a lease. The
last one to end theirs closes it. A lease that nobody holds any more counts no longer: what was never closed goes with
the last client that is dropped.
"""

from __future__ import annotations

import os
import threading
import weakref
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from nestvec._session.session import finished
from nestvec.contract import BackendPlugin
from nestvec.errors import ConfigError

if TYPE_CHECKING:
    from nestvec._client.ingestion import DocumentTurns
    from nestvec._session.session import Component
    from nestvec.config import Connection

Settings = Mapping[str, Any]


class OpenEngine:
    """What is open at a place, with the settings that it was opened with."""

    def __init__(self, component: Any, settings: Settings, stamp: object) -> None:
        self.component = component
        self.settings = settings
        self.stamp = stamp
        self.leases: weakref.WeakSet[Lease] = weakref.WeakSet()


class Lease:
    """The right to use an engine. It ends once, with `end`, or when it is dropped."""

    def __init__(self, place: Place, engine: OpenEngine, user: Component[Any] | None) -> None:
        self.place = place
        self.engine: OpenEngine | None = engine
        self.user = weakref.ref(user) if user is not None else None

    @property
    def component(self) -> Any:
        """What was opened."""
        return self.engine.component if self.engine is not None else None

    def end(self) -> None:
        """Close the engine, unless others use it. Safe to call twice."""
        self.place.leave(self)

    def void(self) -> None:
        """After a fork: the engine is the parent's. Whoever uses it opens one anew, or hears that it is in use."""
        user = self.user() if self.user is not None else None
        if user is not None:
            user.opened = user.lease = None
        self.engine = None


class Place:
    """Where one component may be open. Safe for threads; of several that open it, one does."""

    def __init__(self, path: Path | None = None) -> None:
        self.path = path
        self._lock = threading.RLock()
        self._engine: weakref.ref[OpenEngine] | None = None

    @property
    def turns(self) -> DocumentTurns:
        """Documents that are being written there, by whichever client of this process."""
        from nestvec._client.ingestion import DocumentTurns  # late: who only reads needs none of it

        made: DocumentTurns = vars(self).setdefault("_turns", DocumentTurns())  # one, whichever thread asks first
        return made

    def enter(
        self, open_it: Callable[[], Any], settings: Settings | None = None, user: Component[Any] | None = None
    ) -> Lease:
        """Use what is open here, or open it. Raises `ConfigError` where it was opened with other settings."""
        settings = settings or {}
        with self._lock:
            engine = self._current()
            if engine is None:
                engine = OpenEngine(open_it(), settings, None)
                engine.stamp = _stamp(self.path)
                self._engine = weakref.ref(engine)
            elif engine.settings != settings:
                raise ConfigError(_differing(self.path, engine.settings, settings))
            return self._leased(engine, user)

    def hold(self) -> Lease | None:
        """Use what is open here; None where nothing is."""
        with self._lock:
            engine = self._current()
            return None if engine is None else self._leased(engine, None)

    def leave(self, lease: Lease) -> None:
        """See `Lease.end`."""
        with self._lock:
            engine, lease.engine = lease.engine, None
            if engine is None:
                return
            engine.leases.discard(lease)
            if not engine.leases:
                if self._engine is not None and self._engine() is engine:
                    self._engine = None
                finished(engine.component.close)

    def forked(self) -> OpenEngine | None:
        """Leave the engine to the parent. It is kept, for whoever destroyed it would let go of the parent's locks."""
        self._lock = threading.RLock()
        vars(self).pop("_turns", None)
        engine = self._engine() if self._engine is not None else None
        self._engine = None
        for lease in list(engine.leases) if engine is not None else ():
            lease.void()
        return engine

    def _current(self) -> OpenEngine | None:
        """The engine, unless somebody has put another store into its place, or removed it."""
        engine = self._engine() if self._engine is not None else None
        return engine if engine is not None and engine.stamp == _stamp(self.path) else None

    def _leased(self, engine: OpenEngine, user: Component[Any] | None) -> Lease:
        lease = Lease(self, engine, user)
        engine.leases.add(lease)
        return lease


class Places:
    """The places of this process that have a path. They last as long as anybody knows them."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._places: weakref.WeakValueDictionary[tuple[str, str], Place] = weakref.WeakValueDictionary()
        self._parents: list[OpenEngine | None] = []

    def at(self, plugin: str, path: Path) -> Place:
        """That of a plugin's store, however its path is written."""
        real = os.path.realpath(path)
        with self._lock:
            return self._places.setdefault((plugin, os.path.normcase(real)), Place(Path(real)))

    def forked(self) -> None:
        """In a child process."""
        self._lock = threading.RLock()
        self._parents += [place.forked() for place in list(self._places.values())]


PLACES: Final = Places()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=PLACES.forked)


class Family:
    """What the faces of a client, and its copies, have in common."""

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self._places: dict[tuple[str, str], Place] = {}

    def place(self, connection: Connection[Any]) -> Place:
        """Where a block's component is opened."""
        plugin = connection.plugin
        kind = "backend" if isinstance(plugin, BackendPlugin) else "embedder"
        key = (kind, connection.name)
        if key not in self._places:
            path = stored_at(connection)
            self._places.setdefault(key, PLACES.at(plugin.name, path) if path is not None else Place())
        return self._places[key]

    def in_memory(self) -> list[Lease]:
        """A lease of each store that is open in memory alone."""
        held = [place.hold() for (kind, _), place in list(self._places.items()) if kind == "backend" and not place.path]
        return [lease for lease in held if lease is not None]


def stored_at(connection: Connection[Any]) -> Path | None:
    """The path of an embedded store; None for one in memory, and for everything else."""
    option = getattr(connection.plugin, "path_option", None)
    path = getattr(connection.options, option) if option is not None else None
    return path if isinstance(path, Path) else None


def settings_of(connection: Connection[Any]) -> dict[str, Any]:
    """The other options of its block."""
    option = getattr(connection.plugin, "path_option", None)
    return connection.options.model_dump(exclude={option} if option is not None else None)


def _stamp(path: Path | None) -> object:
    """What tells a store from another one that was put in its place."""
    if path is None:
        return None
    try:
        found = path.stat()
    except OSError:
        return None
    return (found.st_dev, found.st_ino)


def _differing(path: Path | None, known: Settings, wanted: Settings) -> str:
    names = sorted(name for name in known.keys() | wanted.keys() if known.get(name) != wanted.get(name))
    return (
        f"the store {path} is open in this process with another {', '.join(names)}: write the same options in both "
        f"configurations, or close the other client first"
    )
