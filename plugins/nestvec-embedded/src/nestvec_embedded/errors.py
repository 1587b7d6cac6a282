"""SQLite's and the system's errors as nestvec's."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from nestvec import errors
from nestvec.contract import disk_advice
from nestvec.folders import Untrusted

#: SQLite's primary result codes, the error that each becomes, and what to do.
_BY_CODE: Final[dict[int, tuple[type[errors.BackendError], str]]] = {
    sqlite3.SQLITE_BUSY: (errors.BackendLocked, "another process has it open; close that one, or use a server"),
    sqlite3.SQLITE_LOCKED: (errors.BackendLocked, "another process has it open; close that one, or use a server"),
    sqlite3.SQLITE_FULL: (errors.BackendFull, "free some space on its disk, or choose a folder elsewhere"),
    sqlite3.SQLITE_READONLY: (errors.BackendFull, "make the folder and all in it writable for this user"),
    sqlite3.SQLITE_IOERR: (errors.BackendUnavailable, "check the disk"),
    sqlite3.SQLITE_PERM: (errors.BackendDenied, "check the permissions of the folder and of all in it"),
    sqlite3.SQLITE_CANTOPEN: (errors.BackendRefused, "check that the folder may be read and written"),
    sqlite3.SQLITE_NOMEM: (errors.BackendUnavailable, "there is not enough memory"),
}
#: What reading a damaged row raises: no JSON, or of another shape.
DAMAGED: Final = (ValueError, TypeError, LookupError, AttributeError, OverflowError, RecursionError)
_DAMAGED: Final = "it is damaged, or not nestvec's: restore it from a copy, or choose another path"
_DAMAGE: Final = frozenset({sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_SCHEMA})


def damaged(place: str, what: str) -> errors.BackendRefused:
    """A store that is not as nestvec leaves it."""
    return errors.BackendRefused(f"{place}: {what}: {_DAMAGED}")


@contextmanager
def translated(place: str) -> Iterator[None]:
    """Errors of SQLite and of files become nestvec's, chained."""
    try:
        yield
    except sqlite3.Error as error:
        raise _of_sqlite(place, error) from error
    except Untrusted as error:
        raise errors.BackendRefused(f"{place} is not as nestvec leaves it: {error}") from error
    except OSError as error:
        raise _of_system(place, error) from error


def _of_sqlite(place: str, error: sqlite3.Error) -> errors.BackendError:
    code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF  # without what SQLite adds to it
    if code in _DAMAGE:
        return damaged(place, str(error))
    kind, advice = _BY_CODE.get(code, (errors.BackendRefused, "this request cannot succeed as it is"))
    return kind(f"{place}: {error}; {(disk_advice(error) if kind is errors.BackendFull else None) or advice}")


def _of_system(place: str, error: OSError) -> errors.BackendError:
    advice = disk_advice(error)
    if advice is not None:
        return errors.BackendFull(f"{place}: {error}; {advice}")
    if isinstance(error, BlockingIOError):
        return errors.BackendLocked(f"{place} is open in another process; close that one, or use a server")
    if isinstance(error, NotADirectoryError | FileExistsError | IsADirectoryError | FileNotFoundError):
        return errors.BackendRefused(f"{place} cannot be a folder: {error}; choose another path")
    return errors.BackendUnavailable(f"{place}: {error}; check the disk")
