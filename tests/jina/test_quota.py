"""Rates and concurrency: never more in any minute, nobody waits longer than needed, adaptation both ways."""

from __future__ import annotations

import math

from hypothesis import given
from hypothesis import strategies as st

from nestvec.embedders.jina.quota import MINUTE, BatchSize, Quota, Width

loads = st.lists(st.tuples(st.floats(0, 20), st.integers(1, 400), st.integers(1, 500)), min_size=1, max_size=80)


def drive(quota, load):
    """Each request comes some time after the one before, waits as long as it is told to, and is settled."""
    now, started = 0.0, []
    for gap, estimate, used in load:
        now += gap
        while (wait := quota.delay(now, estimate)) > 0:
            now += wait
        entry = quota.take(now, estimate)
        quota.settle(entry, used)
        started.append((now, used))
    return started


@given(loads, st.integers(1, 10))
def test_never_more_requests_in_any_minute(load, limit):
    started = [at for at, _ in drive(Quota(limit, 0), load)]
    for i, at in enumerate(started):
        assert sum(at - MINUTE + 1e-6 < other <= at for other in started[: i + 1]) <= limit


@given(loads, st.integers(100, 2000))
def test_tokens_of_a_minute_exceed_the_limit_by_one_request_at_most(load, limit):
    started = drive(Quota(0, limit), load)
    for i, (at, _) in enumerate(started):
        before = sum(used for other, used in started[:i] if at - MINUTE + 1e-6 < other)
        estimate = min(load[i][1], limit)
        assert before == 0 or before + estimate <= limit


def test_nothing_waits_without_need():
    quota = Quota(2, 1000)
    assert quota.delay(0, 500) == 0
    quota.take(0, 500)
    assert quota.delay(1, 500) == 0
    quota.take(1, 500)
    assert quota.delay(1, 1) == MINUTE - 1
    assert quota.delay(MINUTE, 500) == 0


def test_a_request_over_the_whole_quota_waits_for_an_empty_minute_and_then_goes():
    quota = Quota(0, 100)
    quota.take(0, 10)
    assert quota.delay(5, 5000) == MINUTE - 5
    assert quota.delay(MINUTE, 5000) == 0


def test_no_limits_no_waiting():
    quota = Quota(0, 0)
    for _ in range(1000):
        assert quota.delay(0, 10**6) == 0
        quota.take(0, 10**6)


def test_what_the_server_says_is_left_counts():
    quota = Quota(100, 0)
    quota.take(0, 1)
    quota.hear(0, None, 0)
    assert quota.delay(1, 1) == MINUTE - 1
    assert quota.delay(MINUTE + 0.1, 1) == 0, "a minute later it is out of date"
    quota.take(MINUTE + 0.1, 1)
    quota.hear(3, 50, 0)
    assert quota.delay(MINUTE + 0.2, 1) == 0
    for _ in range(3):
        quota.take(MINUTE + 0.2, 1)
    assert quota.delay(MINUTE + 0.3, 1) > 0, "three were left, and three were taken"


def test_requests_in_flight_are_not_forgotten():
    quota = Quota(100, 0)
    quota.take(0, 1)
    quota.hear(2, None, in_flight=2)
    assert quota.delay(1, 1) > 0


def test_blocked_until():
    quota = Quota(0, 0)
    quota.block(7.0)
    quota.block(3.0)
    assert quota.delay(5.0, 1) == 2.0
    assert quota.delay(7.0, 1) == 0


def test_estimates_are_corrected():
    quota = Quota(0, 100)
    entry = quota.take(0, 90)
    assert quota.delay(0, 50) > 0
    quota.settle(entry, 10)
    assert quota.delay(0, 50) == 0


@given(st.integers(1, 64), st.integers(0, 200))
def test_width_halves_and_grows_back(most, successes):
    width = Width(most)
    assert width.now == most
    width.refused(9.0, 10.0, most)
    assert width.now == max(1, most // 2)
    width.refused(9.9, 10.5, most)
    assert width.now == max(1, most // 2), "a burst of refusals counts once"
    again = Width(most)
    again.refused(9.0, 10.0, most)
    again.refused(10.1, 10.2, most)
    assert again.now == max(1, most // 4), "what was sent after a halving teaches more"
    for _ in range(successes):
        width.succeeded()
        assert 1 <= width.now <= most
    for _ in range(most * most + 1):
        width.succeeded()
    assert width.now == most


def test_batches_shrink_when_slow_and_grow_when_quick():
    size = BatchSize(256, patience=10.0)
    size.failed(256)
    assert size.now == 128
    size.succeeded(128, 20.0)
    assert size.now == math.floor(128 * 0.8)
    size.succeeded(3, 0.1)
    assert size.now == math.floor(128 * 0.8), "a small request says nothing about large ones"
    for _ in range(20):
        size.succeeded(size.now, 0.1)
    assert size.now == 256
    for _ in range(20):
        size.failed(1)
    assert size.now == 1
