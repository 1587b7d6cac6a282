"""Qdrant's errors as nestvec's."""

from __future__ import annotations

import json
import re
import sqlite3

import grpc  # type: ignore[import-untyped]  # ships no types
import httpx
from pydantic import ValidationError
from qdrant_client.common.client_exceptions import QdrantException
from qdrant_client.http.exceptions import ApiException, ResponseHandlingException, UnexpectedResponse

from nestvec.contract import ErrorContext, disk_advice, misdirected, perhaps_encrypted
from nestvec.contract.replies import ReplyTooLarge
from nestvec.errors import (
    BackendDenied,
    BackendFull,
    BackendLocked,
    BackendRefused,
    BackendUnavailable,
    CollectionNotFound,
    NestvecError,
)
from nestvec.masking import masked

#: Everything that the clients and the engine in this process raise.
VENDOR_ERRORS = (
    ApiException,
    QdrantException,
    httpx.HTTPError,
    httpx.InvalidURL,
    grpc.RpcError,
    sqlite3.Error,
    OSError,
    ValueError,
    RuntimeError,
    LookupError,
    TypeError,
    AttributeError,
    AssertionError,
)

_NO_COLLECTION = re.compile(r"collection\b.*(doesn't exist|does not exist|not found)", re.IGNORECASE | re.DOTALL)
_NO_SPACE = re.compile(r"no space left|disk (is )?full|out of disk|insufficient storage", re.IGNORECASE)
_NO_INDEX = re.compile(r"index required but not found", re.IGNORECASE)
_TOO_LARGE = re.compile(r"received message larger than max", re.IGNORECASE)
_HIGHER = "if that is meant to be, set max_reply higher"
_SHOWN = 300
#: gRPC's words where there was no answer.
_CONNECTING = re.compile(
    r"failed to connect|socket closed|connection (refused|reset)|recvmsg|end of file", re.IGNORECASE
)
_FROM_GRPC = {
    grpc.StatusCode.UNAUTHENTICATED: 401,
    grpc.StatusCode.PERMISSION_DENIED: 403,
    grpc.StatusCode.NOT_FOUND: 404,
    grpc.StatusCode.ALREADY_EXISTS: 409,
    grpc.StatusCode.INVALID_ARGUMENT: 400,
    grpc.StatusCode.FAILED_PRECONDITION: 400,
    grpc.StatusCode.OUT_OF_RANGE: 400,
    grpc.StatusCode.UNIMPLEMENTED: 400,
    grpc.StatusCode.RESOURCE_EXHAUSTED: 429,
}


class UnexpectedReply(ValueError):
    """A reply is JSON, and not what the API says."""

    def __init__(self, what: str) -> None:
        super().__init__(f"the reply has {what}")


def translate(error: Exception, context: ErrorContext) -> NestvecError:
    """The error to raise instead, with the cause chained."""
    mapped = _local(error, context) if context.embedded else _remote(error, context)
    mapped.__cause__ = error
    return mapped


def _remote(error: Exception, context: ErrorContext) -> NestvecError:
    if isinstance(error, UnexpectedResponse):
        return _from_status(error.status_code or 0, _message(error), context)
    if isinstance(error, QdrantException):
        return _from_status(429, str(error), context)
    if isinstance(error, grpc.RpcError):
        code = error.code() if hasattr(error, "code") else None
        details = str(error.details() if hasattr(error, "details") else error)
        if _TOO_LARGE.search(details):
            return BackendRefused(
                f"{context.place}: the answer to {context.request} is too large: {details}; {_HIGHER}"
            )
        if code is grpc.StatusCode.UNAVAILABLE and (_CONNECTING.search(details) or misdirected(details)):
            return _unreachable(error, details, context)
        if code is grpc.StatusCode.UNIMPLEMENTED:
            return _elsewhere("it is no gRPC of Qdrant's, or of an old version", f"{code}: {details}", context)
        return _from_status(_FROM_GRPC.get(code, 503), f"{code}: {details}", context)
    source = error.source if isinstance(error, ResponseHandlingException) else error
    if isinstance(source, ReplyTooLarge):
        return BackendRefused(f"{context.place}, asked for {context.request}: {source}")
    if isinstance(source, ValidationError | json.JSONDecodeError | UnexpectedReply):
        return BackendUnavailable(
            f"{context.place}: the answer to {context.request} cannot be understood; is this a Qdrant server, and not "
            f"a proxy's page? ({_short(str(source))})"
        )
    if isinstance(source, httpx.HTTPError | OSError):
        return _unreachable(source, _named(source), context)
    return BackendRefused(f"{context.place}: {context.request} failed: {_named(source)}")


def _unreachable(source: Exception, named: str, context: ErrorContext) -> NestvecError:
    wrong = misdirected(named)
    if wrong is not None:
        return _elsewhere(wrong, named, context)
    if isinstance(source, httpx.TimeoutException):
        return BackendUnavailable(
            f"{context.place} did not answer {context.request} in time ({_named(source)}); try again, or set a longer "
            f"timeout"
        )
    return BackendUnavailable(
        f"{context.place} cannot be reached for {context.request}: {_short(named)}; is it running, and is the address "
        f"right?{perhaps_encrypted(named, context.place)}"
    )


def _elsewhere(wrong: str, named: str, context: ErrorContext) -> BackendRefused:
    """Another protocol is spoken at that address."""
    return BackendRefused(
        f"{context.place} cannot be asked for {context.request}: {wrong} ({_short(named)}). Qdrant speaks HTTP at the "
        f"port of url (usually 6333) and, with grpc = true, gRPC at grpc_port (usually 6334), both with or without TLS"
    )


def _from_status(status: int, message: str, context: ErrorContext) -> NestvecError:
    told = f"{context.place} answered {context.request} with {status}: {message}"
    if status == 507 or _NO_SPACE.search(message):
        return BackendFull(f"{told}; free some space on the server")
    if status in (401, 403):
        return BackendDenied(f"{told}; check api_key and what that key may do")
    if status == 404 and _NO_COLLECTION.search(message):
        return CollectionNotFound(f"{told}; create it with `nestvec apply` or apply()")
    if status == 429 or status >= 500:
        return BackendUnavailable(f"{told}; try again later")
    if _NO_INDEX.search(message):
        return BackendRefused(
            f"{told}; its strict mode filters on indexed payload only: create that index, or set the collection's "
            f"unindexed_filtering_retrieve"
        )
    if status == 404 or 300 <= status < 400:
        return BackendRefused(f"{told}; is this the address of a Qdrant server?")
    return BackendRefused(f"{told}; the same request would be refused again")


def _local(error: Exception, context: ErrorContext) -> NestvecError:
    message = str(error)
    if isinstance(error, OSError | sqlite3.Error) or _NO_SPACE.search(message):
        return _storage(error, context)
    if "already accessed" in message:
        return BackendLocked(
            f"{context.place} is in use by another client: one process at a time can open it, once; close the other "
            f"one, or use a server"
        )
    if isinstance(error, ValueError) and _NO_COLLECTION.search(message):
        return CollectionNotFound(
            f"{context.place} has no such collection ({context.request}); create it with `nestvec apply` or apply()"
        )
    return BackendRefused(f"{context.place} refused {context.request}: {_named(error)}")


def _storage(error: Exception, context: ErrorContext) -> NestvecError:
    advice = disk_advice(error)
    if advice is not None:
        return BackendFull(f"{context.place} cannot be written ({context.request}): {_named(error)}; {advice}")
    return BackendRefused(f"{context.place} failed on {context.request}: {_named(error)}")


def _message(error: UnexpectedResponse) -> str:
    """What the server says: its own message, or the beginning of whatever it sent."""
    text = error.content.decode("utf-8", "replace")
    try:
        status = json.loads(text)["status"]
        return _short(status["error"] if isinstance(status, dict) else str(status))
    except (ValueError, LookupError, TypeError, RecursionError):
        return _short(text) or error.reason_phrase or "no message"


def _named(error: Exception) -> str:
    return _short(f"{type(error).__name__}: {error}" if str(error) else type(error).__name__)


def _short(text: str) -> str:
    text = " ".join(masked(str(text)).split())  # half a secret would not be found any more
    return text if len(text) <= _SHOWN else text[:_SHOWN] + "…"
