"""Names of a package that are imported when they are first used (PEP 562)."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Mapping
from importlib import import_module
from typing import Any


def lazy_names(
    package: str, homes: Mapping[str, Iterable[str]]
) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """`__getattr__` and `__dir__` of a package whose names live in other modules: `homes` has the names of each.

    Type checkers read its imports under `TYPE_CHECKING` instead.
    """
    home_of = {name: home for home, names in homes.items() for name in names}
    known = vars(sys.modules[package])

    def __getattr__(name: str) -> Any:  # noqa: N807 - it becomes the package's own
        if name not in home_of:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        value = known[name] = getattr(import_module(home_of[name]), name)
        return value

    def __dir__() -> list[str]:  # noqa: N807
        return sorted({*known, *home_of})

    return __getattr__, __dir__
