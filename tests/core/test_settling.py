"""What is fresh: ingestions and handles settle a collection where searches need that, and say so where it fails."""

from __future__ import annotations

import asyncio
import json
import warnings
from dataclasses import replace

import pytest
from click.testing import CliRunner

from nestvec import Document
from nestvec._cli import main
from nestvec._client import aconnect, connect
from nestvec.capabilities import Freshness, Power
from nestvec.contract import BackendPlugin, Settle
from nestvec.errors import BackendDenied, BackendUnavailable, InvalidInput, NotSettledWarning, Unsupported
from nestvec.runtime import Runtime
from nestvec_testing.memory import CAPABILITIES, MemoryAdapter
from nestvec_testing.memory import nestvec_backend as memory
from nestvec_testing.registry import test_registry

SETTLES = replace(CAPABILITIES, fresh=Freshness.WHEN_SETTLED)
UNCERTAIN = replace(
    CAPABILITIES,
    fresh=Freshness.UNCERTAIN,
    powers=CAPABILITIES.powers - {Power.SETTLING},
    why_not={"settling": "its index is built at night"},
)
WARNED = "nobody can tell for how long: its index is built at night"
CONFIG = """
[backends.store]
use = "memory"
[embedders.words]
use = "recording"
dimensions = 32
[collections.docs]
dimensions = 32
"""


class Settling(MemoryAdapter):
    """Notes what it is asked to settle, and answers as it is told."""

    def __init__(self, options=None):
        super().__init__(options)
        self.asked = []
        self.answer = None

    def settle(self, request: Settle):
        self.asked.append((request.timeout, request.everything))
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


class Registry(type(test_registry())):
    """The kit's registry, whose memory is this adapter with these capabilities."""

    def __init__(self, adapter, declared):
        super().__init__()
        self.adapter, self.declared, self.events = adapter, declared, []

    def backend(self, name) -> BackendPlugin:
        plugin = memory()
        return replace(plugin, open=lambda _: self.adapter, capabilities=lambda _: self.declared)

    def embedder(self, name):
        return test_registry().embedder(name)

    def notify(self, event):
        self.events.append(event)


@pytest.fixture
def adapter():
    return Settling()


@pytest.fixture
def registry(adapter):
    return Registry(adapter, SETTLES)


@pytest.fixture
def nv(registry, tmp_path):
    (tmp_path / "nestvec.toml").write_text(CONFIG, encoding="utf-8")
    with connect(tmp_path / "nestvec.toml", Runtime(registry)) as opened:
        opened.apply()
        yield opened


ONE = Document("a", "some text")


def test_an_ingestion_settles_once_at_its_end(nv, adapter):
    report = nv["docs"].upsert([Document(f"d{i}", f"text {i}") for i in range(600)])
    assert report.unsettled is None
    assert adapter.asked == [(120.0, False)]
    nv["docs"].upsert(ONE, settle=7)
    assert adapter.asked[1:] == [(7, False)]
    nv["docs"].upsert([])
    assert len(adapter.asked) == 2, "nothing was ingested"


def test_what_is_not_settled_is_told(nv, adapter, registry):
    adapter.answer = "searches may miss some"
    with pytest.warns(NotSettledWarning, match="collection 'docs': searches may miss some") as caught:
        report = nv["docs"].upsert(ONE)
    assert caught[0].filename == __file__
    assert (report.documents, report.unsettled) == (1, "searches may miss some")
    (event,) = [each for each in registry.events if each.name == "collection_unsettled"]
    assert event.data == {"reason": "searches may miss some"}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert nv["docs"].upsert(ONE, settle=0).unsettled == "searches may miss some"


def test_a_backend_that_fails_then_has_stored_what_it_stored(nv, adapter):
    adapter.answer = BackendDenied("no flushing for you")
    with pytest.warns(NotSettledWarning, match="could not be settled .no flushing for you"):
        report = nv["docs"].upsert(ONE)
    assert report.documents == 1
    with pytest.raises(BackendDenied):
        nv["docs"].settle()


def test_settling_on_demand(nv, adapter):
    nv["docs"].settle()
    nv["docs"].settle(timeout=3)
    assert adapter.asked == [(120.0, True), (3, True)]
    adapter.answer = "searches may miss some"
    with pytest.raises(BackendUnavailable, match="collection 'docs' has not settled: searches may miss some"):
        nv["docs"].settle(3)
    nv["docs"].settle(0)


@pytest.mark.parametrize("wrong", [-1, float("nan"), float("inf"), "1", None, True])
def test_a_timeout_is_a_number_of_seconds(nv, adapter, wrong):
    with pytest.raises(InvalidInput, match="a number of 0 or more"):
        nv["docs"].settle(wrong)
    with pytest.raises(InvalidInput, match="a number of 0 or more"):
        nv["docs"].upsert(ONE, settle=wrong)
    assert nv["docs"].count() == 0


def test_the_asynchronous_handle_settles_too(registry, adapter, nv):
    async def run():
        async with aconnect(nv.config.path, Runtime(registry)) as other:
            adapter.answer = "searches may miss some"
            with pytest.warns(NotSettledWarning):
                report = await other["docs"].upsert(ONE, settle=5)
            with pytest.raises(BackendUnavailable):
                await other["docs"].settle(timeout=6)
            return report

    assert asyncio.run(run()).unsettled == "searches may miss some"
    assert adapter.asked == [(5, False), (6, True)]


def test_nobody_is_asked_where_searches_find_it_at_once(nv, registry, adapter):
    registry.declared = CAPABILITIES
    with connect(nv.config.path, Runtime(registry)) as other:
        other["docs"].upsert(ONE)
    assert adapter.asked == []


def test_a_copy_settles_its_target(nv, adapter, registry, tmp_path):
    nv["docs"].upsert(ONE)
    (tmp_path / "both.toml").write_text(CONFIG + "[collections.more]\ndimensions = 32\n", encoding="utf-8")
    with connect(tmp_path / "both.toml", Runtime(registry)) as other:
        adapter.asked.clear()
        other.copy("docs", "more")
    assert adapter.asked == [(120.0, False)]


def test_a_migration_settles_before_it_compares_and_switches(nv, adapter, registry, tmp_path):
    nv["docs"].upsert(ONE)
    (tmp_path / "new.toml").write_text(
        CONFIG.replace(
            "[collections.docs]\ndimensions = 32",
            ("[collections.docs]\ndimensions = 16\n[collections.docs.previous]\ndimensions = 32"),
        ),
        encoding="utf-8",
    )
    adapter.asked.clear()
    adapter.answer, told = "searches may miss some", []
    with connect(tmp_path / "new.toml", Runtime(registry, lease=0.5)) as other:
        assert other.migrate("docs", progress=told.append).switched
    assert adapter.asked == [(600.0, True)]
    assert "searches may miss some" in [each.note for each in told]


class TestUncertain:
    @pytest.fixture
    def registry(self, adapter):
        return Registry(adapter, UNCERTAIN)

    def test_it_cannot_be_settled(self, nv):
        assert nv["docs"].upsert(ONE).unsettled is None
        with pytest.raises(Unsupported, match="cannot be settled: its index is built at night"):
            nv["docs"].settle()

    def test_plan_and_status_warn(self, nv, registry, tmp_path):
        assert [each for each in nv.plan("docs")[0].details if WARNED in each]
        assert [each for each in nv.status("docs")[0].change.details if WARNED in each]
        (tmp_path / "new.toml").write_text(CONFIG.replace("collections.docs", "collections.other"), encoding="utf-8")
        with connect(tmp_path / "new.toml", Runtime(registry)) as other:
            (change,) = other.plan()
        assert change.action == "create"
        assert [each for each in change.details if WARNED in each]


class TestCommands:
    @pytest.fixture
    def shell(self, nv, registry, tmp_path):
        def run(*arguments):
            command = ["-c", str(nv.config.path), *arguments]
            return CliRunner().invoke(main, command, obj=Runtime(registry))

        (tmp_path / "one.jsonl").write_text('{"id": "a", "text": "some text"}\n', encoding="utf-8")
        return run

    def test_ingest_warns(self, shell, adapter, tmp_path):
        adapter.answer = "searches may miss some"
        done = shell("ingest", "docs", str(tmp_path / "one.jsonl"), "--settle", "4")
        assert done.exit_code == 0
        assert done.stderr.count("searches may miss some") == 1
        assert "warning: searches may miss some" in done.stderr
        assert adapter.asked == [(4.0, False)]
        found = json.loads(shell("ingest", "docs", str(tmp_path / "one.jsonl"), "--json").stdout)
        assert found["unsettled"] == "searches may miss some"

    def test_settle(self, shell, adapter):
        assert "docs: searches find everything" in shell("settle", "docs").stdout
        assert json.loads(shell("settle", "docs", "--json").stdout) == {"collection": "docs", "settled": True}
        assert "docs: settling has begun" in shell("settle", "docs", "--timeout", "0").stdout
        adapter.answer = "searches may miss some"
        done = shell("settle", "docs", "--timeout", "3")
        assert done.exit_code == 1
        assert "error: collection 'docs' has not settled: searches may miss some" in done.stderr
        assert adapter.asked == [(120.0, True), (120.0, True), (0.0, True), (3.0, True)]
