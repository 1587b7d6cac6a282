"""Computed ids, and bookkeeping that somebody changed."""

from __future__ import annotations

import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nestvec._documents.layout import _NAMESPACE, Head, record_id
from nestvec._documents.tidying import by_document
from nestvec.errors import CollectionError
from nestvec.types import Record


@given(st.none() | st.text(), st.text(min_size=1), st.integers(0, 1), st.integers(0, 10**6))
def test_ids_are_version_five_uuids_of_their_length_prefixed_parts(tenant, document, revision, chunk):
    parts = ["-" if tenant is None else f"+{tenant}", document, str(revision), str(chunk)]
    name = "".join(f"{len(part)}:{part}" for part in parts)
    assert record_id(tenant, document, revision, chunk) == str(uuid.uuid5(_NAMESPACE, name))


@pytest.mark.parametrize("lost", ["revision", "chunks", "document_hash"])
def test_a_record_that_somebody_changed_is_named(lost):
    system = {"chunk": 0, "revision": 0, "chunks": 2, "document_hash": "d", "metadata_hash": "m", "layout": "l"}
    record = Record("theirs", "doc-7", None, {}, {key: value for key, value in system.items() if key != lost})
    with pytest.raises(CollectionError, match="record 'theirs' of document 'doc-7' is damaged"):
        Head.of(record)
    with pytest.raises(CollectionError, match="record 'theirs' of document 'doc-7' is damaged"):
        by_document([record])
