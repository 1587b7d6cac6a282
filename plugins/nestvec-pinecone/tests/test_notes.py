"""Notes: where they lie, that the largest fit, and that they go with their collection in every kind of place."""

from __future__ import annotations

import random

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nestvec.contract import (
    MAX_NOTE,
    Count,
    Describe,
    Drop,
    Fetch,
    ForeignLayout,
    ListCollections,
    ListTenants,
    ReadNote,
    Scroll,
    WriteNote,
)
from nestvec.errors import BackendUnavailable, CollectionConflict, CollectionNotFound
from nestvec_pinecone.options import MAX_METADATA_BYTES
from nestvec_pinecone.reserved import pack_note, unpack_note
from nestvec_pinecone.testing import HttpStatus, Lag

#: Of each length in UTF-8, as many first bytes as there are: the text that is hardest to compress.
LETTERS = [(0, 0x80)] * 128 + [(0x80, 0x800)] * 30 + [(0x800, 0xD800)] * 13 + [(0xE000, 0x10000)] * 2
LETTERS += [(0x10000, 0x110000)] * 5


@pytest.fixture(params=["index", "old index", "shared", "old shared"])
def place(request, kit, open_adapter, emulator):
    """An adapter in each kind of place, on a recent server and on one of an older API."""
    old = request.param.startswith("old")
    options = {"scan": True} if old else {}
    if request.param.endswith("shared"):
        open_adapter().create(kit.create("made"))
        options["index_host"] = emulator.host("made")
    emulator.dial(recent=not old, lsn=not old)
    return open_adapter(**options)


@given(st.text(max_size=MAX_NOTE // 4))
def test_a_note_is_stored_without_a_letter_that_json_escapes(text):
    assert unpack_note(pack_note(text)) == text
    assert len(orjson.dumps(pack_note(text))) == len(pack_note(text)) + 2


@pytest.mark.parametrize("seed", range(3))
def test_the_hardest_text_fits_into_a_record(kit, adapter, emulator, seed):
    choose = random.Random(seed)
    letters = "".join(chr(choose.randrange(*choose.choice(LETTERS))) for _ in range(MAX_NOTE))
    text = letters.encode()[:MAX_NOTE].decode(errors="ignore")
    adapter.create(kit.create())
    adapter.write_note(WriteNote("docs-1", "largest", text))
    assert adapter.read_note(ReadNote("docs-1", "largest")) == text
    (sent,) = emulator.sent("/vectors/upsert")
    size = len(orjson.dumps(sent.body["vectors"][0]["metadata"]))
    assert MAX_NOTE < size <= MAX_METADATA_BYTES


def test_notes_are_no_tenant_whatever_that_is_called(kit, place):
    names = ["_nestvec_notes", "nestvec_catalog", "acme"]
    place.create_extended(kit.extended())
    place.write_note(WriteNote("docs-1", "canaries", "text"))
    assert place.list_tenants(ListTenants("docs-1")) == []
    assert place.count(Count("docs-1")) == 0
    for tenant in names:
        place.of_tenant(tenant).write(kit.write([kit.record(0)]))
    assert sorted(place.list_tenants(ListTenants("docs-1"))) == sorted(names)
    assert place.count(Count("docs-1")) == 3
    assert len(place.scroll(Scroll("docs-1")).records) >= 1
    assert len(place.fetch(Fetch("docs-1", [kit.identity(0), "note:docs-1/canaries"])).records) == 3
    assert place.read_note(ReadNote("docs-1", "canaries")) == "text"


def test_notes_of_other_collections_stay(kit, place):
    for name in ("docs-1", "docs-11"):
        place.create(kit.create(name))
        for note in ("canaries", "move"):
            place.write_note(WriteNote(name, note, f"{note} of {name}"))
    listed = sorted(place.list_collections(ListCollections()))
    place.drop(Drop("docs-1"))
    for request in (ReadNote("docs-1", "move"), WriteNote("docs-1", "move", "x"), WriteNote("docs-1", "move", None)):
        with pytest.raises(CollectionNotFound, match="docs-1"):
            getattr(place, request.method)(request)
    place.create(kit.create("docs-1"))
    assert place.read_note(ReadNote("docs-1", "move")) is None
    assert place.read_note(ReadNote("docs-11", "move")) == "move of docs-11"
    assert sorted(place.list_collections(ListCollections())) == listed


def test_a_drop_that_broke_off_can_be_repeated(kit, open_adapter, emulator):
    """Within one index the collection is known until its notes are gone."""
    open_adapter().create(kit.create("made"))
    shared = open_adapter(index_host=emulator.host("made"))
    shared.create(kit.create())
    shared.write_note(WriteNote("docs-1", "move", "text"))
    for done in (0, 1):
        # The first request empties the collection's namespace, the second forgets its notes.
        emulator.inject(HttpStatus(status=500), path="/vectors/delete", skip=1 + done)
        with pytest.raises(BackendUnavailable, match="500"):
            shared.drop(Drop("docs-1"))
        assert shared.describe(Describe("docs-1")) is not None
        assert shared.read_note(ReadNote("docs-1", "move")) == (None if done else "text")
    shared.drop(Drop("docs-1"))
    assert shared.describe(Describe("docs-1")) is None


def test_the_namespace_of_notes_is_not_adopted(kit, adapter):
    adapter.create(kit.create())
    adapter.write_note(WriteNote("docs-1", "move", "text"))
    with pytest.raises(CollectionConflict, match="has no namespace '_nestvec_notes'"):
        adapter.reading(ForeignLayout("docs-1", namespace="_nestvec_notes")).describe(Describe("docs-1"))


def test_a_note_is_seen_by_the_next_read(kit, adapter, emulator, monkeypatch):
    monkeypatch.setattr("nestvec_pinecone.client._FIRST_PAUSE", 0.0)
    adapter.create(kit.create())
    emulator.dial(fetch=Lag(reads=2), query=Lag(reads=1))
    for text in ("one", "two", None, "three"):
        adapter.write_note(WriteNote("docs-1", "move", text))
        assert adapter.read_note(ReadNote("docs-1", "move")) == text
