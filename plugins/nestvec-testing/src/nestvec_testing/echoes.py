"""The ways in which a server may repeat a secret that it was sent."""

from __future__ import annotations

import base64
import html
import json
from collections.abc import Callable, Mapping
from typing import Final
from urllib.parse import quote


def _every(form: str) -> Callable[[str], str]:
    return lambda secret: "".join(form.format(ord(each)) for each in secret)


def _units(form: str) -> Callable[[str], str]:
    """Of UTF-16, in which JSON counts."""
    return lambda secret: "".join(form.format(*pair) for pair in _pairs(secret.encode("utf-16-be")))


def _pairs(content: bytes) -> list[tuple[int, int]]:
    return list(zip(content[::2], content[1::2], strict=True))


def _seen(encoding: str, read_as: str = "utf-8") -> Callable[[str], str]:
    return lambda secret: secret.encode(encoding).decode(read_as, "replace")


def _base64(
    before: str = "", encoding: str = "utf-8", code: Callable[[bytes], bytes] = base64.b64encode
) -> Callable[[str], str]:
    return lambda secret: code((before + secret + before).encode(encoding)).decode()


#: Each makes of a secret what could stand in a text, after whatever the client decodes by itself.
ECHOES: Final[Mapping[str, Callable[[str], str]]] = {
    "plain": str,
    "upper case": str.upper,
    "JSON": lambda secret: json.dumps(secret)[1:-1],
    "JSON with /": lambda secret: json.dumps(secret)[1:-1].replace("/", "\\/"),
    "JSON, every character": _units("\\u{:02x}{:02x}"),
    "JSON in JSON": _units("\\\\u{:02X}{:02X}"),
    "JSON, some characters": lambda secret: f"\\u{ord(secret[0]):04x}{secret[1:]}",
    "JavaScript": _every("\\u{{{:x}}}"),
    "bytes in Python": lambda secret: "".join(f"\\x{byte:02x}" for byte in secret.encode()),
    "octal": lambda secret: "".join(f"\\{byte:03o}" for byte in secret.encode()) if secret.isascii() else secret,
    "percent": lambda secret: "".join(f"%{byte:02X}" for byte in secret.encode()),
    "percent, where needed": lambda secret: quote(secret, safe=""),
    "percent twice": lambda secret: quote(quote(secret, safe=""), safe=""),
    "HTML": html.escape,
    "HTML, decimal": _every("&#{};"),
    "HTML, hexadecimal": _every("&#x{:x};"),
    "HTML twice": lambda secret: html.escape(_every("&#{};")(secret)),
    "UTF-16 LE": lambda secret: _seen("utf-16-le")(secret) if secret.isascii() else secret,
    "UTF-16 BE": lambda secret: _seen("utf-16-be")(secret) if secret.isascii() else secret,
    "UTF-32": lambda secret: _seen("utf-32-le")(secret) if secret.isascii() else secret,
    "UTF-16, its repr": lambda secret: repr(secret.encode("utf-16-le")) if secret.isascii() else secret,
    "UTF-16 in JSON": lambda secret: json.dumps(_seen("utf-16-le")(secret)) if secret.isascii() else secret,
    "base64": _base64(),
    "base64 in a header": _base64("Bearer "),
    "base64 of a pair": _base64("user:"),
    "base64 of UTF-16": _base64("", "utf-16-le"),
    "base64 for addresses": _base64("??>", code=base64.urlsafe_b64encode),
    "hexadecimal": lambda secret: secret.encode().hex(),
}
