"""`[embedders.NAME]` of models that run in this process."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, StrictBool, StrictInt, model_validator

from nestvec.capabilities import ModelCapabilities
from nestvec.encoding.models import MODELS, KnownModel
from nestvec.options import LocalPath, Options

#: The checkpoint that transformers reads without foreign code.
REPOSITORY = "jinaai/jina-embeddings-v3-hf"
_DEVICE = r"^(auto|cpu|mps|cuda(:\d+)?|xpu(:\d+)?)$"
#: A repository on the hub.
NAME = r"^[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*)?$"
_MOVING = re.compile(r"(main|master|head|latest|dev|refs/.*)", re.IGNORECASE)
_PLAIN = re.compile(r"[\w.+-]{1,64}", re.ASCII)


def _pinned(revision: str) -> str:
    if _MOVING.fullmatch(revision):
        raise ValueError(
            f"{revision!r} moves: what it names today need not be what it names tomorrow, and vectors of the two can "
            f"not be told apart; write a commit hash or a tag"
        )
    if not _PLAIN.fullmatch(revision):
        raise ValueError("revision must be a commit hash or a tag: letters, digits and . _ + - (64 at most)")
    return revision


class LocalOptions(Options):
    """Where a model's weights are, and how they run: what all embedders of this distribution share."""

    path: LocalPath | None = Field(None, description="Folder with the model; default: what was downloaded before.")
    repository: str | None = Field(None, pattern=NAME, description="Its name on the Hugging Face hub, without path.")
    revision: Annotated[str, AfterValidator(_pinned)] = Field(
        description="Which weights these are: a commit hash or a tag; never a branch."
    )
    download: StrictBool = Field(False, description="Fetch what is missing from the hub when the embedder opens.")
    device: str = Field("auto", pattern=_DEVICE, description="cpu, cuda, cuda:1, mps …; auto takes the best there is.")
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = Field(
        "auto", description="Number format; auto: float32 on a CPU, half of it on accelerators."
    )
    batch: StrictInt = Field(64, ge=1, le=4096, description="Most texts in a forward pass.")
    batch_tokens: StrictInt = Field(4096, ge=8, description="Most tokens in a forward pass, padding included.")

    @model_validator(mode="after")
    def _one_source(self) -> LocalOptions:
        if self.path is not None and (self.repository is not None or self.download):
            raise ValueError("path is a folder on this machine: leave repository and download out, or path")
        return self

    @property
    def provenance(self) -> str:
        """Which weights in which format, for `ModelCapabilities.host`."""
        return f"{self.revision}/{self.dtype}"


class TransformersOptions(LocalOptions):
    """jina-embeddings-v3 in this process, through transformers and PEFT."""

    model: Literal["jina-embeddings-v3"] = Field("jina-embeddings-v3", description="The model's canonical name.")
    max_tokens: StrictInt = Field(
        8192, ge=64, le=8192, description="Most tokens of a text, or of a late-chunked window; fewer take less memory."
    )

    @property
    def row(self) -> KnownModel:
        """What is known of the model."""
        return MODELS[self.model]


def capabilities(options: TransformersOptions) -> ModelCapabilities:
    """The same space as every other host of these weights has."""
    declared = options.row.capabilities(options.model)
    return replace(
        declared, max_tokens=options.max_tokens, batch=options.batch, host=f"transformers/{options.provenance}"
    )
