"""JSON as SQLite can search it.

SQLite's JSON functions end a string at a NUL character. So in JSON, NUL is the two characters U+0001 U+0002, and
U+0001 itself is doubled; what is compared with such text is spelt the same way.
"""

from __future__ import annotations

import json
import re
from datetime import datetime
from typing import Any, Final

from nestvec.filters import format_datetime

_SPELT: Final = {r"\u0000": r"\u0001\u0002", r"\u0001": r"\u0001\u0001"}
_MEANT: Final = {spelt: meant for meant, spelt in _SPELT.items()}


def to_json(value: Any) -> str:
    """Plain values as JSON; datetimes become ISO 8601, which the core turns back for declared fields."""
    text = json.dumps(value, ensure_ascii=False, default=_plain)
    # An escaped backslash is matched first, so that what follows it is not taken for an escape.
    return re.sub(r"\\\\|\\u000[01]", lambda found: _SPELT.get(found[0], found[0]), text)


def from_json(text: str) -> Any:
    """The inverse of `to_json`."""
    return json.loads(re.sub(r"\\\\|\\u0001\\u000[12]", lambda found: _MEANT.get(found[0], found[0]), text))


def searchable(text: str) -> str:
    """A string as it stands in the JSON."""
    return text.replace("\x01", "\x01\x01").replace("\x00", "\x01\x02")


def _plain(value: Any) -> Any:
    return format_datetime(value) if isinstance(value, datetime) else list(value)
