"""What can be configured, and what is refused before anything is sent."""

from __future__ import annotations

import pytest

from nestvec._client import connect
from nestvec.encoding.models import MODELS
from nestvec.errors import ConfigError
from nestvec.runtime import Runtime
from nestvec.types import Purpose
from nestvec_testing.registry import test_registry


def config(embedder, **settings):
    values = {
        "backends": {"store": {"use": "memory"}},
        "embedders": {"model": {"use": "jina", **embedder}},
        "collections": {"docs": settings},
    }
    return connect(values, Runtime(test_registry())).config


def problem(embedder, **settings):
    with pytest.raises(ConfigError) as caught:
        config(embedder, **settings)
    return str(caught.value)


@pytest.mark.parametrize(
    ("embedder", "settings", "message"),
    [
        ({"model": "jina-embeddings-v2-base-en"}, {"dimensions": 512}, "offers 768 only"),
        ({}, {"dimensions": 2048}, "offers 1 to 1024"),
        ({"model": "jina-embeddings-v5-text-nano"}, {"dimensions": 1024}, "offers 1 to 768"),
        ({"model": "jina-embeddings-v5-text-small"}, {"late_chunking": True}, "does not offer it"),
        ({"model": "jina-embeddings-v4"}, {"purpose": "clustering"}, "use one of retrieval, matching"),
        ({}, {"tasks": {"index": "clustering"}}, "has no task 'clustering'"),
        ({"model": "jina-embeddings-v2-base-de"}, {"tasks": {"index": "retrieval.passage"}}, "knows no tasks"),
        ({"model": "jina-embeddings-v9"}, {}, "is not known; use one of jina-code-embeddings-0.5b"),
        ({"declare": {"dimensions": 5}}, {}, "is known: leave declare out"),
        ({"model": "m", "declare": {"dimensions": 8, "min_dimensions": 9}}, {}, "must not be greater"),
        ({"model": "m", "declare": {"dimensions": 8, "min_dimensions": 4}}, {}, "takes the field"),
        ({"model": "m", "declare": {"dimensions": 8, "tasks": ["a"]}}, {}, "belong together"),
        ({"base_url": "api.jina.ai"}, {}, "expected an address such as"),
        ({"base_url": "https://user:hunter2@host/v1"}, {}, "must not contain credentials"),
        ({"base_url": "https://host/v1?x=1"}, {}, "must end after its path"),
        ({"base_url": "http://far.example/v1", "api_key": {"env": "K"}}, {}, "unencrypted to far.example"),
        ({"headers": {"Authorization": "Bearer abc"}}, {}, "cannot stand here literally"),
        ({"api_key": "jina_literal"}, {}, "cannot stand here literally"),
        ({"concurrency": 0}, {}, "greater than or equal to 1"),
        ({"modle": "x"}, {}, "did you mean 'model'"),
    ],
)
def test_mistakes_are_named(embedder, settings, message):
    import re

    found = problem(embedder, **settings)
    assert re.search(message, found), found
    assert "hunter2" not in found
    assert "jina_literal" not in found


@pytest.mark.parametrize(
    ("given", "url"),
    [
        ("https://api.jina.ai/v1", "https://api.jina.ai/v1/embeddings"),
        ("https://api.jina.ai/v1/", "https://api.jina.ai/v1/embeddings"),
        ("https://api.jina.ai/v1/embeddings", "https://api.jina.ai/v1/embeddings"),
        ("https://gateway.example", "https://gateway.example/embeddings"),
        ("http://127.0.0.1:9/x/y//", "http://127.0.0.1:9/x/y/embeddings"),
    ],
)
def test_addresses_with_and_without_slash_or_path(given, url):
    options = config({"base_url": given, "api_key": {"env": "K"}}).embedders["model"].options
    assert options.url == url


def test_the_public_address_needs_the_usual_key_and_others_none():
    assert config({}).embedders["model"].options.key.env == "JINA_API_KEY"
    assert config({"base_url": "http://localhost:1"}).embedders["model"].options.key is None


@pytest.mark.parametrize("model", MODELS)
def test_every_model_describes_itself(model):
    found = config({"model": model}).embedders["model"].capabilities
    assert found.model == model
    assert 1 <= found.min_dimensions <= found.dimensions
    for pair in found.purposes.values():
        assert {pair.index, pair.query} <= {*found.tasks, None}
    assert Purpose.RETRIEVAL in found.purposes


def test_an_unknown_model_works_as_declared():
    declared = {
        "dimensions": 640,
        "min_dimensions": 64,
        "tasks": ["doc", "ask"],
        "retrieval": {"index": "doc", "query": "ask"},
        "fields": ["task", "dimensions", "late_chunking"],
    }
    spec = config({"model": "acme-1", "declare": declared}, dimensions=128, late_chunking=True).collections["docs"]
    assert (spec.space.index_task, spec.space.query_task, spec.space.dimensions) == ("doc", "ask", 128)


def test_v2_and_v3_of_one_size_are_two_spaces():
    two = config({"model": "jina-embeddings-v2-base-en"}).collections["docs"].space
    three = config({}, dimensions=768).collections["docs"].space
    assert two.dimensions == three.dimensions
    assert two.fingerprint != three.fingerprint


def test_late_and_plain_are_two_spaces():
    plain, late = (config({}, late_chunking=late).collections["docs"].space for late in (False, True))
    assert plain.fingerprint != late.fingerprint


def test_where_it_runs_is_no_part_of_the_space():
    here = config({"base_url": "http://localhost:1", "served_model": "x", "batch": 3}).collections["docs"].space
    assert here.fingerprint == config({}).collections["docs"].space.fingerprint


@pytest.mark.parametrize(
    ("embedder", "host"),
    [
        ({}, "jina-api"),
        ({"base_url": "https://api.jina.ai/v1/embeddings"}, "jina-api"),
        ({"model": "jina-embeddings-v4", "batch": 7, "concurrency": 3}, "jina-api"),
        ({"base_url": "https://Gateway.acme.com/v1"}, "gateway.acme.com"),
        ({"base_url": "https://gateway.acme.com/jina/v1"}, "gateway.acme.com/jina/v1"),
        ({"base_url": "http://localhost:9000"}, "localhost:9000"),
        ({"base_url": "http://localhost:9000", "served_model": "v3-int8"}, "localhost:9000 (v3-int8)"),
        ({"served_model": "jina-embeddings-v3"}, "jina-api"),
    ],
)
def test_a_server_is_a_host(embedder, host):
    assert config(embedder).embedders["model"].capabilities.host == host
