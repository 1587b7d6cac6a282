"""Vectors as an engine with quantised storage would keep them, to measure and to imitate what it costs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from nestvec.types import Storage

if TYPE_CHECKING:
    from nestvec.types import FloatArray

_LEVELS = 127


def kept(rows: FloatArray, storage: Storage) -> FloatArray:
    """The vectors that a fetch gives back, as float32: those that were written, rounded where float16 is stored."""
    return rows.astype(np.float16).astype(np.float32) if storage is Storage.FLOAT16 else rows


def approximated(rows: FloatArray, storage: Storage) -> FloatArray:
    """The vectors that a quantised index compares, as float32; those themselves where nothing is quantised."""
    if storage is Storage.INT8:
        return as_int8(rows)
    return as_binary(rows) if storage is Storage.BINARY else rows


def as_int8(rows: FloatArray) -> FloatArray:
    """Each row in 255 even steps of its own: off by half a step at most, which is the largest value / 254."""
    steps = np.abs(rows).max(axis=1, keepdims=True, initial=0) / _LEVELS
    codes = np.rint(np.divide(rows, steps, out=np.zeros_like(rows), where=steps > 0)).astype(np.int8)
    scaled: FloatArray = codes.astype(np.float32) * steps
    return scaled


def as_binary(rows: FloatArray) -> FloatArray:
    """The signs alone, at the row's mean size: values from 0 on count as positive."""
    sizes = np.abs(rows).mean(axis=1, keepdims=True) if rows.shape[1] else np.zeros((len(rows), 1), np.float32)
    signs: FloatArray = np.where(rows >= 0, sizes, -sizes).astype(np.float32)
    return signs
