"""Embedders that the core brings along: those that need nothing but HTTP, and what wraps an object of your own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from nestvec.embedders.objects import wrap

__all__ = ["wrap"]


def __getattr__(name: str) -> Any:
    """Late: planning imports the package, and needs no numpy."""
    if name != "wrap":
        raise AttributeError(f"module 'nestvec.embedders' has no attribute {name!r}")
    from nestvec.embedders.objects import wrap

    return wrap
