"""What all tests of this repository share, the plugins' among them."""

from __future__ import annotations

import sys
from collections.abc import Iterator

import pytest

from nestvec import masking


@pytest.fixture(autouse=True)
def _secrets_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """One test's secret is another's word."""
    monkeypatch.setattr(masking, "_known", dict(masking._known))  # noqa: SLF001


@pytest.fixture(autouse=True)
def _embedders_closed() -> Iterator[None]:
    """Who leaves one open is told here, and not a later test that counts threads."""
    before = _open_embedders()
    yield
    assert _open_embedders() <= before, "this test left an embedder of the Jina API open"  # noqa: S101


def _open_embedders() -> int:
    module = sys.modules.get("nestvec.embedders.jina.engine")
    return module.ENGINE._users if module is not None else 0  # noqa: SLF001
