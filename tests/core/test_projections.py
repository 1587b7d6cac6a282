"""Fields that are projected: what a configuration may say of them, and what becomes of what is stored already."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import nestvec
from nestvec import Document, F, Nestvec
from nestvec._metadata import GIVEN, MAX_DEPTH, Projection, hash_metadata
from nestvec.errors import CollectionConflict, CollectionError, ConfigError, IngestFailed, InvalidDocument, InvalidInput
from nestvec.paths import format_path, parse_path
from nestvec.runtime import Runtime
from nestvec.types import Field
from nestvec_testing.registry import test_registry

AUTHOR = {"path": "meta.author", "type": "keyword"}


def configuration(folder: Path, **block: Any) -> dict[str, Any]:
    return {
        "embedders": {"model": {"use": "recording"}},
        "backends": {"store": {"use": "sqlite", "path": str(folder / "store.db")}},
        "collections": {"docs": {"dimensions": 8, **block}},
    }


def connected(folder: Path, **block: Any) -> Nestvec:
    """A client whose waits pass at once."""
    passed = [0.0]
    runtime = Runtime(
        test_registry(),
        clock=lambda: passed[0],
        wall=lambda: 1_800_000_000 + passed[0],
        pause=lambda seconds: passed.__setitem__(0, passed[0] + seconds),
    )
    return nestvec.connect(configuration(folder, **block), runtime)


def found(docs: Any, where: Any) -> set[str]:
    return {hit.document_id for hit in docs.search("text", limit=10, where=where)}


@pytest.mark.parametrize(
    ("block", "where"),
    [({"fields": {"author": AUTHOR}}, F.author == "Ada"), ({"fields": "open"}, F["meta.author"] == "Ada")],
    ids=["a path", "open fields"],
)
def test_what_is_stored_is_prepared_by_a_migration_that_embeds_nothing(
    block: dict[str, Any], where: Any, tmp_path: Path
) -> None:
    with connected(tmp_path) as nv:
        nv.apply()
        nv["docs"].upsert(Document("a", "text", {"meta": {"author": "Ada"}, "n": 1}))
    with connected(tmp_path, **block) as nv:
        with pytest.raises(CollectionConflict, match="nestvec migrate docs"):
            nv["docs"].search("text", where=where)
        assert any("embeds nothing" in str(change.to_dict()) for change in nv.plan())
        report = nv.migrate("docs")
        assert report.usage.requests == 0
        docs = nv["docs"]
        assert found(docs, where) == {"a"}
        assert docs.get("a").metadata == {"meta": {"author": "Ada"}, "n": 1}
        assert docs.upsert(Document("a", "text", {"meta": {"author": "Ada"}, "n": 1})).embedded == 0
        nv.apply()
    with connected(tmp_path) as nv:  # without them again: in place
        nv.apply()
        assert nv["docs"].get("a").metadata == {"meta": {"author": "Ada"}, "n": 1}


def test_another_path_of_a_field_is_another_field(tmp_path: Path) -> None:
    with connected(tmp_path, fields={"author": AUTHOR}) as nv:
        nv.apply()
        nv["docs"].upsert(Document("a", "text", {"meta": {"author": "Ada", "writer": "Bob"}}))
    with connected(tmp_path, fields={"author": {"path": "meta.writer", "type": "keyword"}}) as nv:
        with pytest.raises(
            CollectionConflict,
            match=r"path of field 'author' as meta\.author, but meta\.writer is wanted.*nestvec migrate docs",
        ):
            nv["docs"].count()
        nv.migrate("docs")
        assert found(nv["docs"], F.author == "Bob") == {"a"}
        assert found(nv["docs"], F.author == "Ada") == set()
    with connected(tmp_path) as nv:  # no longer declared: what is known of it stays known
        nv.apply()
    with (
        connected(tmp_path, fields={"author": "keyword"}) as nv,
        pytest.raises(CollectionConflict, match=r"meta\.writer"),
    ):
        nv["docs"].count()


@pytest.mark.parametrize(
    ("block", "words"),
    [
        ({"fields": {"a": {"path": "x.y", "type": "keyword"}, "b": {"path": 'x."y"', "type": "integer"}}}, "one value"),
        ({"fields": {"a": {"path": "b", "type": "keyword"}, "b": "integer"}}, "one value has one type"),
        ({"fields": {"a": {"path": "x[0].y", "type": "keyword"}}}, "not through lists"),
        ({"fields": {"a": {"path": "x..y", "type": "keyword"}}}, "is no path"),
        ({"fields": {"a": {"path": "x"}}}, r"fields\.a\.type"),
        ({"fields": {"a": {"path": "x", "type": "text"}}}, "unknown field type 'text'"),
        ({"fields": "closed"}, "fields"),
        ({"fields": {"a": {"path": "x", "type": "keyword", "index": True}}}, "index"),
        ({"adopt": True, "fields": {"a": AUTHOR}}, "adopted collection is read as it is"),
        ({"adopt": True, "fields": "open"}, "adopted collection is read as it is"),
        ({"adopt": True, "empty": "keep"}, "adopted collection is read as it is"),
    ],
)
def test_what_cannot_be_declared_is_told(block: dict[str, Any], words: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=words):
        connected(tmp_path, **block)


def deep(levels: int) -> Any:
    value: Any = 1
    for _ in range(levels):
        value = [value]
    return value


@pytest.mark.parametrize(
    ("metadata", "words"),
    [
        ({"a": {1: "x"}}, "keys must be strings"),
        ({"a": [float("nan")]}, "'a'"),
        ({"a": {"b": float("inf")}}, "'a'"),
        ({"a": "\ud800"}, "lone surrogate"),
        ({"a": {"\ud800": 1}}, "lone surrogate"),
        ({"a": b"bytes"}, "'a'"),
        ({"a": object()}, "'a'"),
        ({"a": 10**5000}, "too long"),
        ({"a": deep(MAX_DEPTH + 1)}, f"more than {MAX_DEPTH} levels"),
        ([("a", 1)], "must be a mapping"),
    ],
)
def test_what_is_no_json_is_refused_by_name(metadata: Any, words: str) -> None:
    with pytest.raises(InvalidDocument, match=words):
        Projection({}).project(metadata)


def test_as_deep_as_may_be_comes_back() -> None:
    stored = Projection({}).project({"a": deep(MAX_DEPTH - 1)}).stored
    assert Projection({}).given(stored) == {"a": deep(MAX_DEPTH - 1)}


def test_flat_metadata_of_matching_types_are_stored_as_they_are() -> None:
    fields = {"n": Field.parse("integer"), "tags": Field.parse("keyword[]"), "x": Field.parse("float")}
    given_values = {"n": 1, "tags": ["a"], "x": 1.5, "other": True, "list": [1, "a"], "a.b": "dots"}
    projected = Projection(fields).project(given_values)
    assert projected.stored == given_values
    assert projected.misfits == {}


def test_the_hash_tells_types_apart_and_not_orders() -> None:
    def known(metadata: dict[str, Any]) -> str:
        return hash_metadata(Projection({}).project(metadata).stored)

    assert known({"a": {"x": 1, "y": 2}}) == known({"a": {"y": 2, "x": 1}})
    assert len({known({"a": {"x": each}}) for each in (1, 1.0, True, "1", [1], None)}) == 6


@pytest.mark.parametrize("text", ["{", "[]", "7", "null", '{"a": ' * 3000, 7, None, ["a"]])
def test_a_record_that_was_tampered_with_is_told(text: Any) -> None:
    with pytest.raises(CollectionError, match="damaged"):
        Projection({}).given({GIVEN: text})


@given(st.lists(st.text(max_size=5), min_size=1, max_size=4))
def test_every_key_has_a_path(keys: list[str]) -> None:
    assert parse_path(format_path(keys)) == tuple(keys)


@given(st.text(max_size=12))
def test_no_text_makes_a_path_raise_anything_else(text: str) -> None:
    try:
        keys = parse_path(text)
    except InvalidInput:
        return
    assert parse_path(format_path(keys)) == keys


def test_misfits_of_many_documents_are_told_once(open_docs: Callable[..., Nestvec]) -> None:
    docs = open_docs(fields={"year": "integer"})["docs"]
    report = docs.upsert([Document(f"d{n}", "text", {"year": "MM" if n else 2000}) for n in range(300)])
    (misfit,) = report.misfits
    assert (misfit.field, misfit.declared, misfit.documents, misfit.document_id) == ("year", "integer", 299, "d1")
    strict = open_docs(fields={"year": "integer"}, strict_fields=True)["docs"]
    with pytest.raises(IngestFailed, match="declared integer"):
        strict.upsert(Document("a", "text", {"year": "MM"}))
