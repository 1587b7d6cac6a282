"""Migrating, shrinking and going back, for both clients: what is looked at, decided and loaded, in which order.

It is a generator as flows are, of larger steps: whole flows on one backend or two, and what has to be loaded. Each
client answers them in its own way (`nestvec._client.steps`).
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, TypeAlias

from nestvec._artifacts import Artifact, is_fingerprint
from nestvec._client.base import Runtime, counts_tokens, make_binding, make_splitter, spec_named
from nestvec._collections.opening import Flow, OpenCollection
from nestvec._collections.superseded import NOTE as SUPERSEDES
from nestvec._collections.superseded import Supersedes, advice, shrunk_spec, superseding
from nestvec._documents.search import check_texts
from nestvec._migration import find
from nestvec._migration.asking import texts_of
from nestvec._migration.candidate import pinned
from nestvec._migration.copy import PairFlow
from nestvec._migration.engine import Job, counted, migrate
from nestvec._migration.generations import Generation, Standing, generations
from nestvec._migration.report import MigrationReport, Stage
from nestvec._migration.routes import Route, Transform, Way, route, transform
from nestvec._migration.switch import finish, lift
from nestvec.capabilities import TaskPair
from nestvec.encoding.vectors import check_dimensions
from nestvec.errors import CollectionNotFound, ConfigError, Unsupported
from nestvec.spaces import space_of

if TYPE_CHECKING:
    from nestvec._chunking import Splitter
    from nestvec._collections.write_fence import Place
    from nestvec._migration.report import ProgressCallback
    from nestvec._specs import CollectionSpec
    from nestvec.capabilities import ModelCapabilities
    from nestvec.config import Config, Connection
    from nestvec.spaces import EmbeddingSpace
    from nestvec.types import Document, FloatArray


@dataclass(frozen=True, slots=True)
class On:
    """Run a flow on one backend. `like`: whose embedder the ports get, although it is not asked."""

    backend: str
    flow: Flow[Any]
    like: CollectionSpec


@dataclass(frozen=True, slots=True)
class Between:
    """Run a flow between two places; where it breaks off, for whatever reason, `give_up` is run as far as it goes."""

    source: CollectionSpec
    target: CollectionSpec
    flow: PairFlow[Any]
    give_up: Callable[[], Awaitable[None]] | None = None


@dataclass(frozen=True, slots=True)
class Turn:
    """Load what an embedder's stored vectors are turned by."""

    connection: Connection[Any]


@dataclass(frozen=True, slots=True)
class Load:
    """Call something that reads a file."""

    read: Callable[[], Any]


@dataclass(frozen=True, slots=True)
class Counter:
    """An embedder's counter of tokens."""

    embedder: str


@dataclass(frozen=True, slots=True)
class Ready:
    """Open an embedder that will be needed: what it lacks, such as its key, is told before anything is made."""

    embedder: str


Step: TypeAlias = On | Between | Turn | Load | Counter | Ready
Steps: TypeAlias = Generator[Step, Any, MigrationReport]
Part: TypeAlias = Generator[Step, Any, Any]


@dataclass(frozen=True, slots=True)
class Lifecycle:
    """One collection of a configuration, to be changed as a whole."""

    config: Config
    runtime: Runtime
    name: str
    progress: ProgressCallback | None = None

    @property
    def spec(self) -> CollectionSpec:
        """What it should be. Raises `InvalidName`, and `Unsupported` where it is not nestvec's own."""
        spec = spec_named(self.config, self.name)
        find.require_migratable(spec)
        return spec

    @property
    def previous(self) -> CollectionSpec | None:
        """What it was before, if the configuration says so."""
        return self.config.previous.get(self.name)

    async def migrate(self, questions: Sequence[str], documents: Iterable[Document]) -> MigrationReport:
        """From what is live to what the configuration says."""
        check_texts(questions)
        wanted = self.spec
        live, found, ended = await self._look(wanted)
        different = find.differences(wanted, live, self._binding(wanted).capabilities)
        if different.rebuild:
            shrunk = await self._shrunk(wanted, live)
            if shrunk is not None:
                find.require_free(live, found, None)
                return self._nothing(live, f"nothing to do: it {shrunk}")
        if not different.rebuild:
            find.require_free(live, found, None)
            apply = "only what `nestvec apply` changes in place differs"
            same = "the database holds what the configuration says"
            return await self._already(live, ended, apply if different.in_place else same)
        texts: dict[str, str] = yield Load(lambda: texts_of(documents))
        return await self._go(wanted, live, found, route(self._as_stored(live), wanted), questions, texts=texts)

    async def shrink(self, dimensions: int, questions: Sequence[str]) -> MigrationReport:
        """To fewer dimensions, from the stored vectors alone."""
        check_texts(questions)
        configured = self.spec
        size = check_dimensions(configured.model, dimensions)
        wanted = replace(
            configured,
            space=replace(configured.space, dimensions=size),
            funnel=tuple(each for each in configured.funnel if each < size),
        )
        live, found, ended = await self._look(wanted)
        if not find.differences(wanted, live, self._binding(wanted).capabilities).rebuild:
            find.require_free(live, found, None)
            return await self._already(live, ended, f"it has {size} dimensions already{_to_write(configured, size)}")
        stored = self._as_stored(live)
        if size > stored.space.dimensions:
            raise _no_growing(self.name, size, stored.space.dimensions)
        way = route(stored, wanted)
        if way.way is Way.EMBED:
            raise _no_shrinking(self.name, size, way)
        physical = live.place.physical
        flow = superseding(configured, size, find.stored_of(live), physical)
        note: Supersedes | None = yield On(live.place.backend, flow, configured)
        notes = {SUPERSEDES: note.to_text()} if note is not None else {}
        return await self._go(wanted, live, found, way, questions, notes=notes)

    async def rollback(self, *, discard: bool) -> MigrationReport:
        """To the generation that the live one came from."""
        live, found, ended = await self._look(self.spec)
        origin = find.origin_of(live)
        if live.journal is not None and live.journal.back:
            find.require_free(live, found, None)
            if ended:
                return await self._already(live, ended)
            return self._nothing(live, f"nothing to do: it was gone back to already, from {origin}")
        chosen = await self._generation(origin)
        stored = self._as_stored(chosen)
        wanted = self._giver(stored) or stored
        way = route(self._as_stored(live), wanted)
        return await self._go(wanted, live, [*found, chosen], way, (), chosen=chosen, leaves=discard, back=True)

    # ------------------------------------------------------------------ looking

    async def _look(self, wanted: CollectionSpec) -> tuple[Generation, list[Generation], bool]:
        """The live generation, all of them, and whether an interrupted switch had to be brought to its end first."""
        found = await self._generations(wanted)
        half = find.half_done(found)
        if half is not None and half.journal is not None:
            await self._finish(half, half.journal.source)
            found = await self._generations(wanted)
        return find.the_live(wanted, found), found, half is not None

    async def _generations(self, wanted: CollectionSpec) -> list[Generation]:
        found: list[Generation] = yield On(wanted.backend, generations(self._binding(wanted)), wanted)
        before = self.previous
        if before is not None and before.backend != wanted.backend:
            found = found + (yield On(before.backend, generations(self._binding(before)), before))
        return found

    async def _generation(self, place: Place) -> Generation:
        """The one at a place. Raises `CollectionNotFound`."""
        self._require_backend(place)
        there = replace(self.spec, backend=place.backend)
        found: list[Generation] = yield On(place.backend, generations(self._binding(there)), there)
        for each in found:
            if each.place == place:
                return each
        raise CollectionNotFound(
            f"collection {self.name!r} cannot go back: {place}, where it came from, is no longer there (cleaned up). "
            f"To have it as it was, set the configuration back and run `nestvec migrate {self.name}`. Nothing was "
            f"changed"
        )

    async def _finish(self, half: Generation, origin: Place) -> None:
        """Bring a switch to its end that broke off after the pointer had moved."""
        self._require_backend(origin)
        place, journal = half.place, half.journal
        target = replace(self.spec, backend=place.backend)
        source = replace(self.spec, backend=origin.backend)
        if journal is not None:
            yield Between(source, target, finish(origin, place, self._binding(target), journal))

    def _require_backend(self, place: Place) -> None:
        if place.backend not in self.config.backends:
            raise ConfigError(
                f"collection {self.name!r} came from {place}, and the configuration has no [backends.{place.backend}]: "
                f"put that block back"
            )

    async def _shrunk(self, wanted: CollectionSpec, live: Generation) -> str | None:
        """What to write into the configuration if the live generation is what it says, shrunk."""
        stored = find.stored_of(live)
        if live.place.backend != wanted.backend or find.is_previous(self.previous, live):
            return None
        shrunk = yield On(wanted.backend, shrunk_spec(wanted, stored, live.place.physical), wanted)
        if shrunk is None:
            return None
        find.require_only_shrunk(shrunk, live, self._binding(wanted).capabilities)
        return advice(wanted, stored)

    # ------------------------------------------------------------------ going

    def _nothing(self, live: Generation, reason: str, *, switched: bool = False) -> MigrationReport:
        return MigrationReport(self.name, None, reason, live.place, live.place, switched)

    async def _already(self, live: Generation, ended: bool, reason: str = "") -> MigrationReport:
        if not ended or live.journal is None:
            return self._nothing(live, f"nothing to do: {reason}")
        report = self._nothing(live, "a switch that was interrupted is done", switched=True)
        like = replace(self.spec, backend=live.place.backend)
        report = replace(report, source=live.journal.source)
        found: MigrationReport = yield Between(like, like, counted(report))
        return found

    async def _go(
        self,
        wanted: CollectionSpec,
        live: Generation,
        found: Sequence[Generation],
        way: Route,
        questions: Sequence[str],
        *,
        chosen: Generation | None = None,
        leaves: bool = False,
        back: bool = False,
        notes: Mapping[str, str] | None = None,
        texts: Mapping[str, str] | None = None,
    ) -> MigrationReport:
        chosen = chosen or find.resting_place(wanted, live, found)
        find.require_free(live, found, chosen)
        before, after = self._giver(self._as_stored(live)), self._giver(wanted)
        source, target = before or self._as_stored(live), after or wanted
        if way.way is Way.EMBED and after is not None and (chosen is None or chosen.standing is Standing.SHADOW):
            yield Ready(after.embedder)
        job = Job(
            source=pinned(self._binding(source), live.place.physical, find.stored_of(live)),
            origin=live.place,
            target=self._binding(target),
            route=way,
            transform=(await self._transform(way, source, target)),
            splitter=(await self._splitter(target, needed=way.way is Way.EMBED and after is not None)),
            chosen=chosen,
            texts=texts or {},
            questions=questions,
            notes=notes or {},
            asks=before is not None and after is not None,
            embeds=after is not None or way.way is not Way.EMBED,
            leaves=leaves,
            back=back,
            progress=self.progress,
        )
        _tell_of_others(job, found)
        report: MigrationReport = yield Between(source, target, migrate(job), lambda: lift(job.hold))
        return report

    def _binding(self, spec: CollectionSpec) -> OpenCollection:
        return make_binding(self.config, spec, self.runtime)

    def _as_stored(self, generation: Generation) -> CollectionSpec:
        """The spec of a generation; what no record keeps is as it was before or is now."""
        before = self.previous
        known = before is not None and find.is_previous(before, generation)
        return find.spec_of(generation, before if before is not None and known else self.spec)

    def _giver(self, spec: CollectionSpec) -> CollectionSpec | None:
        """The spec with an embedder of the configuration that gives its space; None where there is none."""
        configured = [each.embedder for each in (self.previous, self.spec) if each is not None]
        for name in dict.fromkeys([spec.embedder, *configured, *self.config.embedders]):
            model = self.config.embedders[name].capabilities
            if gives(model, spec.space):
                return replace(spec, embedder=name, model=model)
        return None

    async def _transform(self, way: Route, source: CollectionSpec, target: CollectionSpec) -> Transform:
        if not way.rotated:
            return transform(way, target, None, None)
        was = await self._rotation(source.space.rotation)
        now = await self._rotation(target.space.rotation)
        return transform(way, target, was, now)

    async def _rotation(self, fingerprint: str | None) -> FloatArray | None:
        """The matrix with this fingerprint. Raises `ConfigError` where it is not to be had."""
        if fingerprint is None:
            return None
        for connection in self._turning():
            if connection.capabilities.rotation == fingerprint:
                rotation: FloatArray | None = yield Turn(connection)
                return rotation
        if not is_fingerprint(fingerprint):
            raise ConfigError(
                f"collection {self.name!r}: no embedder of the configuration has rotation {fingerprint!r}, by which "
                f"the stored vectors are turned; put its block back"
            )
        found: FloatArray = yield Load(Artifact(self.config.artifacts, fingerprint).load)
        return found

    def _turning(self) -> Iterator[Connection[Any]]:
        """The embedders; those with a rotation of the user's also without it: vectors may be stored under their own."""
        for connection in self.config.embedders.values():
            yield connection
            if connection.nesting is not None:
                yield replace(connection, nesting=None)

    async def _splitter(self, spec: CollectionSpec, *, needed: bool) -> Splitter:
        count: Any = None
        if counts_tokens(spec):
            count = (yield Counter(spec.embedder)) if needed else len  # else nothing is split
        return make_splitter(self.config, spec, count)


def gives(model: ModelCapabilities, space: EmbeddingSpace) -> bool:
    """Whether a model's vectors may be those of a space."""
    if not model.min_dimensions <= space.dimensions <= model.dimensions:
        return False
    if space.late_chunking and not model.late_chunking:
        return False
    tasks = TaskPair(space.index_task, space.query_task)
    known = all(task is None or task in model.tasks for task in (tasks.index, tasks.query))
    return known and space_of(model, space.dimensions, tasks, late_chunking=space.late_chunking) == space


def _tell_of_others(job: Job, found: Sequence[Generation]) -> None:
    """Say which migration is gone on with, and which were begun and are not, because something else is wanted now."""
    if job.chosen is not None and job.chosen.standing is Standing.SHADOW:
        begun = job.chosen.place.physical
        job.tell(Stage.COPYING, f"going on with {begun!r}, which an earlier run began: what it brought over stays")
    others = [each for each in found if each.standing is Standing.SHADOW and each != job.chosen]
    if others:
        listed = ", ".join(str(each.place) for each in others)
        job.tell(Stage.COPYING, f"left alone, of migrations to something else: {listed}; `nestvec cleanup` drops them")


def _to_write(configured: CollectionSpec, size: int) -> str:
    return f"; write dimensions = {size} into the configuration" if configured.space.dimensions != size else ""


def _no_growing(name: str, size: int, stored: int) -> Unsupported:
    return Unsupported(
        f"collection {name!r} cannot be shrunk to {size} dimensions: it has {stored}, and what was cut off is gone. "
        f"Where `nestvec generations {name}` still shows longer vectors, `nestvec rollback {name}` goes back to them; "
        f"else write dimensions = {size} into the configuration, and `nestvec migrate {name}` embeds everything anew. "
        f"Nothing was changed"
    )


def _no_shrinking(name: str, size: int, way: Route) -> Unsupported:
    return Unsupported(
        f"collection {name!r} cannot be shrunk to {size} dimensions: {way.reason}. Shrinking makes shorter vectors of "
        f"the stored ones, without embedding: only smaller sizes of a model with Matryoshka prefixes, in the space "
        f"that the configuration says. For a model without them `nestvec nest` fits a rotation on a full-size "
        f"collection; anything else is `nestvec migrate {name}`, which embeds. Nothing was changed"
    )
