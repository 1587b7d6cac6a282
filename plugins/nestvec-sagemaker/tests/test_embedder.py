"""The embedder through the real boto3: every field on the wire, order, limits, late chunking."""

from __future__ import annotations

import subprocess
import sys
import threading
import time

import numpy as np
import pytest

from nestvec.encoding.estimate import TokenEstimate
from nestvec.encoding.models import MODELS
from nestvec.encoding.packing import items_of, windows
from nestvec.errors import EmbedderError, EmbedderRefused
from nestvec_sagemaker.testing import AwsError, ModelFails
from nestvec_sagemaker.wire import MOST_BYTES
from nestvec_testing import EmbedderConformance, EmbedderUnderTest
from nestvec_testing.emulators.faults import Hold, Meet
from nestvec_testing.emulators.jina import late_vectors, plain_vectors

TASK = "retrieval.passage"


class TestConformance(EmbedderConformance):
    @pytest.fixture
    def embedder(self, emulator):
        return EmbedderUnderTest("nestvec_sagemaker.plugin", {**emulator.options, "backoff": 0.0})


class TestConformanceOfV2(EmbedderConformance):
    @pytest.fixture
    def embedder(self, emulator):
        emulator.dial(endpoints={"v2": "jina-embeddings-v2-base-en"})
        options = {**emulator.options, "model": "jina-embeddings-v2-base-en"}
        return EmbedderUnderTest("nestvec_sagemaker.plugin", options)


@pytest.mark.parametrize(
    ("model", "late"), [(name, late) for name, known in MODELS.items() for late in {False, known.late_chunking}]
)
def test_requests_of_every_model_on_the_wire(open_embedder, emulator, kit, model, late):
    known = MODELS[model]
    emulator.dial(endpoints={"it": model})
    embedder = open_embedder(model=model)
    size = max(known.min_dimensions, known.dimensions // 2)
    for task in known.tasks or (None,):
        reply = embedder.encode(kit.ask(kit.group("a", *kit.TEXTS), task=task, dimensions=size, late=late))
        sent = emulator.exchanges[-1]
        asked = {"task": task, "dimensions": size, "late_chunking": late}
        declared = {name: value for name, value in asked.items() if name in known.fields}
        wanted = {"data": [{"text": text} for text in kit.TEXTS], **({"parameters": declared} if declared else {})}
        assert sent.body == wanted
        vectors = (late_vectors if late else plain_vectors)(kit.TEXTS, model, task, dimensions=size)
        np.testing.assert_allclose(reply.vectors[0], vectors, atol=1e-6)


def test_the_request_around_the_body(open_embedder, emulator, kit):
    emulator.dial(components={"v3": "jina-embeddings-v3"})
    open_embedder(inference_component="v3").encode(kit.ask(*kit.documents()))
    (sent,) = emulator.exchanges
    assert (sent.method, sent.path) == ("POST", "/endpoints/jina/invocations")
    assert sent.headers["content-type"] == sent.headers["accept"] == "application/json"
    assert sent.headers["x-amzn-sagemaker-inference-component"] == "v3"
    assert sent.headers["authorization"] == sent.headers["x-amz-security-token"] == "<secret>"


def test_region_and_profile_come_from_where_aws_looks(open_embedder, aws, kit, monkeypatch):
    (aws / "config").write_text("[profile work]\nregion = eu-west-1\n")
    (aws / "credentials").write_text(
        "[work]\naws_access_key_id = AKIAIOSFODNN7EXAMPLE\naws_secret_access_key = s3cr3t\n"
    )
    monkeypatch.delenv("AWS_SESSION_TOKEN")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAOTHER")
    assert open_embedder(region=None, profile="work").encode(kit.ask(*kit.documents())).failures == ()


@pytest.mark.parametrize("items", ["embedding", "indexed", "bare"])
@pytest.mark.parametrize("usage", [True, False])
def test_every_form_of_reply(open_embedder, emulator, kit, items, usage):
    emulator.dial(items=items, usage=usage)
    reply = open_embedder(batch=3).encode(kit.ask(*kit.documents()))
    wanted = plain_vectors(kit.TEXTS, task=TASK, dimensions=64)
    np.testing.assert_allclose(np.concatenate(reply.vectors), wanted, atol=1e-6)
    assert (reply.usage.tokens > 0) == usage
    assert (reply.usage.requests, reply.usage.retries) == (2, 0)


def test_prefixes_get_their_length_here(open_embedder, emulator, kit):
    """Another host's vectors have length 1, too: it is the same space."""
    emulator.dial(normalized=False)
    reply = open_embedder().encode(kit.ask(*kit.documents(), dimensions=32))
    wanted = plain_vectors(kit.TEXTS, task=TASK, dimensions=32)
    np.testing.assert_allclose(np.concatenate(reply.vectors), wanted, atol=1e-6)


def test_requests_stay_under_six_megabytes(open_embedder, emulator, kit):
    texts = [f"{i} " + 'é\x01"' * 500 + " " * 2_500_000 for i in range(9)]
    reply = open_embedder().encode(kit.ask(*kit.documents(*texts)))
    assert reply.failures == ()
    assert reply.usage.retries == 0, "they are packed so, not halved when it is too late"
    sizes = [len(each.raw) for each in emulator.exchanges]
    assert max(sizes) <= MOST_BYTES
    assert sorted(len(each.texts) for each in emulator.exchanges) == [1, 2, 2, 2, 2]


def test_a_text_beyond_six_megabytes_is_refused_by_name(open_embedder, emulator, kit):
    reply = open_embedder().encode(kit.ask(*kit.documents("x" * MOST_BYTES, "fine")))
    (failure,) = reply.failures
    assert isinstance(failure.error, EmbedderRefused)
    assert "document 'doc-0'" in str(failure.error)
    assert "chunking.size" in str(failure.error)
    assert [each.texts for each in emulator.exchanges] == [["fine"]]


def test_replies_stay_under_six_megabytes(open_embedder, emulator, kit):
    texts = [f"text {i}" for i in range(300)]
    open_embedder(batch=500).encode(kit.ask(*kit.documents(*texts), dimensions=1024))
    assert max(len(each.texts) for each in emulator.exchanges) * 1024 * 26 <= MOST_BYTES
    emulator.journal.clear()
    open_embedder(batch=500).encode(kit.ask(kit.group("tiny chunks", *texts), dimensions=1024, late=True))
    assert max(len(each.texts) for each in emulator.exchanges) * 1024 * 26 <= MOST_BYTES


def test_what_is_certainly_too_long_is_not_even_sent(open_embedder, emulator, kit):
    """A container may cut in silence; the vector would be of another text."""
    reply = open_embedder().encode(kit.ask(*kit.documents("word " * 9000, "fine")))
    (failure,) = reply.failures
    assert isinstance(failure.error, EmbedderRefused)
    assert "at least 9,002 tokens" in str(failure.error)
    assert "document 'doc-0'" in str(failure.error)
    assert [each.texts for each in emulator.exchanges] == [["fine"]]


def test_a_tokenizer_file_counts_exactly(open_embedder, emulator, kit, tmp_path):
    tokenizers = pytest.importorskip("tokenizers")
    tokenizer = tokenizers.Tokenizer(tokenizers.models.WordLevel({"a": 0, "[UNK]": 1}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.Split("", "isolated")
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    embedder = open_embedder(tokenizer=tmp_path / "tokenizer.json")
    assert embedder.count_tokens()("abc") == 3
    reply = embedder.encode(kit.ask(*kit.documents("x" * 8191, "x" * 8190)))
    assert [failure.group for failure in reply.failures] == [0]
    assert "the text has 8,193 tokens" in str(reply.failures[0].error)


def test_a_lone_surrogate_fails_its_document_only(open_embedder, kit):
    for late in (False, True):
        reply = open_embedder().encode(kit.ask(*kit.documents("bad \ud800", "fine"), late=late))
        assert [failure.group for failure in reply.failures] == [0]
        assert "surrogate" in str(reply.failures[0].error)


# ---------------------------------------------------------------- several at once


def test_as_many_requests_at_once_as_allowed(open_embedder, emulator, kit):
    emulator.inject(Meet(number=3), times=3)
    reply = open_embedder(batch=1, concurrency=3).encode(kit.ask(*kit.documents(*(f"text {i}" for i in range(12)))))
    assert reply.failures == ()
    assert emulator.journal.peak == 3


def test_interrupting_sends_nothing_more(open_embedder, emulator, kit):
    hold = Hold()
    emulator.inject(hold, times=None)
    stop = threading.Event()

    def interrupted():
        if hold.arrived.is_set():
            stop.set()
            hold.release()
        return stop.is_set()

    documents = kit.documents(*(f"text {i}" for i in range(50)))
    embedder = open_embedder(batch=1, concurrency=2)
    with pytest.raises(EmbedderError, match="interrupted"):
        embedder.encode(kit.ask(*documents, cancelled=interrupted))
    assert len(emulator.exchanges) <= 6
    assert emulator.journal.in_flight == 0


def test_interrupting_ends_waiting_between_tries(open_embedder, emulator, kit):
    emulator.inject(AwsError(code="ThrottlingException"), times=None)
    embedder = open_embedder(backoff=1000.0)
    started = time.monotonic()
    with pytest.raises(EmbedderError, match="interrupted"):
        embedder.encode(kit.ask(*kit.documents(), cancelled=lambda: bool(emulator.exchanges)))
    assert len(emulator.exchanges) == 1
    assert time.monotonic() - started < 15


def test_a_closed_embedder_says_so(open_embedder, kit):
    embedder = open_embedder()
    embedder.close()
    with pytest.raises(EmbedderError, match="connect again"):
        embedder.encode(kit.ask(*kit.documents()))


def test_a_forked_process_connects_again(open_embedder, kit):
    """Threads do not come along in a fork: waiting for them would be for ever."""
    embedder = open_embedder()
    embedder._process -= 1
    with pytest.raises(EmbedderError, match="forked"):
        embedder.encode(kit.ask(*kit.documents()))
    embedder._process += 1


def test_repr_names_the_endpoint(open_embedder):
    assert repr(open_embedder()) == "<jina-embeddings-v3 at the SageMaker endpoint 'jina' in eu-west-1>"


def test_registering_loads_no_sdk():
    program = "import sys, nestvec_sagemaker.plugin as p; p.nestvec_embedder(); print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout.split()
    assert not {"boto3", "botocore", "numpy", "tenacity"} & set(loaded)


# ---------------------------------------------------------------- late chunking


def expected(document, planned, size=64):
    texts = document.texts()
    rows = [
        late_vectors(texts[w.first : w.end], task=TASK, dimensions=size)[w.keep_first - w.first : w.keep_end - w.first]
        for w in planned
    ]
    return np.concatenate(rows)


def test_a_document_beyond_one_window(open_embedder, emulator, kit):
    generator = np.random.default_rng(5)
    chunks = [" ".join(f"w{i}" for i in generator.integers(0, 400, 90)) + ". " for _ in range(200)]
    document = kit.group("the-big-one", *chunks)
    reply = open_embedder().encode(kit.ask(document, kit.group("small", "one. ", "two."), late=True))
    assert reply.failures == ()
    planned = windows(document, items_of(0, document, TokenEstimate()), 8192)
    assert len(planned) > 3
    assert reply.usage.windows == len(emulator.exchanges) == len(planned) + 1
    assert ["one. ", "two."] in [each.texts for each in emulator.exchanges], "no document shares a request"
    np.testing.assert_allclose(reply.vectors[0], expected(document, planned), atol=1e-5)
    np.testing.assert_allclose(reply.vectors[1], late_vectors(["one. ", "two."], task=TASK, dimensions=64), atol=1e-5)


def test_what_was_cut_off_is_thrown_away_and_sent_again_in_smaller_windows(open_embedder, emulator, kit):
    emulator.dial(cuts=True)
    document = kit.group("dense", *["a b c d e f g h " * 24 for _ in range(100)])
    reply = open_embedder().encode(kit.ask(document, late=True))
    assert reply.failures == ()
    used = [each.answer["usage"]["total_tokens"] for each in emulator.exchanges]
    assert max(used) == 8192, "the first windows were cut off in silence"
    kept = {text for each, tokens in zip(emulator.exchanges, used, strict=True) if tokens < 8192 for text in each.texts}
    assert kept == set(document.texts())


def test_without_usage_only_what_cannot_have_been_cut_is_trusted(open_embedder, emulator, kit):
    emulator.dial(cuts=True, usage=False)
    dense = kit.group("dense", *["a b c d e f g h " * 24 for _ in range(100)])
    reply = open_embedder().encode(kit.ask(dense, kit.group("small", "one. ", "two."), late=True))
    assert [failure.group for failure in reply.failures] == [0]
    assert "document 'dense'" in str(reply.failures[0].error)
    assert "set tokenizer" in str(reply.failures[0].error)
    assert reply.vectors[1] is not None


def test_a_refused_document_is_named_and_stops_nobody(open_embedder, emulator, kit):
    emulator.inject(ModelFails(original=400), containing="POISON", times=None)
    documents = kit.group("bad", "one POISON. ", "two."), kit.group("good", "a. ", "b."), kit.group("huge", "1" * 9000)
    reply = open_embedder().encode(kit.ask(*documents, late=True))
    told = {failure.group: str(failure.error) for failure in reply.failures}
    assert set(told) == {0, 2}
    assert told[0].startswith("document 'bad'")
    assert told[2].startswith("document 'huge'")
    assert reply.vectors[1] is not None
