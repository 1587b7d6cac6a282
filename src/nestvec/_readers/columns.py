"""Which column holds what: the usual names, and the check of a header against the mapping."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nestvec._readers.items import Mapping
from nestvec._similar import closest
from nestvec.errors import InvalidInput

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

#: Tried in this order when the mapping names no column.
ID_COLUMNS = ("id", "_id", "document_id")
TEXT_COLUMNS = ("text", "content", "body")

_MOST_LISTED = 20


def did_you_mean(name: str, known: Collection[str]) -> str:
    """A suggestion to append to a message, or nothing."""
    close = closest(name, known)
    return "" if close is None else f" (did you mean {close!r}?)"


def listed(columns: Collection[str]) -> str:
    """Column names for a message, not too many of them."""
    names = [repr(name) for name in columns]
    more = len(names) - _MOST_LISTED
    return ", ".join(names[:_MOST_LISTED]) + (f" and {more} more" if more > 0 else "") if names else "none"


def candidates(option: str, mapping: Mapping) -> Sequence[str]:
    """The columns that may hold what `option` ("id" or "text") asks for, best first.

    A usual name is no candidate once the mapping gives that column another job.
    """
    chosen = mapping.id if option == "id" else mapping.text
    if chosen is not None:
        return (chosen,)
    if option == "id":
        return [name for name in ID_COLUMNS if name != mapping.text]
    return [name for name in TEXT_COLUMNS if name != mapping.id and name not in (mapping.metadata or ())]


def missing(option: str, mapping: Mapping, columns: Collection[str]) -> str:
    """The sentence for a column that is not there."""
    looked = candidates(option, mapping)
    hint = did_you_mean(looked[0], columns) if len(looked) == 1 else ""
    return (
        f"no column for the {option}: looked for {listed(looked)}{hint}; there are {listed(columns)}; "
        f"name the right one with --{option}"
    )


def pin(mapping: Mapping, columns: Sequence[str], shown: str, nested: Collection[str] = ()) -> Mapping:
    """The mapping with id and text settled for a file with these columns (`nested`: those in `metadata`).

    Raises `InvalidInput` if the file cannot be read with this mapping: better than a failure for each row.
    """
    _check_names(mapping, columns, shown)
    known = {*columns, *nested} if mapping.metadata else set[str]()
    for name in mapping.metadata or ():
        if name not in known:
            raise InvalidInput(
                f"{shown}: no column {name!r} for the metadata{did_you_mean(name, columns)}; there are "
                f"{listed(columns)}; name others with --metadata"
            )
    id_column = _settled("id", mapping, columns, shown)
    return Mapping(id_column, _settled("text", mapping, columns, shown), mapping.metadata)


def _check_names(mapping: Mapping, columns: Sequence[str], shown: str) -> None:
    seen = set[str]()
    for number, name in enumerate(columns, 1):
        if name and name in seen:
            raise InvalidInput(f"{shown}: two columns are called {name!r}: rename one of them")
        if not name and mapping.metadata is None:
            raise InvalidInput(
                f"{shown}: column {number} has no name: name it in the header, or pick the columns to keep "
                f"with --metadata (there are {listed([column for column in columns if column])})"
            )
        seen.add(name)


def _settled(option: str, mapping: Mapping, columns: Sequence[str], shown: str) -> str:
    for name in candidates(option, mapping):
        if name in columns:
            return name
    raise InvalidInput(f"{shown}: {missing(option, mapping, [column for column in columns if column])}")
