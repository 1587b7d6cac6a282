"""The conformance kit, on indexes of the emulated Pinecone."""

from __future__ import annotations

from contextlib import closing

import pinecone
import pytest

from nestvec.contract import ForeignLayout
from nestvec_pinecone.plugin import nestvec_backend
from nestvec_testing import AdapterConformance, BackendUnderTest
from nestvec_testing.adapters.adoption import AdoptionChecks

FIELDS = ("lang", "year", "price", "open", "tags")


def filled(emulator, name, rows, payloads, namespace=""):
    """An index as LangChain makes it, by Pinecone's own client; beside it in other namespaces, other records."""
    with closing(pinecone.Pinecone(api_key=emulator.api_key, host=emulator.url)) as client:
        place = pinecone.ServerlessSpec(cloud="aws", region="us-east-1")
        client.indexes.create(name=name, dimension=rows.shape[1], metric="cosine", spec=place)
    with closing(pinecone.Index(host=emulator.host(name), api_key=emulator.api_key)) as index:
        vectors = [(f"id-{i}", row.tolist(), theirs(payloads[i])) for i, row in enumerate(rows)]
        index.upsert(vectors=vectors, namespace=namespace)
        index.upsert(vectors=[("other", rows[0].tolist(), {"key": "other"})], namespace="other")
    fields = {field: f"the.{field}" for field in FIELDS}
    return ForeignLayout(name, None, "key", "text", namespace or None, fields)


def theirs(payload):
    return {
        "key": payload["key"],
        "text": payload["body"],
        **{f"the.{name}": value for name, value in payload.items() if name not in ("key", "body")},
    }


class TestPinecone(AdapterConformance):
    """Every check of the kit, synchronous and asynchronous."""

    @pytest.fixture
    def backend(self, emulator):
        options = {"api_key": {"env": "NESTVEC_TEST_PINECONE_KEY"}, "control_host": emulator.url}
        return BackendUnderTest(
            nestvec_backend(), options, reopens=True, foreign=lambda _, *given: filled(emulator, *given)
        )


@pytest.mark.parametrize("scan", [False, True], ids=["recent", "scan"])
class TestAdoptingWithinOneIndex(AdoptionChecks):
    """The index is somebody else's; a namespace of it is adopted without the control plane."""

    @pytest.fixture
    def backend(self, emulator, scan):
        emulator.dial(recent=not scan)
        options = {
            "api_key": {"env": "NESTVEC_TEST_PINECONE_KEY"},
            "index_host": emulator.host("theirs"),
            "scan": scan,
        }

        def make(_, __, *given):
            return filled(emulator, "theirs", *given, namespace="articles")

        return BackendUnderTest(nestvec_backend(), options, reopens=True, foreign=make)
