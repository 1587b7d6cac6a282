"""Milvus's errors as nestvec's."""

from __future__ import annotations

import re
from typing import Any

import grpc  # type: ignore[import-untyped]  # ships no types
from pymilvus.exceptions import MilvusException

from nestvec.contract import ErrorContext, disk_advice, misdirected, perhaps_encrypted
from nestvec.errors import (
    BackendDenied,
    BackendFull,
    BackendRefused,
    BackendUnavailable,
    CollectionNotFound,
    NestvecError,
)
from nestvec.masking import masked

#: Everything that a call can raise, on a connection or in the engine in this process.
VENDOR_ERRORS = (
    grpc.RpcError,
    MilvusException,
    OSError,
    ValueError,
    RuntimeError,
    LookupError,
    TypeError,
    AttributeError,
    ArithmeticError,
)

_NO_COLLECTION = re.compile(
    r"can.?t find collection|collection not (found|exist)|collection '[^']*' does not exist", re.IGNORECASE
)
_NAME_TAKEN = re.compile(
    r"name conflict|duplicate collection|conflicts with an existing|(collection|alias)( '[^']*')? already exist",
    re.IGNORECASE,
)
_NOT_LOADED = re.compile(r"not (fully )?loaded|call load\(\) before|state 'released'", re.IGNORECASE)
_NO_SPACE = re.compile(r"no space left|disk (is )?full|disk quota|out of disk", re.IGNORECASE)
_NOT_GRPC = re.compile(
    r"http2 header|parsing http/2|http1\.x|status: 4\d\d|wrong version number|handshake|certificate|unimplemented",
    re.IGNORECASE,
)
_DENIED = re.compile(r"auth check failure|not authenticated|unauthenticated|permission|privilege", re.IGNORECASE)
_SHOWN = 300
# Milvus's own codes, and the older ones that servers of 2.3 still send for some errors.
_NOT_FOUND_CODES = frozenset({100, 4})
_NOT_LOADED_CODES = frozenset({101, 103})
_DISK_CODES = frozenset({7, 9})
_NO_PRIVILEGE = 1401
_DENIED_CODES = frozenset({1400, _NO_PRIVILEGE})
_BUSY_CODES = frozenset({1, 2, 3, 4, 8, 11, 106, 401, 500, 501, 503, 901, 1000, 1001})
_NAME_TAKEN_CODES = frozenset({1601, 1602})
_NO_DATABASE = 800
_LEGACY_RATE_LIMIT = 49
_LEGACY_DISK = 100
_RETRYABLE = frozenset({grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.ABORTED, grpc.StatusCode.RESOURCE_EXHAUSTED})


class NotLoaded(BackendUnavailable):
    """The collection is not in memory, or not yet; the adapter loads it and tries again."""


def refused(status: Any, context: ErrorContext) -> NestvecError:
    """What the status of a reply says that is no success."""
    error = MilvusException(status.code or status.error_code, status.reason, status.error_code)
    return translate(error, context)


def translate(error: Exception, context: ErrorContext) -> NestvecError:
    """The error to raise instead, with the cause chained."""
    if isinstance(error, MilvusException):
        mapped = _from_status(error, context)
    elif isinstance(error, grpc.RpcError):
        mapped = _from_connection(error, context)
    else:
        mapped = _from_engine(error, context)
    mapped.__cause__ = error
    return mapped


def _from_status(error: MilvusException, context: ErrorContext) -> NestvecError:
    code, legacy, reason = int(error.code), int(error.compatible_code), str(error.message)
    told = f"{context.place} answered {context.request} with code {code}: {_short(reason)}"
    if code in _NOT_FOUND_CODES or _NO_COLLECTION.search(reason):
        return CollectionNotFound(f"{told}; create it with `nestvec apply` or apply()")
    if code in _NAME_TAKEN_CODES or _NAME_TAKEN.search(reason):
        return BackendRefused(
            f"{told}; nothing was changed: the name is taken by another collection or alias; choose another one, or "
            f"rename or drop the other"
        )
    if code == _NO_DATABASE and not context.embedded:
        return BackendRefused(f"{told}; create that database, or correct the option database")
    if code in _NOT_LOADED_CODES or _NOT_LOADED.search(reason):
        return NotLoaded(f"{told}; it is still being loaded into memory, try again")
    advice = disk_advice(error) if context.embedded else None
    if advice is not None:
        return BackendFull(f"{told}; {advice}")
    if legacy == _LEGACY_DISK or (code in _DISK_CODES and not context.embedded) or _NO_SPACE.search(reason):
        return BackendFull(f"{told}; free some space")
    if code in _DENIED_CODES or (not context.embedded and _DENIED.search(reason)):
        return _denied(told, known=code == _NO_PRIVILEGE or "privilege" in reason.lower())
    # Code 1 is "not ready" on servers, but any failure at all on the engine in this process.
    busy = code in _BUSY_CODES and legacy != 1 and not context.embedded
    if busy or legacy == _LEGACY_RATE_LIMIT:
        return BackendUnavailable(f"{told}; the server is busy or starting, try again later")
    return BackendRefused(f"{told}; the same request would be refused again")


def _from_connection(error: Any, context: ErrorContext) -> NestvecError:
    code = error.code() if callable(getattr(error, "code", None)) else None
    details = str(error.details()) if callable(getattr(error, "details", None)) else str(error)
    named = f"{code.name if code is not None else type(error).__name__}: {_short(details)}"
    refused = code is not grpc.StatusCode.UNAVAILABLE and _DENIED.search(details)
    if code in (grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.PERMISSION_DENIED) or refused:
        known = code is grpc.StatusCode.PERMISSION_DENIED or "privilege" in details.lower()
        return _denied(f"{context.place} refused {context.request}: {named}", known=known)
    if code is grpc.StatusCode.DEADLINE_EXCEEDED:
        return BackendUnavailable(
            f"{context.place} did not answer {context.request} in time ({named}); try again, or set a longer timeout"
        )
    if _NOT_GRPC.search(details) or code is grpc.StatusCode.UNIMPLEMENTED:
        return BackendRefused(
            f"{context.place} does not speak Milvus's gRPC ({context.request}: {named}); is this the gRPC port "
            f"(19530), not an HTTP port, is the server recent enough, and http or https right?{_meaning(details)}"
        )
    if code is grpc.StatusCode.RESOURCE_EXHAUSTED and "larger than max" in details:
        return BackendRefused(
            f"{context.place}: {context.request} is larger than the server accepts ({named}); raise "
            f"proxy.grpc.serverMaxRecvSize there, or write smaller documents"
        )
    if code in _RETRYABLE or code is None:
        return BackendUnavailable(
            f"{context.place} cannot be reached for {context.request}: {named}; is it running, and is the "
            f"address right?{perhaps_encrypted(details, context.place)}"
        )
    return BackendRefused(f"{context.place} failed on {context.request}: {named}")


def _meaning(details: str) -> str:
    wrong = misdirected(details)
    return f" Here: {wrong}" if wrong is not None else ""


def _from_engine(error: Exception, context: ErrorContext) -> NestvecError:
    advice = disk_advice(error)
    if advice is not None:
        return BackendFull(f"{context.place} cannot be written ({context.request}): {_named(error)}; {advice}")
    return BackendRefused(f"{context.place} refused {context.request}: {_named(error)}")


def _denied(told: str, *, known: bool) -> BackendDenied:
    """`known`: the server knows who calls, and does not let them do this."""
    if known:
        return BackendDenied(f"{told}; grant this user the privilege for it, or give token or user of another one")
    return BackendDenied(f"{told}; check token, or user and password")


def _named(error: Exception) -> str:
    return _short(f"{type(error).__name__}: {error}" if str(error) else type(error).__name__)


def _short(text: str) -> str:
    text = " ".join(masked(str(text)).split())  # half a secret would not be found any more
    return text if len(text) <= _SHOWN else text[:_SHOWN] + "…"
