"""The canary texts, the arithmetic of comparing hosts, and the note: pure parts, without any flow."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from nestvec._hosts import canaries as canary_texts
from nestvec._hosts.agreement import LEAST, MEDIAN, STRETCH, Agreement, agreement_of, compare, cosine
from nestvec._hosts.canaries import SHORT, TEXTS, VERSION, Leg, canary_request, canary_rows, legs_of, version_for
from nestvec._hosts.note import QUANTIZATION, Canaries, pack, texts_for, unpack
from nestvec.contract import MAX_NOTE, Encoded, EncodeFailure
from nestvec.encoding.vectors import normalize
from nestvec.errors import EmbedderRefused, SpaceUnknown, Unsupported
from nestvec.spaces import EmbeddingSpace

PASSAGE, QUERY = "retrieval.passage", "retrieval.query"


def space(dimensions=64, *, late=False, index=PASSAGE, query=QUERY):
    return EmbeddingSpace("m", dimensions, True, late, index, query)


def rows(count, dimensions, seed=0):
    return normalize(np.random.default_rng(seed).standard_normal((count, dimensions)).astype(np.float32))


def made(of, host="one", accepted=None):
    legs = legs_of(of)
    count = len(texts_for(of.dimensions, legs))
    vectors = {leg: rows(count, of.dimensions, seed) for seed, leg in enumerate(legs)}
    return replace(Canaries.of(host, vectors), accepted=accepted or {})


# ------------------------------------------------------------ what is embedded


def test_the_texts_of_a_version_never_change():
    """Databases hold their vectors. Whoever wants other texts adds a version and leaves this one."""
    digest = hashlib.sha256("\0".join(TEXTS[1]).encode()).hexdigest()
    assert digest[:16] == "be537abed8d6f678"
    short = hashlib.sha256("\0".join(TEXTS[2]).encode()).hexdigest()
    assert short[:16] == "3fedfe3ad8d6c6a1"
    assert set(TEXTS) == {VERSION, SHORT} == {1, 2}


@pytest.mark.parametrize("version", TEXTS)
def test_texts_fit_whatever_splits_them(version):
    """A token is a byte at least. Late-chunked, three texts are one document."""
    room = {(VERSION, False): 200, (VERSION, True): 280, (SHORT, False): 30, (SHORT, True): 70}
    for late in (False, True):
        request = canary_request(Leg(PASSAGE, late=late), 64, TEXTS[version])
        assert max(len(group.text.encode()) for group in request.groups) < room[version, late]


def test_models_that_take_few_tokens_get_short_texts():
    assert [version_for(tokens) for tokens in (None, 8192, 320, 319, 8)] == [VERSION] * 3 + [SHORT] * 2


def test_the_texts_are_of_several_scripts_and_lengths():
    texts = TEXTS[VERSION]
    assert len(TEXTS[SHORT]) == len(texts)
    assert max(map(len, texts)) > 20 * min(map(len, texts))
    assert len({character for text in texts for character in text if ord(character) > 0x370}) > 30
    assert any(character.isdigit() for text in texts for character in text)


@pytest.mark.parametrize(
    ("of", "expected"),
    [
        (space(), [Leg(PASSAGE), Leg(QUERY)]),
        (space(late=True), [Leg(PASSAGE, late=True), Leg(QUERY)]),
        (space(index="separation", query="separation"), [Leg("separation")]),
        (space(index="separation", query="separation", late=True), [Leg("separation", late=True), Leg("separation")]),
        (space(index=None, query=None), [Leg(None)]),
    ],
)
def test_every_way_in_which_a_space_embeds_is_a_leg(of, expected):
    assert list(legs_of(of)) == expected


def test_texts_are_asked_for_alone_and_never_from_a_cache():
    request = canary_request(Leg(PASSAGE), 64, TEXTS[1])
    assert [group.texts() for group in request.groups] == [[text] for text in TEXTS[1]]
    assert (request.task, request.dimensions, request.late, request.fresh) == (PASSAGE, 64, False, True)


@pytest.mark.parametrize(("count", "spans"), [(6, [3, 3]), (5, [3, 2]), (3, [2, 1]), (1, [1])])
def test_late_chunked_they_are_documents_of_several_chunks(count, spans):
    request = canary_request(Leg(PASSAGE, late=True), 64, TEXTS[1][:count])
    assert request.late
    assert [len(group.spans) for group in request.groups] == spans
    chunks = [chunk for group in request.groups for chunk in group.texts()]
    assert [chunk.strip() for chunk in chunks] == list(TEXTS[1][:count])
    for group in request.groups:
        assert "".join(group.texts()) == group.text, "the chunks cover their document, as the splitter's do"


def test_a_refused_canary_is_the_embedders_own_error():
    refused = EncodeFailure(0, EmbedderRefused("too long"))
    with pytest.raises(EmbedderRefused, match="too long"):
        canary_rows(Encoded((None,), (refused,)))


# ------------------------------------------------------------ how alike


def turned(vectors, cosine):
    """Vectors at this cosine to the given ones."""
    other = rows(len(vectors), vectors.shape[1], seed=99)
    other = normalize(other - (other * vectors).sum(axis=1, keepdims=True) * vectors)
    return (cosine * vectors + np.sqrt(1 - cosine**2) * other).astype(np.float32)


@pytest.mark.parametrize(
    ("cosines", "alike"),
    [
        ([1, 1, 1, 1, 1], True),
        ([0.9955, 0.9995, 0.9995, 0.9995, 0.9995], True),
        ([0.994, 1, 1, 1, 1], False),
        ([0.9985] * 5, False),
    ],
)
def test_the_tolerance(cosines, alike):
    one = rows(5, 256)
    two = np.concatenate([turned(one[i : i + 1], c) for i, c in enumerate(cosines)])
    found = agreement_of(one, two)
    assert found.least == pytest.approx(min(cosines), abs=1e-5)
    assert found.alike is alike


def test_one_task_that_differs_is_enough():
    one = {Leg(PASSAGE): rows(6, 256), Leg(QUERY): rows(6, 256, 1)}
    comparison = compare(one, {**one, Leg(QUERY): turned(one[Leg(QUERY)], 0.998)})
    assert comparison.of(Leg(PASSAGE)).alike
    assert not comparison.agreement.alike, "the median is each task's, not that of all"
    assert comparison.worst[0] == Leg(QUERY)


def test_one_text_of_one_task_that_differs_is_enough():
    one = {Leg(PASSAGE): rows(6, 256), Leg(QUERY): rows(6, 256, 1)}
    other = np.concatenate([turned(one[Leg(PASSAGE)][:1], 0.9), one[Leg(PASSAGE)][1:]])
    found = compare(one, {**one, Leg(PASSAGE): other}).agreement
    assert (round(found.least, 3), round(found.median, 3), found.alike) == (0.9, 1, False)


def test_the_worst_text_is_found():
    one = {Leg(None): rows(5, 64)}
    other = one[Leg(None)].copy()
    other[3] = -other[3]
    assert compare(one, {Leg(None): other}).worst == (Leg(None), 3)


def test_lengths_count():
    one = rows(4, 64)
    assert agreement_of(one, one * np.float32(1.01)).alike
    assert not agreement_of(one, one * np.float32(1.05)).alike
    assert "lengths 4.8% apart" in str(agreement_of(one, one * np.float32(1.05)))


def test_nothing_is_like_a_zero_vector_but_another():
    zeros, some = np.zeros((2, 8), np.float32), rows(2, 8)
    assert agreement_of(zeros, zeros).alike
    assert agreement_of(zeros, some).least == 0


def test_a_cosine_below_a_limit_does_not_look_like_the_limit():
    assert cosine(0.99499) == "0.9949"
    assert cosine(1.0) == "1.0000"
    assert cosine(LEAST) == "0.9950"


# ------------------------------------------------------------ what is stored


@settings(max_examples=60)
@given(
    st.integers(1, 70).flatmap(
        lambda size: arrays.arrays(
            np.float32,
            (2, size),
            elements=st.floats(-1024, 1024, width=32) | st.floats(-(2**-10), 2**-10, width=32) | st.just(0.0),
        )
    )
)
def test_storing_takes_no_more_from_a_cosine_than_is_said(vectors):
    read = unpack(pack(vectors), vectors.shape[1])
    assert read.shape == vectors.shape
    for before, after in zip(normalize(vectors), read, strict=True):
        if np.any(before):
            found = float(before.astype(np.float64) @ after / np.linalg.norm(after.astype(np.float64)))
            assert found >= 1 - QUANTIZATION


@pytest.mark.parametrize("dimensions", [7, 64, 1024, 2048])
def test_vectors_such_as_models_give_lose_less(dimensions):
    vectors = rows(20, dimensions)
    assert agreement_of(vectors, unpack(pack(vectors), dimensions)).least > 1 - 3e-5


def test_the_worst_that_storing_does_is_far_below_the_tolerance():
    spike = np.full((1, 2048), 1 / 254, np.float32)
    spike[:, ::16] = 1
    assert agreement_of(spike, unpack(pack(spike), 2048)).least >= 1 - QUANTIZATION
    assert QUANTIZATION < (1 - MEDIAN) / 5


@pytest.mark.parametrize("late", [False, True])
@pytest.mark.parametrize("dimensions", [1, 32, 1024, 1536, 2048, 4096])
def test_the_note_has_room(dimensions, late):
    of = space(dimensions, late=late)
    accepted = {f"endpoint-{i}.example.com:8443/some/path": Agreement(0.99999, 0.99999, 0.00001) for i in range(60)}
    canaries = made(of, "h" * 100, accepted)
    text = canaries.to_text()
    assert len(text.encode()) <= MAX_NOTE
    read = Canaries.read(text, of, "docs")
    assert read.host == canaries.host
    assert compare(canaries.vectors, read.vectors).agreement.least >= 1 - QUANTIZATION
    assert list(read.accepted) == list(accepted)[-len(read.accepted) :], "the hosts accepted last are kept"
    assert len(read.accepted) >= 4
    assert len(read.texts) == (6 if dimensions <= 1536 else 5 if dimensions == 2048 else 2)


def test_vectors_for_which_there_is_no_room():
    with pytest.raises(Unsupported, match="20000 dimensions are too long"):
        texts_for(20000, legs_of(space()))


def test_lengths_are_kept():
    of = space()
    canaries = made(of)
    longer = Canaries.of("one", {leg: 3 * vectors for leg, vectors in canaries.vectors.items()})
    found = compare(longer.vectors, Canaries.read(longer.to_text(), of, "docs").vectors).agreement
    assert found.stretch < STRETCH / 100


def test_accepted_hosts_are_kept_with_what_was_measured():
    of = space()
    canaries = made(of).accepting("two", Agreement(0.9987654321, 0.9996, 0.001))
    read = Canaries.read(canaries.to_text(), of, "docs")
    assert read.accepted == {"two": Agreement(0.998765, 0.9996, 0.001)}
    assert read.legs == canaries.legs, "reading and writing again loses nothing more"
    assert [read.vouches_for(host) for host in ("one", "two", "three")] == [True, True, False]


def damaged():
    whole = json.loads(made(space()).to_text())
    legs = whole["legs"]
    return {
        "no JSON": "{",
        "no object": "[]",
        "without a host": json.dumps({**whole, "host": ""}),
        "without legs": json.dumps({key: value for key, value in whole.items() if key != "legs"}),
        "a leg missing": json.dumps({**whole, "legs": legs[:1]}),
        "legs in another order": json.dumps({**whole, "legs": legs[::-1]}),
        "vectors cut off": json.dumps({**whole, "legs": [{**legs[0], "vectors": legs[0]["vectors"][:-8]}, legs[1]]}),
        "vectors that are no base64": json.dumps({**whole, "legs": [{**legs[0], "vectors": "%"}, legs[1]]}),
        "no vectors": json.dumps({**whole, "legs": [{**leg, "vectors": "", "lengths": []} for leg in legs]}),
        "lengths missing": json.dumps({**whole, "legs": [{**legs[0], "lengths": []}, legs[1]]}),
        "lengths infinite": json.dumps({**whole, "legs": [{**legs[0], "lengths": [1e999] * 6}, legs[1]]}),
        "accepted no table": json.dumps({**whole, "accepted": ["two"]}),
        "figures missing": json.dumps({**whole, "accepted": {"two": []}}),
    }


@pytest.mark.parametrize("how", damaged())
def test_a_damaged_note_is_told_and_how_to_get_out(how):
    with pytest.raises(SpaceUnknown, match="canaries of collection 'docs' are damaged") as caught:
        Canaries.read(damaged()[how], space(), "docs")
    assert "nestvec delete docs --canaries" in str(caught.value)


def test_a_note_of_a_later_version_is_not_damaged():
    with pytest.raises(SpaceUnknown, match="have version 99; this nestvec knows 1, 2: use the version"):
        Canaries.read(json.dumps({"version": 99}), space(), "docs")


def test_canaries_of_an_earlier_version_are_compared_with_their_own_texts(monkeypatch):
    of = space()
    text = made(of).to_text()
    monkeypatch.setattr(canary_texts, "VERSION", 2)
    monkeypatch.setitem(TEXTS, 2, ("other",) * 6)
    assert Canaries.read(text, of, "docs").texts == TEXTS[1]
