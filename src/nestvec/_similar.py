"""The known name that somebody may have meant, for messages."""

from __future__ import annotations

from collections.abc import Iterable

#: Characters of a name that is looked at: comparing two takes as long as the square of them.
_LONGEST = 100
#: Known names that are looked at: a file may have a million columns.
_MOST = 10_000


def closest(name: str, known: Iterable[str]) -> str | None:
    """The known name most like this one, if any is much like it."""
    import difflib  # late: only messages need it

    names = [each for each in list(known)[:_MOST] if len(each) <= _LONGEST]
    found = difflib.get_close_matches(name, names, n=1) if len(name) <= _LONGEST else []
    return found[0] if found else None
