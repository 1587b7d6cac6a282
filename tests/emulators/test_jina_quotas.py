"""Quotas from what was really served, latency, and what replies say about when to come back."""

from __future__ import annotations

import asyncio
import time
from concurrent.futures import ThreadPoolExecutor
from email.utils import parsedate_to_datetime

import httpx
import pytest

from nestvec_testing.emulators.jina import Hold, JinaEmulator
from nestvec_testing.emulators.jina.errors import JinaRefusal
from nestvec_testing.emulators.jina.limits import Rates
from nestvec_testing.emulators.jina.settings import JinaSettings


def codes(responses):
    return sorted(each.json().get("code", each.status_code) for each in responses if each.status_code != 200)


class Quota:
    """Rates on a clock of the test's own."""

    def __init__(self, **limits):
        self.now = 0.0
        self.rates = Rates(lambda: JinaSettings(**limits), lambda: self.now)

    def ask(self, at, tokens=1, key="k", address="a"):
        """None where it is served, else the code and the wait."""
        self.now = at
        try:
            self.rates.check_request(key, address)
            self.rates.check_tokens(key, tokens)
        except JinaRefusal as refusal:
            return refusal.code.removeprefix("RATE_").removesuffix("_LIMIT_EXCEEDED"), refusal.wait
        self.rates.serve(key, address, tokens)
        return None

    def left(self):
        return tuple(int(value) for value in self.rates.headers("k").values())


class TestWindows:
    def test_requests(self):
        quota = Quota(requests_per_minute=2)
        assert [quota.ask(at) for at in (0, 10)] == [None, None]
        assert quota.ask(20) == ("REQUEST", 40)
        assert quota.ask(59.5) == ("REQUEST", 0.5)
        assert quota.ask(60) is None
        assert quota.ask(61) == ("REQUEST", 9)
        assert quota.ask(61, key="other") is None

    def test_tokens(self):
        quota = Quota(tokens_per_minute=100)
        assert [quota.ask(at, tokens) for at, tokens in ((0, 60), (10, 40))] == [None, None]
        assert quota.ask(20, 1) == ("TOKEN", 40)
        assert quota.ask(20, 60) == ("TOKEN", 40)
        assert quota.ask(20, 61) == ("TOKEN", 50)
        assert quota.ask(20, 101) == ("TOKEN", 60)
        assert quota.left() == (0,)
        assert quota.ask(60, 60) is None

    def test_addresses(self):
        quota = Quota(ip_requests_per_minute=1, minute=5)
        assert quota.ask(0) is None
        assert quota.ask(1, key="other") == ("IP", 4)
        assert quota.ask(1, address="b") is None
        assert quota.ask(5) is None

    def test_nothing_is_ever_served_at_zero(self):
        assert Quota(requests_per_minute=0).ask(3) == ("REQUEST", 60)
        assert Quota(tokens_per_minute=0).ask(3) == ("TOKEN", 60)

    def test_a_limit_that_was_lowered(self):
        quota = Quota(requests_per_minute=3)
        assert [quota.ask(at) for at in (0, 1, 2)] == [None] * 3
        quota.rates._settings = lambda: JinaSettings(requests_per_minute=1)
        assert quota.ask(3) == ("REQUEST", 59)
        assert quota.left() == (0,)


class TestReplies:
    def test_what_is_left(self, described):
        assert not [name for name in described.post().headers if name.startswith("x-ratelimit")]
        described.emulator.dial(requests_per_minute=4, tokens_per_minute=100)
        reply = described.post("word word")
        assert reply.headers["x-ratelimit-remaining-requests"] == "2"  # the one above counts
        assert reply.headers["x-ratelimit-remaining-tokens"] == "93"

    def test_refused_requests_cost_nothing(self, described):
        described.emulator.dial(requests_per_minute=2, tokens_per_minute=6)
        assert described.post(dimensions=0).status_code == 422
        assert codes([described.post("word " * 9)]) == ["RATE_TOKEN_LIMIT_EXCEEDED"]
        assert [described.post("word").status_code for _ in range(2)] == [200, 200]
        assert described.post("").json()["code"] == "RATE_REQUEST_LIMIT_EXCEEDED"
        assert described.emulator.counters.tokens == 6

    def test_an_address_has_a_quota_too(self, described):
        described.emulator.dial(ip_requests_per_minute=1)
        described.post()
        assert described.post().json()["code"] == "RATE_IP_LIMIT_EXCEEDED"

    def test_a_short_minute(self, described):
        described.emulator.dial(requests_per_minute=1, minute=0.2, retry_after="decimal")
        described.post()
        wait = float(described.post().headers["retry-after"])
        assert 0 < wait <= 0.2
        time.sleep(wait)
        assert described.post().status_code == 200

    def test_seconds(self, described):
        described.emulator.dial(requests_per_minute=0, minute=7.2)
        assert described.post().headers["retry-after"] == "8"

    @pytest.mark.parametrize("skew", [0.0, 3600.0, -3600.0])
    def test_a_date_by_the_servers_own_clock(self, described, skew):
        described.emulator.dial(requests_per_minute=0, minute=100, retry_after="date", clock_skew=skew)
        reply = described.post()
        again, now = (parsedate_to_datetime(reply.headers[name]) for name in ("retry-after", "date"))
        assert 99 <= (again - now).total_seconds() <= 102
        assert abs(now.timestamp() - time.time() - skew) < 10
        assert len(reply.headers.get_list("date")) == 1

    def test_nothing(self, described):
        described.emulator.dial(requests_per_minute=0, retry_after="absent")
        assert "retry-after" not in described.post().headers


class TestInFlight:
    async def test_concurrency(self, described):
        holds = [Hold(), Hold()]
        described.emulator.dial(concurrency=2, latency=0.01)
        for hold in holds:
            described.emulator.inject(hold)
        held = [asyncio.create_task(described.post_all([text])) for text in "ab"]
        for hold in holds:
            assert await asyncio.to_thread(hold.arrived.wait, 10)
        refused = await described.post_all("cdefg")
        assert codes(refused) == ["RATE_CONCURRENCY_LIMIT_EXCEEDED"] * 5
        assert {each.headers["retry-after"] for each in refused} == {"1"}
        for hold in holds:
            hold.release()
        assert [codes(replies) for replies in await asyncio.gather(*held)] == [[], []]
        assert codes(await described.post_all("cd")) == []

    async def test_latency_is_shared(self, described):
        described.emulator.latency = 0.3
        started = time.monotonic()
        assert codes(await described.post_all(["x"] * 30)) == []
        assert 0.3 <= time.monotonic() - started < 4
        assert described.emulator.journal.peak > 20
        assert all(each.ended - each.started >= 0.29 for each in described.emulator.exchanges)

    async def test_refusals_come_at_once(self, described):
        described.emulator.latency = 30
        started = time.monotonic()
        assert codes(await described.post_all(["x"], dimensions=0)) == [422]
        assert time.monotonic() - started < 10

    def test_stopping_lets_go_of_what_waits(self):
        with JinaEmulator(latency=60, keys=None) as emulator, ThreadPoolExecutor() as threads:
            body = {"model": "jina-embeddings-v3", "input": "x"}
            late = threads.submit(httpx.post, f"{emulator.base_url}/embeddings", json=body, timeout=30)
            while not emulator.counters.requests:
                time.sleep(0.001)
            emulator.close()
            assert late.result(20).status_code == 200
