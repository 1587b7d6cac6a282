"""What the other side is, and what it can therefore do. Imports no SDK."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import permutations
from typing import Final

from nestvec.capabilities import BackendCapabilities, Freshness, Power
from nestvec.errors import Unsupported
from nestvec.filters import TextOp
from nestvec.types import FieldType, Storage

#: Vectors of a record where there can be several. Servers can be configured to take more.
MAX_VECTORS: Final = 4
#: Arrays and JSON columns, which records need, came with 2.3.
OLDEST: Final = (2, 3)
#: What Zilliz Cloud is at least compatible with.
OLDEST_CLOUD: Final = (2, 4)
_VERSION: Final = re.compile(r"\b[vV]?(\d+)\.(\d+)")

#: What nestvec makes use of where it is there: the first version of a server that has it, and whether Milvus Lite
#: does. There is no call that lists features, so the version must do.
FEATURES: Final[Mapping[str, tuple[tuple[int, int], bool]]] = {
    # More than one column of vectors in a collection.
    "several vectors": ((2, 4), True),
    # One index for every kind of scalar column; Milvus Lite searches without.
    "inverted indexes": ((2, 4), False),
    # Seen on 2.3.5: an upsert puts records into other partitions than the ones where searches look for the key.
    "partition keys": ((2, 4), True),
    # Patterns that look for more than how a string begins.
    "parts of strings": ((2, 4), True),
    # The values of a filter travel beside it.
    "filter templates": ((2, 5), False),
    # Columns of vectors in float16.
    "half vectors": ((2, 4), False),
    # Seen on 2.3.5 whose storage is local: to read a vector that its index does not hold deletes it from the storage.
    "reads beside indexes": ((2, 4), True),
    # Indexes that hold a byte, or a bit, for each number. Milvus Lite builds some, beside all vectors in memory: they
    # would save nothing there.
    "IVF_SQ8": ((2, 3), False),
    "HNSW_SQ": ((2, 5), False),
    "IVF_RABITQ": ((2, 6), False),
}

_LITE_WHY: Final = "Milvus Lite keeps every vector in memory as float32, whatever its index: use a server"
_CLOUD_FRESH: Final = "Zilliz Cloud indexes by itself, and does not tell when it has"
_CLOUD_WHY: Final = "Zilliz Cloud chooses indexes, and so how they quantise, by itself"


@dataclass(frozen=True)
class ServerVersion:
    """A Milvus by its version. `name` is what it calls itself."""

    name: str
    version: tuple[int, int]
    lite: bool = False
    cloud: bool = False

    @classmethod
    def of(cls, name: str, place: str, *, cloud: bool = False, stated: str | None = None) -> ServerVersion:
        """From the answer to `GetVersion`. Raises `Unsupported` for a server that is too old, or older than `stated`.

        A build that does not say its version is what is stated, else the oldest one: that works on all of them.
        """
        lite = name.startswith("milvus_lite")
        least = parsed(stated) if stated is not None else None
        version = parsed(name) or least or OLDEST
        if version < OLDEST:
            raise Unsupported(
                f"{place} is version {name}, which has neither arrays nor collection properties to keep nestvec's "
                f"records with; upgrade it to {'.'.join(map(str, OLDEST))} or later"
            )
        if least is not None and (lite or version < least):
            raise Unsupported(
                f'{place} is {name}, and the configuration says version = "{stated}"; correct that or leave it out, '
                f"or upgrade the server"
            )
        return cls(name, version, lite, cloud or "zilliz" in name.lower())

    def has(self, feature: str) -> bool:
        """Whether it has one of `FEATURES`."""
        since, lite = FEATURES[feature]
        return lite if self.lite else self.version >= since

    def refine(self, declared: BackendCapabilities, hint: str = "") -> BackendCapabilities:
        """The declared capabilities, with what this server adds. Milvus Lite may be a server, too.

        `hint` ends the reasons for what it lacks because of its age.
        """
        return replace(
            declared,
            powers=self.powers,
            text_filters=self.text_filters,
            exact=declared.exact or self.lite,
            fresh=self.fresh,
            max_vectors=self.max_vectors,
            storage=frozenset(self.storage),
            storage_updates=frozenset(permutations(sorted(self.storage - {Storage.FLOAT16}), 2)),
            why_not=self._reasons(hint),
        )

    @property
    def powers(self) -> frozenset[Power]:
        """What it has of its own: everything, but for what old servers and Milvus Lite lack."""
        lacking = set() if self.has("several vectors") else {Power.FUNNELS}
        lacking |= set() if self.fresh is Freshness.WHEN_SETTLED else {Power.SETTLING}
        return frozenset(Power) - lacking - ({Power.STORAGE} if self.storage == {Storage.FLOAT32} else set())

    @property
    def text_filters(self) -> frozenset[str]:
        """What filters can look for in strings: old servers know how one begins, and no more."""
        return frozenset(TextOp) if self.has("parts of strings") else frozenset({TextOp.STARTS_WITH})

    @property
    def fresh(self) -> Freshness:
        """When searches find what was written; see `nestvec_milvus.settling`."""
        if self.lite:
            return Freshness.AT_ONCE
        return Freshness.UNCERTAIN if self.cloud else Freshness.WHEN_SETTLED

    @property
    def max_vectors(self) -> int:
        """How many vectors a record may have."""
        return MAX_VECTORS if self.has("several vectors") else 1

    @property
    def storage(self) -> frozenset[Storage]:
        """How it can keep vectors."""
        kinds = {Storage.FLOAT32}
        if self.has("half vectors"):
            kinds.add(Storage.FLOAT16)
        if self.has("reads beside indexes") and not self.cloud:  # rescoring reads vectors
            indexes = {Storage.INT8: "IVF_SQ8", Storage.BINARY: "IVF_RABITQ"}
            kinds |= {kind for kind, index in indexes.items() if self.has(index)}
        return frozenset(kinds)

    @property
    def partition_keys(self) -> bool:
        """Whether tenants can have partitions; otherwise their column has an index."""
        return self.has("partition keys")

    @cached_property
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

    def _reasons(self, hint: str) -> dict[str, str]:
        reasons = {}
        if not self.has("several vectors"):
            reasons["funnels"] = f"several vectors for a record need Milvus {_since('several vectors')}{hint}"
        if self.cloud:
            reasons["settling"] = _CLOUD_FRESH
        if self.lite or self.cloud:
            reasons["storage"] = _LITE_WHY if self.lite else _CLOUD_WHY
        elif self.storage != frozenset(Storage):
            late = f"float16 and int8 need Milvus {_since('half vectors')}, binary {_since('IVF_RABITQ')}"
            reasons["storage"] = late + hint
        return reasons


def parsed(text: str) -> tuple[int, int] | None:
    """The first two numbers of a version, wherever it stands."""
    found = _VERSION.search(text)
    return (int(found[1]), int(found[2])) if found else None


def _since(feature: str) -> str:
    return ".".join(map(str, FEATURES[feature][0]))
