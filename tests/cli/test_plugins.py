"""`plugins`."""

from __future__ import annotations

import sys
from dataclasses import replace
from types import ModuleType

import pytest

from nestvec._cli.plugins import forms_of
from nestvec.capabilities import Power
from nestvec.hookspecs import hookimpl
from nestvec_testing.memory import CAPABILITIES
from nestvec_testing.memory import nestvec_backend as memory
from nestvec_testing.registry import test_registry as registry_with


def named(run, kind, name):
    return [row for row in run.json["plugins"] if (row["kind"], row["name"]) == (kind, name)]


def test_listing_shows_where_plugins_come_from(shell):
    pytest.importorskip("nestvec_qdrant")
    (row,) = named(shell("plugins", "--json"), "backend", "qdrant")
    assert row["distribution"] == "nestvec-qdrant"
    assert row["version"]
    assert row["module"] == "nestvec_qdrant.plugin"
    assert row["clash"] is False
    assert "nestvec-qdrant" in shell("plugins").out


def test_listing_imports_no_plugin(shell):
    shell.runtime = replace(shell.runtime, registry=registry_with(backend_broken="nestvec_no_such_module"))
    run = shell("plugins", "--json")
    assert run.code == 0
    (row,) = named(run, "backend", "broken")
    assert row["error"] is None


def test_capabilities_show_a_broken_plugin_with_its_error_and_all_others(shell):
    shell.runtime = replace(shell.runtime, registry=registry_with(backend_broken="nestvec_no_such_module"))
    run = shell("plugins", "--capabilities", "--json")
    assert run.code == 0
    (row,) = named(run, "backend", "broken")
    assert "cannot be imported" in row["error"]
    assert run.json["capabilities"]["memory"]["exact"] is True
    assert "broken" not in run.json["capabilities"]
    text = shell("plugins", "--capabilities").out
    assert "FAILED to load" in text
    assert "max_dimensions" in text


def test_a_backend_with_a_server_and_an_embedded_form_shows_both(shell):
    pytest.importorskip("nestvec_qdrant")
    matrix = shell("plugins", "--capabilities", "--json").json["capabilities"]
    assert matrix["qdrant"]["embedded"] is False
    assert matrix["qdrant (embedded)"]["embedded"] is True


def test_a_milvus_server_has_its_row(shell):
    pytest.importorskip("nestvec_milvus")
    matrix = shell("plugins", "--capabilities", "--json").json["capabilities"]
    assert matrix["milvus"]["embedded"] is False
    assert matrix["milvus (embedded)"]["embedded"] is True


def test_every_form_has_its_row(shell):
    pytest.importorskip("nestvec_qdrant")
    matrix = shell("plugins", "--capabilities", "--json").json["capabilities"]
    assert "storage" in matrix["qdrant"]["powers"]
    assert "storage" not in matrix["qdrant (embedded)"]["powers"]
    table = shell("plugins", "--capabilities").out.splitlines()
    assert [line.split()[1] for line in table if line.startswith("power ")] == list(Power)


def test_what_other_forms_can_do_as_well_is_said_once():
    plain, other = replace(memory(), forms={"": {}, "shared": {"store": "x"}}), replace(memory(), embedded=None)
    for plugin in (plain, other, memory()):
        assert list(forms_of(plugin)) == ["memory"]
    able = replace(plain, capabilities=lambda options: replace(CAPABILITIES, exact=options.store is None))
    assert list(forms_of(able)) == ["memory", "memory (shared)"]


def test_a_form_with_impossible_options_is_an_error_of_its_plugin(shell, monkeypatch):
    broken = replace(memory(), name="impossible", forms={"server": {"url": "x"}})
    module = ModuleType("nestvec_impossible")
    module.nestvec_backend = hookimpl(lambda: broken)
    monkeypatch.setitem(sys.modules, "nestvec_impossible", module)
    shell.runtime = replace(shell.runtime, registry=registry_with(backend_impossible="nestvec_impossible"))
    run = shell("plugins", "--capabilities", "--json")
    assert run.code == 0
    (row,) = named(run, "backend", "impossible")
    assert "names no valid options of its server form" in row["error"]
    assert run.json["capabilities"]["memory"]["exact"] is True


def test_name_clashes_are_marked(shell):
    shell.runtime = replace(shell.runtime, registry=registry_with(backend_memory="nestvec_other_memory"))
    run = shell("plugins", "--json")
    assert [row["clash"] for row in named(run, "backend", "memory")] == [True, True]
    assert not any(row["clash"] for row in run.json["plugins"] if row["name"] != "memory")
    assert "CLASH" in shell("plugins").out
    assert "memory" not in shell("plugins", "--capabilities", "--json").json["capabilities"]


def test_two_plugins_of_one_name_are_refused_where_they_are_used(shell):
    sys.modules["nestvec_clashing"] = ModuleType("nestvec_clashing")
    shell.runtime = replace(shell.runtime, registry=registry_with(backend_memory="nestvec_clashing"))
    shell.edit('use = "shared"', 'use = "memory"')
    run = shell("plan")
    assert run.code == 1
    assert "claimed by" in run.err
    del sys.modules["nestvec_clashing"]
