"""What lies in records that somebody else wrote: which names, of which kinds, and whose layout that is."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from nestvec._similar import closest
from nestvec.contract import ForeignLayout, Scroll, field_path, lookup
from nestvec.contract.foreign_records import JSON, NULLS, original
from nestvec.errors import InvalidFilter
from nestvec.filters.fields import check_name

if TYPE_CHECKING:
    from nestvec._session.session import Backend
    from nestvec.contract import ForeignPreset

#: How many records are looked at.
SAMPLE: Final = 64
#: How many names are told, how deep they lie, how long JSON text is opened, how long what one filters by may be.
_TOLD, _DEPTH, _TEXT, _FILTERED = 20, 4, 100_000, 256
#: What reading calls keys that would be nestvec's own, or nothing: under these names, nothing is there.
_RENAMED: Final = re.compile(r"_(json|null)_[0-9]+|_")
_KINDS: Final[Mapping[type, str]] = {str: "keyword", bool: "boolean", int: "integer", float: "float"}


@dataclass(frozen=True, slots=True)
class ForeignContents:
    """The names in a sample of records, each with the kinds of values under it and its longest text."""

    payloads: Sequence[Mapping[str, Any]]
    kinds: Mapping[str, Counter[str]] = field(default_factory=dict)
    texts: tuple[str, ...] = ()
    longest: Mapping[str, int] = field(default_factory=dict)

    @classmethod
    def of(cls, payloads: Sequence[Mapping[str, Any]]) -> ForeignContents:
        """Look through records. `texts` are the keys that hold JSON text with an object, wherever they are."""
        texts = tuple(_json_keys(payloads))
        opened = [
            {key: json.loads(value) if key in texts else value for key, value in each.items()} for each in payloads
        ]
        kinds: dict[str, Counter[str]] = {}
        longest: dict[str, int] = {}
        for payload in opened:
            for path, value in _walk(payload):
                kinds.setdefault(path, Counter())[_kind(value)] += 1
                if isinstance(value, str):
                    longest[path] = max(longest.get(path, 0), len(value))
        return cls(opened, kinds, texts, longest)

    def told(self, wanted: str, *kinds: str, filtered: bool = False) -> str:
        """The names there are, for a message about one that is not; those of some kinds, if there are such.

        `filtered`: those that filters reach, which is nothing inside of text.
        """
        there = {path: found for path, found in self.kinds.items() if not (filtered and self._in_text(path))}
        names = [path for path, found in there.items() if not kinds or found.keys() & set(kinds)] or list(there)
        if not names:
            return "they hold nothing but vectors"
        more = f", and {len(names) - _TOLD} more" if len(names) > _TOLD else ""
        close = closest(wanted, names)
        hint = f"; did you mean {close!r}?" if close is not None else ""
        return f"they have {', '.join(map(repr, names[:_TOLD]))}{more}{hint}"

    def _in_text(self, path: str) -> bool:
        return path.split(".", 1)[0] in self.texts

    def preset(self, presets: Mapping[str, ForeignPreset]) -> str | None:
        """The framework whose marks every record has; of several, that with the most marks."""
        fitting = {
            name: len(preset.marks)
            for name, preset in presets.items()
            if preset.marks and all(_has(payload, preset.marks) for payload in self.payloads)
        }
        return max(fitting, key=lambda name: fitting[name]) if fitting and self.payloads else None

    def proposal(self) -> dict[str, str]:
        """Where text and metadata may be, where no framework is known: the longest text, and the object beside it."""
        beside = {path: size for path, size in self.longest.items() if not self._in_text(path)}
        text = max(beside, key=lambda path: beside[path], default=None)
        objects = [path for path, found in self.kinds.items() if "object" in found and path not in self.texts]
        names = {"text": text, "metadata": objects[0] if len(objects) == 1 else None}
        return {key: name for key, name in names.items() if name is not None}

    def fields(self, layout: ForeignLayout, *, nested: bool) -> dict[str, tuple[str, str]]:
        """What one may filter by: names of fields, each with its path and its type; `nested` in other objects, too."""
        found: dict[str, tuple[str, str]] = {}
        for path, kinds in self.kinds.items():
            kind = next(iter(kinds)) if len(kinds) == 1 else ""
            usual = path.rsplit(".", 1)[-1]
            inside = field_path(usual, layout.metadata, layout.json) != path
            name = path.replace(".", "_") if inside else usual
            skipped = (
                path in (layout.text, layout.id) or self.longest.get(path, 0) > _FILTERED or (inside and not nested)
            )
            if not skipped and kind in _DECLARED and not self._in_text(path) and _is_name(name):
                found.setdefault(name, (path, kind))
        return found


async def contents(backend: Backend, layout: ForeignLayout, limit: int = SAMPLE) -> ForeignContents:
    """What lies in a collection, whatever the layout names in it."""
    plain = ForeignLayout(layout.collection, layout.vector, namespace=layout.namespace)
    batch = await backend.reading(plain).scroll(Scroll(layout.collection, limit=limit))
    payloads = [original(record.metadata) for record in batch.records]
    return ForeignContents.of(
        [{name: each[name] for name in each if not _RENAMED.fullmatch(name)} for each in payloads]
    )


def _json_keys(payloads: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    for key in dict.fromkeys(key for payload in payloads for key in payload):
        values = [payload[key] for payload in payloads if key in payload]
        if all(isinstance(value, str) and value[:1] == "{" and _is_object(value) for value in values):
            yield key


def _is_object(text: str) -> bool:
    try:
        return len(text) <= _TEXT and isinstance(json.loads(text), dict)
    except (ValueError, RecursionError):
        return False


def _walk(values: Mapping[str, Any], place: str = "", depth: int = 1) -> Iterator[tuple[str, Any]]:
    for name, value in values.items():
        # A key with dots of its own is told as backends have it that can name it.
        path = place + (f'"{name}"' if "." in name or not name else name)
        yield path, value
        if isinstance(value, Mapping) and depth < _DEPTH:
            yield from _walk(value, f"{path}.", depth + 1)


def _kind(value: Any) -> str:
    if isinstance(value, list):
        inner = {_KINDS.get(type(item), "") for item in value}
        return f"{inner.pop()}[]" if len(inner) == 1 and "" not in inner else "list"
    return "object" if isinstance(value, Mapping) else _KINDS.get(type(value), "null" if value is None else "other")


_DECLARED: Final = frozenset([*_KINDS.values(), *(f"{kind}[]" for kind in _KINDS.values())])


def _has(payload: Mapping[str, Any], marks: Sequence[str]) -> bool:
    return all(mark in payload or lookup(payload, mark) is not None for mark in marks)


def _is_name(name: str) -> bool:
    try:
        check_name(name)
    except InvalidFilter:
        return False
    return name not in (JSON, NULLS, "nestvec") and '"' not in name
