"""Gathering what is measured: vectors of texts, of questions, and of what answers them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from nestvec._collections.opening import OpenCollection, Target, on_target
from nestvec._documents.reading import whole
from nestvec._documents.sampling import (
    SampleProgress,
    StoredSample,
    choose,
    embedded_sample,
    require_full,
    stored_sample,
)
from nestvec._documents.search import check_text
from nestvec._evaluation.options import DimensionsOptions
from nestvec._hosts.admission import admit
from nestvec._questions import Question
from nestvec.capabilities import TaskPair
from nestvec.contract import Count, Fetch
from nestvec.errors import InvalidInput, Unsupported
from nestvec.types import DENSE, Document

if TYPE_CHECKING:
    from nestvec._session.session import Session
    from nestvec.types import FloatArray

#: Of a sample without real questions, at most this share is held out as questions.
_HELD_OUT = 10
_BLOCK = 128
_NAMED = 5


@dataclass(frozen=True, slots=True)
class AskedQuestions:
    """Real questions, each once. `repeated` counts those that came before."""

    questions: tuple[Question, ...]
    repeated: int = 0

    @property
    def relevant(self) -> frozenset[str]:
        """The documents that answer any of them."""
        return frozenset(name for question in self.questions for name in question.relevant)

    @classmethod
    def of(cls, given: Iterable[str | Question], options: DimensionsOptions) -> AskedQuestions:
        """At most as many as the options say. Raises `InvalidInput` for none, and for what cannot be embedded."""
        if isinstance(given, str | bytes):
            raise InvalidInput("queries are a list of questions, not one text")
        known: dict[str, Question] = {}
        count = 0
        for each in given:
            count += 1
            question = each if isinstance(each, Question) else Question(each)
            check_text(question.text)
            if known.setdefault(question.text, question) != question:
                raise InvalidInput(
                    f"question {question.text!r:.80} is there twice, with other labels; keep one of them"
                )
        if not known:
            raise InvalidInput("there are no questions; give some, or leave queries out")
        chosen = choose(known.values(), options.questions, options.seed, lambda question: question.text)
        return cls(tuple(chosen), count - len(known))


@dataclass(frozen=True, slots=True)
class SampledTexts:
    """A sample of texts, as (document id, text), out of `there`."""

    chosen: tuple[tuple[str, str], ...]
    there: int


@dataclass(frozen=True, slots=True)
class GatheredVectors:
    """Full vectors, as the embedder or the database gives them.

    `rows` are searched, and belong to `documents`; `fitted` is the part of the sample that is kept apart to fit a
    rotation on. `there` is how many texts the sample was taken of.
    """

    questions: FloatArray
    asked: tuple[Question, ...]
    rows: FloatArray
    documents: tuple[str, ...]
    fitted: FloatArray
    there: int


def choose_entries(
    texts: Iterable[str | Document], options: DimensionsOptions, asked: AskedQuestions | None
) -> SampledTexts:
    """A sample of texts, and all that is relevant to a question. Raises `InvalidInput`."""
    wanted = asked.relevant if asked is not None else frozenset()
    needed: dict[tuple[str, str], None] = {}
    there = 0

    def others() -> Iterable[tuple[str, str]]:
        nonlocal there
        for number, each in enumerate(texts):
            there += 1
            check_text(each.text if isinstance(each, Document) else each)
            entry = (each.id, each.text or "") if isinstance(each, Document) else (f"text {number}", each)
            if entry[0] in wanted:
                needed[entry] = None
            else:
                yield entry

    chosen = choose(others(), options.sample, options.seed, lambda entry: entry[1])
    _require(wanted, {name for name, _ in needed}, "the texts have")
    return SampledTexts((*needed, *chosen[: max(0, options.sample - len(needed))]), there)


async def gather_texts(
    session: Session,
    tasks: TaskPair,
    texts: SampledTexts,
    asked: AskedQuestions | None,
    options: DimensionsOptions,
    *,
    fit: bool,
    progress: SampleProgress | None = None,
) -> GatheredVectors:
    """Embed texts as stored ones, once, at full size; and real questions as questions."""
    unique = list(dict.fromkeys(text for _, text in texts.chosen))
    places = {text: place for place, text in enumerate(unique)}
    vectors = await embedded_sample(session, unique, tasks.index, progress)
    rows = vectors[[places[text] for _, text in texts.chosen]]
    documents = tuple(name for name, _ in texts.chosen)
    found = StoredSample(documents, documents, rows)
    needed = sum(name in (asked.relevant if asked else ()) for name in documents)
    questions = None
    if asked is not None:
        questions = await embedded_sample(session, _texts(asked), tasks.query, _after(len(unique), progress))
    return _split(found, needed, asked, questions, texts.there, options, fit=fit)


async def gather_stored(
    collection: OpenCollection,
    asked: AskedQuestions | None,
    options: DimensionsOptions,
    *,
    fit: bool,
    progress: SampleProgress | None = None,
) -> GatheredVectors:
    """Read vectors of a collection; of texts, only real questions are embedded."""
    spec = collection.spec
    require_full(collection, "measure prefixes", "dimensions")
    _check_labels(collection, asked)
    # The questions first: a mix-up is refused before anything is read.
    questions = None
    if asked is not None:
        await on_target(collection, lambda target: admit(collection, target, writing=False))
        questions = await embedded_sample(collection.session, _texts(asked), spec.space.query_task, progress)
    needed = await _relevant(collection, sorted(asked.relevant)) if asked else _nothing(collection)
    before = len(questions) if questions is not None else 0
    sample = await stored_sample(collection, options.sample, options.seed, _after(before, progress))
    there = await on_target(collection, lambda target: collection.records.count(Count(target.physical)))
    known = set(needed.records)
    rest = [place for place, name in enumerate(sample.records) if name not in known]
    rest = rest[: max(0, options.sample - len(known))]
    found = StoredSample(
        needed.records + tuple(sample.records[place] for place in rest),
        needed.documents + tuple(sample.documents[place] for place in rest),
        np.concatenate([needed.vectors, sample.vectors[rest]]),
    )
    return _split(found, len(known), asked, questions, there, options, fit=fit, source=f"collection {spec.name!r}")


def _split(
    found: StoredSample,
    needed: int,
    asked: AskedQuestions | None,
    questions: FloatArray | None,
    there: int,
    options: DimensionsOptions,
    *,
    fit: bool,
    source: str = "the input",
) -> GatheredVectors:
    """Part what is searched from what is asked and from what a rotation is fitted on: no vector is in two of them.

    The first `needed` rows answer questions: they are searched.
    """
    held_out = 0 if questions is not None else min(options.questions, len(found.records) // _HELD_OUT)
    free = len(found.records) - needed - held_out
    apart = free // 2 if fit else 0
    rows = len(found.records) - held_out - apart
    if rows <= options.k or (questions is None and not held_out):
        counted = "1 text" if len(found.records) == 1 else f"{len(found.records):,} texts"
        raise InvalidInput(
            f"{source} has {counted} to measure on, of which {rows:,} would be searched and "
            f"{held_out:,} be questions: too few for {options.k} neighbours; give more texts, questions of your own, "
            f"or a smaller k"
        )
    # Samples come in a random order, so that any part is a sample, too; what is needed stands in front.
    asking = slice(needed, needed + held_out)
    fitting = slice(needed + held_out, needed + held_out + apart)
    searched = [*range(needed), *range(needed + held_out + apart, len(found.records))]
    asking_rows = found.vectors[asking] if questions is None else questions
    searched_rows = found.vectors[searched]
    return GatheredVectors(
        asking_rows,
        asked.questions if asked is not None else (),
        searched_rows,
        tuple(found.documents[place] for place in searched),
        _others(found.vectors[fitting], asking_rows, searched_rows),
        there,
    )


def _others(rows: FloatArray, *known: FloatArray) -> FloatArray:
    """Those of the rows that are equal to no known one: a text may be there twice."""
    seen = {row.tobytes() for part in known for row in part} if len(rows) else set()
    return rows[[row.tobytes() not in seen for row in rows]]


def _after(before: int, progress: SampleProgress | None) -> SampleProgress | None:
    """SampleProgress that goes on where another part ended."""
    if progress is None:
        return None
    return lambda done, total: progress(before + done, before + total)


def _texts(asked: AskedQuestions) -> list[str]:
    return [question.text for question in asked.questions]


def _check_labels(collection: OpenCollection, asked: AskedQuestions | None) -> None:
    spec = collection.spec
    if asked is None or not asked.relevant:
        return
    if spec.namespaces:
        raise Unsupported(
            f"collection {spec.name!r} has namespaces: a document's id does not say in which it is, so labels cannot "
            f"be used; give questions without them"
        )
    if spec.foreign is not None and spec.foreign.id is not None:
        raise Unsupported(
            f"collection {spec.name!r} was adopted with document ids from {spec.foreign.id!r}, which cannot be looked "
            f"up; give questions without labels"
        )


def _nothing(collection: OpenCollection) -> StoredSample:
    return StoredSample((), (), np.zeros((0, collection.spec.space.dimensions), np.float32))


async def _relevant(collection: OpenCollection, ids: Sequence[str]) -> StoredSample:
    """All records of the documents that answer questions. Raises `InvalidInput` for those that are not there."""
    records: list[str] = []
    documents: list[str] = []
    vectors: list[FloatArray] = []

    async def use(target: Target) -> None:
        for start in range(0, len(ids), _BLOCK):
            block = ids[start : start + _BLOCK]
            for name, record, row in await _records(collection, target, block):
                records.append(record)
                documents.append(name)
                vectors.append(row)

    await on_target(collection, use)
    _require(ids, set(documents), f"collection {collection.spec.name!r} has")
    empty = np.zeros((0, collection.spec.space.dimensions), np.float32)
    return StoredSample(tuple(records), tuple(documents), np.stack(vectors) if vectors else empty)


async def _records(collection: OpenCollection, target: Target, ids: Sequence[str]) -> list[tuple[str, str, FloatArray]]:
    """(document id, record id, vector) of all records of some documents."""
    if target.foreign is not None:
        batch = await collection.records.fetch(Fetch(target.physical, ids, vectors=True, content=False))
        rows: Iterable[FloatArray] = batch.vectors[DENSE] if batch.vectors is not None else ()
        return [(record.id, record.id, row) for record, row in zip(batch.records, rows, strict=True)]
    parts = await whole(collection, target, ids, vectors=True)
    return [(name, record.id, row) for name in ids for record, row in parts.get(name, ()) if row is not None]


def _require(wanted: Iterable[str], there: set[str], where: str) -> None:
    missing = sorted(set(wanted) - there)
    if missing:
        named = ", ".join(repr(name) for name in missing[:_NAMED])
        more = f" and {len(missing) - _NAMED:,} more" if len(missing) > _NAMED else ""
        raise InvalidInput(
            f"the questions name relevant documents that {where} not: {named}{more}; ingest them, or leave them out"
        )


def labels(asked: Sequence[Question]) -> tuple[tuple[int, ...], tuple[Mapping[str, float], ...]]:
    """The numbers of the questions that have labels, and the labels."""
    chosen = [(number, question.relevant) for number, question in enumerate(asked) if question.relevant]
    return tuple(number for number, _ in chosen), tuple(relevant for _, relevant in chosen)
