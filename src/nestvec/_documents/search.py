"""Searching: the question is embedded with the query task, always, and on every backend."""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Literal, TypeAlias, get_args

import numpy as np

from nestvec._collections.opening import (
    OpenCollection,
    Target,
    checked_filter,
    foreign_filter,
    on_target,
    open_to_read,
    with_text,
)
from nestvec._documents.current import complete_current, current, first_current, spoken_of
from nestvec._documents.funnel import aimed, named
from nestvec._documents.layout import span_of
from nestvec._hosts.admission import admit
from nestvec.contract import Encode, Event, Found, Group, Query
from nestvec.encoding.sizes import check_dimensions
from nestvec.encoding.tasks import check_task
from nestvec.encoding.vectors import scaled, without_direction
from nestvec.errors import InvalidInput
from nestvec.filters import Filter, FilterLike
from nestvec.types import DENSE, Document, Hit, Storage

if TYPE_CHECKING:
    from nestvec._session.session import Session
    from nestvec._specs import CollectionSpec
    from nestvec.types import FloatArray


#: As what a text is embedded.
Side: TypeAlias = Literal["document", "query"]


@dataclass(frozen=True, slots=True)
class SearchOptions:
    """How to search. `threshold` is the lowest score wanted; with `group_by_document` only the best hit of each
    document counts, and limit and offset count documents."""

    limit: int = 10
    offset: int = 0
    threshold: float | None = None
    where: FilterLike | None = None
    group_by_document: bool = False
    #: Read the vectors of hits, too.
    vectors: bool = False
    documents: bool = False

    def check(self) -> None:
        """Raise `InvalidInput` for a limit or offset that makes no sense."""
        for name, value, least in (("limit", self.limit, 1), ("offset", self.offset, 0)):
            if isinstance(value, bool) or not isinstance(value, int) or value < least:
                raise InvalidInput(f"{name} must be a whole number of at least {least}, not {value!r}")
        least_score = self.threshold
        if least_score is not None and (not isinstance(least_score, int | float) or not math.isfinite(least_score)):
            raise InvalidInput(f"threshold must be a finite number, not {least_score!r}")


async def search(collection: OpenCollection, questions: Sequence[str], options: SearchOptions) -> list[list[Hit]]:
    """Search for each question. Everything that can be checked is checked before anything is sent."""
    where = check_search(collection, options)
    vectors = await embed(collection, questions)
    ask = partial(_ask, collection, vectors, options, where)
    if options.vectors or options.documents:
        return await _whole(collection, ask, options)
    return _hits(collection, await on_target(collection, ask))


def rule_for(
    question: str | None, vector: FloatArray | None, options: SearchOptions
) -> Callable[[OpenCollection], Awaitable[list[list[Hit]]]]:
    """How to search for one question: a text, or a vector. Raises `InvalidInput` unless it is exactly one of them."""
    if vector is not None and question is None:
        return partial(search_vectors, vectors=[vector], options=options)
    if vector is None and question is not None:
        return partial(search, questions=[question], options=options)
    told = "not both" if vector is not None else "one of the two"
    raise InvalidInput(f"search for a question, or for its vector (vector=…): {told}")


async def embed(collection: OpenCollection, texts: Sequence[str], side: Side = "query") -> FloatArray:
    """Texts as questions to this collection, or as documents of it, not stored: shape (texts, dimensions).

    As documents each is whole, and in no context but its own.
    """
    if side not in get_args(Side):
        raise InvalidInput(f'side is "document" or "query", not {side!r}')
    check_texts(texts, "question" if side == "query" else side)
    # A mix-up of spaces is refused before an embedding is paid for; so is one of hosts.
    target = await open_to_read(collection)
    if texts and not collection.state.knows_host(target, writing=False):
        await on_target(collection, partial(admit, collection, writing=False))
    if side == "query":
        return await embed_queries(collection, texts)
    space = collection.spec.space
    return await embed_texts(collection.session, texts, space.index_task, space.dimensions)


async def embed_texts(
    session: Session, texts: Sequence[str], task: str | None, dimensions: int | None, *, fresh: bool = False
) -> FloatArray:
    """Embed texts outside any collection: shape (texts, dimensions)."""
    model = session.model
    check_task(model, task)
    size = model.dimensions if dimensions is None else check_dimensions(model, dimensions)
    check_texts(texts)
    groups = tuple(Group(f"text {i}", text, ((0, len(text)),)) for i, text in enumerate(texts))
    if not groups:
        return np.zeros((0, size), np.float32)
    reply = await session.encode(Encode(groups, task, size, fresh=fresh))
    if reply.failures:
        raise reply.failures[0].error
    return np.concatenate([rows for rows in reply.vectors if rows is not None])


async def search_vectors(
    collection: OpenCollection, vectors: FloatArray | Sequence[FloatArray], options: SearchOptions
) -> list[list[Hit]]:
    """Search with vectors of the collection's own space: shape (questions, dimensions)."""
    where = check_search(collection, options)
    await open_to_read(collection)  # of which size they have to be is known where the collection is
    wanted = collection.spec.space.dimensions
    try:
        rows = np.ascontiguousarray(vectors, dtype=np.float32)
    except (TypeError, ValueError) as error:
        raise InvalidInput(f"a query vector is an array of {wanted} numbers: {error}") from error
    if rows.ndim != 2 or rows.shape[1] != wanted or not np.isfinite(rows).all():
        raise InvalidInput(
            f"collection {collection.spec.name!r} is searched with finite vectors of {wanted} dimensions: one of shape "
            f"({wanted},), or with search_vectors several of shape (vectors, {wanted}); not with an array of shape "
            f"{rows.shape}. The collection's own embed(texts) makes them of questions"
        )
    if without_direction(rows).any():
        raise InvalidInput(
            f"collection {collection.spec.name!r}: a query vector of zeros, or of a length that float32 cannot square, "
            f"has no direction to search in; embed a question instead"
        )
    if collection.spec.space.normalized:  # what is stored is so, and scores would be out of bounds under dot
        rows = scaled(rows)
    ask = partial(_ask, collection, rows, options, where)
    if options.vectors or options.documents:
        return await _whole(collection, ask, options)
    return _hits(collection, await on_target(collection, ask))


async def _whole(
    collection: OpenCollection, ask: Callable[[Target], Awaitable[list[list[Found]]]], options: SearchOptions
) -> list[list[Hit]]:
    """Hits with their vectors, or with the documents that they are of."""
    from nestvec._documents.hit_vectors import found_with_vectors
    from nestvec._documents.reading import get

    if options.vectors:
        found, vectors = await on_target(collection, partial(found_with_vectors, collection, ask))
    else:
        found, vectors = await on_target(collection, ask), {}
    hits = _hits(collection, found)
    if vectors:
        hits = [[replace(hit, vector=vectors.get(hit.id)) for hit in answer] for answer in hits]
    if not options.documents:
        return hits
    if collection.spec.foreign is not None:  # each record is a document, also where several share an id
        return [[replace(hit, document=_of_record(hit)) for hit in answer] for answer in hits]
    ids = list(dict.fromkeys(hit.document_id for answer in hits for hit in answer))
    whole = {document.id: document for document in (await get(collection, ids) if ids else [])}
    return [[replace(hit, document=whole.get(hit.document_id)) for hit in answer] for answer in hits]


def _of_record(hit: Hit) -> Document:
    return Document(hit.document_id, hit.text or "", hit.metadata)


def check_search(collection: OpenCollection, options: SearchOptions) -> Filter | None:
    """Check options, tenant and filter; returns the resolved filter."""
    options.check()
    most = collection.capabilities.max_limit
    if most is not None and options.offset + options.limit > most:
        raise InvalidInput(
            f"limit + offset is {options.offset + options.limit}, but backend {collection.spec.backend!r} returns "
            f"at most {most} results; lower them, or narrow the search with a filter"
        )
    return checked_filter(collection, options.where)


async def embed_queries(collection: OpenCollection, questions: Sequence[str]) -> FloatArray:
    """Embed checked questions for this collection: shape (questions, dimensions). Never late-chunked."""
    space = collection.spec.space
    groups = tuple(Group(f"query {i}", text, ((0, len(text)),)) for i, text in enumerate(questions))
    if not groups:
        return np.zeros((0, space.dimensions), np.float32)
    reply = await collection.session.encode(Encode(groups, space.query_task, space.dimensions, late=False))
    if reply.failures:
        raise reply.failures[0].error
    return np.concatenate([rows for rows in reply.vectors if rows is not None])


def check_texts(texts: object, what: str = "question") -> None:
    """Raise `InvalidInput` unless this is a list of texts that can be embedded."""
    if isinstance(texts, str | bytes) or not isinstance(texts, Sequence):
        raise InvalidInput(f"give a list of texts, not {type(texts).__name__}")
    for text in texts:
        check_text(text, what)


def check_text(text: object, what: str = "question") -> None:
    """Raise `InvalidInput` unless this is a text that can be embedded."""
    if not isinstance(text, str) or not text.strip():
        raise InvalidInput(f"a {what} must be a non-empty string, not {text!r:.80}")
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise InvalidInput(f"the {what} has a lone surrogate at character {error.start}: not valid Unicode") from error


async def _ask(
    collection: OpenCollection, vectors: FloatArray, options: SearchOptions, where: Filter | None, target: Target
) -> list[list[Found]]:
    """The answers of the backend to each question."""
    if not len(vectors):
        return []
    spec = collection.spec
    query = Query(
        target.physical,
        {DENSE: vectors} if not spec.funnel else named(spec, vectors),
        spec.metric,
        options.limit,
        options.offset,
        options.threshold,
        with_text(spec, target, where) if target.foreign is None else foreign_filter(target, where),
    )
    if options.group_by_document:
        return await _grouped(collection, target, query)

    async def ask(limit: int) -> list[list[Found]]:
        return await collection.records.query(_aimed(collection, target, query, limit, 0))

    if collection.shared and await spoken_of(collection, target):
        return await first_current(collection, target, query, ask)
    found = await collection.records.query(_aimed(collection, target, query, query.limit, query.offset))
    if target.foreign is not None or not any(hit.record.system.get("chunk") for hits in found for hit in hits):
        return found
    return await complete_current(collection, target, query, ask, found)


def _aimed(collection: OpenCollection, target: Target, query: Query, limit: int, offset: int) -> Query:
    spec = collection.spec
    if spec.funnel or spec.storage is not Storage.FLOAT32 or target.stored.storage is not Storage.FLOAT32:
        return aimed(collection, target, query, limit, offset)
    return replace(query, limit=limit, offset=offset)


def _hits(collection: OpenCollection, found: Sequence[Sequence[Found]]) -> list[list[Hit]]:
    spec = collection.spec
    hits = [[_hit(spec, item) for item in answer] for answer in found]
    if hits:
        counted = {"queries": len(hits), "hits": sum(map(len, hits))}
        collection.session.emit(Event("search_done", spec.name, counted))
    return hits


async def _grouped(collection: OpenCollection, target: Target, query: Query) -> list[list[Found]]:
    """The best hit of each document: ask for more and more chunks until there are enough documents.

    The same on every backend: hits come best first, so a document's first is its best. Where a backend returns a
    limited number of results (`BackendCapabilities.max_limit`), documents beyond them are not seen.
    """
    wanted = query.offset + query.limit
    most = collection.capabilities.max_limit
    ask = wanted * 4
    while True:
        ask = min(ask, most) if most else ask
        answers = await collection.records.query(aimed(collection, target, query, ask))
        best = [_first_by_document(answer) for answer in await current(collection, target, answers)]
        exhausted = all(len(answer) < ask for answer in answers) or ask == most
        if exhausted or all(
            len(group) >= wanted or len(answer) < ask for group, answer in zip(best, answers, strict=True)
        ):
            return [group[query.offset : wanted] for group in best]
        ask *= 4


def _first_by_document(answer: Sequence[Found]) -> list[Found]:
    first: dict[str, Found] = {}
    for item in answer:
        first.setdefault(item.record.document_id, item)
    return list(first.values())


def _hit(spec: CollectionSpec, found: Found) -> Hit:
    record = found.record
    metadata = spec.projection.given(record.metadata)
    return Hit(record.id, record.document_id, found.score, record.text, metadata, span_of(record))
