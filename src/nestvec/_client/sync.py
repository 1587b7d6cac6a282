"""The synchronous client. Safe to share between threads; open a new one after a fork."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from nestvec._client.configuring import as_config, default_values
from nestvec._client.connections import Connections
from nestvec._client.ingestion import DocumentLocks
from nestvec._client.sync_collection import Collection
from nestvec._collections import pending
from nestvec._collections.apply import Change, Status
from nestvec._collections.describing import embedder_named, spec_named
from nestvec._documents.search import embed_texts
from nestvec._session.session import Blocking, complete
from nestvec.config import Config, parse_config
from nestvec.contract import Embedder, FullAdapter
from nestvec.runtime import Runtime

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from nestvec._evaluation.options import DimensionsOptions
    from nestvec._evaluation.report import DimensionsReport
    from nestvec._migration.copy import CopyProgress, CopyReport
    from nestvec._migration.lifecycle import Lifecycle
    from nestvec._migration.report import MigrationPlan, MigrationReport, ProgressCallback
    from nestvec._migration.tidy import GenerationStatus, Removal
    from nestvec._questions import Question
    from nestvec.nesting.fitting import NestReport
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
        self._connections = Connections(config, self._runtime, Blocking(self._runtime.pause))
        self._collections: dict[str, Collection] = {}
        self._locks = DocumentLocks()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<Nestvec {self.config.path or ''} collections={list(self.config.collections)}>"

    def __getitem__(self, name: str) -> Collection:
        """The handle of a collection. Raises `InvalidName` if the configuration does not have it."""
        if name not in self._collections:
            self._collections.setdefault(name, Collection(self, spec_named(self.config, name)))
        return self._collections[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.config.collections)

    def plan(self, *names: str) -> list[Change]:
        """What `apply` would do to each collection (or the named ones). Needs no embedder."""
        return [complete(pending.plan(self[name]._among, self[name]._sessions)) for name in names or self]

    def apply(self, *names: str) -> list[Change]:
        """Create and update collections. Raises `CollectionConflict` before anything is changed.

        A collection that is still what `previous` says is left alone: `Change.action` is "migrate".
        """
        chosen = [self[name] for name in names or self]
        for change, collection in zip(self.plan(*names), chosen, strict=True):
            if change.action == "conflict":
                complete(pending.apply(collection._among, collection._sessions))
        return [complete(pending.apply(collection._among, collection._sessions)) for collection in chosen]

    def status(self, *names: str) -> list[Status]:
        """What is there, counted."""
        return [complete(pending.status(self[name]._among, self[name]._sessions)) for name in names or self]

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
        from nestvec._migration.copy import copy

        self.apply(target)
        origin = complete(self[source]._located())
        place = complete(self[target]._located())
        return complete(copy(origin.of_tenant(namespace), place, page=page, progress=progress))

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
        return complete(embed_texts(self._connections.embedding(name), texts, task, dimensions, fresh=fresh))

    def nest(
        self,
        collection: str | None = None,
        *,
        texts: Iterable[str] | None = None,
        embedder: str | None = None,
        task: str | None = None,
        sample: int = 20_000,
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
        from nestvec.nesting.nest import NestRequest, nest

        request = NestRequest.of(self.config, collection, texts, embedder, task)
        return complete(nest(request, self._connections, sample, seed, progress))

    def plan_migration(self, name: str, *, documents: Iterable[Document] = ()) -> MigrationPlan:
        """What a migration of a collection to what the configuration says would do and cost. Nothing is changed.

        Reads a sample of the stored texts to estimate tokens; no embedder is asked for vectors. `documents` have the
        texts where they are not stored. Raises `CollectionNotFound` where there is nothing to migrate, and
        `CollectionConflict` where namespaces would come or go.
        """
        from nestvec._migration.lifecycle import Lifecycle

        return complete(Lifecycle(self._connections, name).plan(documents))

    def generations(self, *names: str) -> list[GenerationStatus]:
        """All generations of the collections (or the named ones): on their backends, and on those where they were."""
        from nestvec._migration.lifecycle import Lifecycle

        return complete(Lifecycle.all_generations(self._connections, names))

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
        from nestvec._migration.lifecycle import Lifecycle

        return complete(Lifecycle(self._connections, name).cleanup(generation=generation, among=among, dry=dry))

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
        Documents that cannot be brought over are in the report, and then nothing was switched.

        Raises `CollectionNotFound` where there is nothing to migrate, `Unsupported` for an adopted collection and for
        missing texts, `CollectionConflict` while another migration runs, and `CollectionError` where what was brought
        over is not what it should be; nothing was switched then. `MigrationInterrupted` where a backend failed in the
        middle of the switch: run it again.
        """
        return self._take(name, progress, lambda it: it.migrate(questions, documents))

    def shrink(
        self, name: str, dimensions: int, *, questions: Sequence[str] = (), progress: ProgressCallback | None = None
    ) -> MigrationReport:
        """Bring a collection to fewer dimensions, from the stored vectors alone: nothing is embedded.

        Otherwise as `migrate`, with the configuration's other settings. Handles whose configuration still says the
        longer vectors follow; write the new size into it afterwards. Raises `Unsupported` for a size that the model
        has no prefixes of, and where more than the size differs so that texts would have to be embedded.
        """
        return self._take(name, progress, lambda it: it.shrink(dimensions, questions))

    def rollback(
        self, name: str, *, discard: bool = False, progress: ProgressCallback | None = None
    ) -> MigrationReport:
        """Go back to the generation that the collection was migrated or shrunk from.

        What was written, changed and deleted since is brought over, embedded where the vectors differ; with `discard`
        it is left behind. Once back, `migrate` (or `shrink`) goes forward again, with what was written meanwhile.

        Raises `Unsupported` where no migration made the collection, or where an embedder for what was written since is
        not in the configuration, and `CollectionNotFound` where the earlier generation was cleaned up.
        """
        return self._take(name, progress, lambda it: it.rollback(discard=discard))

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
        from nestvec._evaluation.dimensions import dimensions_report
        from nestvec._evaluation.request import DimensionsRequest

        request = DimensionsRequest.of(self.config, collection, texts, embedder, backend, queries, options)
        return complete(dimensions_report(request, self._connections, progress))

    def adapter(self, backend: str) -> FullAdapter:
        """The opened adapter of a backend block, with the core's defaults for powers that it lacks."""
        return complete(self._connections.adapter(backend))

    def embedder(self, name: str) -> Embedder:
        """The opened embedder of an embedder block."""
        return complete(self._connections.embedder(name))

    def close(self) -> None:
        """Close everything that was opened; afterwards the client cannot be used. Safe to call twice."""
        complete(self._connections.close())

    def _take(
        self,
        name: str,
        progress: ProgressCallback | None,
        step: Callable[[Lifecycle], Coroutine[Any, Any, MigrationReport]],
    ) -> MigrationReport:
        """Take a collection through its lifecycle; afterwards, this client's handles look again where it is."""
        from nestvec._migration.lifecycle import Lifecycle

        try:
            return complete(step(Lifecycle(self._connections, name, progress)))
        finally:
            if name in self._collections:
                self._collections[name]._among.forget()


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
