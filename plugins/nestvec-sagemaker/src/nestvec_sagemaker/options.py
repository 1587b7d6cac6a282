"""`[embedders.NAME]` with `use = "sagemaker"`."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated

from pydantic import AfterValidator, Field, StrictInt, field_validator

from nestvec.addresses import is_plain, split_address
from nestvec.capabilities import ModelCapabilities
from nestvec.encoding.models import MODELS, KnownModel
from nestvec.options import Bytes, LocalPath, Options

#: What SageMaker takes as the name of an endpoint or an inference component.
_NAME = r"^[a-zA-Z0-9](-*[a-zA-Z0-9])*$"
_EXAMPLE = "https://vpce-0123-abcd.runtime.sagemaker.eu-west-1.vpce.amazonaws.com"


def _checked_url(url: str) -> str:
    parts = split_address(url, example=_EXAMPLE, instead="the AWS credentials chain")
    if is_plain(parts):
        raise ValueError(
            f"texts and the session token would travel unencrypted to {parts.hostname}; write endpoint_url = https://…"
        )
    return url.strip().rstrip("/")


class SageMakerOptions(Options):
    """A jina embedding model on an AWS SageMaker real-time or serverless endpoint."""

    endpoint_name: str = Field(pattern=_NAME, max_length=63, description="The endpoint's name.")
    model: str = Field("jina-embeddings-v3", description="The model that it serves, by its canonical name.")
    region: str | None = Field(None, min_length=1, description="AWS region; default: what environment or profile say.")
    profile: str | None = Field(None, min_length=1, description="AWS profile; default: what the environment says.")
    endpoint_url: Annotated[str, AfterValidator(_checked_url)] | None = Field(
        None, description="Address of the SageMaker runtime, such as a VPC endpoint; default: the region's own."
    )
    inference_component: str | None = Field(
        None, pattern=_NAME, max_length=63, description="Which of the components that share the endpoint."
    )
    timeout: float = Field(70.0, gt=0, description="Seconds that one request may take; SageMaker gives a model 60.")
    max_reply: Bytes = Field("32 MB", validate_default=True, description="Most bytes of a reply.")
    tokenizer: LocalPath | None = Field(None, description="The model's tokenizer.json; else tokens are estimated.")
    concurrency: StrictInt = Field(4, ge=1, le=128, description="Most requests in flight: threads.")
    batch: StrictInt = Field(64, ge=1, le=2048, description="Most texts in a request.")
    attempts: StrictInt = Field(8, ge=1, description="How often a request is tried.")
    deadline: float = Field(300.0, gt=0, description="Seconds after which it is not tried again.")
    backoff: float = Field(0.5, ge=0, description="Seconds before the second try; doubled with each, with jitter.")

    @field_validator("model")
    @classmethod
    def _known(cls, model: str) -> str:
        if model not in MODELS:
            raise ValueError(f"model {model!r} is not known; use one of {', '.join(sorted(MODELS))}")
        return model

    @property
    def host(self) -> str:
        """Who answers. What an endpoint serves is up to whoever deployed it, so each is a host of its own; one of the
        same name in another region or account is taken to be the same deployment."""
        component = f"/{self.inference_component}" if self.inference_component is not None else ""
        return f"sagemaker:{self.endpoint_name}{component}"

    @property
    def row(self) -> KnownModel:
        """What is known of the model."""
        return MODELS[self.model]


def capabilities(options: SageMakerOptions) -> ModelCapabilities:
    """The same space as every other host of these weights has; and how many requests may be under way."""
    declared = options.row.capabilities(options.model)
    return replace(declared, host=options.host, batch=options.batch, concurrency=options.concurrency)
