"""Searching: the question is embedded with the query task, always, and on every backend."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from nestvec._collections.opening import Binding, Emit, Flow, Target, bind, check_tenant, foreign_filter, with_target
from nestvec._documents.funnel import aimed, named
from nestvec._documents.layout import span_of
from nestvec._hosts.admission import admit
from nestvec._metadata import restore_metadata
from nestvec.contract import Encode, Encoded, Event, Found, Group, Query
from nestvec.errors import InvalidInput
from nestvec.filters import Filter, FilterLike, resolve
from nestvec.types import Hit

if TYPE_CHECKING:
    from nestvec._specs import CollectionSpec
    from nestvec.types import FloatArray


@dataclass(frozen=True, slots=True)
class SearchOptions:
    """How to search. `threshold` is the lowest score wanted; with `group_by_document` only the best hit of each
    document counts, and limit and offset count documents."""

    limit: int = 10
    offset: int = 0
    threshold: float | None = None
    where: FilterLike | None = None
    group_by_document: bool = False

    def check(self) -> None:
        """Raise `InvalidInput` for a limit or offset that makes no sense."""
        for name, value, least in (("limit", self.limit, 1), ("offset", self.offset, 0)):
            if isinstance(value, bool) or not isinstance(value, int) or value < least:
                raise InvalidInput(f"{name} must be a whole number of at least {least}, not {value!r}")
        least_score = self.threshold
        if least_score is not None and (not isinstance(least_score, int | float) or not math.isfinite(least_score)):
            raise InvalidInput(f"threshold must be a finite number, not {least_score!r}")


def search(
    binding: Binding, questions: Sequence[str], options: SearchOptions, tenant: str | None = None
) -> Flow[list[list[Hit]]]:
    """Search for each question. Everything that can be checked is checked before anything is sent."""
    where = check_search(binding, options, tenant)
    vectors = yield from embed(binding, questions)
    return (yield from _search(binding, vectors, options, where, tenant))


def embed(binding: Binding, texts: Sequence[str]) -> Flow[FloatArray]:
    """Texts as questions to this collection, not stored: shape (texts, dimensions)."""
    check_texts(texts)
    yield from bind(binding)  # a mix-up of spaces is refused before an embedding is paid for, and so is one of hosts
    if texts:
        yield from with_target(binding, lambda target: admit(binding, target, writing=False))
    return (yield from embed_queries(binding.spec, texts))


def search_vectors(
    binding: Binding, vectors: FloatArray | Sequence[FloatArray], options: SearchOptions, tenant: str | None = None
) -> Flow[list[list[Hit]]]:
    """Search with vectors of the collection's own space: shape (questions, dimensions)."""
    where = check_search(binding, options, tenant)
    yield from bind(binding)  # of which size they have to be is known where the collection is
    wanted = binding.spec.space.dimensions
    try:
        rows = np.ascontiguousarray(vectors, dtype=np.float32)
    except (TypeError, ValueError) as error:
        raise InvalidInput(f"a query vector is an array of {wanted} numbers: {error}") from error
    if rows.ndim != 2 or rows.shape[1] != wanted or not np.isfinite(rows).all():
        raise InvalidInput(
            f"collection {binding.spec.name!r} is searched with finite vectors of {wanted} dimensions: one of shape "
            f"({wanted},), or with search_vectors several of shape (vectors, {wanted}); not with an array of shape "
            f"{rows.shape}. The collection's own embed(texts) makes them of questions"
        )
    return (yield from _search(binding, rows, options, where, tenant))


def check_search(binding: Binding, options: SearchOptions, tenant: str | None) -> Filter | None:
    """Check options, tenant and filter; returns the resolved filter."""
    options.check()
    check_tenant(binding.spec, tenant)
    most = binding.capabilities.max_limit
    if most is not None and options.offset + options.limit > most:
        raise InvalidInput(
            f"limit + offset is {options.offset + options.limit}, but backend {binding.spec.backend!r} returns "
            f"at most {most} results; lower them, or narrow the search with a filter"
        )
    return resolve(options.where, binding.spec.fields)


def embed_queries(spec: CollectionSpec, questions: Sequence[str]) -> Flow[FloatArray]:
    """Embed checked questions for this collection: shape (questions, dimensions). Never late-chunked."""
    groups = tuple(Group(f"query {i}", text, ((0, len(text)),)) for i, text in enumerate(questions))
    if not groups:
        return np.zeros((0, spec.space.dimensions), np.float32)
    reply: Encoded = yield Encode(groups, spec.space.query_task, spec.space.dimensions, late=False)
    if reply.failures:
        raise reply.failures[0].error
    return np.concatenate([rows for rows in reply.vectors if rows is not None])


def check_texts(texts: object) -> None:
    """Raise `InvalidInput` unless this is a list of texts that can be embedded."""
    if isinstance(texts, str | bytes) or not isinstance(texts, Sequence):
        raise InvalidInput(f"give a list of texts, not {type(texts).__name__}")
    for text in texts:
        check_text(text)


def check_text(text: object) -> None:
    """Raise `InvalidInput` unless this is a text that can be embedded."""
    if not isinstance(text, str) or not text.strip():
        raise InvalidInput(f"a question must be a non-empty string, not {text!r:.80}")
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise InvalidInput(
            f"the question has a lone surrogate at character {error.start}: not valid Unicode"
        ) from error


def _search(
    binding: Binding, vectors: FloatArray, options: SearchOptions, where: Filter | None, tenant: str | None
) -> Flow[list[list[Hit]]]:
    if not len(vectors):
        return []
    spec = binding.spec

    def use(target: Target) -> Flow[list[list[Found]]]:
        query = Query(
            target.physical,
            named(spec, vectors),
            spec.metric,
            options.limit,
            options.offset,
            options.threshold,
            foreign_filter(target, where),
            tenant,
            target.foreign,
        )
        if options.group_by_document:
            return (yield from _grouped(binding, target, query))
        answers: list[list[Found]] = yield aimed(binding, target, query, query.limit, query.offset)
        return answers

    found = yield from with_target(binding, use)
    hits = [[_hit(spec, item) for item in answer] for answer in found]
    yield Emit(Event("search_done", spec.name, {"queries": len(hits), "hits": sum(map(len, hits))}))
    return hits


def _grouped(binding: Binding, target: Target, query: Query) -> Flow[list[list[Found]]]:
    """The best hit of each document: ask for more and more chunks until there are enough documents.

    The same on every backend: hits come best first, so a document's first is its best. Where a backend returns a
    limited number of results (`BackendCapabilities.max_limit`), documents beyond them are not seen.
    """
    wanted = query.offset + query.limit
    most = binding.capabilities.max_limit
    ask = wanted * 4
    while True:
        ask = min(ask, most) if most else ask
        answers: list[list[Found]] = yield aimed(binding, target, query, ask)
        best = [_first_by_document(answer) for answer in answers]
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
    metadata = restore_metadata(record.metadata, spec.fields)
    return Hit(record.id, record.document_id, found.score, record.text, metadata, span_of(record))
