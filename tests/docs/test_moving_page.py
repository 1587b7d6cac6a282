"""The page on moving from jina-embeddings-v2 to v3: each of its configurations is filled, migrated and searched."""

from __future__ import annotations

import copy
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from nestvec import Document, connect
from nestvec.runtime import Runtime
from nestvec_testing.emulators.jina import JinaEmulator

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "move-from-jina-v2-to-v3.md"
BLOCKS = re.findall(r"^## ([^\n]+)$|^```toml\n(.*?)^```", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
TEXTS = ("Leave is thirty days a year.", "A travel expense needs a receipt.", "The office closes at eight.")


def configurations() -> Iterator[Any]:
    title = ""
    for heading, block in BLOCKS:
        title = heading or title
        if block:
            yield pytest.param(tomllib.loads(block), id=title)


@pytest.fixture(scope="module")
def api() -> Iterator[JinaEmulator]:
    with JinaEmulator(keys=None) as emulator:
        yield emulator


def runtime() -> Runtime:
    return Runtime(lease=0.01, pause=lambda seconds: None)


def before(values: dict[str, Any]) -> dict[str, Any]:
    """The configuration of before the migration: only what was there."""
    changed = copy.deepcopy(values)
    blocks = changed["collections"]
    for name, block in list(blocks.items()):
        previous = block.pop("previous", None)
        if previous is not None:
            blocks[name] = block | previous
        elif block["embedder"] == "v3":
            del blocks[name]
    return changed


@pytest.mark.parametrize("values", list(configurations()))
def test_each_configuration_migrates(values: dict[str, Any], api: JinaEmulator, tmp_path: Path) -> None:
    values["backends"]["search"]["path"] = str(tmp_path / "store")
    for block in values["embedders"].values():
        block["base_url"] = api.base_url
        del block["api_key"]
    with connect(before(values), runtime()) as nv:
        nv.apply()
        for name in nv:
            nv[name].upsert(Document(f"doc-{i}", text) for i, text in enumerate(TEXTS))
        filled = list(nv)
    with connect(values, runtime()) as nv:
        nv.apply()
        for name, spec in nv.config.collections.items():
            moves = name in nv.config.previous
            assert nv.migrate(name).switched is moves
            assert nv[name].space == spec.space
            found = nv[name].search(TEXTS[0], limit=1)
            assert [hit.document_id for hit in found] == (["doc-0"] if name in filled else [])
        assert all(change.action == "none" for change in nv.plan())


def test_every_advice_has_its_configuration() -> None:
    sizes = [each.values[0]["collections"].get("handbook", {}).get("dimensions") for each in configurations()]
    assert len(sizes) == 7
    assert sizes[:2] == [768, None]
