"""Which lengths of vectors a model offers. (Told without numpy: reading a configuration needs none.)"""

from __future__ import annotations

from typing import TYPE_CHECKING

from nestvec.errors import Unsupported

if TYPE_CHECKING:
    from nestvec.capabilities import ModelCapabilities


def check_dimensions(model: ModelCapabilities, dimensions: int) -> int:
    """Return `dimensions`, or raise `Unsupported` saying which lengths the model offers."""
    if isinstance(dimensions, bool) or not isinstance(dimensions, int):
        raise Unsupported(f"dimensions must be a whole number, not {dimensions!r}")
    if model.min_dimensions <= dimensions <= model.dimensions:
        return dimensions
    offered = f"{model.min_dimensions} to {model.dimensions}" if model.matryoshka else _whole(model, dimensions)
    raise Unsupported(f"{model.model} cannot give {dimensions} dimensions; it offers {offered}")


def _whole(model: ModelCapabilities, wanted: int) -> str:
    """Of a model without prefixes, asked for one."""
    only = f"{model.dimensions} only"
    if not 1 <= wanted < model.dimensions:
        return only
    return f"{only}: it has no Matryoshka prefixes (nesting would add some: `nestvec nest` fits a rotation)"
