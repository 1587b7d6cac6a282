"""Recorded exchanges, checked against the official description of the data plane.

The description (an OpenAPI 3.0 file) is not part of nestvec: tests say where it is. Needs PyYAML and jsonschema.
The check is closed: a property that the description does not name is an error, because the schemas themselves
would let it pass.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any, Final
from urllib.parse import unquote

from nestvec_pinecone.testing.journal import PineconeExchange

#: Objects whose keys are the user's own.
_FREE: Final = ("metadata", "setMetadata", "filter")
_LISTS: Final = {"minLength": "minItems", "maxLength": "maxItems"}


class PineconeContract:
    """One OpenAPI description."""

    def __init__(self, file: Path) -> None:
        yaml: Any = import_module("yaml")
        self._document: Mapping[str, Any] = yaml.safe_load(file.read_text("utf-8"))
        self._paths = {_pattern(path): item for path, item in self._document["paths"].items()}

    @property
    def version(self) -> str:
        """The API version that it describes."""
        return str(self._document["info"]["version"])

    def problems(self, exchange: PineconeExchange) -> list[str]:
        """What is wrong with a request and its reply; nothing, if they are as described."""
        operation = self._operation(exchange)
        if operation is None:
            return [f"{exchange.method} {exchange.path} is not described"]
        place = f"{exchange.method} {exchange.path}"
        found = [f"{place}: {each}" for each in self._parameters(operation, exchange)]
        if "requestBody" in operation:
            found += self._mismatches(f"{place} request", operation["requestBody"], exchange.body)
        reply = _response(operation, exchange.status)
        if reply is None:
            return [*found, f"{place}: status {exchange.status} is not described"]
        return found + self._mismatches(f"{place} reply {exchange.status}", reply, exchange.answer)

    def _operation(self, exchange: PineconeExchange) -> Mapping[str, Any] | None:
        for pattern, item in self._paths.items():
            if pattern.fullmatch(unquote(exchange.path)) and exchange.method.lower() in item:
                operation: Mapping[str, Any] = item[exchange.method.lower()]
                return operation
        return None

    def _parameters(self, operation: Mapping[str, Any], exchange: PineconeExchange) -> list[str]:
        described = {each["name"]: each for each in operation.get("parameters", ()) if each["in"] == "query"}
        given = {name for name, _ in exchange.query}
        unknown = [f"query parameter {name!r} is not described" for name in sorted(given - set(described))]
        missing = [name for name, each in described.items() if each.get("required") and name not in given]
        return unknown + [f"query parameter {name!r} is required" for name in missing]

    def _mismatches(self, place: str, holder: Mapping[str, Any], value: Any) -> list[str]:
        content = holder.get("content")
        if content is None:
            return []
        jsonschema: Any = import_module("jsonschema")
        schema = self._closed(next(iter(content.values()))["schema"])
        errors = jsonschema.Draft202012Validator(schema).iter_errors(value)
        return [f"{place}: {error.json_path}: {error.message[:200]}" for error in errors]

    def _closed(self, schema: Mapping[str, Any], name: str = "") -> dict[str, Any]:
        """The schema with references resolved, in JSON Schema's words, and closed."""
        if "$ref" in schema:
            return self._closed(self._resolved(schema["$ref"]), name)
        closed = {key: value for key, value in schema.items() if key not in ("required", *_LISTS)}
        for limit, count in _LISTS.items():
            if limit in schema:
                closed[count if schema.get("type") == "array" else limit] = schema[limit]
        if schema.get("type") != "object":
            return {**closed, "items": self._closed(schema["items"])} if "items" in schema else closed
        closed["required"] = list(schema.get("required", ()))
        closed["properties"] = {key: self._closed(each, key) for key, each in schema.get("properties", {}).items()}
        extra = schema.get("additionalProperties", name in _FREE)
        closed["additionalProperties"] = self._closed(extra) if isinstance(extra, dict) else extra
        return closed

    def _resolved(self, reference: str) -> Mapping[str, Any]:
        found: Any = self._document
        for part in reference.removeprefix("#/").split("/"):
            found = found[part]
        resolved: Mapping[str, Any] = found
        return resolved


def _pattern(path: str) -> re.Pattern[str]:
    return re.compile(re.sub(r"\\{[^/]+?\\}", "[^/]+", re.escape(path)))


def _response(operation: Mapping[str, Any], status: int) -> Mapping[str, Any] | None:
    described: Mapping[str, Mapping[str, Any]] = operation["responses"]
    return described.get(str(status)) or described.get(f"{status // 100}XX")
