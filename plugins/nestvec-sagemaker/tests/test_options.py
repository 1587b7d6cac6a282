"""The `[embedders.NAME]` block."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from nestvec.capabilities import ModelCapabilities
from nestvec.embedders.jina.options import JinaOptions
from nestvec.embedders.jina.options import capabilities as capabilities_of_the_api
from nestvec.encoding.models import MODELS
from nestvec_sagemaker.options import SageMakerOptions, capabilities


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({}, "endpoint_name"),
        ({"endpoint_name": "has spaces"}, "pattern"),
        ({"endpoint_name": "-x"}, "pattern"),
        ({"endpoint_name": "a/../b"}, "pattern"),
        ({"endpoint_name": "x" * 64}, "63"),
        ({"inference_component": "a b"}, "pattern"),
        ({"model": "gpt"}, "jina-embeddings-v3"),
        ({"endpoint_url": "runtime.sagemaker"}, "expected an address"),
        ({"endpoint_url": "https://user:pass@host"}, "must not contain credentials"),
        ({"endpoint_url": "https://host/?a=b"}, "must end after its path"),
        ({"endpoint_url": "http://example.com"}, "unencrypted"),
        ({"timeout": 0}, "greater than 0"),
        ({"concurrency": 0}, "greater than"),
        ({"batch": 0}, "greater than"),
        ({"attempts": 0}, "greater than"),
        ({"aws_secret_access_key": "s3cr3t"}, "Extra inputs"),
        ({"truncate": True}, "Extra inputs"),
    ],
)
def test_what_is_refused(options, words):
    values = {"endpoint_name": "jina", **options} if options else {}
    with pytest.raises(ValidationError, match=words) as caught:
        SageMakerOptions.model_validate(values)
    assert "s3cr3t" not in str(caught.value)
    assert "user:pass" not in str(caught.value)


def test_a_vpc_endpoint():
    options = SageMakerOptions.model_validate({"endpoint_name": "jina", "endpoint_url": "https://vpce.example/"})
    assert options.endpoint_url == "https://vpce.example"


def described(model: ModelCapabilities, which):
    return {name: getattr(model, name) for name in which}


@pytest.mark.parametrize("model", MODELS)
def test_the_same_model_as_on_the_api(model):
    """All that a space is made of; what differs is the host, and how many requests may be under way."""
    here = capabilities(SageMakerOptions.model_validate({"endpoint_name": "jina", "model": model, "batch": 7}))
    there = capabilities_of_the_api(JinaOptions.model_validate({"model": model}))
    own = {"host", "batch", "concurrency", "requests_per_minute", "tokens_per_minute"}
    names = set(ModelCapabilities.__dataclass_fields__) - own
    assert described(here, names) == described(there, names)
    assert (here.batch, here.concurrency) == (7, 4)


@pytest.mark.parametrize(
    ("options", "host"),
    [
        ({}, "sagemaker:jina"),
        ({"region": "eu-west-1", "profile": "prod", "model": "jina-embeddings-v4"}, "sagemaker:jina"),
        ({"inference_component": "v3"}, "sagemaker:jina/v3"),
    ],
)
def test_an_endpoint_is_a_host_wherever_it_is(options, host):
    assert capabilities(SageMakerOptions.model_validate({"endpoint_name": "jina", **options})).host == host
