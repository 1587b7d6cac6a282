"""Characters that steer a terminal, reorder a line or cannot be seen, written as escapes.

What a server, a file or an argument says is shown to people in messages, tables and logs. There it must not clear a
screen, turn a name around or begin a line that looks like one of ours.
"""

from __future__ import annotations

import re

#: C0 and C1 with DEL, soft hyphen, marks and overrides of direction, separators of lines and paragraphs, what has no
#: width, lone surrogates, annotations and tags. The joiners are letters' business in Persian, Hindi and emoji: they
#: are shown where what stands before them is ASCII, which they can only disguise.
_HIDDEN = re.compile(
    "[\x00-\x1f\x7f-\x9f\u00ad\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\u3164\ufeff\uffa0\ufff9-\ufffb"
    "\ud800-\udfff\U000e0000-\U000e007f]|(?<![^\x00-\x7f])[\u200c\u200d]"
)
_SHORT = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}
#: Continuation lines of a message begin with it: nothing in a message looks like the beginning of another one.
_INDENT = "  "


def visible(text: str) -> str:
    r"""Text on one line, with `\n`, `\x1b` or `\u202e` for what would not be seen as it is."""
    return _HIDDEN.sub(lambda found: _escape(found[0]), text)


def visible_lines(text: str) -> str:
    """The same for a message of several lines: all but the first are indented."""
    first, *rest = text.split("\n")
    return "\n".join([visible(first), *(_indented(visible(line)) for line in rest)])


def json_escaped(document: str) -> str:
    r"""A JSON document that says the same, with `\u202e` for what would not be seen; line feeds between values stay."""
    return _HIDDEN.sub(lambda found: found[0] if found[0] == "\n" else _utf16(found[0]), document)


def _indented(line: str) -> str:
    return line if not line or line.startswith(_INDENT) else _INDENT + line


def _escape(character: str) -> str:
    number = ord(character)
    if character in _SHORT:
        return _SHORT[character]
    if number < 0x100:
        return f"\\x{number:02x}"
    return f"\\u{number:04x}" if number < 0x10000 else f"\\U{number:08x}"


def _utf16(character: str) -> str:
    units = character.encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{units[i]:02x}{units[i + 1]:02x}" for i in range(0, len(units), 2))
