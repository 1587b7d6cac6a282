"""`nestvec adopt --look`."""

from __future__ import annotations

import tomllib
from contextlib import closing

import pytest
from qdrant_client import QdrantClient, models

CONFIG = """
[backends.store]
use = "qdrant"
path = "store"

[embedders.model]
use = "recording"
"""


@pytest.fixture
def theirs(shell):
    shell.config.write_text(CONFIG)
    with closing(QdrantClient(path=str(shell.config.parent / "store"))) as client:
        client.create_collection("theirs", models.VectorParams(size=64, distance=models.Distance.DOT))
        payload = {"page_content": "a text", "metadata": {"lang": "de", "evil\x1b[2J": 1}}
        client.upsert("theirs", [models.PointStruct(id=1, vector=[1.0] * 64, payload=payload)])
    return shell


def test_what_is_printed_can_be_pasted(theirs):
    run = theirs("adopt", "--look", "theirs")
    assert run.code == 0, run.err
    assert "# theirs: 1 record, as langchain lays them out" in run.out
    assert "#   metadata.lang: keyword" in run.out
    assert "\x1b" not in run.out
    with theirs.config.open("a") as config:
        config.write(run.out)
    block = tomllib.loads(theirs.config.read_text())["collections"]["theirs"]
    assert (block["foreign"], block["metric"], block["dimensions"]) == ("langchain", "dot", 64)
    assert theirs("plan").code == 3


def test_as_json(theirs):
    found = theirs("adopt", "--look", "theirs", "--json").json
    assert (found["preset"], found["records"], found["backend"]) == ("langchain", 1, "store")
    assert found["names"]["metadata"] == ["object"]
    assert found["block"].startswith("[collections.theirs]\n")


def test_mistakes_are_one_message(theirs):
    run = theirs("adopt", "--look", "thiers")
    assert (run.code, run.out) == (1, "")
    assert "no collection 'thiers'; it has: theirs" in run.err
    run = theirs("adopt", "theirs")
    assert run.code == 2
    assert "--look" in run.err
