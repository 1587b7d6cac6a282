"""A SageMaker runtime for tests, in a thread of the test process, with jina embedding models on its endpoints.

    with SageMakerEmulator() as emulator:
        connect({"embedders": {"model": {"use": "sagemaker", **emulator.options}}, …})

Real HTTP, for a real boto3: access key, session token and region are looked at, the signature is not. Vectors and
tokens are those of `nestvec_testing.emulators.jina`. Needs `nestvec-testing[emulators]`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final, Literal, Self

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from nestvec_sagemaker.wire import MOST_BYTES
from nestvec_testing.emulators.emulation import Emulation
from nestvec_testing.emulators.faults import Course, Fault
from nestvec_testing.emulators.jina.models import MODELS, Model
from nestvec_testing.emulators.jina.tokens import count_tokens
from nestvec_testing.emulators.jina.vectors import late_vectors, plain_vectors
from nestvec_testing.emulators.journal import Exchange as AnyExchange
from nestvec_testing.emulators.journal import Journal
from nestvec_testing.emulators.replies import HttpReply

if TYPE_CHECKING:
    from nestvec.types import FloatArray
    from nestvec_testing.emulators.plan import FaultPlan

ACCESS_KEY: Final = "AKIAIOSFODNN7EXAMPLE"
REGION: Final = "eu-west-1"
ACCOUNT: Final = "123456789012"
#: What a container of these models takes in `parameters`.
_PARAMETERS: Final = ("task", "dimensions", "late_chunking")
_CREDENTIAL: Final = re.compile(r"Credential=([^/]+)/\d+/([^/]+)/sagemaker/")
_CODES: Final = {
    429: "ThrottlingException",
    500: "InternalFailure",
    503: "ServiceUnavailable",
    530: "InternalDependencyException",
}


@dataclass(frozen=True, kw_only=True)
class SageMakerExchange(AnyExchange):
    """One request and its reply."""

    @property
    def texts(self) -> list[str]:
        """The texts to embed."""
        return [item["text"] for item in (self.body or {}).get("data", ())]


@dataclass(frozen=True)
class SageMakerSettings:
    """How it behaves."""

    #: The model on each endpoint.
    endpoints: Mapping[str, str] = field(default_factory=lambda: {"jina": "jina-embeddings-v3"})
    #: The components on an endpoint that has several; then a request has to name one.
    components: Mapping[str, str] = field(default_factory=dict)
    region: str = REGION
    #: The session token that has expired.
    expired: str = "expired-token"
    #: The form of the reply's items, whether it says what it used, and whether prefixes have length 1.
    items: Literal["embedding", "indexed", "bare"] = "indexed"
    usage: bool = True
    normalized: bool = True
    #: Whether late chunking cuts in silence what is beyond its tokens.
    cuts: bool = False
    #: Tokens of one text; None: the model's own limit.
    max_tokens: int | None = None


@dataclass(frozen=True, kw_only=True)
class ModelFails(Fault):
    """The container answers so: a ModelError with its status and words. 0: none at all."""

    original: int
    message: str = "injected by a test"

    async def _reply(self, course: Course) -> HttpReply:
        return HttpReply.of(_model_error(self.original, self.message))


@dataclass(frozen=True, kw_only=True)
class AwsError(Fault):
    """An error of AWS, with its code."""

    code: str
    status: int = 400
    message: str = "injected by a test"

    async def _reply(self, course: Course) -> HttpReply:
        return HttpReply.of(_aws_error(self.status, self.code, self.message))


class SageMakerEmulator:
    """A SageMaker runtime on 127.0.0.1. Use it in a `with` statement. `dials` change single `settings`."""

    def __init__(self, **dials: Any) -> None:
        self.settings = self._initial = replace(SageMakerSettings(), **dials)
        self._emulation: Emulation[SageMakerExchange] = Emulation("SageMaker emulator", self._service)
        self.plan: FaultPlan = self._emulation.faults
        self.journal: Journal[SageMakerExchange] = self._emulation.journal

    def __enter__(self) -> Self:
        self._emulation.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._emulation.stop()

    @property
    def options(self) -> dict[str, Any]:
        """The options of an embedder on its first endpoint."""
        return {
            "endpoint_name": next(iter(self.settings.endpoints)),
            "region": self.settings.region,
            "endpoint_url": self._emulation.url,
        }

    def dial(self, **settings: Any) -> None:
        """Change some settings from now on."""
        self.settings = replace(self.settings, **settings)

    def inject(self, fault: Fault, *, containing: str = "", skip: int = 0, times: int | None = 1) -> None:
        """Let the next `times` (None: all) requests meet a fault, those with `containing` in their bodies."""
        self.plan.add(fault, containing=containing.encode(), skip=skip, times=times)

    def reset(self) -> None:
        """As if just made."""
        self.plan.clear()
        self._emulation.settle()
        self.journal.clear()
        self.settings = self._initial

    @property
    def exchanges(self) -> tuple[SageMakerExchange, ...]:
        """What was answered."""
        return self.journal.answered

    def _service(self) -> _Service:
        return _Service(self)


class _Refused(Exception):
    def __init__(self, response: Response) -> None:
        self.response = response
        super().__init__(response)


class _Service:
    def __init__(self, emulator: SageMakerEmulator) -> None:
        self._emulator = emulator

    def build(self) -> Starlette:
        return Starlette(routes=[Route("/endpoints/{name}/invocations", self._invoke, methods=["POST"])])

    def exchange(self, request: Request, raw: bytes) -> SageMakerExchange:
        return SageMakerExchange.of(request, raw)

    def refusal(self, request: Request, status: int, message: str) -> Response:
        return _aws_error(status, _CODES.get(status, "ValidationError"), message)

    async def _invoke(self, request: Request) -> Response:
        settings, raw = self._emulator.settings, await request.body()
        try:
            _check_signature(request, settings)
            if len(raw) > MOST_BYTES:
                return _aws_error(413, "413", "HTTP content length exceeded 6291456 bytes.")
            return _answer(json.loads(raw), _model_of(request, settings), settings)
        except _Refused as refused:
            return refused.response


def _check_signature(request: Request, settings: SageMakerSettings) -> None:
    found = _CREDENTIAL.search(request.headers.get("authorization", ""))
    if found is None:
        raise _Refused(_aws_error(403, "MissingAuthenticationTokenException", "Missing Authentication Token"))
    if found[1] != ACCESS_KEY:
        told = "The security token included in the request is invalid."
        raise _Refused(_aws_error(403, "UnrecognizedClientException", told))
    if found[2] != settings.region:
        told = f"Credential should be scoped to a valid region, not '{found[2]}'."
        raise _Refused(_aws_error(403, "InvalidSignatureException", told))
    if request.headers.get("x-amz-security-token") == settings.expired:
        told = "The security token included in the request is expired"
        raise _Refused(_aws_error(403, "ExpiredTokenException", told))


def _model_of(request: Request, settings: SageMakerSettings) -> str:
    name = request.path_params["name"]
    if name not in settings.endpoints:
        told = f"Endpoint {name} of account {ACCOUNT} not found."
        raise _Refused(_aws_error(400, "ValidationError", told))
    if not settings.components:
        return settings.endpoints[name]
    component = request.headers.get("x-amzn-sagemaker-inference-component", "")
    if component not in settings.components:
        told = "Inference Component Name header is required for endpoints with inference components."
        raise _Refused(_aws_error(400, "ValidationError", told))
    return settings.components[component]


def _answer(body: Any, name: str, settings: SageMakerSettings) -> Response:
    model = MODELS[name]
    given = _parameters(body, name, model)
    texts = [item["text"] for item in body["data"]]
    counts = [count_tokens(text) for text in texts]
    late, limit = bool(given.get("late_chunking")), settings.max_tokens or model.max_tokens
    if any(count > limit for count in counts):
        raise _Refused(_model_error(400, f"a text has {max(counts)} tokens; the model takes {limit}"))
    if late and sum(counts) > 8192 and not settings.cuts:
        raise _Refused(_model_error(400, f"{sum(counts)} tokens together; late chunking takes 8192"))
    task = given.get("task", "text-matching" if model.tasks else None)
    rows = (late_vectors if late else plain_vectors)(
        texts, name, task, dimensions=given.get("dimensions"), normalized=settings.normalized
    )
    reply: dict[str, Any] = {"data": _items(rows, settings)}
    if settings.usage:
        reply["usage"] = {"total_tokens": min(sum(counts), 8192) if late else sum(counts)}
    return Response(json.dumps(reply), media_type="application/json")


def _items(rows: FloatArray, settings: SageMakerSettings) -> list[Any]:
    vectors: list[Any] = rows.tolist()
    if settings.items == "bare":
        return vectors
    if settings.items == "embedding":
        return [{"embedding": vector} for vector in vectors]
    return [{"index": n, "embedding": vector} for n, vector in enumerate(vectors)]


def _parameters(body: Any, name: str, model: Model) -> dict[str, Any]:
    if set(body) - {"data", "parameters"} or any(set(item) != {"text"} for item in body["data"]) or not body["data"]:
        raise _Refused(_model_error(400, "the body has data, of items with a text, and parameters"))
    given: dict[str, Any] = body.get("parameters", {})
    allowed = {key for key in _PARAMETERS if key in model.fields}
    if unknown := sorted(set(given) - allowed):
        raise _Refused(_model_error(400, f"{name} has no parameter {unknown[0]!r}"))
    if given.get("task") not in (None, *model.tasks):
        raise _Refused(_model_error(400, f"{name} has no task {given['task']!r}"))
    if not 1 <= given.get("dimensions", 1) <= model.dimensions:
        raise _Refused(_model_error(400, f"{name} has no {given['dimensions']} dimensions"))
    return given


def _aws_error(status: int, code: str, message: str, **more: Any) -> Response:
    content = json.dumps({"Message": message, **more})
    return Response(content, status, {"x-amzn-errortype": code}, media_type="application/json")


def _model_error(original: int, message: str) -> Response:
    told = f'Received client error ({original}) from primary with message "{message}".'
    return _aws_error(424, "ModelError", told, OriginalStatusCode=original, OriginalMessage=message)
