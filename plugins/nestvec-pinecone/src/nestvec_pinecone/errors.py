"""Pinecone's errors as nestvec's."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

import httpx
from pinecone.errors import exceptions as vendor

from nestvec.contract import ErrorContext, misdirected, perhaps_encrypted
from nestvec.contract.replies import too_large
from nestvec.errors import (
    BackendDenied,
    BackendFull,
    BackendRefused,
    BackendUnavailable,
    CollectionConflict,
    CollectionNotFound,
    NestvecError,
)
from nestvec.masking import masked

if TYPE_CHECKING:
    from nestvec_pinecone.options import PineconeOptions

#: Everything that the SDK and the client below it raise.
VENDOR_ERRORS: Final = (
    vendor.PineconeError,
    httpx.HTTPError,
    httpx.InvalidURL,
    OSError,
    ValueError,
    TypeError,
    LookupError,
    AttributeError,
    RuntimeError,
)

#: Options that say where requests go.
Option: TypeAlias = Literal["control_host", "index_host"]

_SHOWN: Final = 300
#: What a server answers that lacks a method: a path that it does not know, or does not serve.
_NO_SUCH_METHOD: Final = frozenset({404, 405, 501})
#: Quotas share their statuses with what a key may not do (403) and with passing limits (429): the words differ.
_QUOTA: Final = re.compile(r"quota|\bmax(imum)? .*allowed|upgrade your plan|storage limit", re.IGNORECASE)
_MONTHLY: Final = re.compile(r"\bmonth", re.IGNORECASE)


class NoNamespace(CollectionNotFound):
    """The index is there, but nothing was ever written to that namespace of it. Never leaves the adapter."""


class PineconeUnreachable(BackendUnavailable):
    """No answer at all; an index that was deleted has no address any more, and looks like this, too."""


def translate(error: Exception, context: ErrorContext, option: Option | None = None) -> NestvecError:
    """The error to raise instead. `option` is the one that says where the request went: then it may be wrong."""
    if (large := too_large(error)) is not None:
        return BackendRefused(f"{context.place}, asked for {context.request}: {large}")
    if isinstance(error, vendor.ApiError):
        return _from_status(error, context, option)
    if isinstance(error, vendor.ResponseParsingError):
        return BackendUnavailable(
            f"{context.place}: the answer to {context.request} cannot be understood; is this Pinecone, and not a "
            f"proxy's page? ({_named(error)})"
        )
    if isinstance(error, vendor.PineconeTimeoutError | httpx.TimeoutException):
        return BackendUnavailable(
            f"{context.place} did not answer {context.request} in time ({_named(error)}); try again, or set a longer "
            f"timeout"
        )
    if isinstance(error, vendor.PineconeConnectionError | httpx.HTTPError | OSError):
        return _unreachable(error, context, option)
    return BackendRefused(f"{context.place}: {context.request} failed: {_named(error)}")


def _unreachable(error: Exception, context: ErrorContext, option: Option | None) -> NestvecError:
    named = _named(error)
    wrong = misdirected(named)
    if wrong is not None:
        return BackendRefused(
            f"{context.place} cannot be asked for {context.request}: {wrong} ({named}); check "
            f"{option or 'the network between'}"
        )
    return PineconeUnreachable(
        f"{context.place} cannot be reached for {context.request}: {named}; is the address right, with its port, and "
        f"the network there?{perhaps_encrypted(named, context.place)}"
    )


def cannot_filter(error: NestvecError, options: PineconeOptions) -> NestvecError:
    """The same error of fetching by metadata, with what helps where a compatible server cannot do that."""
    known = options.index_host is None and options.control_host is None
    cause = error.__cause__
    if known or not isinstance(cause, vendor.ApiError) or cause.status_code not in _NO_SUCH_METHOD:
        return error
    hinted = type(error)(
        f"{error}. If searching and writing work there, the server cannot fetch by metadata, as some compatible ones "
        f"cannot: set scan = true in its block"
    )
    hinted.__cause__ = cause
    return hinted


def _from_status(error: vendor.ApiError, context: ErrorContext, option: Option | None) -> NestvecError:
    status = error.status_code
    told = f"{context.place} answered {context.request} with {status}: {_short(error.message)}"
    if status == 404:
        return _from_missing(error, option, told)
    if status in (403, 429) and (full := _exhausted(error)):
        return BackendFull(f"{told}; {full}")
    if status in (401, 402, 403):
        return BackendDenied(f"{told}; check api_key, what that key may do, and the project's plan")
    if status == 409:
        return CollectionConflict(f"{told}; nothing was changed")
    if status == 429:
        return BackendUnavailable(
            f"{told}; try again later; if that keeps happening, lower concurrency, or ask Pinecone for a higher limit"
        )
    if status == 408 or (status >= 500 and status != 501):
        return BackendUnavailable(f"{told}; try again later")
    return BackendRefused(f"{told}; {_refusal(error, option)}")


def _from_missing(error: vendor.ApiError, option: Option | None, told: str) -> NestvecError:
    if "namespace" in error.message.lower():
        return NoNamespace(told)
    if option == "index_host":
        return BackendRefused(
            f"{told}; index_host must be the address of one index, as Pinecone's console shows it: not that of the "
            f"control plane, and with the right port; is that index still there?"
        )
    if option == "control_host" and _is_foreign(error, option):
        return BackendRefused(f"{told}; {_refusal(error, option)}")
    return CollectionNotFound(f"{told}; create it with `nestvec apply` or apply()")


def _exhausted(error: vendor.ApiError) -> str | None:
    """What to do about a quota that is used up. None, if it is something else."""
    if error.status_code == 429:
        if not _MONTHLY.search(error.message):
            return None
        return "the plan's units for this month are used up, and trying again does not help: change the plan"
    if error.error_code != "QUOTA_EXCEEDED" and not _QUOTA.search(error.message):
        return None
    return (
        "the project has as much as its plan allows: delete what is not needed, change the plan, or keep collections "
        "as namespaces of one index (index_host)"
    )


def _refusal(error: vendor.ApiError, option: Option | None) -> str:
    """What to do about a request that would be refused again."""
    if error.status_code == 413:
        return "that is too large for it, or for a proxy in between: use smaller chunks, less metadata, shorter filters"
    if _is_foreign(error, option):
        place = option or "the network between"
        return f"that is no answer of Pinecone's: check {place} (something else may be listening at that port)"
    return "the same request would be refused again"


def _is_foreign(error: vendor.ApiError, option: Option | None) -> bool:
    """Whether the answer has another shape than Pinecone's errors. The planes differ."""
    if not isinstance(error.body, dict):
        return True
    mark = {"control_host": "error", "index_host": "message", None: None}[option]
    return mark is not None and mark not in error.body


def _named(error: Exception) -> str:
    return _short(f"{type(error).__name__}: {error}" if str(error) else type(error).__name__)


def _short(text: str) -> str:
    text = " ".join(masked(str(text)).split())  # half a secret would not be found any more
    return text if len(text) <= _SHOWN else text[:_SHOWN] + "…"
