"""The figures themselves: against slow direct computations, and what has to hold whatever the data."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nestvec._evaluation import scoring
from nestvec._evaluation.bootstrap import Bootstrap
from nestvec._evaluation.labels import Labels
from nestvec._evaluation.measure import Trial, bytes_a_vector, measure
from nestvec._evaluation.scoring import Neighbours, aligned, nearest
from nestvec.types import Metric, Storage


def vectors(seed: int, count: int, size: int, *, repeats: int = 1) -> np.ndarray:
    """Random rows, each of them `repeats` times."""
    rows = np.random.default_rng(seed).standard_normal((-(-count // repeats), size)).astype(np.float32)
    return np.repeat(rows, repeats, axis=0)[:count]


def score(question: np.ndarray, row: np.ndarray, metric: Metric) -> float:
    one, two = question.astype(np.float64), row.astype(np.float64)
    if metric is Metric.EUCLIDEAN:
        return -float(((one - two) ** 2).sum())
    if metric is Metric.COSINE:
        one, two = one / np.linalg.norm(one), two / np.linalg.norm(two)
    return float(one @ two)


def slow_recall(trial: Trial, size: int, k: int) -> list[float]:
    """Sort everything, and count who is as near as the k-th at full size."""
    shares = []
    for question in trial.questions:
        full = [score(question, row, trial.metric) for row in trial.rows]
        least = sorted(full, reverse=True)[:k][-1]
        short = [score(question[:size], row[:size], trial.metric) for row in trial.rows]
        found = sorted(range(len(short)), key=lambda number: -short[number])[:k]
        shares.append(sum(full[number] >= least - 1e-6 for number in found) / min(k, len(full)))
    return shares


def trial(questions: np.ndarray, rows: np.ndarray, metric: Metric = Metric.COSINE, **more: object) -> Trial:
    normalized = metric is Metric.COSINE
    return Trial(questions, rows, [f"d{i}" for i in range(len(rows))], metric=metric, normalized=normalized, **more)


def measured(one: Trial, sizes: list[int], k: int) -> list:
    return measure(one, sizes, Neighbours(one.questions, one.rows, k, one.metric), k)


TRIALS = st.builds(
    lambda seed, count, size, repeats, metric: trial(
        vectors(seed + 1, 7, size), vectors(seed, count, size, repeats=repeats), metric
    ),
    st.integers(0, 2**31),
    st.integers(1, 40),
    st.integers(2, 24),
    st.integers(1, 3),
    st.sampled_from(Metric),
)


@settings(max_examples=60, deadline=None)
@given(TRIALS, st.integers(1, 8))
def test_at_full_size_everything_is_found_even_among_equal_vectors(one: Trial, k: int) -> None:
    (full,) = measured(one, [one.rows.shape[1]], k)
    assert (full.recall == 1).all()


@settings(max_examples=60, deadline=None)
@given(TRIALS.filter(lambda one: len(np.unique(one.rows, axis=0)) == len(one.rows)), st.integers(1, 8), st.data())
def test_recall_is_what_a_slow_computation_says(one: Trial, k: int, data: st.DataObject) -> None:
    size = data.draw(st.integers(1, one.rows.shape[1]))
    if size == 1 and one.metric is Metric.COSINE:
        return  # of one dimension: signs, and so ties without end
    (found,) = measured(one, [size], k)
    np.testing.assert_allclose(found.recall, slow_recall(one, size, k))


@settings(max_examples=30, deadline=None)
@given(TRIALS, st.integers(1, 8), st.randoms())
def test_the_order_of_the_texts_does_not_matter(one: Trial, k: int, random: object) -> None:
    if len(np.unique(one.rows, axis=0)) < len(one.rows):
        return  # of equal prefixes, any may come first
    order = list(range(len(one.rows)))
    random.shuffle(order)  # type: ignore[attr-defined]
    other = trial(one.questions, one.rows[order], one.metric)
    size = max(2, one.rows.shape[1] // 2)
    for before, after in zip(measured(one, [size], k), measured(other, [size], k), strict=True):
        np.testing.assert_allclose(before.recall, after.recall)
        np.testing.assert_allclose(before.quantised[Storage.INT8], after.quantised[Storage.INT8], atol=1 / k + 1e-9)


@settings(max_examples=30, deadline=None)
@given(TRIALS, st.integers(1, 8))
def test_rescoring_never_finds_less_at_full_size(one: Trial, k: int) -> None:
    (full,) = measured(one, [one.rows.shape[1]], k)
    for storage in (Storage.INT8, Storage.BINARY):
        assert (full.quantised[storage] >= full.unrescored[storage] - 1e-9).all()


def test_rescoring_finds_what_the_signs_alone_do_not() -> None:
    (full,) = measured(trial(vectors(1, 50, 64), vectors(2, 500, 64)), [64], 10)
    for storage in (Storage.INT8, Storage.BINARY):
        assert full.quantised[storage].mean() > full.unrescored[storage].mean()
    assert full.unrescored[Storage.INT8].mean() > full.unrescored[Storage.BINARY].mean()


def test_a_place_that_is_not_filled_is_no_neighbour() -> None:
    found = Neighbours(vectors(1, 2, 4), vectors(1, 6, 4), 2, Metric.COSINE)
    assert found.recall(np.array([[0, -1], [-1, -1]])).tolist() == [0.5, 0]


def test_longer_prefixes_of_nested_vectors_find_more() -> None:
    scales = (0.75 ** np.arange(64)).astype(np.float32)
    one = trial(vectors(1, 200, 64) * scales, vectors(2, 800, 64) * scales)
    found = [float(each.recall.mean()) for each in measured(one, [2, 4, 8, 16, 32, 64], 10)]
    assert found == sorted(found)
    assert found[0] < 0.5
    assert found[-1] == 1


def test_a_prefix_that_holds_everything_finds_everything() -> None:
    questions, rows = vectors(1, 20, 32), vectors(2, 200, 32)
    questions[:, 8:] = rows[:, 8:] = 0
    short, enough, more = measured(trial(questions, rows), [4, 8, 16], 10)
    assert short.recall.mean() < 1
    assert (enough.recall == 1).all()
    assert (more.recall == 1).all()


def test_blocks_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    rows, questions = vectors(1, 90, 16), vectors(2, 30, 16)
    relevant = [{f"d{number}": 1.0} for number in range(30)]
    one = trial(questions, rows, labelled=range(30), relevant=relevant)
    whole = measured(one, [4, 16], 5)
    monkeypatch.setattr(scoring, "_BLOCK", 100)
    for before, after in zip(whole, measured(one, [4, 16], 5), strict=True):
        np.testing.assert_allclose(before.recall, after.recall)
        np.testing.assert_allclose(before.ndcg, after.ndcg)
        np.testing.assert_allclose(before.quantised[Storage.BINARY], after.quantised[Storage.BINARY], atol=0.2)


def test_no_matrix_of_texts_by_texts_is_made(monkeypatch: pytest.MonkeyPatch) -> None:
    """A block of scores is at most so large, unless a single question takes more."""
    assert [part.stop - part.start for part in scoring.blocks(10, 1_500_000)] == [2, 2, 2, 2, 2]
    assert [part.stop - part.start for part in scoring.blocks(3, 10**9)] == [1, 1, 1]


def test_neighbours_come_best_first() -> None:
    left, right = aligned(vectors(1, 5, 8), vectors(2, 50, 8), Metric.EUCLIDEAN)
    for question, places in zip(vectors(1, 5, 8), nearest(left, right, 50), strict=True):
        found = [score(question, vectors(2, 50, 8)[place], Metric.EUCLIDEAN) for place in places]
        assert found == sorted(found, reverse=True)


# ---------------------------------------------------------------- labels


def slow_ndcg(scores: dict[str, float], relevant: dict[str, float]) -> float:
    ranked = sorted(scores, key=lambda name: (-scores[name], name))[:10]
    best = sorted(relevant.values(), reverse=True)[:10]
    gained = sum(relevant.get(name, 0) / math.log2(rank + 2) for rank, name in enumerate(ranked))
    return gained / sum(grade / math.log2(rank + 2) for rank, grade in enumerate(best))


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**31), st.integers(1, 40), st.data())
def test_ndcg_is_of_documents_each_as_good_as_its_best_text(seed: int, count: int, data: st.DataObject) -> None:
    names = [f"d{data.draw(st.integers(0, 15))}" for _ in range(count)]
    rows, questions = vectors(seed, count, 8), vectors(seed + 1, 4, 8)
    grades = st.dictionaries(st.sampled_from(names), st.integers(1, 3).map(float), min_size=1)
    relevant = [data.draw(grades) for _ in questions]
    left, right = aligned(questions, rows, Metric.COSINE)
    found = Labels(names, relevant).ndcg(left, right)
    for number, question in enumerate(questions):
        best: dict[str, float] = {}
        for name, row in zip(names, rows, strict=True):
            best[name] = max(best.get(name, -2.0), score(question, row, Metric.COSINE))
        assert found[number] == pytest.approx(slow_ndcg(best, relevant[number]))


# ---------------------------------------------------------------- intervals


def test_the_same_seed_gives_the_same_interval() -> None:
    values = np.random.default_rng(0).random(80)
    one, same, other = (Bootstrap(80, 300, 0.9, seed).mean(values) for seed in (1, 1, 2))
    assert one == same
    assert one != other
    assert one.low < one.value < one.high


def test_an_interval_covers_the_truth_about_as_often_as_it_says() -> None:
    generator = np.random.default_rng(5)
    covered = 0
    for seed in range(300):
        found = Bootstrap(100, 300, 0.9, seed).mean((generator.random(100) < 0.7).astype(np.float64))
        covered += found.low <= 0.7 <= found.high
    assert 0.85 <= covered / 300 <= 0.95


def test_a_share_is_of_the_same_questions() -> None:
    """Half of whatever a question gives is exactly half, however much the questions differ."""
    whole = np.random.default_rng(0).random(50) * 10
    share = Bootstrap(50, 200, 0.95, 0).share(whole / 2, whole)
    assert share is not None
    assert (share.low, share.value, share.high) == pytest.approx((0.5, 0.5, 0.5))


def test_a_share_of_nothing_is_none_and_empty_resamples_are_passed_over() -> None:
    nothing = np.zeros(5)
    assert Bootstrap(5, 200, 0.95, 0).share(nothing, nothing) is None
    one = np.array([0.0, 0.0, 0.0, 0.0, 1.0])  # a third of the resamples lack it
    share = Bootstrap(5, 200, 0.95, 0).share(one / 2, one)
    assert share is not None
    assert share.low == share.high == 0.5


@pytest.mark.parametrize(("size", "wanted"), [(384, (1536, 768, 384, 48)), (9, (36, 18, 9, 2))])
def test_bytes_a_vector(size: int, wanted: tuple[int, ...]) -> None:
    assert tuple(bytes_a_vector(size).values()) == wanted
