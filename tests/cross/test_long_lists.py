"""A filter with a long list of values, such as the documents that somebody may see: the same on every engine."""

from __future__ import annotations

from pathlib import Path

import pytest

import nestvec
from nestvec import Document, F
from nestvec.runtime import Runtime
from nestvec_testing.registry import test_registry

from .engines import ENGINES, PARAMETERS

#: Two more than two operators of Pinecone take.
LONG = 20_002


@pytest.mark.parametrize("name", PARAMETERS)
def test_a_long_list_is_one_list(name: str, tmp_path: Path) -> None:
    with ENGINES[name](tmp_path) as engine:
        values = {
            "embedders": {"model": {"use": "recording"}},
            "backends": {"store": {"use": engine.use, **engine.options}},
            "collections": {"docs": {"fields": {"n": "integer", "who": "keyword", "tags": "keyword[]"}}},
        }
        with nestvec.connect(values, Runtime(test_registry())) as nv:
            nv.apply()
            docs = nv["docs"]
            for number in (0, 10_000, LONG - 1, LONG, -1):  # the last two are in none of the lists
                metadata = {"n": number, "who": f"w{number}", "tags": [f"t{number}", "all"]}
                docs.upsert(Document(f"d{number}", f"text {number}", metadata))
            docs.upsert(Document("none", "text without anything"))
            numbers = range(LONG)
            lists = [
                F.n.in_(numbers),
                F.who.in_([f"w{number}" for number in numbers]),
                F.tags.contains_any([f"t{number}" for number in numbers]),
            ]
            for where in lists:
                inside = {"d0", "d10000", f"d{LONG - 1}"}
                outside = {f"d{LONG}", "d-1", "none"}
                assert {hit.document_id for hit in docs.search("text", where=where)} == inside
                assert {hit.document_id for hit in docs.search("text", where=~where)} == outside
                assert (docs.count(where), docs.count(~where)) == (3, 3)
            assert docs.delete(where=lists[0] & (F.who == "w0")) == 1
