"""Whatever metadata go in come out as they were given, on every engine; declared fields are projections of them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import nestvec
from nestvec import Document, F
from nestvec.errors import IngestFailed
from nestvec.runtime import Runtime
from nestvec_testing.registry import test_registry

from .engines import ENGINES, PARAMETERS

FIELDS = {
    "year": "integer",
    "ratio": "float",
    "day": "datetime",
    "ok": "boolean",
    "tags": "keyword[]",
    "author": {"path": "meta.author.name", "type": "keyword"},
    "writer": {"path": "meta.author.name", "type": "keyword"},
    "dotted": {"path": 'meta."a.b"', "type": "integer"},
}

scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**70), 2**70),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(max_size=8),
    st.sampled_from(["2026-01-31", "1", "1.0", "true", "", "nestvec:given"]),
    st.sampled_from([0, 0.0, 1, 1.0, True, 2020, 2020.0, 2**53, 2.0**53, 2**53 + 1, 2**63, -(2**63)]),
)
keys = st.one_of(st.text(max_size=6), st.sampled_from(["a.b", 'q"q', "meta", "author", "nestvec:datetime", "$x", "id"]))
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=3),
    max_leaves=8,
)
names = st.one_of(keys, st.sampled_from([*FIELDS, "nestvec:given", "nestvec:object", "text", "document_id"]))
metadata = st.dictionaries(names, values, max_size=5)


def exactly(value: Any) -> Any:
    """With the type of everything: 1, 1.0 and True are three values."""
    if isinstance(value, Mapping):
        return {key: exactly(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [exactly(item) for item in value]
    return type(value).__name__, value


@contextmanager
def opened(name: str, folder: Path, **block: Any) -> Iterator[Any]:
    with ENGINES[name](folder) as engine:
        configuration = {
            "embedders": {"model": {"use": "recording"}},
            "backends": {"store": {"use": engine.use, **engine.options}},
            "collections": {"docs": {"dimensions": 4, **block}},
        }
        with nestvec.connect(configuration, Runtime(test_registry())) as nv:
            nv.apply()
            yield nv["docs"]


@pytest.mark.parametrize("name", PARAMETERS)
@pytest.mark.parametrize("opens", [False, True], ids=["closed", "open"])
def test_any_json_comes_out_as_it_went_in(name: str, opens: bool, tmp_path: Path) -> None:
    numbers = iter(range(10**6))
    with opened(name, tmp_path, fields=FIELDS, open_fields=opens) as docs:

        @settings(
            max_examples=15 if name in ("milvus-server", "milvus-lite", "qdrant-folder") else 40,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        )
        @given(st.lists(metadata, min_size=1, max_size=6))
        def check(batch: list[dict[str, Any]]) -> None:
            documents = [Document(f"d{next(numbers)}", f"text {place}", each) for place, each in enumerate(batch)]
            docs.upsert(documents)
            found = docs.get_many([each.id for each in documents])
            assert [each.id for each in found] == [each.id for each in documents]
            for document, stored in zip(documents, found, strict=True):
                assert exactly(stored.metadata) == exactly(document.metadata)
                assert json.loads(json.dumps(stored.metadata)) == document.metadata
            assert docs.upsert(documents).embedded == 0, "the same again is unchanged"

        check()
        (hits,) = docs.search_many(["text 1"], limit=3)
        assert all(hit.metadata == docs.get(hit.document_id).metadata for hit in hits)


@pytest.mark.parametrize("name", PARAMETERS)
def test_fields_are_projections_and_what_does_not_fit_is_kept_and_told(name: str, tmp_path: Path) -> None:
    with opened(name, tmp_path, fields=FIELDS) as docs:
        report = docs.upsert(
            [
                Document("fits", "one", {"year": 2020.0, "day": "2026-01-31", "meta": {"author": {"name": "Ada"}}}),
                Document("not", "two", {"year": "MMXX", "day": "soon", "meta": {"author": [{"name": "Ada"}]}}),
                Document("null", "three", {"year": None, "meta": {"author": None, "a.b": 7}}),
            ]
        )
        assert report.documents == 3
        assert report.failed == ()
        assert {each.field: each.document_id for each in report.misfits} == dict.fromkeys(
            ("year", "day", "author", "writer"), "not"
        )
        assert "list" in next(each.problem for each in report.misfits if each.field == "author")

        def ids(where: Any) -> set[str]:
            return {hit.document_id for hit in docs.search("one", where=where)}

        assert ids(F.year == 2020) == {"fits"}
        assert ids(F.author == "Ada") == ids(F.writer == "Ada") == {"fits"}
        assert ids(F.day >= datetime(2026, 1, 1, tzinfo=UTC)) == {"fits"}
        assert ids(F.dotted == 7) == {"null"}
        assert ids(~F.year.exists()) == {"not", "null"}
        (hit, *_) = docs.search("one", where=F.year == 2020)
        assert exactly(hit.metadata) == exactly(
            {"year": 2020.0, "day": "2026-01-31", "meta": {"author": {"name": "Ada"}}}
        )


@pytest.mark.parametrize("name", PARAMETERS)
def test_strict_fields_refuse_what_does_not_fit(name: str, tmp_path: Path) -> None:
    with opened(name, tmp_path, fields=FIELDS, strict_fields=True) as docs, pytest.raises(IngestFailed) as told:
        docs.upsert([Document("not", "two", {"year": "MMXX"}), Document("fits", "one", {"year": 1})])
    (failure,) = told.value.report.failed
    assert failure.document_id == "not"
    assert "year" in failure.error
    assert "integer" in failure.error


@pytest.mark.parametrize("name", ["pinecone", "milvus-lite"])
def test_metadata_that_are_too_large_with_their_json_are_refused_by_name(name: str, tmp_path: Path) -> None:
    large = {"pages": [{"number": number, "words": "w" * 100} for number in range(700)]}
    with opened(name, tmp_path, fields=FIELDS) as docs, pytest.raises(IngestFailed) as told:
        docs.upsert([Document("large", "one", large), Document("small", "two", {"pages": [{"number": 1}]})])
    (failure,) = told.value.report.failed
    assert (failure.document_id, told.value.report.documents) == ("large", 1)
    assert "nested values" in failure.error
    assert "bytes" in failure.error
