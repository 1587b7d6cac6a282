"""Embedders that are objects of the program, in the shapes of frameworks; and collections that have none."""

from __future__ import annotations

import pickle
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import nestvec
from nestvec import Document
from nestvec.embedders import wrap
from nestvec.errors import (
    CollectionConflict,
    ConfigError,
    EmbedderInvalidReply,
    EmbedderRefused,
    IngestFailed,
    InvalidInput,
    Unsupported,
)
from nestvec.runtime import Runtime
from nestvec_testing.registry import test_registry

SIZE = 6


def vector(text: str, shift: int = 0) -> list[float]:
    row = [0.0] * SIZE
    for place, letter in enumerate(text):
        row[(ord(letter) + place + shift) % SIZE] += 1.0
    return row


class LangChain:
    """As LangChain's embeddings are."""

    def __init__(self) -> None:
        self.documents: list[str] = []
        self.questions: list[str] = []

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        self.documents += texts
        return [vector(text) for text in texts]

    def embed_query(self, text: str) -> list[float]:
        self.questions.append(text)
        return vector(text)


class LlamaIndex:
    """As LlamaIndex's embeddings are."""

    def get_text_embedding_batch(self, texts: list[str], show_progress: bool = False) -> list[list[float]]:
        return [vector(text) for text in texts]

    def get_query_embedding(self, query: str) -> list[float]:
        return vector(query)


class HaystackDocuments:
    """As Haystack's document embedders are."""

    def run(self, documents: list[Any]) -> dict[str, Any]:
        for each in documents:
            each.embedding = vector(each.content)
        return {"documents": documents}


class HaystackText:
    """As Haystack's text embedders are."""

    def run(self, text: str) -> dict[str, Any]:
        return {"embedding": vector(text)}


def function(texts: list[str]) -> Any:
    return np.array([vector(text) for text in texts])


SHAPES = {
    "langchain": LangChain,
    "llamaindex": LlamaIndex,
    "haystack": lambda: (HaystackDocuments(), HaystackText()),
    "function": lambda: function,
    "two functions": lambda: (function, function),
}


@pytest.mark.parametrize("shape", SHAPES)
def test_each_shape_embeds_documents_and_questions(shape: str, tmp_path: Path) -> None:
    with nestvec.collection("docs", path=tmp_path, embedder=SHAPES[shape](), model="letters") as docs:
        docs.upsert([Document("a", "harbour"), Document("b", "zzz")])
        (hit, *_) = docs.search("harbour")
        assert (hit.document_id, round(hit.score, 5)) == ("a", 1.0)
        assert (docs.space.model, docs.space.dimensions) == ("letters", SIZE)
        several = shape != "function"
        assert (docs.space.index_task, docs.space.query_task) == (("document", "query") if several else (None, None))
    with pytest.raises(CollectionConflict, match="letters"):
        nestvec.collection("docs", path=tmp_path, embedder=SHAPES[shape](), model="other")


def test_both_sides_are_reachable_and_each_goes_its_own_way() -> None:
    theirs = LangChain()
    with nestvec.collection("docs", embedder=wrap(theirs, name="letters", dimensions=SIZE)) as docs:
        assert docs.embed(["a document"], side="document").shape == (1, SIZE)
        assert docs.embed(["a question"]).shape == (1, SIZE)
        assert docs.embed(["another"], side="query").shape == (1, SIZE)
        assert theirs.documents == ["a document"]
        assert theirs.questions[-2:] == ["a question", "another"]
        with pytest.raises(InvalidInput, match="a document must be a non-empty string"):
            docs.embed([" "], side="document")
        with pytest.raises(InvalidInput, match='side is "document" or "query"'):
            docs.embed(["x"], side="passage")


def test_documents_whose_vectors_the_object_made_are_taken_by_it() -> None:
    theirs = LangChain()
    with nestvec.collection("docs", embedder=theirs, model="letters") as docs:
        report = docs.upsert(Document("a", "harbour", vector=vector("harbour")), vectors_from=theirs)
        assert (report.given, report.embedded) == (1, 0)


def configuration(**block: Any) -> dict[str, Any]:
    return {
        "backends": {"store": {"use": "memory"}},
        "embedders": {"model": {"use": "recording"}},
        "collections": {"docs": {"embedder": "local", **block}},
    }


def test_a_configuration_takes_objects_by_name() -> None:
    given = {"local": wrap(function, name="letters")}
    with nestvec.connect(configuration(), Runtime(test_registry()), embedders=given) as nv:
        nv.apply()
        nv["docs"].upsert(Document("a", "harbour"))
        assert nv["docs"].search("harbour")[0].document_id == "a"
        assert "letters" in repr(nv.config.embedders["local"].capabilities)
    with pytest.raises(ConfigError, match=r"without a name.*nestvec\.embedders\.wrap"):
        nestvec.connect(configuration(), Runtime(test_registry()), embedders={"local": function})
    with pytest.raises(ConfigError, match="no collection uses"):
        nestvec.connect(
            configuration(), Runtime(test_registry()), embedders={**given, "spare": wrap(function, name="spare")}
        )
    alone = {**none(), "backends": configuration()["backends"]}
    with pytest.raises(ConfigError, match="no collection uses"):
        nestvec.connect(alone, Runtime(test_registry()), embedders=given)
    with pytest.raises(ConfigError, match=r"there is no \[embedders\.local\]"):
        nestvec.connect(configuration(), Runtime(test_registry()))


async def test_the_asynchronous_client_takes_them_too() -> None:
    nv = nestvec.aconnect(
        configuration(), Runtime(test_registry()), embedders={"local": wrap(LangChain(), name="letters")}
    )
    async with nv:
        await nv.apply()
        await nv["docs"].upsert(Document("a", "harbour"))
        assert (await nv["docs"].search("harbour"))[0].document_id == "a"
        assert (await nv["docs"].embed(["x"], side="document")).shape == (1, SIZE)


def test_a_name_is_asked_for_and_never_invented() -> None:
    class Named(LangChain):
        model_name = "tempting"

    for name in (None, "", " "):
        with pytest.raises(InvalidInput, match="needs a name"):
            wrap(Named(), name=name)
    with pytest.raises(InvalidInput, match="needs a name"):
        nestvec.collection("docs", embedder=Named())
    with pytest.raises(InvalidInput, match="called 'letters' already"):
        wrap(wrap(function, name="letters"), name="other")
    for wrong in (7, "text", object(), LangChain, (function,), {"a": 1}):
        with pytest.raises(InvalidInput, match="is no embedder: nestvec takes"):
            wrap(wrong, name="x")


def later(answers: list[Any]) -> Any:
    """Gives these answers one after the other, and the last of them ever after."""

    def embed(texts: list[str]) -> Any:
        answer = answers.pop(0) if len(answers) > 1 else answers[0]
        return answer(texts) if callable(answer) else answer

    return embed


def failing(texts: list[str]) -> Any:
    raise KeyError("weights")


async def suspended(texts: list[str]) -> Any:
    return function(texts)


@pytest.mark.parametrize(
    ("answer", "error", "words"),
    [
        (lambda texts: [[1.0] * (SIZE + 1) for _ in texts], EmbedderInvalidReply, "7 dimensions, and its space has 6"),
        (
            lambda texts: [[1.0] * SIZE],
            EmbedderInvalidReply,
            r"asked for 2 vectors and gave an array of shape \(1, 6\)",
        ),
        (lambda texts: [["one"] * SIZE for _ in texts], EmbedderInvalidReply, "no vectors of one size"),
        (lambda texts: [[1.0], [1.0, 2.0]], EmbedderInvalidReply, "no vectors of one size"),
        (lambda texts: None, EmbedderInvalidReply, "gave"),
        (lambda texts: [suspended(texts) for _ in texts], EmbedderInvalidReply, "asynchronous; give a plain function"),
        (lambda texts: [[1j] * SIZE for _ in texts], EmbedderInvalidReply, "numbers of type complex128"),
        (lambda texts: [["1"] * SIZE for _ in texts], EmbedderInvalidReply, "numbers of type"),
        (lambda texts: [[True] * SIZE for _ in texts], EmbedderInvalidReply, "numbers of type bool"),
        (failing, EmbedderRefused, "'letters' failed: KeyError: 'weights'"),
        (suspended, EmbedderInvalidReply, "asynchronous; give a plain function"),
    ],
)
def test_an_object_that_breaks_its_promise_is_named(answer: Any, error: type[Exception], words: str) -> None:
    with nestvec.collection("docs", embedder=later([function, answer]), model="letters") as docs:
        with pytest.raises(error, match=words):
            docs.upsert([Document("a", "one"), Document("b", "two")])
        assert docs.count() == 0


def test_what_is_not_finite_is_the_failure_of_its_document() -> None:
    def some(texts: list[str]) -> Any:
        return [[np.nan] * SIZE if "bad" in text else vector(text) for text in texts]

    with nestvec.collection("docs", embedder=some, model="letters") as docs:
        with pytest.raises(IngestFailed) as told:
            docs.upsert([Document("a", "good"), Document("b", "bad")])
        assert [each.document_id for each in told.value.report.failed] == ["b"]


def test_prefixes_are_cut_where_the_model_has_them() -> None:
    model = wrap(function, name="letters", min_dimensions=2)
    with nestvec.collection("docs", embedder=model, dimensions=3) as docs:
        docs.upsert(Document("a", "harbour"))
        assert np.linalg.norm(docs.get("a", vectors=True).vector) == pytest.approx(1.0)
    with pytest.raises(ConfigError, match="cannot give 3 dimensions"):
        nestvec.collection("docs", embedder=wrap(function, name="letters"), dimensions=3)
    with pytest.raises(InvalidInput, match="min_dimensions is 9"):
        wrap(function, name="letters", min_dimensions=9)


def test_nothing_of_the_object_is_shown_and_it_travels_where_it_can() -> None:
    secret = SimpleNamespace(embed_documents=function, embed_query=vector, api_key="sk-very-secret-key")
    model = wrap(secret, name="letters")
    assert "very-secret" not in repr(model)
    again = pickle.loads(pickle.dumps(wrap(LangChain(), name="letters")))
    assert again.capabilities == wrap(LangChain(), name="letters").capabilities
    with (
        nestvec.connect(
            configuration(),
            Runtime(test_registry()),
            embedders={"local": wrap(lambda texts: function(texts), name="x")},
        ) as nv,
        pytest.raises(Unsupported, match="cannot be pickled"),
    ):
        pickle.dumps(nv)


# ---------------------------------------------------------------- none at all


def none(**block: Any) -> dict[str, Any]:
    return {
        "backends": {"store": {"use": "memory"}},
        "collections": {"docs": {"embedder": "none", "model": "theirs", "dimensions": SIZE, **block}},
    }


def test_without_an_embedder_vectors_come_with_documents_and_questions() -> None:
    with nestvec.connect(none(), Runtime(test_registry())) as nv:
        nv.plan()
        nv.apply()
        docs = nv["docs"]
        report = docs.upsert(
            [Document("a", "harbour", vector=vector("harbour")), Document("b", "z", vector=vector("z"))]
        )
        assert (report.given, report.embedded) == (2, 0)
        assert docs.search(vector=vector("harbour"))[0].document_id == "a"
        assert docs.search_vectors(np.array([vector("z")], np.float32))[0][0].document_id == "b"
        with pytest.raises(Unsupported, match=r"search\(vector="):
            docs.search("harbour")
        with pytest.raises(Unsupported, match="no embedder"):
            docs.embed(["text"])
        with pytest.raises(IngestFailed, match="no embedder"):
            docs.upsert(Document("c", "no vector"))
        assert (docs.space.model, docs.space.dimensions, docs.count()) == ("theirs", SIZE, 2)
        assert docs.get("a").text == "harbour"
        assert docs.delete("a") == 1
        assert nv.status("docs")[0].documents == 1


def test_what_made_the_vectors_is_declared_and_kept_apart(tmp_path: Path) -> None:
    for wrong, words in [
        ({"model": None}, "needs model"),
        ({"dimensions": None}, "needs dimensions"),
    ]:
        block = {key: value for key, value in none(**wrong)["collections"]["docs"].items() if value is not None}
        with pytest.raises(ConfigError, match=words):
            nestvec.connect({**none(), "collections": {"docs": block}}, Runtime(test_registry()))
    with pytest.raises(ConfigError, match="an embedder knows its own"):
        nestvec.connect(
            {**configuration(), "collections": {"docs": {"embedder": "model", "model": "x"}}}, Runtime(test_registry())
        )
    with nestvec.collection("docs", path=tmp_path, embedder="none", model="one", dimensions=SIZE) as docs:
        docs.upsert(Document("a", "", vector=vector("a")))
    with pytest.raises(CollectionConflict, match="one"):
        nestvec.collection("docs", path=tmp_path, embedder="none", model="two", dimensions=SIZE)


def test_a_model_that_does_not_normalise_keeps_lengths() -> None:
    with nestvec.connect(none(normalized=False, metric="dot"), Runtime(test_registry())) as nv:
        nv.apply()
        nv["docs"].upsert(Document("a", "x", vector=[3.0] + [0.0] * (SIZE - 1)))
        (hit,) = nv["docs"].search(vector=[2.0] + [0.0] * (SIZE - 1))
        assert hit.score == pytest.approx(6.0)


def test_what_would_have_to_be_embedded_is_refused_early(tmp_path: Path) -> None:
    store = {"use": "sqlite", "path": str(tmp_path / "store.db")}
    values = {"backends": {"store": store}, "embedders": {"model": {"use": "recording"}}}
    usual = {"docs": {"embedder": "model", "dimensions": SIZE}}
    with nestvec.connect({**values, "collections": usual}, Runtime(test_registry())) as nv:
        nv.apply()
        nv["docs"].upsert(Document("a", "words"))
    block = {"embedder": "none", "model": "theirs", "dimensions": SIZE, "previous": {"embedder": "model"}}
    with nestvec.connect({**values, "collections": {"docs": block}}, Runtime(test_registry())) as nv:
        for act in (nv.plan_migration, nv.migrate):
            with pytest.raises(Unsupported, match=r'embedder = "none".*embedded anew.*model'):
                act("docs")
        with pytest.raises(Unsupported, match="no embedder"):
            nv.nest("docs")
