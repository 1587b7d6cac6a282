"""Any sentence-transformers model: texts in, vectors out."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from nestvec.contract import Embedder, Encode, Encoded
from nestvec.encoding.packing import EncodeProgress, Item, named
from nestvec.encoding.sizes import check_dimensions
from nestvec.encoding.vectors import truncate
from nestvec.errors import EmbedderError, EmbedderInvalidReply, EmbedderRefused, NestvecError, Unsupported
from nestvec.types import Purpose
from nestvec_transformers.batching import MemoryBatcher
from nestvec_transformers.libraries import quiet
from nestvec_transformers.running import FORKS, stop_if_cancelled
from nestvec_transformers.sentence_check import check
from nestvec_transformers.sentence_model import SentenceModel, load
from nestvec_transformers.sentence_options import SentenceOptions, capabilities
from nestvec_transformers.sequences import check_text

if TYPE_CHECKING:
    from nestvec.types import FloatArray


class SentenceEmbedder(Embedder):
    """Embeds in this process. Safe for threads, which take turns batch by batch.

    Not safe for a fork after a model was loaded; that is noticed and refused (start processes by spawning).
    """

    def __init__(self, options: SentenceOptions) -> None:
        FORKS.check()
        self._options, self._can = options, capabilities(options)
        self._batcher = MemoryBatcher(options.batch_tokens, options.batch)
        self._lock = threading.Lock()
        with quiet():
            self._model: SentenceModel | None = load(options)
        with self._explained():
            check(self._model, options)

    def __repr__(self) -> str:
        return f"<SentenceEmbedder {self._options.model}>"

    def encode(self, request: Encode) -> Encoded:
        """See `Embedder.encode`. Interrupted, it ends after the batch that is under way."""
        if request.late:
            raise Unsupported(f"{self._options.model} is not late-chunked here; set late_chunking = false")
        check_dimensions(self._can, request.dimensions)
        run = _Run(request, self._options, self._live(), self._batcher, self._lock)
        with self._explained():
            run.embed()
        return run.progress.encoded()

    def count_tokens(self) -> Callable[[str], int] | None:
        """The model's own tokens of a passage, prompt and marks included; None for a model without a tokenizer."""
        if not self._live().counts_tokens:
            return None
        call = self._options.tasks.call(self._can.purposes[Purpose.RETRIEVAL].index)

        def count(text: str) -> int:
            with self._lock:
                return self._live().lengths([text], call)[0]

        return count

    def close(self) -> None:
        """Let go of the model."""
        self._model = None

    def _live(self) -> SentenceModel:
        FORKS.check()
        if self._model is None:
            raise EmbedderError(f"the embedder {self!r} is closed; connect again")
        return self._model

    @contextmanager
    def _explained(self) -> Iterator[None]:
        """No foreign error escapes: models bring code of their own."""
        try:
            yield
        except NestvecError:
            raise
        except Exception as error:
            raise EmbedderError(
                f"{self._options.model} failed: {type(error).__name__}: {str(error).strip()[:500]}; try it with "
                f'device = "cpu"; a text can also be longer than the model really takes: set max_tokens'
            ) from error


class _Run:
    """One `encode`."""

    def __init__(
        self,
        request: Encode,
        options: SentenceOptions,
        model: SentenceModel,
        batcher: MemoryBatcher,
        lock: threading.Lock,
    ) -> None:
        self.progress = EncodeProgress.of(request)
        self._request, self._options, self._model = request, options, model
        self._batcher, self._lock = batcher, lock
        self._call = options.tasks.call(request.task)

    def embed(self) -> None:
        """Everything that is not refused."""
        items = self._measured(self._readable())
        rows = np.zeros((len(items), self._request.dimensions), np.float32)
        lengths = [item.tokens for item in items]
        batches = self._batcher.run(
            lengths,
            lambda numbers: self._rows([items[number].text for number in numbers]),
            lambda number, error: self._fail(items[number], error),
            lambda: stop_if_cancelled(self._request),
        )
        for numbers, part in batches:
            rows[numbers] = part
            self.progress.sent += 1
        self._judge(items, rows)
        self.progress.keep(items, rows)
        self.progress.tokens = sum(lengths) if self._model.counts_tokens else 0

    def _judge(self, items: list[Item], rows: FloatArray) -> None:
        """Documents with a vector that is none fail."""
        for number in np.flatnonzero(~np.isfinite(rows).all(axis=1)):
            told = f"{self._options.model} gave NaN or infinity in {self._options.dtype}"
            self._fail(items[number], EmbedderInvalidReply(f'{told}; set dtype = "float32" or "bfloat16"'))
        for number in np.flatnonzero(~rows.any(axis=1)):
            self._fail(items[number], EmbedderRefused("the model knows no word of the text: its vector is zero"))

    def _rows(self, texts: list[str]) -> FloatArray:
        with self._lock:
            raw = self._model.embed(texts, self._call)
        with np.errstate(invalid="ignore"):  # infinity: its document fails
            return truncate(raw, self._request.dimensions, normalized=self._options.normalized)

    def _measured(self, items: list[Item]) -> list[Item]:
        """With their tokens; without the documents of which the model would cut a text off."""
        measured: list[Item] = []
        for start in range(0, len(items), self._options.batch):
            stop_if_cancelled(self._request)
            part = items[start : start + self._options.batch]
            with self._lock:
                tokens = self._model.lengths([item.text for item in part], self._call)
                measured += [replace(item, tokens=count) for item, count in zip(part, tokens, strict=True)]
                for item in measured[start:]:
                    self._check_length(item)
        return self._left(measured)

    def _check_length(self, item: Item) -> None:
        limit = self._model.limit_of(item.text, item.tokens, self._call)
        most = min(limit or item.tokens, self._options.max_tokens or item.tokens)
        if item.tokens > most:
            self._fail(
                item,
                EmbedderRefused(
                    f"the text has {item.tokens:,} tokens, prompt and marks included; {self._options.model} takes "
                    f"{most:,} here; set a smaller chunking.size"
                ),
            )

    def _readable(self) -> list[Item]:
        """Every text, without the documents that are no text."""
        items = [
            Item(number, span, text, 0)
            for number, group in enumerate(self._request.groups)
            for span, text in enumerate(group.texts())
        ]
        for item in items:
            try:
                check_text(item.text)
            except EmbedderRefused as error:
                self._fail(item, error)
        return self._left(items)

    def _left(self, items: list[Item]) -> list[Item]:
        return [item for item in items if item.group not in self.progress.failures]

    def _fail(self, item: Item, error: EmbedderError) -> None:
        self.progress.fail(item, named(self._request.groups[item.group], error))
