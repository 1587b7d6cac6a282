"""The governor over real HTTP: quotas kept, storms survived, nothing left behind."""

from __future__ import annotations

import asyncio
import os
import threading
import time
from dataclasses import replace

import numpy as np
import pytest

from nestvec.embedders.jina.embedder import JinaEmbedder
from nestvec.embedders.jina.engine import ENGINE
from nestvec.embedders.jina.options import JinaOptions
from nestvec.errors import EmbedderError
from nestvec_testing.emulators.jina import (
    Cut,
    Delay,
    DuplicateIndex,
    Hold,
    HttpStatus,
    Malformed,
    NotFiniteVectors,
    Reordered,
    Storm,
    WrongCount,
    plain_vectors,
)

from .conftest import KEY, ask, group

TEXTS = [f"text number {i}" for i in range(40)]
SEEDS = range(100) if os.environ.get("NESTVEC_SOAK") else range(5)


def documents(count):
    return [group(f"d{i}", f"text number {i}") for i in range(count)]


def wanted(count):
    return plain_vectors([f"text number {i}" for i in range(count)], task="retrieval.passage", dimensions=64)


def options(emulator, **values):
    return JinaOptions.model_validate(
        {"api_key": {"env": KEY}, "base_url": emulator.base_url, "backoff": 0.0, **values}
    )


def quick_minute(monkeypatch, seconds):
    """Quotas of a minute that is over soon, on our side, too."""
    monkeypatch.setattr("nestvec.embedders.jina.quota.MINUTE", seconds)
    monkeypatch.setattr(
        "nestvec.embedders.jina.governor.Quota",
        lambda requests, tokens: __import__("nestvec.embedders.jina.quota", fromlist=["Quota"]).Quota(
            requests, tokens, seconds
        ),
    )


STORM = {
    HttpStatus(status=429): 0.04,
    HttpStatus(status=429, retry_after=0): 0.04,
    HttpStatus(status=500): 0.05,
    HttpStatus(status=503): 0.03,
    Cut(): 0.04,
    Cut(applied=True): 0.03,
    Malformed(): 0.03,
    WrongCount(by=-1): 0.02,
    WrongCount(by=1): 0.01,
    DuplicateIndex(): 0.02,
    Reordered(): 0.1,
    NotFiniteVectors(): 0.02,
    Delay(seconds=0.02): 0.1,
}


@pytest.mark.parametrize("seed", SEEDS)
def test_in_a_storm_every_text_ends_once(emulator, monkeypatch, seed):
    """10,000 texts, some of them poisoned: each is embedded, and rightly, or named as failed."""
    monkeypatch.setattr("nestvec.embedders.jina.governor._FIRST_PAUSE", 0.001)
    emulator.storm(Storm(seed, STORM, most=4))
    emulator.poison("POISON", HttpStatus(status=422))
    poisoned = {i for i in range(10_000) if i % 1777 == seed % 7}
    whole = [group(f"d{i}", f"text number {i % 500}" + (" POISON" if i in poisoned else "")) for i in range(10_000)]
    embedder = JinaEmbedder(options(emulator, requests_per_minute=0, tokens_per_minute=0, batch=100, attempts=12))
    try:
        replies = [embedder.encode(ask(*whole[start : start + 2500])) for start in range(0, 10_000, 2500)]
    finally:
        embedder.close()
    rows = [row for reply in replies for row in reply.vectors]
    failed = {2500 * part + failure.group for part, reply in enumerate(replies) for failure in reply.failures}
    assert failed == {i for i, row in enumerate(rows) if row is None}
    assert failed >= poisoned
    assert failed == poisoned, "a storm that blows over costs nobody"
    expected = wanted(500)
    for i, row in enumerate(rows):
        if row is not None:
            np.testing.assert_allclose(row[0], expected[i % 500], atol=1e-6)
    assert sum(reply.usage.retries for reply in replies) > 0
    assert emulator.journal.in_flight == 0


def test_quotas_are_never_exceeded(open_jina, emulator, monkeypatch):
    quick_minute(monkeypatch, 0.5)
    emulator.dial(requests_per_minute=4, minute=0.45)
    reply = open_jina(batch=2, requests_per_minute=4).encode(ask(*documents(24)))
    assert reply.failures == ()
    assert reply.usage.retries == 0, "nothing was refused: the quota was kept on our side"
    assert not emulator.counters.refused


def test_tokens_a_minute_are_kept(open_jina, emulator, monkeypatch):
    quick_minute(monkeypatch, 0.5)
    emulator.dial(tokens_per_minute=400, minute=0.45)
    reply = open_jina(batch=4, tokens_per_minute=400).encode(ask(*documents(40)))
    assert reply.failures == ()
    assert not emulator.counters.refused


def test_a_stricter_server_is_obeyed(open_jina, emulator, monkeypatch):
    """The quota is configured too high: the headers and refusals of the server count."""
    quick_minute(monkeypatch, 0.4)
    emulator.dial(requests_per_minute=3, minute=0.3, retry_after="decimal")
    reply = open_jina(batch=2, requests_per_minute=1000).encode(ask(*documents(24)))
    assert reply.failures == ()
    assert emulator.counters.requests == 12


def test_concurrency_is_learned_from_refusals(open_jina, emulator):
    emulator.dial(concurrency=3, latency=0.01)
    reply = open_jina(batch=1, concurrency=12, requests_per_minute=0, attempts=40, backoff=0.01).encode(
        ask(*documents(60))
    )
    assert reply.failures == ()
    late = emulator.exchanges[len(emulator.exchanges) // 2 :]
    refused = sum(each.status == 429 for each in late)
    assert refused <= len(late) / 3, "most refusals come early"


def test_requests_in_flight_are_as_many_as_configured(open_jina, emulator):
    emulator.dial(latency=0.05)
    open_jina(batch=1, concurrency=5, requests_per_minute=0).encode(ask(*documents(20)))
    assert emulator.journal.peak == 5


def test_embedders_with_one_key_share_a_quota(emulator, monkeypatch):
    quick_minute(monkeypatch, 0.5)
    emulator.dial(requests_per_minute=4, minute=0.45)
    one, two = (JinaEmbedder(options(emulator, batch=2, requests_per_minute=4)) for _ in range(2))
    try:
        threads = [threading.Thread(target=each.encode, args=(ask(*documents(12)),)) for each in (one, two)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        one.close()
        two.close()
    assert emulator.counters.requests == 12
    assert not emulator.counters.refused


def test_a_quota_outlives_its_clients(emulator, monkeypatch):
    quick_minute(monkeypatch, 0.6)
    emulator.dial(requests_per_minute=2, minute=0.5)
    for _ in range(3):
        embedder = JinaEmbedder(options(emulator, requests_per_minute=2, batch=40))
        embedder.encode(ask(*documents(4)))
        embedder.close()
    assert not emulator.counters.refused


def test_interrupting_leaves_no_request_behind(emulator):
    hold = Hold()
    emulator.inject(hold, times=None)
    embedder = JinaEmbedder(options(emulator, batch=1))
    interrupted = threading.Event()
    errors = []

    def work():
        try:
            embedder.encode(replace(ask(*documents(20)), cancelled=interrupted.is_set))
        except EmbedderError as error:
            errors.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    _until(lambda: emulator.journal.in_flight == 10)
    interrupted.set()
    thread.join(10)
    assert not thread.is_alive()
    assert "interrupted" in str(errors[0])
    _until(lambda: emulator.journal.in_flight == 0, before=hold.release)
    sent = len(emulator.journal.requests)
    embedder.close()
    assert len(emulator.journal.requests) == sent <= 10, "nothing was sent after the interruption"


async def test_cancelling_a_task_leaves_no_request_behind(emulator):
    hold = Hold()
    emulator.inject(hold, times=None)
    embedder = JinaEmbedder(options(emulator, batch=1), native=True)
    task = asyncio.create_task(embedder.encode(ask(*documents(20))))
    await asyncio.to_thread(_until, lambda: emulator.journal.in_flight == 10)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert ENGINE._loop is not None
    assert not [each for each in asyncio.all_tasks(ENGINE._loop) if not each.done()]
    hold.release()
    await embedder.close()


def test_the_thread_ends_with_the_last_embedder(emulator):
    one, two = JinaEmbedder(options(emulator)), JinaEmbedder(options(emulator))
    one.encode(ask(*documents(1)))
    one.close()
    one.close()
    assert two.encode(ask(*documents(1))).failures == ()
    two.close()
    assert not [thread for thread in threading.enumerate() if thread.name == "nestvec-jina"]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_after_a_fork_it_says_to_connect_again(emulator):
    embedder = JinaEmbedder(options(emulator))
    embedder.encode(ask(*documents(1)))
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            embedder.encode(ask(*documents(1)))
        except EmbedderError as error:
            os.write(write, str(error).encode())
        finally:
            os._exit(0)
    os.waitpid(child, 0)
    assert b"connect again" in os.read(read, 1000)
    assert embedder.encode(ask(*documents(1))).failures == ()
    embedder.close()
    os.close(read)
    os.close(write)


def _until(condition, before=None, seconds=10.0):
    if before is not None:
        before()
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not come to that"
        time.sleep(0.005)
