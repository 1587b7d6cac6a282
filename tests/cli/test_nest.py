"""`nestvec nest`."""

from __future__ import annotations

import numpy as np
import pytest

from nestvec.artifacts import DEFAULT_FOLDER, About, save

from .conftest import Shell


@pytest.mark.parametrize("damaged", [False, True])
def test_doctor_looks_at_the_artifact(shell: Shell, damaged: bool) -> None:
    kept = save(shell.folder / DEFAULT_FOLDER, np.eye(64, dtype=np.float32), About("recording-v3", 64))
    shell.edit("batch = 16", f'batch = 16\nnesting = "{kept.fingerprint}"')
    if damaged:
        kept.matrix.write_bytes(b"gone")
    checks = {check["subject"]: check for check in shell("doctor", "--json").json["checks"]}
    assert checks["nesting of words"]["status"] == ("fail" if damaged else "ok")
    assert kept.fingerprint in checks["nesting of words"]["detail"]


def test_a_model_that_was_trained_for_prefixes_is_refused(shell: Shell) -> None:
    run = shell("nest", "docs")
    assert run.code == 1
    assert "was trained for Matryoshka prefixes" in run.err


def test_either_a_collection_or_an_embedder_and_files(shell: Shell) -> None:
    for arguments in ((), ("one", "two"), ("docs", "--task", "separation")):
        assert shell("nest", *arguments).code == 2
