"""What the commands print: JSON for programs, tables that fit the terminal for people.

Everything that is printed goes through here, where what servers, files and arguments say is made visible: nothing of it
steers the terminal, and nothing begins a line but what the commands say themselves.
"""

from __future__ import annotations

import json
import logging
import shutil
import sys
import warnings
from collections.abc import Iterable, Sequence
from datetime import datetime
from io import TextIOWrapper
from typing import TYPE_CHECKING, Any

import click

from nestvec._visible import json_escaped, visible, visible_lines

if TYPE_CHECKING:
    from nestvec.types import FieldMisfit

ELLIPSIS = "…"
#: Columns to fill where there is no terminal to ask.
_WIDTH = 100


def print_json(value: Any, *, indent: int | None = None) -> None:
    """One JSON document on standard output; on one line unless `indent` is given."""
    text = json_escaped(json.dumps(value, ensure_ascii=False, default=_plain, allow_nan=False, indent=indent))
    try:
        text.encode(getattr(sys.stdout, "encoding", None) or "ascii")
    except UnicodeEncodeError:  # a narrow terminal
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


class _VisibleFormatter(logging.Formatter):
    """Log records where nobody has configured logging: libraries put into them what servers say."""

    def format(self, record: logging.LogRecord) -> str:
        return visible_lines(super().format(record))


def guard_logs() -> None:
    """Make visible what libraries warn of by themselves."""
    if logging.lastResort is not None:
        logging.lastResort.setFormatter(_VisibleFormatter())
    warnings.formatwarning = _format_warning


def _format_warning(
    message: Warning | str, category: type[Warning], filename: str, lineno: int, line: str | None = None
) -> str:
    del line  # the source is of no use to whoever runs a command
    return visible_lines(f"{filename}:{lineno}: {category.__name__}: {message}") + "\n"


class Block(str):
    """Several lines that were laid out here, of texts that were made visible before."""

    __slots__ = ()


def warn(*lines: str) -> None:
    """Lines on standard error; where one is several, all but its first are indented."""
    click.echo(_laid_out(lines), err=True)


def say(*lines: str) -> None:
    """Lines on standard output; where one is several, all but its first are indented."""
    click.echo(_laid_out(lines))


def confirm(question: str) -> None:
    """End the command unless somebody says yes."""
    click.confirm(visible(question), abort=True, err=True)


def refuse(error: click.ClickException) -> click.ClickException:
    """The same error, which repeats what was written on the command line."""
    if isinstance(error, click.exceptions.NoArgsIsHelpError):
        return error
    told = visible_lines(error.format_message())
    return click.UsageError(told, error.ctx) if isinstance(error, click.UsageError) else click.ClickException(told)


def _laid_out(lines: Sequence[str]) -> str:
    return "\n".join(line if isinstance(line, Block) else visible_lines(line) for line in lines)


def terminal_width() -> int:
    """Columns of the terminal."""
    return max(40, shutil.get_terminal_size((_WIDTH, 24)).columns)


def clean(text: str) -> str:
    """Text on one line, its ends of lines and tabulators as spaces: a stored text must not steer the terminal."""
    return " ".join(visible(text.translate(_SPACES)).split())


_SPACES = str.maketrans(dict.fromkeys("\t\n\v\f\r\x85\u2028\u2029", " "))


def wrap(text: str, width: int, lines: int = 3) -> Block:
    """Text in at most `lines` lines of `width` terminal cells each; an ellipsis marks what is left out."""
    rest = clean(text)
    done: list[str] = []
    while rest and len(done) < lines:
        last = len(done) == lines - 1
        line, rest = _take(rest, width, cut=last)
        done.append(line)
    return Block("\n".join(done))


def stack(*parts: Block) -> Block:
    """Blocks below each other."""
    return Block("\n".join(parts))


def fit(text: str, width: int) -> Block:
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


def table(headers: Sequence[str], rows: Iterable[Sequence[object]]) -> Block:
    """A plain table. Blocks may have several lines, as headers may; numbers are printed as they are given."""
    from tabulate import tabulate

    cells = [[_cell(cell) for cell in row] for row in rows]
    heads = ["\n".join(map(visible, header.split("\n"))) for header in headers]
    return Block(tabulate(cells, headers=heads, tablefmt="simple", disable_numparse=True))


def _cell(value: object) -> str:
    if isinstance(value, Block):
        return value
    return "" if value is None else visible(str(value))


def megabytes(size: int) -> str:
    """`1,200.5 MB`, of 1,000,000 bytes each."""
    return f"{size / 1e6:,.1f} MB"


def amount(number: int, noun: str) -> str:
    """`1 document`, `1,200 documents`."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def misfit_told(misfit: FieldMisfit) -> str:
    """What a report tells of a field's values that are of another type."""
    return clean(
        f"field {misfit.field!r} ({misfit.declared}) has a value of another type in "
        f"{amount(misfit.documents, 'document')}, the first {misfit.document_id!r:.80} ({misfit.problem}): it is kept "
        f"as it is, and filters on the field do not find it (strict_fields = true refuses such documents)"
    )
