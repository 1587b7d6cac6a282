"""The options, and what is declared from them alone."""

from __future__ import annotations

import subprocess
import sys

import pytest
from pydantic import ValidationError

from nestvec.registry import default_registry
from nestvec.spaces import space_of
from nestvec.types import Purpose
from nestvec_transformers.options import TransformersOptions, capabilities

COMMIT = "0123456789abcdef0123456789abcdef01234567"


def options(**values):
    return TransformersOptions.model_validate({"revision": COMMIT, **values})


@pytest.mark.parametrize("purpose", Purpose)
@pytest.mark.parametrize("late", [False, True])
def test_the_space_is_that_of_every_other_host(purpose, late):
    def fingerprint(model):
        return space_of(model, 256, model.purposes[purpose], late_chunking=late).fingerprint

    registry = default_registry()
    others = {"jina": {}, "sagemaker": {"endpoint_name": "jina"}}
    for name, values in others.items():
        plugin = registry.embedder(name)
        other = plugin.capabilities(plugin.options.model_validate(values))
        assert fingerprint(other) == fingerprint(capabilities(options())), name


@pytest.mark.parametrize(
    ("values", "host"),
    [
        ({}, f"transformers/{COMMIT}/auto"),
        ({"dtype": "float32", "path": "/srv/models/v3"}, f"transformers/{COMMIT}/float32"),
        ({"dtype": "bfloat16", "device": "cuda:1", "revision": "v1.0"}, "transformers/v1.0/bfloat16"),
    ],
)
def test_the_host_says_which_weights_in_which_format_and_no_path(values, host):
    assert capabilities(options(**values)).host == host


def test_what_is_declared():
    declared = capabilities(options(batch=7, max_tokens=512))
    assert (declared.batch, declared.concurrency, declared.max_tokens) == (7, 1, 512)
    assert declared.late_chunking
    assert declared.requests_per_minute is None


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ({"revision": None}, "revision"),
        ({"revision": "main"}, "'main' moves: what it names today need not be what it names tomorrow"),
        ({"revision": "refs/pr/3"}, "'refs/pr/3' moves"),
        ({"revision": "../../etc"}, "revision must be a commit hash or a tag"),
        ({"revision": ""}, "revision must be a commit hash or a tag"),
        ({"path": "x", "repository": "acme/v3"}, "path is a folder on this machine: leave repository and download out"),
        ({"path": "x", "download": True}, "leave repository and download out"),
        ({"repository": "../secrets"}, "repository"),
        ({"device": "gpu"}, "device"),
        ({"dtype": "int8"}, "dtype"),
        ({"max_tokens": 8193}, "max_tokens"),
        ({"model": "jina-embeddings-v4"}, "jina-embeddings-v3"),
    ],
)
def test_what_cannot_be_is_refused(values, told):
    with pytest.raises(ValidationError) as caught:
        options(**values)
    assert told in str(caught.value)


def test_listing_and_declaring_load_no_library():
    program = (
        "import sys; from nestvec.registry import Registry; plugin = Registry().embedder('transformers'); "
        "plugin.capabilities(plugin.options.model_validate({'revision': 'v1'})); print(*sys.modules)"
    )
    loaded = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout.split()
    assert "nestvec_transformers.options" in loaded
    assert set(loaded).isdisjoint({"torch", "transformers", "peft", "huggingface_hub", "tokenizers", "numpy.linalg"})
