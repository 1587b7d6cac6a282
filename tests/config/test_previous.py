"""`previous` in a collection's block: what it was before a migration. And `price` in an embedder's."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from nestvec.config import Config

Load = Callable[[str], Config]
Problems = Callable[[str], list[str]]

CONNECTIONS = """
[backends.search]
use = "memory"
[backends.other]
use = "memory"
[embedders.model]
use = "recording"
[embedders.plain]
use = "plain"
"""
COLLECTION = """
[collections.docs]
backend = "search"
embedder = "model"
dimensions = 16
fields = { lang = "keyword", year = "integer" }
[collections.docs.previous]
"""


def test_it_is_the_block_with_other_values(load: Load) -> None:
    config = load(CONNECTIONS + COLLECTION + 'backend = "other"\nembedder = "plain"\ndimensions = 48\n')
    now, before = config.collections["docs"], config.previous["docs"]
    assert (now.backend, now.embedder, now.space.dimensions) == ("search", "model", 16)
    assert (before.backend, before.embedder, before.space.dimensions) == ("other", "plain", 48)
    assert (before.name, before.fields, before.chunking) == ("docs", now.fields, now.chunking)
    assert before.space.model == "plain"


def test_without_it_there_is_none(load: Load) -> None:
    assert load(CONNECTIONS + COLLECTION.replace("[collections.docs.previous]", "")).previous == {}


def test_tasks_take_the_place_of_a_purpose(load: Load) -> None:
    now = COLLECTION.replace("dimensions = 16", 'dimensions = 16\npurpose = "retrieval"')
    config = load(CONNECTIONS + now + 'tasks = { index = "text-matching", query = "text-matching" }\n')
    assert config.collections["docs"].space.query_task == "retrieval.query"
    assert config.previous["docs"].space.query_task == "text-matching"


def test_options_of_another_backend_do_not_follow(load: Load) -> None:
    acme = '[backends.acme]\nuse = "acme"\nurl = "http://acme"\n'
    text = COLLECTION.replace('"search"', '"acme"').replace("dimensions = 16", "dimensions = 16\nacme = { shards = 3 }")
    config = load(CONNECTIONS + acme + text + 'backend = "other"\n')
    assert (config.collections["docs"].options.shards, config.previous["docs"].options) == (3, None)  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("dimensoins = 8", "collections.docs.previous.dimensoins: unknown key; did you mean 'dimensions'?"),
        ("dimensions = 1000", "collections.docs.previous.dimensions: "),
        (
            'embedder = "modle"',
            "collections.docs.previous.embedder: there is no [embedders.modle]; did you mean 'model'?",
        ),
        ("dimensions = 16", "collections.docs.previous: nothing in it differs from what the collection is now"),
        ("namespaces = true", "previous.namespaces: a migration does not bring namespaces or do away with them"),
        ("adopt = true", "only nestvec's own collections migrate; leave previous out, or adopt"),
        ("previous = { dimensions = 8 }", "previous: name only what the collection was last"),
    ],
)
def test_mistakes(problems: Problems, written: str, expected: str) -> None:
    found = problems(CONNECTIONS + COLLECTION + written + "\n")
    assert any(expected in problem for problem in found), found


def test_a_price(load: Load) -> None:
    assert load('[embedders.model]\nuse = "recording"\nprice = 0.02\n').embedders["model"].price == 0.02
    assert load('[embedders.model]\nuse = "recording"\nprice = 0\n').embedders["model"].price == 0
    assert load('[embedders.model]\nuse = "recording"\n').embedders["model"].price is None


@pytest.mark.parametrize("written", ['"cheap"', "-1", "true", "nan"])
def test_no_price(problems: Problems, written: str) -> None:
    (problem,) = problems(f'[embedders.model]\nuse = "recording"\nprice = {written}\n')
    assert problem.startswith("embedders.model.price: ")
