"""What happens around every `Encode`, whoever answers it: full vectors for nesting, checks, prefixes.

Plain functions, so that the synchronous and the asynchronous driver share them.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from nestvec.capabilities import ModelCapabilities
from nestvec.contract import Encode, Encoded, EncodeFailure
from nestvec.encoding.matryoshka import check_vectors, nest, truncate
from nestvec.errors import EmbedderInvalidReply, PluginBroken, Unsupported

if TYPE_CHECKING:
    from nestvec.types import FloatArray


def widen(request: Encode, model: ModelCapabilities) -> Encode:
    """What to ask of the embedder: full vectors where the core nests them, else exactly what is wanted."""
    if request.late and not model.late_chunking:
        raise Unsupported(f"{model.model} does not offer late chunking; set late_chunking = false")
    return replace(request, dimensions=model.dimensions) if model.rotation else request


def checked(request: Encode, reply: Encoded, model: ModelCapabilities) -> Encoded:
    """The reply to exactly this request: every group is there, as finite float32, or its failure is.

    Raises `EmbedderInvalidReply` where it breaks the contract.
    """
    if len(reply.vectors) != len(request.groups):
        raise EmbedderInvalidReply(
            f"{model.model} answered {len(reply.vectors)} documents; {len(request.groups)} were sent"
        )
    failed = {failure.group: failure for failure in reply.failures}
    if any(not 0 <= number < len(reply.vectors) or reply.vectors[number] is not None for number in failed):
        raise EmbedderInvalidReply(
            f"{model.model} named a failure for a document that it embedded, or was not asked for"
        )
    vectors: list[FloatArray | None] = []
    for number, (group, rows) in enumerate(zip(request.groups, reply.vectors, strict=True)):
        if rows is None:
            failed.setdefault(number, _silent(number, model))
            vectors.append(None)
            continue
        source = f"{model.model}, document {group.key!r:.80},"
        vectors.append(check_vectors(rows, len(group.spans), request.dimensions, source))
    return Encoded(tuple(vectors), tuple(failed.values()), reply.usage)


def finish(request: Encode, reply: Encoded, model: ModelCapabilities, rotation: FloatArray | None) -> Encoded:
    """Check the reply, nest and cut it. Raises `EmbedderInvalidReply` where it breaks the contract."""
    sound = checked(widen(request, model), reply, model)
    vectors = (None if rows is None else _fit(rows, request.dimensions, model, rotation) for rows in sound.vectors)
    return replace(sound, vectors=tuple(vectors))


def _fit(rows: FloatArray, dimensions: int, model: ModelCapabilities, rotation: FloatArray | None) -> FloatArray:
    if model.rotation is None:
        return rows
    if rotation is None:
        raise PluginBroken(
            f"{model.model} is nested with rotation {model.rotation}, but its embedder offers no rotation; "
            f"reinstall the embedder's package"
        )
    return truncate(nest(rows, rotation), dimensions, normalized=model.normalized)


def _silent(number: int, model: ModelCapabilities) -> EncodeFailure:
    return EncodeFailure(number, EmbedderInvalidReply(f"{model.model} returned neither vectors nor a reason"))
