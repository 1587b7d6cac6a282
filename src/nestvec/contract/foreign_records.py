"""Records that somebody else wrote: what a layout says of them, and everything else that lies in them.

Nothing is left out. What the layout names goes where it says; the rest is kept under its own names. Metadata of nestvec
holds scalars and lists of them. Any other value is kept as JSON text, and `_json` lists the names of such; a null is no
value, and `_null` lists the names that had one. So what was there can be told from what is read (`original`).
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import count
from typing import Any, Final, TypeAlias

from nestvec.contract.foreign import ForeignLayout
from nestvec.errors import CollectionError
from nestvec.types import MetadataValue, Record
from nestvec.values import INT64_MAX, INT64_MIN, is_unicode

#: Names of metadata of nestvec's own: which others hold JSON text, and which had a null.
JSON: Final = "_json"
NULLS: Final = "_null"

Keys: TypeAlias = tuple[str, ...]
Locate: TypeAlias = Callable[[Mapping[str, Any], str], Keys | None]


def locate(stored: Mapping[str, Any], path: str) -> Keys | None:
    """The keys that a path leads through: a whole key or, where there is none of that name, a dotted path; or None.

    >>> locate({"a": {"b": 1}}, "a.b"), locate({"a.b": 1}, "a.b"), locate({}, "a.b")
    (('a', 'b'), ('a.b',), None)
    """
    if path in stored:
        return (path,)
    head, _, rest = path.partition(".")
    inner = stored.get(head) if rest else None
    found = locate(inner, rest) if isinstance(inner, Mapping) else None
    return None if found is None else (head, *found)


def lookup(stored: Mapping[str, Any], path: str) -> Any:
    """What stands at a path, or None."""
    keys = locate(stored, path)
    return None if keys is None else _at(stored, keys)


def foreign_record(
    key: str, stored: Mapping[str, Any], layout: ForeignLayout, *, find: Locate = locate, bare: bool = False
) -> Record:
    """The record of what is `stored` under the native id `key`: id, text and fields as the layout says, and the rest.

    `find` leads from a path of the backend's to keys. `bare`: only ids were asked for. Raises `CollectionError` for
    what is nested too deeply to be kept.
    """
    reading = _Reading(_opened(stored, layout.json), find)
    owner = reading.take(layout.id, _owner)
    text = reading.take(layout.text, _text)
    try:
        metadata = {} if bare else reading.metadata(layout)
    except RecursionError:
        raise CollectionError(
            f"record {key!r:.80} of collection {layout.collection!r} holds objects that are nested too deeply to be "
            f"read; nothing was changed"
        ) from None
    return Record(key, key if owner is None else owner, text, metadata, {})


def original(metadata: Mapping[str, Any]) -> dict[str, Any]:
    """What metadata was before it was made to fit: objects as objects, nulls as None.

    >>> original({"a": "[1, null]", "_json": ["a"], "_null": ["b"]})
    {'a': [1, None], 'b': None}
    """
    found = {name: value for name, value in metadata.items() if name not in (JSON, NULLS)}
    found |= {name: json.loads(found[name]) for name in metadata.get(JSON, ())}
    return found | dict.fromkeys(metadata.get(NULLS, ()))


@dataclass(slots=True)
class _Reading:
    """A record while it is read: what of it has a place already, and the metadata that has come of it."""

    stored: Mapping[str, Any]
    find: Locate
    taken: set[Keys] = field(default_factory=set)
    found: dict[str, Any] = field(default_factory=dict)
    own: frozenset[str] = frozenset()
    #: Objects that the layout leads into: an empty one of these says nothing.
    entered: set[Keys] = field(default_factory=set)

    def take(self, path: str | None, convert: Callable[[Any], str | None]) -> str | None:
        """The value at a path, if it is one that serves; otherwise it stays with the rest."""
        keys = self.find(self.stored, path) if path else None
        value = None if keys is None else convert(_at(self.stored, keys))
        if keys is not None and value is not None:
            self.taken.add(keys)
        return value

    def metadata(self, layout: ForeignLayout) -> dict[str, MetadataValue]:
        self.own = frozenset((*layout.fields, JSON, NULLS))
        for path in (layout.id, layout.text, layout.metadata, *layout.fields.values()):
            named = (self.find(self.stored, path) or tuple(path.split("."))) if path else ()
            self.entered |= {named[:depth] for depth in range(1, len(named))}
        for name, path in layout.fields.items():
            keys = self.find(self.stored, path)
            if keys is not None and _present(self.stored, keys):
                self.taken.add(keys)
                self.found[name] = _at(self.stored, keys)
        inside = self.find(self.stored, layout.metadata) if layout.metadata else None
        if inside is not None and isinstance(_at(self.stored, inside), Mapping):
            self._keep(_at(self.stored, inside), inside)
            self.taken.add(inside)
        self._keep(self.stored, ())
        return _fitted(self.found)

    def _keep(self, values: Mapping[str, Any], place: Keys) -> None:
        """Keep what has no place yet of an object, each value under its name or, if that is another's, its path."""
        for name, value in values.items():
            path = (*place, name)
            rest = self._rest(value, path)
            if rest is _NOTHING:
                continue
            free = next(each for each in _names(path) if each not in self.own and self._free(each, rest))
            if not _same(self.found.get(name, _NOTHING), rest):
                self.found[free] = rest

    def _free(self, name: str, value: Any) -> bool:
        return name not in self.found or _same(self.found[name], value)

    def _rest(self, value: Any, path: Keys) -> Any:
        """What of a value has no place yet. An object of which all has one is gone."""
        if path in self.taken or (value == {} and path in self.entered):
            return _NOTHING
        if not isinstance(value, Mapping) or path not in self.entered:
            return value
        parts = {name: self._rest(inner, (*path, name)) for name, inner in value.items()}
        rest = {name: part for name, part in parts.items() if part is not _NOTHING}
        if not rest:
            return _NOTHING
        return json.dumps(rest, ensure_ascii=False) if isinstance(value, _Opened) else rest


class _Opened(dict[str, Any]):
    """An object that is JSON text where it is stored, and is text again where something of it is left."""


_NOTHING: Final = object()


def _opened(stored: Mapping[str, Any], keys: Sequence[str]) -> Mapping[str, Any]:
    """The record with the objects in its JSON texts. What is no such text stays what it is."""
    parsed = {key: _parsed(stored[key]) for key in keys if isinstance(stored.get(key), str)}
    return {**stored, **{key: _Opened(value) for key, value in parsed.items() if isinstance(value, dict)}}


def _parsed(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def _at(stored: Any, keys: Keys) -> Any:
    for key in keys:
        stored = stored.get(key) if isinstance(stored, Mapping) else None
    return stored


def _present(stored: Any, keys: Keys) -> bool:
    inside = _at(stored, keys[:-1])
    return isinstance(inside, Mapping) and keys[-1] in inside


def _owner(value: Any) -> str | None:
    if isinstance(value, float) and value.is_integer():
        value = int(value)  # where all numbers are doubles
    if isinstance(value, bool) or not isinstance(value, str | int):
        return None
    return str(value) if is_unicode(str(value)) and value != "" else None


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) else None


def _names(path: Keys) -> Iterator[str]:
    """What a value may be called, best first."""
    last, dotted = (_printable(each) for each in (path[-1], ".".join(path)))
    yield last
    yield dotted
    for number in count(2):
        yield f"{dotted}_{number}"


def _printable(name: str) -> str:
    return name.encode(errors="backslashreplace").decode() or "_"


def _same(one: Any, two: Any) -> bool:
    """Whether two values are the same; a whole number is, as a double, too."""
    if isinstance(one, bool) or isinstance(two, bool):
        return one is two
    if isinstance(one, list) and isinstance(two, list):
        return len(one) == len(two) and all(map(_same, one, two))
    return bool(one == two)


def _fitted(found: Mapping[str, Any]) -> dict[str, MetadataValue]:
    """Values as nestvec's metadata can hold them, and the lists of what that changed."""
    metadata: dict[str, Any] = {}
    texts = []
    for name, value in found.items():
        if value is None:
            continue
        fits = _fits(value) or (isinstance(value, list) and all(map(_fits, value)))
        metadata[name] = value if fits else _as_json(value)
        texts += [] if fits else [name]
    nulls = [name for name, value in found.items() if value is None]
    listed = {JSON: sorted(texts), NULLS: sorted(nulls)}
    return metadata | {name: names for name, names in listed.items() if names}


def _fits(value: Any) -> bool:
    match value:
        case bool() | datetime():
            return True
        case str():
            return is_unicode(value)
        case int():
            return INT64_MIN <= value <= INT64_MAX
        case float():
            return math.isfinite(value)
    return False


def _as_json(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if is_unicode(text) else json.dumps(value, default=str)
