"""Opening Qdrant's clients from options."""

from __future__ import annotations

import json
import pickle
import ssl
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from nestvec.errors import BackendRefused, ConfigError, SecretError
from nestvec_qdrant.errors import VENDOR_ERRORS, Scene, translate
from nestvec_qdrant.options import QdrantOptions

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable
    from types import TracebackType

    from qdrant_client import AsyncQdrantClient, QdrantClient
    from qdrant_client.local.qdrant_local import QdrantLocal

_NO_OWN_RETRIES = {"grpc.enable_retries": 0}


def open_local(options: QdrantOptions) -> QdrantLocal:
    """The engine in this process.

    Raises `BackendLocked`, `BackendFull`, `ConfigError` for a path that can not be a folder, and
    `BackendRefused` for a folder whose contents can not be read.
    """
    from qdrant_client.local.qdrant_local import QdrantLocal

    place = options.place
    try:
        with without_size_warning():
            # The adapter's lock takes the place of SQLite's check for threads.
            return QdrantLocal(location=str(options.path), force_disable_check_same_thread=True)
    except (NotADirectoryError, FileExistsError, FileNotFoundError) as error:
        raise ConfigError(f"{place} can not be a folder: {error}; choose another path") from error
    except (json.JSONDecodeError, UnicodeDecodeError, KeyError, pickle.UnpicklingError, EOFError) as error:
        raise _damaged(place, error) from error
    except VENDOR_ERRORS as error:
        if _says_damaged(error):
            raise _damaged(place, error) from error
        raise translate(error, Scene(place, embedded=True, method="open")) from error


def open_server(options: QdrantOptions) -> QdrantClient:
    """The client of a server. Connects at the first request. Raises `SecretError`, `ConfigError`."""
    from qdrant_client import QdrantClient

    client: QdrantClient = _opened(QdrantClient, options)
    return client


def open_server_async(options: QdrantOptions) -> AsyncQdrantClient:
    """Its asynchronous form."""
    from qdrant_client import AsyncQdrantClient

    client: AsyncQdrantClient = _opened(AsyncQdrantClient, options)
    return client


def _opened(client: Callable[..., Any], options: QdrantOptions) -> Any:
    arguments = _arguments(options)
    with warnings.catch_warnings():
        # The options have decided that already.
        warnings.filterwarnings("ignore", "Api key is used with an insecure connection", UserWarning)
        return client(**arguments)


def _arguments(options: QdrantOptions) -> dict[str, Any]:
    arguments: dict[str, Any] = {
        "url": options.url,
        "timeout": options.timeout,
        "check_compatibility": False,  # it would ask, and warn, from a thread of its own
        "prefer_grpc": options.grpc,
        "grpc_port": options.grpc_port,
        "grpc_options": dict(_NO_OWN_RETRIES),
    }
    if options.api_key is not None:
        arguments["api_key"] = _key(options)
    if options.ca is not None:
        arguments |= _trust(options)
    return arguments


def _key(options: QdrantOptions) -> str:
    key = options.api_key.reveal("the api_key of the Qdrant backend") if options.api_key else ""
    if not (key.isascii() and key.isprintable()):
        # Checked here, because the error of whoever sends it holds the key.
        raise SecretError("the api_key of the Qdrant backend holds characters that no HTTP header can carry")
    return key


def _trust(options: QdrantOptions) -> dict[str, Any]:
    try:
        context = ssl.create_default_context(cafile=str(options.ca))
        certificates = options.ca.read_bytes() if options.ca else b""
    except (OSError, ssl.SSLError) as error:
        raise ConfigError(f"ca: the certificates in {options.ca} can not be read: {error}") from error
    grpc_options = {**_NO_OWN_RETRIES, "root_certificates": certificates}
    return {"verify": context, "grpc_options": grpc_options}


def _says_damaged(error: Exception) -> bool:
    text = str(error)
    return any(sign in text for sign in ("not a database", "malformed", "validation error"))


def _damaged(place: str, error: Exception) -> BackendRefused:
    cause = f"{type(error).__name__}: {error}".splitlines()[0]
    return BackendRefused(
        f"{place} is damaged, or not Qdrant's ({cause}); restore it from a copy, or choose another path"
    )


@contextmanager
def without_size_warning() -> Iterator[None]:
    """Without the advice to use a server for more than 20,000 points: users can read that in the documentation."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Local mode is not recommended for collections with more", UserWarning)
        yield


@contextmanager
def one_transaction(engine: QdrantLocal, physical: str) -> Iterator[None]:
    """Make what is written to a stored collection in this block durable together, at its end.

    The engine commits, and waits for the disk, once for each point: 1,000 points take many seconds. So it
    gets a connection that leaves committing to this block. Does nothing for collections in memory.
    """
    collection = engine.collections.get(physical)
    storage = collection.storage if collection is not None else None
    if storage is None:
        yield
        return
    connection = storage.storage
    joined: Any = _Joined(connection)
    storage.storage = joined
    try:
        with connection:
            yield
    finally:
        storage.storage = connection


class _Joined:
    """A connection within a transaction that somebody else ends."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connection, name)

    def __enter__(self) -> sqlite3.Connection:
        return self._connection

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Leave committing, and rolling back, to the outer block."""
