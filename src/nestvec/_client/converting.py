"""`convert_store`: which stores are meant, where the new one is built, and from when on it counts.

It is built beside its place, in `NEW.converting`, and gets its name when all of it is written and compared. Whoever
converts holds a lock in there: what a process left that died is nobody's, and the next conversion removes it.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Final, Self

from nestvec._client.configuring import default_backend
from nestvec._client.connections import Connections
from nestvec._migration.converting import ConversionReport, OpenStore, bring, compare, survey
from nestvec._session.session import Blocking, complete
from nestvec._specs import NO_EMBEDDER
from nestvec.config import Config
from nestvec.config.load import Connection
from nestvec.contract import disk_advice
from nestvec.errors import BackendFull, BackendLocked, BackendRefused, InvalidInput, PluginError
from nestvec.registry import BACKENDS
from nestvec.runtime import Runtime

if TYPE_CHECKING:
    from nestvec._migration.converting import ConversionCallback
    from nestvec.contract import BackendPlugin
    from nestvec.registry import Registry

_SUFFIX: Final = ".converting"
_LOCK: Final = ".lock"
_STORE: Final = "store"


def convert_store(
    old: str | Path,
    new: str | Path,
    *,
    to: str | None = None,
    source: str | None = None,
    leave_foreign: bool = False,
    progress: ConversionCallback | None = None,
    runtime: Runtime | None = None,
) -> ConversionReport:
    """Convert the embedded store of one backend into one of another, whole. Nothing is embedded.

    Every generation of every collection is brought over with its records, vectors, metadata, tenants, alias and notes,
    and then compared record by record. The old store is only read. The new one is there when all of that is done;
    until then it lies beside as `NEW.converting`, and what an interrupted conversion left there goes with the next one.
    Convert while nobody writes.

    Args:
        old: The folder (or file) of the store.
        new: The folder to make; it may be there, if it is empty.
        to: The backend that the new store is for; None: the one that is the default.
        source: The backend that made the old one; None: told by looking at it.
        leave_foreign: Leave out collections that other programs made, instead of refusing.
        progress: Hears how far the conversion is, after each page.
        runtime: Plugins and retries, where the defaults do not suit.

    Returns:
        What was converted, what was left out, and what to write into the configuration.

    Raises:
        InvalidInput: A folder is missing, not empty, nobody's, or the same as the other one.
        CollectionConflict: The store holds collections of other programs.
        Unsupported: The target cannot keep something: names, several vectors, dimensions.
        CollectionError: What was written is not what was read; it is gone again.
        PluginError: A plugin is not installed, or broken.
        BackendError: A store is in use by another process, damaged, or cannot be written.

    Example:
        >>> report = nestvec.convert_store("store", "new", leave_foreign=True)
        >>> report.target, report.left_out
        ('embedded', ('articles',))
    """
    runtime = runtime or Runtime()
    origin, place = Path(old).resolve(), Path(new).resolve()
    _check_places(origin, place)
    made_by = _maker(runtime.registry, origin, source)
    wanted = runtime.registry.backend(to) if to is not None else default_backend(runtime.registry)
    _check_plugins(origin, made_by, wanted)
    with _opened(made_by, origin, runtime) as there:
        can = _connection(wanted, place).capabilities
        inventory = complete(survey(there, can, wanted.name, leave_foreign=leave_foreign))
        with _Staging(place) as staging:
            with _opened(wanted, staging.store, runtime) as here:
                complete(bring(there, here, inventory, progress))
            with _opened(wanted, staging.store, runtime) as here:  # again: what is compared is what was kept
                complete(compare(there, here, inventory, progress))
                report = inventory.report(there, here, str(place))
            staging.finish()
    return replace(report, replaced=staging.replaced)


# ---------------------------------------------------------------- which stores


def _check_places(old: Path, new: Path) -> None:
    """Raises `InvalidInput`; nothing is changed."""
    if not old.exists():
        raise InvalidInput(f"there is no store {old}: name the folder that the configuration has as `path`")
    if old == new:
        raise InvalidInput(f"{old} is the old store itself; name another folder for the new one")
    if old in new.parents:
        raise InvalidInput(f"{new} lies within {old}, which stays as it is; name a folder elsewhere")
    if new.is_dir():
        names = sorted(path.name for path in new.iterdir())
        if names:
            raise InvalidInput(f"{new} is not empty ({names[0]!r:.80}); name a folder that is new or empty")
    elif new.exists():
        raise InvalidInput(f"{new} is there already and no folder; name a folder that is new or empty")


def _maker(registry: Registry, old: Path, named: str | None) -> BackendPlugin:
    """The backend that made a store. Raises `InvalidInput` where that is nobody, or somebody else than is named."""
    if named is not None:
        plugin = registry.backend(named)
        if plugin.made is not None and not plugin.made(old):
            raise InvalidInput(f"{old} is no store of backend {named!r}; leave --from out to have it looked at")
        return plugin
    known, broken, makers = [], [], []
    for name in registry.names(BACKENDS):
        try:
            plugin = registry.backend(name)
        except PluginError as error:  # it may not be the one; if none is, it is named
            broken.append(str(error))
            continue
        if plugin.made is not None:
            known.append(name)
            makers += [plugin] if plugin.made(old) else []
    if len(makers) == 1:
        return makers[0]
    if makers:
        raise InvalidInput(
            f"{old} could be a store of {', '.join(each.name for each in makers)}; say with --from which it is"
        )
    raise InvalidInput(
        f"{old} is no store of a backend that is installed and can be told by its files "
        f"({', '.join(known) or 'none'}); name the folder that the configuration has as `path`, or say with --from "
        f"whose it is" + "".join(f". {each}" for each in broken)
    )


def _check_plugins(old: Path, made_by: BackendPlugin, wanted: BackendPlugin) -> None:
    if made_by.name == wanted.name:
        raise InvalidInput(
            f"{old} is a store of backend {wanted.name!r} already: there is nothing to convert; copy it while nobody "
            f"has it open, or say with --to which other backend is meant"
        )
    for plugin in (made_by, wanted):
        if plugin.embedded is None:
            raise InvalidInput(
                f"backend {plugin.name!r} has no embedded stores: `nestvec copy` and `nestvec migrate` bring "
                f"collections to and from servers"
            )


def _connection(plugin: BackendPlugin, path: Path) -> Connection[BackendPlugin]:
    assert plugin.embedded is not None  # noqa: S101 - checked before
    return Connection(plugin.name, plugin, plugin.options(**plugin.embedded(path)))


@contextmanager
def _opened(plugin: BackendPlugin, path: Path, runtime: Runtime) -> Iterator[OpenStore]:
    """A store, for as long as it is needed; where this process has it open already, it is shared."""
    connection = _connection(plugin, path)
    connections: Connections = Connections(Config(backends={plugin.name: connection}), runtime, Blocking(runtime.pause))
    try:
        complete(connections.adapter(plugin.name))
        backend = connections.session(plugin.name, NO_EMBEDDER).backend
        yield OpenStore(backend, connection.capabilities, plugin.name, f"the {plugin.name} store {path}")
    finally:
        complete(connections.close())


# ---------------------------------------------------------------- where it is built


class _Staging:
    """The folder beside the new store's place in which it is built. Nothing of it stays, whatever happens."""

    def __init__(self, place: Path) -> None:
        self._place = place
        self._folder = place.with_name(place.name + _SUFFIX)
        self.store = self._folder / _STORE
        #: What was left there before.
        self.replaced: str | None = None
        self._undo = ExitStack()

    def __enter__(self) -> Self:
        with ExitStack() as undo, _told(self._folder):
            self._folder.mkdir(parents=True, exist_ok=True)
            self._check()
            undo.enter_context(_locked(self._folder / _LOCK))
            undo.callback(self._remove)
            if _remove(self.store):
                self.replaced = str(self._folder)
            self._undo = undo.pop_all()
        return self

    def __exit__(self, *exception: Any) -> None:
        with _told(self._folder):
            self._undo.close()

    def finish(self) -> None:
        """Let the store have its name."""
        with _told(self._place):
            if self._place.is_dir():
                self._place.rmdir()  # empty; if it is not any more, that is refused
            self.store.rename(self._place)
            _sync(self._place.parent)

    def _check(self) -> None:
        names = sorted(path.name for path in self._folder.iterdir())
        if self._folder.is_symlink() or any(name not in (_LOCK, _STORE) for name in names):
            raise InvalidInput(
                f"{self._folder} is in the way: the new store is built there, and something else holds that name; "
                f"remove it, or name another folder than {self._place}"
            )

    def _remove(self) -> None:
        _remove(self.store)
        (self._folder / _LOCK).unlink(missing_ok=True)
        self._folder.rmdir()


def _remove(path: Path) -> bool:
    """Remove a store, if there is one."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
        return True
    if not path.exists() and not path.is_symlink():
        return False
    path.unlink()
    return True


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """While no other process converts to the same place. Raises `BackendLocked`."""
    file: IO[str] = path.open("a", encoding="utf-8")
    with file:
        try:
            import fcntl
        except ImportError:  # Windows: a file that is open there is not removed
            pass
        else:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise BackendLocked(
                    f"another process is converting to the same place (it holds {path}); wait for it, or name another "
                    f"folder"
                ) from error
        yield


def _sync(folder: Path) -> None:
    """A new name survives a loss of power. Where folders are no files, the system does it."""
    if os.name == "posix":
        file = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(file)
        finally:
            os.close(file)


@contextmanager
def _told(path: Path) -> Iterator[None]:
    """The system's errors as nestvec's."""
    try:
        yield
    except OSError as error:
        advice = disk_advice(error)
        kind = BackendFull if advice is not None else BackendRefused
        raise kind(f"{path} cannot be made: {error}; {advice or 'name another folder for the new store'}") from error
