"""UTF-8, with messages that lead to the bad byte."""

from __future__ import annotations

import codecs

from nestvec.errors import InvalidDocument

_UTF16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


def is_utf16(data: bytes) -> bool:
    """Whether the beginning of a file says that it is UTF-16 (or 32)."""
    return data.startswith(_UTF16)


def decode(data: bytes, where: str) -> str:
    """UTF-8 to text; `where` completes "byte 0xff at offset 7 of …". Raises `InvalidDocument`."""
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        hint = "it looks like UTF-16: " if is_utf16(data) else ""
        raise InvalidDocument(
            f"not valid UTF-8: byte 0x{data[error.start]:02x} at offset {error.start} of {where}; "
            f"{hint}save it as UTF-8"
        ) from error


def encodable(text: str) -> bool:
    """Whether the text can be written as UTF-8: no half of a surrogate pair in it."""
    if text.isascii():
        return True
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True
