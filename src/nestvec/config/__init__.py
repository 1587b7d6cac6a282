"""The configuration file: what it may say, reading it strictly, and its JSON Schema."""

from nestvec.config.load import Config, Connection, load_config, parse_config
from nestvec.config.schema import json_schema

__all__ = ["Config", "Connection", "json_schema", "load_config", "parse_config"]
