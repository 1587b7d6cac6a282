"""The conformance kit, on indexes of the emulated Pinecone."""

from __future__ import annotations

import pytest

from nestvec.testing import AdapterConformance, BackendUnderTest
from nestvec_pinecone.plugin import nestvec_backend


class TestPinecone(AdapterConformance):
    """Every check of the kit, synchronous and asynchronous."""

    @pytest.fixture
    def backend(self, emulator):
        options = {"api_key": {"env": "NESTVEC_TEST_PINECONE_KEY"}, "control_host": emulator.url}
        return BackendUnderTest(nestvec_backend(), options, reopens=True)
