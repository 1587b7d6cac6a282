"""Worlds are closed after each test."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from .world import World


@pytest.fixture
def world() -> Iterator[Callable[..., World]]:
    made: list[World] = []

    def make(**before: Any) -> World:
        made.append(World(before))
        return made[-1]

    yield make
    for each in made:
        each.close()
