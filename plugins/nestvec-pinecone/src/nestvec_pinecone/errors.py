"""Pinecone's errors as nestvec's."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import httpx
from pinecone.errors import exceptions as vendor

from nestvec.errors import (
    BackendDenied,
    BackendRefused,
    BackendUnavailable,
    CollectionConflict,
    CollectionNotFound,
    NestvecError,
)

#: Everything that the SDK and the client below it raise.
VENDOR_ERRORS: Final = (vendor.PineconeError, httpx.HTTPError, httpx.InvalidURL, OSError, ValueError, TypeError)

_SHOWN: Final = 300


class NoNamespace(CollectionNotFound):
    """The index is there, but nothing was ever written to that namespace of it. Never leaves the adapter."""


class Unreachable(BackendUnavailable):
    """No answer at all; an index that was deleted has no address any more, and looks like this, too."""


@dataclass(frozen=True, slots=True)
class Scene:
    """Where an error happened: the backend in words, and the request's name and collection."""

    place: str
    method: str = "connect"
    collection: str | None = None

    @property
    def request(self) -> str:
        """For messages: `write to collection 'docs-1'`."""
        return f"{self.method} on collection {self.collection!r}" if self.collection else self.method


def translate(error: Exception, scene: Scene) -> NestvecError:
    """The error to raise instead, with the cause chained."""
    mapped = _mapped(error, scene)
    mapped.__cause__ = error
    return mapped


def _mapped(error: Exception, scene: Scene) -> NestvecError:
    if isinstance(error, vendor.ApiError):
        return _from_status(error, scene)
    if isinstance(error, vendor.ResponseParsingError):
        return BackendUnavailable(
            f"{scene.place}: the answer to {scene.request} can not be understood; is this Pinecone, and not a proxy's "
            f"page? ({_named(error)})"
        )
    if isinstance(error, vendor.PineconeTimeoutError | httpx.TimeoutException):
        return BackendUnavailable(
            f"{scene.place} did not answer {scene.request} in time ({_named(error)}); try again, or set a longer "
            f"timeout"
        )
    if isinstance(error, vendor.PineconeConnectionError | httpx.HTTPError | OSError):
        return Unreachable(
            f"{scene.place} can not be reached for {scene.request}: {_named(error)}; is the address right, and the "
            f"network there?"
        )
    return BackendRefused(f"{scene.place}: {scene.request} failed: {_named(error)}")


def _from_status(error: vendor.ApiError, scene: Scene) -> NestvecError:
    status = error.status_code
    told = f"{scene.place} answered {scene.request} with {status}: {_short(error.message)}"
    if status == 404 and "namespace" in error.message.lower():
        return NoNamespace(told)
    if status in (401, 402, 403):
        return BackendDenied(f"{told}; check api_key, what that key may do, and the project's plan")
    if status == 404:
        return CollectionNotFound(f"{told}; create it with `nestvec apply` or apply()")
    if status == 409:
        return CollectionConflict(f"{told}; nothing was changed")
    if status in (408, 429) or status >= 500:
        return BackendUnavailable(f"{told}; try again later")
    if 300 <= status < 400:
        return BackendRefused(f"{told}; is this the address of Pinecone?")
    return BackendRefused(f"{told}; the same request would be refused again")


def _named(error: Exception) -> str:
    return _short(f"{type(error).__name__}: {error}" if str(error) else type(error).__name__)


def _short(text: str) -> str:
    text = " ".join(str(text).split())
    return text if len(text) <= _SHOWN else text[:_SHOWN] + "…"
