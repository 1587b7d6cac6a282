"""Logical collection names, and how they map reversibly onto each backend's naming rules.

A logical name is a letter followed by letters, digits, `-` or `_`, ending in a letter or digit. A backend
that lacks a character gets it escaped with the letter `z`: `-` is `zh`, `_` is `zu`, an upper-case letter
is `zc` and its lower case, and `z` itself is doubled. `zg` stands before the generation where neither `_` nor
`-` may. Backends that have all characters see names unchanged.

>>> NameRules(hyphen=False).encode("Hand-book_2")
'Handzhbook_2'
>>> NameRules(hyphen=False).decode("Handzhbook_2")
'Hand-book_2'
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from nestvec.errors import InvalidName

MAX_LOGICAL = 64
_LOGICAL = re.compile(r"[A-Za-z](?:[A-Za-z0-9_-]*[A-Za-z0-9])?\Z")
_TOKEN = re.compile(r"zc[a-z]|z[huz]|.", re.DOTALL)
_GENERATION_DIGITS = 7
_PLAIN = {"zh": "-", "zu": "_", "zz": "z"}


def check_logical(name: str) -> str:
    """Return `name`, or raise `InvalidName` saying which names are allowed."""
    if not isinstance(name, str) or len(name) > MAX_LOGICAL or not _LOGICAL.match(name):
        raise InvalidName(
            f"{name!r} cannot name a collection: use a letter followed by letters, digits, '-' or '_', "
            f"ending in a letter or digit, at most {MAX_LOGICAL} characters"
        )
    return name


@dataclass(frozen=True, slots=True)
class NameRules:
    """Which characters a backend allows in collection names, and how long they may be."""

    hyphen: bool = True
    underscore: bool = True
    uppercase: bool = True
    max_length: int = 255

    @property
    def separator(self) -> str:
        """What stands between a name and its generation."""
        if self.underscore:
            return "_"
        return "-" if self.hyphen else "zg"

    def encode(self, name: str) -> str:
        """Map a logical name onto this backend's rules. Raises `InvalidName` where it does not fit."""
        check_logical(name)
        encoded = name if self._verbatim else "".join(self._escape(character) for character in name)
        room = self.max_length - len(self.separator) - _GENERATION_DIGITS
        if len(encoded) > room:
            raise InvalidName(
                f"collection name {name!r} is too long for this backend: it becomes {encoded!r}, "
                f"{len(encoded)} characters of at most {room}; choose a shorter name"
            )
        return encoded

    def decode(self, encoded: str) -> str:
        """The logical name behind an encoded one: the inverse of `encode`."""
        return encoded if self._verbatim else "".join(map(_unescape, _TOKEN.findall(encoded)))

    def physical(self, name: str, generation: int) -> str:
        """The backend's name of one generation of a logical collection."""
        return f"{self.encode(name)}{self.separator}{generation}"

    def generation(self, name: str, physical: str) -> int | None:
        """Which generation of `name` this physical collection is, or None if it is not one of its."""
        match = re.fullmatch(re.escape(self.encode(name) + self.separator) + r"([1-9][0-9]{0,6})", physical)
        return int(match.group(1)) if match else None

    @property
    def _verbatim(self) -> bool:
        return self.hyphen and self.underscore and self.uppercase

    def _escape(self, character: str) -> str:
        if character == "z":
            return "zz"
        if character == "-" and not self.hyphen:
            return "zh"
        if character == "_" and not self.underscore:
            return "zu"
        if character.isupper() and not self.uppercase:
            return "zc" + character.lower()
        return character


def _unescape(token: str) -> str:
    if token in _PLAIN:
        return _PLAIN[token]
    return token[2].upper() if len(token) == 3 else token


def ambiguous(names: Iterable[str]) -> list[tuple[str, str]]:
    """Pairs of names of which the second reads like a generation of the first (`docs` and `docs_1`)."""
    known = sorted(set(names))
    matches = ((re.fullmatch(r"(.+)[_-][1-9][0-9]*", name), name) for name in known)
    return [(match.group(1), name) for match, name in matches if match and match.group(1) in known]


def check_unambiguous(names: Iterable[str]) -> None:
    """Refuse names of which one reads like a generation of another. Raises `InvalidName` naming all of them."""
    problems = [
        f"collections {name!r} and {like!r} cannot live side by side: nestvec stores the generations of {name!r} "
        f"under names like {like!r}; rename one of them"
        for name, like in ambiguous(names)
    ]
    if problems:
        raise InvalidName("; ".join(problems))
