"""What an embedded engine's failure says of its disk: full, a used-up quota, or not to be written to."""

from __future__ import annotations

import errno
import re
from contextlib import suppress
from pathlib import Path
from typing import IO, Final

_READ_ONLY: Final = (
    "its file system is read-only: mount it for writing, or choose a place that may be written (what is stored can "
    "be searched all the same)"
)
_FORBIDDEN: Final = (
    "this user may not write there: change the permissions of the folder and of all in it, or choose a place that may "
    "be written (what is stored can be searched all the same)"
)
_FULL: Final = "free some space on its disk, or choose a folder elsewhere"
_QUOTA: Final = "this user's quota of disk space is used up: free some of it, or ask for more"

_BY_NUMBER: Final = {
    errno.EROFS: _READ_ONLY,
    errno.EACCES: _FORBIDDEN,
    errno.EPERM: _FORBIDDEN,
    errno.ENOSPC: _FULL,
    errno.EDQUOT: _QUOTA,
}
_BY_WORDS: Final = tuple(
    (re.compile(pattern, re.IGNORECASE), advice)
    for pattern, advice in (
        (r"quota", _QUOTA),
        (r"no space left|disk (is )?full|out of disk|insufficient storage", _FULL),
        (r"read-?only file ?system", _READ_ONLY),
        # SQLite says no more, whether it is the file system or the user.
        (r"read-?only database|permission denied: '|operation not permitted: '", _FORBIDDEN),
    )
)
_HINDRANCES: Final = frozenset({errno.EROFS, errno.EACCES, errno.EPERM})


def disk_advice(error: Exception) -> str | None:
    """What to do about a disk that cannot be written to; None where that is not what went wrong."""
    known = _BY_NUMBER.get(error.errno or 0) if isinstance(error, OSError) else None
    if known is not None:
        return known
    return next((advice for words, advice in _BY_WORDS if words.search(str(error))), None)


def forbids_writing(error: Exception) -> bool:
    """Whether a store can be read all the same: its file system is read-only, or this user may not write."""
    return isinstance(error, OSError) and error.errno in _HINDRANCES


def shared_lock(path: Path) -> IO[str] | None:
    """Hold the lock file of a store that is only read, together with other readers; closing it lets go.

    None where there is no such file, or no such locks: then nobody can be kept out, and nobody who writes is there.
    Raises `BlockingIOError` where a writer holds it.
    """
    with suppress(ImportError, FileNotFoundError, PermissionError):
        import fcntl  # not on Windows

        file = path.open("r")
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BaseException as error:
            file.close()
            if isinstance(error, OSError) and not isinstance(error, BlockingIOError):
                return None  # a file system without locks
            raise
        return file
    return None


class ReadingOnly:
    """An engine whose store may only be read: `reads` are its methods, all others raise what hindered writing."""

    def __init__(self, engine: object, reads: frozenset[str], hindrance: OSError) -> None:
        self._engine, self._reads, self._hindrance = engine, reads, hindrance

    def __getattr__(self, name: str) -> object:
        if name not in self._reads:
            raise OSError(self._hindrance.errno, self._hindrance.strerror, self._hindrance.filename)
        return getattr(self._engine, name)
