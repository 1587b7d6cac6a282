"""Embedders that are broken in one way each."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from nestvec.contract import Encode, Encoded, Group
from nestvec_testing.mutants.base import Mutant, register
from nestvec_testing.recording import RecordingEmbedder

if TYPE_CHECKING:
    from nestvec.types import FloatArray

EMBEDDERS: Final[list[Mutant]] = []
mutant = partial(register, EMBEDDERS)


@mutant("test_tasks_matter", "query is not passage")
class IgnoresTheTask(RecordingEmbedder):
    """Embeds questions like passages."""

    def encode(self, request: Encode) -> Encoded:
        return super().encode(replace(request, task="retrieval.passage"))


@mutant("test_normalized_where_declared", "normalised to length 1")
class ForgetsToRenormalise(RecordingEmbedder):
    """Cuts the full vector and leaves it at that."""

    def encode(self, request: Encode) -> Encoded:
        full = super().encode(replace(request, dimensions=self.options.dimensions))
        return _changed(full, lambda rows: np.ascontiguousarray(rows[:, : request.dimensions]))


@mutant("test_prefixes_are_prefixes", "renormalised beginning of all")
class TakesTheEnd(RecordingEmbedder):
    """Takes the last dimensions instead of the first."""

    def encode(self, request: Encode) -> Encoded:
        full = super().encode(replace(request, dimensions=self.options.dimensions))
        ends = _changed(full, lambda rows: rows[:, -request.dimensions :])
        return _changed(ends, lambda rows: rows / np.linalg.norm(rows, axis=1, keepdims=True))


@mutant("test_shape_and_type", "of the size asked for")
class AlwaysFullSize(RecordingEmbedder):
    """Ignores the dimensions."""

    def encode(self, request: Encode) -> Encoded:
        return super().encode(replace(request, dimensions=self.options.dimensions))


@mutant("test_shape_and_type", "vectors are float32")
class GivesFloat64(RecordingEmbedder):
    """Twice the memory."""

    def encode(self, request: Encode) -> Encoded:
        return _changed(super().encode(request), lambda rows: rows.astype(np.float64))


@mutant("test_shape_and_type", "contiguous")
class GivesColumnOrder(RecordingEmbedder):
    """Views into something transposed."""

    def encode(self, request: Encode) -> Encoded:
        return _changed(super().encode(request), np.asfortranarray)


@mutant("test_shape_and_type", "one row for each span")
class DropsTheLastSpan(RecordingEmbedder):
    """Loses a chunk."""

    def encode(self, request: Encode) -> Encoded:
        return _changed(super().encode(request), lambda rows: rows[: max(1, len(rows) - 1)])


@mutant("test_order_is_kept", "order is kept")
class SortsByLength(RecordingEmbedder):
    """Sorts texts for speed, and forgets to sort back."""

    def encode(self, request: Encode) -> Encoded:
        ordered = tuple(sorted(request.groups, key=lambda group: len(group.text)))
        return super().encode(replace(request, groups=ordered))


@mutant("test_order_is_kept", "order is kept")
class DependsOnTheBatch(RecordingEmbedder):
    """Neighbours in a batch shine through, as with padding that is not masked."""

    def encode(self, request: Encode) -> Encoded:
        shift = np.float32(0.01 * len(request.groups))
        return _changed(super().encode(request), lambda rows: rows + shift)


@mutant("test_deterministic", "the same text gives the same vector")
class NeverTheSame(RecordingEmbedder):
    """Drop-out left on."""

    def encode(self, request: Encode) -> Encoded:
        shift = np.float32(0.01 * len(self.requests))
        return _changed(super().encode(request), lambda rows: rows + shift)


@mutant("test_texts_matter", "different texts have different vectors")
class ReadsTheFirstLetter(RecordingEmbedder):
    """Truncates in silence."""

    def encode(self, request: Encode) -> Encoded:
        groups = tuple(replace(group, text="T".ljust(len(group.text))) for group in request.groups)
        return super().encode(replace(request, groups=groups))


@mutant("test_late_chunking", "depends on its neighbours")
class IgnoresLateChunking(RecordingEmbedder):
    """Promises late chunking, embeds chunks alone."""

    def encode(self, request: Encode) -> Encoded:
        return super().encode(replace(request, late=False))


@mutant("test_documents_do_not_see_each_other", "no two documents share a context")
class MixesDocuments(RecordingEmbedder):
    """Sends all documents of a request as one."""

    def encode(self, request: Encode) -> Encoded:
        if not request.late or len(request.groups) < 2:
            return super().encode(request)
        joined = super().encode(replace(request, groups=(_joined(request.groups),)))
        ends = np.cumsum([len(group.spans) for group in request.groups])[:-1]
        (rows,) = joined.vectors
        assert rows is not None, "the recording embedder embeds everything"
        return replace(joined, vectors=tuple(np.split(rows, ends)))


@mutant("test_nothing_to_embed", "no groups are answered with no vectors")
class AnswersNothingWithSomething(RecordingEmbedder):
    """One vector too many."""

    def encode(self, request: Encode) -> Encoded:
        if request.groups:
            return super().encode(request)
        return Encoded((np.zeros((1, request.dimensions), np.float32),))


@mutant("test_rotation_fits_the_capabilities", "a rotation is orthogonal", rotation="r1")
class SkewsTheSpace(RecordingEmbedder):
    """A rotation that stretches."""

    def rotation(self) -> FloatArray | None:
        rotation = super().rotation()
        return None if rotation is None else rotation * np.float32(2)


@mutant("test_capabilities_hold_together", "a host has a name of at most 200", host="https://host/" + "x" * 200)
class SaysWhereInFull(RecordingEmbedder):
    """Names its host by all that it was configured with."""


@mutant("test_the_blocking_form_never_suspends", "suspends: without an event loop it never comes to its end")
class SuspendsToEncode(RecordingEmbedder):
    """Lets others run, in what `open` returns."""

    async def encode(self, request: Encode) -> Encoded:  # type: ignore[override]  # the contract allows it
        await asyncio.sleep(0)
        return super().encode(request)


@mutant("test_counting_tokens", "a longer text has more tokens")
class CountsToOne(RecordingEmbedder):
    """Every text is one token."""

    def count_tokens(self) -> Any:
        return lambda text: 1


def _changed(answer: Encoded, change: Any) -> Encoded:
    return replace(answer, vectors=tuple(None if rows is None else change(rows) for rows in answer.vectors))


def _joined(groups: tuple[Group, ...]) -> Group:
    spans, text = [], ""
    for group in groups:
        spans += [(start + len(text), end + len(text)) for start, end in group.spans]
        text += group.text
    return Group("all", text, tuple(spans))
