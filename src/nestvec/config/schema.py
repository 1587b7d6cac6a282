"""The configuration's JSON Schema, so that editors complete and check it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from nestvec.config.additions import CacheBlock, NestingBlock, PriceBlock, RetryBlock
from nestvec.config.blocks import BackendBlock, CollectionBlock, EmbedderBlock, FileBlock
from nestvec.contract import BackendPlugin, EmbedderPlugin
from nestvec.errors import PluginError
from nestvec.registry import BACKENDS, EMBEDDERS, Registry, default_registry

P = TypeVar("P", BackendPlugin, EmbedderPlugin)

#: The core's own keys in the blocks of embedders and of backends. A rotation may be written as its fingerprint alone.
_FINGERPRINT = NestingBlock.model_json_schema()["properties"]["rotation"]
_EMBEDDERS_OWN = {
    "cache": {"$ref": f"#/$defs/{CacheBlock.__name__}"},
    "nesting": {"anyOf": [_FINGERPRINT, {"$ref": f"#/$defs/{NestingBlock.__name__}"}]},
    "price": PriceBlock.model_json_schema()["properties"]["price"],
}
_OWN = {"embedders": _EMBEDDERS_OWN, "backends": RetryBlock.model_json_schema()["properties"]}


def json_schema(registry: Registry | None = None) -> dict[str, Any]:
    """JSON Schema (draft 2020-12) of the file, with the options of every installed plugin."""
    registry = registry or default_registry()
    schema = FileBlock.model_json_schema()
    schema["$schema"] = "https://json-schema.org/draft/2020-12/schema"
    schema["title"] = "nestvec configuration"
    definitions = schema["$defs"]
    definitions.pop(BackendBlock.__name__)
    definitions.pop(EmbedderBlock.__name__)
    definitions[CacheBlock.__name__] = CacheBlock.model_json_schema()
    definitions[NestingBlock.__name__] = NestingBlock.model_json_schema()
    backends = _plugins(registry.names(BACKENDS), registry.backend)
    embedders = _plugins(registry.names(EMBEDDERS), registry.embedder)
    for group, plugins in (("backends", backends), ("embedders", embedders)):
        choices = [_block(group, name, plugin, definitions) for name, plugin in plugins.items()]
        schema["properties"][group] = {
            "type": "object",
            "additionalProperties": {"oneOf": choices} if choices else False,
        }
    collection = definitions[CollectionBlock.__name__]
    collection["additionalProperties"] = False
    collection["properties"]["foreign"]["anyOf"].insert(0, {"type": "string"})  # a preset's name stands for the block
    fields = collection["properties"]["fields"]
    opened = {
        "anyOf": [
            {"const": "open"},
            {key: fields.pop(key) for key in ("type", "additionalProperties", "propertyNames") if key in fields},
        ]
    }
    fields.update(opened)
    for name, plugin in backends.items():
        if plugin is None:
            collection["properties"].setdefault(name, {"type": "object"})
        elif plugin.collection_options is not None:
            key = f"collection_{name}"
            definitions[key] = _inline(plugin.collection_options.model_json_schema(), definitions, key)
            collection["properties"][name] = {"$ref": f"#/$defs/{key}"}
    return schema


def _plugins(names: Sequence[str], load: Callable[[str], P]) -> dict[str, P | None]:
    """The plugins by name; None for a broken one, of which any options are taken for good."""
    found: dict[str, P | None] = {}
    for name in names:
        try:
            found[name] = load(name)
        except PluginError:
            found[name] = None
    return found


def _block(group: str, name: str, plugin: Any, definitions: dict[str, Any]) -> dict[str, Any]:
    key = f"{group}_{name}"
    options: dict[str, Any] = {"type": "object"}
    if plugin is not None:
        options = _inline(plugin.options.model_json_schema(), definitions, key) | {"description": plugin.summary}
    options["properties"] = {"use": {"const": name}, **options.get("properties", {}), **_OWN[group]}
    options["required"] = ["use", *options.get("required", [])]
    definitions[key] = options
    return {"$ref": f"#/$defs/{key}"}


def _inline(schema: dict[str, Any], definitions: dict[str, Any], prefix: str) -> dict[str, Any]:
    """Move a plugin's own definitions beside the core's, under names that cannot clash."""
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
