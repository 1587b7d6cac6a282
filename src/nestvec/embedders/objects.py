"""Embedders that somebody else made: a framework's object, or a function, as nestvec uses one.

What an object is, is seen by what it has; no framework is imported, but for Haystack's `Document`, which its own
embedders want.
"""

from __future__ import annotations

import inspect
import sys
import threading
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from nestvec.capabilities import ModelCapabilities, TaskPair
from nestvec.contract import Embedder, Encode, Encoded
from nestvec.encoding.vectors import truncate
from nestvec.errors import EmbedderError, EmbedderInvalidReply, EmbedderRefused, InvalidInput
from nestvec.types import Purpose
from nestvec.values import describe

if TYPE_CHECKING:
    from nestvec.types import FloatArray

DOCUMENT: Final = "document"
QUERY: Final = "query"
_PROBE: Final = "How long are your vectors?"
_KNOWN: Final = (
    "nestvec takes objects with embed_documents and embed_query (LangChain), with get_text_embedding_batch and "
    "get_query_embedding (LlamaIndex), a pair of a document and a text embedder with run (Haystack), a function from "
    "a list of texts to their vectors, or a pair of such functions, for documents and for questions"
)

Side = Callable[[list[str]], Any]


@dataclass(frozen=True, slots=True)
class _Sides:
    """How texts are embedded, and how questions are; `several` where that is not the same."""

    documents: Side
    queries: Side
    several: bool = True


class ObjectEmbedder(Embedder):
    """An embedder that somebody else made. Make it with `wrap`.

    Attributes:
        inner: What was wrapped.
        capabilities: What is known of its model.
    """

    def __init__(self, inner: object, sides: _Sides, capabilities: ModelCapabilities) -> None:
        self.inner = inner
        self.capabilities = capabilities
        self._sides = sides
        self._turn = threading.Lock() if capabilities.concurrency == 1 else nullcontext()

    def __repr__(self) -> str:
        return f"ObjectEmbedder({self.capabilities.model!r})"

    def __reduce__(self) -> Any:
        return _again, (self.inner, self.capabilities)

    def encode(self, request: Encode) -> Encoded:
        """See `nestvec.contract.Embedder`."""
        texts = [text for group in request.groups for text in group.texts()]
        side = self._sides.queries if request.task == QUERY else self._sides.documents
        rows = self._rows(side, texts)
        if request.dimensions < self.capabilities.dimensions:
            rows = truncate(rows, request.dimensions, normalized=self.capabilities.normalized)
        ends = np.cumsum([len(group.spans) for group in request.groups]).tolist()
        return Encoded(
            tuple(rows[end - len(group.spans) : end] for group, end in zip(request.groups, ends, strict=True))
        )

    def _rows(self, side: Side, texts: list[str]) -> FloatArray:
        step = self.capabilities.batch
        parts = [self._asked(side, texts[start : start + step]) for start in range(0, len(texts), step)]
        return np.concatenate(parts) if parts else np.zeros((0, self.capabilities.dimensions), np.float32)

    def _asked(self, side: Side, texts: list[str]) -> FloatArray:
        name, size = self.capabilities.model, self.capabilities.dimensions
        with self._turn:
            rows = ask(side, texts, name)
        if rows.shape[1] != size:
            raise EmbedderInvalidReply(
                f"embedder {name!r} gave vectors of {rows.shape[1]} dimensions, and its space has {size}; one space "
                f"has one size: look into the object, or give wrap its dimensions"
            )
        return rows


def wrap(
    embedder: object,
    *,
    name: str | None = None,
    dimensions: int | None = None,
    min_dimensions: int | None = None,
    normalized: bool = True,
    host: str = "",
    batch: int = 64,
    max_tokens: int | None = None,
    concurrency: int = 1,
) -> Embedder:
    """An embedder of your own, or of a framework, for `nestvec.collection` and `nestvec.connect`.

    Args:
        embedder: An object with `embed_documents` and `embed_query` (LangChain), with `get_text_embedding_batch` and
            `get_query_embedding` (LlamaIndex), a pair of a document and a text embedder with `run` (Haystack), a
            function from a list of texts to their vectors, or a pair of such functions: of documents, and of questions.
        name: What the space is called: the same for all that give the same vectors, and for nothing else.
        dimensions: Length of its vectors; None: one text is embedded to see.
        min_dimensions: The shortest useful prefix of a model that was trained for such; None: there are none.
        normalized: Whether vectors have length 1; nestvec sees to it.
        host: Where the model runs, where several hosts stand in for each other.
        batch: Most texts in one call.
        max_tokens: What the model reads of a text at most, where known.
        concurrency: Calls at a time; 1: one after the other, in whatever thread.

    Returns:
        The embedder. It is not closed when a client is.

    Raises:
        InvalidInput: It is none of these, or has no name.
        EmbedderError: It fails at the text that is embedded to see its size.

    Example:
        >>> model = nestvec.embedders.wrap(lambda texts: [[len(text), 1.0] for text in texts], name="lengths")
        >>> with nestvec.collection("notes", embedder=model) as notes:
        ...     notes.space.dimensions
        2
    """
    known = getattr(embedder, "capabilities", None)
    if isinstance(embedder, Embedder) and isinstance(known, ModelCapabilities):
        if name not in (None, known.model):
            raise InvalidInput(
                f"this embedder's space is called {known.model!r} already, and not {name!r}; leave name out"
            )
        return embedder
    sides = _sides(embedder)
    if not isinstance(name, str) or not name.strip():
        raise InvalidInput(
            "an embedder object needs a name: by it the collection knows later whose vectors it holds; give "
            'wrap(embedder, name="…") the name of the model, the same wherever it gives the same vectors'
        )
    size = ask(sides.documents, [_PROBE], name).shape[1] if dimensions is None else _whole("dimensions", dimensions)
    least = size if min_dimensions is None else _whole("min_dimensions", min_dimensions)
    if least > size:
        raise InvalidInput(f"min_dimensions is {least}, and vectors have {size} dimensions")
    pair = TaskPair(DOCUMENT, QUERY) if sides.several else TaskPair(None, None)
    made = ModelCapabilities(
        model=name,
        dimensions=size,
        min_dimensions=least,
        purposes=dict.fromkeys(Purpose, pair),
        tasks=(DOCUMENT, QUERY) if sides.several else (),
        max_tokens=max_tokens,
        normalized=normalized,
        host=host,
        batch=_whole("batch", batch),
        concurrency=_whole("concurrency", concurrency),
    )
    return ObjectEmbedder(embedder, sides, made)


def ask(side: Side, texts: list[str], name: str) -> FloatArray:
    """Vectors of texts, shape (texts, d). Raises `EmbedderError` for what is none, naming the embedder."""
    try:
        answer = side(texts)
    except EmbedderError:
        raise
    except Exception as error:
        raise EmbedderRefused(f"embedder {name!r} failed: {type(error).__name__}: {error}") from error
    pending = [each for each in (answer if isinstance(answer, list) else [answer]) if inspect.iscoroutine(each)]
    for each in pending:
        each.close()
    if pending:
        raise EmbedderInvalidReply(f"embedder {name!r} is asynchronous; give a plain function, which runs in a thread")
    try:
        numbers = np.asarray(answer)
        if numbers.dtype.kind not in "iuf":
            raise ValueError(f"numbers of type {numbers.dtype}")  # noqa: TRY301 - one kind of failure
        rows: FloatArray = numbers.astype(np.float32)
    except (TypeError, ValueError) as error:
        raise EmbedderInvalidReply(f"embedder {name!r} gave no vectors of one size ({error})") from error
    if rows.ndim != 2 or len(rows) != len(texts) or not rows.shape[1]:
        raise EmbedderInvalidReply(
            f"embedder {name!r} was asked for {len(texts)} vectors and gave an array of shape {rows.shape}"
        )
    return rows


def _again(inner: object, capabilities: ModelCapabilities) -> ObjectEmbedder:
    return ObjectEmbedder(inner, _sides(inner), capabilities)


def _sides(embedder: Any) -> _Sides:
    if _has(embedder, "embed_documents", "embed_query"):
        return _Sides(embedder.embed_documents, lambda texts: [embedder.embed_query(text) for text in texts])
    if _has(embedder, "get_text_embedding_batch", "get_query_embedding"):
        return _Sides(
            embedder.get_text_embedding_batch, lambda texts: [embedder.get_query_embedding(text) for text in texts]
        )
    if isinstance(embedder, tuple | list) and len(embedder) == 2:
        documents, queries = embedder
        if _has(documents, "run") and _has(queries, "run"):
            return _Sides(_haystack(documents), lambda texts: [queries.run(text=text)["embedding"] for text in texts])
        if callable(documents) and callable(queries):
            return _Sides(documents, queries)
    if callable(embedder) and not isinstance(embedder, type):
        return _Sides(embedder, embedder, several=False)
    raise InvalidInput(f"{describe(embedder)} is no embedder: {_KNOWN}")


def _haystack(embedder: Any) -> Side:
    def embed(texts: list[str]) -> Sequence[Any]:
        document = sys.modules["haystack"].Document if "haystack" in sys.modules else _Document
        return [
            each.embedding for each in embedder.run(documents=[document(content=text) for text in texts])["documents"]
        ]

    return embed


@dataclass
class _Document:
    """What Haystack's embedders read and fill."""

    content: str
    embedding: Any = None


def _has(value: object, *methods: str) -> bool:
    return not isinstance(value, type) and all(callable(getattr(value, name, None)) for name in methods)


def _whole(what: str, value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise InvalidInput(f"{what} must be a whole number of at least 1, not {value!r}")
    return value
