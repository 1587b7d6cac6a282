"""What the other side is, and what it can therefore do."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final

from nestvec.capabilities import BackendCapabilities
from nestvec.errors import Unsupported
from nestvec.types import FieldType
from nestvec_milvus.layout import MAX_VECTORS

#: Arrays and JSON columns, which records need, came with 2.3.
OLDEST: Final = (2, 3)
_UNKNOWN: Final = OLDEST

#: What nestvec makes use of where it is there: the first version of a server that has it, and whether Milvus Lite
#: does. There is no call that lists features, so the version must do.
FEATURES: Final[Mapping[str, tuple[tuple[int, int], bool]]] = {
    # More than one column of vectors in a collection.
    "several vectors": ((2, 4), True),
    # One index for every kind of scalar column; Milvus Lite searches without.
    "inverted indexes": ((2, 4), False),
    # Seen on 2.3.5: an upsert puts records into other partitions than the ones where searches look for the key.
    "partition keys": ((2, 4), True),
    # The values of a filter travel beside it.
    "filter templates": ((2, 5), False),
}


@dataclass(frozen=True, slots=True)
class Server:
    """A Milvus by its version. `name` is what it calls itself."""

    name: str
    version: tuple[int, int]
    lite: bool = False
    cloud: bool = False

    @classmethod
    def of(cls, name: str, place: str, *, cloud: bool = False) -> Server:
        """From the answer to `GetVersion`. Raises `Unsupported` for a server that is too old.

        A build that does not say its version counts as the oldest one: that works on all of them.
        """
        lite = name.startswith("milvus_lite")
        found = re.search(r"\b[vV]?(\d+)\.(\d+)", name)
        version = (int(found[1]), int(found[2])) if found else _UNKNOWN
        if version < OLDEST:
            raise Unsupported(
                f"{place} is version {name}, which has neither arrays nor collection properties to keep nestvec's "
                f"records with; upgrade it to {'.'.join(map(str, OLDEST))} or later"
            )
        return cls(name, version, lite, cloud or "zilliz" in name.lower())

    def has(self, feature: str) -> bool:
        """Whether it has one of `FEATURES`."""
        since, lite = FEATURES[feature]
        return lite if self.lite else self.version >= since

    def refine(self, declared: BackendCapabilities) -> BackendCapabilities:
        """The declared capabilities, with what this server adds. Milvus Lite may be a server, too."""
        return replace(declared, max_vectors=self.max_vectors, exact=declared.exact or self.lite)

    @property
    def max_vectors(self) -> int:
        """How many vectors a record may have."""
        return MAX_VECTORS if self.has("several vectors") else 1

    @property
    def partition_keys(self) -> bool:
        """Whether tenants can have partitions; otherwise their column has an index."""
        return self.has("partition keys")

    @property
    def templates(self) -> bool:
        """Whether the values of a filter travel beside it."""
        return self.has("filter templates")

    def scalar_index(self, kind: FieldType) -> str | None:
        """The index for a scalar column, or None where it has none."""
        if self.lite:
            return None
        if self.has("inverted indexes"):
            return "INVERTED"
        return {FieldType.KEYWORD: "Trie", FieldType.BOOLEAN: None}.get(kind, "STL_SORT")
