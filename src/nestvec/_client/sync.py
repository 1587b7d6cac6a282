"""The synchronous client. Safe to share between threads; open a new one after a fork."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from nestvec._client.base import (
    InFlight,
    Nest,
    Runtime,
    as_config,
    closed,
    default_values,
    embed,
    embedder_named,
    importing,
    spec_named,
    wrapping,
)
from nestvec._client.steps import SyncSteps
from nestvec._client.sync_collection import Collection
from nestvec._collections import pending
from nestvec._collections.apply import Change, Status
from nestvec._evaluation.request import Request
from nestvec._evaluation.sampling import choose_texts, embedded_sample, require_full
from nestvec._migration.asking import asked_of, at_hand, backends_of, own_names, sides_of
from nestvec._migration.copy import CopyProgress, CopyReport, copy
from nestvec._migration.estimate import estimate
from nestvec._migration.lifecycle import Lifecycle, Steps
from nestvec._migration.report import MigrationPlan, MigrationReport, ProgressCallback
from nestvec._migration.scenes import Sides
from nestvec._migration.tidy import GenerationStatus, Removal, cleanup, statuses
from nestvec._session.sync import PairPorts, Ports, run
from nestvec.config import Config, Connection, parse_config
from nestvec.contract import Adapter, Embedder
from nestvec.nesting.embedder import own_rotation
from nestvec.nesting.fitting import SAMPLE, NestReport, sample_to_fit

if TYPE_CHECKING:
    from nestvec._evaluation.options import DimensionsOptions, Question
    from nestvec._evaluation.report import DimensionsReport
    from nestvec.types import Document, FloatArray


__all__ = ["Collection", "Nestvec", "collection", "connect"]


def connect(source: str | Path | Mapping[str, Any] | Config, runtime: Runtime | None = None) -> Nestvec:
    """Open a configuration: the path of a TOML file, or the same as plain values.

    Nothing is connected, and no secret read, until something needs it. Raises `ConfigError`.
    """
    runtime = runtime or Runtime()
    return Nestvec(as_config(source, runtime.registry), runtime)


class Nestvec:
    """The collections, backends and embedders of one configuration.

    Safe to share between threads. Not between processes: open one after a fork, in each process.
    """

    def __init__(self, config: Config, runtime: Runtime | None = None) -> None:
        self.config = config
        self._runtime = runtime or Runtime()
        self._lock = threading.RLock()
        self._adapters: dict[str, Adapter] = {}
        self._embedders: dict[str, Embedder] = {}
        self._collections: dict[str, Collection] = {}
        self._closed = False
        self._in_flight = InFlight()
        self._given_back = threading.Condition()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<Nestvec {self.config.path or ''} collections={list(self.config.collections)}>"

    def __getitem__(self, name: str) -> Collection:
        """The handle of a collection. Raises `InvalidName` if the configuration does not have it."""
        with self._lock:
            if name not in self._collections:
                self._collections[name] = Collection(self, spec_named(self.config, name))
            return self._collections[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.config.collections)

    def plan(self, *names: str) -> list[Change]:
        """What `apply` would do to each collection (or the named ones). Needs no embedder."""
        return [self[name]._across(pending.plan(self[name]._among)) for name in names or self]

    def apply(self, *names: str) -> list[Change]:
        """Create and update collections. Raises `CollectionConflict` before anything is changed.

        A collection that is still what `previous` says is left alone: `Change.action` is "migrate".
        """
        chosen = [self[name] for name in names or self]
        for change, collection in zip(self.plan(*names), chosen, strict=True):
            if change.action == "conflict":
                collection._across(pending.apply(collection._among))
        return [collection._across(pending.apply(collection._among)) for collection in chosen]

    def status(self, *names: str) -> list[Status]:
        """What is there, counted."""
        return [self[name]._across(pending.status(self[name]._among)) for name in names or self]

    def copy(
        self,
        source: str,
        target: str,
        *,
        namespace: str | None = None,
        page: int = 256,
        progress: Callable[[CopyProgress], object] | None = None,
    ) -> CopyReport:
        """Copy a collection into another of the same space, on any backend: vectors, texts, metadata; no embedding.

        The target is created if it is not there; records that it has already are left alone, so an interrupted
        copy goes on. Counts and a sample are compared at the end. Copy while nobody writes to the source. Of a
        collection with namespaces one is copied, or without `namespace` all, one after the other.
        """
        self.apply(target)
        origin, here = self[source]._live()
        place, there = self[target]._live()
        flow = copy(origin, place, namespace, page=page, progress=progress)
        return run(flow, PairPorts(here, there))

    def embed(
        self,
        texts: Sequence[str],
        *,
        task: str | None = None,
        dimensions: int | None = None,
        embedder: str | None = None,
        fresh: bool = False,
    ) -> FloatArray:
        """Embed texts outside any collection: float32 of shape (texts, dimensions). `fresh`: whatever is cached."""
        name = embedder_named(self.config, embedder)
        model = self.config.embedders[name].capabilities
        return run(embed(model, texts, task, dimensions, fresh=fresh), self._ports(None, name))

    def nest(
        self,
        collection: str | None = None,
        *,
        texts: Iterable[str] | None = None,
        embedder: str | None = None,
        task: str | None = None,
        sample: int = SAMPLE,
        seed: int = 0,
        progress: Callable[[int, int], object] | None = None,
    ) -> NestReport:
        """Fit a rotation that gives Matryoshka prefixes to a model that was not trained for them, and keep it.

        On vectors that a full-size `collection` holds (nothing is embedded), or on `texts`, which are embedded at full
        size with `task` (default: that of stored texts in retrieval). At most `sample` of them are taken, the same for
        the same `seed`. The rotation is written into the artifacts' folder of the configuration; nothing uses it before
        the configuration says so (see `NestReport.config`). `progress` hears how many vectors there are, and will be.

        Raises `Unsupported` for a model that was trained for prefixes and for a collection that is truncated already,
        and `InvalidInput` where the vectors do not suffice.
        """
        wanted = Nest.of(self.config, collection, texts, embedder, task)
        if collection is not None:
            handle = self[collection]
            require_full(handle._live()[0], "fit a rotation", "nest")  # says so of one that was shrunk
            rows = handle._run(sample_to_fit(handle._binding, sample, seed, progress))
            return wanted.keep(rows, self._rotation(wanted.connection))
        flow = embedded_sample(wanted.raw, choose_texts(texts or (), sample, seed), wanted.task, progress)
        return wanted.keep(run(flow, replace(self._ports(None, wanted.connection.name), model=wanted.raw)), None)

    def plan_migration(self, name: str, *, documents: Iterable[Document] = ()) -> MigrationPlan:
        """What a migration of a collection to what the configuration says would do and cost. Nothing is changed.

        Reads a sample of the stored texts to estimate tokens; no embedder is asked for vectors. `documents` have the
        texts where they are not stored. Raises `CollectionNotFound` where there is nothing to migrate, and
        `CollectionConflict` where namespaces would come or go.
        """
        sides = sides_of(self.config, name, self._runtime)
        embedder = sides.wanted.spec.embedder
        opened = self.embedder(embedder) if at_hand(self.config.embedders[embedder]) else None
        asked = asked_of(self.config, sides, opened, documents)
        return run(estimate(asked), self._pair(sides))

    def generations(self, *names: str) -> list[GenerationStatus]:
        """All generations of the collections (or the named ones): on their backends, and on those where they were."""
        every = [sides_of(self.config, name, self._runtime) for name in own_names(self.config, names)]
        return [each for sides in every for each in run(statuses(sides), self._pair(sides))]

    def cleanup(
        self,
        name: str,
        *,
        generation: int | None = None,
        among: Iterable[GenerationStatus] | None = None,
        dry: bool = False,
    ) -> list[Removal]:
        """Remove what migrations left of a collection: generations that are retired, and what was broken off.

        With `generation`, that one alone, even if a migration would go on with it. With `among`, no others than these:
        those that somebody agreed to. With `dry`, nothing is removed.
        Afterwards there is no way back to a generation that is gone. The live one is never removed, nor one that was
        left less than a lease ago: it is named with the reason.

        Raises `CollectionNotFound` where no generation is live, `InvalidInput` for a generation that there is not, and
        `CollectionConflict` for the live one, or while a migration switches.
        """
        sides = sides_of(self.config, name, self._runtime)
        flow = cleanup(sides, self._runtime.wall, number=generation, among=among, dry=dry)
        return run(flow, self._pair(sides))

    def migrate(
        self,
        name: str,
        *,
        questions: Sequence[str] = (),
        documents: Iterable[Document] = (),
        progress: ProgressCallback | None = None,
    ) -> MigrationReport:
        """Bring a collection from what it is to what the configuration says, without a pause for readers.

        Another model, task, size, metric, storage, chunking or backend: what is stored is copied, computed or embedded
        anew (see `Way`) into a new generation, which takes the collection's name when it is complete and verified; for
        that, writers wait a lease and the time of a last pass. Run it again after an interruption: it goes on. From
        another backend, or to keep open handles working, the configuration describes what the collection was in
        `[collections.NAME.previous]`.

        `questions` are asked before and after, to compare what is found; without them, stored documents ask.
        `documents` give texts where they are not stored; they are all kept in memory. `progress` hears each stage.
        Documents that can not be brought over are in the report, and then nothing was switched.

        Raises `CollectionNotFound` where there is nothing to migrate, `Unsupported` for an adopted collection and for
        missing texts, `CollectionConflict` while another migration runs, and `CollectionError` where what was brought
        over is not what it should be; nothing was switched then. `MigrationInterrupted` where a backend failed in the
        middle of the switch: run it again.
        """
        lifecycle = Lifecycle(self.config, self._runtime, name, progress)
        return self._take(name, lifecycle.migrate(questions, documents))

    def shrink(
        self, name: str, dimensions: int, *, questions: Sequence[str] = (), progress: ProgressCallback | None = None
    ) -> MigrationReport:
        """Bring a collection to fewer dimensions, from the stored vectors alone: nothing is embedded.

        Otherwise as `migrate`, with the configuration's other settings. Handles whose configuration still says the
        longer vectors follow; write the new size into it afterwards. Raises `Unsupported` for a size that the model
        has no prefixes of, and where more than the size differs so that texts would have to be embedded.
        """
        lifecycle = Lifecycle(self.config, self._runtime, name, progress)
        return self._take(name, lifecycle.shrink(dimensions, questions))

    def rollback(
        self, name: str, *, discard: bool = False, progress: ProgressCallback | None = None
    ) -> MigrationReport:
        """Go back to the generation that the collection was migrated or shrunk from.

        What was written, changed and deleted since is brought over, embedded where the vectors differ; with `discard`
        it is left behind. Once back, `migrate` (or `shrink`) goes forward again, with what was written meanwhile.

        Raises `Unsupported` where no migration made the collection, or where an embedder for what was written since is
        not in the configuration, and `CollectionNotFound` where the earlier generation was cleaned up.
        """
        lifecycle = Lifecycle(self.config, self._runtime, name, progress)
        return self._take(name, lifecycle.rollback(discard=discard))

    def dimensions(
        self,
        collection: str | None = None,
        *,
        texts: Iterable[str | Document] | None = None,
        embedder: str | None = None,
        backend: str | None = None,
        queries: Iterable[str | Question] | None = None,
        options: DimensionsOptions | None = None,
        progress: Callable[[int, int], object] | None = None,
    ) -> DimensionsReport:
        """Measure which size suffices, on data of one's own.

        On vectors that a full-size `collection` holds, or on `texts` (strings, or documents, each of them embedded as a
        whole), which are embedded once, at full size, by `embedder`. The questions are `queries`, embedded as such; or
        without them some of the texts, which are then held out. What to measure, and how, say the `options`. Nothing
        is written, except with `time` or `funnels`: then vectors go into a temporary collection on the collection's
        backend (of texts: on `backend`), which is dropped afterwards. `progress` hears how many vectors there are, and
        will be.

        Raises `Unsupported` for a collection that is truncated already, and `InvalidInput` where there are too few
        texts, or documents that answer questions are missing.
        """
        wanted = Request.of(self.config, collection, texts, embedder, backend, queries, options)
        binding, ports = None, self._ports(wanted.spec.backend, wanted.spec.embedder)
        if collection is not None:
            binding, ports = self[collection]._live()
        wanted = wanted.at(self.config, binding)
        gathered = run(wanted.gather(binding, wanted.choose(), progress), ports)
        measured = wanted.measure(gathered, self._rotation(wanted.connection))
        bench = measured.bench(self.config, self._runtime)
        for probe in bench.probes:
            try:
                bench.note(probe, run(bench.flow(probe), ports))
            finally:
                bench.warn(run(probe.drop(), ports))
        return measured.report(bench)

    def adapter(self, backend: str) -> Adapter:
        """The opened adapter of a backend block."""
        opened: Adapter = self._opened(self._adapters, self.config.backends, backend)
        return opened

    def embedder(self, name: str) -> Embedder:
        """The opened embedder of an embedder block."""
        opened: Embedder = self._opened(self._embedders, self.config.embedders, name)
        return opened

    def close(self) -> None:
        """Close everything that was opened; afterwards the client can not be used. Safe to call twice."""
        with self._lock:
            self._closed = True
            opened: list[Adapter | Embedder] = [*self._adapters.values(), *self._embedders.values()]
            self._adapters.clear()
            self._embedders.clear()
        for component in opened:
            component.close()

    def _opened(self, opened: dict[str, Any], connections: Mapping[str, Any], name: str) -> Any:
        with self._lock:
            if self._closed:
                raise closed()
            if name not in opened:
                connection = connections[name]
                wrap = wrapping(connection, self._runtime)
                with importing(connection.plugin.name):
                    component = connection.plugin.open(connection.options)
                opened[name] = wrap(component)
            return opened[name]

    @contextmanager
    def _writing(self, keys: set[tuple[str, str | None, str]]) -> Iterator[None]:
        with self._given_back:
            self._given_back.wait_for(lambda: self._in_flight.take(keys))
        try:
            yield
        finally:
            with self._given_back:
                self._in_flight.give(keys)
                self._given_back.notify_all()

    def _take(self, name: str, steps: Steps) -> MigrationReport:
        """Take the steps of a migration; afterwards, this client's handles look again where their collections are."""
        try:
            return run(steps, SyncSteps(self))
        finally:
            if name in self._collections:
                self._collections[name]._among.forget()

    def _rotation(self, connection: Connection[Any]) -> FloatArray | None:
        """What an embedder's stored vectors are turned by. It is opened only if the rotation is its plugin's own."""
        if connection.nesting is not None:
            return connection.nesting.artifact.load()
        return own_rotation(self.embedder(connection.name)) if connection.declared.rotation else None

    def _pair(self, sides: Sides) -> PairPorts:
        source, target = (self._ports(backend, sides.wanted.spec.embedder) for backend in backends_of(sides))
        return PairPorts(source, target)

    def _ports(self, backend: str | None, embedder: str) -> Ports:
        return Ports(
            embedder=partial(self.embedder, embedder),
            adapter=partial(self.adapter, backend or ""),
            model=self.config.embedders[embedder].capabilities,
            notify=self._runtime.notify,
            retry=self._runtime.retry,
            clock=self._runtime.clock,
            pause=self._runtime.pause,
        )


def collection(
    name: str,
    *,
    path: str | Path | None = None,
    dimensions: int | None = None,
    purpose: str | None = None,
    fields: Mapping[str, str] | None = None,
    runtime: Runtime | None = None,
    **settings: Any,
) -> Collection:
    """A collection on the embedded default stack, without any configuration: in memory, or on disk at `path`.

    It is created if it is not there. `settings` are those of a `[collections.NAME]` block. Close it, or use
    it in a `with` statement.
    """
    runtime = runtime or Runtime()
    block = {"dimensions": dimensions, "purpose": purpose, "fields": fields, **settings}
    config = parse_config(default_values(runtime.registry, name, path, block), runtime.registry)
    owner = Nestvec(config, runtime)
    try:
        owner.apply()
    except BaseException:
        owner.close()
        raise
    return Collection(owner, config.collections[name], owns=True)
