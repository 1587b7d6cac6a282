"""What the campaigns share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from .nursery import Nursery


@pytest.fixture(scope="session")
def nursery() -> Iterator[Nursery]:
    """Where processes that can be killed are started."""
    with Nursery() as born:
        yield born
