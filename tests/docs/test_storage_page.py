"""The page about storage and funnels: its blocks make a configuration that is taken, and refused where it says so."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest

from nestvec.config.load import parse_config
from nestvec.errors import ConfigError
from nestvec.types import Storage
from nestvec_testing.registry import test_registry

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "store-small-and-search-coarse-to-fine.md"


def blocks() -> dict[str, Any]:
    """All TOML of the page in one, with an embedder whose vectors have prefixes."""
    text = "\n".join(re.findall(r"^```toml\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL))
    return {**tomllib.loads(text), "embedders": {"model": {"use": "recording", "dimensions": 1024}}}


def test_the_pages_collection_is_taken_on_the_pages_server() -> None:
    spec = parse_config(blocks(), test_registry()).collections["handbook"]
    assert (spec.storage, spec.funnel, spec.oversampling) == (Storage.INT8, (64, 256), 3.0)


def test_without_its_version_the_server_counts_as_one_that_has_neither() -> None:
    values = blocks()
    del values["backends"]["search"]["version"]
    with pytest.raises(ConfigError) as refused:
        parse_config(values, test_registry())
    told = str(refused.value)
    assert "storage: backend 'search' has no 'int8'; it has float32 (float16 and int8 need Milvus 2.4" in told
    assert "funnel: backend 'search' cannot search coarse to fine" in told
    assert told.count("say which version yours is with version in [backends.NAME]") == 2
