"""The emulator's HTTP face. What a request meets behind the gate, in order: key, version, size, operation."""

from __future__ import annotations

import hmac
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from nestvec_pinecone.testing import limits
from nestvec_pinecone.testing.control import Control, host_label
from nestvec_pinecone.testing.data import Data, DataAnswer
from nestvec_pinecone.testing.errors import PineconeRefusal, error_body, require
from nestvec_pinecone.testing.journal import PineconeExchange
from nestvec_pinecone.testing.settings import PineconeSettings
from nestvec_pinecone.testing.store import Index, PineconeStore
from nestvec_testing.emulators.journal import parsed

_BODIES: dict[tuple[str, str], Callable[[Data, Any], DataAnswer]] = {
    ("POST", "/vectors/upsert"): Data.upsert,
    ("POST", "/vectors/delete"): Data.delete,
    ("POST", "/vectors/update"): Data.update,
    ("POST", "/vectors/fetch_by_metadata"): Data.fetch_by_metadata,
    ("POST", "/query"): Data.query,
    ("POST", "/describe_index_stats"): Data.stats,
}
_QUERIES: dict[tuple[str, str], Callable[[Data, Any], DataAnswer]] = {
    ("GET", "/vectors/fetch"): Data.fetch,
    ("GET", "/vectors/list"): Data.list_ids,
    ("GET", "/namespaces"): Data.list_namespaces,
}


@dataclass(frozen=True)
class PineconeApp:
    """Both planes behind one address."""

    store: PineconeStore
    settings: Callable[[], PineconeSettings]
    control: Control

    def build(self) -> Starlette:
        """The ASGI application."""
        methods = ["GET", "POST", "PATCH", "DELETE"]
        return Starlette(
            routes=[
                Route("/-/{host}/{rest:path}", self._serve, methods=methods),
                Route("/{rest:path}", self._serve, methods=methods),
            ]
        )

    def exchange(self, request: Request, raw: bytes) -> PineconeExchange:
        """For journal and faults, paths count from the index's own host."""
        host = _host(request)
        if host is None:
            return PineconeExchange.of(request, raw)
        return PineconeExchange.of(request, raw, path=_path(request), index=host.rpartition("-")[0])

    def refusal(self, request: Request, status: int, message: str) -> Response:
        """An error in the shape of its plane."""
        return failure(status, message, control=_host(request) is None)

    async def _serve(self, request: Request) -> Response:
        raw, host, path = await request.body(), _host(request), _path(request)
        run = self._run_control if host is None else self._run_data
        with self.store.lock:
            return self._guarded(request, path, host, raw, run)

    def _guarded(
        self, request: Request, path: str, host: str | None, raw: bytes, run: Callable[..., Response]
    ) -> Response:
        try:
            self._admit(request, raw)
            return run(request.method, path, host, request, raw)
        except PineconeRefusal as refusal:
            return failure(refusal.status, refusal.message, control=host is None)

    def _admit(self, request: Request, raw: bytes) -> None:
        key = self.settings().api_key
        require(hmac.compare_digest(request.headers.get("api-key", "").encode(), key.encode()), "Invalid API Key", 401)
        require(request.headers.get("x-pinecone-api-version"), "Missing header X-Pinecone-Api-Version")
        require(
            len(raw) <= limits.MAX_BODY,
            f"Request size {len(raw)} exceeds the maximum supported size of {limits.MAX_BODY} bytes",
            413,
        )
        require(len(str(request.url)) <= limits.MAX_URL, "URI too long", 414)

    # ------------------------------------------------------------ planes

    def _run_control(self, method: str, path: str, _host: None, _request: Request, raw: bytes) -> Response:
        parts = [unquote(part) for part in path.strip("/").split("/")]
        require(parts[0] == "indexes" and len(parts) <= 2, "Not found", 404)
        match method, parts[1:]:
            case "GET", []:
                return success(self.control.list_indexes())
            case "POST", []:
                return success(self.control.create(_body(raw)), 201)
            case "GET", [name]:
                return success(self.control.describe(name))
            case "PATCH", [name]:
                return success(self.control.configure(name, _body(raw)))
            case "DELETE", [name]:
                self.control.delete(name)
                return Response(status_code=202)
        raise PineconeRefusal(405, "Method not allowed")

    def _run_data(self, method: str, path: str, host: str, request: Request, raw: bytes) -> Response:
        data = Data(self.store, self.settings, self._index(host))
        if (method, path) in _BODIES:
            return self._replied(_BODIES[method, path](data, _body(raw)))
        if (method, path) in _QUERIES:
            return self._replied(_QUERIES[method, path](data, request.query_params.multi_items()))
        if method == "DELETE" and path.startswith("/namespaces/"):
            return self._replied(data.delete_namespace(unquote(path.removeprefix("/namespaces/"))))
        raise PineconeRefusal(404, "Not Found")

    def _index(self, host: str) -> Index:
        for index in self.store.indexes.values():
            if host_label(index.name) == host and index.gone_after is None:
                require(index.state == "Ready", "Index is not ready", 503)
                return index
        raise PineconeRefusal(404, "Index not found")

    def _replied(self, answer: DataAnswer) -> Response:
        response = success(answer.body)
        if answer.limited:
            limits.check_result(bytes(response.body))
        if self.settings().lsn and answer.committed is not None:
            response.headers["x-pinecone-request-lsn"] = str(answer.committed)
        if self.settings().lsn and answer.reconciled is not None:
            response.headers["x-pinecone-max-indexed-lsn"] = str(answer.reconciled)
        return response


def _host(request: Request) -> str | None:
    """The host of an index; None on the control plane."""
    parts = request.url.path.split("/", 3)
    return parts[2] if parts[1] == "-" and len(parts) == 4 else None


def _path(request: Request) -> str:
    """Below the index's host, as it was sent."""
    if _host(request) is None:
        return request.url.path
    raw: bytes = request.scope["raw_path"]
    return "/" + raw.decode().split("/", 3)[3].partition("?")[0]


def success(body: Any, status: int = 200) -> Response:
    """A JSON reply. Compact, and doubles as they are."""
    content = json.dumps(body, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode()
    return Response(content, status, media_type="application/json")


def failure(status: int, message: str, *, control: bool) -> Response:
    """An error in the shape of its plane."""
    return success(error_body(status, message, control=control), status)


def _body(raw: bytes) -> dict[str, Any]:
    body = parsed(raw)
    require(isinstance(body, dict), "Request body is not a JSON object")
    assert isinstance(body, dict)
    return body
