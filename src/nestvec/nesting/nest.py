"""Fitting a rotation for an embedder of the configuration, and keeping it: what `nest` is asked for, and does."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nestvec._artifacts import About, Artifact, check_folder, save
from nestvec._collections.describing import collection_state, embedder_named, spec_named
from nestvec._collections.opening import OpenCollection
from nestvec._collections.services import open_live
from nestvec._documents.sampling import choose_texts, embedded_sample, require_full
from nestvec._specs import NO_EMBEDDER
from nestvec.encoding.rotation import fingerprint, unnest
from nestvec.encoding.tasks import check_task, pair_for
from nestvec.errors import InvalidInput, Unsupported
from nestvec.nesting.fitting import SAMPLE, NestReport, check_nestable, different, fit, sample_to_fit
from nestvec.types import Purpose

if TYPE_CHECKING:
    from nestvec._collections.services import ClientServices
    from nestvec._documents.sampling import SampleProgress
    from nestvec.capabilities import ModelCapabilities
    from nestvec.config import Config, Connection
    from nestvec.types import FloatArray


@dataclass(frozen=True, slots=True)
class NestRequest:
    """What `nest` was asked for: an embedder, where its sample comes from, and the folder of the rotation."""

    connection: Connection[Any]
    collection: str | None
    texts: Iterable[str]
    task: str | None
    folder: Path

    @classmethod
    def of(
        cls,
        config: Config,
        collection: str | None,
        texts: Iterable[str] | None,
        embedder: str | None,
        task: str | None,
    ) -> NestRequest:
        """Raises `InvalidInput`, `InvalidName`, `ConfigError` or `Unsupported` for what cannot be done."""
        if (collection is None) == (texts is None):
            raise InvalidInput("a rotation is fitted on a collection or on texts: give one of them")
        if collection is not None and (embedder is not None or task is not None):
            raise InvalidInput("a collection has its own embedder and task: leave embedder and task out")
        name = embedder_named(config, embedder) if collection is None else spec_named(config, collection).embedder
        if name == NO_EMBEDDER:
            raise Unsupported(
                f"collection {collection!r} has no embedder whose vectors a rotation could nest; fit one on texts, "
                f"with the embedder that is meant"
            )
        connection = config.embedders[name]
        check_nestable(connection.declared)
        if task is None and connection.declared.tasks:
            task = pair_for(connection.declared, Purpose.RETRIEVAL).index
        nesting = connection.nesting
        folder = nesting.artifact.folder if nesting is not None else config.artifacts
        check_folder(folder)  # before anything is embedded
        return cls(connection, collection, texts or (), check_task(connection.declared, task), folder)

    @property
    def raw(self) -> ModelCapabilities:
        """The model without any rotation: its own full vectors."""
        declared: ModelCapabilities = self.connection.declared
        return replace(declared, rotation=None, min_dimensions=declared.dimensions)

    def keep(self, sample: FloatArray, stored_under: FloatArray | None) -> NestReport:
        """Fit on a sample that was stored under a rotation, or is the model's own, and write the artifact."""
        rows = different(sample)
        found = fit(rows if stored_under is None else unnest(rows, stored_under))
        model, name = self.raw, self.connection.name
        source = f"texts, task {self.task}" if self.collection is None else f"collection {self.collection}"
        created = datetime.now(UTC).isoformat(timespec="seconds")
        about = About(model.model, model.dimensions, source, found.vectors, created)
        new = not Artifact(self.folder, fingerprint(found.rotation)).exists
        kept = save(self.folder, found.rotation, about)
        measured = (found.vectors, found.questions, found.searched, found.recall, found.warnings)
        return NestReport(kept.fingerprint, kept.matrix, name, model.model, model.dimensions, new, *measured)


async def nest(
    wanted: NestRequest,
    client: ClientServices,
    sample: int = SAMPLE,
    seed: int = 0,
    progress: SampleProgress | None = None,
) -> NestReport:
    """Fit a rotation on at most `sample` vectors, and keep it in the artifacts' folder.

    Raises `InvalidInput` or `Unsupported` where they do not suffice, and what reading or embedding raises.
    """
    if wanted.collection is not None:
        rows = await _stored(client, wanted.collection, sample, seed, progress)
        return await client.outside(wanted.keep, rows, await client.rotation(wanted.connection))
    chosen = await client.outside(choose_texts, wanted.texts, sample, seed)
    session = replace(client.embedding(wanted.connection.name), model=wanted.raw)
    return await client.outside(wanted.keep, await embedded_sample(session, chosen, wanted.task, progress), None)


async def _stored(
    client: ClientServices, name: str, sample: int, seed: int, progress: SampleProgress | None
) -> FloatArray:
    """Vectors of a collection as the configuration wants it: a rotation is fitted for its embedder."""
    live, spec = await open_live(client, name), spec_named(client.config, name)
    require_full(live, "fit a rotation", "nest")  # says so of one that was shrunk
    if live.spec is not spec:
        session = client.session(spec.backend, spec.embedder)
        live = OpenCollection(collection_state(client.config, spec, client.runtime), session)
    return await sample_to_fit(live, sample, seed, progress)
