"""The plan of faults and the journal by themselves: no server, no clock."""

from __future__ import annotations

from collections import Counter
from itertools import count

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nestvec.errors import InvalidInput
from nestvec_testing.emulators.faults import Cut, Hold, HttpStatus, Malformed
from nestvec_testing.emulators.journal import Exchange, Journal
from nestvec_testing.emulators.plan import FaultPlan, Storm

CUT, BUSY = Cut(), HttpStatus(status=503)


@pytest.fixture
def plan():
    return FaultPlan()


class TestPlanned:
    def test_the_nth_request(self, plan):
        plan.add(CUT, skip=2, times=2)
        assert [plan.take("GET", "/a") for _ in range(6)] == [None, None, CUT, CUT, None, None]

    def test_all_requests(self, plan):
        plan.add(CUT, times=None)
        assert plan.pending == (CUT,)
        assert [plan.take("GET", "/a") for _ in range(9)] == [CUT] * 9
        assert plan.pending == ()

    def test_only_matching_ones_in_order_of_planning(self, plan):
        plan.add(CUT, path="*/points", method="PUT")
        plan.add(BUSY, path="/a*", times=2)
        asked = [("GET", "/b/points"), ("PUT", "/a/points"), ("PUT", "/a/points"), ("PUT", "/b"), ("GET", "/a")]
        assert [plan.take(*each) for each in asked] == [None, CUT, BUSY, None, BUSY]

    def test_pending_counts_each_time(self, plan):
        plan.add(CUT, times=3)
        plan.take("GET", "/")
        assert plan.pending == (CUT, CUT)

    def test_only_requests_with_something_in_them(self, plan):
        plan.add(CUT, containing=b"poison", times=2)
        asked = [b"", b"a poison", b"water", b"poison", b"poison"]
        assert [plan.take("POST", "/a", body) for body in asked] == [None, CUT, None, CUT, None]

    def test_clearing_releases(self, plan):
        hold = Hold()
        plan.add(hold)
        plan.storm(Storm(1, {CUT: 1.0}))
        plan.take("GET", "/")
        plan.clear()
        assert hold._released.done()
        assert plan.take("GET", "/") is None


def storms(plan, requests):
    """What each request met: a list for each."""
    met = {request: [] for request in requests}
    for request in requests:
        met[request].append(plan.take("POST", "/x", request))
    return met


class TestStorms:
    @given(
        st.integers(0, 2**40),
        st.lists(st.binary(max_size=2), max_size=40).flatmap(
            lambda all_: st.tuples(st.just(all_), st.permutations(all_))
        ),
    )
    def test_the_order_of_different_requests_does_not_matter(self, seed, orders):
        storm = Storm(seed, {CUT: 0.3, BUSY: 0.3})
        first, second = FaultPlan(), FaultPlan()
        first.storm(storm)
        second.storm(storm)
        assert storms(first, orders[0]) == storms(second, orders[1])

    def test_the_probabilities_are_kept(self, plan):
        plan.storm(Storm(5, {CUT: 0.1, BUSY: 0.25}))
        met = Counter(plan.take("POST", "/x", b"%d" % number) for number in range(4000))
        assert met[CUT] == pytest.approx(400, abs=80)
        assert met[BUSY] == pytest.approx(1000, abs=120)

    def test_seeds_differ(self):
        def drawn(seed):
            return [Storm(seed, {CUT: 0.5}).draw(b"", time) for time in range(50)]

        assert drawn(1) == drawn(1)
        assert drawn(1) != drawn(2)

    def test_a_limit_for_one_and_the_same_request(self, plan):
        plan.storm(Storm(1, {CUT: 1.0}, most=2))
        assert [plan.take("POST", "/x", b"a") for _ in range(6)] == [CUT, CUT, None] * 2
        assert plan.take("POST", "/x", b"b") == CUT
        endless = FaultPlan()
        endless.storm(Storm(1, {CUT: 1.0}, most=None))
        assert {endless.take("POST", "/x") for _ in range(20)} == {CUT}

    def test_only_where_it_blows(self, plan):
        plan.storm(Storm(1, {CUT: 1.0}, most=None), path="/x", method="POST")
        assert [plan.take(*each) for each in (("GET", "/x"), ("POST", "/y"), ("POST", "/x"))] == [None, None, CUT]
        assert plan.pending == ()

    def test_planned_faults_come_first(self, plan):
        plan.storm(Storm(1, {CUT: 1.0}))
        plan.add(BUSY)
        assert [plan.take("POST", "/x") for _ in range(2)] == [BUSY, CUT]

    @pytest.mark.parametrize("chances", [(0.6, 0.5), (-0.1, 0.5)])
    def test_impossible_probabilities(self, chances):
        with pytest.raises(InvalidInput, match="from 0 to 1 together"):
            Storm(1, dict(zip((CUT, BUSY), chances, strict=True)))

    def test_certainty(self):
        storm = Storm(1, {Malformed(): 0.1, CUT: 0.2, BUSY: 0.7})
        assert None not in [storm.draw(b"", time) for time in range(100)]


def exchange(path):
    return Exchange(method="GET", path=path, query=(), headers={}, raw=b"")


class TestJournal:
    def test_order_times_and_requests_in_flight(self):
        journal = Journal(clock=count(1.0).__next__)
        first, second = journal.begin(exchange("/1")), journal.begin(exchange("/2"))
        assert (journal.in_flight, journal.answered) == (2, ())
        journal.end(second, 200, b"[1]")
        journal.end(first, 0, b"")
        journal.begin(exchange("/3"))
        seen = [(each.path, each.started, each.ended, each.in_flight, each.status) for each in journal.requests]
        assert seen == [("/1", 1, 4, 1, 0), ("/2", 2, 3, 2, 200), ("/3", 5, None, 1, 0)]
        assert [(each.path, each.answer) for each in journal.answered] == [("/2", [1]), ("/1", None)]
        assert (journal.in_flight, journal.peak) == (1, 2)

    def test_clearing_under_way(self):
        journal = Journal()
        tickets = [journal.begin(exchange("/")) for _ in range(2)]
        journal.end(tickets[0], 200, b"")
        journal.clear()
        assert (journal.requests, journal.in_flight, journal.peak) == ((), 1, 1)
        journal.end(tickets[1], 200, b"")
        assert (journal.requests, journal.in_flight) == ((), 0)

    def test_keeping_the_latest(self):
        journal = Journal(keep=2)
        for path in ("/1", "/2", "/3"):
            journal.end(journal.begin(exchange(path)), 200, b"")
        assert [each.path for each in journal.requests] == ["/2", "/3"]
        assert journal.in_flight == 0

    @pytest.mark.parametrize("raw", [b"", b"{", b"\xff", b"plain"])
    def test_what_is_no_json(self, raw):
        assert Exchange(method="GET", path="/", query=(), headers={}, raw=raw, reply=raw).body is None
