"""Computed ids."""

from __future__ import annotations

import uuid

from hypothesis import given
from hypothesis import strategies as st

from nestvec._documents.layout import _NAMESPACE, record_id


@given(st.none() | st.text(), st.text(min_size=1), st.integers(0, 1), st.integers(0, 10**6))
def test_ids_are_version_five_uuids_of_their_length_prefixed_parts(tenant, document, revision, chunk):
    parts = ["-" if tenant is None else f"+{tenant}", document, str(revision), str(chunk)]
    name = "".join(f"{len(part)}:{part}" for part in parts)
    assert record_id(tenant, document, revision, chunk) == str(uuid.uuid5(_NAMESPACE, name))
