"""The conformance kit for adapters, by theme; see `nestvec_testing.AdapterConformance`."""

from __future__ import annotations

from nestvec_testing.adapters.adoption import AdoptionChecks
from nestvec_testing.adapters.collections import ApplyChecks, CollectionChecks
from nestvec_testing.adapters.documents import DocumentChecks, InterruptionChecks, ServiceChecks
from nestvec_testing.adapters.filters import FilterChecks
from nestvec_testing.adapters.forms import FormChecks
from nestvec_testing.adapters.funnels import FunnelChecks
from nestvec_testing.adapters.notes import NoteChecks
from nestvec_testing.adapters.records import FidelityChecks, RecordChecks
from nestvec_testing.adapters.search import SearchChecks
from nestvec_testing.adapters.settling import SettlingChecks
from nestvec_testing.adapters.spaces import SpaceChecks, SwitchChecks
from nestvec_testing.adapters.storage import StorageChecks
from nestvec_testing.adapters.tenants import TenantChecks
from nestvec_testing.adapters.writers import WriterChecks

#: At least one check of every theme, for places where the whole kit would take too long.
SAMPLE = frozenset(
    {
        "test_powers_are_those_inherited",
        "test_the_blocking_form_never_suspends",
        "test_plan_apply_plan",
        "test_aliases_lead_and_move",
        "test_collections_are_listed",
        "test_mixed_up_spaces_are_refused",
        "test_readers_follow_after_the_lease",
        "test_notes_are_kept_side_by_side",
        "test_metadata_keep_their_types",
        "test_vectors_of_another_size_are_refused",
        "test_searching_with_a_filter",
        "test_fresh_records_are_found",
        "test_funnels_are_offered_or_refused",
        "test_storage_is_offered_or_refused",
        "test_missing_fields",
        "test_replacing_a_document",
        "test_interrupted_deletes_are_mended",
        "test_several_writers_leave_one_version",
        "test_tenants_are_kept_apart",
        "test_events_are_emitted",
    }
)


class AdapterConformance(
    FormChecks,
    CollectionChecks,
    ApplyChecks,
    SpaceChecks,
    SwitchChecks,
    NoteChecks,
    RecordChecks,
    FidelityChecks,
    SearchChecks,
    SettlingChecks,
    FunnelChecks,
    StorageChecks,
    FilterChecks,
    DocumentChecks,
    InterruptionChecks,
    WriterChecks,
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
    backend cannot pass to the reason; they still run, and must fail.
    """
