"""Collections that frameworks made, in environments of their own: adopted as the look proposes, and nothing is lost."""

from __future__ import annotations

import json
import tomllib
import uuid

import numpy as np
import pytest

from nestvec._client import connect
from nestvec.contract.foreign_records import original
from nestvec.filters import F
from nestvec.runtime import Runtime
from nestvec_testing.registry import test_registry

from .environments import PACKAGES, make_collection

pytestmark = pytest.mark.frameworks

SIZE = 32
METADATA = [
    {"lang": "de", "year": 2001, "open": True, "price": 1.5, "tags": ["a", "b"]},
    {"lang": "en", "year": 2002, "note": None, "author": {"name": "Ada", "places": ["London", None]}},
    {"lang": "en", "year": 2003, "metadata": "text", "document": "d", "data": "x", "a.b": [[1]]},
    {},
]
#: Names that a framework uses beside the metadata, so that nobody can have them for keys of his own.
TAKEN = {"mem0": {"data"}, "mcp-server-qdrant": {"metadata"}}
#: What a framework adds to each record. A null is what it writes for none.
ADDED = {
    "langchain": {},
    "llamaindex": {"_node_content", "_node_type", "document_id", "doc_id", "ref_doc_id"},
    "haystack": {"blob", "score", "sparse_embedding"},
    "mem0": {"hash", "created_at", "updated_at", "text_lemmatized", "user_id"},
    "mcp-server-qdrant": {},
}
#: Frameworks whose documents keep the ids that they were given.
KEEP_IDS = ("langchain", "llamaindex", "haystack")


def configuration(folder, collections=None):
    return {
        "backends": {"theirs": {"use": "qdrant", "path": str(folder)}, "ours": {"use": "memory"}},
        "embedders": {"model": {"use": "recording"}},
        "collections": {
            **(collections or {}),
            "own": {"backend": "ours", "dimensions": SIZE, "fields": {"lang": "keyword", "year": "integer"}},
        },
    }


def documents_for(framework):
    metadata = [{k: v for k, v in each.items() if k not in TAKEN.get(framework, ())} for each in METADATA]
    texts = [f"{word} beside the river" for word in ("boat", "lamp", "harbour", "violin")]
    with connect(configuration("/nowhere"), Runtime(test_registry())) as nv:
        rows = nv.embed(texts, task="retrieval.passage", dimensions=SIZE)
    name = "doc {}" if framework == "haystack" else ""
    return [
        {
            "id": name.format(i) or str(uuid.uuid5(uuid.NAMESPACE_URL, str(i))),
            "text": text,
            "metadata": metadata[i],
            "vector": rows[i].tolist(),
        }
        for i, text in enumerate(texts)
    ]


@pytest.fixture(scope="module", params=list(PACKAGES))
def made(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp(request.param)
    documents = documents_for(request.param)
    (folder / "documents.json").write_text(json.dumps(documents))
    make_collection(request.param, folder / "store", folder / "documents.json")
    return request.param, folder / "store", documents


def test_everything_is_found_and_copied(made):
    framework, folder, documents = made
    with connect(configuration(folder), Runtime(test_registry())) as nv:
        look = nv.look("theirs", backend="theirs")
    assert (look.preset, look.records, look.dimensions) == (framework, len(documents), SIZE)
    block = tomllib.loads(look.block)["collections"]["theirs"]
    assert block["foreign"] == framework
    assert {"lang": "keyword", "year": "integer"}.items() <= block["fields"].items()
    with connect(configuration(folder, {"theirs": block}), Runtime(test_registry())) as nv:
        nv.apply()
        check(framework, nv["theirs"], documents)
        assert nv.copy("theirs", "own").records == len(documents)
        check(framework, nv["own"], documents)


def check(framework, collection, documents):
    """Searching, filtering, getting and scrolling give what was put in."""
    assert collection.count() == len(documents)
    assert collection.count(F.year >= 2002) == 2
    for put in documents:
        hit = collection.search(put["text"], limit=1)[0]
        assert hit.text == put["text"]
        assert hit.score > 0.9
        found = collection.get(hit.document_id)
        assert (found.text, found.metadata) == (put["text"], hit.metadata)
        assert framework not in KEEP_IDS or hit.document_id == put["id"]
        check_metadata(framework, original(found.metadata), put["metadata"])
    (page,) = collection.scroll(vectors=True)
    rows = dict(zip(page.texts, page.vectors, strict=True))
    for put in documents:
        np.testing.assert_allclose(rows[put["text"]], put["vector"], atol=1e-6)


def check_metadata(framework, found, put):
    added = ADDED[framework]
    if framework == "mcp-server-qdrant" and not put:
        put = {"metadata": None}  # what it writes for none
    assert {name: value for name, value in found.items() if name not in added} == put
