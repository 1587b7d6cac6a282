"""What all tests of this repository share, the plugins' among them."""

from __future__ import annotations

import pytest

from nestvec import masking


@pytest.fixture(autouse=True)
def _secrets_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """One test's secret is another's word."""
    monkeypatch.setattr(masking, "_known", dict(masking._known))  # noqa: SLF001
