"""What `dimensions` does besides waiting: checks what is asked, prepares, and reports. Both clients share it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from nestvec.artifacts import is_fingerprint
from nestvec.capabilities import BackendCapabilities, ModelCapabilities, TaskPair
from nestvec.client.base import Runtime, embedder_named, spec_named
from nestvec.config import Config, Connection
from nestvec.config.blocks import FUNNEL_OVERSAMPLING, NestingBlock
from nestvec.config.nesting import find_nesting, least_prefix
from nestvec.dimensions.measure import Trial
from nestvec.dimensions.options import DimensionsOptions, Question
from nestvec.dimensions.report import DimensionsReport, Funnel, Sample, Times
from nestvec.dimensions.study import Basing, Study, times
from nestvec.encoding.matryoshka import nest, truncate
from nestvec.encoding.nesting import fingerprint, fit_rotation, unnest
from nestvec.encoding.tasks import pair_for
from nestvec.errors import ConfigError, InvalidInput
from nestvec.flows.base import Binding, Flow
from nestvec.flows.dimensions import Asked, Gathered, Texts, choose_entries, gather_stored, gather_texts, labels
from nestvec.flows.nest import check_nestable, shortfall
from nestvec.flows.probe import Outcome, Probe
from nestvec.spaces import space_of
from nestvec.specs import CollectionSpec
from nestvec.types import Document, Purpose

if TYPE_CHECKING:
    from nestvec.flows.sampling import Progress
    from nestvec.types import FloatArray

PLAIN, NESTED = "plain", "nested"
#: Questions with which a backend is searched.
_SEARCHED = 200
#: Fewer say little.
_FEW_QUESTIONS, _FEW_TEXTS = 100, 1000
#: From so many times as many texts on, neighbours lie noticeably closer together than in the sample.
_CROWDED = 10


@dataclass(frozen=True, slots=True)
class Request:
    """What `dimensions` was asked for, checked. `spec` is the collection's, or what one of the embedder would be."""

    connection: Connection[Any]
    spec: CollectionSpec
    collection: str | None
    texts: Iterable[str | Document] | None
    asked: Asked | None
    options: DimensionsOptions
    #: A rotation to measure with, and the shortest prefix that it allows.
    chosen: tuple[str, FloatArray] | None
    source: str
    queries: str

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
    ) -> Request:
        """Raises `InvalidInput`, `InvalidName`, `ConfigError` or `Unsupported` for what can not be done."""
        wanted = options or DimensionsOptions()
        wanted.check()
        if (collection is None) == (texts is None):
            raise InvalidInput("dimensions are measured on a collection or on texts: give one of them")
        if isinstance(texts, str | bytes):
            raise InvalidInput("texts are a list of them, not one text")
        if collection is not None:
            if embedder is not None or backend is not None:
                raise InvalidInput("a collection has its own embedder and backend: leave embedder and backend out")
            spec = spec_named(config, collection)
        else:
            name = embedder_named(config, embedder)
            spec = _spec_of(config, config.embedders[name], backend, on_backend=wanted.time or bool(wanted.funnels))
        connection = config.embedders[spec.embedder]
        model = spec.model
        wanted.sizes(model.min_dimensions, model.dimensions)
        wanted.stages(model.dimensions)
        chosen = _rotation(config, connection, wanted.rotation) if wanted.rotation is not None else None
        asked = Asked.of(queries, wanted) if queries is not None else None
        source = f"collection {collection}" if collection is not None else "texts"
        told = "given questions" if asked is not None else "texts of the sample, held out"
        return cls(connection, spec, collection, texts, asked, wanted, chosen, source, told)

    @property
    def model(self) -> ModelCapabilities:
        """The model, under the rotation that it is used with."""
        return self.spec.model

    @property
    def fits(self) -> bool:
        """Whether a rotation is to be fitted on the spot: the model has no prefixes, and none was named."""
        return not self.model.matryoshka and self.model.rotation is None and self.chosen is None

    def choose(self) -> Texts | None:
        """Read the texts, if that is what is measured on. Takes as long as they do."""
        return choose_entries(self.texts, self.options, self.asked) if self.texts is not None else None

    def gather(self, binding: Binding | None, texts: Texts | None, progress: Progress | None) -> Flow[Gathered]:
        """All vectors."""
        if binding is not None:
            return gather_stored(binding, self.asked, self.options, fit=self.fits, progress=progress)
        tasks = TaskPair(self.spec.space.index_task, self.spec.space.query_task)
        assert texts is not None  # noqa: S101 - either a collection or texts
        return gather_texts(self.model, tasks, texts, self.asked, self.options, fit=self.fits, progress=progress)

    def measure(self, gathered: Gathered, stored_under: FloatArray | None) -> Measurement:
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
        return Measurement(self, gathered, Study(trials, rotations, sizes, self.options), why)

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
                return {PLAIN: plain}, {}, (f"there is no nested curve: {lacking}",)
            rotation = fit_rotation(fitted)
            name = fingerprint(rotation)
        else:
            name, rotation = self.chosen
        nested = given.turned(nest(plain.questions, rotation), nest(plain.rows, rotation))
        return {PLAIN: plain, NESTED: nested}, {NESTED: name}, ()


@dataclass(frozen=True, slots=True)
class Bench:
    """What is measured on the backend, one probe after the other, and what came of it."""

    probes: list[Probe]
    outcomes: list[tuple[Probe, Outcome]]
    warnings: list[str]

    def flow(self, probe: Probe) -> Flow[Outcome]:
        """Measure. Before the first one, see what others have left."""
        if probe is self.probes[0]:
            self.warn((yield from probe.left_over()))
        return (yield from probe.measure())

    def note(self, probe: Probe, outcome: Outcome) -> None:
        """Keep what a probe found."""
        self.warn(outcome.warnings)
        if outcome.plain is not None:
            self.outcomes.append((probe, outcome))

    def warn(self, warnings: Sequence[str]) -> None:
        """Keep warnings."""
        self.warnings.extend(warnings)


@dataclass(frozen=True, slots=True)
class Measurement:
    """The curves, and what else the backend is asked for."""

    request: Request
    gathered: Gathered
    study: Study
    remarks: tuple[str, ...]

    @property
    def _basing(self) -> Basing:
        """Which curve is to be had, and from which size on."""
        request, model = self.request, self.request.model
        if NESTED not in self.study.trials:
            return Basing(PLAIN, model.min_dimensions)
        if request.chosen is None and model.rotation is not None:
            return Basing(NESTED, model.min_dimensions)
        how = f"nesting = {request.options.rotation!r}" if request.chosen is not None else "a rotation: nestvec nest"
        return Basing(NESTED, least_prefix(model.dimensions), f"; to be used with {how}")

    def bench(self, config: Config, runtime: Runtime) -> Bench:
        """What is to be measured on the backend: each size, then each funnel; and why some of it can not be."""
        options, full = self.request.options, self.request.model.dimensions
        wanted: list[tuple[int, tuple[int, ...]]] = [(size, ()) for size in self.study.sizes if options.time]
        wanted += [(full, stages) for stages in options.stages(full)]
        bench = Bench([], [], [])
        for size, stages in wanted:
            backend = self.request.spec.backend
            can = config.backends[backend].capabilities
            why = _refused(backend, can, stages) if stages else None
            if why is None:
                bench.probes.append(self._probe(size, stages, can, runtime))
            else:
                bench.warnings.append(why)
        return bench

    def _probe(self, size: int, stages: tuple[int, ...], capabilities: BackendCapabilities, runtime: Runtime) -> Probe:
        spec, trial = self.request.spec, self.study.trials[self._basing.curve]
        rows, questions = (
            truncate(part, size, normalized=trial.normalized) for part in (trial.rows, trial.questions[:_SEARCHED])
        )
        oversampling = spec.oversampling
        if stages and not spec.funnel:
            oversampling = max(oversampling, FUNNEL_OVERSAMPLING)
        own = replace(spec, space=replace(spec.space, dimensions=size), funnel=stages, oversampling=oversampling)
        what = f"the funnel {','.join(map(str, stages))}" if stages else f"search time at {size} dimensions"
        return Probe(own, capabilities, rows, questions, self.request.options.k, runtime.clock, what)

    def report(self, bench: Bench) -> DimensionsReport:
        """Everything, with what was measured on the backend, and warnings from there."""
        request, options, study = self.request, self.request.options, self.study
        basing, gathered, spec = self._basing, self.gathered, self.request.spec
        expected = options.expect if options.expect is not None else gathered.there
        trial = next(iter(study.trials.values()))
        sample = Sample(
            len(gathered.rows),
            len(gathered.questions),
            len(trial.labelled),
            request.source,
            request.queries,
            len(gathered.fitted),
        )
        return DimensionsReport(
            collection=request.collection,
            embedder=spec.embedder,
            model=request.model.model,
            tasks={"index": spec.space.index_task, "query": spec.space.query_task},
            metric=spec.metric.value,
            full=request.model.dimensions,
            sample=sample,
            k=options.k,
            keep=options.keep,
            confidence=options.confidence,
            resamples=options.resamples,
            expected=expected,
            curves=study.curves(expected, _times(basing.curve, bench.outcomes)),
            funnels=tuple(self._funnel(*each) for each in bench.outcomes if each[1].funnel is not None),
            recommendation=study.recommendation(basing),
            warnings=(*self._warnings(sample, expected, timed=bool(bench.outcomes)), *bench.warnings),
        )

    def _funnel(self, probe: Probe, outcome: Outcome) -> Funnel:
        plain, funnel = outcome.plain, outcome.funnel
        assert plain is not None  # noqa: S101 - measured together
        assert funnel is not None  # noqa: S101
        bootstrap, neighbours = self.study.bootstrap(len(probe.questions)), self.study.neighbours
        return Funnel(
            stages=probe.spec.funnel,
            oversampling=probe.spec.oversampling,
            recall=bootstrap.mean(neighbours.recall(funnel.places)),
            plain_recall=bootstrap.mean(neighbours.recall(plain.places)),
            plain_ms=times(plain.seconds),
            funnel_ms=times(funnel.seconds),
            backend=probe.spec.backend,
            questions=len(probe.questions),
        )

    def _warnings(self, sample: Sample, expected: int, *, timed: bool) -> Iterable[str]:
        request, decisive = self.request, sample.labelled if self.study.by_labels else sample.questions
        if request.asked is None:
            yield (
                "the questions are texts of the sample, held out: real ones are shorter and embedded for another task; "
                "give them with --queries"
            )
        elif request.asked.repeated:
            yield f"{_amount(request.asked.repeated, 'question')} came more than once, and counted once"
        if decisive < _FEW_QUESTIONS:
            yield (
                f"{_amount(decisive, 'question')} do not say much: give {_FEW_QUESTIONS} or more to rely on the "
                f"intervals"
            )
        if sample.texts < _FEW_TEXTS:
            yield (
                f"{_amount(sample.texts, 'text')} do not say much: among more, neighbours lie closer together, and "
                f"short prefixes lose more; give {_FEW_TEXTS:,} or more"
            )
        elif expected > _CROWDED * sample.texts:
            yield (
                f"measured among {sample.texts:,} texts, where {expected:,} are expected: there neighbours lie closer "
                f"together, and short prefixes lose more; a larger --sample says more"
            )
        if sample.labelled and not self.study.by_labels:
            yield "at full size nothing that is relevant is found, so recall decides; look at the labels"
        if request.spec.namespaces:
            yield "the texts of all namespaces were searched together; a search within one has fewer to choose from"
        yield from self._about_rotation(sample)
        yield from self.remarks
        if timed:
            yield (
                f"search times are those of {sample.texts:,} texts, one question after the other, with what lies "
                f"between this process and the backend; an index of more texts behaves differently"
            )

    def _about_rotation(self, sample: Sample) -> Iterable[str]:
        request = self.request
        if sample.fitted and NESTED in self.study.trials:
            yield (
                f"the nested curve's rotation was fitted on {sample.fitted:,} other texts of the sample, which are "
                f"neither searched nor asked; `nestvec nest` fits one on more, and keeps it"
            )
        nesting = request.connection.nesting
        if nesting is not None and request.collection is not None:
            about = nesting.artifact.read_about()
            if about.source == f"collection {request.collection}":
                yield (
                    f"rotation {nesting.artifact.fingerprint} was fitted on {about.vectors:,} vectors of this very "
                    f"collection: texts that come later gain a little less"
                )


def _times(curve: str, probed: Sequence[tuple[Probe, Outcome]]) -> dict[tuple[str, int], Times]:
    return {
        (curve, probe.spec.space.dimensions): times(outcome.plain.seconds)
        for probe, outcome in probed
        if outcome.plain is not None and not probe.spec.funnel
    }


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


def _amount(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def _refused(backend: str, can: BackendCapabilities, stages: Sequence[int]) -> str | None:
    """Why a backend can not search coarse to fine, where it is known before asking it."""
    told = f"the funnel {','.join(map(str, stages))} was not measured: backend {backend!r}"
    reason = can.why_not.get("funnels") or can.why_not.get("max_vectors")
    because = f" ({reason})" if reason else ""
    if not can.funnels:
        return f"{told} can not search coarse to fine{because}"
    if can.max_vectors is not None and len(stages) >= can.max_vectors:
        return f"{told} keeps at most {can.max_vectors} vectors a record{because}"
    return None
