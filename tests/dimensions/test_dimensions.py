"""`dimensions` from end to end: what is sampled, asked, kept apart, measured on the backend, cleared away, and told."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from nestvec import DimensionsOptions, DimensionsReport, Document, Question
from nestvec._artifacts import About, save
from nestvec._cli.docstrings import docstrings
from nestvec._client import aconnect, connect
from nestvec._documents.sampling import StoredSample
from nestvec._evaluation.gathering import GatheredVectors, _split
from nestvec._evaluation.request import DimensionsRequest
from nestvec._session.session import finished
from nestvec.capabilities import Power
from nestvec.contract import BackendPlugin, Create, Drop, EmbedderPlugin, ListCollections, Query, QueryStaged, Write
from nestvec.encoding.rotation import fingerprint, fit_rotation
from nestvec.errors import BackendRefused, BackendUnavailable, ConfigError, InvalidInput, InvalidName, Unsupported
from nestvec.hookspecs import hookimpl
from nestvec.runtime import RetryPolicy, Runtime
from nestvec_testing import recording
from nestvec_testing.memory import CAPABILITIES, MemoryAdapter, MemoryOptions, make_foreign
from nestvec_testing.recording import RecordingOptions, capabilities
from nestvec_testing.registry import test_registry

OPTIONS = DimensionsOptions(resamples=100, sample=300, k=5)
_WORDS = "river stone winter house bread garden letter music winter door bridge forest summer window horse"
WORDS = _WORDS.split()


def sentence(number: int) -> str:
    generator = np.random.default_rng(number)
    return " ".join(WORDS[place] for place in generator.integers(0, len(WORDS), 6)) + f" {number}"


DOCUMENTS = [Document(f"d{number}", sentence(number)) for number in range(320)]


class Store(MemoryAdapter):
    """Stays open, and lets a test act just before a request."""

    before: Callable[[Any], None] = staticmethod(lambda request: None)

    def __init__(self) -> None:
        super().__init__()
        self.made: list[Create] = []
        self.asked: list[Query] = []

    def create(self, request: Create) -> None:
        self.made.append(request)
        self.before(request)
        super().create(request)

    def write(self, request: Write) -> None:
        self.before(request)
        super().write(request)

    def query(self, request: Query) -> Any:
        self.asked.append(request)
        self.before(request)
        return super().query(request)

    def drop(self, request: Drop) -> None:
        self.before(request)
        super().drop(request)

    @property
    def names(self) -> list[str]:
        return self.list_collections(ListCollections())


@pytest.fixture
def store() -> Store:
    return Store()


@pytest.fixture
def runtime(store: Store) -> Iterator[Runtime]:
    name = f"nestvec_dimensions_tests_{id(store)}"
    module, flat = ModuleType(name), ModuleType(f"{name}_flat")

    @hookimpl
    def nestvec_backend() -> BackendPlugin:
        return BackendPlugin("kept", "Memory.", MemoryOptions, lambda _: CAPABILITIES, lambda _: store)

    def whole(options: RecordingOptions) -> Any:
        return replace(capabilities(options), min_dimensions=options.dimensions)

    @hookimpl
    def nestvec_embedder() -> EmbedderPlugin:
        return replace(recording.nestvec_embedder(), name="flat", capabilities=whole)

    module.nestvec_backend = nestvec_backend  # type: ignore[attr-defined]
    flat.nestvec_embedder = nestvec_embedder  # type: ignore[attr-defined]
    sys.modules |= {name: module, f"{name}_flat": flat}
    yield Runtime(test_registry(backend_kept=name, embedder_flat=f"{name}_flat"), retry=RetryPolicy(attempts=1))
    del sys.modules[name], sys.modules[f"{name}_flat"]


def values(folder: Path, **collection: Any) -> dict[str, Any]:
    return {
        "artifacts": str(folder / "artifacts"),
        "backends": {"store": {"use": "kept"}},
        "embedders": {"trained": {"use": "recording"}, "flat": {"use": "flat"}},
        "collections": {"docs": {"embedder": "trained", **collection}},
    }


@pytest.fixture
def filled(tmp_path: Path, runtime: Runtime) -> dict[str, Any]:
    config = values(tmp_path)
    with connect(config, runtime) as nv:
        nv.apply()
        nv["docs"].upsert(DOCUMENTS)
    return config


# ---------------------------------------------------------------- curves


def test_a_model_that_was_trained_for_prefixes_has_one_curve(filled: dict[str, Any], runtime: Runtime) -> None:
    with connect(filled, runtime) as nv:
        report = nv.dimensions("docs", options=OPTIONS)
        assert nv.dimensions("docs", options=OPTIONS) == report
        assert nv.dimensions("docs", options=replace(OPTIONS, seed=1)) != report
        assert nv["docs"].count() == len(DOCUMENTS)
    (curve,) = report.curves
    assert (curve.name, curve.rotation) == ("plain", None)
    assert [point.dimensions for point in curve.points] == [16, 32, 64]
    assert curve.points[-1].recall.value == curve.points[-1].kept.value == 1
    assert (report.sample.texts, report.sample.questions, report.sample.fitted) == (270, 30, 0)
    assert report.expected == len(DOCUMENTS)
    assert curve.points[0].total["float32"] == 64 * len(DOCUMENTS)
    told = "\n".join(report.warnings)
    assert "the questions are texts of the sample, held out: real ones are shorter" in told
    assert "30 questions do not say much" in told
    assert "270 texts do not say much" in told


def test_the_json_form_is_the_documented_one(filled: dict[str, Any], runtime: Runtime) -> None:
    with connect(filled, runtime) as nv:
        measured = nv.dimensions("docs", options=replace(OPTIONS, funnels=[(8, 32)], time=True))
    report = measured.to_dict()
    assert json.loads(json.dumps(report)) == report
    assert DimensionsReport.from_dict(json.loads(json.dumps(report))) == measured
    interval = {"value", "low", "high"}
    assert set(report) == {
        "version", "collection", "embedder", "model", "tasks", "metric", "full", "sample", "k", "keep", "confidence",
        "resamples", "expected", "curves", "funnels", "recommendation", "warnings",
    }  # fmt: skip
    assert report["version"] == 1
    assert report["tasks"] == {"index": "retrieval.passage", "query": "retrieval.query"}
    point = report["curves"][0]["points"][0]
    assert set(point) == {
        "dimensions", "recall", "ndcg", "kept", "int8", "binary", "unrescored", "bytes", "total", "search_ms",
    }  # fmt: skip
    assert set(point["recall"]) == set(point["unrescored"]["int8"]) == interval
    assert set(point["bytes"]) == {"float32", "float16", "int8", "binary"}
    assert set(point["search_ms"]) == {"median", "p95"}
    assert set(report["funnels"][0]) == {
        "stages", "oversampling", "recall", "plain_recall", "plain_ms", "funnel_ms", "backend", "questions",
    }  # fmt: skip
    assert set(report["recommendation"]) == {"dimensions", "curve", "measure", "kept", "saved", "reason"}


def test_a_model_without_prefixes_is_nested_on_texts_that_are_neither_searched_nor_asked(
    tmp_path: Path, runtime: Runtime
) -> None:
    config = values(tmp_path, embedder="flat")
    with connect(config, runtime) as nv:
        nv.apply()
        nv["docs"].upsert(DOCUMENTS)
        report = nv.dimensions("docs", options=OPTIONS)
        hasty = nv.dimensions("docs", options=replace(OPTIONS, keep=0.01, dimensions=(2, 8, 16)))
    assert hasty.recommendation.dimensions == 16, "what `nestvec nest` allows of 64 dimensions"
    assert [curve.name for curve in report.curves] == ["plain", "nested"]
    assert report.curves[1].rotation is not None
    assert (report.sample.texts, report.sample.questions, report.sample.fitted) == (135, 30, 135)
    assert "fitted on 135 other texts of the sample" in "\n".join(report.warnings)
    plain, nested = ([point.recall.value for point in curve.points] for curve in report.curves)
    assert nested[0] > plain[0]
    assert plain[-1] == nested[-1] == 1
    assert report.recommendation.curve == "nested"
    assert not (tmp_path / "artifacts").exists()


def test_the_rotation_is_fitted_on_what_was_kept_apart(
    tmp_path: Path, runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: dict[str, Any] = {}
    real = DimensionsRequest.measure

    def fitting(rows: np.ndarray) -> np.ndarray:
        seen["fitted"] = rows
        return fit_rotation(rows)

    def measuring(self: DimensionsRequest, gathered: GatheredVectors, stored_under: Any) -> Any:
        seen["gathered"] = gathered
        return real(self, gathered, stored_under)

    monkeypatch.setattr("nestvec._evaluation.request.fit_rotation", fitting)
    monkeypatch.setattr(DimensionsRequest, "measure", measuring)
    with connect(values(tmp_path), runtime) as nv:
        nv.dimensions(texts=DOCUMENTS, embedder="flat", options=OPTIONS)
    assert len(seen["fitted"]) == 135
    rows = {row.tobytes() for row in seen["fitted"]}
    assert rows.isdisjoint(row.tobytes() for row in seen["gathered"].rows)
    assert rows.isdisjoint(row.tobytes() for row in seen["gathered"].questions)


@pytest.mark.parametrize("fit", [False, True])
@pytest.mark.parametrize("needed", [0, 7])
def test_no_row_is_in_two_parts(needed: int, fit: bool) -> None:
    rows = np.arange(200, dtype=np.float32)[:, None]
    names = tuple(f"r{number}" for number in range(200))
    found = _split(StoredSample(names, names, rows), needed, None, None, 200, OPTIONS, fit=fit)
    parts = [set(part[:, 0]) for part in (found.questions, found.rows, found.fitted)]
    assert set.union(*parts) == set(rows[:, 0])
    assert sum(map(len, parts)) == 200
    assert len(parts[0]) == 20
    assert bool(parts[2]) is fit
    assert set(range(needed)) <= parts[1]
    assert [f"r{int(row[0])}" for row in found.rows] == list(found.documents)


def test_a_text_that_is_searched_is_not_fitted_on_either_where_it_is_there_twice() -> None:
    rows = np.repeat(np.arange(100, dtype=np.float32)[:, None], 2, axis=0)[np.random.default_rng(0).permutation(200)]
    names = tuple(f"r{number}" for number in range(200))
    found = _split(StoredSample(names, names, rows), 0, None, None, 200, OPTIONS, fit=True)
    assert 0 < len(found.fitted) < 90
    assert set(found.fitted[:, 0]).isdisjoint([*found.rows[:, 0], *found.questions[:, 0]])


def test_too_few_texts_to_fit_on_leave_the_plain_curve(tmp_path: Path, runtime: Runtime) -> None:
    with connect(values(tmp_path), runtime) as nv:
        texts, options = [sentence(number) for number in range(26)], replace(OPTIONS, keep=0.01)
        report = nv.dimensions(texts=texts, embedder="flat", options=options)
    assert [curve.name for curve in report.curves] == ["plain"]
    assert (
        "there is no nested curve: of the sample's texts, those to fit on (12) tell 11 directions apart"
        in "\n".join(report.warnings)
    )
    assert report.recommendation.dimensions == 64, "no prefix of this model can be used"


def test_a_rotation_can_be_named_and_is_what_is_measured(tmp_path: Path, runtime: Runtime) -> None:
    config = values(tmp_path, embedder="flat")
    texts = [document.text for document in DOCUMENTS]
    with connect(config, runtime) as nv:
        vectors = nv.embed(texts, task="retrieval.passage", embedder="flat")
        kept = save(tmp_path / "artifacts", fit_rotation(vectors), About("recording-v3", 64, "collection docs", 320))
        options = replace(OPTIONS, rotation=kept.fingerprint)
        report = nv.dimensions(texts=texts, embedder="flat", options=options)
        assert report.curves[1].rotation == kept.fingerprint
        assert (report.sample.texts, report.sample.fitted) == (270, 0)
        with pytest.raises(ConfigError, match="there is no file"):
            nv.dimensions(texts=texts, embedder="flat", options=replace(OPTIONS, rotation="0" * 16))
        with pytest.raises(InvalidInput, match="is no fingerprint"):
            nv.dimensions(texts=texts, embedder="flat", options=replace(OPTIONS, rotation="mine"))
        with pytest.raises(Unsupported, match="was trained for Matryoshka prefixes"):
            nv.dimensions(texts=texts, embedder="trained", options=options)
    nested = config | {"embedders": {"flat": {"use": "flat", "nesting": kept.fingerprint}}}
    with connect(nested, runtime) as nv:
        nv.apply()
        nv["docs"].upsert(DOCUMENTS)
        again = nv.dimensions("docs", options=OPTIONS)
    # Stored nested, the plain vectors come from turning back: the curves are those of the texts.
    assert [curve.rotation for curve in again.curves] == [None, kept.fingerprint]
    assert "was fitted on 320 vectors of this very collection" in "\n".join(again.warnings)
    assert again.recommendation.dimensions >= 16


# ---------------------------------------------------------------- questions


def test_real_questions_are_embedded_as_questions_and_nothing_else_is(filled: dict[str, Any], runtime: Runtime) -> None:
    questions = [sentence(number)[:20] for number in range(1000, 1040)]
    with connect(filled, runtime) as nv:
        nv["docs"].count()
        report = nv.dimensions("docs", queries=[*questions, questions[0]], options=OPTIONS)
        embedder = nv.embedder("trained")
    assert {request.task for request in embedder.requests} == {"retrieval.query"}  # type: ignore[attr-defined]
    assert (report.sample.texts, report.sample.questions, report.sample.labelled) == (300, 40, 0)
    assert report.sample.questions_from == "given questions"
    assert "1 question came more than once" in "\n".join(report.warnings)
    assert "held out" not in "\n".join(report.warnings)
    assert all(point.ndcg is None for point in report.curves[0].points)


def labelled() -> list[Question]:
    """Each question is half of a text, and wants its document."""
    return [Question(" ".join(each.text.split()[3:]), {each.id: 1}) for each in DOCUMENTS[:50]]


def test_with_labels_the_ranking_decides_and_what_is_relevant_is_searched(
    filled: dict[str, Any], runtime: Runtime
) -> None:
    options = replace(OPTIONS, sample=100)
    with connect(filled, runtime) as nv:
        report = nv.dimensions("docs", queries=[*labelled(), Question("river")], options=options)
        whole = nv.dimensions("docs", queries=labelled(), options=replace(OPTIONS, sample=500))
        texts = nv.dimensions(
            texts=DOCUMENTS, embedder="trained", queries=[*labelled(), Question("river")], options=options
        )
    for each in (report, texts):
        assert (each.sample.texts, each.sample.questions, each.sample.labelled) == (100, 51, 50)
    assert whole.sample.texts == len(DOCUMENTS), "what is relevant is not searched twice"
    for each in (report, texts):
        assert each.recommendation.measure == "nDCG@10"
        points = each.curves[0].points
        assert points[-1].ndcg is not None
        assert points[-1].ndcg.value > 0.5
        assert points[-1].kept.value == 1
        assert points[0].kept.value == pytest.approx(points[0].ndcg.value / points[-1].ndcg.value)  # type: ignore[union-attr]


def test_labels_that_name_what_is_not_there_are_refused(filled: dict[str, Any], runtime: Runtime) -> None:
    wanted = [Question(f"river {number}", [f"gone{number}"]) for number in range(7)]
    with connect(filled, runtime) as nv:
        with pytest.raises(InvalidInput, match=r"collection 'docs' has not: 'gone0', .* and 2 more"):
            nv.dimensions("docs", queries=wanted, options=OPTIONS)
        with pytest.raises(InvalidInput, match="the texts have not: 'gone0'"):
            nv.dimensions(texts=DOCUMENTS, embedder="trained", queries=wanted, options=OPTIONS)
        with pytest.raises(InvalidInput, match="is there twice, with other labels"):
            nv.dimensions("docs", queries=[Question("a", ["d1"]), Question("a")], options=OPTIONS)
        with pytest.raises(InvalidInput, match="there are no questions"):
            nv.dimensions("docs", queries=[], options=OPTIONS)
        with pytest.raises(InvalidInput, match="non-empty string"):
            nv.dimensions("docs", queries=[" "], options=OPTIONS)


def test_labels_by_which_nothing_is_found_leave_the_decision_to_recall(
    filled: dict[str, Any], runtime: Runtime
) -> None:
    with connect(filled, runtime) as nv:
        best = {hit.document_id for hit in nv["docs"].search("zebra", limit=10)}
        far = [Question("zebra", {next(each.id for each in DOCUMENTS if each.id not in best): 1.0})]
        report = nv.dimensions("docs", queries=far, options=replace(OPTIONS, sample=320))
    assert report.recommendation.measure == "recall@5"
    assert "nothing that is relevant is found" in "\n".join(report.warnings)


# ---------------------------------------------------------------- what is refused


def test_what_cannot_be_measured_says_why(filled: dict[str, Any], tmp_path: Path, runtime: Runtime) -> None:
    with connect(filled, runtime) as nv:
        for wrong in (
            {},
            {"collection": "docs", "texts": ["a"]},
            {"collection": "docs", "embedder": "flat"},
            {"collection": "docs", "queries": "a question"},
            {"texts": "a text", "embedder": "flat"},
        ):
            with pytest.raises(InvalidInput):
                nv.dimensions(options=OPTIONS, **wrong)
        with pytest.raises(InvalidName, match="did you mean 'docs'"):
            nv.dimensions("dcos")
        with pytest.raises(ConfigError, match="say which embedder"):
            nv.dimensions(texts=["a"])
        with pytest.raises(ConfigError, match="no backend 'stroe'"):
            nv.dimensions(texts=["a"], embedder="flat", backend="stroe")
        with pytest.raises(InvalidInput, match=r"the input has 2 texts .* too few for 5 neighbours"):
            nv.dimensions(texts=["a", "b"], embedder="trained", options=OPTIONS)
        with pytest.raises(InvalidInput, match="non-empty string"):
            nv.dimensions(texts=["a", " "], embedder="trained", options=OPTIONS)
        nv["docs"].delete(everything=True)
        with pytest.raises(InvalidInput, match="collection 'docs' has 0 texts"):
            nv.dimensions("docs", options=OPTIONS)
    advice = r"holds 32 of 64 dimensions.*nestvec dimensions --embedder trained FILE"
    with connect(values(tmp_path, dimensions=32), runtime) as nv, pytest.raises(Unsupported, match=advice):
        nv.dimensions("docs")


def test_what_the_collection_is_counts_not_what_it_is_to_become(filled: dict[str, Any], runtime: Runtime) -> None:
    become = {"embedder": "flat", "dimensions": 64, "previous": {"embedder": "trained"}}
    config = filled | {"collections": {"docs": become}}
    config["embedders"] = {"trained": {"use": "recording"}, "flat": {"use": "flat", "model": "another"}}
    with connect(config, runtime) as nv:
        report = nv.dimensions("docs", queries=labelled(), options=OPTIONS)
    assert (report.embedder, report.model) == ("trained", "recording-v3")
    assert report.curves[0].points[-1].ndcg.value > 0.5  # type: ignore[union-attr]


def test_equal_texts_do_not_disturb(tmp_path: Path, runtime: Runtime) -> None:
    twice = [Document(f"{document.id}-{copy}", document.text) for document in DOCUMENTS[:60] for copy in range(4)]
    with connect(values(tmp_path), runtime) as nv:
        nv.apply()
        nv["docs"].upsert(twice)
        report = nv.dimensions("docs", options=OPTIONS)
    assert report.curves[0].points[-1].recall.value == 1
    assert report.curves[0].points[-1].unrescored["int8"].value == pytest.approx(1, abs=0.1)


def test_all_namespaces_are_sampled(tmp_path: Path, runtime: Runtime) -> None:
    with connect(values(tmp_path, namespaces=True), runtime) as nv:
        nv.apply()
        for tenant in ("acme", "zoo"):
            nv["docs"].namespace(tenant).upsert(DOCUMENTS[:60])
        report = nv.dimensions("docs", options=OPTIONS)
        assert (report.sample.texts + report.sample.questions, report.expected) == (120, 120)
        assert "all namespaces were searched together" in "\n".join(report.warnings)
        with pytest.raises(Unsupported, match="labels cannot be used"):
            nv.dimensions("docs", queries=[Question("a", ["d1"])], options=OPTIONS)


@pytest.mark.parametrize("metric", ["dot", "euclidean"])
def test_the_collections_metric_is_the_one_that_counts(tmp_path: Path, runtime: Runtime, metric: str) -> None:
    with connect(values(tmp_path, metric=metric), runtime) as nv:
        nv.apply()
        nv["docs"].upsert(DOCUMENTS)
        report = nv.dimensions("docs", options=replace(OPTIONS, funnels=[(32,)]))
    assert report.metric == metric
    assert report.curves[0].points[-1].recall.value == 1
    assert report.funnels[0].plain_recall.value == 1


# ---------------------------------------------------------------- on the backend itself


def test_time_and_funnels_are_measured_in_a_collection_of_their_own(
    filled: dict[str, Any], runtime: Runtime, store: Store
) -> None:
    before, options = store.names, replace(OPTIONS, time=True, funnels=[(8, 32)], dimensions=(16,))
    store.made.clear()
    with connect(filled, runtime) as nv:
        report = nv.dimensions("docs", options=options)
    assert store.names == before
    assert [dict(made.vectors) for made in store.made] == [
        {"dense": 16}, {"dense": 64}, {"dense_8": 8, "dense_32": 32, "dense": 64}
    ]  # fmt: skip
    assert all(made.physical.startswith("nestvec-measure-") for made in store.made)
    assert len({made.physical for made in store.made}) == 3
    assert all(point.search_ms is not None for point in report.curves[0].points)
    staged_queries = [query for query in store.asked if isinstance(query, QueryStaged)]
    staged = [[(stage.vector, stage.limit) for stage in query.stages] for query in staged_queries]
    assert staged[0] == [("dense_8", 80), ("dense_32", 20)]
    assert len(staged) == 30 + 3, "three searches to warm up"
    (funnel,) = report.funnels
    assert (funnel.stages, funnel.oversampling, funnel.backend, funnel.questions) == ((8, 32), 4.0, "store", 30)
    assert funnel.plain_recall.value == 1
    assert 0.3 < funnel.recall.value <= 1
    assert "search times are those of 270 texts" in "\n".join(report.warnings)


def test_texts_are_timed_on_the_backend_that_is_named(tmp_path: Path, runtime: Runtime, store: Store) -> None:
    texts, options = [document.text for document in DOCUMENTS[:60]], replace(OPTIONS, time=True)
    with connect(values(tmp_path), runtime) as nv:
        report = nv.dimensions(texts=texts, embedder="trained", options=options)
    assert report.curves[0].points[0].search_ms is not None
    assert store.names == []
    two = values(tmp_path) | {"backends": {"store": {"use": "kept"}, "other": {"use": "memory"}}, "collections": {}}
    with connect(two, runtime) as nv:
        with pytest.raises(ConfigError, match="say on which backend to measure: the configuration has store, other"):
            nv.dimensions(texts=texts, embedder="trained", options=options)
        assert nv.dimensions(texts=texts, embedder="trained", options=OPTIONS).curves
        report = nv.dimensions(texts=texts, embedder="trained", backend="store", options=options)
    assert report.curves[0].points[0].search_ms is not None


def test_what_the_backend_refuses_is_told_and_the_rest_is_reported(
    filled: dict[str, Any], runtime: Runtime, store: Store
) -> None:
    before = store.names

    def refuse(request: Any) -> None:
        if isinstance(request, Create) and request.vectors["dense"] == 16:
            raise BackendRefused("no vectors of 16")

    store.before = refuse
    with connect(filled, runtime) as nv:
        report = nv.dimensions("docs", options=replace(OPTIONS, time=True))
    assert [point.search_ms is None for point in report.curves[0].points] == [True, False, False]
    assert "search time at 16 dimensions was not measured on backend 'store': no vectors of 16" in report.warnings
    assert store.names == before


def test_a_collection_that_cannot_be_dropped_is_named(filled: dict[str, Any], runtime: Runtime, store: Store) -> None:
    def fail(request: Any) -> None:
        if isinstance(request, Drop):
            raise BackendUnavailable("away")

    options = replace(OPTIONS, funnels=[(8,)])
    store.before = fail
    with connect(filled, runtime) as nv:
        report = nv.dimensions("docs", options=options)
        (left,) = [name for name in store.names if name.startswith("nestvec-measure")]
        assert f"the temporary collection '{left}' could not be dropped" in "\n".join(report.warnings)
        store.before = lambda request: None
        again = nv.dimensions("docs", options=options)
    assert f"backend 'store' holds {left}: left by a measurement that was killed" in "\n".join(again.warnings)
    assert left in store.names, "it may belong to a measurement that is under way"


@pytest.mark.parametrize("kind", [Create, Write, Query])
def test_an_interruption_leaves_no_temporary_collection(
    filled: dict[str, Any], runtime: Runtime, store: Store, kind: type
) -> None:
    before = store.names

    def interrupt(request: Any) -> None:
        if isinstance(request, kind):
            raise KeyboardInterrupt

    store.before = interrupt
    with connect(filled, runtime) as nv, pytest.raises(KeyboardInterrupt):
        nv.dimensions("docs", options=replace(OPTIONS, time=True))
    assert store.names == before


def test_a_backend_without_funnels_says_so(tmp_path: Path, runtime: Runtime, monkeypatch: pytest.MonkeyPatch) -> None:
    without = replace(CAPABILITIES, powers=CAPABILITIES.powers - {Power.FUNNELS})
    monkeypatch.setattr(sys.modules[__name__], "CAPABILITIES", without)
    with connect(values(tmp_path), runtime) as nv:
        texts = [document.text for document in DOCUMENTS[:60]]
        report = nv.dimensions(texts=texts, embedder="trained", options=replace(OPTIONS, funnels=[(8,)]))
    assert report.funnels == ()
    assert "the funnel 8 was not measured: backend 'store' cannot search coarse to fine" in "\n".join(report.warnings)


# ---------------------------------------------------------------- asynchronously


async def test_asynchronously_the_same(filled: dict[str, Any], runtime: Runtime, store: Store) -> None:
    before, options = store.names, replace(OPTIONS, funnels=[(8,)])
    with connect(filled, runtime) as nv:
        wanted = nv.dimensions("docs", queries=labelled(), options=options)
    async with aconnect(filled, runtime) as nv:
        found = await nv.dimensions("docs", queries=labelled(), options=options)
        texts = await nv.dimensions(texts=DOCUMENTS, embedder="flat", options=OPTIONS)
    assert found.curves == wanted.curves
    assert found.recommendation == wanted.recommendation
    assert found.funnels[0].recall == wanted.funnels[0].recall
    assert [curve.name for curve in texts.curves] == ["plain", "nested"]
    assert store.names == before


async def test_a_cancelled_measurement_leaves_no_temporary_collection(
    filled: dict[str, Any], runtime: Runtime, store: Store
) -> None:
    before, loop = store.names, asyncio.get_running_loop()

    def cancel(request: Any) -> None:
        if isinstance(request, Query):
            loop.call_soon_threadsafe(task.cancel)

    store.before = cancel
    async with aconnect(filled, runtime) as nv:
        task = asyncio.ensure_future(nv.dimensions("docs", options=replace(OPTIONS, time=True)))
        with pytest.raises(asyncio.CancelledError):
            await task
    assert store.names == before


# ---------------------------------------------------------------- the real thing


def test_on_the_embedded_stack_with_and_without_the_rotation(tmp_path: Path) -> None:
    documents = docstrings(230)
    config = {
        "backends": {"store": {"use": "qdrant", "path": str(tmp_path / "qdrant")}},
        "embedders": {"small": {"use": "e5"}},
        "collections": {"docs": {}},
    }
    options = DimensionsOptions(resamples=200, k=5, dimensions=(64, 192), funnels=[(64, 192)])
    with connect(config) as nv:
        nv.apply()
        nv["docs"].upsert(documents[80:])
        report = nv.dimensions("docs", queries=[each.text for each in documents[:80]], options=options)
        assert finished(nv.adapter("store").list_collections, ListCollections()) == ["docs_1"]
        shipped = nv.embedder("small").rotation()
    assert shipped is not None
    plain, nested = report.curves
    assert nested.rotation == fingerprint(shipped)
    assert [point.dimensions for point in nested.points] == [64, 192, 384]
    assert nested.points[0].recall.value > plain.points[0].recall.value
    assert plain.points[-1].recall.value == nested.points[-1].recall.value == 1
    assert report.funnels[0].plain_recall.value == 1
    assert report.funnels[0].recall.value > nested.points[0].recall.value


def test_a_collection_that_somebody_else_made_is_only_read(tmp_path: Path, runtime: Runtime, store: Store) -> None:
    config = values(tmp_path, adopt=True, foreign={"collection": "articles", "text": "body"})
    texts = [document.text for document in DOCUMENTS[:120]]
    with connect(config, runtime) as nv:
        rows = nv.embed(texts, task="retrieval.passage", embedder="trained")
        payloads = [{"key": f"k{number}", "body": text} for number, text in enumerate(texts)]
        make_foreign(store, "articles", {"": rows}, payloads)
        nv.apply()
        stored = nv["docs"].matrix()
        queries = [Question(str(text)[:20], [name]) for name, text in zip(stored.ids, stored.texts, strict=True)][:30]
        report = nv.dimensions("docs", queries=queries, options=replace(OPTIONS, funnels=[(8,)]))
    assert (report.sample.texts, report.sample.labelled, report.expected) == (120, 30, 120)
    assert report.funnels[0].plain_recall.value == 1
    assert store.names == ["articles"]
