"""`nesting` in an embedder's block: a rotation of the user's own, found beside the configuration."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from nestvec._artifacts import DEFAULT_FOLDER, About, Artifact, save
from nestvec.config import Config
from nestvec.encoding.rotation import fit_rotation

Load = Callable[[str], Config]
Problems = Callable[[str], list[str]]

CONNECTIONS = """
[backends.search]
use = "memory"
[embedders.model]
use = "plain"
"""
COLLECTION = "\n[collections.docs]\ndimensions = 16\n"
ROTATION = fit_rotation(np.random.default_rng(0).standard_normal((100, 48)).astype(np.float32))


@pytest.fixture
def artifact(tmp_path: Path) -> Artifact:
    return save(tmp_path / DEFAULT_FOLDER, ROTATION, About("plain", 48))


def test_a_rotation_gives_prefixes_and_is_part_of_the_space(load: Load, artifact: Artifact) -> None:
    config = load(CONNECTIONS + f'nesting = "{artifact.fingerprint}"' + COLLECTION)
    connection, space = config.embedders["model"], config.collections["docs"].space
    assert (connection.capabilities.rotation, connection.capabilities.min_dimensions) == (artifact.fingerprint, 12)
    assert (space.rotation, space.dimensions) == (artifact.fingerprint, 16)
    assert (connection.declared.rotation, connection.declared.min_dimensions) == (None, 48)


def test_without_it_there_are_none(problems: Problems) -> None:
    (problem,) = problems(CONNECTIONS + COLLECTION)
    assert "48 only: it has no Matryoshka prefixes (nesting" in problem


def test_the_shortest_prefix_may_be_chosen(load: Load, problems: Problems, artifact: Artifact) -> None:
    block = CONNECTIONS + f'nesting = {{ rotation = "{artifact.fingerprint}", min_dimensions = 20 }}'
    assert load(block).embedders["model"].capabilities.min_dimensions == 20
    (problem,) = problems(block + COLLECTION)
    assert problem.startswith("collections.docs.dimensions: plain cannot give 16 dimensions; it offers 20 to 48")


def test_the_matrix_is_not_read(load: Load, artifact: Artifact) -> None:
    """`plan` needs none; opening the embedder does."""
    artifact.matrix.write_bytes(b"")
    assert load(CONNECTIONS + f'nesting = "{artifact.fingerprint}"').embedders["model"].capabilities.rotation


@pytest.mark.parametrize("own", [True, False])
def test_the_folder_may_be_another(load: Load, tmp_path: Path, own: bool) -> None:
    """For all embedders, or for one."""
    artifact = save(tmp_path / "others", ROTATION, About("plain", 48))
    if own:
        text = CONNECTIONS + f'nesting = {{ rotation = "{artifact.fingerprint}", path = "others" }}'
    else:
        text = 'artifacts = "others"\n' + CONNECTIONS + f'nesting = "{artifact.fingerprint}"'
    config = load(text)
    nesting = config.embedders["model"].nesting
    assert nesting is not None
    assert nesting.artifact.matrix == artifact.matrix
    assert config.artifacts == tmp_path / (DEFAULT_FOLDER if own else "others")


@pytest.mark.parametrize("suffix", ["npy", "json"])
def test_a_missing_file_is_named_with_its_folder_and_what_to_do(
    problems: Problems, artifact: Artifact, suffix: str
) -> None:
    missing = artifact.folder / f"{artifact.fingerprint}.{suffix}"
    missing.unlink()
    (problem,) = problems(CONNECTIONS + f'nesting = "{artifact.fingerprint}"' + COLLECTION)
    assert problem.startswith(f"embedders.model.nesting: rotation {artifact.fingerprint}: there is no file {missing}; ")
    assert "copy both files" in problem
    assert "`nestvec nest`" in problem


@pytest.mark.parametrize("about", [About("other", 48), About("plain", 64)])
def test_a_rotation_of_another_model_or_size_is_refused(problems: Problems, tmp_path: Path, about: About) -> None:
    rotation = np.eye(about.dimensions, dtype=np.float32)
    artifact = save(tmp_path / DEFAULT_FOLDER, rotation, about)
    (problem,) = problems(CONNECTIONS + f'nesting = "{artifact.fingerprint}"')
    assert problem.startswith("embedders.model.nesting: ")
    assert f"is of {about.model} with {about.dimensions} dimensions, but this embedder is plain with 48" in problem


@pytest.mark.parametrize(
    ("written", "problem"),
    [
        ('"best"', "embedders.model.nesting.rotation: expected the fingerprint of a rotation: 16 digits"),
        ('"../../../etc/pass"', "embedders.model.nesting.rotation: expected the fingerprint of a rotation: 16 digits"),
        ("5", "embedders.model.nesting: expected a table"),
        ("{ min_dimensions = 8 }", "embedders.model.nesting.rotation: is missing"),
        ('{ rotation = "FP", min_dimensions = 0 }', "embedders.model.nesting.min_dimensions: input should be greater"),
        ('{ rotation = "FP", min_dimensions = 49 }', "embedders.model.nesting: min_dimensions is 49, but plain has 48"),
        ('{ rotation = "FP", folder = "x" }', "embedders.model.nesting.folder: unknown key"),
    ],
)
def test_mistakes(problems: Problems, artifact: Artifact, written: str, problem: str) -> None:
    (found,) = problems(CONNECTIONS + "nesting = " + written.replace("FP", artifact.fingerprint))
    assert found.startswith(problem)


def test_a_mistake_in_it_hides_none_elsewhere(problems: Problems) -> None:
    found = problems(CONNECTIONS + 'option = 1\nnesting = "best"\ncache = { size = 5 }\n' + COLLECTION + "metric = 5")
    keys = {problem.partition(":")[0] for problem in found}
    wrong = {"option", "nesting.rotation", "cache.path", "cache.size"}
    assert keys == {"collections.docs.metric", *(f"embedders.model.{key}" for key in wrong)}


def test_a_backend_has_none(problems: Problems) -> None:
    (problem,) = problems('[backends.search]\nuse = "acme"\nnesting = "0000000000000000"')
    assert problem.startswith("backends.search.nesting: unknown key")


def test_artifacts_is_a_folder(problems: Problems) -> None:
    (problem,) = problems("artifacts = 5\n" + CONNECTIONS)
    assert problem.startswith("artifacts: ")
