"""`[embedders.NAME]` with `use = "jina"`."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, StrictBool, StrictInt, model_validator

from nestvec.addresses import is_plain, split_address
from nestvec.capabilities import ModelCapabilities, TaskPair
from nestvec.encoding.models import MODELS, KnownModel
from nestvec.encoding.tasks import NO_TASKS
from nestvec.options import MAX_REPLY, Bytes, LocalPath, Options, Secret
from nestvec.types import Purpose

BASE_URL = "https://api.jina.ai/v1"
#: What the public API is called as a host.
PUBLIC = "jina-api"
KEY = Secret(env="JINA_API_KEY")
_VERSION, _PATH = "/v1", "/embeddings"
_HEADER = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_SECRET = re.compile(r"auth|key|token|secret|cookie|password", re.IGNORECASE)


def _checked_url(url: str) -> str:
    parts = split_address(url, example=BASE_URL)
    return parts.geturl().rstrip("/").removesuffix(_PATH)  # the scheme in lower case, no white space around


Url = Annotated[str, AfterValidator(_checked_url)]


def is_header_value(value: str) -> bool:
    """Whether HTTP takes this as the value of a header: printable ASCII on one line, no blanks around it."""
    return value.isascii() and value.isprintable() and value == value.strip()


class TaskBlock(Options):
    """The tasks of stored texts and of questions."""

    index: str | None = None
    query: str | None = None


class DeclaredModel(Options):
    """`[embedders.NAME.declare]`: what a model that nestvec does not know can do."""

    dimensions: StrictInt = Field(ge=1, description="Length of its full vectors.")
    min_dimensions: StrictInt | None = Field(None, ge=1, description="Shortest useful prefix; default: no prefixes.")
    max_tokens: StrictInt = Field(8192, ge=8, description="Tokens of one input, or of one late-chunked request.")
    tasks: tuple[str, ...] = Field((), description="Every task that it takes.")
    retrieval: TaskBlock | None = Field(None, description="Tasks of purpose retrieval; default: none.")
    fields: tuple[Literal["task", "dimensions", "late_chunking", "normalized", "truncate"], ...] = Field(
        (), description="Request fields that it takes, besides model, input and embedding_type."
    )

    @model_validator(mode="after")
    def _coherent(self) -> DeclaredModel:
        if self.min_dimensions is not None and self.min_dimensions > self.dimensions:
            raise ValueError("min_dimensions must not be greater than dimensions")
        if self.min_dimensions not in (None, self.dimensions) and "dimensions" not in self.fields:
            raise ValueError('a model with prefixes takes the field "dimensions"; add it to fields')
        if bool(self.tasks) != ("task" in self.fields):
            raise ValueError('tasks and the field "task" belong together')
        return self

    def known(self) -> KnownModel:
        """The same as a row of the table."""
        pair = TaskPair(self.retrieval.index, self.retrieval.query) if self.retrieval else None
        purposes = {Purpose.RETRIEVAL: pair} if pair else {} if self.tasks else NO_TASKS
        return KnownModel(
            self.dimensions,
            self.min_dimensions or self.dimensions,
            frozenset(self.fields),
            self.tasks,
            purposes,
            self.max_tokens,
            self.max_tokens,
        )


class JinaOptions(Options):
    """The Jina embeddings API, or a server that speaks the same protocol."""

    model: str = Field("jina-embeddings-v3", min_length=1, description="The model's canonical name.")
    served_model: str | None = Field(None, description="What this server calls it, where that differs.")
    declare: DeclaredModel | None = Field(None, description="What a model can do that nestvec does not know.")
    api_key: Secret | None = Field(
        None, description='{ env = "NAME" } or { file = "path" }; default: JINA_API_KEY, for the public address only.'
    )
    base_url: Url = Field(BASE_URL, description="Address; /embeddings is added.")
    allow_http_key: StrictBool = Field(False, description="Send the key unencrypted to a host other than this one.")
    headers: dict[str, str | Secret] = Field(default_factory=dict, description="Further headers, or secrets for them.")
    proxy: Url | None = Field(None, description="Address of a proxy; default: what the environment says.")
    ca: LocalPath | None = Field(None, description="PEM file of the authority that signed the server's certificate.")
    timeout: float = Field(60.0, gt=0, description="Seconds that one request may take.")
    max_reply: Bytes = Field(MAX_REPLY, validate_default=True, description="Most bytes of a reply, unpacked.")
    truncate: StrictBool = Field(False, description="Cut texts over the model's limit instead of refusing them.")
    tokenizer: LocalPath | None = Field(None, description="The model's tokenizer.json; else tokens are estimated.")
    requests_per_minute: StrictInt = Field(500, ge=0, description="Quota of the key; 0: no limit.")
    tokens_per_minute: StrictInt = Field(1_000_000, ge=0, description="Quota of the key; 0: no limit.")
    concurrency: StrictInt = Field(10, ge=1, le=512, description="Most requests in flight.")
    batch: StrictInt = Field(256, ge=1, le=2048, description="Most texts in a request.")
    attempts: StrictInt = Field(8, ge=1, description="How often a request is tried.")
    deadline: float = Field(300.0, gt=0, description="Seconds after which it is not tried again.")
    backoff: float = Field(0.5, ge=0, description="Seconds before the second try; doubled with each, with jitter.")

    @model_validator(mode="after")
    def _no_literal_secret(self) -> JinaOptions:
        literal = [name for name, value in self.headers.items() if isinstance(value, str) and _SECRET.search(name)]
        if literal:
            raise ValueError(
                f'header {literal[0]!r} holds a secret, which cannot stand here literally; write {{ env = "NAME" }}'
            )
        return self

    @model_validator(mode="after")
    def _sound_headers(self) -> JinaOptions:
        for name, value in self.headers.items():
            if not _HEADER.fullmatch(name):
                raise ValueError(f"headers: {name!r:.80} is no name of a header: letters, digits and hyphens")
            if isinstance(value, str) and not is_header_value(value):
                raise ValueError(f"headers: the value of {name!r} must be printable ASCII on one line")
        return self

    @model_validator(mode="after")
    def _safe(self) -> JinaOptions:
        parts = split_address(self.base_url, example=BASE_URL)
        secrets = self.key is not None or any(isinstance(value, Secret) for value in self.headers.values())
        if is_plain(parts) and secrets and not self.allow_http_key:
            raise ValueError(
                f"the key would travel unencrypted to {parts.hostname}; write base_url = https://…, or, in a network "
                f"that you trust, allow_http_key = true"
            )
        return self

    @model_validator(mode="after")
    def _known_or_declared(self) -> JinaOptions:
        if self.declare is not None and self.model in MODELS:
            raise ValueError(f"{self.model} is known: leave declare out")
        if self.declare is None and self.model not in MODELS:
            raise ValueError(
                f"model {self.model!r} is not known; use one of {', '.join(sorted(MODELS))} — or say in a table "
                f"declare what it can do (dimensions, tasks, fields, …)"
            )
        return self

    @property
    def row(self) -> KnownModel:
        """What is known of the model, or declared."""
        return self.declare.known() if self.declare is not None else MODELS[self.model]

    @property
    def key(self) -> Secret | None:
        """Where the key is; the public address always needs one."""
        return KEY if self.api_key is None and self.base_url == BASE_URL else self.api_key

    @property
    def url(self) -> str:
        """The full address of the endpoint."""
        return self.base_url + _PATH

    @property
    def host(self) -> str:
        """Who answers: the public API, or the server's name — and what it calls the model, where that differs."""
        parts = split_address(self.base_url, example=BASE_URL)
        path = "" if parts.path == _VERSION else parts.path
        name = PUBLIC if self.base_url == BASE_URL else parts.netloc.lower() + path
        return name if self.served_model in (None, self.model) else f"{name} ({self.served_model})"


def capabilities(options: JinaOptions) -> ModelCapabilities:
    """What the model can do, and how many requests may be under way."""
    return replace(
        options.row.capabilities(options.model),
        host=options.host,
        batch=options.batch,
        concurrency=options.concurrency,
        requests_per_minute=options.requests_per_minute or None,
        tokens_per_minute=options.tokens_per_minute or None,
    )
