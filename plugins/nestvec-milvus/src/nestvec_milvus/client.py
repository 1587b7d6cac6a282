"""Milvus's gRPC: its messages, connections to a server, and the engine in this process.

The messages come from pymilvus. Its client classes are left out: they repeat failed calls until the timeout,
keep a cache of schemas, log what fails, and turn arrays into lists of Python floats and back.
"""

from __future__ import annotations

import base64
import json
import logging
import os
import shutil
import tempfile
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, nullcontext
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, NamedTuple

import grpc  # type: ignore[import-untyped]  # ships no types
import grpc.aio  # type: ignore[import-untyped]
from pymilvus.grpc_gen import common_pb2, milvus_pb2, milvus_pb2_grpc, schema_pb2

from nestvec.contract import ErrorContext, VendorClient, forbids_writing, shared_lock
from nestvec.errors import (
    BackendLocked,
    BackendRefused,
    ConfigError,
    PluginBroken,
    SecretError,
)
from nestvec.masking import presentable, remember
from nestvec.options import read_certificates
from nestvec_milvus.errors import VENDOR_ERRORS, refused, translate
from nestvec_milvus.folder import check_folder
from nestvec_milvus.options import MEMORY, MilvusOptions

if TYPE_CHECKING:
    from nestvec.options import Secret

# Protobuf generates these classes when it is imported, so there is nothing to check them against.
schemas: Any = schema_pb2
common: Any = common_pb2
Type: Any = schemas.DataType

#: Milvus Lite's lock file, and the beginnings of the methods that change nothing.
_LOCK = "LOCK"
_READS = ("Check", "Connect", "Describe", "Get", "Has", "List", "Load", "Query", "Search", "Show")

_CHANNEL: tuple[tuple[str, int | str], ...] = (
    ("grpc.enable_retries", 0),  # retrying is nestvec's
    ("grpc.max_send_message_length", -1),
    ("grpc.max_receive_message_length", -1),
    # By default a server that was away is not tried again for up to two minutes.
    ("grpc.initial_reconnect_backoff_ms", 200),
    ("grpc.min_reconnect_backoff_ms", 200),
    ("grpc.max_reconnect_backoff_ms", 3000),
)


def pairs(values: Mapping[str, Any]) -> list[Any]:
    """Key-value pairs. What is no string becomes JSON."""
    return [
        common.KeyValuePair(key=key, value=value if isinstance(value, str) else json.dumps(value))
        for key, value in values.items()
    ]


def unpaired(found: Iterable[Any]) -> dict[str, str]:
    """Key-value pairs as a dictionary."""
    return {pair.key: pair.value for pair in found}


def values_of(data: Any) -> Sequence[Any]:
    """The values of a scalar column: strings, integers or JSON as bytes."""
    kind = data.scalars.WhichOneof("data")
    return getattr(data.scalars, kind).data if kind is not None else ()


def message(method: str, /, **fields: Any) -> Any:
    """What a method of Milvus's service is sent."""
    return getattr(milvus_pb2, f"{method}Request")(**fields)


class MilvusConnection(VendorClient[Any]):
    """A server or the engine in this process, whose methods are awaited.

    That engine is not safe for threads: `lock` is held during each of its calls, and by operations of several calls
    that nothing may come between. On a server it locks nothing.
    """

    def __init__(self, options: MilvusOptions, raw: Any, *, blocking: bool) -> None:
        self.lock: AbstractContextManager[Any] = threading.RLock() if options.embedded else nullcontext()
        super().__init__(
            raw,
            blocking=blocking,
            place=options.place,
            embedded=options.embedded,
            errors=VENDOR_ERRORS,
            translate=translate,
            lock=self.lock,
            reopen=lambda: _Channel(options, grpc.aio),
        )

    async def call(self, request: object | None, method: str, /, **fields: Any) -> Any:
        """Call a method of Milvus's service with the fields of its message, and give the reply.

        Raises nestvec's errors, also for what the status in the reply says.
        """
        reply = await super().call(request, "send", method=method, message=message(method, **fields))
        status = reply if hasattr(reply, "error_code") else reply.status
        if status.code or status.error_code:
            error = refused(status, self.context(request))
            raise error from (presentable(error.__cause__) if error.__cause__ is not None else None)
        return reply


class _Channel:
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

    def send(self, method: str, message: Any) -> Any:
        """The reply, or on an asynchronous channel something that can be awaited for it."""
        if self._stub is None:
            self._open()
        return getattr(self._stub, method)(message, timeout=self._timeout, metadata=self._metadata)

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


def open_client(options: MilvusOptions, *, blocking: bool) -> MilvusConnection:
    """A connection that is made at the first call, or the engine, opened here. Only blocking ones have an engine.

    Raises `SecretError`, `ConfigError`, and for the engine `BackendLocked`, `BackendFull`, `BackendRefused` for a
    folder whose contents cannot be read, and `PluginBroken` where Milvus Lite is not installed.
    """
    raw = _open_engine(options) if options.embedded else _Channel(options, grpc if blocking else grpc.aio)
    return MilvusConnection(options, raw, blocking=blocking)


class _Engine:
    """Milvus Lite, called without a network: its `service` is an object in this process.

    `hindrance` says why a store is only read, if it is.
    """

    def __init__(self, store: _Opened, service: Any) -> None:
        self._store = store
        self._scratch = store.scratch
        self.service = service

    def send(self, method: str, message: Any) -> Any:
        """The reply."""
        hindrance = self._store.hindrance
        if hindrance is not None and not method.startswith(_READS):
            raise OSError(hindrance.errno, hindrance.strerror, hindrance.filename)
        return getattr(self.service, method)(message, _Context())

    def close(self) -> None:
        """Write everything to disk, and unlock the folder."""
        try:
            self._store.database.close()
        finally:
            self._store.leave()


class _Opened(NamedTuple):
    """An opened store: its scratch folder and lock, if it has some, and what hinders writing."""

    database: Any
    scratch: Path | None = None
    hindrance: OSError | None = None
    lock: IO[str] | None = None

    def leave(self) -> None:
        """Remove the scratch folder, and let go of the lock."""
        if self.lock is not None:
            self.lock.close()
        if self.scratch is not None:
            shutil.rmtree(self.scratch, ignore_errors=True)


def _opened(make: Callable[[str], Any], folder: Path, place: str) -> _Opened:
    """Open a store; one that cannot be written to, for reading. Raises what `make` raises, and `BackendLocked`.

    The engine wants to write wherever it is: so it is given a scratch folder with links to the store's files, which it
    never changes in place.
    """
    try:
        return _Opened(make(str(folder)))
    except OSError as error:
        if not forbids_writing(error) or not (folder / "collections").is_dir():
            raise
        hindrance = error
    try:
        lock = shared_lock(folder / _LOCK)
    except BlockingIOError as error:
        raise _in_use(place) from error
    with ExitStack() as undo:
        scratch = Path(tempfile.mkdtemp(prefix="nestvec-milvus-"))
        undo.callback(_Opened(None, scratch, hindrance, lock).leave)
        _link(folder, scratch)
        opened = _Opened(make(str(scratch)), scratch, hindrance, lock)
        undo.pop_all()
    return opened


def _link(folder: Path, scratch: Path) -> None:
    """The same folders with links to the same files, but for the lock."""
    for here, _, files in os.walk(folder):
        there = scratch / Path(here).relative_to(folder)
        there.mkdir(exist_ok=True)
        for name in files:
            if name != _LOCK or Path(here) != folder:
                (there / name).symlink_to((Path(here) / name).absolute())


def _in_use(place: str) -> BackendLocked:
    return BackendLocked(
        f"{place} is in use by another client: one process at a time can open it, once; close the other one, or use a "
        f"server"
    )


class _Context:
    """The part of a gRPC call's context that the service uses."""

    def invocation_metadata(self) -> tuple[()]:
        return ()

    def set_code(self, code: Any) -> None:
        """Nothing to do: the status in the reply says it, too."""

    def set_details(self, details: str) -> None:
        """Nothing to do."""


def _open_engine(options: MilvusOptions) -> _Engine:
    """The engine in this process."""
    try:
        from milvus_lite.adapter.grpc.servicer import MilvusServicer
        from milvus_lite.db import MilvusLite
        from milvus_lite.exceptions import DataDirLockedError, MilvusLiteError
    except ImportError as error:
        raise PluginBroken(
            f"Milvus Lite cannot be loaded ({error}); install it with: pip install 'nestvec-milvus[lite]'"
        ) from error
    # Failures come as replies. The engine's log of them must not go to stderr when nobody set logging up.
    logging.getLogger("milvus_lite").addHandler(logging.NullHandler())
    place = options.place
    scratch = Path(tempfile.mkdtemp(prefix="nestvec-milvus-")) if options.path == MEMORY else None
    folder = scratch or Path(str(options.path))
    _check_place(folder, place)
    if folder.is_dir():
        check_folder(folder, place)
    try:
        opened = _opened(MilvusLite, folder, place)
    except DataDirLockedError as error:
        raise _in_use(place) from error
    except MilvusLiteError as error:
        raise BackendRefused(
            f"{place} is damaged, or not Milvus Lite's ({error}); restore it from a copy, or choose another path"
        ) from error
    except VENDOR_ERRORS as error:
        raise translate(error, ErrorContext(place, embedded=True, method="open")) from error
    return _Engine(opened._replace(scratch=scratch or opened.scratch), MilvusServicer(opened.database))


def _check_place(folder: Path, place: str) -> None:
    if folder.is_file():
        raise ConfigError(
            f"{place} is a file; Milvus Lite keeps its data in a folder of that name (files are from its versions "
            f"before 3); choose another path"
        )
    if not folder.parent.is_dir():
        raise ConfigError(f"{place} cannot be made: there is no folder {folder.parent}; create it first")


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
    remember(credentials)
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
        return read_certificates(path)
    except OSError as error:
        raise ConfigError(f"{name}: {path} cannot be read: {error}") from error
