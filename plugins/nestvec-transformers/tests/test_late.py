"""Late chunking: what it computes, on which tokens, and in which windows."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from runpy import run_path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nestvec.contract import Group
from nestvec.encoding.windows import plan_windows
from nestvec.errors import EmbedderRefused
from nestvec_transformers.sequences import late, tokenized

reference = run_path(str(Path(__file__).with_name("reference.py")))
CLOSE = 1e-5
#: Tokens of a window that are left to marks and prompt: `nestvec.encoding.packing`.
RESERVE = 48


def off(one, other):
    return float(np.abs(one - other).max())


@pytest.mark.parametrize("task", ["retrieval.passage", "separation", None])
@pytest.mark.parametrize("gap", ["", " ", "  (and this is in no chunk)  "])
def test_one_pass_over_the_document_pooled_by_chunk(embedder, tiny, kit, task, gap):
    group = kit.group("doc", *kit.document(7), gap=gap)
    rows = kit.rows(embedder, group, task=task, late=True, dimensions=96)
    assert off(rows, reference["late"](tiny, task, group, 96)) < CLOSE
    assert off(rows, kit.rows(embedder, group, task=task, dimensions=96)) > 0.01


@pytest.mark.parametrize("task", ["retrieval.passage", None])
def test_a_single_chunk_is_what_it_is_without(embedder, kit, task):
    for text in (*kit.TEXTS, "  white space around it \n"):
        assert off(kit.rows(embedder, text, task=task, late=True), kit.rows(embedder, text, task=task)) < CLOSE
    inside = Group("doc", f"before {kit.TEXTS[0]} after", ((7, 7 + len(kit.TEXTS[0])),))
    assert off(kit.rows(embedder, inside, late=True), kit.rows(embedder, kit.TEXTS[0])) < CLOSE


def test_gaps_are_context(embedder, kit):
    one, other = (kit.group("doc", *kit.document(3), gap=gap) for gap in (" the sea ", " the bill "))
    assert off(kit.rows(embedder, one, late=True), kit.rows(embedder, other, late=True)) > 0.001


def test_documents_share_batches_and_no_context(embedder, kit):
    groups = [kit.group(f"doc-{n}", *kit.document(n + 1, n)) for n in range(5)]
    reply = embedder.encode(kit.ask(*groups, late=True))
    assert reply.usage.requests < reply.usage.windows == 5
    for group, rows in zip(groups, reply.vectors, strict=True):
        assert off(rows, kit.rows(embedder, group, late=True)) < CLOSE


def test_a_chunk_without_a_token_has_the_vector_of_the_token_before_it(embedder, tiny, kit):
    chunks = ("Annual leave ", "   ", "is thirty days.")
    group = kit.group("doc", *chunks)
    rows = kit.rows(embedder, group, late=True)
    head, text, tail = reference["pieces"](tiny, "retrieval.passage", group)
    hidden = reference["read"](tiny, "retrieval.passage", [*head, *(token for token, _ in text), *tail])
    before = len(head) + sum(1 for _, owner in text if owner == 0) - 1
    assert off(rows[1], reference["finish"]([hidden[before]], 1024)[0]) < CLOSE
    assert not [owner for _, owner in text if owner == 1]


# ---------------------------------------------------------------- windows


def windows_by_hand(tiny, task, group, limit):
    """The documented algorithm in lists: vectors, and how many windows."""
    head, text, tail = reference["pieces"](tiny, task, group)
    starts = [next(n for n, (_, owner) in enumerate(text) if owner == chunk) for chunk in range(len(group.spans))]
    counts = [end - start for start, end in zip(starts, [*starts[1:], len(text)], strict=True)]
    planned = plan_windows(counts, limit - RESERVE)
    chunks = []
    for window in planned:
        last = max(n for n, (_, owner) in enumerate(text) if owner == window.end - 1)
        part = text[starts[window.first] : last + 1]
        assert len(head) + len(part) + len(tail) <= limit
        hidden = reference["read"](tiny, task, [*head, *(token for token, _ in part), *tail])
        for chunk in range(window.keep_first, window.keep_end):
            own = [len(head) + n for n, (_, owner) in enumerate(part) if owner == chunk]
            first = [*range(len(head))] if chunk == 0 else []
            mark = [len(hidden) - 1] if chunk == len(group.spans) - 1 else []
            chunks.append(np.mean([hidden[n] for n in (*first, *own, *mark)], axis=0))
    return reference["finish"](chunks, 1024), len(planned)


@pytest.mark.parametrize(("limit", "gap"), [(128, ""), (200, ""), (200, "(and this is in no chunk, river and sea) ")])
def test_a_document_beyond_the_limit_is_cut_into_overlapping_windows(open_embedder, tiny, kit, limit, gap):
    group = kit.group("long", *kit.document(30), gap=gap)
    reply = open_embedder(max_tokens=limit).encode(kit.ask(group, kit.group("short", *kit.document(2, 9)), late=True))
    wanted, count = windows_by_hand(tiny, "retrieval.passage", group, limit)
    assert count > 3
    assert off(reply.vectors[0], wanted) < CLOSE
    assert (
        off(reply.vectors[1], reference["late"](tiny, "retrieval.passage", kit.group("", *kit.document(2, 9)))) < CLOSE
    )
    assert reply.usage.windows == count + 1


def test_a_document_at_the_limit_is_one_window(open_embedder, kit):
    """Real tokens are counted: one more chunk, and there are two."""
    embedder = open_embedder(max_tokens=256)
    chunks = [text[:-1] for text in kit.document(40)]
    count, room, fitting = embedder.count_tokens(), 256 - RESERVE, []
    while chunks and (room := room - count(chunks[0])) >= 0:
        fitting.append(chunks.pop(0))
    for texts, windows in ((fitting, 1), ([*fitting, chunks[0]], 2)):
        assert embedder.encode(kit.ask(kit.group("doc", *texts, gap=" "), late=True)).usage.windows == windows


def test_a_chunk_that_no_window_holds_fails_its_document_alone(open_embedder, kit):
    embedder = open_embedder(max_tokens=100)
    reply = embedder.encode(kit.ask(kit.group("huge", "river " * 200, "end"), "short", late=True))
    assert reply.vectors[0] is None
    assert reply.vectors[1] is not None
    (failure,) = reply.failures
    assert isinstance(failure.error, EmbedderRefused)
    assert str(failure.error).startswith(
        "document 'huge' cannot be late-chunked: chunk 0 has about 200 tokens; at most"
    )
    assert "chunking.size" in str(failure.error)


# ---------------------------------------------------------------- which tokens

texts = st.text(st.sampled_from("aeb river東京 \n.,ü⌘"), min_size=1, max_size=60)


@settings(max_examples=60, deadline=None, derandomize=True, database=None)
@given(
    text=texts, cuts=st.lists(st.integers(0, 60), max_size=6), prompt=st.sampled_from(["", "Represent the document: "])
)
def test_every_token_counts_once(embedder, text, cuts, prompt):
    """Whatever the cuts: chunks that are the text share all tokens out, in order, and none has two."""
    places = sorted({0, len(text), *(cut for cut in cuts if cut < len(text))})
    spans = tuple(pairwise(places))
    (sequence,) = late(0, Group("doc", text, spans), embedder._model.tokenizer, prompt, 8192)
    counted = np.zeros(len(sequence.ids), int)
    tokens = tokenized(embedder._model.tokenizer, prompt, text)
    own = [start < stop for start, stop in tokens.ranges(spans)]
    own[0] = own[-1] = True
    for (start, stop), has in zip(sequence.ranges, own, strict=True):
        assert 0 <= start < stop <= len(sequence.ids)
        if has:
            counted[start:stop] += 1
        else:
            assert stop - start == 1
    assert (counted == 1).all(), (counted, sequence)
