from __future__ import annotations

import pytest

from nestvec._client import connect
from nestvec.contract import Count, Describe
from nestvec.errors import CollectionNotFound, SpaceMismatch
from nestvec.runtime import Runtime
from nestvec.types import Document
from nestvec_testing import DiscardingAdapter, test_registry

VALUES = {
    "backends": {"none": {"use": "discarding"}},
    "embedders": {"model": {"use": "recording"}},
    "collections": {"docs": {"dimensions": 16, "chunking": {"size": 30}}},
}


@pytest.fixture
def nv():
    with connect(VALUES, Runtime(test_registry())) as client:
        client.apply()
        yield client


def test_counts_what_it_is_given_and_keeps_nothing(nv):
    documents = [Document(f"d{i}", "river stone winter engine paper garden") for i in range(5)]
    report = nv["docs"].upsert(documents)
    adapter = nv.adapter("none")
    assert isinstance(adapter, DiscardingAdapter)
    assert adapter.written == report.chunks == 10
    assert adapter.bytes == 10 * 16 * 4
    assert nv["docs"].count() == 0
    assert nv["docs"].search("river") == []
    assert adapter.asked == 1
    assert list(nv["docs"].scroll()) == []
    assert nv["docs"].get("d0") is None
    assert nv["docs"].upsert(documents).embedded > 0


def test_keeps_collections_and_guards_spaces(nv):
    assert nv.plan()[0].action == "none"
    adapter = nv.adapter("none")
    assert adapter.describe(Describe("docs_1")).vectors == {"dense": 16}
    with pytest.raises(CollectionNotFound):
        adapter.count(Count("other_1"))
    changed = VALUES | {"collections": {"docs": {"dimensions": 8}}}
    other = connect(changed, Runtime(test_registry()))
    other._connections.adapters.put("none", adapter)
    with pytest.raises(SpaceMismatch):
        other["docs"].count()
