"""The embedder: texts tokenized, put into batches of about one length, pooled, cut to size."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from nestvec.contract import Embedder, Encode, Encoded, Group
from nestvec.encoding.packing import EncodeProgress, Item, named
from nestvec.encoding.vectors import truncate
from nestvec.errors import EmbedderError, EmbedderInvalidReply, EmbedderRefused, NestvecError
from nestvec_transformers.batching import MemoryBatcher
from nestvec_transformers.model import PROMPTS, JinaV3
from nestvec_transformers.running import FORKS, stop_if_cancelled
from nestvec_transformers.sequences import Sequence, check_length, check_text, late, plain

if TYPE_CHECKING:
    from nestvec.types import FloatArray
    from nestvec_transformers.options import TransformersOptions


class TransformersEmbedder(Embedder):
    """Safe for threads, which take turns with the model.

    Not safe for a fork: that is noticed and refused (start processes by spawning). `close` frees the model with the
    last call that uses it.
    """

    def __init__(self, options: TransformersOptions) -> None:
        """Load the model. Raises `ConfigError` saying what to download, or what is not there; `PluginBroken`."""
        FORKS.check()
        self._options = options
        self._model: JinaV3 | None = JinaV3(options)
        self._batcher = MemoryBatcher(options.batch_tokens, options.batch)

    def __repr__(self) -> str:
        return f"<TransformersEmbedder {self._options.model} at {self._options.revision}>"

    def encode(self, request: Encode) -> Encoded:
        """See `Embedder.encode`. Interrupted, it ends after the forward pass that is under way."""
        FORKS.check()
        run = _Run(request, self._options, self._live())
        run.embed(self._batcher)
        return run.progress.encoded()

    def count_tokens(self) -> Callable[[str], int]:
        """The model's own tokens, without prompt and marks."""
        tokenizer = self._live().tokenizer
        return lambda text: len(tokenizer.encode(text, add_special_tokens=False).ids)

    def close(self) -> None:
        """Let go of the model."""
        self._model = None

    def _live(self) -> JinaV3:
        if self._model is None:
            raise EmbedderError("the transformers embedder is closed; connect again")
        return self._model


class _Run:
    """One `encode`."""

    def __init__(self, request: Encode, options: TransformersOptions, model: JinaV3) -> None:
        self._request, self._options, self._model = request, options, model
        self._prompt = PROMPTS.get(request.task or "", "")
        self.progress = EncodeProgress.of(request)

    def embed(self, batcher: MemoryBatcher) -> None:
        """All groups, in batches that mix them."""
        sequences = [each for number, group in enumerate(self._request.groups) for each in self._read(number, group)]
        lengths = [len(each.ids) for each in sequences]

        def work(numbers: list[int]) -> list[FloatArray]:
            return self._model.vectors([sequences[number] for number in numbers], self._request.task)

        def refuse(number: int, error: EmbedderRefused) -> None:
            sequence = sequences[number]
            group = self._request.groups[sequence.group]
            self._fail(sequence.group, sequence.first, named(group, error))

        try:
            for numbers, parts in batcher.run(lengths, work, refuse, lambda: stop_if_cancelled(self._request)):
                self.progress.sent += 1
                for number, rows in zip(numbers, parts, strict=True):
                    self._keep(sequences[number], rows)
        except RuntimeError as error:
            raise EmbedderError(f"{self._options.model} failed on {self._model.device}: {error!s:.500}") from error

    def _read(self, number: int, group: Group) -> list[Sequence]:
        """What the model reads of a document: nothing if one of its chunks cannot be read, and the document fails."""
        span = 0
        try:
            for span, text in enumerate(group.texts()):  # noqa: B007 - the error's place
                check_text(text)
            if self._request.late:
                return self._windows(number, group)
            sequences = plain(number, group, self._model.tokenizer, self._prompt)
            for each in sequences:
                span = each.first
                check_length(each, self._options.max_tokens, self._options.model)
        except EmbedderRefused as error:
            self._fail(number, span, named(group, error))
            return []
        return sequences

    def _windows(self, number: int, group: Group) -> list[Sequence]:
        check_text(group.text)
        try:
            sequences = late(number, group, self._model.tokenizer, self._prompt, self._options.max_tokens)
        except EmbedderRefused as error:  # names the document
            self._fail(number, 0, error)
            return []
        self.progress.windows += len(sequences)
        return sequences

    def _keep(self, sequence: Sequence, rows: FloatArray) -> None:
        if not np.isfinite(rows).all():
            told = f"{self._options.model} gave NaN or infinity"
            error = EmbedderInvalidReply(f'{told} in {self._options.dtype}; set dtype = "float32" or "bfloat16"')
            self._fail(sequence.group, sequence.first, named(self._request.groups[sequence.group], error))
            return
        self.progress.tokens += len(sequence.ids)
        self.progress.keep(sequence.items, truncate(rows, self._request.dimensions))

    def _fail(self, group: int, span: int, error: NestvecError) -> None:
        self.progress.fail(Item(group, span, "", 0), error)
