"""What travels: request bodies, and replies decoded to float32.

The body is `{"data": [{"text": …}], "parameters": {"task", "dimensions", "late_chunking"}}`, the reply
`{"data": […]}`. The form of its items is not documented; read are `{"embedding": […]}`, the same with an `index`, and
bare lists of numbers.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from nestvec.encoding.vectors import normalize
from nestvec.errors import EmbedderInvalidReply, EmbedderRefused

if TYPE_CHECKING:
    from nestvec.encoding.models import KnownModel
    from nestvec.types import FloatArray

#: Bytes of a request's body, and of a reply's: SageMaker's limit for real-time inference.
MOST_BYTES = 6 * 1024 * 1024
#: Bytes that one number takes in a reply, at most: sign, 17 digits, exponent, comma and space.
_NUMBER = 26
#: Bytes of a request besides its texts, at most.
ENVELOPE = 256


class EndpointNotFinite(EmbedderInvalidReply):
    """A vector holds NaN or infinity: perhaps one text is at fault."""


class EndpointOtherShape(EmbedderInvalidReply):
    """Vectors of another length: the endpoint does not do what it is asked."""


@dataclass(frozen=True, slots=True)
class EndpointReply:
    """Rows in the order of the texts: shape (texts, dimensions); tokens used, 0 where the endpoint does not say."""

    rows: FloatArray
    tokens: int


def most_texts(dimensions: int) -> int:
    """Whose vectors fit into one reply, whatever their numbers are."""
    return max(1, MOST_BYTES // (dimensions * _NUMBER))


def piece(text: str) -> bytes:
    """A text as an item of `data`. Raises `EmbedderRefused` where it cannot be sent at all."""
    try:
        packed = json.dumps({"text": text}, ensure_ascii=False, separators=(",", ":")).encode()
    except UnicodeEncodeError as error:
        raise EmbedderRefused("the text has a lone surrogate: not valid Unicode; repair the source") from error
    if len(packed) > MOST_BYTES - ENVELOPE:
        raise EmbedderRefused(
            f"the text has {len(packed):,} bytes; SageMaker takes {MOST_BYTES:,} in all; set a smaller chunking.size"
        )
    return packed


def body(known: KnownModel, pieces: Sequence[bytes], task: str | None, dimensions: int, *, late: bool) -> bytes:
    """A request with exactly the parameters that the model declares. Raises `EmbedderRefused` over the limit."""
    values = {"task": task, "dimensions": dimensions, "late_chunking": late}
    declared = {name: value for name, value in values.items() if name in known.fields and value is not None}
    parameters = b',"parameters":' + json.dumps(declared).encode() if declared else b""
    whole = b'{"data":[' + b",".join(pieces) + b"]" + parameters + b"}"
    if len(whole) > MOST_BYTES:
        raise EmbedderRefused(f"a request of {len(whole):,} bytes is needed; SageMaker takes {MOST_BYTES:,}")
    return whole


def decode(content: bytes, texts: int, dimensions: int, place: object = "the endpoint") -> EndpointReply:
    """Rows of length 1, in the order of the texts. Raises `EmbedderInvalidReply`, which names the place."""
    try:
        reply = json.loads(content)
        data = reply["data"]
        tokens = int((reply.get("usage") or {}).get("total_tokens") or 0)
        places, vectors = _items(data)
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError) as error:
        raise EmbedderInvalidReply(_unreadable(content, error, place)) from error
    if sorted(places) != list(range(texts)):
        raise EmbedderInvalidReply(f"{place} answered {len(places)} vectors to {texts} texts, or one text twice")
    rows = _rows(vectors, dimensions, place)[np.argsort(places)]
    bad = np.flatnonzero(~np.isfinite(rows).all(axis=1))
    if len(bad):
        raise EndpointNotFinite(f"{place} answered NaN or infinity to text {int(bad[0])} of {texts}")
    # There is no parameter `normalized` here: whether a prefix comes with length 1 is up to the container.
    return EndpointReply(normalize(rows), tokens)


def _items(data: Any) -> tuple[list[int], list[Any]]:
    """Places and vectors. Items without an index are in the order of the texts."""
    if not isinstance(data, list):
        raise TypeError("data is no list")
    if all(isinstance(item, dict) for item in data) and any("index" in item for item in data):
        return [_place(item["index"]) for item in data], [item["embedding"] for item in data]
    vectors = [item["embedding"] if isinstance(item, dict) else item for item in data]
    return list(range(len(data))), vectors


def _place(value: Any) -> int:
    if type(value) is not int:
        raise TypeError("an index is no whole number")
    return value


def _rows(vectors: Sequence[Any], dimensions: int, place: object) -> FloatArray:
    """Shape (vectors, dimensions)."""
    for vector in vectors:
        if not isinstance(vector, list):
            raise EmbedderInvalidReply(f"{place} answered a {type(vector).__name__}, not a list of numbers")
        if len(vector) != dimensions:
            raise EndpointOtherShape(
                f"{place} answered vectors of {len(vector)} numbers; {dimensions} dimensions were asked for; is model "
                f"right?"
            )
    try:
        numbers = np.asarray(vectors)
    except (ValueError, OverflowError) as error:
        raise EmbedderInvalidReply(f"{place} answered vectors that hold lists; one a text belongs there") from error
    if numbers.dtype.kind not in "fiu" or numbers.ndim != 2:
        raise EmbedderInvalidReply(f"{place} answered vectors that hold something else than numbers")
    with np.errstate(over="ignore"):  # what float32 cannot hold becomes infinity, which is refused
        return np.ascontiguousarray(numbers, np.float32)


def _unreadable(content: bytes, error: Exception, place: object) -> str:
    start = content[:80].decode("utf-8", "replace").strip()
    if start[:1] == "<":
        return f"{place} answered HTML instead of JSON; is endpoint_url right, and no login page in between?"
    if isinstance(error, json.JSONDecodeError | UnicodeDecodeError):
        what = f"something that is not whole JSON ({error})"
    else:
        what = f'JSON of another form than {{"data": […]}} ({type(error).__name__}: {error})'
    return f"{place} answered {what}; is it a container of a jina embedding model?"
