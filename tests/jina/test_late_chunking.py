"""Late chunking over real HTTP: one document a request, windows that fit, vectors of the documented algorithm."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nestvec.embedders.jina.embedder import JinaEmbedder
from nestvec.embedders.jina.options import JinaOptions
from nestvec.embedders.jina.wire import decode
from nestvec.encoding.estimate import TokenEstimate
from nestvec.encoding.packing import items_of, windows
from nestvec.errors import EmbedderInvalidReply, EmbedderRefused
from nestvec_testing.emulators.jina import HttpStatus, count_tokens, late_vectors

from .conftest import KEY, ask, group

TASK = "retrieval.passage"
LIMIT = 8192


def counted(texts):
    """Tokens of one late-chunked request, as the server counts them."""
    return sum(map(count_tokens, texts))


def expected(document, planned):
    """The documented algorithm: late vectors of each window, of which each chunk takes the deeper one."""
    texts = document.texts()
    rows = [
        late_vectors(texts[w.first : w.end], task=TASK, dimensions=64)[w.keep_first - w.first : w.keep_end - w.first]
        for w in planned
    ]
    return np.concatenate(rows)


def test_one_document_of_two_hundred_thousand_tokens(open_jina, emulator):
    generator = np.random.default_rng(5)
    words = [f"word{i:03d}"[: 3 + i % 5] for i in range(400)]
    chunks = [" ".join(words[i] for i in generator.integers(0, 400, 180)) + ". " for _ in range(800)]
    document = group("the-big-one", *chunks)
    assert counted(chunks) > 200_000
    emulator.dial(strict_late=True)
    embedder = open_jina()
    reply = embedder.encode(ask(document, late=True))
    assert reply.failures == ()
    sent = [each.texts for each in emulator.exchanges]
    assert all(counted(texts) <= LIMIT for texts in sent)
    assert all(each.body["late_chunking"] for each in emulator.exchanges)
    assert reply.usage.windows == len(sent) >= 200_000 // LIMIT
    assert {text for texts in sent for text in texts} == set(chunks)
    planned = windows(document, items_of(0, document, TokenEstimate()), LIMIT)
    assert len(planned) == len(sent)
    np.testing.assert_allclose(reply.vectors[0], expected(document, planned), atol=1e-5)


def test_documents_never_share_a_request(open_jina, emulator):
    documents = [group(f"d{i}", f"first of {i}. ", f"second of {i}. ", f"third of {i}.") for i in range(30)]
    reply = open_jina().encode(ask(*documents, late=True))
    assert reply.usage.windows == 30
    assert sorted(each.texts for each in emulator.exchanges) == sorted(document.texts() for document in documents)
    for document, rows in zip(documents, reply.vectors, strict=True):
        np.testing.assert_allclose(rows, late_vectors(document.texts(), task=TASK, dimensions=64), atol=1e-5)


def test_what_was_cut_off_is_thrown_away_and_sent_again_in_smaller_windows(open_jina, emulator):
    chunks = ["a b c d e f g h " * 24 for _ in range(100)]  # a letter, a token: twice as many as letters usually have
    document = group("dense", *chunks)
    assert counted(chunks) > 2 * LIMIT
    reply = open_jina().encode(ask(document, late=True))
    assert reply.failures == ()
    usages = [each.answer["usage"]["total_tokens"] for each in emulator.exchanges]
    assert max(usages) == LIMIT, "the first windows were cut off in silence"
    texts = document.texts()
    kept = [each.texts for each in emulator.exchanges if counted(each.texts) < LIMIT]
    assert {text for part in kept for text in part} == set(texts)
    plain_first = late_vectors(texts[:3], task=TASK, dimensions=64)[0]
    assert float(reply.vectors[0][0] @ plain_first) > 0.99


def test_a_chunk_that_no_window_holds_is_named_and_stops_nobody(open_jina):
    reply = open_jina().encode(ask(group("huge", "1" * 9000), group("fine", "one. ", "two."), late=True))
    (failure,) = reply.failures
    assert isinstance(failure.error, EmbedderRefused)
    assert "document 'huge'" in str(failure.error)
    assert "chunking.size" in str(failure.error)
    assert reply.vectors[1] is not None


def test_a_refused_document_is_named(open_jina, emulator):
    emulator.poison("POISON", HttpStatus(status=422))
    reply = open_jina().encode(ask(group("bad", "one POISON. ", "two."), group("good", "a. ", "b."), late=True))
    assert [failure.group for failure in reply.failures] == [0]
    assert "document 'bad'" in str(reply.failures[0].error)


def test_a_failure_that_passes_is_repeated(open_jina, emulator):
    emulator.inject(HttpStatus(status=500))
    reply = open_jina().encode(ask(group("a", "one. ", "two."), late=True))
    assert (reply.failures, reply.usage.retries) == ((), 1)


def test_a_tokenizer_file_makes_estimates_needless(tmp_path, emulator):
    tokenizers = pytest.importorskip("tokenizers")
    tokenizer = tokenizers.Tokenizer(tokenizers.models.WordLevel({"a": 0, "[UNK]": 1}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.WhitespaceSplit()
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    options = JinaOptions.model_validate(
        {"api_key": {"env": KEY}, "base_url": emulator.base_url, "tokenizer": tmp_path / "tokenizer.json"}
    )
    embedder = JinaEmbedder(options)
    try:
        assert embedder.count_tokens()("a a b") == 3
        assert embedder._session.estimate.exact
    finally:
        embedder.close()


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=25)
@given(st.lists(st.lists(st.integers(1, 900), min_size=1, max_size=25), min_size=1, max_size=4))
def test_any_documents(emulator, sizes):
    """No window over the limit, no chunk lost or twice, order kept, no mixing."""
    emulator.reset()
    emulator.dial(strict_late=True)
    documents = [
        group(f"d{d}", *(f"d{d}c{i} " + "word " * size for i, size in enumerate(chunks)))
        for d, chunks in enumerate(sizes)
    ]
    embedder = JinaEmbedder(JinaOptions.model_validate({"api_key": {"env": KEY}, "base_url": emulator.base_url}))
    try:
        reply = embedder.encode(ask(*documents, late=True))
    finally:
        embedder.close()
    assert reply.failures == ()
    for each in emulator.exchanges:
        assert counted(each.texts) <= LIMIT
        owners = {text.split("c", 1)[0] for text in each.texts}
        assert len(owners) == 1
        whole = documents[int(owners.pop()[1:])].texts()
        first = whole.index(each.texts[0])
        assert each.texts == whole[first : first + len(each.texts)]
    assert {t for each in emulator.exchanges for t in each.texts} == {t for d in documents for t in d.texts()}
    assert all(len(rows) == len(document.spans) for rows, document in zip(reply.vectors, documents, strict=True))


def test_a_reply_that_does_not_say_what_it_used_is_not_trusted(open_jina, monkeypatch):
    monkeypatch.setattr("nestvec.embedders.jina.embedder.decode", lambda *arguments: (decode(*arguments)[0], 0))
    with pytest.raises(EmbedderInvalidReply, match=r"does not say how many tokens it used.*set tokenizer"):
        open_jina(attempts=2).encode(ask(group("a", "one. ", "two."), late=True))
