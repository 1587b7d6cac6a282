"""What the commands print: JSON for programs, tables that fit the terminal for people."""

from __future__ import annotations

import json
import shutil
import sys
import unicodedata
from collections.abc import Iterable, Sequence
from datetime import datetime
from io import TextIOWrapper
from typing import Any

import click

ELLIPSIS = "…"
#: Columns to fill where there is no terminal to ask.
_WIDTH = 100


def print_json(value: Any, *, indent: int | None = None) -> None:
    """One JSON document on standard output; on one line unless `indent` is given."""
    text = json.dumps(value, ensure_ascii=False, default=_plain, allow_nan=False, indent=indent)
    try:
        text.encode(getattr(sys.stdout, "encoding", None) or "ascii")
    except UnicodeEncodeError:  # a narrow terminal, or a lone surrogate in the input
        text = json.dumps(value, default=_plain, allow_nan=False, indent=indent)
    click.echo(text)


def _plain(value: object) -> object:
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, set | frozenset):
        return sorted(value)
    raise TypeError(f"{type(value).__name__} has no JSON form")


def forgive_streams() -> None:
    """Let characters that a narrow terminal does not have be written as escapes instead of failing."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def warn(message: str) -> None:
    """A line on standard error."""
    click.echo(message, err=True)


def say(message: str = "") -> None:
    """A line on standard output."""
    click.echo(message)


def terminal_width() -> int:
    """Columns of the terminal."""
    return max(40, shutil.get_terminal_size((_WIDTH, 24)).columns)


def clean(text: str) -> str:
    """Text on one line, without control characters: a stored text must not steer the terminal."""
    spaced = "".join(" " if _steers(character) else character for character in text)
    return " ".join(spaced.split())


def _steers(character: str) -> bool:
    # Bidirectional overrides reorder what stands beside them in the table.
    return (
        unicodedata.category(character) == "Cc"
        or "\u202a" <= character <= "\u202e"
        or "\u2066" <= character <= "\u2069"
    )


def wrap(text: str, width: int, lines: int = 3) -> str:
    """Text in at most `lines` lines of `width` terminal cells each; an ellipsis marks what is left out."""
    rest = clean(text)
    done: list[str] = []
    while rest and len(done) < lines:
        last = len(done) == lines - 1
        line, rest = _take(rest, width, cut=last)
        done.append(line)
    return "\n".join(done)


def fit(text: str, width: int) -> str:
    """Text in one line of `width` terminal cells."""
    return wrap(text, width, 1)


def _take(text: str, width: int, *, cut: bool) -> tuple[str, str]:
    """The first line of a text, broken at a space where there is one, and the rest."""
    end = _fitting(text, width)
    if end == len(text):
        return text, ""
    if cut:
        return text[: _fitting(text, width - 1)].rstrip() + ELLIPSIS, ""
    space = text.rfind(" ", 0, end + 1)
    if space > 0:
        return text[:space], text[space + 1 :]
    end = max(end, 1)
    return text[:end], text[end:]


def _fitting(text: str, width: int) -> int:
    """How many characters fit into `width` cells; characters without a width stay with the one before."""
    from wcwidth import wcwidth

    used = 0
    for i, character in enumerate(text):
        used += max(wcwidth(character), 0)
        if used > width:
            return i
    return len(text)


def table(headers: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A plain table. Cells may have several lines; numbers are printed as they are given."""
    from tabulate import tabulate

    cells = [["" if cell is None else str(cell) for cell in row] for row in rows]
    return tabulate(cells, headers=list(headers), tablefmt="simple", disable_numparse=True)


def megabytes(size: int) -> str:
    """`1,200.5 MB`, of 1,000,000 bytes each."""
    return f"{size / 1e6:,.1f} MB"


def amount(number: int, noun: str) -> str:
    """`1 document`, `1,200 documents`."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
