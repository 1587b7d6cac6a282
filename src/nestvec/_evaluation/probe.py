"""Measuring searches on a backend itself, in a temporary collection of its own that is dropped afterwards."""

from __future__ import annotations

import math
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np

from nestvec._collections.opening import CollectionState, OpenCollection, Target
from nestvec._documents.funnel import aimed, named
from nestvec._documents.layout import Head, make_record
from nestvec._specs import CollectionSpec, StoredCollection
from nestvec.capabilities import BackendCapabilities, Freshness
from nestvec.contract import Drop, ListCollections, Query, Settle, Write
from nestvec.errors import BackendError, CollectionError, NestvecError, Unsupported
from nestvec.types import Record

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from nestvec._session.session import Session
    from nestvec.types import FloatArray

PREFIX = "nestvec-measure"
_PAGE = 256
#: Seconds that the backend has to let searches find what was written.
_SETTLE = 120.0
#: Searches that are not timed, at the beginning.
_WARM = 3


@dataclass(frozen=True, slots=True)
class TimedSearches:
    """Which rows each question found, -1 where nothing: (questions, k); and the seconds that each search took."""

    places: NDArray[np.intp]
    seconds: NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class ProbeOutcome:
    """The plain search, and with a funnel that one, too. Without them: why the backend could not be measured."""

    plain: TimedSearches | None = None
    funnel: TimedSearches | None = None
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class BackendProbe:
    """Rows to write and questions to search them with, both as long as the vectors of `spec`.

    `clock` tells seconds. `what` names it in warnings.
    """

    spec: CollectionSpec
    capabilities: BackendCapabilities
    rows: FloatArray
    questions: FloatArray
    k: int
    clock: Callable[[], float]
    what: str
    name: str = field(default_factory=lambda: f"{PREFIX}-{secrets.token_hex(4)}")

    @property
    def physical(self) -> str:
        """The temporary collection."""
        return self.capabilities.names.physical(self.name, 1)

    async def measure(self, session: Session) -> ProbeOutcome:
        """Write, search, and time. What the backend refuses is told in the outcome.

        The temporary collection is dropped, whatever happens; a warning tells where that cannot be done.
        """
        try:
            outcome = await self._measured(session)
        except GeneratorExit:
            raise  # closed: nobody can be asked any more
        except BaseException:  # an interrupt, too
            await self._drop(session)
            raise
        return replace(outcome, warnings=(*outcome.warnings, *await self._drop(session)))

    async def _measured(self, session: Session) -> ProbeOutcome:
        try:
            unsettled = await self._fill(session)
            await self._search(session, self.questions[:_WARM])
            plain, funnel = await self._search(session, self.questions)
        except (Unsupported, BackendError, CollectionError) as error:
            why = f"{self.what} was not measured on backend {self.spec.backend!r}: {error}"
            return ProbeOutcome(warnings=(why,))
        return ProbeOutcome(plain, funnel, (unsettled,) if unsettled else ())

    async def _drop(self, session: Session) -> tuple[str, ...]:
        try:
            await session.backend.drop(Drop(self.physical))
        except NestvecError as error:
            return (f"the temporary collection {self.physical!r} could not be dropped, do it by hand: {error}",)
        return ()

    async def _fill(self, session: Session) -> str | None:
        """What searches may still miss then, or None."""
        spec, known = self._own(), self.capabilities
        await session.backend.create(spec.creation(self.physical, spec.record(1)))
        step = min(_PAGE, known.max_write_records or _PAGE)
        for start in range(0, len(self.rows), step):
            part = self.rows[start : start + step]
            records = [_record(start + number) for number in range(len(part))]
            await session.backend.write(Write(self.physical, records, named(spec, part)))
        if known.fresh is not Freshness.WHEN_SETTLED:
            return None
        return await session.backend.settle(Settle(self.physical, _SETTLE))

    async def _search(self, session: Session, questions: FloatArray) -> tuple[TimedSearches, TimedSearches | None]:
        """The plain search and the funnel take turns, so that what slows the machine down slows both."""
        specs = [replace(self._own(), funnel=())]
        if self.spec.funnel:
            specs.append(self._own())
        places = np.full((len(specs), len(questions), self.k), -1, np.intp)
        seconds = np.zeros((len(specs), len(questions)))
        for number in range(len(questions)):
            for which, spec in enumerate(specs):
                query = self._query(session, spec, questions[number : number + 1])
                started = self.clock()
                answers = await session.backend.query(query)
                seconds[which, number] = self.clock() - started
                found = [int(item.record.document_id) for item in answers[0][: self.k]]
                places[which, number, : len(found)] = found
        searched = [TimedSearches(*each) for each in zip(places, seconds, strict=True)]
        return searched[0], searched[1] if len(searched) > 1 else None

    def _query(self, session: Session, spec: CollectionSpec, question: FloatArray) -> Query:
        collection = OpenCollection(CollectionState(spec, self.capabilities, self.clock), session)
        stored = StoredCollection.read(self._own().record(1), self.physical)
        target = Target(self.physical, stored, math.inf)
        query = Query(self.physical, named(spec, question), spec.metric, self.k)
        return aimed(collection, target, query, self.k)

    def _own(self) -> CollectionSpec:
        """The temporary collection's spec: that of the collection, and nothing but vectors in it."""
        return replace(self.spec, name=self.name, fields={}, namespaces=False, store_text=False, foreign=None)


@dataclass(frozen=True, slots=True)
class ProbeReport:
    """What probes found on the backend, one after the other, and warnings from there."""

    outcomes: tuple[tuple[BackendProbe, ProbeOutcome], ...]
    warnings: tuple[str, ...]


async def run_probes(session: Session, probes: Sequence[BackendProbe]) -> ProbeReport:
    """Measure with each probe. Before the first one, see what others have left."""
    outcomes: list[tuple[BackendProbe, ProbeOutcome]] = []
    warnings = list(await _left_over(session, probes[0])) if probes else []
    for probe in probes:
        outcome = await probe.measure(session)
        warnings += outcome.warnings
        if outcome.plain is not None:
            outcomes.append((probe, outcome))
    return ProbeReport(tuple(outcomes), tuple(warnings))


async def _left_over(session: Session, probe: BackendProbe) -> tuple[str, ...]:
    """A warning about temporary collections that others have left."""
    known = probe.capabilities.names.encode(PREFIX + "-x")[:-1]
    try:
        names = await session.backend.list_collections(ListCollections())
    except NestvecError:
        return ()  # the measurement will say what is wrong
    left = sorted(name for name in names if name.startswith(known))
    if not left:
        return ()
    return (
        (
            f"backend {probe.spec.backend!r} holds {', '.join(left)}: left by a measurement that was killed, unless "
            f"another one is under way; drop them by hand"
        ),
    )


def _record(number: int) -> Record:
    return make_record(
        tenant=None,
        document_id=str(number),
        chunk=0,
        span=(0, 0),
        text="",
        text_hash="",
        metadata={},
        head=Head(0, 1, "", "", ""),
        store_text=False,
    )
