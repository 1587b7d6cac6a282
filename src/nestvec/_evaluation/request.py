"""What `dimensions` is asked for: checked, gathered, and measured."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from nestvec._artifacts import is_fingerprint
from nestvec._collections.describing import embedder_named, spec_named
from nestvec._collections.opening import OpenCollection
from nestvec._evaluation.gathering import (
    AskedQuestions,
    GatheredVectors,
    SampledTexts,
    choose_entries,
    gather_stored,
    gather_texts,
    labels,
)
from nestvec._evaluation.measure import Trial
from nestvec._evaluation.measurement import NESTED, PLAIN, DimensionsMeasurement
from nestvec._evaluation.options import DimensionsOptions
from nestvec._evaluation.study import Study
from nestvec._questions import Question
from nestvec._specs import CollectionSpec
from nestvec.capabilities import ModelCapabilities, TaskPair
from nestvec.config import Config, Connection
from nestvec.config.additions import NestingBlock
from nestvec.config.nesting import find_nesting
from nestvec.encoding.rotation import fingerprint, fit_rotation, unnest
from nestvec.encoding.tasks import pair_for
from nestvec.encoding.vectors import nest
from nestvec.errors import ConfigError, InvalidInput
from nestvec.nesting.fitting import check_nestable, shortfall
from nestvec.spaces import space_of
from nestvec.types import Document, Purpose

if TYPE_CHECKING:
    from nestvec._documents.sampling import SampleProgress
    from nestvec._session.session import Session
    from nestvec.types import FloatArray


@dataclass(frozen=True, slots=True)
class DimensionsRequest:
    """What `dimensions` was asked for, checked. `spec` is the collection's, or what one of the embedder would be."""

    connection: Connection[Any]
    spec: CollectionSpec
    collection: str | None
    texts: Iterable[str | Document] | None
    asked: AskedQuestions | None
    options: DimensionsOptions
    #: The fingerprint and the matrix of a rotation to measure with.
    chosen: tuple[str, FloatArray] | None = None

    @classmethod
    def of(
        cls,
        config: Config,
        collection: str | None,
        texts: Iterable[str | Document] | None,
        embedder: str | None,
        backend: str | None,
        queries: Iterable[str | Question] | None,
        options: DimensionsOptions | None,
    ) -> DimensionsRequest:
        """Raises `InvalidInput`, `InvalidName`, `ConfigError` or `Unsupported` for what cannot be done."""
        wanted = options or DimensionsOptions()
        wanted.check()
        spec = _measured(config, collection, texts, embedder, backend, wanted)
        asked = AskedQuestions.of(queries, wanted) if queries is not None else None
        return cls(config.embedder(spec.embedder), spec, collection, texts, asked, wanted)

    def at(self, config: Config, collection: OpenCollection | None) -> DimensionsRequest:
        """The same of the collection as it is now, which may not be what is wanted. Raises as `of` does."""
        spec = self.spec if collection is None else collection.spec
        connection, model, options = config.embedder(spec.embedder), spec.model, self.options
        options.sizes(model.min_dimensions, model.dimensions)
        options.stages(model.dimensions)
        chosen = _rotation(config, connection, options.rotation) if options.rotation is not None else None
        return replace(self, connection=connection, spec=spec, chosen=chosen)

    @property
    def source(self) -> str:
        """Where the texts come from."""
        return f"collection {self.collection}" if self.collection is not None else "texts"

    @property
    def queries(self) -> str:
        """Where the questions come from."""
        return "given questions" if self.asked is not None else "texts of the sample, held out"

    @property
    def model(self) -> ModelCapabilities:
        """The model, under the rotation that it is used with."""
        return self.spec.model

    @property
    def fits(self) -> bool:
        """Whether a rotation is to be fitted on the spot: the model has no prefixes, and none was named."""
        return not self.model.matryoshka and self.model.rotation is None and self.chosen is None

    def choose(self) -> SampledTexts | None:
        """Read the texts, if that is what is measured on. Takes as long as they do."""
        return choose_entries(self.texts, self.options, self.asked) if self.texts is not None else None

    async def gather(
        self, place: OpenCollection | Session, texts: SampledTexts | None, progress: SampleProgress | None
    ) -> GatheredVectors:
        """All vectors: of what a collection holds, or of texts, which are embedded through a session."""
        if isinstance(place, OpenCollection):
            return await gather_stored(place, self.asked, self.options, fit=self.fits, progress=progress)
        tasks = TaskPair(self.spec.space.index_task, self.spec.space.query_task)
        assert texts is not None  # noqa: S101 - either a collection or texts
        return await gather_texts(place, tasks, texts, self.asked, self.options, fit=self.fits, progress=progress)

    def measure(self, gathered: GatheredVectors, stored_under: FloatArray | None) -> DimensionsMeasurement:
        """All curves. `stored_under`: the rotation by which the vectors are turned already."""
        space = self.spec.space
        numbers, relevant = labels(gathered.asked)
        given = Trial(
            gathered.questions,
            gathered.rows,
            gathered.documents,
            numbers,
            relevant,
            self.spec.metric,
            normalized=space.normalized,
        )
        trials, rotations, why = self._bases(given, gathered.fitted, stored_under)
        sizes = self.options.sizes(self.model.min_dimensions, self.model.dimensions)
        return DimensionsMeasurement(self, gathered, Study(trials, rotations, sizes, self.options), why)

    def _bases(
        self, given: Trial, fitted: FloatArray, stored_under: FloatArray | None
    ) -> tuple[dict[str, Trial], dict[str, str], tuple[str, ...]]:
        """The vectors plain and nested, the rotation's fingerprint, and why there is no nested curve."""
        own = self.model.rotation
        if own is None or stored_under is None:
            plain = given
        else:
            plain = given.turned(unnest(given.questions, stored_under), unnest(given.rows, stored_under))
            if self.chosen is None:
                return {PLAIN: plain, NESTED: given}, {NESTED: own}, ()
        if self.chosen is None and not self.fits:
            return {PLAIN: plain}, {}, ()
        if self.chosen is None:
            lacking = shortfall(fitted)
            if lacking is not None:
                return {PLAIN: plain}, {}, (f"there is no nested curve: of the sample's texts, {lacking}",)
            rotation = fit_rotation(fitted)
            name = fingerprint(rotation)
        else:
            name, rotation = self.chosen
        nested = given.turned(nest(plain.questions, rotation), nest(plain.rows, rotation))
        return {PLAIN: plain, NESTED: nested}, {NESTED: name}, ()


def _measured(
    config: Config,
    collection: str | None,
    texts: Iterable[str | Document] | None,
    embedder: str | None,
    backend: str | None,
    options: DimensionsOptions,
) -> CollectionSpec:
    """The spec of the collection, or what one of the embedder would be."""
    if (collection is None) == (texts is None):
        raise InvalidInput("dimensions are measured on a collection or on texts: give one of them")
    if isinstance(texts, str | bytes):
        raise InvalidInput("texts are a list of them, not one text")
    if collection is None:
        connection = config.embedder(embedder_named(config, embedder))
        return _spec_of(config, connection, backend, on_backend=options.time or bool(options.funnels))
    if embedder is not None or backend is not None:
        raise InvalidInput("a collection has its own embedder and backend: leave embedder and backend out")
    return spec_named(config, collection)


def _spec_of(config: Config, connection: Connection[Any], backend: str | None, *, on_backend: bool) -> CollectionSpec:
    """What a collection for retrieval would be with this embedder."""
    model = connection.capabilities
    if backend is None and len(config.backends) == 1:
        backend = next(iter(config.backends))
    if backend is None and on_backend:
        raise ConfigError(
            f"say on which backend to measure: the configuration has {', '.join(config.backends) or 'none'}"
        )
    if backend is not None and backend not in config.backends:
        raise ConfigError(
            f"the configuration has no backend {backend!r}; it has {', '.join(config.backends) or 'none'}"
        )
    tasks = pair_for(model, Purpose.RETRIEVAL)
    return CollectionSpec("texts", space_of(model, model.dimensions, tasks), model, backend or "", connection.name)


def _rotation(config: Config, connection: Connection[Any], wanted: str) -> tuple[str, FloatArray]:
    """An artifact that the user names."""
    check_nestable(connection.declared)
    if not is_fingerprint(wanted):
        raise InvalidInput(f"rotation: {wanted!r:.80} is no fingerprint; it has 16 of the digits 0-9 and a-f")
    found = find_nesting(NestingBlock(rotation=wanted), config.artifacts, connection.declared)
    return wanted, found.artifact.load()
