"""`[embedders.NAME.cache]`: the core's own table in a plugin's block."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from nestvec.config import Config

Load = Callable[[str], Config]
Problems = Callable[[str], list[str]]

CONNECTIONS = """
[backends.search]
use = "acme"
[embedders.model]
use = "recording"
"""
CACHED = CONNECTIONS + "[embedders.model.cache]\n"


def test_a_cache_is_the_core_s_and_no_option_of_the_plugin(load: Load, tmp_path: Path) -> None:
    cache = load(CACHED + 'path = "vectors"').embedders["model"].cache
    assert cache is not None
    assert (cache.path, cache.size) == (tmp_path / "vectors", 1_000_000_000)
    assert load(CONNECTIONS).embedders["model"].cache is None


@pytest.mark.parametrize(
    ("size", "number"), [('"2.5 GB"', 2_500_000_000), ('"1 GiB"', 2**30), ("3_000_000", 3_000_000)]
)
def test_sizes_of_a_cache(load: Load, size: str, number: int) -> None:
    cache = load(CACHED + f'path = "vectors"\nsize = {size}').embedders["model"].cache
    assert cache is not None
    assert cache.size == number


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ("", "embedders.model.cache.path: is missing"),
        ('path = "x"\nsize = "a lot"', 'embedders.model.cache.size: expected a size, such as "500 MB" or "2 GB"'),
        ('path = "x"\nsize = "3 XB"', 'embedders.model.cache.size: expected a size, such as "500 MB" or "2 GB"'),
        ('path = "x"\nsize = "3 kB"', 'embedders.model.cache.size: a cache needs room: write at least "1 MB"'),
        ('path = "x"\nsizes = "1 GB"', "embedders.model.cache.sizes: unknown key; did you mean 'size'?"),
    ],
)
def test_mistakes_in_a_cache(problems: Problems, settings: str, problem: str) -> None:
    assert problems(CACHED + settings) == [problem]


def test_a_cache_that_is_no_table(problems: Problems) -> None:
    assert problems(CONNECTIONS + "cache = true") == ["embedders.model.cache: expected a table"]


def test_a_mistake_in_a_cache_hides_none_elsewhere(problems: Problems) -> None:
    cache = "cache = { size = 5 }\n"
    collection = "[collections.docs]\ndimensions = 99"
    for found, key in (
        (problems(CONNECTIONS + "dimension = 8\n" + cache), "embedders.model.dimension"),
        (problems(CONNECTIONS + cache + collection), "collections.docs.dimensions"),
    ):
        keys = {problem.partition(":")[0] for problem in found}
        assert keys == {"embedders.model.cache.path", "embedders.model.cache.size", key}


def test_whoever_shares_a_folder_gives_it_one_size(load: Load, problems: Problems) -> None:
    two = CACHED + 'path = "vectors"\nsize = "1 GB"\n[embedders.other]\nuse = "recording"\n[embedders.other.cache]\n'
    (problem,) = problems(two + 'path = "vectors"\nsize = "2 GB"')
    assert problem.startswith("embedders.other.cache.size: 'model' shares this folder and gives it another size")
    load(two + 'path = "vectors"\nsize = "1000 MB"')
    load(two + 'path = "others"\nsize = "2 GB"')
