"""Numbers for people."""

from __future__ import annotations

import math
import re

#: A space that does not break the line.
NBSP = "\u00a0"
# Control characters, lone surrogates, and what reorders the text beside it.
_UNPRINTABLE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff\u202a-\u202e\u2066-\u2069]")
_UNITS = ((1e12, "TB"), (1e9, "GB"), (1e6, "MB"), (1e3, "kB"))


def share(value: float, decimals: int = 1) -> str:
    """`99.4 %`, `100 %`; rounded down: 98.96 % must not read as the 99 % that were asked for."""
    return f"{_down(value, decimals)}{NBSP}%"


def shares(low: float, high: float, decimals: int = 1) -> str:
    """`99.1–99.6 %`; one number where the two read the same."""
    first, last = _down(low, decimals), _down(high, decimals)
    return f"{last}{NBSP}%" if first == last else f"{first}–{last}{NBSP}%"


def rounded_share(value: float) -> str:
    """`99 %`, `97.5 %`: a share that somebody chose, with the decimals that it has."""
    return f"{value * 100:.6g}{NBSP}%"


def _down(value: float, decimals: int) -> str:
    factor = 10.0**decimals
    percent = math.floor(value * 100 * factor + 1e-6) / factor
    return "100" if percent == 100 else f"{percent:.{decimals}f}"


def size(count: float) -> str:
    """`512 bytes`, `1.5 GB` (of 1,000,000,000 bytes); three digits at most."""
    for unit, name in _UNITS:
        if count >= unit * 0.9995:
            text = _three(count / unit)
            return f"{text.rstrip('0').rstrip('.') if '.' in text else text}{NBSP}{name}"
    return f"{count:,.0f}{NBSP}byte{'' if count == 1 else 's'}"


def milliseconds(value: float) -> str:
    """`0.42 ms`, `3.10 ms`, `1.20 s`; with three digits, as figures below one another should."""
    return f"{_three(value / 1000)}{NBSP}s" if value >= 999.5 else f"{_three(value)}{NBSP}ms"


def _three(value: float) -> str:
    return f"{value:,.{0 if value >= 99.95 else 1 if value >= 9.995 else 2}f}"


def amount(number: int, noun: str) -> str:
    """`1 text`, `5,000 texts`."""
    return f"{number:,}{NBSP}{noun}{'' if number == 1 else 's'}"


def clean(text: str) -> str:
    """The text, with replacement characters for what cannot be printed."""
    return _UNPRINTABLE.sub("\ufffd", text)
