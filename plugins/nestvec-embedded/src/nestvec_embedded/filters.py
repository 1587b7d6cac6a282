"""Filters as sets of slots: each leaf is looked up in the index, the rest is arithmetic on arrays of booleans."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeAlias

import numpy as np

from nestvec.filters import (
    And,
    Compare,
    ContainsAll,
    ContainsAny,
    Exists,
    FieldRef,
    Filter,
    In,
    Leaf,
    Not,
    Op,
    Or,
    Text,
    TextOp,
)
from nestvec.filters.tree import as_leaf
from nestvec_embedded import terms

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Mask = NDArray[np.bool_]

_OPERATORS: Final[Mapping[Op, str]] = {Op.EQ: "=", Op.GT: ">", Op.GTE: ">=", Op.LT: "<", Op.LTE: "<="}
_TEXTS: Final[Mapping[TextOp, str]] = {
    TextOp.STARTS_WITH: "value >= :text AND value < :end",  # what begins so stands together
    TextOp.CONTAINS: "instr(value, :text)",
    TextOp.ENDS_WITH: "length(value) >= length(:text) AND substr(value, length(value) - length(:text) + 1) = :text",
}
#: Comparisons of one field that have to hold together.
Span: TypeAlias = tuple[Compare, ...]
#: Bytes of remembered leaves.
_REMEMBERED: Final = 4 << 20


class TermIndex(Protocol):
    """What is asked of a collection's records."""

    #: Room for slots.
    @property
    def room(self) -> int: ...

    def found(self, paths: Sequence[str], condition: str, values: Mapping[str, Any]) -> Iterable[int]:
        """The slots of terms at these paths for which a condition on `value` holds."""

    def holds(self, leaf: Leaf, slot: int) -> bool:
        """Whether it holds for the record as it is kept."""

    def damaged(self, what: str) -> Exception:
        """The error for an index that is not as it was left."""


class Selection:
    """Which slots satisfy a filter. Leaves are remembered until something is written (`forget`)."""

    def __init__(self, index: TermIndex) -> None:
        self._index = index
        self._known: OrderedDict[Leaf | Span, bytes] = OrderedDict()
        self._bytes = 0

    def forget(self) -> None:
        """Records have changed."""
        self._known.clear()
        self._bytes = 0

    def mask(self, where: Filter) -> Mask:
        """True for each slot whose record satisfies it. What it says of slots without a record means nothing."""
        if isinstance(where, And):
            spans, others = _spans(where.children)
            return _all([*map(self._remembered, spans), *map(self.mask, others)])
        if isinstance(where, Or):
            return _any([self.mask(child) for child in where.children])
        if isinstance(where, Not):
            return np.logical_not(self.mask(where.child))
        return self._remembered(as_leaf(where))

    def of_tenant(self, tenant: str) -> Mask:
        """True for each slot of the tenant."""
        return self._marked(self._index.found([terms.TENANT], "value = :value", {"value": tenant.encode()}))

    def _remembered(self, leaf: Leaf | Span) -> Mask:
        known = self._known.get(leaf)
        if known is not None:
            self._known.move_to_end(leaf)
            return np.unpackbits(np.frombuffer(known, np.uint8), count=self._index.room).view(np.bool_)
        mask = self._looked_up(leaf)
        self._remember(leaf, np.packbits(mask).tobytes())
        return mask

    def _remember(self, leaf: Leaf | Span, packed: bytes) -> None:
        self._known[leaf] = packed
        self._bytes += len(packed)
        while self._bytes > _REMEMBERED:
            self._bytes -= len(self._known.popitem(last=False)[1])

    def _looked_up(self, leaf: Leaf | Span) -> Mask:
        if isinstance(leaf, tuple):
            return self._compared(leaf)
        if isinstance(leaf, Exists):
            return self._marked(self._index.found(terms.paths_of_any(leaf.field), "TRUE", {}))
        if isinstance(leaf, Text):
            return self._text(leaf)
        if isinstance(leaf, Compare):
            return self._compared((leaf,))
        each = [self._compared((Compare(leaf.field, Op.EQ, value),)) for value in leaf.values]
        if isinstance(leaf, ContainsAll):
            return _all(each)
        assert isinstance(leaf, In | ContainsAny)  # noqa: S101 - the last kinds that there are
        return _any(each) if each else np.zeros(self._index.room, np.bool_)

    def _compared(self, span: Span) -> Mask:
        condition = " AND ".join(f"value {_OPERATORS[leaf.op]} :v{number}" for number, leaf in enumerate(span))
        values = {f"v{number}": terms.comparable(leaf.value) for number, leaf in enumerate(span)}
        return self._marked(self._index.found(terms.paths_of(span[0].field), condition, values))

    def _text(self, leaf: Text) -> Mask:
        """Long strings are cut in the index, so the records themselves are asked about those."""
        text = leaf.value.encode()
        paths, values = terms.paths_of(leaf.field), {"text": text, "end": text + terms.AFTER, "kept": terms.KEPT}
        mask = self._marked(self._index.found(paths, f"length(value) <= :kept AND {_TEXTS[leaf.op]}", values))
        cut = set(self._index.found(paths, "length(value) > :kept", values))
        mask[[slot for slot in cut if not mask[slot] and self._index.holds(leaf, slot)]] = True
        return mask

    def _marked(self, slots: Iterable[int]) -> Mask:
        mask = np.zeros(self._index.room, np.bool_)
        found = np.fromiter(slots, np.int64)
        if len(found) and not 0 <= found.min() <= found.max() < len(mask):
            raise self._index.damaged("its index speaks of records that cannot be")
        mask[found] = True
        return mask


def _all(masks: Sequence[Mask]) -> Mask:
    joined: Mask = np.logical_and.reduce(masks)
    return joined


def _any(masks: Sequence[Mask]) -> Mask:
    joined: Mask = np.logical_or.reduce(masks)
    return joined


def _spans(children: Iterable[Filter]) -> tuple[list[Span], list[Filter]]:
    """Bounds of one field together, and the rest: most values lie beyond one bound, few between two.

    Not of lists, in which one value may be above the lower and another one below the upper bound.
    """
    bounds: dict[FieldRef, list[Compare]] = {}
    others: list[Filter] = []
    for child in children:
        if isinstance(child, Compare) and not child.field.many:
            bounds.setdefault(child.field, []).append(child)
        else:
            others.append(child)
    return [tuple(leaves) for leaves in bounds.values()], others
