"""JSONL: one object per line. Lines end in a line feed and nothing else; blank ones are passed over."""

from __future__ import annotations

import codecs
import json
import math
from typing import TYPE_CHECKING

from nestvec._readers import sources
from nestvec._readers.encoding import decode, encodable, is_utf16
from nestvec.errors import InvalidDocument

if TYPE_CHECKING:
    from collections.abc import Iterator

    from nestvec._readers.items import Item
    from nestvec._readers.rows import Row, Rows
    from nestvec._readers.sources import SourceReader


def read(cursor: SourceReader, rows: Rows) -> Iterator[Item]:
    """The documents of a JSONL source, and a failure for each line that holds none."""
    with cursor.open() as file:
        for number, line in enumerate(_lines(file, cursor.limits.document), 1):
            cursor.check_row(number)
            data = line.removeprefix(codecs.BOM_UTF8) if number == 1 else line
            if number == 1 and is_utf16(data):
                # One failure for the file: its other lines would say the same, in worse words.
                raise InvalidDocument("not valid UTF-8: it looks like UTF-16; save it as UTF-8")
            if data.strip():
                yield _item(cursor, rows, number, data.rstrip(b"\r\n"))


def _item(cursor: SourceReader, rows: Rows, number: int, data: bytes) -> Item:
    try:
        if len(data) > cursor.limits.document:
            raise sources.too_long("the line", cursor.limits.document)
        row = parse(data)
    except InvalidDocument as error:
        array = number == 1 and data.lstrip().startswith(b"[")
        hint = "; this looks like one JSON array: write one object per line" if array else ""
        return cursor.failure(f"{error}{hint}", number)
    return rows.item(cursor, number, row)


def _lines(file: sources.Bytes, most: int) -> Iterator[bytes]:
    """Lines, each cut where it is longer than `most` bytes and its end."""
    while line := file.readline(most + 3):
        yield line
        if len(line) > most and not line.endswith(b"\n"):
            sources.pass_over(file)


def parse(data: bytes) -> Row:
    """One line to an object. Raises `InvalidDocument`, saying what was expected where."""
    text = decode(data, "the line")
    value = _load(text)
    if not isinstance(value, dict):
        raise InvalidDocument('not a JSON object: expected {"id": …, "text": …} on each line')
    if "\\ud" in text or "\\uD" in text:
        _refuse_half_pairs(value)
    return value


def _load(text: str) -> object:
    try:
        return _DECODER.decode(text)
    except json.JSONDecodeError as error:
        what = error.msg[:1].lower() + error.msg[1:].removesuffix(" delimiter").removesuffix(" at")
        raise InvalidDocument(f"not valid JSON: {what} at column {error.colno}") from error
    except InvalidDocument:
        raise
    except RecursionError as error:
        raise InvalidDocument("not usable JSON: nested too deeply; flatten it") from error
    except ValueError as error:  # Python refuses to convert thousands of digits
        raise InvalidDocument("not usable JSON: an integer with too many digits; write it as a string") from error


def _refuse_half_pairs(value: object) -> None:
    if not encodable(json.dumps(value, ensure_ascii=False)):
        raise InvalidDocument(
            r"not valid Unicode: an escape (\ud800 … \udfff) is half of a surrogate pair; write both halves"
        )


def _object(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found = dict(pairs)
    if len(found) != len(pairs):
        seen = set[str]()
        twice = next(name for name, _ in pairs if name in seen or seen.add(name))  # type: ignore[func-returns-value]
        raise InvalidDocument(f"the key {twice!r} is there twice: keep one of them")
    return found


def _constant(name: str) -> float:
    raise InvalidDocument(f"not valid JSON: {name} is no JSON number; write null or leave the field out")


def _number(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise InvalidDocument(f"not usable JSON: the number {text[:40]} is too large for a double")
    return value


_DECODER = json.JSONDecoder(object_pairs_hook=_object, parse_constant=_constant, parse_float=_number)
