"""On containers every check of the kit is run; on their stand-ins a few, since the plugins' own tests run them all."""

from __future__ import annotations

import os

import pytest

from nestvec_testing import SAMPLE


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Deselect what is not in the sample, unless a long campaign was asked for."""
    if os.environ.get("NESTVEC_SOAK"):
        return
    left = [item for item in items if _of_the_kit_on_a_stand_in(item) and _name(item) not in SAMPLE]
    config.hook.pytest_deselected(items=left)
    dropped = set(left)
    items[:] = [item for item in items if item not in dropped]


def _of_the_kit_on_a_stand_in(item: pytest.Item) -> bool:
    from nestvec_testing import AdapterConformance

    kit = isinstance(item, pytest.Function) and item.cls is not None and issubclass(item.cls, AdapterConformance)
    where = getattr(getattr(item, "callspec", None), "params", {}).get("where")
    return kit and where == "stand-in"


def _name(item: pytest.Item) -> str:
    return getattr(item, "originalname", None) or item.name
