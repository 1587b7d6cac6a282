"""Looking at a collection that somebody else made: what is told, whose layout it is, and the block to paste."""

from __future__ import annotations

import json
import tomllib
from dataclasses import replace

import numpy as np
import pytest

from nestvec._client import aconnect, connect
from nestvec.contract import ForeignPreset
from nestvec.contract.foreign_records import original
from nestvec.errors import CollectionConflict, CollectionNotFound, ConfigError, Unsupported
from nestvec.registry import Registry
from nestvec.runtime import Runtime
from nestvec_testing.memory import make_foreign
from nestvec_testing.registry import test_registry

SIZE = 32
TEXTS = [f"{word} by the river, which is a text of some length" for word in ("boat", "lamp", "harbour")]
PRESETS = {
    "pages": ForeignPreset("page", "meta", marks=("page", "meta")),
    "pages and more": ForeignPreset("page", "meta", "key", marks=("page", "meta", "key")),
    "nodes": ForeignPreset("_node.text", "_node.metadata", json=("_node",), marks=("_node", "_kind")),
}


class Presets(Registry):
    """The plugins of tests, of which the backend in memory knows some layouts."""

    def backend(self, name):
        found = super().backend(name)
        return replace(found, presets=PRESETS) if name == "memory" else found


@pytest.fixture
def registry():
    made = test_registry()
    made.__class__ = Presets
    return made


@pytest.fixture
def opened(registry):
    """A client on a store with one foreign collection of the payloads."""
    clients, adapters = [], []

    def open_one(payloads=None, *, name="theirs", vectors=("",), **collections):
        plain = {
            "backends": {"store": {"use": "memory"}},
            "embedders": {"model": {"use": "recording"}},
            "collections": {"own": {"dimensions": SIZE}, **collections},
        }
        client = connect(plain, Runtime(registry))
        clients.append(client)
        adapters.append(client.adapter("store")) if not adapters else None
        if payloads is not None:
            rows = client.embed(TEXTS[: len(payloads)], task="retrieval.passage", dimensions=SIZE)
            make_foreign(adapters[0], name, dict.fromkeys(vectors, rows), payloads)
        client._connections.adapters.put("store", adapters[0])
        return client

    yield open_one
    for client in clients:
        client.close()


def pages(**more):
    return [{"page": text, "meta": {"lang": "de", "year": 2000 + i}, **more} for i, text in enumerate(TEXTS)]


def adopted(opened, look):
    """A client of the block that the look proposes."""
    (name,) = (blocks := tomllib.loads(look.block)["collections"])
    client = opened(**{name: blocks[name]})
    assert [change.action for change in client.apply(name)] == ["adopt"], client.plan(name)
    return client[name]


def test_a_known_layout_is_named_and_its_block_works(opened):
    look = opened(pages()).look("theirs")
    assert (look.preset, look.records, look.dimensions, look.unread) == ("pages", 3, SIZE, ())
    assert look.names == {
        "page": ("keyword",),
        "meta": ("object",),
        "meta.lang": ("keyword",),
        "meta.year": ("integer",),
    }
    block = tomllib.loads(look.block)["collections"]["theirs"]
    assert block == {
        "backend": "store",
        "embedder": "model",
        "dimensions": SIZE,
        "adopt": True,
        "foreign": "pages",
        "fields": {"lang": "keyword", "year": "integer"},
    }
    docs = adopted(opened, look)
    assert docs.count({"year": {"$gte": 2001}}) == 2
    assert docs.get("theirs-1").metadata == {"lang": "de", "year": 2001}


def test_of_several_layouts_that_fit_the_most_particular_one_is_named(opened):
    assert opened(pages(key="k")).look("theirs").preset == "pages and more"


def test_a_mark_that_one_record_lacks_is_none(opened):
    payloads = pages()
    del payloads[1]["meta"]
    assert opened(payloads).look("theirs").preset is None


def test_layouts_in_json_text(opened):
    nodes = [{"_node": json.dumps({"text": t, "metadata": {"lang": "de"}}), "_kind": "N", "lang": "de"} for t in TEXTS]
    look = opened(nodes).look("theirs")
    assert look.preset == "nodes"
    assert "_node.metadata.lang" in look.names
    docs = adopted(opened, look)
    assert docs.get("theirs-0").text == TEXTS[0]
    assert docs.count({"lang": "de"}) == 3


def test_an_unknown_layout_gets_a_proposal_that_works(opened):
    payloads = [
        {
            "body": text,
            "about": {"lang": "de", "b d": 1.5, 'a"b': 1},
            "rank": i,
            "tags": ["a"],
            "mixed": [1, "a"],
            "n": None,
        }
        for i, text in enumerate(TEXTS)
    ]
    look = opened(payloads).look("theirs")
    assert look.preset is None
    block = tomllib.loads(look.block)["collections"]["theirs"]
    assert block["fields"] == {"lang": "keyword", "b d": "float", "rank": "integer", "tags": "keyword[]"}
    assert block["foreign"] == {
        "text": "body",
        "metadata": "about",
        "fields": {"rank": "rank", "tags": "tags"},
    }
    found = original(adopted(opened, look).get("theirs-2").metadata)
    assert found == {**payloads[2]["about"], **{k: v for k, v in payloads[2].items() if k not in ("about", "body")}}


def test_a_layout_with_several_objects_names_each_path(opened):
    look = opened([{"t": text, "a": {"x": 1}, "b": {"x": 2}} for text in TEXTS]).look("theirs")
    block = tomllib.loads(look.block)["collections"]["theirs"]
    assert block["foreign"] == {"text": "t", "fields": {"a_x": "a.x", "b_x": "b.x"}}
    assert adopted(opened, look).get("theirs-0").metadata == {"a_x": 1, "b_x": 2}


def test_names_that_are_none_of_ours_and_those_that_steer(opened):
    look = opened(pages(), name="1 strange\u202ename\n").look("1 strange\u202ename\n")
    assert "\u202e" not in look.block
    assert tomllib.loads(look.block)["collections"]["adopted-1-strange-name"]["foreign"] == {
        "preset": "pages",
        "collection": "1 strange\u202ename\n",
    }
    assert adopted(opened, look).count() == 3


def test_one_of_several_vectors(opened):
    client = opened(pages(), vectors=("title", "content"))
    with pytest.raises(CollectionConflict, match=r"'title', 'content'; say with foreign\.vector"):
        client.look("theirs")
    look = client.look("theirs", vector="content")
    assert look.unread == ("vector 'title'",)
    docs = adopted(opened, look)
    assert docs.count() == 3
    (change,) = opened(theirs={**tomllib.loads(look.block)["collections"]["theirs"], "purpose": "matching"}).plan(
        "theirs"
    )
    assert change.action == "conflict"


def test_what_is_not_read_is_said_by_plan_and_copy(opened):
    client = opened(pages(), vectors=("title", "content"))
    block = tomllib.loads(client.look("theirs", vector="content").block)["collections"]
    client = opened(**block)
    assert "not read, and not copied: vector 'title'" in client.plan("theirs")[0].details
    client.apply()
    assert client.copy("theirs", "own").unread == ("vector 'title'",)


def test_a_block_says_where_to_look(opened):
    opened(pages(), name="other", vectors=("title", "content"))
    foreign = {"collection": "other", "vector": "content", "text": "no such"}
    client = opened(kb={"dimensions": SIZE, "adopt": True, "foreign": foreign})
    assert client.look("kb").collection == "other"
    assert "`nestvec adopt --look kb` proposes some" in client.plan("kb")[0].details[-1]


def test_what_cannot_be_looked_at(opened, registry):
    client = opened(pages())
    with pytest.raises(CollectionNotFound, match=r"'store' has no collection 'thiers'; it has: theirs"):
        client.look("thiers")
    client.apply("own")
    with pytest.raises(CollectionConflict, match=r"'own_1' is nestvec's own"):
        client.look("own_1")
    with pytest.raises(ConfigError, match="no backend 'stroe'; did you mean 'store'"):
        client.look("theirs", backend="stroe")
    many = {"a": {"use": "memory"}, "b": {"use": "sqlite", "path": ":memory:"}}
    with connect({"backends": many, "embedders": {"model": {"use": "recording"}}}, Runtime(registry)) as other:
        with pytest.raises(ConfigError, match="say which backend: the configuration has a, b"):
            other.look("theirs")
        with pytest.raises(Unsupported, match="'b' reads only what nestvec made"):
            other.look("theirs", backend="b")
    with (
        connect({"backends": {"a": {"use": "memory"}}}, Runtime(registry)) as bare,
        pytest.raises(ConfigError, match="no embedder: add the block of the model that made the vectors"),
    ):
        bare.look("theirs")


def test_an_empty_collection(opened):
    client = opened(pages())
    make_foreign(client.adapter("store"), "empty", {"": np.zeros((0, SIZE), np.float32)}, [])
    look = client.look("empty")
    assert (look.records, look.preset, look.names) == (0, None, {})


async def test_asynchronously(opened, registry):
    plain = {"backends": {"store": {"use": "memory"}}, "embedders": {"model": {"use": "recording"}}}
    source = opened(pages())
    async with aconnect(plain, Runtime(registry)) as client:
        client._connections.adapters.put("store", source.adapter("store"))
        assert await client.look("theirs") == source.look("theirs")
