"""What a cache does with a request, stepped without a disk and held against the embedder alone."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nestvec._caching.answer import answer
from nestvec._caching.values import pack, unpack
from nestvec._session.session import complete
from nestvec.contract import Encode, Encoded, EncodeFailure
from nestvec.encoding.vectors import truncate
from nestvec.errors import EmbedderInvalidReply, EmbedderUnavailable
from nestvec.types import Usage
from nestvec_testing.recording import RecordingOptions, capabilities

from .conftest import POISON, Picky, ask, group

MODEL = capabilities(RecordingOptions())
TEXTS = ["river", "stone", "winter ice", "engine", f"{POISON} one", "paper", f"two {POISON}", "garden"]


class Dictionary:
    """A cache that is a dictionary, in front of an embedder."""

    def __init__(self, inner: Any, model: Any = MODEL) -> None:
        self.inner, self.model = inner, model
        self.values: dict[bytes, bytes] = {}
        self.steps: list[str] = []

    def encode(self, request: Encode) -> Encoded:
        self.steps = []
        return complete(answer(request, self.model, self, _Awaited(self)))

    async def look(self, keys: Sequence[bytes]) -> list[bytes | None]:
        self.steps.append("look")
        return [self.values.get(key) for key in keys]

    async def keep(self, values: Sequence[tuple[bytes, bytes]]) -> None:
        self.steps.append("keep")
        self.values.update(values)


@dataclass
class _Awaited:
    """The embedder behind a dictionary."""

    cached: Dictionary

    async def encode(self, request: Encode) -> Encoded:
        self.cached.steps.append("encode")
        return self.cached.inner.encode(request)


def assert_same(got: Encoded, wanted: Encoded) -> None:
    """The same vectors to 1e-6, the same failures."""
    told = [(failure.group, failure.span, str(failure.error)) for failure in got.failures]
    assert told == [(failure.group, failure.span, str(failure.error)) for failure in wanted.failures]
    assert len(got.vectors) == len(wanted.vectors)
    for mine, theirs in zip(got.vectors, wanted.vectors, strict=True):
        assert (mine is None) == (theirs is None)
        if mine is not None and theirs is not None:
            assert (mine.shape, mine.dtype, mine.flags.c_contiguous) == (theirs.shape, np.float32, True)
            np.testing.assert_allclose(mine, theirs, atol=1e-6)


class Fixed(Picky):
    """Gives vectors of one length only, whatever is asked; so a request for another would be seen."""

    def encode(self, request: Encode) -> Encoded:
        assert request.dimensions == self.options.dimensions
        return super().encode(request)


class Long(Picky):
    """Vectors that are not of length 1, and prefixes that are plain slices."""

    def encode(self, request: Encode) -> Encoded:
        full = super().encode(replace(request, dimensions=self.options.dimensions))
        cut = (
            None if rows is None else np.ascontiguousarray(3 * rows[:, : request.dimensions]) for rows in full.vectors
        )
        return replace(full, vectors=tuple(cut))


MODELS = {
    "matryoshka": (Picky, MODEL, (8, 16, 33, 64)),
    "nested": (Fixed, replace(MODEL, rotation="r1"), (64,)),
    "fixed": (Fixed, replace(MODEL, min_dimensions=64), (64,)),
    "not normalised": (Long, replace(MODEL, normalized=False), (8, 64)),
}
groups = st.lists(st.sampled_from(TEXTS), min_size=1, max_size=4).map(lambda texts: group("/".join(texts), *texts))
some = st.lists(groups, max_size=5)
requests = st.lists(st.tuples(some, st.booleans(), st.sampled_from(["retrieval.passage", None]), st.integers(0, 3)))


@pytest.mark.parametrize("name", MODELS)
@settings(max_examples=40)
@given(asked=requests, seed=st.integers(0, 1000))
def test_nobody_can_tell_a_cached_embedder_from_the_embedder(name: str, asked: list[Any], seed: int) -> None:
    """Whatever is found, missing, failed, evicted or damaged; and what was embedded once is not asked for again."""
    kind, model, sizes = MODELS[name]
    chance = random.Random(seed)
    cached, oracle = Dictionary(kind(), model), kind()
    for wanted, late, task, size in asked:
        request = ask(*wanted, late=late, task=task, dimensions=sizes[size % len(sizes)])
        cached.inner.requests.clear()
        reply = cached.encode(request)
        assert_same(reply, oracle.encode(request))
        texts = [text for each in wanted for text in each.texts()]
        assert reply.usage.cached + len(cached.inner.asked) == len(texts)
        cached.inner.requests.clear()
        again = cached.encode(request)
        assert_same(again, oracle.encode(request))
        refused = {wanted[failure.group].key for failure in again.failures}
        assert {each.key for request in cached.inner.requests for each in request.groups} == refused
        for key in chance.sample(sorted(cached.values), len(cached.values) // 3):
            if chance.random() < 0.5:
                del cached.values[key]
            else:
                cached.values[key] = damaged(cached.values[key], chance)


def damaged(value: bytes, chance: random.Random) -> bytes:
    """Cut off, or with one byte changed."""
    place = chance.randrange(len(value)) if value else 0
    if not value or chance.random() < 0.5:
        return value[:place]
    return value[:place] + bytes([value[place] ^ 7]) + value[place + 1 :]


def test_only_what_is_missing_is_asked_for_and_in_one_request() -> None:
    cached = Dictionary(Picky())
    cached.encode(ask(group("a", "river", "stone")))
    reply = cached.encode(ask(group("b", "engine", "river", "paper"), group("c", "stone"), group("d", "garden")))
    second = cached.inner.requests[1]
    assert [(each.key, each.texts()) for each in second.groups] == [("b", ["engine", "paper"]), ("d", ["garden"])]
    assert (reply.usage.requests, reply.usage.cached) == (1, 2)
    assert cached.steps == ["look", "encode", "keep"]
    assert cached.encode(ask(group("e", "paper"))).usage == Usage(cached=1)
    assert cached.steps == ["look"]


def test_under_late_chunking_a_document_is_asked_for_as_a_whole() -> None:
    cached = Dictionary(Picky())
    document = group("a", "river", "stone", "winter ice")
    cached.encode(ask(document, late=True))
    del cached.values[list(cached.values)[1]]
    before = dict(cached.values)
    reply = cached.encode(ask(document, group("b", "river"), late=True, dimensions=16))
    assert [each.texts() for each in cached.inner.requests[1].groups] == [document.texts(), ["river"]]
    assert reply.usage.cached == 0
    assert before.items() <= cached.values.items(), "the longer vectors that were there stay"


def test_a_changed_neighbour_is_asked_for_under_late_chunking_only() -> None:
    cached = Dictionary(Picky())
    for late in (False, True):
        cached.encode(ask(group("a", "river", "stone"), late=late))
        cached.inner.requests.clear()
        cached.encode(ask(group("a", "river", "paper"), late=late))
        assert cached.inner.asked == (["river", "paper"] if late else ["paper"])


def test_failures_keep_the_numbers_of_the_whole_request() -> None:
    cached = Dictionary(Picky())
    cached.encode(ask(group("a", "river", "stone")))
    bad = group("b", "river", "stone", f"a {POISON}", "engine")
    reply = cached.encode(ask(group("a", "river"), bad, group("c", "paper")))
    assert [(failure.group, failure.span) for failure in reply.failures] == [(1, 2)]
    assert [each.texts() for each in cached.inner.requests[1].groups] == [[f"a {POISON}", "engine"], ["paper"]]
    assert [rows is None for rows in reply.vectors] == [False, True, False]


def test_nothing_of_a_failed_document_is_kept() -> None:
    cached = Dictionary(Picky())
    cached.encode(ask(group("b", "river", f"a {POISON}")))
    assert not cached.values


def test_a_shorter_vector_is_the_beginning_of_a_longer_one_and_a_longer_one_replaces_it() -> None:
    cached, request = Dictionary(Picky()), ask(group("a", *TEXTS[:4]))
    cached.encode(replace(request, dimensions=16))
    first = dict(cached.values)
    assert cached.encode(request).usage.requests == 1, "16 numbers do not answer for 64"
    assert cached.values.keys() == first.keys()
    assert all(len(cached.values[key]) > len(value) for key, value in first.items())
    for size in (1, 16, 63, 64):
        reply = cached.encode(replace(request, dimensions=size))
        assert reply.usage.requests == 0
        assert_same(reply, Picky().encode(replace(request, dimensions=size)))


@pytest.mark.parametrize("model", [replace(MODEL, min_dimensions=64), replace(MODEL, rotation="r1")])
def test_beginnings_of_other_vectors_mean_nothing(model: Any) -> None:
    cached = Dictionary(Picky(), model)
    cached.encode(ask(group("a", "river")))
    cached.encode(ask(group("a", "river"), dimensions=32))
    assert len(cached.inner.requests) == 2


def test_a_hit_of_the_same_length_is_the_same_bit_for_bit() -> None:
    cached, request = Dictionary(Picky()), ask(group("a", *TEXTS[:4]))
    first, second = cached.encode(request), cached.encode(request)
    np.testing.assert_array_equal(first.vectors[0], second.vectors[0])


def test_fresh_requests_pass_by_in_both_directions() -> None:
    cached, request = Dictionary(Picky()), ask(group("a", "river"))
    cached.encode(replace(request, fresh=True))
    assert not cached.values
    cached.encode(request)
    cached.encode(replace(request, fresh=True))
    assert len(cached.inner.requests) == 3
    assert cached.steps == ["encode"]


def test_what_the_embedder_raises_is_raised() -> None:
    class Down(Picky):
        def encode(self, request: Encode) -> Encoded:
            raise EmbedderUnavailable("the host does not answer")

    cached = Dictionary(Picky())
    cached.encode(ask(group("a", "river")))
    cached.inner = Down()
    assert cached.encode(ask(group("b", "river"))).usage.cached == 1
    with pytest.raises(EmbedderUnavailable, match="does not answer"):
        cached.encode(ask(group("b", "river"), group("c", "stone")))


@pytest.mark.parametrize(
    "broken",
    [
        lambda reply: replace(reply, vectors=reply.vectors[1:]),
        lambda reply: replace(reply, vectors=(reply.vectors[0][:1], *reply.vectors[1:])),
        lambda reply: replace(reply, vectors=(reply.vectors[0][:, :8], *reply.vectors[1:])),
        lambda reply: replace(reply, failures=(EncodeFailure(5, EmbedderUnavailable("?")),)),
    ],
)
def test_nothing_of_a_reply_that_breaks_the_contract_is_kept(broken: Any) -> None:
    class Broken(Picky):
        def encode(self, request: Encode) -> Encoded:
            return broken(super().encode(request))

    cached = Dictionary(Broken())
    with pytest.raises(EmbedderInvalidReply):
        cached.encode(ask(group("a", "river", "stone"), group("b", "paper")))
    assert not cached.values


def test_a_vector_that_is_not_finite_fails_its_document_and_is_not_kept() -> None:
    class Broken(Picky):
        def encode(self, request: Encode) -> Encoded:
            reply = super().encode(request)
            return replace(reply, vectors=(reply.vectors[0] * np.nan, *reply.vectors[1:]))

    cached = Dictionary(Broken())
    reply = cached.encode(ask(group("a", "river", "stone"), group("b", "paper")))
    assert [failure.group for failure in reply.failures] == [0]
    assert len(cached.values) == 1
    assert all(np.isfinite(np.frombuffer(each, np.uint8)).all() for each in cached.values.values())


def test_a_document_without_vectors_or_a_reason_is_a_failure() -> None:
    class Silent(Picky):
        def encode(self, request: Encode) -> Encoded:
            return Encoded((None,))

    (failure,) = Dictionary(Silent()).encode(ask(group("a", "river"))).failures
    assert "neither vectors nor a reason" in str(failure.error)


def test_bytes_that_are_no_vector_are_none() -> None:
    vector = truncate(np.arange(1, 9, dtype=np.float32)[None], 8)[0]
    value = pack(b"key", vector)
    np.testing.assert_array_equal(unpack(b"key", value), vector)
    assert unpack(b"yek", value) is None, "another text's vector"
    for bad in (
        b"",
        b"\0" * 8,
        value[:-1],
        value[:-4],
        value + b"\0\0\0\0",
        value[:10] + b"\7" + value[11:],
        b"\7" + value[1:],
    ):
        assert unpack(b"key", bad) is None
