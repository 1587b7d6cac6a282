"""The configuration's JSON Schema, so that editors complete and check it."""

from __future__ import annotations

from typing import Any

from nestvec.config.blocks import CollectionBlock, FileBlock
from nestvec.registry import BACKENDS, EMBEDDERS, Registry, default_registry


def json_schema(registry: Registry | None = None) -> dict[str, Any]:
    """JSON Schema (draft 2020-12) of the file, with the options of every installed plugin."""
    registry = registry or default_registry()
    schema = FileBlock.model_json_schema()
    schema["$schema"] = "https://json-schema.org/draft/2020-12/schema"
    schema["title"] = "nestvec configuration"
    definitions = schema["$defs"]
    definitions.pop("PluginBlock")
    backends = [registry.backend(name) for name in registry.names(BACKENDS)]
    embedders = [registry.embedder(name) for name in registry.names(EMBEDDERS)]
    for group, plugins in (("backends", backends), ("embedders", embedders)):
        choices = [_plugin(group, plugin, definitions) for plugin in plugins]
        schema["properties"][group] = {"type": "object", "additionalProperties": {"oneOf": choices}}
    collection = definitions[CollectionBlock.__name__]
    collection["additionalProperties"] = False
    for plugin in backends:
        if plugin.collection_options is not None:
            name = f"collection_{plugin.name}"
            definitions[name] = _inline(plugin.collection_options.model_json_schema(), definitions, name)
            collection["properties"][plugin.name] = {"$ref": f"#/$defs/{name}"}
    return schema


def _plugin(group: str, plugin: Any, definitions: dict[str, Any]) -> dict[str, Any]:
    name = f"{group}_{plugin.name}"
    options = _inline(plugin.options.model_json_schema(), definitions, name)
    options["properties"] = {"use": {"const": plugin.name}, **options.get("properties", {})}
    options["required"] = ["use", *options.get("required", [])]
    options["description"] = plugin.summary
    definitions[name] = options
    return {"$ref": f"#/$defs/{name}"}


def _inline(schema: dict[str, Any], definitions: dict[str, Any], prefix: str) -> dict[str, Any]:
    """Move a plugin's own definitions beside the core's, under names that can not clash."""
    inner = schema.pop("$defs", {})
    renamed = {f"#/$defs/{name}": f"#/$defs/{prefix}_{name}" for name in inner}
    for name, definition in inner.items():
        definitions[f"{prefix}_{name}"] = _redirect(definition, renamed)
    result: dict[str, Any] = _redirect(schema, renamed)
    return result


def _redirect(node: Any, renamed: dict[str, str]) -> Any:
    if isinstance(node, dict):
        return {
            key: renamed.get(value, value) if key == "$ref" else _redirect(value, renamed)
            for key, value in node.items()
        }
    return [_redirect(item, renamed) for item in node] if isinstance(node, list) else node
