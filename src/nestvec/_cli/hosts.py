"""What `nestvec doctor --embedder A --against B` finds: whether a collection may be embedded by either."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from nestvec._hosts.agreement import TOLERANCE, Agreement, agreement_of
from nestvec._hosts.canaries import Leg
from nestvec.capabilities import TaskPair
from nestvec.spaces import space_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from nestvec._cli.embedder_checks import EmbedderProbe
    from nestvec.capabilities import ModelCapabilities


@dataclass(frozen=True, slots=True)
class Pairing:
    """Two embedders compared at `dimensions`: in what their spaces differ, and how alike their vectors are.

    `agreements` is empty where they have no size or no task in common.
    """

    one: EmbedderProbe
    other: EmbedderProbe
    dimensions: int | None
    differences: Mapping[str, tuple[object, object]]
    agreements: Mapping[Leg, Agreement]

    @property
    def interchangeable(self) -> bool:
        """Whether their vectors are of one space."""
        return not self.differences and all(agreement.alike for agreement in self.agreements.values())

    def to_dict(self) -> dict[str, Any]:
        """As printed by `nestvec doctor --json`."""
        legs = [
            {"task": leg.task, "late": leg.late, **agreement.to_dict(), "alike": agreement.alike}
            for leg, agreement in self.agreements.items()
        ]
        return {
            "embedders": [_described(probe) for probe in (self.one, self.other)],
            "dimensions": self.dimensions,
            "differences": {name: list(values) for name, values in self.differences.items()},
            "tasks": legs,
            "interchangeable": self.interchangeable,
        }

    def lines(self) -> list[str]:
        """The same for people."""
        size = f", at {self.dimensions:,} dimensions" if self.dimensions is not None else ""
        told = [f"{_named(self.one)} against {_named(self.other)}{size}"]
        told += [] if self.differences else [f"ok    spaces: the same, of {self.one.model.model}"]
        told += [f"FAIL  {name}: {one!r} against {other!r}" for name, (one, other) in self.differences.items()]
        told += [
            f"{'ok  ' if agreement.alike else 'FAIL'}  {leg}: {agreement}" for leg, agreement in self.agreements.items()
        ]
        if self.interchangeable:
            return [*told, "", f"One space: a collection may be embedded by either ({TOLERANCE})."]
        wanted = "" if all(agreement.alike for agreement in self.agreements.values()) else f" Wanted: {TOLERANCE}."
        return [*told, "", f"Not interchangeable: a collection of one cannot be embedded by the other.{wanted}"]


def pair_up(one: EmbedderProbe, other: EmbedderProbe) -> Pairing:
    """Compare two embedders on every task that both have; late-chunked as well, where both offer it."""
    dimensions = _common_size(one.model, other.model)
    tasks = [task for task in one.tasks if task in other.tasks]
    differences = _differences(one.model, other.model, dimensions)
    if not tasks:
        differences["tasks"] = (list(one.model.tasks), list(other.model.tasks))
    legs = [Leg(task) for task in tasks]
    if tasks and one.model.late_chunking and other.model.late_chunking:
        index = one.pair.index if one.pair.index in tasks else tasks[0]
        legs.append(Leg(index, late=True))
    if dimensions is None:
        legs = []
    return Pairing(one, other, dimensions, differences, {leg: _alike(one, other, leg, dimensions) for leg in legs})


def _alike(one: EmbedderProbe, other: EmbedderProbe, leg: Leg, dimensions: int | None) -> Agreement:
    texts = min(one.texts, other.texts, key=lambda texts: max(map(len, texts)))  # what both take
    rows = (probe.rows(leg.task, texts, dimensions, late=leg.late) for probe in (one, other))
    return agreement_of(*rows)


def _common_size(one: ModelCapabilities, other: ModelCapabilities) -> int | None:
    """The longest vectors that both give."""
    size = min(one.dimensions, other.dimensions)
    return size if size >= max(one.min_dimensions, other.min_dimensions) else None


def _differences(
    one: ModelCapabilities, other: ModelCapabilities, dimensions: int | None
) -> dict[str, tuple[object, object]]:
    """The fields of their spaces that differ; tasks and late chunking are a collection's choice."""
    sizes = (dimensions or one.dimensions, dimensions or other.dimensions)
    spaces = [space_of(model, size, TaskPair(None, None)) for model, size in zip((one, other), sizes, strict=True)]
    return spaces[0].differences(spaces[1])


def _described(probe: EmbedderProbe) -> dict[str, str]:
    return {"name": probe.name, "model": probe.model.model, "host": probe.model.host}


def _named(probe: EmbedderProbe) -> str:
    return f"{probe.name} ({probe.model.host or probe.model.model})"
