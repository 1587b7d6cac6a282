"""Files opened and read so that nobody has to wait for them, and none is longer than it may be."""

from __future__ import annotations

import errno
import io
import os
import stat
from pathlib import Path

from nestvec._limits import in_bytes

_KINDS = {
    stat.S_IFIFO: "a pipe (FIFO)",
    stat.S_IFDIR: "a folder",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}
#: Opening must not wait for a writer, nor take hold of a terminal; not every system has these.
_FLAGS = os.O_RDONLY | sum(getattr(os, name, 0) for name in ("O_NONBLOCK", "O_NOCTTY", "O_CLOEXEC", "O_BINARY"))


class NotAFile(OSError):
    """What lies there is no file, or is longer than it may be. The message says so, without the path."""

    def __init__(self, reason: str) -> None:
        super().__init__(errno.EINVAL, reason)

    def __str__(self) -> str:
        return str(self.strerror)


def open_file(path: Path) -> io.FileIO:
    """A file to read, unbuffered. Raises `OSError`; it is a `NotAFile` where reading would wait, or never end."""
    _require_file(path.stat())  # a device may do something when it is opened
    descriptor = os.open(path, _FLAGS)
    try:
        _require_file(os.fstat(descriptor))
        _require_contents(descriptor)
    except BaseException:
        os.close(descriptor)
        raise
    return io.FileIO(descriptor, "rb")


def check_file(path: Path) -> None:
    """Raise as `open_file` does: for files that a library opens itself."""
    open_file(path).close()


def read_file(path: Path, most: int) -> bytes:
    """All of a file. Raises `OSError`; it is a `NotAFile` for one of more than `most` bytes."""
    with open_file(path) as raw, io.BufferedReader(raw) as file:
        data = file.read(most + 1)
    if len(data) > most:
        raise NotAFile(f"it is longer than {in_bytes(most)}")
    return data


def _require_file(status: os.stat_result) -> None:
    if not stat.S_ISREG(status.st_mode):
        kind = _KINDS.get(stat.S_IFMT(status.st_mode), "something else")
        raise NotAFile(f"it is {kind}, not a file")


def _require_contents(descriptor: int) -> None:
    """Files of /proc have no size and something in them; one that has just been written has both."""
    if os.fstat(descriptor).st_size or not os.read(descriptor, 1):
        return
    if not os.fstat(descriptor).st_size:
        raise NotAFile("it is not a file on disk, but made up by the system as it is read")
    os.lseek(descriptor, 0, os.SEEK_SET)
