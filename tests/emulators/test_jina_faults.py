"""What a client may meet: on purpose, by a text, at random."""

from __future__ import annotations

import base64
import json

import httpx
import numpy as np
import pytest

from nestvec.errors import InvalidInput
from nestvec_testing.emulators.jina import (
    Cut,
    CutShort,
    Delay,
    DuplicateIndex,
    Html,
    HttpStatus,
    Malformed,
    NotFiniteVectors,
    OtherDimensions,
    Reordered,
    Storm,
    WrongCount,
    plain_vectors,
)

TEXTS = ["one", "two", "three"]


@pytest.fixture(params=["float", "base64"])
def kind(request):
    return request.param


@pytest.fixture
def met(jina, kind):
    """Ask for three texts, and meet a fault: index and vector of each item of the reply."""

    def meet(fault, texts=TEXTS):
        jina.emulator.inject(fault)
        reply = jina.post(texts, embedding_type=kind, dimensions=8)
        assert reply.status_code == 200
        assert jina.emulator.pending_faults == 0
        return [(item["index"], decoded(item["embedding"])) for item in reply.json()["data"]]

    return meet


def decoded(embedding):
    return np.frombuffer(base64.b64decode(embedding), "<f4") if isinstance(embedding, str) else np.array(embedding)


class TestRepliesThatLookRight:
    @pytest.mark.parametrize(("by", "indexes"), [(-1, [0, 1]), (2, [0, 1, 2, 3, 4]), (-9, [])])
    def test_the_wrong_count(self, met, by, indexes):
        assert [index for index, _ in met(WrongCount(by=by))] == indexes

    def test_another_order_with_the_right_index(self, met):
        items = met(Reordered())
        assert [index for index, _ in items] == [2, 1, 0]
        expected = plain_vectors(TEXTS, dimensions=8)
        assert all(np.array_equal(vector.astype(np.float32), expected[index]) for index, vector in items)

    def test_an_index_twice(self, met):
        assert [index for index, _ in met(DuplicateIndex())] == [0, 1, 0]

    @pytest.mark.parametrize("value", [float("nan"), float("inf")])
    def test_numbers_that_are_none(self, met, value):
        assert [np.isfinite(vector).all() for _, vector in met(NotFiniteVectors(value=value))] == [False, True, True]
        spoilt = met(NotFiniteVectors(value=value, containing="t"))
        assert [np.isfinite(vector).all() for _, vector in spoilt] == [True, False, False]

    def test_other_dimensions(self, met):
        assert [len(vector) for _, vector in met(OtherDimensions(by=-1))] == [7, 7, 7]
        assert [len(vector) for _, vector in met(OtherDimensions(by=3, index=1))] == [8, 11, 8]

    def test_refusals_stay_as_they_are(self, jina):
        jina.emulator.inject(WrongCount())
        assert jina.post(dimensions=0).status_code == 422


class TestRepliesThatDoNot:
    def test_a_page(self, jina):
        jina.emulator.inject(Html())
        reply = jina.post()
        assert reply.status_code == 200
        assert reply.headers["content-type"].startswith("text/html")
        assert reply.text.startswith("<!doctype html>")

    def test_half_of_it(self, jina):
        jina.emulator.inject(Malformed())
        with pytest.raises(json.JSONDecodeError):
            jina.post().json()

    @pytest.mark.parametrize("fault", [Cut(), CutShort()])
    def test_a_connection_that_breaks(self, jina, fault):
        jina.emulator.inject(fault)
        with pytest.raises(httpx.RemoteProtocolError):
            jina.post()
        assert jina.emulator.counters.requests == fault.applied

    def test_a_late_one(self, jina):
        jina.emulator.inject(Delay(seconds=30))
        with pytest.raises(httpx.ReadTimeout):
            httpx.post(
                f"{jina.emulator.base_url}/embeddings",
                json={"model": "jina-embeddings-v3", "input": "x"},
                headers=jina.client.headers,
                timeout=0.2,
            )
        assert jina.emulator.counters.requests == 1
        assert jina.emulator.journal.in_flight == 1
        jina.emulator.reset()
        assert jina.emulator.journal.in_flight == jina.emulator.journal.peak == 0

    @pytest.mark.parametrize(
        ("fault", "code"),
        [
            (HttpStatus(status=500), "INTERNAL_ERROR"),
            (HttpStatus(status=503, retry_after=3), "SERVICE_UNAVAILABLE"),
            (HttpStatus(status=504), "SERVICE_TIMEOUT"),
            (HttpStatus(status=429), "RATE_REQUEST_LIMIT_EXCEEDED"),
            (HttpStatus(status=429, message="RATE_IP_LIMIT_EXCEEDED"), "RATE_IP_LIMIT_EXCEEDED"),
            (HttpStatus(status=400), None),
            (HttpStatus(status=422), None),
        ],
    )
    def test_statuses(self, described, fault, code):
        described.emulator.inject(fault)
        reply = described.post()
        assert (reply.status_code, reply.json().get("code")) == (fault.status, code)
        assert reply.headers.get("retry-after") == (fault.retry_after and str(fault.retry_after))
        assert described.post().status_code == 200

    def test_the_nth_request(self, described):
        described.emulator.inject(HttpStatus(status=500), skip=2, times=2)
        assert [described.post().status_code for _ in range(6)] == [200, 200, 500, 500, 200, 200]


class TestPoison:
    @pytest.mark.parametrize("status", [400, 422, 500])
    def test_a_text_that_is_always_refused(self, described, status):
        described.emulator.poison("arsenic", HttpStatus(status=status))
        assert [described.post(["a", "some arsenic", "b"]).status_code for _ in range(3)] == [status] * 3
        assert described.post([{"text": "arsenic"}]).status_code == status
        assert described.post(["a", "b"]).status_code == 200

    def test_a_text_without_a_vector(self, jina):
        jina.emulator.poison("arsenic", NotFiniteVectors(containing="arsenic"))
        for texts in (["a", "arsenic", "b"], ["arsenic"]):
            reply = jina.post(texts, dimensions=4)
            for text, item in zip(texts, reply.json()["data"], strict=True):
                assert np.isfinite(item["embedding"]).all() == (text != "arsenic")

    def test_several_poisons(self, described):
        described.emulator.poison("arsenic", HttpStatus(status=500))
        described.emulator.poison("lead", HttpStatus(status=422))
        assert [described.post(text).status_code for text in ("arsenic", "lead", "water")] == [500, 422, 200]
        described.emulator.reset()
        assert described.post("arsenic").status_code == 200

    @pytest.mark.parametrize("marker", ['"', "\\", "ä", "a\n"])
    def test_a_marker_that_json_may_escape(self, jina, marker):
        with pytest.raises(InvalidInput, match="plain ASCII"):
            jina.emulator.poison(marker, Cut())


def test_a_storm(described):
    faults = {HttpStatus(status=503): 0.3, HttpStatus(status=429): 0.2}

    def met():
        described.emulator.reset()
        described.emulator.storm(Storm(7, faults))
        return [described.post(f"text {number % 8}", dimensions=2).status_code for number in range(40)]

    first = met()
    assert 3 < first.count(503) < 22
    assert 2 < first.count(429) < 18
    assert first == met()
