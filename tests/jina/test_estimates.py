"""Estimates of tokens: one odd text does not spoil them for all others."""

from __future__ import annotations

from nestvec.encoding.estimate import TokenEstimate
from nestvec_testing.emulators.jina import count_tokens

from .conftest import ask, group

DENSE = "a b c d e f g h " * 24
PLAIN = "sentence after sentence " * 16


def test_a_short_question_teaches_nothing():
    estimate = TokenEstimate()
    estimate.learn(["Hi"], 14)
    assert estimate.factor == 1.0


def test_many_windows_that_are_cut_off_are_one_mistake(open_jina, emulator):
    embedder = open_jina()
    reply = embedder.encode(ask(group("dense", *[DENSE] * 900), late=True))
    assert reply.failures == ()
    assert embedder.encode(ask(group("plain", *[PLAIN * 4] * 9), late=True)).failures == ()


def test_a_dense_part_in_a_long_document(open_jina, emulator):
    chunks = [PLAIN] * 1200
    chunks[500:560] = [DENSE] * 60
    assert count_tokens(DENSE) > 1.9 * count_tokens(PLAIN)
    assert open_jina().encode(ask(group("mixed", *chunks), late=True)).failures == ()
