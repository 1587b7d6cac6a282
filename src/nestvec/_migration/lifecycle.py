"""What changes a collection as a whole, for both clients: migrating, shrinking, going back, estimating, tidying up."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from nestvec._collections.describing import collection_state, spec_named
from nestvec._collections.opening import OpenCollection
from nestvec._collections.superseded import NOTE as SUPERSEDES
from nestvec._collections.superseded import advice, superseding, superseding_spec
from nestvec._documents.search import check_texts
from nestvec._migration import dropping, planning, tidy
from nestvec._migration.candidate import pinned
from nestvec._migration.engine import MigrationJob, counted, migrate
from nestvec._migration.estimate import EstimateRequest, estimate
from nestvec._migration.generations import (
    CollectionLocations,
    Generation,
    GenerationRole,
    Generations,
    find_generations,
    generations_on,
)
from nestvec._migration.report import MigrationPlan, MigrationReport, MigrationStage
from nestvec._migration.resources import MigrationResources, texts_of
from nestvec._migration.routes import Route, Way, route
from nestvec._migration.switch import finish
from nestvec.encoding.sizes import check_dimensions
from nestvec.errors import CollectionNotFound, ConfigError, Unsupported

if TYPE_CHECKING:
    from nestvec._collections.services import ClientServices
    from nestvec._collections.write_fence import GenerationPlace
    from nestvec._migration.dropping import DropReport
    from nestvec._migration.report import ProgressCallback
    from nestvec._migration.tidy import GenerationStatus, Removal
    from nestvec._specs import CollectionSpec
    from nestvec.config import Config
    from nestvec.types import Document


@dataclass(frozen=True, slots=True)
class Lifecycle:
    """One collection of a configuration, to be changed as a whole. `progress` hears each stage of a migration."""

    client: ClientServices
    name: str
    progress: ProgressCallback | None = None

    @property
    def config(self) -> Config:
        """The client's."""
        return self.client.config

    @property
    def spec(self) -> CollectionSpec:
        """What it should be. Raises `InvalidName`, and `Unsupported` where it is not nestvec's own."""
        spec = spec_named(self.config, self.name)
        planning.require_migratable(spec)
        return spec

    @property
    def previous(self) -> CollectionSpec | None:
        """What it was before, if the configuration says so."""
        return self.config.previous.get(self.name)

    # ------------------------------------------------------------------ what the clients offer

    async def plan(self, documents: Iterable[Document]) -> MigrationPlan:
        """What a migration would do and cost; see `nestvec._migration.estimate`. `documents` have missing texts."""
        wanted = self.spec
        request = EstimateRequest(
            self._locations(wanted),
            self.config.embedder(wanted.embedder).price,
            await self._resources.token_counter(wanted.embedder),
            self.config.path.parent if self.config.path is not None else None,
            [each.capabilities for each in self.config.embedders.values()],
            await self.client.outside(texts_of, documents),
        )
        return await estimate(request)

    @staticmethod
    async def all_generations(client: ClientServices, names: Iterable[str]) -> list[GenerationStatus]:
        """All generations of the collections that are named, or of all that nestvec made."""
        chosen = list(names) or [name for name, spec in client.config.collections.items() if spec.foreign is None]
        return [each for name in chosen for each in await Lifecycle(client, name).generations()]

    async def generations(self) -> list[GenerationStatus]:
        """All generations: on its backend, and on the one where it was."""
        return await tidy.statuses(self._locations(spec_named(self.config, self.name)))

    async def cleanup(
        self, *, generation: int | None, among: Iterable[GenerationStatus] | None, dry: bool
    ) -> list[Removal]:
        """Remove what migrations left; see `nestvec._migration.tidy`."""
        locations = self._locations(spec_named(self.config, self.name))
        return await tidy.cleanup(locations, number=generation, among=among, dry=dry)

    async def drop(self, *, among: Iterable[GenerationStatus] | None, dry: bool) -> DropReport:
        """Remove the collection; see `nestvec._migration.tidy`."""
        locations = self._locations(spec_named(self.config, self.name))
        return await dropping.drop(locations, among=among, dry=dry)

    async def migrate(self, questions: Sequence[str], documents: Iterable[Document]) -> MigrationReport:
        """From what is live to what the configuration says."""
        check_texts(questions)
        wanted = self.spec
        live, found, ended = await self._look(wanted)
        different = planning.differing(wanted, live, self._open(wanted).capabilities)
        if not planning.migrates(different):
            planning.require_free(live, found, None)
            apply = "only what `nestvec apply` changes in place differs"
            same = "the database holds what the configuration says"
            return await self._already(live, ended, apply if different else same)
        shrunk = await self._shrunk(wanted, live)
        if shrunk is not None:
            planning.require_free(live, found, None)
            return self._nothing(live, f"nothing to do: it {shrunk}")
        texts = await self.client.outside(texts_of, documents)
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
        if not planning.migrates(planning.differing(wanted, live, self._open(wanted).capabilities)):
            planning.require_free(live, found, None)
            return await self._already(live, ended, f"it has {size} dimensions already{_to_write(configured, size)}")
        stored = self._as_stored(live)
        if size > stored.space.dimensions:
            raise _no_growing(self.name, size, stored.space.dimensions)
        way = route(stored, wanted)
        if way.way is Way.EMBED:
            raise _no_shrinking(self.name, size, way)
        note = await superseding(self._at(live.place, configured), size, live.record, live.place.physical)
        notes = {SUPERSEDES: note.to_text()} if note is not None else {}
        return await self._go(wanted, live, found, way, questions, notes=notes)

    async def rollback(self, *, discard: bool) -> MigrationReport:
        """To the generation that the live one came from. `discard`: what was written since is left behind."""
        live, found, ended = await self._look(self.spec)
        origin = planning.origin_of(live)
        if live.note is not None and live.note.back:
            planning.require_free(live, found, None)
            if ended:
                return await self._already(live, ended)
            return self._nothing(live, f"nothing to do: it was gone back to already, from {origin}")
        chosen = await self._generation(origin)
        stored = self._as_stored(chosen)
        wanted = self._resources.with_embedder(stored) or stored
        way = route(self._as_stored(live), wanted)
        every = Generations((*found.all, chosen))
        return await self._go(wanted, live, every, way, (), chosen=chosen, leaves=discard, back=True)

    # ------------------------------------------------------------------ looking

    @property
    def _resources(self) -> MigrationResources:
        return MigrationResources(self.client, self.name)

    def _open(self, spec: CollectionSpec) -> OpenCollection:
        return OpenCollection(
            collection_state(self.config, spec, self.client.runtime), self.client.session(spec.backend, spec.embedder)
        )

    def _at(self, place: GenerationPlace, spec: CollectionSpec) -> OpenCollection:
        """On the backend of a generation, whatever the spec says."""
        return self._open(replace(spec, backend=place.backend))

    def _locations(self, wanted: CollectionSpec) -> CollectionLocations:
        before = self.previous
        return CollectionLocations(self._open(wanted), None if before is None else self._open(before))

    async def _look(self, wanted: CollectionSpec) -> tuple[Generation, Generations, bool]:
        """The live generation, all of them, and whether an interrupted switch had to be brought to its end first."""
        locations = self._locations(wanted)
        found = await find_generations(locations)
        half = found.half_switched
        if half is not None:
            await self._finish(half)
            found = await find_generations(locations)
        return found.the_live(wanted), found, half is not None

    async def _finish(self, half: Generation) -> None:
        """Bring a switch to its end that broke off after the alias had moved."""
        if half.note is not None:
            origin = half.note.source
            self._require_backend(origin)
            source, target = self._at(origin, self.spec), self._at(half.place, self.spec)
            await finish(source.backend, origin, target, half.place, half.note)

    async def _generation(self, place: GenerationPlace) -> Generation:
        """The one at a place. Raises `CollectionNotFound`."""
        self._require_backend(place)
        for each in await generations_on(self._at(place, self.spec)):
            if each.place == place:
                return each
        raise CollectionNotFound(
            f"collection {self.name!r} cannot go back: {place}, where it came from, is no longer there (cleaned up). "
            f"To have it as it was, set the configuration back and run `nestvec migrate {self.name}`. Nothing was "
            f"changed"
        )

    def _require_backend(self, place: GenerationPlace) -> None:
        if place.backend not in self.config.backends:
            raise ConfigError(
                f"collection {self.name!r} came from {place}, and the configuration has no [backends.{place.backend}]: "
                f"put that block back"
            )

    async def _shrunk(self, wanted: CollectionSpec, live: Generation) -> str | None:
        """What to write into the configuration if the live generation is what it says, shrunk."""
        if live.place.backend != wanted.backend or planning.is_previous(self.previous, live):
            return None
        collection = self._open(wanted)
        shrunk = await superseding_spec(collection, live.record, live.place.physical)
        if shrunk is None:
            return None
        planning.require_only_shrunk(shrunk, live, collection.capabilities)
        return advice(wanted, live.record)

    def _as_stored(self, generation: Generation) -> CollectionSpec:
        """The spec of a generation; what no record keeps is as it was before or is now."""
        before = self.previous
        known = before is not None and planning.is_previous(before, generation)
        return planning.spec_of(generation, before if before is not None and known else self.spec)

    # ------------------------------------------------------------------ going

    def _nothing(self, live: Generation, reason: str, *, switched: bool = False) -> MigrationReport:
        return MigrationReport(self.name, None, reason, live.place, live.place, switched)

    async def _already(self, live: Generation, ended: bool, reason: str = "") -> MigrationReport:
        if not ended or live.note is None:
            return self._nothing(live, f"nothing to do: {reason}")
        report = self._nothing(live, "a switch that was interrupted is done", switched=True)
        return await counted(replace(report, source=live.note.source), self._at(live.place, self.spec))

    async def _go(
        self,
        wanted: CollectionSpec,
        live: Generation,
        found: Generations,
        way: Route,
        questions: Sequence[str],
        *,
        chosen: Generation | None = None,
        leaves: bool = False,
        back: bool = False,
        notes: Mapping[str, str] | None = None,
        texts: Mapping[str, str] | None = None,
    ) -> MigrationReport:
        chosen = chosen or planning.reusable(wanted, live, found)
        planning.require_free(live, found, chosen)
        resources, stored = self._resources, self._as_stored(live)
        before, after = resources.with_embedder(stored), resources.with_embedder(wanted)
        source, target = before or stored, after or wanted
        if way.way is Way.EMBED and after is not None and (chosen is None or chosen.role is GenerationRole.CANDIDATE):
            # What it lacks, such as its key, is told before anything is made.
            await self.client.embedder(after.embedder)
        job = MigrationJob(
            source=pinned(self._open(source), live.place.physical, live.record),
            origin=live.place,
            target=self._open(target),
            route=way,
            transform=await resources.transform(way, source, target),
            splitter=await resources.splitter(target, needed=way.way is Way.EMBED and after is not None),
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
        return await migrate(job)


def _tell_of_others(job: MigrationJob, found: Generations) -> None:
    """Say which migration is gone on with, and which were begun and are not, because something else is wanted now."""
    if job.chosen is not None and job.chosen.role is GenerationRole.CANDIDATE:
        begun = job.chosen.place.physical
        job.tell(
            MigrationStage.COPYING, f"going on with {begun!r}, which an earlier run began: what it brought over stays"
        )
    others = [each for each in found.others if each.role is GenerationRole.CANDIDATE and each != job.chosen]
    if others:
        listed = ", ".join(str(each.place) for each in others)
        job.tell(
            MigrationStage.COPYING,
            f"left alone, of migrations to something else: {listed}; `nestvec cleanup` drops them",
        )


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
