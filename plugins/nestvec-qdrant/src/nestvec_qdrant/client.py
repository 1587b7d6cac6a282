"""Opening Qdrant's clients from options."""

from __future__ import annotations

import ssl
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qdrant_client import AsyncQdrantClient, QdrantClient
from qdrant_client.local.qdrant_local import QdrantLocal
from qdrant_client.models import UpdateResult

from nestvec.contract import ErrorContext, ReadingOnly, VendorClient, forbids_writing, shared_lock
from nestvec.contract.replies import limit_replies
from nestvec.errors import BackendRefused, ConfigError, SecretError
from nestvec.options import read_certificates
from nestvec_qdrant.embedded import CheckedLocal
from nestvec_qdrant.errors import VENDOR_ERRORS, translate
from nestvec_qdrant.options import QdrantOptions

if TYPE_CHECKING:
    import sqlite3
    from types import TracebackType

_GRPC = {
    "grpc.enable_retries": 0,  # retrying is nestvec's
    # By default a server that was away is not tried again for up to two minutes.
    "grpc.initial_reconnect_backoff_ms": 200,
    "grpc.min_reconnect_backoff_ms": 200,
    "grpc.max_reconnect_backoff_ms": 3000,
}


def open_client(options: QdrantOptions, *, blocking: bool) -> VendorClient[AsyncQdrantClient]:
    """The client for these options. One of a server connects at the first request.

    Raises `SecretError` and `ConfigError`; for an embedded store also `BackendLocked`, `BackendFull`, and
    `BackendRefused` for a folder whose contents cannot be read.
    """
    client = _open_engine(options) if options.embedded else _open_server(options, blocking)
    return VendorClient(
        client,
        blocking=blocking,
        place=options.place,
        errors=VENDOR_ERRORS,
        translate=translate,
        embedded=options.embedded,
        lock=threading.RLock() if options.embedded else None,
        reopen=lambda: _open_server(options, blocking=False),
    )


#: What may be asked of an engine whose folder cannot be written to.
_READS = frozenset(
    {"close", "count", "facet", "get_aliases", "get_collection", "get_collections", "info", "query_batch_points"}
) | {"retrieve", "scroll"}


class _Engine(CheckedLocal):
    """The engine in this process. What one call writes becomes durable together.

    A folder that cannot be written to is opened for reading, together with others who read it: then `hindrance` says
    why.
    """

    hindrance: OSError | None = None

    def _lock(self, path: Path) -> None:
        try:
            super()._lock(path)
        except OSError as error:
            if not forbids_writing(error):
                raise
            self.hindrance = error
            self._share(path)

    def _share(self, path: Path) -> None:
        try:
            self._flock_file = shared_lock(path)  # type: ignore[assignment]  # a text file, by its narrower type
        except BlockingIOError as error:
            raise RuntimeError(f"{self.location} is already accessed by a client that writes") from error

    def upsert(self, collection_name: str, *arguments: Any, **more: Any) -> UpdateResult:
        """Insert or replace points."""
        with _without_size_warning(), _one_transaction(self, collection_name):
            return super().upsert(collection_name, *arguments, **more)

    def delete(self, collection_name: str, *arguments: Any, **more: Any) -> UpdateResult:
        """Delete points."""
        with _one_transaction(self, collection_name):
            return super().delete(collection_name, *arguments, **more)


def _open_engine(options: QdrantOptions) -> _Engine | ReadingOnly:
    place = options.place
    try:
        with _without_size_warning():
            # `VendorClient`'s lock takes the place of SQLite's check for threads.
            engine = _Engine(location=str(options.path), force_disable_check_same_thread=True)
    except (NotADirectoryError, FileExistsError, FileNotFoundError) as error:
        raise ConfigError(f"{place} cannot be a folder: {error}; choose another path") from error
    except VENDOR_ERRORS as error:
        if _is_damage(error):
            raise _damaged(place, error) from error
        raise translate(error, ErrorContext(place, embedded=True, method="open")) from error
    return engine if engine.hindrance is None else ReadingOnly(engine, _READS, engine.hindrance)


def _open_server(options: QdrantOptions, blocking: bool) -> QdrantClient | AsyncQdrantClient:
    arguments = _arguments(options)
    with warnings.catch_warnings():
        # The options have decided that already.
        warnings.filterwarnings("ignore", "Api key is used with an insecure connection", UserWarning)
        client: Any = QdrantClient(**arguments) if blocking else AsyncQdrantClient(**arguments)
    # The generated client for REST, and the HTTP client in it, are the SDK's own affair, but it takes no transport
    # without losing proxies and certificates.
    rest = client._client.openapi_client.client  # noqa: SLF001
    limit_replies(rest._client if blocking else rest._async_client, options.max_reply)  # noqa: SLF001
    opened: QdrantClient | AsyncQdrantClient = client
    return opened


def _arguments(options: QdrantOptions) -> dict[str, Any]:
    arguments: dict[str, Any] = {
        "url": options.url,
        "timeout": options.timeout,
        "check_compatibility": False,  # it would ask, and warn, from a thread of its own
        "prefer_grpc": options.grpc,
        "grpc_port": options.grpc_port,
        "grpc_options": _grpc_options(options),
    }
    if options.api_key is not None:
        arguments["api_key"] = _key(options)
    if options.ca is not None:
        arguments |= _trust(options)
    return arguments


def _grpc_options(options: QdrantOptions) -> dict[str, Any]:
    return {**_GRPC, "grpc.max_receive_message_length": options.max_reply}


def _key(options: QdrantOptions) -> str:
    key = options.api_key.reveal("the api_key of the Qdrant backend") if options.api_key else ""
    if not (key.isascii() and key.isprintable()):
        # Checked here, because the error of whoever sends it holds the key.
        raise SecretError("the api_key of the Qdrant backend holds characters that no HTTP header can carry")
    return key


def _trust(options: QdrantOptions) -> dict[str, Any]:
    try:
        certificates = read_certificates(options.ca) if options.ca else b""
        context = ssl.create_default_context(cafile=str(options.ca))
    except (OSError, ssl.SSLError) as error:
        raise ConfigError(f"ca: the certificates in {options.ca} cannot be read: {error}") from error
    grpc_options = {**_grpc_options(options), "root_certificates": certificates}
    return {"verify": context, "grpc_options": grpc_options}


def _is_damage(error: Exception) -> bool:
    text = str(error)
    return any(sign in text for sign in ("not a database", "malformed", "validation error"))


def _damaged(place: str, error: Exception) -> BackendRefused:
    cause = f"{type(error).__name__}: {error}".splitlines()[0]
    return BackendRefused(
        f"{place} is damaged, or not Qdrant's ({cause}); restore it from a copy, or choose another path"
    )


@contextmanager
def _without_size_warning() -> Iterator[None]:
    """Without the advice to use a server for more than 20,000 points: users can read that in the documentation."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Local mode is not recommended for collections with more", UserWarning)
        yield


@contextmanager
def _one_transaction(engine: QdrantLocal, physical: str) -> Iterator[None]:
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
    joined: Any = _InsideTransaction(connection)
    storage.storage = joined
    try:
        with connection:
            yield
    finally:
        storage.storage = connection


class _InsideTransaction:
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
