"""Opening connections to a server, and the engine in this process."""

from __future__ import annotations

import base64
import logging
import shutil
import tempfile
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import grpc  # type: ignore[import-untyped]  # ships no types
from pymilvus.grpc_gen import milvus_pb2_grpc

from nestvec.errors import (
    BackendLocked,
    BackendRefused,
    ConfigError,
    PluginBroken,
    SecretError,
)
from nestvec_milvus.errors import VENDOR_ERRORS, Scene, translate
from nestvec_milvus.options import MEMORY, MilvusOptions

if TYPE_CHECKING:
    from nestvec.options import Secret

_CHANNEL: tuple[tuple[str, int | str], ...] = (
    ("grpc.enable_retries", 0),  # retrying is nestvec's
    ("grpc.max_send_message_length", -1),
    ("grpc.max_receive_message_length", -1),
    # By default a server that was away is not tried again for up to two minutes.
    ("grpc.initial_reconnect_backoff_ms", 200),
    ("grpc.min_reconnect_backoff_ms", 200),
    ("grpc.max_reconnect_backoff_ms", 3000),
)


class Connection:
    """A channel to a server, and the headers of every call. The channel is made at the first one.

    An asynchronous channel belongs to the event loop that it is made in: that of the first call.
    """

    def __init__(self, options: MilvusOptions, module: Any) -> None:
        self._metadata = _headers(options)
        self._credentials = _credentials(options) if options.secure else None
        self._settings = [*_CHANNEL]
        if options.server_name is not None:
            self._settings.append(("grpc.ssl_target_name_override", options.server_name))
        self._target = options.target
        self._timeout = options.timeout
        self._module = module
        self._lock = threading.Lock()
        self._channel: Any = None
        self._stub: Any = None

    def send(self, method: str, request: Any) -> Any:
        """The reply, or on an asynchronous channel something that can be awaited for it."""
        if self._stub is None:
            self._open()
        return getattr(self._stub, method)(request, timeout=self._timeout, metadata=self._metadata)

    def close(self) -> Any:
        """Close the channel. On an asynchronous one, what this returns must be awaited, unless it is None."""
        return self._channel.close() if self._channel is not None else None

    def _open(self) -> None:
        with self._lock:
            if self._stub is not None:
                return
            if self._credentials is None:
                self._channel = self._module.insecure_channel(self._target, options=self._settings)
            else:
                self._channel = self._module.secure_channel(self._target, self._credentials, options=self._settings)
            self._stub = milvus_pb2_grpc.MilvusServiceStub(self._channel)


def open_server(options: MilvusOptions) -> Connection:
    """A connection that is made at the first call. Raises `SecretError`, `ConfigError`."""
    return Connection(options, grpc)


def open_server_async(options: MilvusOptions) -> Connection:
    """Its asynchronous form, for one event loop."""
    import grpc.aio  # type: ignore[import-untyped]

    return Connection(options, grpc.aio)


class Engine:
    """Milvus Lite, called without a network: its `service` is an object in this process."""

    def __init__(self, database: Any, service: Any, scratch: Path | None) -> None:
        self._database = database
        self.service = service
        self._scratch = scratch

    def send(self, method: str, request: Any) -> Any:
        """The reply."""
        return getattr(self.service, method)(request, _Context())

    def close(self) -> None:
        """Write everything to disk, and unlock the folder."""
        try:
            self._database.close()
        finally:
            if self._scratch is not None:
                shutil.rmtree(self._scratch, ignore_errors=True)


class _Context:
    """The part of a gRPC call's context that the service uses."""

    def invocation_metadata(self) -> tuple[()]:
        return ()

    def set_code(self, code: Any) -> None:
        """Nothing to do: the status in the reply says it, too."""

    def set_details(self, details: str) -> None:
        """Nothing to do."""


def open_lite(options: MilvusOptions) -> Engine:
    """The engine in this process.

    Raises `BackendLocked`, `BackendFull`, `PluginBroken` where Milvus Lite is not installed, `ConfigError` for a
    path that can not be used, and `BackendRefused` for a folder whose contents can not be read.
    """
    try:
        from milvus_lite.adapter.grpc.servicer import MilvusServicer
        from milvus_lite.db import MilvusLite
        from milvus_lite.exceptions import DataDirLockedError, MilvusLiteError
    except ImportError as error:
        raise PluginBroken(
            f"Milvus Lite can not be loaded ({error}); install it with: pip install 'nestvec-milvus[lite]'"
        ) from error
    # Failures come as replies. The engine's log of them must not go to stderr when nobody set logging up.
    logging.getLogger("milvus_lite").addHandler(logging.NullHandler())
    place = options.place
    scratch = Path(tempfile.mkdtemp(prefix="nestvec-milvus-")) if options.path == MEMORY else None
    folder = scratch or Path(str(options.path))
    _check_folder(folder, place)
    try:
        database = MilvusLite(str(folder))
    except DataDirLockedError as error:
        raise BackendLocked(
            f"{place} is in use by another client: one process at a time can open it, once; close the other one, or "
            f"use a server"
        ) from error
    except MilvusLiteError as error:
        raise BackendRefused(
            f"{place} is damaged, or not Milvus Lite's ({error}); restore it from a copy, or choose another path"
        ) from error
    except VENDOR_ERRORS as error:
        raise translate(error, Scene(place, embedded=True, method="open")) from error
    return Engine(database, MilvusServicer(database), scratch)


def _check_folder(folder: Path, place: str) -> None:
    if folder.is_file():
        raise ConfigError(
            f"{place} is a file; Milvus Lite keeps its data in a folder of that name (files are from its versions "
            f"before 3); choose another path"
        )
    if not folder.parent.is_dir():
        raise ConfigError(f"{place} can not be made: there is no folder {folder.parent}; create it first")


def _headers(options: MilvusOptions) -> tuple[tuple[str, str], ...]:
    headers = []
    if options.token is not None:
        headers.append(("authorization", _encoded(_revealed(options.token, "token"))))
    elif options.user is not None and options.password is not None:
        headers.append(("authorization", _encoded(f"{options.user}:{_revealed(options.password, 'password')}")))
    if options.database is not None:
        if not options.database.isascii() or not options.database.isprintable():
            raise ConfigError(f"database: {options.database!r} holds characters that no database's name can have")
        headers.append(("dbname", options.database))
    return tuple(headers)


def _revealed(secret: Secret, name: str) -> str:
    value = secret.reveal(f"the {name} of the Milvus backend")
    if "\n" in value or "\r" in value:
        raise SecretError(f"the {name} of the Milvus backend has several lines; it must have one")
    return value


def _encoded(credentials: str) -> str:
    return base64.b64encode(credentials.encode()).decode()


def _credentials(options: MilvusOptions) -> Any:
    return grpc.ssl_channel_credentials(
        root_certificates=_read(options.ca, "ca"),
        private_key=_read(options.client_key, "client_key"),
        certificate_chain=_read(options.client_cert, "client_cert"),
    )


def _read(path: Path | None, name: str) -> bytes | None:
    if path is None:
        return None
    try:
        return path.read_bytes()
    except OSError as error:
        raise ConfigError(f"{name}: {path} can not be read: {error}") from error
