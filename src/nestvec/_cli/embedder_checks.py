"""The checks of `nestvec doctor --embedder`: whether one embedder does what its model promises, each with a figure."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING, NamedTuple, cast

import numpy as np

from nestvec._cli.checks import Check, failed
from nestvec._hosts.admission import measure
from nestvec._hosts.agreement import MEDIAN, STRETCH, Agreement, agreement_of, cosine
from nestvec._hosts.canaries import TEXTS, Leg, version_for
from nestvec._session.session import complete
from nestvec.capabilities import ModelCapabilities, TaskPair
from nestvec.contract import Encode, Encoded, Group
from nestvec.encoding.vectors import truncate, widen
from nestvec.errors import NestvecError

if TYPE_CHECKING:
    from nestvec._client.sync import Nestvec
    from nestvec.types import FloatArray


class EmbedderProbe:
    """An embedder of the configuration, asked for vectors of the canary texts: through the core, never from a cache."""

    def __init__(self, nv: Nestvec, name: str) -> None:
        self.name = name
        self.model = nv.config.embedders[name].capabilities
        self.pair = next(iter(self.model.purposes.values()), TaskPair(None, None))
        self.texts = TEXTS[version_for(self.model.max_tokens)]
        #: Of every request: its task, texts and seconds.
        self.log: list[tuple[str | None, int, float]] = []
        self._known: dict[str | None, FloatArray] = {}
        self._session = nv._connections.embedding(name)
        self._embedder = partial(nv.embedder, name)

    @property
    def tasks(self) -> tuple[str | None, ...]:
        """Every task, or None for a model without tasks."""
        return self.model.tasks or (None,)

    def known(self, task: str | None) -> FloatArray:
        """Full vectors of the texts, in one request that is made once."""
        if task not in self._known:
            self._known[task] = self.rows(task)
        return self._known[task]

    def rows(
        self, task: str | None, texts: Sequence[str] | None = None, dimensions: int | None = None, *, late: bool = False
    ) -> FloatArray:
        """Shape (texts, dimensions), in one request."""
        chosen, size = texts or self.texts, dimensions or self.model.dimensions
        started = time.perf_counter()
        vectors, _ = complete(measure(self._session, [Leg(task, late)], size, chosen))
        self.log.append((task, len(chosen), time.perf_counter() - started))
        return vectors[Leg(task, late)]

    def as_given(self, task: str | None, dimensions: int) -> FloatArray:
        """What the embedder answers, before the core looks at it: shape (texts, dimensions)."""
        groups = tuple(Group(f"text {n}", text, ((0, len(text)),)) for n, text in enumerate(self.texts))
        request = widen(Encode(groups, task, dimensions, fresh=True), self.model)
        reply = cast("Encoded", self._embedder().encode(request))  # it is called plainly
        return np.concatenate([rows for rows in reply.vectors if rows is not None])

    def one_by_one(self, task: str | None, *, late: bool = False) -> FloatArray:
        """The same in a request for each text."""
        return np.concatenate([self.rows(task, [text], late=late) for text in self.texts])


class Finding(NamedTuple):
    """What was measured; and what is wrong, where something is."""

    figure: str
    fault: str | None = None


class Examination(NamedTuple):
    """A check, and which models it is for."""

    title: str
    promised: Callable[[ModelCapabilities], bool]
    check: Callable[[EmbedderProbe], Finding]


def examine_embedder(probe: EmbedderProbe) -> Iterator[Check]:
    """Everything that the model promises. What it does not promise is left out."""
    subject, model = f"embedder {probe.name}", probe.model
    try:
        for task in probe.tasks:
            probe.known(task)
    except NestvecError as error:
        yield failed(subject, error)
        return
    named = f"{model.model}, host {model.host}" if model.host else model.model
    yield Check("ok", subject, f"answers: {named}, {model.dimensions:,} dimensions, {len(model.tasks) or 'no'} tasks")
    for examination in EXAMINATIONS:
        if examination.promised(model):
            yield _examined(probe, examination)


def _examined(probe: EmbedderProbe, examination: Examination) -> Check:
    try:
        figure, fault = examination.check(probe)
    except NestvecError as error:
        return failed(examination.title, error)
    return Check("fail" if fault else "ok", examination.title, f"{figure}: {fault}" if fault else figure)


def _lengths(probe: EmbedderProbe) -> Finding:
    """What the host gives: the core makes 1 of it where the model says so, so other lengths are no fault."""
    sizes = {probe.model.min_dimensions, probe.model.dimensions}
    lengths = np.concatenate([np.linalg.norm(probe.as_given(probe.tasks[0], each), axis=1) for each in sizes])
    figure = f"{lengths.min():.4f} to {lengths.max():.4f}"
    off = probe.model.normalized and bool(np.abs(lengths - 1).max() > STRETCH)
    return Finding(f"{figure}, which nestvec scales to 1" if off else figure)


def _order(probe: EmbedderProbe) -> Finding:
    task = probe.pair.query
    return _same(
        agreement_of(probe.known(task), probe.one_by_one(task)),
        "texts that are sent together do not get the vectors that they get alone: replies are out of order, or "
        "neighbours in a batch shine through",
    )


def _repetition(probe: EmbedderProbe) -> Finding:
    task = probe.pair.index
    return _same(agreement_of(probe.known(task), probe.rows(task)), "the same text gives another vector each time")


def _two_sided(model: ModelCapabilities) -> list[TaskPair]:
    """The pairs of tasks for which the model promises that a question is not a stored text."""
    return sorted({pair for pair in model.purposes.values() if pair.index != pair.query}, key=str)


def _sides(probe: EmbedderProbe) -> Finding:
    found = {pair: agreement_of(probe.known(pair.index), probe.known(pair.query)) for pair in _two_sided(probe.model)}
    figure = "; ".join(f"{pair.index} to {pair.query}: median cosine {cosine(a.median)}" for pair, a in found.items())
    same = any(agreement.median >= MEDIAN for agreement in found.values())
    return Finding(figure, "both give the same vectors: the task is ignored" if same else None)


def _prefixes(probe: EmbedderProbe) -> Finding:
    model, task = probe.model, probe.pair.index
    sizes = sorted({max(model.min_dimensions, model.dimensions // part) for part in (4, 2)})
    full = probe.known(task)
    found = {
        size: agreement_of(truncate(full, size, normalized=model.normalized), probe.rows(task, dimensions=size))
        for size in sizes
    }
    figure = "; ".join(f"{size:,} of {model.dimensions:,}: {agreement}" for size, agreement in found.items())
    wrong = not all(agreement.alike for agreement in found.values())
    fault = "a shorter vector is not the renormalised beginning of the full one: copies and other hosts cannot cut it"
    return Finding(figure, fault if wrong else None)


def _late_alone(probe: EmbedderProbe) -> Finding:
    task = probe.pair.index
    return _same(
        agreement_of(probe.known(task), probe.one_by_one(task, late=True)),
        "a chunk without neighbours has to be what it is without late chunking: the pooling is another",
    )


def _late_neighbours(probe: EmbedderProbe) -> Finding:
    found = agreement_of(probe.known(probe.pair.index), probe.rows(probe.pair.index, late=True))
    figure = f"with neighbours and without: median cosine {cosine(found.median)}"
    return Finding(figure, "neighbours make no difference: late chunking is ignored" if found.alike else None)


def _late_documents(probe: EmbedderProbe) -> Finding:
    """The first document beside another one, and beside itself."""
    task, middle = probe.pair.index, (len(probe.texts) + 1) // 2
    first = probe.texts[:middle]
    return _same(
        agreement_of(probe.rows(task, late=True)[:middle], probe.rows(task, [*first, *first], late=True)[:middle]),
        "documents that are sent together see each other",
    )


def _speed(probe: EmbedderProbe) -> Finding:
    """Of the quickest requests so far: others on the machine or the network take their share of the rest."""
    together = min(seconds for _, texts, seconds in probe.log if texts == len(probe.texts))
    question = min(seconds for task, texts, seconds in probe.log if (task, texts) == (probe.pair.query, 1))
    rate = len(probe.texts) / max(together, 1e-9)
    return Finding(
        f"{rate:,.0f} texts a second in requests of {len(probe.texts)}, {question * 1000:,.1f} ms a question"
    )


def _same(found: Agreement, fault: str) -> Finding:
    return Finding(str(found), None if found.alike else fault)


def _always(_: ModelCapabilities) -> bool:
    return True


def _matryoshka(model: ModelCapabilities) -> bool:
    return model.matryoshka


def _late(model: ModelCapabilities) -> bool:
    return model.late_chunking


EXAMINATIONS = (
    Examination("lengths", _always, _lengths),
    Examination("order", _always, _order),
    Examination("repetition", _always, _repetition),
    Examination("sides", lambda model: bool(_two_sided(model)), _sides),
    Examination("prefixes", _matryoshka, _prefixes),
    Examination("late chunking, alone", _late, _late_alone),
    Examination("late chunking, neighbours", _late, _late_neighbours),
    Examination("late chunking, documents", _late, _late_documents),
    Examination("speed", _always, _speed),
)
