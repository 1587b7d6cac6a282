"""Batches by length, and what becomes of them when memory does not suffice."""

from __future__ import annotations

import threading

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from nestvec.errors import EmbedderRefused
from nestvec_transformers.batching import MemoryBatcher, cut, is_out_of_memory


@settings(max_examples=100, deadline=None, derandomize=True, database=None)
@given(st.lists(st.integers(1, 600), max_size=60), st.integers(1, 2000), st.integers(1, 20))
def test_each_text_once_within_the_limits_and_little_padding(lengths, tokens, most):
    batches = cut(lengths, tokens, most)
    assert sorted(number for batch in batches for number in batch) == list(range(len(lengths)))
    for batch in batches:
        sizes = [lengths[number] for number in batch]
        assert sizes == sorted(sizes, reverse=True)
        assert len(batch) <= most
        assert len(batch) == 1 or len(batch) * sizes[0] <= tokens
        assert sizes[0] <= 64 or 2 * sizes[-1] >= sizes[0]


def test_as_few_batches_as_the_limits_allow():
    assert cut([10] * 7, 40, 100) == [[0, 1, 2, 3], [4, 5, 6]]
    assert cut([10] * 7, 1000, 3) == [[0, 1, 2], [3, 4, 5], [6]]
    assert cut([], 10, 10) == []


class Device:
    """Has memory for so many tokens of a padded batch."""

    def __init__(self, lengths, memory, error=torch.OutOfMemoryError):
        self.lengths, self.memory, self.error = lengths, memory, error
        self.tried, self.refused = [], {}

    def work(self, batch):
        self.tried.append(tuple(batch))
        if len(batch) * max(self.lengths[number] for number in batch) > self.memory:
            raise self.error("Out of memory. Tried to allocate 20.00 GiB.\nMore advice.")
        return [number * 10 for number in batch]

    def run(self, batcher, between=lambda: None):
        done = {}
        for numbers, results in batcher.run(self.lengths, self.work, self.refused.__setitem__, between):
            done |= dict(zip(numbers, results, strict=True))
        return done


@pytest.mark.parametrize("error", [torch.OutOfMemoryError, RuntimeError, MemoryError])
def test_what_does_not_fit_is_run_in_smaller_batches(error):
    device = Device([30] * 10 + [29] * 6, 100, error)
    assert device.run(MemoryBatcher(10_000, 64)) == {number: number * 10 for number in range(16)}
    assert device.refused == {}
    # 16, then 8, then 4, and three from then on would fit, but are not known to.
    assert [len(batch) for batch in device.tried] == [16, 8, 4] + [2] * 8


def test_what_fitted_is_remembered():
    batcher = MemoryBatcher(10_000, 64)
    Device([30] * 16, 100).run(batcher)
    again = Device([30] * 8, 100)
    again.run(batcher)
    assert [len(batch) for batch in again.tried] == [2] * 4
    shorter = Device([15] * 8, 100)
    shorter.run(batcher)
    assert [len(batch) for batch in shorter.tried] == [4, 4]


def test_what_does_not_fit_alone_is_refused_in_words_and_the_others_go_on():
    device = Device([500, 30, 20, 400], 100)
    assert device.run(MemoryBatcher(10_000, 64)) == {1: 10, 2: 20}
    assert set(device.refused) == {0, 3}
    error = device.refused[0]
    assert isinstance(error, EmbedderRefused)
    assert str(error).startswith("the memory does not suffice for its 500 tokens even alone (Out of memory. Tried to")
    assert "More advice" not in str(error)
    for help_ in ("chunking.size", "max_tokens", 'dtype = "bfloat16"', "another device"):
        assert help_ in str(error)


def test_a_text_that_never_fits_makes_no_batch_smaller():
    batcher = MemoryBatcher(10_000, 64)
    Device([5000], 100).run(batcher)
    after = Device([10] * 10, 100)
    after.run(batcher)
    assert [len(batch) for batch in after.tried] == [10]


def test_other_errors_are_not_taken_for_it():
    def broken(batch):
        raise RuntimeError("mat1 and mat2 shapes cannot be multiplied")

    with pytest.raises(RuntimeError, match="mat1"):
        list(MemoryBatcher(100, 10).run([1, 2], broken, lambda *_: None))


def test_between_is_asked_before_each_pass_and_may_stop():
    device, asked = Device([10] * 4, 100), []

    def between():
        asked.append(len(device.tried))
        if len(asked) == 3:
            raise InterruptedError

    with pytest.raises(InterruptedError):
        device.run(MemoryBatcher(10_000, 1), between)
    assert asked == [0, 1, 2]


def test_threads_that_run_out_of_memory_together_all_get_their_answers():
    batcher, answers = MemoryBatcher(10_000, 64), [None] * 8

    def run(place):
        answers[place] = Device([30] * (place + 1), 100).run(batcher)

    threads = [threading.Thread(target=run, args=(place,)) for place in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [len(answer) for answer in answers] == list(range(1, 9))


@pytest.mark.parametrize(
    ("error", "is_it"),
    [
        (torch.OutOfMemoryError("CUDA out of memory."), True),
        (RuntimeError("MPS backend out of memory (MPS allocated: 1 GB)"), True),
        (RuntimeError("[enforce fail at alloc_cpu.cpp:121] DefaultCPUAllocator: can't allocate memory"), True),
        (MemoryError(), True),
        (RuntimeError("CUDA error: device-side assert triggered"), False),
        (ValueError("out of memory"), False),
    ],
)
def test_how_it_is_told(error, is_it):
    assert is_out_of_memory(error) is is_it
