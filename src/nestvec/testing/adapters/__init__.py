"""The conformance kit for adapters, by theme; see `nestvec.testing.AdapterConformance`."""

from __future__ import annotations

from nestvec.testing.adapters.adoption import AdoptionChecks
from nestvec.testing.adapters.collections import ApplyChecks, CollectionChecks
from nestvec.testing.adapters.documents import DocumentChecks, InterruptionChecks, ServiceChecks
from nestvec.testing.adapters.filters import FilterChecks
from nestvec.testing.adapters.records import FidelityChecks, RecordChecks
from nestvec.testing.adapters.search import SearchChecks
from nestvec.testing.adapters.spaces import SpaceChecks, SwitchChecks
from nestvec.testing.adapters.tenants import TenantChecks


class AdapterConformance(
    CollectionChecks,
    ApplyChecks,
    SpaceChecks,
    SwitchChecks,
    RecordChecks,
    FidelityChecks,
    SearchChecks,
    FilterChecks,
    DocumentChecks,
    InterruptionChecks,
    TenantChecks,
    AdoptionChecks,
    ServiceChecks,
):
    """Everything that an adapter has to keep. Subclass it as `Test…` and provide the fixture `backend`:

        class TestAcme(AdapterConformance):
            @pytest.fixture
            def backend(self, tmp_path):
                return BackendUnderTest("acme", {"path": str(tmp_path)}, reopens=True)

    Each test runs with the synchronous and the asynchronous client. `excused` maps the names of tests that this
    backend can not pass to the reason; they still run, and must fail.
    """
