"""Replies that are too large, or drip."""

from __future__ import annotations

import io
import itertools
from types import SimpleNamespace

import pytest

from nestvec.errors import EmbedderDenied
from nestvec_sagemaker import session
from nestvec_sagemaker.errors import EndpointTooSlow


class Endless(io.RawIOBase):
    """A body without an end."""

    def read(self, size: int = -1) -> bytes:
        assert size > 0, "read as a whole"
        return b"x" * size


@pytest.fixture
def endless(open_embedder, monkeypatch):
    """An embedder whose endpoint never ends its reply."""

    def open_one(**options):
        embedder = open_embedder(attempts=1, **options)
        client = embedder._runtime._client
        monkeypatch.setattr(client, "invoke_endpoint", lambda **_: {"Body": Endless()})
        return embedder

    return open_one


def test_a_reply_that_is_too_large_is_given_up(endless, kit):
    with pytest.raises(EmbedderDenied, match=r"more than 1 MB; .*set max_reply higher"):
        endless(max_reply="1 MB").encode(kit.ask(*kit.documents("words")))


def test_a_reply_that_drips_is_given_up_in_time(endless, monkeypatch):
    clock = itertools.count(0, 30)
    monkeypatch.setattr(session, "time", SimpleNamespace(monotonic=lambda: next(clock)))
    with pytest.raises(EndpointTooSlow, match="did not answer within 70 seconds"):
        endless()._runtime.invoke(b"{}")
