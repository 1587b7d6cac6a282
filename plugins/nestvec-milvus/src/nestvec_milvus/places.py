"""Where somebody else's collection keeps a value, and what that is called in expressions. Imports no SDK."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from nestvec.contract import ForeignLayout
from nestvec.errors import CollectionConflict, Unsupported
from nestvec.types import Field, FieldType
from nestvec_milvus import layout

#: The column of the fields that are in no schema.
DYNAMIC: Final = "$meta"
_INT64: Final = range(-(2**63), 2**63)
_IDENTIFIER: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")
#: Words of Milvus's expressions, which are no names there.
_WORDS: Final = frozenset(
    ("and", "or", "not", "in", "like", "is", "null", "exists", "iso", "interval", "true", "false")
)
#: Milvus cuts paths apart at brackets and quotes, and knows no escapes in them.
_UNSPEAKABLE: Final = re.compile(r"[\x00-\x1f\"'\[\]\\]")


@dataclass(frozen=True, slots=True)
class Key:
    """The primary key: its column, and conditions on it that every record fulfils, or none."""

    column: str = layout.ID
    numeric: bool = False
    everything: str = f'{layout.ID} != ""'
    nothing: str = f'{layout.ID} == ""'

    @classmethod
    def of(cls, column: str, *, numeric: bool) -> Key:
        """The key of somebody else's collection. A string may be empty there."""
        if numeric:
            return cls(column, True, f"({column} > 0 or {column} <= 0)", f"({column} > 0 and {column} <= 0)")
        return cls(column, False, f'{column} >= ""', f'{column} < ""')

    def native(self, identity: str) -> str | int | None:
        """An id as the column has it, or None for one that it can not have."""
        if not self.numeric:
            return identity
        try:
            number = int(identity)
        except ValueError:
            return None
        return number if str(number) == identity and number in _INT64 else None


OWN_KEY: Final = Key()


@dataclass(frozen=True, slots=True)
class Place:
    """A column, or a value inside one of JSON.

    `name` is what the configuration calls it, `field` what the engine knows of its type: None inside JSON.
    """

    name: str
    column: str
    keys: tuple[str, ...] = ()
    field: Field | None = None
    nullable: bool = False

    def value(self, cell: Any) -> Any:
        """What stands here in a record whose column holds `cell`, or None."""
        for key in self.keys:
            cell = cell.get(key) if isinstance(cell, Mapping) else None
        # A column of lists says in no other way that a record has none.
        return None if self.field is not None and self.field.many and not cell else cell

    @property
    def expression(self) -> str:
        """What it is in a comparison. Raises `Unsupported` for what no expression can name."""
        if self.field is None and not self.keys:
            raise Unsupported(
                f"filter on {self.name!r}: that is a whole JSON column; map the field to a key inside it, such as "
                f"'{self.name}.key'"
            )
        wrong = next((key for key in self.keys if _UNSPEAKABLE.search(key)), None)
        if wrong is not None:
            raise Unsupported(
                f"filter on {self.name!r}: Milvus can not filter on the key {wrong!r}, because of its quotes, brackets "
                f"or backslashes; such a field can be read only"
            )
        return self.column + "".join(f'["{key}"]' for key in self.keys)

    @property
    def listed(self) -> str:
        """What it is inside `json_contains_any`, for which Milvus Lite wants a dynamic field's bare name."""
        path, first = self.expression, self.keys[0] if self.keys else ""
        if self.column != DYNAMIC or not _IDENTIFIER.match(first) or first.lower() in _WORDS:
            return path
        return path.replace(f'{DYNAMIC}["{first}"]', first, 1)

    @property
    def present(self) -> str | None:
        """The condition that there is something here, null perhaps; None where there always is."""
        if self.field is None:
            return f"exists {self.expression}"
        return f"{self.column} is not null" if self.nullable else None

    def exists(self, key: Key, *, many: bool) -> str:
        """The condition that there is a value: not null, not an empty list."""
        if self.field is not None:
            if self.field.many:
                return f"array_length({self.column}) != 0"
            return self.present or key.everything
        path = self.expression
        if many:
            return f"(exists {path}[0])"  # without parentheses, `exists` takes everything that follows
        # What `exists` says of null differs between versions; this is true of strings, numbers and booleans only.
        tests = ('>= ""', "> 0", "<= 0", "== true", "== false")
        return f"({' or '.join(f'{path} {test}' for test in tests)})"

    def check(self, wanted: Field) -> None:
        """Raise where a field declared as `wanted` can not be compared with what stands here."""
        there = self.field
        if wanted.type is FieldType.DATETIME and (there is None or there.type is not FieldType.DATETIME):
            raise Unsupported(
                f"filter on {self.name!r}: Milvus holds no datetimes there, but text or numbers, and does not compare "
                f"them as instants; declare the field as keyword or integer and compare what is stored, or copy the "
                f"collection into one of nestvec's own"
            )
        if there is not None and there != wanted:
            raise CollectionConflict(f"column {self.name!r} holds {there}, and the field is declared as {wanted}")


@dataclass(frozen=True, slots=True)
class Foreign:
    """How to read somebody else's collection. `fields` are the places of the declared ones."""

    layout: ForeignLayout
    vector: str
    id: Place | None
    text: Place | None
    fields: Mapping[str, Place]

    def columns(self, *, content: bool) -> list[str]:
        """The columns that records are read from, besides the key."""
        wanted = [self.id, self.text, *self.fields.values()] if content else [self.id]
        return list(dict.fromkeys(place.column for place in wanted if place is not None))

    @property
    def named(self) -> Mapping[str, Place]:
        """The fields' places by what filters call them."""
        return {place.name: place for place in self.fields.values()}
