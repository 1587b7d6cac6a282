"""Vectors as rows of float32: in a file that is mapped into memory to be read, or in memory alone.

VectorRows are written through the file, never through the map: a full disk is then an error instead of the end of the
process. A row that no record has may be written at any time; one that a record has is never written again.
"""

from __future__ import annotations

import contextlib
import mmap
import os
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from nestvec.types import FloatArray

    Slots = NDArray[np.int64]

#: Little-endian float32, whatever the machine.
FLOAT: Final = np.dtype("<f4")
_FIRST: Final = 256
_FOLLOW: Final = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)


class VectorRows(Protocol):
    """VectorRows of one vector of a collection's records."""

    @property
    def matrix(self) -> FloatArray:
        """All rows, those that no record has included. Not to be written to."""

    def reserve(self, rows: int) -> None:
        """Make room for so many rows. Raises `OSError` where the disk has none."""

    def write(self, slots: Slots, vectors: FloatArray) -> None:
        """Write rows at ascending places for which there is room."""

    def sync(self) -> None:
        """What was written survives a loss of power from now on."""

    def close(self) -> None:
        """Let go of the file."""


class MemoryRows:
    """VectorRows that end with the process."""

    def __init__(self, dimensions: int) -> None:
        self._matrix = np.empty((0, dimensions), FLOAT)

    @property
    def matrix(self) -> FloatArray:
        """All rows."""
        return self._matrix

    def reserve(self, rows: int) -> None:
        """Make room: twice as much as there was, so that most calls copy nothing."""
        if rows > len(self._matrix):
            grown = np.zeros((max(rows, 2 * len(self._matrix), _FIRST), self._matrix.shape[1]), FLOAT)
            grown[: len(self._matrix)] = self._matrix
            self._matrix = grown

    def write(self, slots: Slots, vectors: FloatArray) -> None:
        """Write rows."""
        self._matrix[slots] = vectors

    def sync(self) -> None:
        """Nothing is kept."""

    def close(self) -> None:
        """Nothing is open."""


class FileRows:
    """VectorRows in a file that holds nothing else."""

    def __init__(self, path: Path, dimensions: int, *, writable: bool) -> None:
        self._shape = dimensions
        self._bytes = dimensions * FLOAT.itemsize
        self._file = os.open(path, (os.O_RDWR if writable else os.O_RDONLY) | _FOLLOW)
        self._size = os.fstat(self._file).st_size
        self._matrix = self._mapped()

    @property
    def matrix(self) -> FloatArray:
        """All rows that the file has room for."""
        return self._matrix

    def reserve(self, rows: int) -> None:
        """Make room: a quarter more than there was."""
        room = len(self._matrix)
        if rows <= room:
            return
        wanted = max(rows, room + room // 4, _FIRST) * self._bytes
        try:
            _allocate(self._file, self._size, wanted - self._size)
        except OSError:
            os.ftruncate(self._file, self._size)  # gives back what there was
            raise
        self._size = wanted
        self._matrix = self._mapped()

    def write(self, slots: Slots, vectors: FloatArray) -> None:
        """Write each run of neighbours at once."""
        rows = np.ascontiguousarray(vectors, FLOAT)
        edges = [0, *(np.flatnonzero(np.diff(slots) != 1) + 1).tolist(), len(slots)]
        for first, last in pairwise(edges):
            _write_at(self._file, rows[first:last].data.cast("B"), int(slots[first]) * self._bytes)

    def sync(self) -> None:
        """Wait for the disk."""
        sync(self._file)

    def close(self) -> None:
        """Let go of the file; the map goes with whoever still reads it."""
        self._matrix = np.empty((0, self._shape), FLOAT)
        if self._file >= 0:
            file, self._file = self._file, -1
            os.close(file)

    def _mapped(self) -> FloatArray:
        rows = self._size // self._bytes
        if not rows:
            return np.empty((0, self._shape), FLOAT)
        view = mmap.mmap(self._file, rows * self._bytes, access=mmap.ACCESS_READ)
        return np.frombuffer(view, FLOAT).reshape(rows, self._shape)


def make_file(path: Path) -> None:
    """An empty file; what another one of that name held is gone."""
    os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC | _FOLLOW, 0o644))


def sync_folder(folder: Path) -> None:
    """The names of new files survive a loss of power from now on. Where folders are no files, the system does it."""
    if os.name == "posix":
        file = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(file)
        finally:
            os.close(file)


def sync(file: int) -> None:
    """Wait until a file is on the disk, and not only in the disk's own memory."""
    full = getattr(_fcntl(), "F_FULLFSYNC", None)  # macOS: fsync alone does not wait for the disk
    if full is not None:
        with contextlib.suppress(OSError):  # a file system that cannot; what all others can follows
            _fcntl().fcntl(file, full)
            return
    os.fsync(file)


def _fcntl() -> Any:
    try:
        import fcntl  # not on Windows
    except ImportError:
        return None
    return fcntl


def _allocate(file: int, start: int, size: int) -> None:
    """Real room: where it is only promised, writing to it later may fail."""
    if hasattr(os, "posix_fallocate"):
        os.posix_fallocate(file, start, size)
        return
    zeros = bytes(1 << 20)
    for done in range(0, size, len(zeros)):
        _write_at(file, memoryview(zeros)[: size - done], start + done)


def _write_at(file: int, content: memoryview, place: int) -> None:
    while content:
        if hasattr(os, "pwrite"):
            written = os.pwrite(file, content, place)
        else:
            os.lseek(file, place, os.SEEK_SET)
            written = os.write(file, content)
        content, place = content[written:], place + written
