"""Recorded exchanges, checked against the official description of the API.

The description (an OpenAPI 3.1 file) is not part of nestvec: tests say where it is. Needs jsonschema. The check is
closed: a field that the description does not name is an error, because the description itself would let it pass.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

from nestvec_testing.emulators.journal import Exchange


class JinaContract:
    """One OpenAPI description."""

    def __init__(self, file: Path) -> None:
        self._document: Mapping[str, Any] = json.loads(file.read_text("utf-8"))
        self._operation: Mapping[str, Any] = self._document["paths"]["/v1/embeddings"]["post"]
        self._validator = cache(self._made)

    @property
    def models(self) -> Mapping[str, str]:
        """The names of all models, with the place of what a request for each looks like."""
        schema = self._operation["requestBody"]["content"]["application/json"]["schema"]
        models: Mapping[str, str] = schema["discriminator"]["mapping"]
        return models

    def fields(self, model: str) -> Mapping[str, Any]:
        """The fields that a model declares, with their schemas."""
        fields: Mapping[str, Any] = self._resolved(self.models[model])["properties"]
        return fields

    def problems(self, exchange: Exchange) -> list[str]:
        """What is wrong with a request and its reply; nothing, if they are as described."""
        if (exchange.method, exchange.path) != ("POST", "/v1/embeddings"):
            return [f"{exchange.method} {exchange.path} is not an embedding request"]
        return self.request_problems(exchange.body) + self.reply_problems(exchange.status, exchange.answer)

    def request_problems(self, body: Any) -> list[str]:
        """What is wrong with the body of a request."""
        model = str(body.get("model")) if isinstance(body, dict) else ""
        if model not in self.models:
            return [f"request: model {model!r} is not described"]
        return self._mismatches(f"request for {model}", self.models[model], body)

    def reply_problems(self, status: int, answer: Any) -> list[str]:
        """What is wrong with a reply."""
        reply = self._operation["responses"].get(str(status))
        if reply is None:
            return [f"reply: status {status} is not described"]
        described = self._resolved(reply["$ref"]) if "$ref" in reply else reply
        return self._mismatches(f"reply {status}", described["content"]["application/json"]["schema"]["$ref"], answer)

    def _mismatches(self, place: str, reference: str, value: Any) -> list[str]:
        errors = self._validator(reference).iter_errors(value)
        return [f"{place}: {error.json_path}: {error.message[:200]}" for error in errors]

    def _made(self, reference: str) -> Any:
        jsonschema: Any = import_module("jsonschema")
        return jsonschema.Draft202012Validator(self._closed(self._resolved(reference)))

    def _closed(self, schema: Any) -> Any:
        """The schema with its references resolved, and closed."""
        if isinstance(schema, list):
            return [self._closed(each) for each in schema]
        if not isinstance(schema, dict):
            return schema
        if "$ref" in schema:
            return self._closed(self._resolved(schema["$ref"]))
        closed = {key: self._closed(each) for key, each in schema.items() if key not in ("example", "examples")}
        if "properties" in closed and "additionalProperties" not in closed:
            closed["additionalProperties"] = False
        return closed

    def _resolved(self, reference: str) -> Any:
        found: Any = self._document
        for part in reference.removeprefix("#/").split("/"):
            found = found[part]
        return found
