"""A vector as bytes: its dimensions, a checksum, and little-endian float32.

What does not fit together was damaged or is somebody else's, and counts as not there: no wrong vector is ever given.
"""

from __future__ import annotations

import struct
import zlib
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from nestvec.types import FloatArray

_HEAD = struct.Struct("<II")


def pack(vector: FloatArray) -> bytes:
    """The bytes of one vector, shape (dimensions,)."""
    numbers = vector.astype("<f4").tobytes()
    return _HEAD.pack(len(vector), zlib.crc32(numbers)) + numbers


def unpack(value: bytes) -> FloatArray | None:
    """The vector, read-only — or None if these bytes are none."""
    if len(value) < _HEAD.size:
        return None
    dimensions, checksum = _HEAD.unpack_from(value)
    numbers = memoryview(value)[_HEAD.size :]
    if dimensions < 1 or len(numbers) != 4 * dimensions or zlib.crc32(numbers) != checksum:
        return None
    vector: FloatArray = np.frombuffer(numbers, "<f4")
    return vector
