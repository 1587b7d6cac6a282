"""The synchronous client. Safe to share between threads; open a new one after a fork."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from nestvec._client.configuring import as_config, default_values, handed_over
from nestvec._client.connections import Connections
from nestvec._client.traveling import TravelingClient
from nestvec._session.session import Blocking, complete
from nestvec.config import parse_config
from nestvec.runtime import Runtime

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from nestvec._client.asynchronous import AsyncNestvec
    from nestvec._client.places import Family
    from nestvec._client.sync_collection import Collection
    from nestvec._collections.apply import Change, Status
    from nestvec._collections.looking import ForeignLook
    from nestvec._evaluation.options import DimensionsOptions
    from nestvec._evaluation.report import DimensionsReport
    from nestvec._migration.copy import CopyProgress, CopyReport
    from nestvec._migration.dropping import DropReport
    from nestvec._migration.lifecycle import Lifecycle
    from nestvec._migration.report import MigrationPlan, MigrationReport, ProgressCallback
    from nestvec._migration.tidy import GenerationStatus, Removal
    from nestvec._questions import Question
    from nestvec.config import Config
    from nestvec.contract import Embedder, FullAdapter
    from nestvec.nesting.fitting import NestReport
    from nestvec.types import Document, FloatArray


def connect(
    source: str | Path | Mapping[str, Any] | Config,
    runtime: Runtime | None = None,
    *,
    embedders: Mapping[str, object] | None = None,
) -> Nestvec:
    """Open a configuration.

    Nothing is connected, and no secret is read, until something needs it.

    Args:
        source: The path of a TOML file; or the same as plain values, nested as in the file; or a `Config` read before.
        runtime: Clocks, lease, retries and plugins, where the defaults do not suit.
        embedders: Embedders of the program by the name that collections have for them, instead of blocks of the file
            (`nestvec.embedders.wrap`).

    Returns:
        A client, to be closed, or used in a `with` statement.

    Raises:
        ConfigError: The file cannot be read, or something in it is wrong; `problems` lists all of it.
        PluginError: A plugin that it names is not installed, or broken.

    Example:
        >>> with nestvec.connect("nestvec.toml") as nv:
        ...     list(nv)
        ['docs', 'archive', 'handbook', 'shared']
    """
    runtime = runtime or Runtime()
    return Nestvec(as_config(source, runtime.registry, embedders), runtime)


class Nestvec(TravelingClient):
    """The collections, backends and embedders of one configuration: what `nestvec.connect` gives.

    Safe to share between threads. Not across a fork: open one in each process (`nestvec.shared_client`). Pickled, it
    travels as its configuration and opens again where it lands; secrets stay, and stores in memory are refused. A copy
    shares what is open, and is closed by itself. Iterating gives the names of the collections. Besides what a method
    says of itself, each may raise what is listed here.

    Attributes:
        config: The configuration, read and checked.

    Raises:
        InvalidName: The configuration has no collection of that name.
        ConfigError, PluginError: A component cannot be opened: its secret is missing, or its library.
        BackendError: The backend cannot be reached, or refuses.
        EmbedderError: The same of the embedder.
    """

    def __init__(
        self,
        config: Config,
        runtime: Runtime | None = None,
        *,
        family: Family | None = None,
        face_of: AsyncNestvec | None = None,
    ) -> None:
        self.config = config
        self._runtime = runtime or Runtime()
        first = face_of._connections if face_of is not None else None
        self._connections: Connections = Connections(
            config, self._runtime, Blocking(self._runtime.pause), family, first
        )
        self._collections: dict[str, Collection] = {}
        self._face = face_of

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<Nestvec {self.config.path or ''} collections={list(self.config.collections)}>"

    def __getitem__(self, name: str) -> Collection:
        """The handle of a collection; nothing is asked for it.

        Args:
            name: A collection of the configuration.

        Returns:
            The same handle each time.

        Raises:
            InvalidName: The configuration has no collection of that name.

        Example:
            >>> nv["docs"].count()
            3
        """
        if name not in self._collections:
            from nestvec._client.sync_collection import Collection
            from nestvec._collections.describing import spec_named

            self._collections.setdefault(name, Collection(self, spec_named(self.config, name)))
        return self._collections[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.config.collections)

    @property
    def aio(self) -> AsyncNestvec:
        """The asynchronous face of this client: the same object each time, over the same stores and local models.

        What it awaits, connections to servers, it opens for itself, when they are needed. It is closed with the client.
        """
        if self._face is None:
            from nestvec._client.asynchronous import AsyncNestvec

            face = AsyncNestvec(self.config, self._runtime, family=self._connections.family, face_of=self)
            with self._connections.family.lock:
                self._face = self._face or face
        return self._face

    def plan(self, *names: str) -> list[Change]:
        """Tell what `apply` would do. Nothing is changed, and no embedder is needed.

        Args:
            names: Collections of the configuration; none: all of them.

        Returns:
            A change for each collection, in the order of `names`, or else of the configuration.

        Raises:
            InvalidName: The configuration has no collection of that name.

        Example:
            >>> [change.action for change in nv.plan("docs", "archive")]
            ['none', 'create']
        """
        from nestvec._collections import pending

        return [complete(pending.plan(self[name]._among, self[name]._sessions)) for name in names or self]

    def apply(self, *names: str) -> list[Change]:
        """Create collections, and update what can be changed in place. Nothing is ever dropped or embedded.

        A collection that is still what `previous` says is left alone: its action is "migrate".

        Args:
            names: Collections of the configuration; none: all of them.

        Returns:
            What was done to each collection, in the order of `names`, or else of the configuration.

        Raises:
            CollectionConflict: One of them cannot be changed in place; none was changed then.
            Unsupported: The server cannot do what the configuration asks for.

        Example:
            >>> [change.action for change in nv.apply("archive")]
            ['create']
        """
        from nestvec._collections import pending

        chosen = [self[name] for name in names or self]
        for change, collection in zip(self.plan(*names), chosen, strict=True):
            if change.action == "conflict":
                complete(pending.apply(collection._among, collection._sessions))
        return [complete(pending.apply(collection._among, collection._sessions)) for collection in chosen]

    def status(self, *names: str) -> list[Status]:
        """Tell what is there, counted: in a collection with namespaces, all of them together.

        Args:
            names: Collections of the configuration; none: all of them.

        Returns:
            A status for each collection, in the order of `names`, or else of the configuration.

        Raises:
            InvalidName: The configuration has no collection of that name.

        Example:
            >>> [(status.collection, status.documents) for status in nv.status("docs", "archive")]
            [('docs', 3), ('archive', None)]
        """
        from nestvec._collections import pending

        return [complete(pending.status(self[name]._among, self[name]._sessions)) for name in names or self]

    def look(
        self,
        collection: str,
        *,
        backend: str | None = None,
        vector: str | None = None,
        namespace: str | None = None,
    ) -> ForeignLook:
        """Look at a collection that somebody else made, and propose how to adopt it. Nothing is changed or embedded.

        Args:
            collection: Its own name, or that of a block that adopts it.
            backend: A block `[backends.NAME]`; None: the only one, or that of the collection's block.
            vector: The vector that is meant, where it has several.
            namespace: The part that is meant, on backends that have such.

        Returns:
            What a sample of its records holds, whose layout that is, and the TOML block to paste.

        Raises:
            CollectionNotFound: There is no such collection.
            CollectionConflict: It is nestvec's own, or cannot be adopted.
            Unsupported: The backend reads only what nestvec made.
            ConfigError: There is no such backend, or several, and none is named.

        Example:
            >>> found = nv.look("articles")
            >>> found.preset, found.records
            ('langchain', 2)
        """
        from nestvec._collections.looking import look

        return complete(look(self._connections.looking(collection, backend, vector, namespace)))

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

        The target is created if it is not there. Records that it already has are left alone, so an interrupted copy
        goes on when it is run again. Counts and a sample are compared at the end. Copy while nobody writes to the
        source.

        Args:
            source: The collection to read.
            target: The collection to write to; its block of the configuration says where, and how it is kept.
            namespace: Of a collection with namespaces, the one to copy; None: all, one after the other.
            page: How many records are read at once, 1 or more.
            progress: Hears how far the copy is, after each page.

        Returns:
            What was written, what was there already, and how much was compared.

        Raises:
            CollectionNotFound: The source does not exist.
            SpaceMismatch: The two are in different spaces: `migrate` is what embeds anew.
            CollectionConflict: They differ in metric or namespaces.
            HostMismatch: The target was filled by a host whose vectors differ.
            CollectionError: The copy is not what it should be.
            InvalidInput: The target is the source itself.
            Unsupported: The target was adopted, or the backend cannot keep what is to be copied.

        Example:
            >>> nv.copy("docs", "archive").written
            3
        """
        from nestvec._documents.settling import TIMEOUT, settle_ingested, warn_unsettled
        from nestvec._migration.copy import copy

        self.apply(target)
        origin = complete(self[source]._located())
        place = complete(self[target]._located())
        report = complete(copy(origin.of_tenant(namespace), place, page=page, progress=progress))
        warn_unsettled(target, complete(settle_ingested(place, TIMEOUT)), TIMEOUT)
        return report

    def embed(
        self,
        texts: Sequence[str],
        *,
        task: str | None = None,
        dimensions: int | None = None,
        embedder: str | None = None,
        fresh: bool = False,
    ) -> FloatArray:
        """Embed texts outside any collection.

        Args:
            texts: Texts that are not blank.
            task: One of the model's tasks, such as "retrieval.query"; None: what the model does without one.
            dimensions: Length of the vectors, as the model offers; None: its full length.
            embedder: A block `[embedders.NAME]`; None: the only one.
            fresh: Compute them now: a cache neither answers nor keeps the answer.

        Returns:
            float32 of shape (texts, dimensions), in the order of `texts`; of length 1, unless the model's are not.

        Raises:
            InvalidInput: A text is blank.
            ConfigError: There is no such embedder, or several, and none is named.
            Unsupported: The model has no such task, or no vectors of that length.

        Example:
            >>> nv.embed(["30 days of vacation"], task="retrieval.passage", dimensions=64).shape
            (1, 64)
        """
        from nestvec._collections.describing import embedder_named
        from nestvec._documents.search import embed_texts

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

        It is fitted on what a full-size collection holds (nothing is embedded), or on texts, and written into the
        artifacts' folder of the configuration. Nothing uses it before the configuration says so: see
        `NestReport.config`.

        Args:
            collection: A collection that holds vectors of full size; give this or `texts`.
            texts: Texts like those that will be stored; they are embedded at full size.
            embedder: For texts: a block `[embedders.NAME]`; None: the only one.
            task: For texts: the task to embed them for; None: that of stored texts in retrieval.
            sample: How many vectors are taken at most, 1 or more.
            seed: Another number takes another sample; the same one takes the same.
            progress: Hears how many vectors there are, and how many there will be.

        Returns:
            Where the rotation is, how to use it, and what prefixes gain by it.

        Raises:
            Unsupported: The model was trained for prefixes, or the collection is truncated already.
            InvalidInput: The vectors do not suffice, or not exactly one of `collection` and `texts` is given.

        Example:
            >>> report = nv.nest(texts=[f"Invoice no. {n}" for n in range(120)])
            >>> report.dimensions, report.vectors
            (384, 120)
        """
        from nestvec.nesting.nest import NestRequest, nest

        request = NestRequest.of(self.config, collection, texts, embedder, task)
        return complete(nest(request, self._connections, sample, seed, progress))

    def plan_migration(self, name: str, *, documents: Iterable[Document] = ()) -> MigrationPlan:
        """Tell what a migration to what the configuration says would do and cost. Nothing is changed.

        A sample of the stored texts is read to estimate tokens; no embedder is asked for vectors.

        Args:
            name: A collection of the configuration.
            documents: The texts, where they are not stored.

        Returns:
            The way, and estimates of tokens, requests, money and time.

        Raises:
            CollectionNotFound: There is nothing to migrate.
            CollectionConflict: Namespaces would come or go.
            Unsupported: The collection was adopted.

        Example:
            >>> plan = nv.plan_migration("handbook")
            >>> plan.way, plan.tokens
            (<Way.DERIVE: 'derive'>, 0)
        """
        from nestvec._migration.lifecycle import Lifecycle

        return complete(Lifecycle(self._connections, name).plan(documents))

    def generations(self, *names: str) -> list[GenerationStatus]:
        """List the generations of collections: on their backends, and on those where they were before.

        Args:
            names: Collections of the configuration; none: all of them.

        Returns:
            Generations by collection, oldest first; those on the backend where it was before come first.

        Raises:
            InvalidName: The configuration has no collection of that name.

        Example:
            >>> [(each.physical, each.role.value) for each in nv.generations("docs")]
            [('docs_1', 'live')]
        """
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
        """Remove what migrations left of a collection: retired generations, and what was broken off.

        Afterwards there is no way back to a generation that is gone. The live one is never removed, nor one that was
        left less than a lease ago: it is named with the reason.

        Args:
            name: A collection of the configuration.
            generation: The number of the only one to remove, even if a migration would go on with it; None: all of
                them.
            among: Remove no others than these: those that somebody agreed to.
            dry: Only tell what would be removed.

        Returns:
            What was done with each generation but the live one, and why.

        Raises:
            CollectionNotFound: No generation is live.
            InvalidInput: There is no generation of that number.
            CollectionConflict: It is the live one, or a migration is switching.
            Unsupported: The collection was adopted.

        Example:
            >>> nv.cleanup("docs", dry=True)
            []
        """
        from nestvec._migration.lifecycle import Lifecycle

        return complete(Lifecycle(self._connections, name).cleanup(generation=generation, among=among, dry=dry))

    def drop(self, name: str, *, among: Iterable[GenerationStatus] | None = None, dry: bool = False) -> DropReport:
        """Remove a collection from the database: all generations of it, its documents, notes and alias.

        There is no way back, and no copy. Of an adopted collection only nestvec's own record goes: nothing of others'
        is touched. The configuration stays: `apply` creates the collection anew. Stop whoever writes to it first.

        Args:
            name: A collection of the configuration.
            among: Do nothing if there are other generations than these: those that somebody agreed to.
            dry: Only tell what would go.

        Returns:
            What is gone, or would be. It is not `done` where something changed meanwhile: drop again then.

        Raises:
            CollectionNotFound: There is none.
            CollectionConflict: A migration is at work or was interrupted, a record cannot be read, or there are other
                generations by now.
            CollectionMoved: It was migrated to another place, which the configuration does not know.

        Example:
            >>> nv.drop("docs", dry=True).documents
            3
            >>> [each.generation.physical for each in nv.drop("docs").generations]
            ['docs_1']
        """
        from nestvec._migration.lifecycle import Lifecycle

        try:
            return complete(Lifecycle(self._connections, name).drop(among=among, dry=dry))
        finally:
            if name in self._collections:
                self._collections[name]._among.forget()

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

        Args:
            name: A collection of the configuration.
            questions: Asked before and after, to compare what is found; none: stored documents ask.
            documents: The texts, where they are not stored; all of them are kept in memory.
            progress: Hears each stage, and how far it is.

        Returns:
            What was done. With documents in `failed` nothing was switched: `switched` is False.

        Raises:
            CollectionNotFound: There is nothing to migrate.
            Unsupported: The collection was adopted, or texts are missing.
            CollectionConflict: Another migration is running, or namespaces would come or go.
            CollectionError: What was brought over is not what it should be; nothing was switched.
            MigrationInterrupted: A backend failed in the middle of the switch: run it again.

        Example:
            >>> report = nv.migrate("handbook", questions=["How many days of vacation?"])
            >>> report.switched, report.documents, nv["handbook"].space.dimensions
            (True, 2, 128)
        """
        return self._take(name, progress, lambda it: it.migrate(questions, documents))

    def shrink(
        self, name: str, dimensions: int, *, questions: Sequence[str] = (), progress: ProgressCallback | None = None
    ) -> MigrationReport:
        """Bring a collection to fewer dimensions, from the stored vectors alone: nothing is embedded.

        Otherwise as `migrate`, with the configuration's other settings. Handles whose configuration still says the
        longer vectors follow; write the new size into it afterwards.

        Args:
            name: A collection of the configuration.
            dimensions: The new length: fewer than now, and at least the model's shortest prefix.
            questions: Asked before and after, to compare what is found; none: stored documents ask.
            progress: Hears each stage, and how far it is.

        Returns:
            What was done, as of `migrate`.

        Raises:
            Unsupported: The model has no prefixes of that length, or more than the size differs.
            CollectionNotFound, CollectionConflict, CollectionError, MigrationInterrupted: As for `migrate`.

        Example:
            >>> nv.shrink("docs", 64).target
            GenerationPlace(backend='store', physical='docs_2')
            >>> nv["docs"].search("vacation", limit=1)[0].document_id
            'vacation'
        """
        return self._take(name, progress, lambda it: it.shrink(dimensions, questions))

    def rollback(
        self, name: str, *, discard: bool = False, progress: ProgressCallback | None = None
    ) -> MigrationReport:
        """Go back to the generation that the collection was migrated or shrunk from.

        What was written, changed and deleted since is brought over, embedded where the vectors differ. Once back,
        `migrate` (or `shrink`) goes forward again, with what was written meanwhile.

        Args:
            name: A collection of the configuration.
            discard: Leave behind what was written since.
            progress: Hears each stage, and how far it is.

        Returns:
            What was done, as of `migrate`.

        Raises:
            Unsupported: No migration made the collection, or an embedder for what was written since is not configured.
            CollectionNotFound: The earlier generation was cleaned up.
            CollectionConflict, CollectionError, MigrationInterrupted: As for `migrate`.

        Example:
            >>> nv.shrink("docs", 64).switched, nv.rollback("docs").target.physical
            (True, 'docs_1')
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

        Measured on vectors that a full-size collection holds, or on texts, which are embedded once, at full size.
        Nothing is written, except with `time` or `funnels` in the options: then vectors go into a temporary collection,
        which is dropped afterwards.

        Args:
            collection: A collection that holds vectors of full size; give this or `texts`.
            texts: Strings, or documents, each of them embedded as a whole.
            embedder: For texts: a block `[embedders.NAME]`; None: the only one.
            backend: For texts: a block `[backends.NAME]`, to measure times and funnels on; None: the only one.
            queries: Questions, embedded as such; None: some of the texts, which are then held out.
            options: What to measure, and how.
            progress: Hears how many vectors there are, and how many there will be.

        Returns:
            Quality and bytes of each size, and which one to take.

        Raises:
            Unsupported: The collection is truncated already.
            InvalidInput: There are too few texts, or documents that answer questions are missing.
            ConfigError: There are several embedders or backends, and none is named.

        Example:
            >>> options = nestvec.DimensionsOptions(k=2)
            >>> report = nv.dimensions(texts=[f"Invoice no. {n}" for n in range(30)], options=options)
            >>> [point.dimensions for point in report.curves[-1].points]
            [32, 64, 128, 256, 384]
        """
        from nestvec._evaluation.dimensions import dimensions_report
        from nestvec._evaluation.request import DimensionsRequest

        request = DimensionsRequest.of(self.config, collection, texts, embedder, backend, queries, options)
        return complete(dimensions_report(request, self._connections, progress))

    def adapter(self, backend: str) -> FullAdapter:
        """The opened adapter of a backend, with the core's defaults for powers that it lacks.

        Args:
            backend: A block `[backends.NAME]`.

        Returns:
            What answers the contract's requests (`nestvec.contract`), each method called plainly, whatever the plugin
            wrote; the client closes it.

        Raises:
            ConfigError: The configuration has no such block.

        Example:
            >>> from nestvec.contract import Count
            >>> nv.adapter("store").count(Count("docs_1"))
            3
        """
        from nestvec._session.blocking import blocking

        return blocking(complete(self._connections.adapter(backend)))

    def embedder(self, name: str) -> Embedder:
        """The opened embedder of a block `[embedders.NAME]`.

        Args:
            name: The block's name.

        Returns:
            What answers `nestvec.contract.Encode`; the client closes it.

        Raises:
            ConfigError: The configuration has no such block.

        Example:
            >>> nv.embedder("model").count_tokens() is None
            False
        """
        from nestvec._session.blocking import blocking

        return blocking(complete(self._connections.embedder(name)))

    def close(self) -> None:
        """Close everything that was opened; afterwards the client cannot be used. Safe to call twice.

        Its other face is closed with it. A face that is closed by itself only lets go of what it opened, and opens it
        again when it is used. An embedded store that other clients of this process use stays open for them.

        Example:
            >>> nv.close()
        """
        if not self._opened:
            self._close_unopened()
            return
        try:
            complete(self._connections.close())
        finally:
            if self._face is not None and self._connections.first is None:
                from nestvec._client.faces import close_face

                close_face(self._face._connections)

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
    embedder: object = None,
    model: str | None = None,
    runtime: Runtime | None = None,
    **settings: Any,
) -> Collection:
    """A collection on the embedded default stack, without any configuration.

    It is created if it is not there. Close it, or use it in a `with` statement.

    Args:
        name: The collection's name.
        path: A folder to keep it in; None: in memory.
        dimensions: Length of the stored vectors; None: the model's full length.
        purpose: "retrieval", "matching", "clustering" or "classification"; None: retrieval.
        fields: Metadata fields to filter on, and their types: "keyword", "integer", "float", "boolean", "datetime", or
            a list of them, as "keyword[]".
        embedder: An embedder of your own: what `nestvec.embedders.wrap` takes or gives; "none": vectors come with
            documents and questions. None: the embedded default.
        model: The name of the space of an embedder that is not wrapped yet, or of the model that made the vectors.
        runtime: Clocks, lease, retries and plugins, where the defaults do not suit.
        settings: Other keys of a `[collections.NAME]` block.

    Returns:
        A handle, which closes what it opened.

    Raises:
        ConfigError: A setting is wrong, or no embedded stack is installed.
        CollectionConflict: The folder has a collection of that name with other settings.
        BackendLocked: Another process holds the folder.

    Example:
        >>> with nestvec.collection("notes", fields={"lang": "keyword"}) as notes:
        ...     notes.upsert(Document("a", "Bonjour", {"lang": "fr"})).documents
        1
    """
    runtime = runtime or Runtime()
    block = {"dimensions": dimensions, "purpose": purpose, "fields": fields, **settings}
    given = handed_over(embedder, model)
    if isinstance(embedder, str):
        block["model"] = model
    values = default_values(runtime.registry, name, path, block, embedder)
    config = parse_config(values, runtime.registry, embedders=given)
    owner = Nestvec(config, runtime)
    try:
        owner.apply()
    except BaseException:
        owner.close()
        raise
    return owner[name]._owning()
