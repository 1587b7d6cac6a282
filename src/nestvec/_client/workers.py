"""One open client for each configuration in a process, for workers that are handed one task after the other."""

from __future__ import annotations

import atexit
import hashlib
import json
import os
import sys
import threading
from collections.abc import Hashable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from nestvec._client.sync import Nestvec, connect
from nestvec._files import read_file
from nestvec._limits import CONFIGURATION
from nestvec.config import Config
from nestvec.config.plain import check_plain

if TYPE_CHECKING:
    from collections.abc import Sequence


class _Clients:
    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.open: dict[Hashable, Nestvec] = {}
        self.to_close_at_exit = False
        self._parents: list[Nestvec] = []

    def close_at_exit(self) -> None:
        """Once for each process. Children of `multiprocessing` end without what `atexit` knows."""
        if self.to_close_at_exit:
            return
        self.to_close_at_exit = True
        atexit.register(close_shared_clients)
        util = sys.modules.get("multiprocessing.util")
        if util is not None:
            util.Finalize(None, close_shared_clients, exitpriority=0)

    def forked(self) -> None:
        """A child opens its own. Its parent's are kept as they are: dropping them would close what is the parent's."""
        self._parents += self.open.values()
        self.lock, self.open, self.to_close_at_exit = threading.RLock(), {}, False


_CLIENTS: Final = _Clients()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_CLIENTS.forked)


def shared_client(source: str | Path | Mapping[str, Any] | Config) -> Nestvec:
    """The one open client of this process for a configuration: for workers, which open it once and not for each task.

    Two configurations are the same where their files are and say the same, or their values are. A child process, forked
    or spawned, gets a client of its own. All are closed when the process ends. One that was closed, or whose file was
    changed, is opened anew.

    Args:
        source: As for `connect`.

    Returns:
        The same client each time. Leave it open: others use it, too.

    Raises:
        ConfigError: The file cannot be read, or something in it is wrong; `problems` lists all of it.
        PluginError: A plugin that it names is not installed, or broken.

    Example:
        >>> nestvec.shared_client("nestvec.toml") is nestvec.shared_client("nestvec.toml")
        True
        >>> nestvec.close_shared_clients()
    """
    key = _key(source)
    with _CLIENTS.lock:
        known = _CLIENTS.open.get(key)
        if known is None or known._connections.closed:
            known = _CLIENTS.open[key] = connect(source)
            _CLIENTS.close_at_exit()
        return known


def close_shared_clients() -> None:
    """Close all clients that `shared_client` opened in this process; the next call of it opens anew.

    For tests, and before a process forks.

    Example:
        >>> nestvec.close_shared_clients()
    """
    with _CLIENTS.lock:
        clients: Sequence[Nestvec] = list(_CLIENTS.open.values())
        _CLIENTS.open.clear()
    for client in clients:
        client.close()


def _key(source: str | Path | Mapping[str, Any] | Config) -> Hashable:
    """What is equal for the same configuration. What is none is refused by `connect`."""
    given = source.source if isinstance(source, Config) else source
    if isinstance(given, Mapping):
        check_plain(given, "the configuration")
        return str(Path.cwd()), json.dumps(given, sort_keys=True, default=_told)
    if isinstance(given, str | Path):
        return os.path.realpath(given), _digest(Path(given))
    return id(source)  # it is kept, with its client


def _told(value: object) -> str:
    return f"{type(value).__qualname__} {value}"


def _digest(file: Path) -> str | None:
    """Of what it says; None where it cannot be read, which `connect` says."""
    try:
        return hashlib.sha256(read_file(file, CONFIGURATION)).hexdigest()
    except OSError:
        return None
