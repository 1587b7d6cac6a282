"""Metadata on their way in and out: kept as they were given, and beside that what filters look at.

What is stored is flat, as every database has it: field names to scalars, or lists of them. A declared field is in it in
its declared type, projected from its path; in a collection with open fields so is every other scalar, under its path.
Where that does not give back exactly what was given, all of it is kept once more, as JSON text under the key `GIVEN`.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cached_property
from types import MappingProxyType
from typing import Any, Final

from nestvec._damaged import DAMAGED
from nestvec.errors import CollectionError, InvalidDocument
from nestvec.paths import format_path, parse_path
from nestvec.types import GIVEN, Field, FieldMisfit, FieldType, Metadata, MetadataValue
from nestvec.values import AS_IT_IS, INT64_MAX, INT64_MIN, coerce, describe, parse_datetime, scalar

#: No metadata.
NOTHING: Final[Mapping[str, Any]] = MappingProxyType({})
#: What stands for a datetime in that text, and for an object that looks like it.
_DATETIME: Final = "nestvec:datetime"
_OBJECT: Final = "nestvec:object"
_TAGS: Final = frozenset({_DATETIME, _OBJECT})
#: How deeply values may be nested; Python's own JSON gives up at about a thousand.
MAX_DEPTH: Final = 100
#: Python reads no longer integers from text: 4,300 digits.
_MAX_BITS: Final = 14_000
_SCALARS: Final = (str, bool, int, float)


@dataclass(frozen=True, slots=True)
class ProjectedMetadata:
    """The metadata of a document as they are stored, and what of them did not fit.

    Attributes:
        stored: Flat; with `GIVEN` where that is needed.
        misfits: Fields whose value is of another type than declared: what was expected.
    """

    stored: Mapping[str, Any]
    misfits: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Projection:
    """How a collection's documents give the values of its fields.

    `paths` has where a field's value is, for those that are not a top-level key of the same name. Under `open_fields`
    everything else can be filtered, too. With `strict` a value of another type is refused.
    """

    fields: Mapping[str, Field]
    paths: Mapping[str, str] = field(default_factory=dict)
    open_fields: bool = False
    strict: bool = False
    #: The records are somebody else's, as `nestvec.contract.foreign_records` gives them.
    foreign: bool = False

    def given(self, stored: Mapping[str, Any]) -> dict[str, Any]:
        """Metadata as they were given, of what is stored. Raises `CollectionError` for what is damaged."""
        if self.foreign:
            from nestvec.contract.foreign_records import original  # late: few collections are somebody else's

            return original(restore_types(stored, self.fields))
        return restore_metadata(stored, self.fields)

    @property
    def columns(self) -> dict[str, Field]:
        """The types of top-level keys that are a field's: what the columns of a table hold."""
        return self._own | {keys[0]: declared for _, declared, keys in self._projected if len(keys) == 1}

    @cached_property
    def _own(self) -> dict[str, Field]:
        """Fields that are a top-level key of the same name."""
        return {name: declared for name, declared in self.fields.items() if name not in self.paths}

    @cached_property
    def _projected(self) -> tuple[tuple[str, Field, tuple[str, ...]], ...]:
        return tuple((name, self.fields[name], parse_path(path)) for name, path in self.paths.items())

    def project(self, metadata: Metadata) -> ProjectedMetadata:
        """What is stored for these metadata.

        Raises `InvalidDocument`, naming the key, for what is no JSON (nor a datetime), and with `strict` for a value
        that does not fit its field.
        """
        given = _plain_mapping(metadata)
        stored: dict[str, Any] = {}
        misfits: dict[str, str] = {}
        exact, own = True, self._own
        for name, value in given.items():
            declared = own.get(name)
            if declared is not None and _is_of_type(declared, value):
                stored[name] = value
            elif declared is not None:
                exact &= self._fit(stored, misfits, name, declared, value) and _same(stored[name], value)
            elif not self._keep(stored, name, value):
                exact = False
        for name, declared, keys in self._projected:
            value = self._at(given, keys, misfits, name)
            if value is not None and self._fit(stored, misfits, name, declared, value):
                exact = False
        if not exact:
            stored[GIVEN] = to_text(given)
        return ProjectedMetadata(stored, misfits)

    def _fit(
        self, stored: dict[str, Any], misfits: dict[str, str], name: str, declared: Field, value: MetadataValue
    ) -> bool:
        """Store the value in the field's type, if it is of that type. A null is no value, and no misfit."""
        if value is None:
            return False
        try:
            stored[name] = _typed(declared, value)
        except ValueError as error:
            self._misfit(misfits, name, declared, f"{error}")
            return False
        return True

    def _misfit(self, misfits: dict[str, str], name: str, declared: Field, problem: str) -> None:
        if self.strict:
            raise InvalidDocument(f"metadata {name!r}: the field is declared {declared}: {problem}")
        misfits[name] = problem

    def _at(
        self, given: Mapping[str, Any], keys: tuple[str, ...], misfits: dict[str, str], name: str
    ) -> MetadataValue | None:
        """What a path leads to; None where it leads nowhere."""
        here: Any = given
        for step, key in enumerate(keys):
            if isinstance(here, list):
                problem = f"its path leads through a list at {format_path(keys[:step])}; paths lead through objects"
                self._misfit(misfits, name, self.fields[name], problem)
                return None
            if not isinstance(here, dict) or key not in here:
                return None
            here = here[key]
        found: MetadataValue | None = here
        return found

    def _keep(self, stored: dict[str, Any], name: str, value: MetadataValue) -> bool:
        """Store what is not declared, as far as databases hold it; returns whether that is all of it."""
        if self.open_fields:
            return self._keep_open(stored, name, value)
        if name in self.fields or name == GIVEN or not name or not _is_native(value):
            return False
        stored[name] = value
        return True

    def _keep_open(self, stored: dict[str, Any], name: str, value: MetadataValue) -> bool:
        from nestvec.filters.opened import open_name  # late: few collections have open fields

        exact = False
        for keys, leaf in _leaves((name,), value):
            key = open_name(format_path(keys), leaf)
            held = _comparable(leaf)
            if key is not None and held is not None and key not in self.fields and key != GIVEN:
                stored[key] = held
                exact = keys == (key,)
        return exact


def _leaves(keys: tuple[str, ...], value: MetadataValue) -> Iterator[tuple[tuple[str, ...], MetadataValue]]:
    """Everything in a value that is no object, with its path."""
    if not isinstance(value, dict):
        yield keys, value
        return
    for name, inner in value.items():
        yield from _leaves((*keys, name), inner)


def _comparable(value: MetadataValue) -> MetadataValue | None:
    """A value of which filters without a declared type can tell; None: they cannot.

    Numbers are compared as floats.
    """
    if isinstance(value, int) and not isinstance(value, bool):
        return _float(value)
    return value if isinstance(value, (*_SCALARS, list)) else None


def _float(value: float) -> float | None:
    try:
        return float(value)
    except OverflowError:
        return None


def _is_native(value: MetadataValue) -> bool:
    """Whether every database keeps the value as it is."""
    if isinstance(value, list):
        return all(map(_is_native_scalar, value))
    return _is_native_scalar(value)


def _is_native_scalar(value: object) -> bool:
    kind = type(value)
    if kind is int:
        return INT64_MIN <= value <= INT64_MAX  # type: ignore[operator]  # an integer
    return kind is str or kind is bool or kind is float


def _is_of_type(declared: Field, value: MetadataValue) -> bool:
    """Whether a checked value is what the field holds, as nearly always."""
    if declared.many:
        return False
    if type(value) is int:
        return declared.type is FieldType.INTEGER and INT64_MIN <= value <= INT64_MAX
    return type(value) is AS_IT_IS.get(declared.type)


def _typed(declared: Field, value: MetadataValue) -> Any:
    """The value in the field's type. Raises `ValueError` where it is of another."""
    if not declared.many:
        if type(value) is AS_IT_IS.get(declared.type):
            return value
        if isinstance(value, list | dict):
            raise ValueError(f"expected one value, got {describe(value)}")
        return coerce(value, declared.type)
    if not isinstance(value, list):
        raise ValueError(f"give a list, not {describe(value)}")  # noqa: TRY004
    return [coerce(item, declared.type) for item in value]


def _same(stored: Any, given: Any) -> bool:
    """Whether they are equal and of one type: 1, 1.0 and True are three values."""
    if type(stored) is not type(given):
        return False
    if isinstance(stored, list):
        return len(stored) == len(given) and all(map(_same, stored, given))
    return bool(stored == given)


# ------------------------------------------------------------ what people give


def _plain_mapping(metadata: object) -> dict[str, MetadataValue]:
    """A copy of what was given, of Python's own JSON types and aware datetimes. Raises `InvalidDocument`."""
    if not isinstance(metadata, Mapping):
        raise InvalidDocument(f"metadata must be a mapping, not {type(metadata).__name__}")
    return {_key(name): _plain(name, value, 1) for name, value in metadata.items()}


def _key(name: object) -> str:
    if type(name) is not str:
        if not isinstance(name, str):
            raise InvalidDocument(f"metadata keys must be strings, not {describe(name)}")
        name = str.__str__(name)
    _unicode(name, name)
    return name


def _unicode(name: str, text: str) -> None:
    if text.isascii():
        return
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise InvalidDocument(
            f"metadata {name!a:.80}: {text!a:.60} is not valid Unicode: it has a lone surrogate"
        ) from error


def _plain(name: str, value: Any, depth: int) -> Any:
    kind = type(value)
    if kind is str:
        _unicode(name, value)
        return value
    if kind is bool or value is None:
        return value
    if kind is float and math.isfinite(value):
        return value
    if kind is int and value.bit_length() < _MAX_BITS:
        return value
    return _structured(name, value, depth)


def _structured(name: str, value: Any, depth: int) -> Any:
    if depth > MAX_DEPTH:
        raise InvalidDocument(f"metadata {name!r:.80} is nested more than {MAX_DEPTH} levels deep; flatten it")
    if isinstance(value, Mapping):
        return {_key(inner): _plain(name, item, depth + 1) for inner, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(name, item, depth + 1) for item in value]
    if isinstance(value, set | frozenset):
        return [_plain(name, item, depth + 1) for item in sorted(value, key=repr)]
    if isinstance(value, int) and value.bit_length() >= _MAX_BITS:
        raise InvalidDocument(f"metadata {name!r:.80}: {describe(value)} is too long; write it as a string")
    return _checked(name, value)


def _checked(name: str, value: Any) -> Any:
    """Values of other libraries and of Python's as what they stand for: enumerations, numpy's scalars, dates."""
    try:
        plain = scalar(value)
    except ValueError as error:
        raise InvalidDocument(f"metadata {name!r:.80}: {error}") from error
    return plain


# ------------------------------------------------------------ as text


def to_text(given: Mapping[str, Any]) -> str:
    """Metadata as JSON text: what `given` of a projection reads again."""
    return json.dumps(_tagged(given), ensure_ascii=False, separators=(",", ":"))


def to_json(given: Mapping[str, Any]) -> Any:
    """Metadata as plain JSON values, datetimes included."""
    return _tagged(given)


def from_json(value: object) -> dict[str, Any]:
    """What `to_json` gave. Raises one of `DAMAGED` for anything else."""
    return _from_text(json.dumps(value))


def _tagged(value: Any) -> Any:
    """With datetimes as JSON has them, told apart from objects that look so."""
    if isinstance(value, dict):
        plain = {name: _tagged(item) for name, item in value.items()}
        return {_OBJECT: plain} if len(plain) == 1 and plain.keys() <= _TAGS else plain
    if isinstance(value, list):
        return [_tagged(item) for item in value]
    return {_DATETIME: value.isoformat()} if isinstance(value, datetime) else value


def _from_text(text: object) -> dict[str, Any]:
    """The metadata of a text. Raises one of `DAMAGED` for one that nestvec did not write."""
    if not isinstance(text, str):
        raise TypeError(f"{GIVEN} is a {type(text).__name__}")
    found = json.loads(text)
    if not isinstance(found, dict):
        raise TypeError(f"{GIVEN} holds a {type(found).__name__}")
    if '"nestvec:' not in text:
        return found
    if found.keys() == {_OBJECT}:  # an only key that looks like one of ours
        return {name: _untagged(item) for name, item in found[_OBJECT].items()}
    return {name: _untagged(item) for name, item in found.items()}


def _untagged(value: Any) -> Any:
    if isinstance(value, list):
        return [_untagged(item) for item in value]
    if not isinstance(value, dict):
        return value
    if value.keys() == {_DATETIME}:
        return datetime.fromisoformat(value[_DATETIME])
    inner = value[_OBJECT] if value.keys() == {_OBJECT} else value
    return {name: _untagged(item) for name, item in inner.items()}


# ------------------------------------------------------------ out again


def check_metadata(metadata: Metadata, fields: Mapping[str, Field]) -> Mapping[str, Any]:
    """What is stored of metadata whose fields are top-level keys. Raises `InvalidDocument` where one does not fit."""
    return Projection(fields, strict=True).project(metadata).stored


def restore_metadata(stored: Mapping[str, Any], fields: Mapping[str, Field]) -> dict[str, Any]:
    """Metadata as they were given. Raises `CollectionError` for what is damaged."""
    if GIVEN not in stored:
        return restore_types(stored, fields)
    try:
        return _from_text(stored[GIVEN])
    except DAMAGED as error:
        raise CollectionError(
            f"the metadata of a record are damaged: {GIVEN!r} is not what nestvec wrote ({error!r:.100}); ingest the "
            f"document again"
        ) from error


def restore_types(stored: Mapping[str, Any], fields: Mapping[str, Field]) -> dict[str, Any]:
    """Bring stored values of declared fields back to their types (integers kept as floats, datetimes as text)."""
    return {name: _restored(value, fields[name]) if name in fields else value for name, value in stored.items()}


def hash_metadata(stored: Mapping[str, Any]) -> str:
    """16 hexadecimal digits that change whenever a key, a value or a value's type changes; of what is stored."""
    if not stored:
        return _NONE
    if GIVEN in stored:  # in whatever order the keys of inner objects were given
        stored = {**stored, GIVEN: json.loads(stored[GIVEN])}
    return hashlib.sha256(_CANONICAL.encode(dict(stored)).encode()).hexdigest()[:16]


def _restored(value: Any, declared: Field) -> Any:
    if declared.many and isinstance(value, list):
        return [_restored_scalar(item, declared.type) for item in value]
    return _restored_scalar(value, declared.type)


def _restored_scalar(value: Any, kind: FieldType) -> Any:
    if kind is FieldType.INTEGER and isinstance(value, float) and value.is_integer():
        return int(value)
    if kind is FieldType.FLOAT and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if kind is FieldType.DATETIME and isinstance(value, str):
        return _datetime_or_as_is(value)
    if kind is FieldType.DATETIME and isinstance(value, int | float) and not isinstance(value, bool):
        # The contract: a number is whole microseconds since the epoch, exact in a double until 2255.
        return datetime.fromtimestamp(0, UTC) + timedelta(microseconds=int(value))
    return value


def _datetime_or_as_is(text: str) -> datetime | str:
    try:
        return parse_datetime(text)
    except ValueError:
        return text  # written by somebody else: it exists, and no comparison matches it


def _jsonable(value: Any) -> Any:
    if isinstance(value, datetime):
        return {"datetime": value.isoformat()}
    return list(value)


_CANONICAL: Final = json.JSONEncoder(sort_keys=True, separators=(",", ":"), default=_jsonable)
_NONE: Final = hashlib.sha256(b"{}").hexdigest()[:16]


def misfits_of(misfits: Mapping[str, str], fields: Mapping[str, Field], document_id: str) -> tuple[FieldMisfit, ...]:
    """A document's values that did not fit, for the report."""
    return tuple(FieldMisfit(name, str(fields[name]), 1, document_id, why) for name, why in misfits.items())
