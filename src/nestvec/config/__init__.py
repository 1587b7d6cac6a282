"""The configuration file: what it may say, reading it strictly, and its JSON Schema."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nestvec._lazy import lazy_names
from nestvec.config.load import Config, Connection, load_config, parse_config

if TYPE_CHECKING:
    from nestvec.config.schema import json_schema

__all__ = ["Config", "Connection", "json_schema", "load_config", "parse_config"]

__getattr__, __dir__ = lazy_names(__name__, {"nestvec.config.schema": ("json_schema",)})
