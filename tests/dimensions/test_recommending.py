"""Which size is recommended, and what is refused of what is asked."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nestvec._evaluation.bootstrap import Bootstrap, Interval
from nestvec._evaluation.options import DimensionsOptions
from nestvec._evaluation.recommend import Basis, percent, recommend
from nestvec._questions import Question
from nestvec.errors import InvalidInput

BASIS = Basis("recall@10", 0.99, 0.95, 500, 4500)
WHOLE = Interval(1.0, 1.0, 1.0)


def shares(**kept: tuple[float, float]) -> list[tuple[int, Interval]]:
    """`d64=(value, low)`, and the full 256."""
    return [*((int(name[1:]), Interval(value, low, 1.0)) for name, (value, low) in kept.items()), (256, WHOLE)]


def test_the_smallest_size_whose_interval_begins_high_enough() -> None:
    found = recommend("plain", shares(d32=(0.8, 0.7), d64=(0.995, 0.99), d128=(0.999, 0.995)), 1, BASIS)
    assert (found.dimensions, found.saved, found.curve, found.measure) == (64, 0.75, "plain", "recall@10")
    assert found.reason == (
        "64 of 256 dimensions keep 99.5 % of recall@10 (95 % interval 99 % to 100 %), with 500 questions among "
        "4,500 texts."
    )


def test_a_good_estimate_is_not_enough_but_is_told() -> None:
    found = recommend("plain", shares(d64=(0.995, 0.98), d128=(0.999, 0.995)), 1, BASIS)
    assert found.dimensions == 128
    assert found.reason.endswith("; 64 may do as well, which more questions might show.")


def test_exactly_what_is_wanted_is_enough() -> None:
    found = Bootstrap(500, 100, 0.95, 0).mean(np.full(500, 0.99))
    assert recommend("plain", [(64, found), (256, WHOLE)], 1, BASIS).dimensions == 64


def test_a_size_above_which_one_fails_is_luck() -> None:
    assert recommend("plain", shares(d64=(0.995, 0.99), d128=(0.98, 0.97)), 1, BASIS).dimensions == 256


def test_where_none_suffices_the_full_size_stays() -> None:
    found = recommend("nested", shares(d64=(0.5, 0.4), d128=(0.9, 0.8)), 1, BASIS)
    assert (found.dimensions, found.kept, found.saved) == (256, WHOLE, 0)
    assert "No shorter prefix that can be used is sure to keep 99 % of recall@10" in found.reason
    assert "may do" not in found.reason


@given(
    st.lists(st.tuples(st.floats(0.9, 1), st.floats(0, 0.1)), min_size=4, max_size=4),
    st.integers(1, 300),
    st.floats(0.5, 1),
)
def test_never_below_the_models_shortest_prefix_and_always_kept(
    drawn: list[tuple[float, float]], least: int, keep: float
) -> None:
    sizes = [(32 << number, Interval(value, value - below, 1)) for number, (value, below) in enumerate(drawn)]
    found = recommend("plain", [*sizes, (512, WHOLE)], least, Basis("recall@10", keep, 0.95, 1, 1))
    assert found.dimensions >= least or found.dimensions == 512
    assert all(kept.low >= keep - 1e-9 for size, kept in sizes if size >= found.dimensions)


def test_a_share_is_never_rounded_up() -> None:
    assert [percent(share) for share in (0.98999, 0.99, 1.0, 0.3)] == ["98.9 %", "99 %", "100 %", "30 %"]


# ---------------------------------------------------------------- what is asked


def test_sizes_are_powers_of_two_from_the_shortest_prefix_on() -> None:
    assert DimensionsOptions().sizes(32, 384) == (32, 64, 128, 256, 384)
    assert DimensionsOptions().sizes(48, 384) == (48, 64, 128, 256, 384)
    assert DimensionsOptions().sizes(1, 1024) == (16, 32, 64, 128, 256, 512, 1024)
    assert DimensionsOptions().sizes(768, 768) == (16, 32, 64, 128, 256, 512, 768)
    assert DimensionsOptions().sizes(1, 8) == (8,)
    assert DimensionsOptions(dimensions=[96, 64, 96]).sizes(32, 384) == (64, 96, 384)


@pytest.mark.parametrize("wrong", [0, -1, 385, 1.5, True, "64"])
def test_a_size_that_no_vector_has_is_refused(wrong: Any) -> None:
    with pytest.raises(InvalidInput, match="1 to 384"):
        DimensionsOptions(dimensions=[64, wrong]).sizes(32, 384)


@pytest.mark.parametrize("wrong", [(), (64, 32), (64, 64), (0, 64), (64, 384), (1.5,), "64"])
def test_a_funnel_ascends_below_the_full_size(wrong: Any) -> None:
    with pytest.raises(InvalidInput, match="funnel"):
        DimensionsOptions(funnels=[wrong]).stages(384)
    assert DimensionsOptions(funnels=[(64, 256), [32]]).stages(384) == ((64, 256), (32,))


@pytest.mark.parametrize(
    "wrong",
    [
        {"k": 0}, {"k": 2.0}, {"sample": 1}, {"questions": 0}, {"resamples": True}, {"expect": 0}, {"keep": 0},
        {"keep": 1.1}, {"confidence": 1}, {"confidence": "0.9"}, {"keep": float("nan")},
    ],
)  # fmt: skip
def test_numbers_that_make_no_sense_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(InvalidInput, match=next(iter(wrong))):
        DimensionsOptions(**wrong).check()


def test_labels_are_ids_or_ids_with_grades() -> None:
    assert Question("q", ["a", 7]).relevant == {"a": 1.0, "7": 1.0}
    assert Question("q", {"a": 2}).relevant == {"a": 2.0}
    for wrong in ("a", [None], {"a": 0}, {"a": -1}, {"a": "x"}, {"a": float("inf")}, [""], 3, {"a": True}):
        with pytest.raises(InvalidInput, match="question 'q'"):
            Question("q", wrong)
