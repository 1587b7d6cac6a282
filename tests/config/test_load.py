"""Reading a file strictly: every mistake, with its key and what to write instead, all at once."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from nestvec.capabilities import TaskPair
from nestvec.config import Config, load_config, parse_config
from nestvec.errors import ConfigError
from nestvec.registry import Registry
from nestvec.types import DENSE, Field, FieldType, Metric

Load = Callable[[str], Config]
Problems = Callable[[str], list[str]]

CONNECTIONS = """
[backends.search]
use = "acme"
[embedders.model]
use = "recording"
"""


def pair(config: Config, name: str = "docs") -> TaskPair:
    space = config.collections[name].space
    return TaskPair(space.index_task, space.query_task)


# ---------------------------------------------------------------- good files


def test_a_whole_file(load: Load) -> None:
    config = load(
        CONNECTIONS
        + """
        [backends.other]
        use = "memory"
        [collections.docs]
        backend = "search"
        embedder = "model"
        purpose = "matching"
        dimensions = 32
        metric = "dot"
        late_chunking = true
        store_text = false
        chunking = { unit = "tokens", size = 200, format = "markdown" }
        [collections.docs.fields]
        lang = "keyword"
        seen = "datetime[]"
        [collections.docs.acme]
        shards = 3
        """
    )
    spec = config.collections["docs"]
    assert (spec.backend, spec.embedder, spec.metric) == ("search", "model", Metric.DOT)
    assert spec.vectors == {DENSE: 32}
    assert (spec.space.index_task, spec.space.query_task) == ("text-matching", "text-matching")
    assert spec.space.late_chunking
    assert not spec.store_text
    assert (spec.chunking.unit, spec.chunking.size, spec.chunking.format) == ("tokens", 200, "markdown")
    assert spec.fields == {"lang": Field(FieldType.KEYWORD), "seen": Field(FieldType.DATETIME, many=True)}
    assert spec.options.shards == 3  # type: ignore[union-attr]


def test_defaults_and_references_that_may_be_left_out(load: Load) -> None:
    spec = load(CONNECTIONS + "[collections.docs]\ndimensions = 16").collections["docs"]
    assert (spec.backend, spec.embedder) == ("search", "model")
    assert (spec.space.index_task, spec.space.query_task) == ("retrieval.passage", "retrieval.query")
    assert (spec.metric, spec.namespaces, spec.store_text, spec.fields) == (Metric.COSINE, False, True, {})
    assert spec.options.shards == 1  # type: ignore[union-attr]


def test_dimensions_default_to_the_model_s_full_length(load: Load) -> None:
    text = CONNECTIONS.replace('"acme"', '"memory"') + "[collections.docs]\n"
    assert load(text).collections["docs"].space.dimensions == 64


def test_an_empty_file_is_a_configuration_without_collections(load: Load) -> None:
    assert dict(load("").collections) == {}


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ('purpose = "clustering"', TaskPair("separation", "separation")),
        (
            'tasks = { index = "text-matching", query = "retrieval.query" }',
            TaskPair("text-matching", "retrieval.query"),
        ),
        ("tasks = {}", TaskPair(None, None)),
    ],
)
def test_purpose_and_tasks(load: Load, settings: str, expected: TaskPair) -> None:
    assert pair(load(f"{CONNECTIONS}[collections.docs]\ndimensions = 8\n{settings}")) == expected


# ---------------------------------------------------------------- the file itself


def test_a_missing_file_says_how_to_write_one(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"absent\.toml; write one with `nestvec init`"):
        load_config(tmp_path / "absent.toml")


def test_a_folder_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        load_config(tmp_path)


def test_invalid_toml_says_where(load: Load, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"nestvec\.toml is not valid TOML: .*line 2"):
        load("[backends]\nsearch = ]")


def test_a_byte_order_mark_and_windows_line_ends_are_no_mistake(tmp_path: Path, registry: Registry) -> None:
    file = tmp_path / "nestvec.toml"
    file.write_bytes(
        b"\xef\xbb\xbf" + f"{CONNECTIONS}[collections.docs]\ndimensions = 8\n".replace("\n", "\r\n").encode()
    )
    assert list(load_config(file, registry).collections) == ["docs"]


def test_a_file_in_another_encoding_cannot_be_read(tmp_path: Path) -> None:
    file = tmp_path / "nestvec.toml"
    file.write_bytes("# Bücher".encode("latin-1"))
    with pytest.raises(ConfigError, match="cannot be read"):
        load_config(file)


def test_mistakes_are_listed_under_the_file_s_name(load: Load, tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        load("colections = {}")
    assert str(caught.value).startswith(f"{tmp_path / 'nestvec.toml'} has mistakes:\n  - colections: ")


def test_plain_values_are_checked_alike(registry: Registry) -> None:
    with pytest.raises(ConfigError, match="the configuration has mistakes:\n  - backends: expected a table"):
        parse_config({"backends": [1]}, registry)


# ---------------------------------------------------------------- all at once


def test_every_mistake_of_a_file_is_reported_at_once(problems: Problems) -> None:
    found = problems(
        """
        embeders = {}
        [backends.search]
        use = "acme"
        replicas = 0
        colour = "red"
        [backends.gone]
        use = "acne"
        [backends.bare]
        [backends.sound]
        use = "acme"
        [embedders.model]
        use = "recording"
        dimensions = "many"
        [embedders.fine]
        use = "plain"
        [collections.docs]
        backend = "search"
        embedder = "fine"
        dimensions = "256"
        metrik = "dot"
        [collections.news]
        backend = "serch"
        embedder = "fine"
        late_chunking = true
        [collections.news-1]
        backend = "gone"
        embedder = "model"
        [collections."1st"]
        backend = "search"
        [collections.big]
        backend = "sound"
        embedder = "fine"
        purpose = "matching"
        dimensions = 64
        late_chunking = true
        metric = "euclidean"
        """
    )
    assert sorted(problem.split(": ")[0] for problem in found) == sorted(
        [
            "embeders",
            "backends.search.replicas",
            "backends.search.colour",
            "backends.gone.use",
            "backends.bare.use",
            "embedders.model.dimensions",
            "collections",  # news beside news-1
            "collections.docs.dimensions",
            "collections.docs.metrik",
            "collections.news.backend",
            "collections.1st",
            "collections.1st.embedder",
            "collections.big.dimensions",
            "collections.big.purpose",
            "collections.big.late_chunking",
            "collections.big.metric",
        ]
    )


def test_one_broken_block_causes_no_mistake_elsewhere(problems: Problems) -> None:
    text = CONNECTIONS.replace('use = "acme"', 'use = "acme"\nreplicas = "x"') + "[collections.docs]\ndimensions = 8"
    (problem,) = problems(text)
    assert problem.startswith("backends.search.replicas: ")
    (problem,) = problems(CONNECTIONS.replace('use = "acme"', "") + "[collections.docs]\ndimensions = 8")
    assert problem == "backends.search.use: is missing"


# ---------------------------------------------------------------- unknown keys


@pytest.mark.parametrize(
    ("place", "hint"),
    [
        ("collection", "did you mean 'collections'?"),
        ("backends.search.urll", "did you mean 'url'?"),
        ("backends.search.index.lits", "did you mean 'lists'?"),
        ("backends.search.api_key.enf", "did you mean 'env'?"),
        ("embedders.model.batsh", "did you mean 'batch'?"),
        ("collections.docs.dimension", "did you mean 'dimensions'?"),
        ("collections.docs.chunking.siez", "did you mean 'size'?"),
        ("collections.docs.tasks.querry", "did you mean 'query'?"),
        ("collections.docs.acne", "did you mean 'acme'?"),
        ("collections.docs.acme.shard", "did you mean 'shards'?"),
        ("collections.docs.acme.index.lits", "did you mean 'lists'?"),
        ("collections.docs.chunking.zzz", "known: unit, size, overlap, format, tokenizer"),
        # A collection may have the name of a key of collections.
        ("collections.chunking.chunking.siez", "did you mean 'size'?"),
        ("collections.tasks.acme.shard", "did you mean 'shards'?"),
    ],
)
def test_an_unknown_key_is_suggested_the_right_one_at_every_level(registry: Registry, place: str, hint: str) -> None:
    *tables, key = place.split(".")
    values: dict[str, Any] = {
        "backends": {"search": {"use": "acme", "index": {}, "api_key": {"env": "ACME_KEY"}}},
        "embedders": {"model": {"use": "recording"}},
        "collections": {name: {"dimensions": 8} for name in ("docs", "chunking", "tasks")},
    }
    table = values
    for name in tables:
        table = table.setdefault(name, {})
    table[key] = 1
    with pytest.raises(ConfigError) as caught:
        parse_config(values, registry)
    assert caught.value.problems == (f"{place}: unknown key; {hint}",)


def test_the_collection_options_of_another_backend_are_an_unknown_key(problems: Problems) -> None:
    text = CONNECTIONS.replace('"acme"', '"memory"') + "[collections.docs]\ndimensions = 8\n[collections.docs.acme]\n"
    (problem,) = problems(text)
    assert problem.startswith("collections.docs.acme: unknown key; known: backend, embedder, ")


# ---------------------------------------------------------------- types


@pytest.mark.parametrize(
    ("setting", "problem"),
    [
        ('dimensions = "8"', "dimensions: expected a whole number"),
        ("dimensions = 8.0", "dimensions: expected a whole number"),
        ("dimensions = true", "dimensions: expected a whole number"),
        ('late_chunking = "yes"', "late_chunking: expected true or false"),
        ("namespaces = 1", "namespaces: expected true or false"),
        ("store_text = 0", "store_text: expected true or false"),
        ("backend = 5", "backend: expected a string in quotes"),
        ("chunking = 500", "chunking: expected a table"),
        ("tasks = 'retrieval.query'", "tasks: expected a table"),
        ("fields = 'keyword'", "fields: expected a table"),
        ("chunking = { size = '500' }", "chunking.size: expected a whole number"),
        ("chunking = { size = 0 }", "chunking.size: input should be greater than or equal to 1"),
        ("chunking = { overlap = -1 }", "chunking.overlap: input should be greater than or equal to 0"),
        ("chunking = { unit = 'words' }", "chunking.unit: input should be 'characters' or 'tokens'"),
        ("metric = 'cosin'", "metric: input should be 'cosine', 'dot' or 'euclidean'"),
        ("acme = 5", "acme: expected a table"),
        ("acme = [['shards', 1]]", "acme: expected a table"),
        ("fields = { nestvec = 'keyword' }", "fields.nestvec: field name 'nestvec' is reserved for nestvec; rename it"),
        (
            "fields = { '$or' = 'keyword' }",
            "fields.$or: a field name is a non-empty string that does not start with $, got '$or'",
        ),
    ],
)
def test_a_value_of_the_wrong_type_says_what_was_expected(problems: Problems, setting: str, problem: str) -> None:
    settings = setting if setting.startswith("dimensions") else f"dimensions = 8\n{setting}"
    assert problems(f"{CONNECTIONS}[collections.docs]\n{settings}") == [f"collections.docs.{problem}"]


def test_an_unknown_field_type_lists_those_that_there_are(problems: Problems) -> None:
    (problem,) = problems(f"{CONNECTIONS}[collections.docs]\ndimensions = 8\nfields = {{ year = 'int' }}")
    assert problem.startswith("collections.docs.fields.year: unknown field type 'int'; use keyword, integer, float, ")
    assert problem.endswith("or a list of them, as in keyword[]")


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("collections = 5", "collections: expected a table"),
        ("[[backends]]\nuse = 'acme'", "backends: expected a table"),
        ("backends.search = 'acme'", "backends.search: expected a table"),
        ("[backends.search]\nuse = 5", "backends.search.use: expected a string in quotes"),
        ("[backends.search]\nurl = 'x'", "backends.search.use: is missing"),
    ],
)
def test_blocks_of_the_wrong_shape(problems: Problems, text: str, problem: str) -> None:
    assert problems(text) == [problem]


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("attempts = 0", "backends.search.attempts:"),
        ("attempts = 2.5", "backends.search.attempts:"),
        ("attempts = 'many'", "backends.search.attempts:"),
        ("deadline = 0", "backends.search.deadline:"),
        ("deadline = inf", "backends.search.deadline:"),
        ("deadline = '60 s'", "backends.search.deadline:"),
        ("retries = 3", "backends.search.retries: unknown key"),
    ],
)
def test_how_a_backend_is_repeated_is_checked(problems: Problems, line: str, problem: str) -> None:
    (found,) = problems(f"[backends.search]\nuse = 'acme'\n{line}")
    assert found.startswith(problem)


def test_how_a_backend_is_repeated(load: Load) -> None:
    config = load("[backends.search]\nuse = 'acme'\nattempts = 3\ndeadline = 5\n[backends.other]\nuse = 'acme'")
    assert config.backends["search"].retry.model_dump() == {"attempts": 3, "deadline": 5.0}  # type: ignore[union-attr]
    assert config.backends["other"].retry is None


# ---------------------------------------------------------------- references


def test_an_unknown_plugin_is_suggested_the_right_one(problems: Problems) -> None:
    (problem,) = problems("[backends.search]\nuse = 'acne'")
    assert problem.startswith("backends.search.use: no backend named 'acne' is installed; did you mean 'acme'?")


def test_a_reference_to_a_block_that_is_not_there(problems: Problems) -> None:
    (problem,) = problems(CONNECTIONS + "[collections.docs]\ndimensions = 8\nbackend = 'serch'")
    assert problem == "collections.docs.backend: there is no [backends.serch]; did you mean 'search'?"


def test_references_are_needed_where_there_are_none_or_several(problems: Problems) -> None:
    text = "[backends.one]\nuse = 'memory'\n[backends.two]\nuse = 'memory'\n[collections.docs]\n"
    assert problems(text) == [
        "collections.docs.backend: is missing; the file has backends: one, two",
        "collections.docs.embedder: is missing; the file has embedders: none",
    ]


# ---------------------------------------------------------------- paths


def test_relative_paths_count_from_the_folder_of_the_file(load: Load, tmp_path: Path) -> None:
    config = load("[backends.search]\nuse = 'acme'\nfolder = 'data/store'\napi_key = { file = 'key.txt' }")
    options = config.backends["search"].options
    assert options.folder == tmp_path / "data" / "store"  # type: ignore[attr-defined]
    assert options.api_key.file == tmp_path / "key.txt"  # type: ignore[attr-defined]


def test_absolute_paths_stay_as_they_are(load: Load) -> None:
    options = load("[backends.search]\nuse = 'acme'\nfolder = '/srv/store'").backends["search"].options
    assert options.folder == Path("/srv/store")  # type: ignore[attr-defined]


def test_a_change_of_the_working_folder_changes_no_path(
    tmp_path: Path, registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "nestvec.toml").write_text("[backends.search]\nuse = 'acme'\nfolder = 'store'")
    monkeypatch.chdir(tmp_path)
    config = load_config("nestvec.toml", registry)
    os.chdir("/")
    assert config.backends["search"].options.folder == tmp_path / "store"  # type: ignore[attr-defined]
