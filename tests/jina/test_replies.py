"""Replies and refusals that no honest server sends are errors of ours, never of Python's."""

from __future__ import annotations

import base64
import json

import numpy as np
import pytest

from nestvec.embedders.jina import governor, wire
from nestvec.embedders.jina.options import JinaOptions
from nestvec.errors import EmbedderError, EmbedderInvalidReply

VECTOR = base64.b64encode(np.ones(4, "<f4").tobytes()).decode()
OPTIONS = JinaOptions.model_validate({"base_url": "http://localhost:1"})


@pytest.mark.parametrize("places", [[None, 1], ["0", 1], [{}, {}]])
def test_places_that_cannot_be_ordered(places):
    content = json.dumps({"data": [{"index": place, "embedding": VECTOR} for place in places]}).encode()
    with pytest.raises(EmbedderInvalidReply):
        wire.decode(content, 2, 4)


def test_json_without_end():
    with pytest.raises(EmbedderInvalidReply):
        wire.decode(b"[" * 200_000, 1, 4)


@pytest.mark.parametrize("content", [b"[" * 200_000, b'{"detail": "x", "errors": 5}', b'{"errors": true}'])
def test_refusals_of_any_shape(content):
    assert isinstance(wire.refusal(422, content, {}, OPTIONS), EmbedderError)


@pytest.mark.parametrize("value", ["inf", "1e999", "Mon, 01 Jan 2024 00:00:00 +9999999999999"])
def test_no_server_makes_us_wait_for_ever(value):
    assert wire.retry_after({"retry-after": value}) is None


def test_a_remaining_quota_that_is_no_number():
    assert wire.remaining({"x-ratelimit-remaining-tokens": "\u00b2"}, "tokens") is None


async def test_a_server_that_does_not_count_tokens_leaves_us_the_estimate():
    one = governor.Governor(governor.KeyState.of(OPTIONS))

    async def send():
        return wire.Reply(np.ones((1, 4), np.float32), 0)

    await one.retry(OPTIONS, send, 1, 1000, lambda: None)
    assert one.state.quota._spent == 1000
