"""Files in, documents out: JSONL, CSV, text, Markdown and Parquet, files and folders, or standard input.

Reading streams: memory does not grow with the input, only with its longest document, and `ReadLimits` bound
that. What is wrong with one line or file becomes a `ReadFailure` and reading goes on; what makes the whole call
pointless is raised.

- **JSONL**: each line an object. Without a mapping the id is the first of `id`, `_id`, `document_id`, the
  text the first of `text`, `content`, `body`; metadata are all other keys, the fields of an object called
  `metadata` among them, as they are, nested ones too. Null is a missing field. Chosen ones are looked up in the
  row, then in its `metadata`; where missing, they are left out.
- **CSV**: a header, then the same; separated by `,` `;` tab or `|`. Cells are strings, converted to the
  declared types; empty ones are missing.
- **Parquet**: as JSONL, a struct called `metadata` included.
- **text, Markdown**: a file is a document; its id is its path in the folder that was given.

Names ending in `.jsonl.gz` or `.csv.gz` are unpacked on the way.
"""

from __future__ import annotations

import sys
import zlib
from types import MappingProxyType
from typing import TYPE_CHECKING, BinaryIO

from nestvec._limits import ReadLimits
from nestvec._readers import delimited, jsonl, parquet, text
from nestvec._readers.coercion import coerce
from nestvec._readers.discovery import FORMATS, Inputs, discover
from nestvec._readers.items import Item, Mapping, ReadDocument, ReadFailure
from nestvec._readers.rows import Rows
from nestvec._readers.sources import Source, SourceReader, too_large
from nestvec.errors import InvalidDocument, InvalidInput

if TYPE_CHECKING:
    from collections import abc
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from nestvec.types import Field

__all__ = [
    "FORMATS",
    "Inputs",
    "Item",
    "Mapping",
    "ReadDocument",
    "ReadFailure",
    "coerce",
    "discover",
    "read",
    "total_size",
]

_READERS: dict[str, Callable[[SourceReader, Rows], Iterator[Item]]] = {
    "jsonl": jsonl.read,
    "csv": delimited.read,
    "text": text.read,
    "markdown": text.read,
    "parquet": parquet.read,
}
_CHECKS: dict[str, Callable[[SourceReader, Mapping], None]] = {"csv": delimited.check, "parquet": parquet.check}
_NO_COLUMNS = frozenset({"text", "markdown"})
_NO_FIELDS: abc.Mapping[str, Field] = MappingProxyType({})


def read(
    paths: Sequence[str | Path] | Inputs,
    mapping: Mapping = Mapping(),  # noqa: B008 - a frozen value
    *,
    format: str | None = None,  # noqa: A002 - the user's word for it
    stdin: BinaryIO | None = None,
    fields: abc.Mapping[str, Field] = _NO_FIELDS,
    limits: ReadLimits = ReadLimits(),  # noqa: B008 - a frozen value
) -> Iterator[Item]:
    """Read documents from files, folders and standard input (`-`), in the order given.

    `paths` may be what `discover` found. `format` is one of `FORMATS` and overrules the suffixes. `fields`
    are the collection's declared fields: CSV cells are converted to their types, where they fit. `stdin` stands in
    for the process's own and is not closed. No more is read of a source than `limits` allow: what is longer
    becomes a failure.

    Paths, and the headers of CSV and Parquet files, are checked before this function returns. Raises
    `InvalidInput` if a path is missing or of unknown type, a folder has nothing to read, or a file lacks a
    mapped column (for CSV on standard input: on the first step), `Unsupported` for Parquet without pyarrow.
    """
    inputs = _inputs(paths, format)
    if mapping != Mapping() and all(source.format in _NO_COLUMNS for source in inputs.sources):
        raise InvalidInput(
            "--id, --text and --metadata choose columns, but text and Markdown files have none: "
            "leave them out, or say with --format what the files are"
        )
    for source in inputs.sources:
        _check(source, mapping, limits)
    if stdin is None and any(source.path is None for source in inputs.sources):
        stdin = sys.stdin.buffer
    return _read(inputs.sources, Rows(mapping, fields), stdin, limits)


def total_size(
    paths: Sequence[str | Path] | Inputs,
    *,
    format: str | None = None,  # noqa: A002 - the user's word for it
) -> int | None:
    """How many bytes `read` will read: `position` counts up to it. None with standard input.

    Raises `InvalidInput` as `read` does.
    """
    return _inputs(paths, format).size


def _inputs(paths: Sequence[str | Path] | Inputs, format_: str | None) -> Inputs:
    if not isinstance(paths, Inputs):
        return discover(paths, format=format_)
    if format_ is not None:
        raise InvalidInput("the formats of discovered inputs are settled: give the format to discover()")
    return paths


def _check(source: Source, mapping: Mapping, limits: ReadLimits) -> None:
    """Check a header beforehand. Standard input has no second reading; it is checked when its turn comes."""
    check = _CHECKS.get(source.format)
    if check is None or source.size is None or source.problem:
        return
    try:
        check(SourceReader(source, limits=limits), mapping)
    except (InvalidDocument, OSError, EOFError, zlib.error):
        # This file cannot be read at all, which is no reason to refuse the others: it becomes a failure
        # when its turn comes.
        return


def _read(sources: Sequence[Source], rows: Rows, stdin: BinaryIO | None, limits: ReadLimits) -> Iterator[Item]:
    base = 0
    for source in sources:
        cursor = SourceReader(source, base, stdin, limits=limits)
        yield from _patiently(cursor, _source(cursor, rows))
        base = cursor.end


def _patiently(cursor: SourceReader, items: Iterator[Item]) -> Iterator[Item]:
    """The items of a source, unless nearly everything in it is none: whoever collects failures must end, too."""
    failures = 0
    for item in items:
        yield item
        failures += isinstance(item, ReadFailure)
        if failures >= cursor.limits.failures:
            yield cursor.failure(
                f"the file is read no further: {failures:,} of its rows are no documents; mend it, or set `failures` "
                f"in [limits] of the configuration higher"
            )
            return


def _source(cursor: SourceReader, rows: Rows) -> Iterator[Item]:
    if cursor.source.problem:
        yield cursor.failure(cursor.source.problem)
        return
    if (cursor.source.size or 0) > cursor.limits.file:
        yield cursor.failure(too_large(cursor.limits.file))
        return
    try:
        yield from _READERS[cursor.source.format](cursor, rows)
    except InvalidDocument as error:
        yield cursor.failure(error)
    except OSError as error:
        yield cursor.failure(f"cannot be read (any further): {error.strerror or error}")
    except (EOFError, zlib.error) as error:
        yield cursor.failure(f"cannot be read any further: the gzip data is damaged: {error}")
