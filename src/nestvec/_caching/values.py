"""A vector as bytes: its dimensions, a checksum, and little-endian float32.

The checksum is of the key, too: a damaged index of a database may lead to another text's vector. What does not fit
together counts as not there, so no wrong vector is ever given.
"""

from __future__ import annotations

import struct
import zlib
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from nestvec.types import FloatArray

_HEAD = struct.Struct("<II")


def pack(key: bytes, vector: FloatArray) -> bytes:
    """The bytes of one vector, shape (dimensions,), to be kept under this key."""
    numbers = vector.astype("<f4").tobytes()
    return _HEAD.pack(len(vector), zlib.crc32(numbers, zlib.crc32(key))) + numbers


def unpack(key: bytes, value: bytes) -> FloatArray | None:
    """The vector, read-only — or None if these bytes are not what was kept under this key."""
    if len(value) < _HEAD.size:
        return None
    dimensions, checksum = _HEAD.unpack_from(value)
    numbers = memoryview(value)[_HEAD.size :]
    if dimensions < 1 or len(numbers) != 4 * dimensions or zlib.crc32(numbers, zlib.crc32(key)) != checksum:
        return None
    vector: FloatArray = np.frombuffer(numbers, "<f4")
    return vector
