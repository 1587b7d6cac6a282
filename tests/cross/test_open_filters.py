"""Filters on what is not declared, on ids and on parts of strings: the same on every engine, or refused by name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nestvec import ID, Document, F
from nestvec.errors import InvalidFilter, Unsupported
from nestvec.filters import TextOp, parse_dict, resolve, to_dict

from .engines import PARAMETERS
from .test_metadata import opened

PATHS = ["x", "y", "meta.x", "meta.author.name", 'meta."a.b"', '"q?"', '"l[]"']
VALUES = ["a", "b", "ab", "1", "1.0", "true", "", "ä", 0, 1, 1.0, -1, 2.5, 2**53, True, False]
METADATA = st.fixed_dictionaries(
    {},
    optional={
        "x": st.sampled_from([*VALUES, None, ["a", "b"], ["a"], [], [1], [True], {"inner": 1}]),
        "y": st.sampled_from([*VALUES, ["1"], [{"a": 1}]]),
        "meta": st.one_of(
            st.sampled_from(["text", 3, None, []]),
            st.fixed_dictionaries(
                {},
                optional={
                    "x": st.sampled_from(VALUES),
                    "author": st.sampled_from([{"name": "a"}, {"name": ["a", "b"]}, {"name": 1}, [{"name": "a"}], "a"]),
                    "a.b": st.sampled_from(VALUES),
                },
            ),
        ),
        "q?": st.sampled_from(VALUES),
        "l[]": st.sampled_from([*VALUES, ["a"]]),
    },
)
KEYS = {"x": ("x",), "y": ("y",), "meta.x": ("meta", "x"), "meta.author.name": ("meta", "author", "name")}
KEYS |= {'meta."a.b"': ("meta", "a.b"), '"q?"': ("q?",), '"l[]"': ("l[]",)}


#: What each backend can look for in strings.
TEXT = {
    "memory": frozenset(TextOp),
    "sqlite": frozenset(TextOp),
    "embedded": frozenset(TextOp),
    "qdrant": frozenset[TextOp](),
    "milvus-lite": frozenset(TextOp),
    "milvus-server": frozenset({TextOp.STARTS_WITH}),  # 2.3.5
    "pinecone": frozenset[TextOp](),
}


def can_look_for(name: str) -> frozenset[TextOp]:
    return TEXT.get(name, TEXT.get(name.partition("-")[0], frozenset()))


def at(metadata: Any, path: str) -> Any:
    for key in KEYS[path]:
        if not isinstance(metadata, dict) or key not in metadata:
            return None
        metadata = metadata[key]
    return metadata


def kind(value: Any) -> str | None:
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, int | float):
        return "number"
    return "string" if isinstance(value, str) else None


def equal(stored: Any, wanted: Any) -> bool:
    return kind(stored) == kind(wanted) is not None and stored == wanted


def strings(stored: Any) -> list[str]:
    return stored if isinstance(stored, list) and all(isinstance(each, str) for each in stored) else []


def leaves(text: frozenset[str]) -> st.SearchStrategy[tuple[Any, Any]]:
    """A filter, and what it means: a function of an id and metadata."""
    paths, values = st.sampled_from(PATHS), st.sampled_from(VALUES)
    numbers = st.sampled_from([value for value in VALUES if kind(value) == "number"])
    letters = st.sampled_from(["a", "b", "", "ab", "1", "ä"])
    ids = st.sampled_from(["d0", "d1", "e2", "nobody", ""])
    several = st.lists(values, max_size=3)
    made = [
        st.builds(lambda p, v: (F[p] == v, lambda _, m: equal(at(m, p), v)), paths, values),
        st.builds(lambda p, v: (F[p] >= v, lambda _, m: kind(at(m, p)) == "number" and at(m, p) >= v), paths, numbers),
        st.builds(lambda p, v: (F[p] < v, lambda _, m: kind(at(m, p)) == "number" and at(m, p) < v), paths, numbers),
        st.builds(lambda p, vs: (F[p].in_(vs), lambda _, m: any(equal(at(m, p), v) for v in vs)), paths, several),
        st.builds(lambda p, v: (F[p].contains(v), lambda _, m: v in strings(at(m, p))), paths, letters),
        st.builds(lambda p: (F[p].exists(), lambda _, m: kind(at(m, p)) is not None or bool(strings(at(m, p)))), paths),
        st.builds(lambda key: (key == ID, lambda i, _: i == key), ids),
        st.builds(lambda keys: (ID.in_(keys), lambda i, _: i in keys), st.lists(ids, max_size=3)),
    ]
    if TextOp.CONTAINS in text:
        made.append(
            st.builds(
                lambda p, v: (F[p].contains_text(v), lambda _, m: isinstance(at(m, p), str) and v in at(m, p)),
                paths,
                letters,
            )
        )
        made.append(st.builds(lambda v: (ID.contains_text(v), lambda i, _: v in i), ids))
    if TextOp.STARTS_WITH in text:
        made.append(
            st.builds(
                lambda p, v: (F[p].starts_with(v), lambda _, m: isinstance(at(m, p), str) and at(m, p).startswith(v)),
                paths,
                letters,
            )
        )
        made.append(st.builds(lambda v: (ID.starts_with(v), lambda i, _: i.startswith(v)), st.sampled_from("de")))
    if TextOp.ENDS_WITH in text:
        made.append(
            st.builds(
                lambda p, v: (F[p].ends_with(v), lambda _, m: isinstance(at(m, p), str) and at(m, p).endswith(v)),
                paths,
                letters,
            )
        )
    return st.one_of(made)


def trees(text: frozenset[str]) -> st.SearchStrategy[tuple[Any, Any]]:
    def grow(inner: st.SearchStrategy[tuple[Any, Any]]) -> st.SearchStrategy[tuple[Any, Any]]:
        return st.one_of(
            st.builds(lambda one: (~one[0], lambda i, m: not one[1](i, m)), inner),
            st.builds(lambda one, two: (one[0] & two[0], lambda i, m: one[1](i, m) and two[1](i, m)), inner, inner),
            st.builds(lambda one, two: (one[0] | two[0], lambda i, m: one[1](i, m) or two[1](i, m)), inner, inner),
        )

    return st.recursive(leaves(text), grow, max_leaves=4)


@pytest.mark.parametrize("name", PARAMETERS)
def test_undeclared_paths_ids_and_parts_of_strings_mean_the_same_everywhere(name: str, tmp_path: Path) -> None:
    slow = name in ("milvus-server", "milvus-lite", "qdrant-folder")
    with opened(name, tmp_path, fields="open") as docs:
        text = can_look_for(name)

        @settings(max_examples=15 if slow else 40, deadline=None, suppress_health_check=list(HealthCheck))
        @given(
            st.lists(METADATA, min_size=3, max_size=6),
            st.lists(trees(text), min_size=4, max_size=8),
        )
        def check(batch: list[dict[str, Any]], wanted: list[tuple[Any, Any]]) -> None:
            docs.delete(where=ID.in_([f"{letter}{n}" for letter in "de" for n in range(6)]))
            stored = {f"{'de'[n % 2]}{n}": metadata for n, metadata in enumerate(batch)}
            docs.upsert([Document(key, f"text {key}", metadata) for key, metadata in stored.items()])
            for where, holds in wanted:
                expected = {key for key, metadata in stored.items() if holds(key, metadata)}
                found = {hit.document_id for hit in docs.search("text", limit=10, where=where)}
                assert found == expected, where
                assert docs.count(where) == len(expected), where
                assert parse_dict(to_dict(where)) == where or resolve(to_dict(where), {}, open_fields=True) is not None

        check()


@pytest.mark.parametrize("name", PARAMETERS)
def test_a_declared_keyword_field_is_looked_into_where_the_backend_can(name: str, tmp_path: Path) -> None:
    with opened(name, tmp_path, fields={"title": "keyword", "n": "integer"}) as docs:
        titles = {"a": "Harbour", "b": "the harbour", "c": "HARBOUR", "d": None}
        docs.upsert([Document(key, "text", {"title": title} if title else {}) for key, title in titles.items()])
        asked = {
            TextOp.STARTS_WITH: (F.title.starts_with("H"), {"a", "c"}),
            TextOp.CONTAINS: (F.title.contains("arbour"), {"a", "b"}),
            TextOp.ENDS_WITH: (F.title.ends_with("our"), {"a", "b"}),
        }
        for op, (where, expected) in asked.items():
            if op in can_look_for(name):
                for each in (where, to_dict(where)):
                    assert {hit.document_id for hit in docs.search("text", where=each)} == expected
                assert docs.count(~where) == 4 - len(expected)
            else:
                with pytest.raises(Unsupported, match="title"):
                    docs.search("text", where=where)
        with pytest.raises(InvalidFilter, match="keyword field"):
            docs.count(F.n.starts_with("1"))


def test_what_cannot_be_asked_is_refused_by_name(tmp_path: Path) -> None:
    with opened("memory", tmp_path) as closed:
        for where in (F["meta.author"] == "a", {"meta.author": "a"}):
            with pytest.raises(InvalidFilter, match=r"meta\.author.*declare it.*open_fields"):
                closed.search("text", where=where)
    with opened("memory", tmp_path, fields="open") as docs:
        for where, words in [
            (F["authors[0].name"] == "a", "through objects, not through lists"),
            (F["meta..x"] == "a", "is no path"),
            (F.x > "a", "no order"),
            (F.x == 2**53 + 1, "declare it an integer"),
            (F.x.contains(1), "lists of strings"),
        ]:
            with pytest.raises(InvalidFilter, match=words):
                docs.search("text", where=where)
