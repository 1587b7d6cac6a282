"""What `dimensions` found: the curves, what is measured on the backend itself, and the report with its warnings."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from nestvec._evaluation.gathering import GatheredVectors
from nestvec._evaluation.probe import BackendProbe, ProbeOutcome, ProbeReport
from nestvec._evaluation.report import DimensionsReport, DimensionsSample, FunnelReport, SearchTimes
from nestvec._evaluation.study import CurveChoice, Study, times
from nestvec.capabilities import BackendCapabilities
from nestvec.config import Config
from nestvec.config.blocks import FUNNEL_OVERSAMPLING
from nestvec.config.nesting import least_prefix
from nestvec.encoding.vectors import truncate

if TYPE_CHECKING:
    from nestvec._evaluation.request import DimensionsRequest

PLAIN, NESTED = "plain", "nested"
#: Questions with which a backend is searched.
_SEARCHED = 200
#: Fewer say little.
_FEW_QUESTIONS, _FEW_TEXTS = 100, 1000
#: From so many times as many texts on, neighbours lie noticeably closer together than in the sample.
_CROWDED = 10


@dataclass(frozen=True, slots=True)
class DimensionsMeasurement:
    """The curves, and what else the backend is asked for."""

    request: DimensionsRequest
    gathered: GatheredVectors
    study: Study
    remarks: tuple[str, ...]

    @property
    def _chosen_curve(self) -> CurveChoice:
        """Which curve is to be had, and from which size on."""
        request, model = self.request, self.request.model
        if NESTED not in self.study.trials:
            return CurveChoice(PLAIN, model.min_dimensions)
        if request.chosen is None and model.rotation is not None:
            return CurveChoice(NESTED, model.min_dimensions)
        how = f"nesting = {request.options.rotation!r}" if request.chosen is not None else "a rotation: nestvec nest"
        return CurveChoice(NESTED, least_prefix(model.dimensions), f"; to be used with {how}")

    def probes(self, config: Config, clock: Callable[[], float]) -> tuple[list[BackendProbe], list[str]]:
        """What is to be measured on the backend: each size, then each funnel; and why some of it cannot be."""
        options, full = self.request.options, self.request.model.dimensions
        wanted: list[tuple[int, tuple[int, ...]]] = [(size, ()) for size in self.study.sizes if options.time]
        wanted += [(full, stages) for stages in options.stages(full)]
        probes, refused = [], []
        for size, stages in wanted:
            backend = self.request.spec.backend
            can = config.backends[backend].capabilities
            why = _refused(backend, can, stages) if stages else None
            if why is None:
                probes.append(self._probe(size, stages, can, clock))
            else:
                refused.append(why)
        return probes, refused

    def _probe(
        self, size: int, stages: tuple[int, ...], capabilities: BackendCapabilities, clock: Callable[[], float]
    ) -> BackendProbe:
        spec, trial = self.request.spec, self.study.trials[self._chosen_curve.curve]
        rows, questions = (
            truncate(part, size, normalized=trial.normalized) for part in (trial.rows, trial.questions[:_SEARCHED])
        )
        oversampling = spec.oversampling
        if stages and not spec.funnel:
            oversampling = max(oversampling, FUNNEL_OVERSAMPLING)
        own = replace(spec, space=replace(spec.space, dimensions=size), funnel=stages, oversampling=oversampling)
        what = f"the funnel {','.join(map(str, stages))}" if stages else f"search time at {size} dimensions"
        return BackendProbe(own, capabilities, rows, questions, self.request.options.k, clock, what)

    def report(self, probed: ProbeReport, refused: Iterable[str] = ()) -> DimensionsReport:
        """Everything, with what was measured on the backend, and why some of it was not."""
        request, options, study = self.request, self.request.options, self.study
        choice, gathered, spec = self._chosen_curve, self.gathered, self.request.spec
        expected = options.expect if options.expect is not None else gathered.there
        trial = next(iter(study.trials.values()))
        sample = DimensionsSample(
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
            curves=study.curves(expected, _times(choice.curve, probed.outcomes)),
            funnels=tuple(self._funnel(*each) for each in probed.outcomes if each[1].funnel is not None),
            recommendation=study.recommendation(choice),
            warnings=(*self._warnings(sample, expected, timed=bool(probed.outcomes)), *refused, *probed.warnings),
        )

    def _funnel(self, probe: BackendProbe, outcome: ProbeOutcome) -> FunnelReport:
        plain, funnel = outcome.plain, outcome.funnel
        assert plain is not None  # noqa: S101 - measured together
        assert funnel is not None  # noqa: S101
        bootstrap, neighbours = self.study.bootstrap(len(probe.questions)), self.study.neighbours
        return FunnelReport(
            stages=probe.spec.funnel,
            oversampling=probe.spec.oversampling,
            recall=bootstrap.mean(neighbours.recall(funnel.places)),
            plain_recall=bootstrap.mean(neighbours.recall(plain.places)),
            plain_ms=times(plain.seconds),
            funnel_ms=times(funnel.seconds),
            backend=probe.spec.backend,
            questions=len(probe.questions),
        )

    def _warnings(self, sample: DimensionsSample, expected: int, *, timed: bool) -> Iterable[str]:
        yield from self._about_questions(sample)
        yield from self._about_texts(sample, expected)
        yield from self._about_rotation(sample)
        yield from self.remarks
        if timed:
            yield (
                f"search times are those of {sample.texts:,} texts, one question after the other, with what lies "
                f"between this process and the backend; an index of more texts behaves differently"
            )

    def _about_questions(self, sample: DimensionsSample) -> Iterable[str]:
        asked, decisive = self.request.asked, sample.labelled if self.study.by_labels else sample.questions
        if asked is None:
            yield (
                "the questions are texts of the sample, held out: real ones are shorter and embedded for another task; "
                "give them with --queries"
            )
        elif asked.repeated:
            yield f"{_amount(asked.repeated, 'question')} came more than once, and counted once"
        if decisive < _FEW_QUESTIONS:
            yield (
                f"{_amount(decisive, 'question')} do not say much: give {_FEW_QUESTIONS} or more to rely on the "
                f"intervals"
            )
        if sample.labelled and not self.study.by_labels:
            yield "at full size nothing that is relevant is found, so recall decides; look at the labels"

    def _about_texts(self, sample: DimensionsSample, expected: int) -> Iterable[str]:
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
        if self.request.spec.namespaces:
            yield "the texts of all namespaces were searched together; a search within one has fewer to choose from"

    def _about_rotation(self, sample: DimensionsSample) -> Iterable[str]:
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


def _times(curve: str, probed: Sequence[tuple[BackendProbe, ProbeOutcome]]) -> dict[tuple[str, int], SearchTimes]:
    return {
        (curve, probe.spec.space.dimensions): times(outcome.plain.seconds)
        for probe, outcome in probed
        if outcome.plain is not None and not probe.spec.funnel
    }


def _amount(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def _refused(backend: str, can: BackendCapabilities, stages: Sequence[int]) -> str | None:
    """Why a backend cannot search coarse to fine, where it is known before asking it."""
    told = f"the funnel {','.join(map(str, stages))} was not measured: backend {backend!r}"
    reason = can.why_not.get("funnels") or can.why_not.get("max_vectors")
    because = f" ({reason})" if reason else ""
    if not can.funnels:
        return f"{told} cannot search coarse to fine{because}"
    if can.max_vectors is not None and len(stages) >= can.max_vectors:
        return f"{told} keeps at most {can.max_vectors} vectors a record{because}"
    return None
