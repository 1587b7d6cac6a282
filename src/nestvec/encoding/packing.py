"""From `Encode` to requests and back: what travels together, and what becomes of what is refused.

For every embedder that sends texts to a host, whatever its protocol.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import TYPE_CHECKING

import numpy as np

from nestvec.contract import Encode, Encoded, EncodeFailure
from nestvec.encoding.estimate import SPECIALS, TokenEstimate
from nestvec.encoding.windows import Window, plan_windows
from nestvec.errors import EmbedderRefused, InvalidInput, NestvecError
from nestvec.types import Usage

if TYPE_CHECKING:
    from nestvec.contract import Group
    from nestvec.types import FloatArray

#: Tokens of a late-chunked request that are left free: marks, the task's prompt, and a little.
_RESERVE = 48
#: How often a document is packed anew because its tokens were underestimated, and by how much its estimate grows.
REPACKS, GROWTH = 6, 1.5


@dataclass(frozen=True, slots=True)
class Item:
    """One text: the place of its vector, and about how many tokens it has."""

    group: int
    span: int
    text: str
    tokens: int


@dataclass(slots=True)
class EncodeProgress:
    """What has come back of one `Encode`."""

    request: Encode
    rows: list[FloatArray | None]
    failures: dict[int, EncodeFailure] = field(default_factory=dict)
    tokens: int = 0
    sent: int = 0
    retries: int = 0
    windows: int = 0
    embedded: int = 0

    @classmethod
    def of(cls, request: Encode) -> EncodeProgress:
        """Nothing yet."""
        return cls(request, [None] * len(request.groups))

    def keep(self, items: Sequence[Item], rows: FloatArray) -> None:
        """The vectors of some texts."""
        start = 0
        for group, run in groupby(items, key=lambda item: item.group):
            end = start + sum(1 for _ in run)
            self._place(group, items[start].span, rows[start:end])
            start = end
        self.embedded += len(items)

    def _place(self, group: int, first: int, part: FloatArray) -> None:
        """Spans of a document that stand together. All of them are taken as they are, without copying."""
        spans = len(self.request.groups[group].spans)
        if len(part) == spans:
            self.rows[group] = part
            return
        whole = self.rows[group]
        if whole is None:
            whole = self.rows[group] = np.empty((spans, self.request.dimensions), np.float32)
        whole[first : first + len(part)] = part

    def fail(self, item: Item, error: NestvecError) -> None:
        """A document fails as a whole, for its first reason."""
        self.failures.setdefault(item.group, EncodeFailure(item.group, error, item.span))

    def encoded(self) -> Encoded:
        """The answer. Raises the host's own error where not one text came through and none was refused.

        Then the host is down; no document is at fault, and none is named.
        """
        errors = [failure.error for failure in self.failures.values()]
        if errors and not self.embedded and not any(isinstance(error, EmbedderRefused) for error in errors):
            cause = errors[0].__cause__
            raise cause if isinstance(cause, NestvecError) else errors[0]
        none = np.zeros((0, self.request.dimensions), np.float32)
        vectors = tuple(
            None if i in self.failures else none if rows is None else rows for i, rows in enumerate(self.rows)
        )
        usage = Usage(self.tokens, self.sent, self.retries, self.windows)
        return Encoded(vectors, tuple(self.failures.values()), usage)


def items_of(number: int, group: Group, estimate: TokenEstimate, least: float = 0.0) -> list[Item]:
    """The texts of a document's chunks, in order. `least`: see `TokenEstimate.tokens`."""
    return [Item(number, i, text, estimate.tokens(text, least)) for i, text in enumerate(group.texts())]


def batches(items: Sequence[Item], most: int, tokens: int) -> Iterator[list[Item]]:
    """Cut texts into requests of at most `most` texts and about `tokens` tokens; one alone may have more."""
    batch: list[Item] = []
    weight = 0
    for item in items:
        if batch and (len(batch) >= most or weight + item.tokens > tokens):
            yield batch
            batch, weight = [], 0
        batch.append(item)
        weight += item.tokens + SPECIALS
    if batch:
        yield batch


def windows(group: Group, items: Sequence[Item], limit: int) -> list[Window]:
    """How a document's chunks are late-chunked. Raises `EmbedderRefused` for a chunk that no window holds."""
    try:
        return plan_windows([item.tokens for item in items], max(1, limit - _RESERVE))
    except InvalidInput as error:
        raise EmbedderRefused(
            f"document {group.key!r:.80} cannot be late-chunked: {error}; set a smaller chunking.size"
        ) from error


def underestimated() -> EmbedderRefused:
    """Of a document whose windows were cut off however often it was packed anew."""
    return EmbedderRefused("its tokens are underestimated again and again; set tokenizer to the model's file")


def named(group: Group, error: NestvecError, hint: str = "") -> NestvecError:
    """The same error with the document's name, and `hint` after it. Of nestvec's own class, not of an embedder's."""
    kind = next(each for each in type(error).__mro__ if each.__module__ == NestvecError.__module__)
    renamed: NestvecError = kind(f"document {group.key!r:.80}: {error}{hint}")
    renamed.__cause__ = error
    return renamed
