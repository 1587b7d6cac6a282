"""The protocol: request bodies, replies decoded to float32, and what each refusal means.

POST {base_url}/embeddings; see the embeddings API reference, https://api.jina.ai/redoc.
"""

from __future__ import annotations

import binascii
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np

from nestvec._damaged import DAMAGED
from nestvec._visible import visible
from nestvec.contract import misdirected
from nestvec.errors import EmbedderDenied, EmbedderError, EmbedderInvalidReply, EmbedderRefused, EmbedderUnavailable
from nestvec.masking import masked

if TYPE_CHECKING:
    from nestvec.embedders.jina.options import JinaOptions
    from nestvec.types import FloatArray

Limit: TypeAlias = Literal["requests", "tokens", "concurrency", "address"]
_LIMITS: Mapping[str, Limit] = {
    "RATE_REQUEST_LIMIT_EXCEEDED": "requests",
    "RATE_TOKEN_LIMIT_EXCEEDED": "tokens",  # of text: no secret  # nosec B105
    "RATE_CONCURRENCY_LIMIT_EXCEEDED": "concurrency",
    "RATE_IP_LIMIT_EXCEEDED": "address",
}
_ACCOUNT = "https://jina.ai/api-dashboard/key-manager"
_DETAIL = 300
#: So much is looked through for secrets before it is shortened.
_LOOK = 64 * 1024
#: No reply used so many.
_MOST_TOKENS = 2**53
#: What is looked at of a page that is no answer of the API.
_PAGE = 2000


class Throttled(EmbedderUnavailable):
    """A quota is used up. `wait` is what the server asks for, in seconds, or None."""

    def __init__(self, message: str, limit: Limit, wait: float | None) -> None:
        super().__init__(message)
        self.limit, self.wait = limit, wait


class Failed(EmbedderUnavailable):
    """The server, or the way to it, failed. `wait` is what the server asks for, in seconds, or None."""

    def __init__(self, message: str, wait: float | None = None) -> None:
        super().__init__(message)
        self.wait = wait


class Unreachable(Failed):
    """Nobody answers at that address."""


class Busy(Failed):
    """The server has too much to do."""


class TooSlow(Failed):
    """The request took too long; parts of it may not."""


class Refused(EmbedderRefused):
    """The server does not take one of the texts."""


class TooLarge(EmbedderRefused):
    """The request as a whole is too large; parts of it may not be."""


class NotFinite(EmbedderInvalidReply):
    """A vector holds NaN or infinity: perhaps one text is at fault."""


class OtherShape(EmbedderInvalidReply):
    """Vectors of another length: the server does not do what it is asked."""


@dataclass(frozen=True, slots=True)
class Reply:
    """Rows in the order of the inputs: shape (inputs, dimensions); tokens used; what is left of the quotas."""

    rows: FloatArray
    tokens: int
    remaining_requests: int | None = None
    remaining_tokens: int | None = None


def body(options: JinaOptions, texts: Sequence[str], task: str | None, dimensions: int, *, late: bool) -> bytes:
    """A request body with exactly the fields that the model declares. Raises `EmbedderRefused` for invalid Unicode."""
    known = options.row
    values = {
        "task": task,
        "dimensions": dimensions,
        "late_chunking": late,
        "normalized": True,
        "truncate": options.truncate,
    }
    declared = {name: value for name, value in values.items() if name in known.fields and value is not None}
    model = options.served_model or options.model
    whole = {"model": model, "input": list(texts), **declared, "embedding_type": "base64"}
    try:
        return json.dumps(whole, ensure_ascii=False, separators=(",", ":")).encode()
    except UnicodeEncodeError as error:
        raise EmbedderRefused("a text has a lone surrogate: not valid Unicode; repair the source") from error


def decode(content: bytes, inputs: int, dimensions: int) -> tuple[FloatArray, int]:
    """Rows in the order of `index`, and the tokens used. Raises `EmbedderInvalidReply`."""
    try:
        reply = json.loads(content)
        data, tokens = reply["data"], _tokens(reply)
        places = [item["index"] for item in data]
        whole = sorted(places) == list(range(inputs))
        rows = _rows([item["embedding"] for item in data], dimensions)
    except EmbedderInvalidReply:
        raise
    except DAMAGED as error:
        raise EmbedderInvalidReply(_unreadable(content, error)) from error
    if not whole:
        raise EmbedderInvalidReply(
            f"the embeddings API answered {len(places)} vectors to {inputs} texts, or one text twice"
        )
    if places != list(range(inputs)):
        rows = rows[np.argsort(places)]
    if not np.isfinite(rows).all():
        bad = int(np.flatnonzero(~np.isfinite(rows).all(axis=1))[0])
        raise NotFinite(f"the embeddings API answered NaN or infinity to text {bad} of {inputs}")
    return rows, tokens


def _tokens(reply: Mapping[str, Any]) -> int:
    tokens = max(0, int((reply.get("usage") or {}).get("total_tokens") or 0))
    if tokens > _MOST_TOKENS:  # quotas and estimates are reckoned with it
        raise ValueError(f"total_tokens has {tokens.bit_length()} bits")
    return tokens


def _rows(values: Sequence[Any], dimensions: int) -> FloatArray:
    """Shape (values, dimensions), in one piece of memory."""
    parts = [_bytes(value) for value in values]
    for part in parts:
        if len(part) != 4 * dimensions:
            raise OtherShape(
                f"the embeddings API answered vectors of {len(part) / 4:g} numbers; {dimensions} dimensions were "
                f"asked for"
            )
    return np.frombuffer(bytearray().join(parts), "<f4").reshape(len(parts), dimensions)


def _bytes(value: Any) -> bytes:
    """base64 of little-endian float32 — or plain numbers, from servers that ignore the encoding asked for."""
    if isinstance(value, str):
        return binascii.a2b_base64(value)
    if isinstance(value, list):
        return np.asarray(value, "<f4").tobytes()
    raise EmbedderInvalidReply(f"the embeddings API answered a {type(value).__name__} where a vector belongs")


def _unreadable(content: bytes, error: Exception) -> str:
    start = content[:80].decode("utf-8", "replace").strip()
    if start[:1] == "<":
        return "the embeddings API answered HTML instead of JSON; is base_url right, and no login page in between?"
    if isinstance(error, json.JSONDecodeError | binascii.Error | UnicodeDecodeError):
        return f"the embeddings API answered something that is not whole JSON ({error})"
    return f"the embeddings API answered JSON of another shape ({type(error).__name__}: {error})"


# ---------------------------------------------------------------- refusals

_FAILURES: Mapping[int, type[Failed]] = {
    **dict.fromkeys((500, 502, 520, 522), Failed),
    **dict.fromkeys((503, 529), Busy),
    **dict.fromkeys((408, 504, 524), TooSlow),
}


def refusal(status: int, content: bytes, headers: Mapping[str, str], options: JinaOptions) -> EmbedderError:
    """What a reply other than 200 means, as the error to raise."""
    code, detail = _reason(content)
    place = f"the embeddings API at {options.base_url}"
    said = f" (it says: {visible(detail)})" if detail else ""
    wait = retry_after(headers)
    # JSON is an answer of the API, and may repeat a text that has such words.
    wrong = misdirected(content[:_PAGE].decode("utf-8", "replace")) if content.lstrip()[:1] != b"{" else None
    if status == 400 and wrong is not None:
        return EmbedderDenied(f"{place} cannot be asked: {wrong}{said}; check base_url")
    if status == 429:
        limit = _LIMITS.get(code, "requests")
        return Throttled(f"{place} has no {limit} left in its quota{said}", limit, wait)
    if status in _FAILURES:
        return _FAILURES[status](f"{place} failed with status {status}{said}", wait)
    return _final(status, code, place, said, options)


def _final(status: int, code: str, place: str, said: str, options: JinaOptions) -> EmbedderError:
    model = options.served_model or options.model
    if status == 401:
        return EmbedderDenied(f"{place} does not know the key{said}; check api_key, or get one at {_ACCOUNT}")
    if status in (402, 403):
        why = "the account has no balance left" if "BALANCE" in code else "the key may not do this"
        return EmbedderDenied(f"{place} refused: {why}{said}; top it up, or use another key: {_ACCOUNT}")
    if status == 404 or code == "INPUT_MODEL_NOT_FOUND":
        return EmbedderDenied(f"{place} has no model {model!r} there{said}; check model, served_model and base_url")
    if status == 413:
        return TooLarge(f"{place} takes no request of this size{said}")
    if status in (400, 422):
        return Refused(f"{place} refused the text{said}")
    return EmbedderDenied(f"{place} answered with status {status}{said}; check base_url")


def _reason(content: bytes) -> tuple[str, str]:
    """The code and the words of an error body: `{detail, code?}`, a 422's `{detail, errors}`, or anything."""
    try:
        value = json.loads(content)
    except (ValueError, RecursionError):
        text = content[:_LOOK].decode("utf-8", "replace").strip()
        return "", "" if text[:1] == "<" else masked(text)[:_DETAIL]
    if not isinstance(value, Mapping):
        return "", masked(str(value)[:_LOOK])[:_DETAIL]
    detail = str(value.get("detail") or value.get("message") or value.get("error") or "")
    errors = value.get("errors")
    listed = errors if isinstance(errors, list) else []
    fields = [f"{item.get('field')}: {item.get('message')}" for item in listed if isinstance(item, Mapping)]
    told = "; ".join([detail, *fields] if detail else fields)[:_LOOK]
    return str(value.get("code") or ""), masked(told)[:_DETAIL]


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds to wait, or None. A date is compared with the server's own clock: ours may be wrong."""
    value = headers.get("retry-after", "").strip()
    if not value:
        return None
    try:
        seconds = float(value)
        return max(0.0, seconds) if math.isfinite(seconds) else None
    except ValueError:
        until = _date(value)
    if until is None:
        return None
    now = _date(headers.get("date", "")) or datetime.now(UTC)
    return max(0.0, (until - now).total_seconds())


def _date(text: str) -> datetime | None:
    try:
        parsed = parsedate_to_datetime(text)
    except (ValueError, OverflowError):
        return None
    return parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)


def remaining(headers: Mapping[str, str], what: Literal["requests", "tokens"]) -> int | None:
    """What is left of a quota, as the reply says."""
    value = headers.get(f"x-ratelimit-remaining-{what}", "").strip()
    return int(value) if value.isascii() and value.isdigit() and len(value) < 20 else None
