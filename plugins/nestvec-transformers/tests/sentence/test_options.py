"""What is declared, without a model."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from pydantic import ValidationError

from nestvec._client import connect
from nestvec.capabilities import TaskPair
from nestvec.encoding.tasks import PASSAGE, QUERY
from nestvec.errors import ConfigError
from nestvec.types import Purpose
from nestvec_transformers.sentence_options import SentenceOptions, capabilities

ROOT = Path(__file__).parents[4]
BLOCK = {
    "model": "acme/nested",
    "revision": "4d1b9c2",
    "dimensions": 768,
    "matryoshka": [512, 256, 128],
    "prompts": {"query": "query: ", "document": "passage: "},
}


def test_capabilities_are_what_was_declared_and_nothing_is_loaded() -> None:
    # The folder is not there: a plan is made where the weights are not.
    can = capabilities(SentenceOptions(**BLOCK, path="/nowhere", max_tokens=2048, dtype="bfloat16"))
    assert (can.model, can.dimensions, can.min_dimensions) == ("acme/nested", 768, 128)
    assert can.purposes[Purpose.RETRIEVAL] == TaskPair(PASSAGE, QUERY)
    assert can.prompts == {QUERY: "query: ", PASSAGE: "passage: "}
    assert (can.normalized, can.late_chunking, can.max_tokens) == (True, False, 2048)
    assert can.host == "sentence-transformers/4d1b9c2/bfloat16"


def test_where_the_weights_lie_is_no_part_of_the_space() -> None:
    one, other = (capabilities(SentenceOptions(**BLOCK, **place)) for place in ({}, {"path": "/models/copy-of-it"}))
    assert one == other
    assert "/models" not in repr(other)


def test_without_matryoshka_there_is_one_length() -> None:
    can = capabilities(SentenceOptions(model="acme/plain", revision="r", dimensions=384))
    assert not can.matryoshka
    assert (can.tasks, can.prompts) == ((), {})


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"model": "/srv/models/minilm"}, "model"),
        ({"model": "../minilm"}, "model"),
        ({"dimensions": 0}, "dimensions"),
        ({"matryoshka": [64, 1024]}, "1024 is longer than the full vector"),
        ({"matryoshka": [0]}, "matryoshka"),
        ({"default_prompt": "general"}, "prompts has no 'general'"),
        ({"revision": "main"}, "moves"),
        ({"trust_remote_code": "yes"}, "trust_remote_code"),
        ({"truncate_dim": 64}, "truncate_dim"),
    ],
)
def test_options_that_cannot_be(change, told) -> None:
    with pytest.raises(ValidationError, match=told):
        SentenceOptions(**{**BLOCK, **change})


@pytest.mark.parametrize("missing", ["model", "revision", "dimensions"])
def test_options_that_must_be(missing) -> None:
    with pytest.raises(ValidationError, match=missing):
        SentenceOptions(**{name: value for name, value in BLOCK.items() if name != missing})


def test_a_prefix_of_a_model_without_them_is_refused_in_the_configuration() -> None:
    block = {"use": "sentence-transformers", "model": "acme/plain", "revision": "r", "dimensions": 384}
    values = {
        "embedders": {"plain": block},
        "backends": {"store": {"use": "qdrant", "path": ":memory:"}},
        "collections": {"handbook": {"dimensions": 128}},
    }
    with pytest.raises(ConfigError, match=r"acme/plain cannot give 128 dimensions; it offers 384 only.*nesting"):
        connect(values)


def test_the_blocks_of_the_pages_are_valid() -> None:
    pages = ("docs/how-to/run-the-model-locally.md", "plugins/nestvec-transformers/README.md")
    texts = [(ROOT / page).read_text(encoding="utf-8") for page in pages]
    found = [tomllib.loads(block) for text in texts for block in re.findall(r"^```toml\n(.*?)^```", text, re.M | re.S)]
    blocks = [block for each in found for block in each.get("embedders", {}).values()]
    ours = [block for block in blocks if block.pop("use") == "sentence-transformers"]
    assert len(ours) == 3
    for block in ours:
        assert capabilities(SentenceOptions(**block)).model == block["model"]


def test_planning_imports_no_model_library() -> None:
    program = """
import sys
from nestvec.registry import default_registry
plugin = default_registry().embedder("sentence-transformers")
plugin.capabilities(plugin.options(model="a/b", revision="r", dimensions=8))
heavy = {"torch", "transformers", "sentence_transformers", "huggingface_hub"} & set(sys.modules)
raise SystemExit(f"loaded: {heavy}" if heavy else 0)
"""
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)
