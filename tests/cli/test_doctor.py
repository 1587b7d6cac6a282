"""`doctor`."""

from __future__ import annotations

from dataclasses import replace

import pytest

from nestvec.errors import BackendUnavailable, EmbedderUnavailable
from nestvec_testing.recording import RecordingEmbedder
from nestvec_testing.registry import test_registry as registry_with


def by_subject(run):
    return {check["subject"]: check for check in run.json["checks"]}


def test_a_healthy_installation(applied):
    run = applied("doctor", "--json")
    assert run.code == 0
    assert run.json["healthy"] is True
    checks = by_subject(run)
    assert checks["backend store"]["status"] == "ok"
    assert "64 dimensions, 5 tasks" in checks["embedder words"]["detail"]
    assert checks["collection docs"]["detail"] == "0 documents, 0 chunks"
    assert "checks" in applied("doctor").out


def test_what_was_not_applied_is_a_warning_with_a_way_out(shell):
    run = shell("doctor", "--json")
    assert run.code == 0
    assert by_subject(run)["collection docs"]["mend"] == "nestvec apply docs"


def test_a_conflict_fails(applied):
    applied.edit("dimensions = 32", "dimensions = 16")
    run = applied("doctor", "--json")
    assert run.code == 1
    assert by_subject(run)["collection docs"]["status"] == "fail"


def test_a_broken_file_fails_and_is_explained(shell):
    shell.edit("dimensions = 32", "dimension = 32")
    run = shell("doctor", "--json")
    assert run.code == 1
    assert "did you mean" in by_subject(run)[f"configuration {shell.config}"]["detail"]


def test_a_backend_that_does_not_answer_fails_once_and_its_collections_are_left_out(applied, monkeypatch):
    def unreachable(request):
        raise BackendUnavailable("backend 'store' does not answer; start it")

    monkeypatch.setattr(applied.store, "list_collections", unreachable)
    run = applied("doctor", "--json")
    assert run.code == 1
    checks = by_subject(run)
    assert checks["backend store"]["status"] == "fail"
    assert checks["collection docs"]["detail"] == "not checked: its backend does not answer"
    assert checks["embedder words"]["status"] == "ok"


def test_an_embedder_that_fails_is_named_with_the_task(applied, monkeypatch):
    def unavailable(self, request):
        raise EmbedderUnavailable("the model is asleep; wake it")

    monkeypatch.setattr(RecordingEmbedder, "encode", unavailable)
    run = applied("doctor")
    assert run.code == 1
    assert "FAIL  embedder words, task retrieval.query: the model is asleep" in run.out


def test_an_embedder_that_ignores_the_task_fails(applied, monkeypatch):
    encode = RecordingEmbedder.encode
    monkeypatch.setattr(RecordingEmbedder, "encode", lambda self, request: encode(self, replace(request, task=None)))
    run = applied("doctor", "--json")
    assert run.code == 1
    assert "give the same vector" in by_subject(run)["embedder words"]["detail"]


def test_vectors_that_are_not_normalised_are_scaled_and_no_fault(applied, monkeypatch):
    encode = RecordingEmbedder.encode

    def doubled(self, request):
        reply = encode(self, request)
        return replace(reply, vectors=tuple(2 * rows for rows in reply.vectors))

    monkeypatch.setattr(RecordingEmbedder, "encode", doubled)
    assert applied("doctor", "--json").code == 0


@pytest.mark.parametrize("present", [True, False])
def test_secrets_are_checked_by_name_only(shell, monkeypatch, present):
    shell.edit('use = "recording"', 'use = "keyed"\napi_key = { env = "NESTVEC_TEST_KEY" }')
    monkeypatch.setenv("NESTVEC_TEST_KEY", "hush-hush") if present else monkeypatch.delenv(
        "NESTVEC_TEST_KEY", raising=False
    )
    run = shell("doctor", "--json")
    check = by_subject(run)["secret api_key of words"]
    assert check["status"] == ("ok" if present else "fail")
    assert "NESTVEC_TEST_KEY" in check["detail"]
    assert "hush" not in run.out + run.err


def test_a_broken_plugin_fails_only_if_it_is_used(applied):
    # The working plugins stay; `extra` names a module that cannot be imported.
    extra = dict(applied.runtime.registry._extra)
    from importlib.metadata import EntryPoint

    from nestvec.registry import BACKENDS, Registry

    extra[BACKENDS] = [*extra[BACKENDS], EntryPoint("broken", "nestvec_no_such_module", BACKENDS)]
    applied.runtime = replace(applied.runtime, registry=Registry(extra))
    run = applied("doctor", "--json")
    assert run.code == 0
    assert by_subject(run)["backend plugin broken"]["status"] == "warn"
    applied.edit('use = "shared"', 'use = "broken"')
    run = applied("doctor", "--json")
    assert run.code == 1
    assert by_subject(run)["backend plugin broken"]["status"] == "fail"


def test_without_a_file_it_says_so_and_checks_the_default(shell):
    pytest.importorskip("nestvec_e5")
    pytest.importorskip("nestvec_qdrant")
    shell.config.unlink()
    shell.runtime = replace(shell.runtime, registry=registry_with())
    run = shell("doctor", "--json")
    assert run.code == 0
    checks = by_subject(run)
    assert checks["configuration"]["status"] == "warn"
    assert checks["configuration"]["mend"] == "write one: nestvec init"
    assert checks["embedder e5"]["status"] == "ok"
    assert checks["backend embedded"]["status"] == "ok"
