"""What the other side is, and what it can therefore do."""

from __future__ import annotations

import re
from dataclasses import dataclass

from nestvec.errors import Unsupported
from nestvec.types import FieldType

#: Arrays and JSON columns, which records need, came with 2.3.
OLDEST = (2, 3)
_SEVERAL_VECTORS = (2, 4)
_INVERTED = (2, 4)
#: Seen on 2.3.5: an upsert puts records into other partitions than the ones where searches look for the key.
_PARTITION_KEYS = (2, 4)
_TEMPLATES = (2, 5)
_UNKNOWN = OLDEST


@dataclass(frozen=True, slots=True)
class Server:
    """A Milvus by its version. `name` is what it calls itself."""

    name: str
    version: tuple[int, int]
    lite: bool = False
    cloud: bool = False

    @classmethod
    def of(cls, name: str, place: str, *, cloud: bool = False) -> Server:
        """From the answer to `GetVersion`. Raises `Unsupported` for a server that is too old."""
        lite = name.startswith("milvus_lite")
        found = re.search(r"(\d+)\.(\d+)", name)
        version = (int(found[1]), int(found[2])) if found else _UNKNOWN
        if version < OLDEST:
            raise Unsupported(
                f"{place} is version {name}, which has neither arrays nor collection properties to keep nestvec's "
                f"records with; upgrade it to {'.'.join(map(str, OLDEST))} or later"
            )
        return cls(name, version, lite, cloud or "zilliz" in name.lower())

    @property
    def max_vectors(self) -> int:
        """How many vectors a record may have."""
        return 4 if self.lite or self.version >= _SEVERAL_VECTORS else 1

    @property
    def partition_keys(self) -> bool:
        """Whether tenants can have partitions; otherwise their column has an index."""
        return self.lite or self.version >= _PARTITION_KEYS

    @property
    def templates(self) -> bool:
        """Whether the values of a filter travel beside it."""
        return not self.lite and self.version >= _TEMPLATES

    def scalar_index(self, kind: FieldType) -> str | None:
        """The index for a scalar column, or None where it has none. Milvus Lite searches without."""
        if self.lite:
            return None
        if self.version >= _INVERTED:
            return "INVERTED"
        return {FieldType.KEYWORD: "Trie", FieldType.BOOLEAN: None}.get(kind, "STL_SORT")
