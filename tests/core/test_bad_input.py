"""What callers get wrong in Python: one of nestvec's errors each, and nothing done."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import nestvec
from nestvec._client import Nestvec
from nestvec.errors import (
    CollectionConflict,
    ConfigError,
    EmbedderInvalidReply,
    GenerationMoved,
    InvalidInput,
    InvalidName,
    NestvecError,
)
from nestvec.types import Document
from nestvec_testing.recording import RecordingEmbedder

CALLS: dict[str, Callable[[Nestvec], Any]] = {
    "an id that is no Unicode": lambda nv: nv["docs"].get("\ud800"),
    "an empty id": lambda nv: nv["docs"].delete([""]),
    "an id of another type": lambda nv: nv["docs"].get_many([1.5]),  # type: ignore[list-item]
    "no document": lambda nv: nv["docs"].upsert([{"id": "a", "text": "b"}]),  # type: ignore[list-item]
    "a text for a document": lambda nv: nv["docs"].upsert("hello"),  # type: ignore[arg-type]
    "an unknown way to fail": lambda nv: nv["docs"].upsert([], on_failure="ignore"),  # type: ignore[arg-type]
    "a text for a list of questions": lambda nv: nv["docs"].search_many("abc"),
    "a text for a list of texts": lambda nv: nv.embed("abc"),
    "a question that is empty": lambda nv: nv["docs"].search("  "),
    "a threshold that is no number": lambda nv: nv["docs"].search("a", threshold="b"),  # type: ignore[arg-type]
    "a threshold that is not finite": lambda nv: nv["docs"].search("a", threshold=float("nan")),
    "a limit of nothing": lambda nv: nv["docs"].search("a", limit=0),
    "a vector of words": lambda nv: nv["docs"].search_vector("abc"),  # type: ignore[arg-type]
    "a vector of another size": lambda nv: nv["docs"].search_vector(np.ones(7, np.float32)),
    "one vector for several": lambda nv: nv["docs"].search_vectors(np.ones(32, np.float32)),
    "several vectors for one": lambda nv: nv["docs"].search_vector(np.ones((2, 32), np.float32)),
    "vectors with a hole": lambda nv: nv["docs"].search_vectors(np.full((2, 32), np.nan, np.float32)),
    "a page of nothing": lambda nv: list(nv["docs"].scroll(page=0)),
    "a filter that selects everything": lambda nv: nv["docs"].delete(where={}),
    "ids and a filter": lambda nv: nv["docs"].delete(["a"], where={"lang": "de"}),
    "nothing to delete": lambda nv: nv["docs"].delete(),
}


@pytest.mark.parametrize("name", CALLS)
def test_refused_in_words(open_docs: Callable[..., Nestvec], name: str) -> None:
    client = open_docs(fields={"lang": "keyword"})
    client["docs"].upsert([Document(key, "text", {"lang": "de"}) for key in "abc"])
    with pytest.raises(InvalidInput):
        CALLS[name](client)
    assert client["docs"].count() == 3


def test_one_id_is_one_document(open_docs: Callable[..., Nestvec]) -> None:
    docs = open_docs()["docs"]
    docs.upsert([Document(key, "text") for key in ("a", "b", "abc")])
    assert docs.delete("abc") == 1
    assert docs.get("a") is not None
    assert docs.delete(everything=True) == 2


@pytest.mark.parametrize("tenant", [5, "", "\ud800"])
def test_namespaces_are_names(open_docs: Callable[..., Nestvec], tenant: Any) -> None:
    with pytest.raises(InvalidName, match="namespace"):
        open_docs(namespaces=True)["docs"].namespace(tenant).count()


def test_a_closed_client_says_so(open_docs: Callable[..., Nestvec]) -> None:
    client = open_docs()
    client.close()
    client.close()
    with pytest.raises(NestvecError, match="closed"):
        client["docs"].count()


def test_a_configuration_of_another_type() -> None:
    with pytest.raises(ConfigError, match="NoneType"):
        nestvec.connect(None)  # type: ignore[arg-type]


def test_a_field_cannot_come_back_as_another_type(open_docs: Callable[..., Nestvec]) -> None:
    shared = {"apply": False}
    client = open_docs(fields={"y": "integer"})
    adapter = client.adapter("store")

    def again(**fields: str) -> Nestvec:
        other = open_docs(fields=fields, **shared)
        other._connections.adapters.put("store", adapter)
        return other

    assert again().apply()[0].action == "update"
    (change,) = again(y="keyword").plan()
    assert change.action == "conflict"
    assert "field 'y': stored as integer, configured as keyword" in change.details
    assert "nestvec migrate" in change.details[-1]
    with pytest.raises(CollectionConflict):
        again(y="keyword").apply()
    assert again(y="integer").apply()[0].action == "update"


def test_a_failure_of_what_was_embedded_is_an_invalid_reply(open_docs: Callable[..., Nestvec]) -> None:
    from nestvec.contract import EncodeFailure

    class Both(RecordingEmbedder):
        def encode(self, request: Any) -> Any:
            reply = super().encode(request)
            return type(reply)(reply.vectors, (EncodeFailure(0, NestvecError("why")),))

    client = open_docs()
    client._connections.embedders.put("model", Both())
    with pytest.raises(EmbedderInvalidReply, match="failure"):
        client["docs"].upsert(Document("a", "text"))


def test_reading_does_not_go_on_in_another_generation(open_docs: Callable[..., Nestvec], clock: Any) -> None:
    from nestvec.contract import Create, SetAlias

    client = open_docs()
    docs = client["docs"]
    docs.upsert([Document(str(i), "text") for i in range(10)])
    pages = docs.scroll(page=4)
    next(pages)
    adapter = client.adapter("store")
    adapter.create(Create("docs_2", docs.spec.vectors, docs.spec.metric, {}, docs.spec.record(2)))
    adapter.set_alias(SetAlias("docs", "docs_2"))
    clock.now += 100
    with pytest.raises(GenerationMoved, match="start again"):
        next(pages)
