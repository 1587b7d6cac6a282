"""Secrets in text that others wrote: a server may repeat what it was sent, in whatever encoding.

Whoever reads a secret says so with `remember`; all errors of nestvec's are `masked`. Text that is shortened has to be
masked before: half a secret would not be found any more.
"""

from __future__ import annotations

import base64
import re
import threading
from collections.abc import Iterator
from functools import lru_cache
from typing import Final

MASK: Final = "***"
#: So many secrets are known at a time; those of roles are renewed every hour.
_MOST: Final = 256
#: Shorter ones are looked for as whole words: they may be parts of others.
_WORD: Final = 8
#: What stands between characters of UTF-16 or UTF-32 that was read as something else.
_PADDING: Final = re.compile("\0|\ufeff|\ufffd|\\\\{1,4}(?:u0000|x00|0(?![0-9]))|%00|&#x?0+;")

_known: dict[str, None] = {}
_lock: Final = threading.Lock()


def remember(*secrets: str | None) -> None:
    """From now on these are masked."""
    global _known
    new = dict.fromkeys(filter(None, secrets))
    with _lock:
        newest = [*(secret for secret in _known if secret not in new), *new][-_MOST:]
        _known = dict.fromkeys(newest)  # at once: whoever masks meanwhile misses none


def masked(text: str, least: int = 1) -> str:
    """The text with `***` for each known secret of at least so many characters.

    It is found as it is; escaped as in JSON, Python, HTML or addresses, wholly or in part; in UTF-16 or UTF-32 that was
    read as something else; in hexadecimal; and within base64.
    """
    patterns = [_pattern(secret) for secret in tuple(_known) if len(secret) >= least]
    for pattern in patterns:
        text = pattern.sub(MASK, text)
    unpadded = _PADDING.sub("", text)
    if unpadded != text:
        for pattern in patterns:
            if pattern.search(unpadded):
                text = unpadded = pattern.sub(MASK, unpadded)
    return text


def presentable(error: BaseException) -> BaseException:
    """The error, to be chained as a cause — or if it, or what it is chained to, holds a secret: its words without."""
    for each in chained(error):
        if masked(text := f"{each} {each!r}") != text:
            return MaskedError(f"{type(error).__name__}: {masked(str(error))}").with_traceback(error.__traceback__)
    return error


def chained(error: BaseException, *, suppressed: bool = False) -> Iterator[BaseException]:
    """The error, and what led to it, each once: an SDK may chain errors in a circle.

    `suppressed`: also what `raise … from None` hides.
    """
    seen = set[int]()
    chain: BaseException | None = error
    while chain is not None and id(chain) not in seen:
        yield chain
        seen.add(id(chain))
        chain = chain.__cause__ or (chain.__context__ if suppressed or not chain.__suppress_context__ else None)


class MaskedError(Exception):
    """Stands for an error that repeated a secret."""


@lru_cache(_MOST)
def _pattern(secret: str) -> re.Pattern[str]:
    characters = "".join(f"(?:{'|'.join(_spellings(each))})" for each in secret)
    wholes = [characters, *map(re.escape, _encoded(secret))]
    alternatives = "|".join(wholes)
    if len(secret) < _WORD:
        alternatives = rf"(?<!\w)(?:{alternatives})(?!\w)"
    return re.compile(alternatives, re.IGNORECASE)


def _spellings(character: str) -> Iterator[str]:
    """Patterns of one character in a text."""
    from html.entities import name2codepoint  # late: many processes never know a secret

    yield re.escape(character)
    number, utf8, utf16 = ord(character), character.encode("utf-8", "replace"), character.encode("utf-16-be", "replace")
    backslash = r"\\{1,4}"
    yield "".join(rf"{backslash}u{unit.hex()}" for unit in (utf16[i : i + 2] for i in range(0, len(utf16), 2)))
    yield rf"{backslash}u\{{0*{number:x}\}}"
    yield rf"{backslash}U{number:08x}"
    yield "".join(rf"{backslash}x{byte:02x}" for byte in utf8)
    yield rf"{backslash}{number:03o}(?!\d)"
    if not character.isalnum():
        yield backslash + re.escape(character)
    yield "".join(f"%(?:25)*{byte:02x}" for byte in utf8)
    yield f"&(?:amp;)*#(?:0*{number}|x0*{number:x});?"
    yield from (f"&(?:amp;)*{name};" for name, other in name2codepoint.items() if other == number)


def _encoded(secret: str) -> Iterator[str]:
    """The whole secret in other alphabets, in each encoding of its characters."""
    if len(secret) < _WORD:
        return
    for encoding in ("utf-8", "utf-16-le", "utf-16-be"):
        content = secret.encode(encoding, "replace")
        yield content.hex()
        for before in range(3):
            # In a longer text: characters that share bits with what comes before or after are left out.
            code = base64.b64encode(b"\0" * before + content)
            start, end = (before * 8 + 5) // 6, (before + len(content)) * 8 // 6
            whole = code[start:end].decode()
            yield whole
            yield whole.replace("+", "-").replace("/", "_")
