"""What refusals cost, what the server says is left, and what embedders of one key do to each other."""

from __future__ import annotations

from nestvec.embedders.jina.embedder import JinaEmbedder
from nestvec.embedders.jina.options import JinaOptions
from nestvec.embedders.jina.quota import Quota
from nestvec_testing.emulators.jina import HttpStatus

from .conftest import KEY, ask, group


def options(emulator, **values):
    return JinaOptions.model_validate(
        {"api_key": {"env": KEY}, "base_url": emulator.base_url, "backoff": 0.0, **values}
    )


def documents(count):
    return [group(f"d{i}", f"text number {i}") for i in range(count)]


def test_a_request_over_what_is_left_waits():
    quota = Quota(0, 0)
    quota.take(0, 1)
    quota.hear(None, 5, 0)
    assert quota.delay(1, 5) == 0
    assert quota.delay(1, 6) > 0


def test_a_burst_of_refusals_is_one_refusal(emulator):
    emulator.dial(latency=0.05)
    emulator.inject(
        HttpStatus(status=429, delay=0.1) if "delay" in HttpStatus.__dataclass_fields__ else HttpStatus(status=429),
        times=10,
    )
    embedder = JinaEmbedder(options(emulator, batch=1, requests_per_minute=0, attempts=2))
    import time

    started = time.monotonic()
    request = ask(*documents(10))
    object.__setattr__(request, "cancelled", lambda: time.monotonic() - started > 6)
    try:
        assert embedder.encode(request).failures == ()
    finally:
        embedder.close()


def test_what_is_refused_uses_no_tokens(emulator):
    import time

    emulator.inject(HttpStatus(status=429, retry_after=0))
    embedder = JinaEmbedder(options(emulator, tokens_per_minute=200))
    started = time.monotonic()
    request = ask(group("a", "word " * 60))
    object.__setattr__(request, "cancelled", lambda: time.monotonic() - started > 5)
    try:
        assert embedder.encode(request).failures == ()
    finally:
        embedder.close()


def test_small_batches_of_one_embedder_are_not_those_of_the_next(emulator):
    for batch in (1, 256):
        embedder = JinaEmbedder(options(emulator, batch=batch, requests_per_minute=0))
        reply = embedder.encode(ask(*documents(40)))
        embedder.close()
    assert reply.usage.requests == 1
