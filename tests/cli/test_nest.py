"""`nestvec nest`."""

from __future__ import annotations

from .conftest import Shell


def test_a_model_that_was_trained_for_prefixes_is_refused(shell: Shell) -> None:
    run = shell("nest", "docs")
    assert run.code == 1
    assert "was trained for Matryoshka prefixes" in run.err


def test_either_a_collection_or_an_embedder_and_files(shell: Shell) -> None:
    for arguments in ((), ("one", "two"), ("docs", "--task", "separation")):
        assert shell("nest", *arguments).code == 2
