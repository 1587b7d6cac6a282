from __future__ import annotations

from dataclasses import fields, replace

import pytest

from nestvec.capabilities import ModelCapabilities, TaskPair
from nestvec.encoding.tasks import E5, JINA_V3
from nestvec.errors import SpaceError, SpaceMismatch
from nestvec.spaces import FINGERPRINT_VERSION, EmbeddingSpace, require_same, space_of

V3 = EmbeddingSpace("jina-embeddings-v3", 256, True, False, "retrieval.passage", "retrieval.query")
E5_128 = EmbeddingSpace(
    "intfloat/multilingual-e5-small", 128, True, False, "retrieval.passage", "retrieval.query", "p" * 16, "r" * 16
)


@pytest.mark.parametrize(
    ("space", "fingerprint"),
    [
        (V3, "s1-898b461d530012af"),
        (replace(V3, late_chunking=True), "s1-fc16b213ec04d733"),
        (replace(V3, model="jina-embeddings-v2-base-en", index_task=None, query_task=None), "s1-3b36b03dc93886cb"),
        (E5_128, "s1-061dbe96c637e66d"),
    ],
)
def test_fingerprints_never_change(space: EmbeddingSpace, fingerprint: str) -> None:
    """They are stored in databases. Whoever must change one raises FINGERPRINT_VERSION and says how to migrate."""
    assert FINGERPRINT_VERSION == 1
    assert space.fingerprint == fingerprint


@pytest.mark.parametrize("name", [field.name for field in fields(EmbeddingSpace)])
def test_every_field_is_part_of_the_fingerprint(name: str) -> None:
    value = getattr(E5_128, name)
    other = replace(E5_128, **{name: not value if isinstance(value, bool) else 7 if name == "dimensions" else "other"})
    assert other.fingerprint != E5_128.fingerprint
    assert set(E5_128.differences(other)) == {name}


def test_a_space_survives_being_stored() -> None:
    assert EmbeddingSpace.from_dict(E5_128.to_dict()) == E5_128


def test_an_altered_stored_space_is_noticed() -> None:
    with pytest.raises(SpaceError, match="altered by hand"):
        EmbeddingSpace.from_dict({**V3.to_dict(), "dimensions": 512})


def test_a_stored_space_without_a_field_is_refused() -> None:
    stored = V3.to_dict()
    del stored["model"]
    with pytest.raises(SpaceError, match="model"):
        EmbeddingSpace.from_dict(stored)


def test_a_mismatch_names_both_spaces_field_by_field() -> None:
    other = replace(V3, model="jina-embeddings-v2-base-en", index_task=None)
    with pytest.raises(SpaceMismatch) as caught:
        require_same(V3, other, "handbook")
    message = str(caught.value)
    assert "'handbook'" in message
    assert V3.fingerprint in message
    assert other.fingerprint in message
    assert "model: stored 'jina-embeddings-v3', wanted 'jina-embeddings-v2-base-en'" in message
    assert "index_task: stored 'retrieval.passage', wanted None" in message
    assert "Nothing was changed" in message
    assert set(caught.value.differences) == {"model", "index_task"}


def test_prompts_and_rotation_are_part_of_the_space() -> None:
    model = ModelCapabilities("m", 384, 32, E5, prompts={"retrieval.query": "query: "}, rotation="abc")
    tasks = TaskPair("retrieval.passage", "retrieval.query")
    space = space_of(model, 64, tasks)
    assert space.rotation == "abc"
    assert space != space_of(replace(model, prompts={"retrieval.query": "Query: "}), 64, tasks)
    assert space != space_of(replace(model, prompts={}), 64, tasks)
    assert space != space_of(replace(model, rotation=None), 64, tasks)


def test_the_host_is_not_part_of_the_space() -> None:
    here = ModelCapabilities("m", 384, 32, JINA_V3, batch=1, concurrency=1, max_tokens=512)
    there = replace(here, batch=512, concurrency=50, max_tokens=8192)
    tasks = TaskPair(None, None)
    assert space_of(here, 64, tasks) == space_of(there, 64, tasks)
