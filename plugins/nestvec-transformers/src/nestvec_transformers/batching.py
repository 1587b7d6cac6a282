"""Which texts share a forward pass: those of about one length, as many as fit into memory."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

from nestvec.errors import EmbedderRefused

T = TypeVar("T")
#: Tokens up to which padding costs less than another forward pass.
_SHORT = 64
#: What torch says on devices that have no error of their own for it.
_OUT_OF_MEMORY = ("out of memory", "can't allocate memory", "not enough memory")


def cut(lengths: Sequence[int], tokens: int, most: int) -> list[list[int]]:
    """Batches of the numbers of texts of these lengths, each number once: the longest texts first.

    A batch is padded to its longest text, and then has at most `tokens` tokens; one text alone may have more. It has at
    most `most` texts, and at most as much padding as text, unless its texts are short.
    """
    batches: list[list[int]] = []
    longest = 0
    for number in sorted(range(len(lengths)), key=lambda number: -lengths[number]):
        alike = longest <= _SHORT or lengths[number] * 2 >= longest
        if not batches or not alike or len(batches[-1]) >= most or (len(batches[-1]) + 1) * longest > tokens:
            batches.append([])
            longest = lengths[number]
        batches[-1].append(number)
    return batches


class MemoryBatcher:
    """Runs texts in batches by length; what does not fit into memory is run again in smaller ones. Safe for threads.

    How much fitted is remembered: `tokens` of a batch become fewer for good.
    """

    def __init__(self, tokens: int, most: int) -> None:
        self._tokens, self._most = tokens, most
        self._lock = threading.Lock()

    def run(
        self,
        lengths: Sequence[int],
        work: Callable[[list[int]], T],
        refuse: Callable[[int, EmbedderRefused], None],
        between: Callable[[], None] = lambda: None,
    ) -> Iterator[tuple[list[int], T]]:
        """Each batch with what `work` made of it: numbers of texts, in the order of its rows.

        `between` is called before each forward pass and may raise. A text for which the memory does not suffice even
        alone is handed to `refuse`; the others go on.
        """
        waiting = cut(lengths, self._tokens, self._most)[::-1]
        while waiting:
            between()
            batch = waiting.pop()
            try:
                done = work(batch)
            except (RuntimeError, MemoryError) as error:
                if not is_out_of_memory(error):
                    raise
                lost = str(error)
            else:
                yield batch, done
                continue
            # Not while the error is handled: it holds the frames, and they the tensors.
            _release()
            if len(batch) == 1:
                refuse(batch[0], _too_large(lengths[batch[0]], lost))
                continue
            self._shrink(len(batch) // 2 * lengths[batch[0]])
            rest = sorted(number for each in (batch, *waiting) for number in each)
            smaller = cut([lengths[number] for number in rest], self._tokens, max(1, len(batch) // 2))
            waiting = [[rest[place] for place in each] for each in smaller][::-1]

    def _shrink(self, tokens: int) -> None:
        with self._lock:
            self._tokens = max(1, min(self._tokens, tokens))


def is_out_of_memory(error: BaseException) -> bool:
    """Whether the memory of the device, or of this machine, did not suffice."""
    import torch

    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    return isinstance(error, RuntimeError) and any(words in str(error).lower() for words in _OUT_OF_MEMORY)


def _release() -> None:
    """Give memory that is kept for reuse back to the device."""
    import torch

    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    if torch.backends.mps.is_available():
        torch.mps.empty_cache()


def _too_large(tokens: int, reason: str) -> EmbedderRefused:
    first = reason.strip().splitlines()[0] if reason.strip() else "out of memory"
    return EmbedderRefused(
        f"the memory does not suffice for its {tokens:,} tokens even alone ({first:.200}); set a smaller "
        f'chunking.size (under late chunking: max_tokens), dtype = "bfloat16" or "float16", or another device'
    )
