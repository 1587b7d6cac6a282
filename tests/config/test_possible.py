"""What model, backend and names do not allow is found before anything is opened."""

from __future__ import annotations

from collections.abc import Callable

import pytest

Problems = Callable[[str], list[str]]

CONNECTIONS = """
[backends.search]
use = "acme"
[embedders.model]
use = "recording"
"""

# ---------------------------------------------------------------- what cannot be


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ("dimensions = 65", "dimensions: recording-v3 cannot give 65 dimensions; it offers 1 to 64"),
        ("dimensions = 0", "dimensions: recording-v3 cannot give 0 dimensions; it offers 1 to 64"),
        (
            "dimensions = 49",
            "dimensions: backend 'search' stores at most 48 dimensions; set dimensions = 48 or less instead of 49",
        ),
        ("dimensions = 8\nmetric = 'euclidean'", "metric: backend 'search' has no 'euclidean'; it has cosine, dot"),
        (
            "dimensions = 8\ntasks = { index = 'retrieval.pasage' }",
            "tasks: recording-v3 has no task 'retrieval.pasage'; did you mean 'retrieval.passage'?",
        ),
    ],
)
def test_what_model_or_backend_cannot_do(problems: Problems, settings: str, problem: str) -> None:
    (found,) = problems(f"{CONNECTIONS}[collections.docs]\n{settings}")
    assert found.startswith(f"collections.docs.{problem}")


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ("dimensions = 32", "dimensions: plain cannot give 32 dimensions; it offers 48 only"),
        ("late_chunking = true", "late_chunking: plain does not offer it; set late_chunking = false"),
        ("purpose = 'matching'", "purpose: plain has no tasks for purpose 'matching'; use one of retrieval"),
        ("tasks = { query = 'x' }", "tasks: plain knows no tasks, so 'x' cannot be used; leave the task out"),
    ],
)
def test_what_a_model_without_tasks_cannot_do(problems: Problems, settings: str, problem: str) -> None:
    (found,) = problems(CONNECTIONS.replace('"recording"', '"plain"') + f"[collections.docs]\n{settings}")
    assert found.startswith(f"collections.docs.{problem}")


def test_settings_that_exclude_each_other_are_reported_together(problems: Problems) -> None:
    found = problems(
        CONNECTIONS
        + """
        [collections.docs]
        dimensions = 8
        purpose = "retrieval"
        tasks = { index = "classification" }
        late_chunking = true
        chunking = { overlap = 10 }
        """
    )
    (problem,) = found
    assert "set purpose or tasks, not both" in problem
    assert "chunking.overlap must be 0 under late chunking" in problem


def test_overlap_must_be_smaller_than_size(problems: Problems) -> None:
    found = problems(CONNECTIONS + "[collections.docs]\ndimensions = 8\nchunking = { size = 10, overlap = 10 }")
    assert found == ["collections.docs.chunking: overlap (10) must be smaller than size (10)"]


# ---------------------------------------------------------------- names


@pytest.mark.parametrize("name", ["'1docs'", "'do cs'", "docs_", "'bücher'"])
def test_names_that_cannot_be(problems: Problems, name: str) -> None:
    (problem,) = problems(f"{CONNECTIONS}[collections.{name}]\ndimensions = 8")
    plain = name.strip("'")
    assert problem.startswith(f"collections.{plain}: {plain!r} cannot name a collection: use a letter")


def test_a_name_that_is_too_long_for_the_backend(problems: Problems) -> None:
    (problem,) = problems(f"{CONNECTIONS}[collections.docs-in-many-words]\ndimensions = 8")
    assert problem.startswith("collections.docs-in-many-words: collection name 'docs-in-many-words' is too long")


def test_names_that_read_like_generations(problems: Problems) -> None:
    tables = "".join(f"[collections.{name}]\ndimensions = 8\n" for name in ("docs", "docs_1", "a-7", "a"))
    (problem,) = problems(CONNECTIONS + tables)
    assert problem.startswith("collections: collections 'a' and 'a-7' cannot live side by side")
    assert "'docs' and 'docs_1'" in problem
