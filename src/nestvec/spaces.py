"""The embedding space: what two vectors must share before they may be compared."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from nestvec._damaged import DAMAGED
from nestvec.capabilities import ModelCapabilities, TaskPair
from nestvec.errors import SpaceError, SpaceMismatch

#: Version of the fingerprint: raise it when a field is added or its meaning changes.
FINGERPRINT_VERSION = 1


@dataclass(frozen=True, slots=True)
class EmbeddingSpace:
    """Where vectors live. Two vectors may be compared only within one space. Host and revision are no part of it.

    Attributes:
        model: The canonical name: the same for every host of the same weights.
        dimensions: Length of the vectors.
        normalized: Whether they have length 1.
        late_chunking: Whether chunks were embedded in the context of their document.
        index_task, query_task: What texts and questions are embedded for; None: the model knows no tasks.
        prompts: A digest of the texts that the model puts before its input, or None.
        rotation: The fingerprint of the nesting rotation, or None.

    Example:
        >>> docs.space.model, docs.space.dimensions
        ('intfloat/multilingual-e5-small', 384)
    """

    model: str
    dimensions: int
    normalized: bool
    late_chunking: bool
    index_task: str | None
    query_task: str | None
    prompts: str | None = None
    rotation: str | None = None

    @property
    def fingerprint(self) -> str:
        """A short stable name: `s1-` and 16 hexadecimal digits.

        SHA-256 over the UTF-8 JSON object of all fields by name, keys sorted, no white space, non-ASCII
        characters escaped. The digit after the `s` is `FINGERPRINT_VERSION`.

        >>> EmbeddingSpace("m", 4, True, False, None, None).fingerprint
        's1-58ac25ac66e1d18e'
        """
        canonical = json.dumps(asdict(self), sort_keys=True, separators=(",", ":"))
        return f"s{FINGERPRINT_VERSION}-{hashlib.sha256(canonical.encode()).hexdigest()[:16]}"

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values, with the fingerprint.

        Returns:
            The fields by name, and `fingerprint`.

        Example:
            >>> sorted(docs.space.to_dict())[:3]
            ['dimensions', 'fingerprint', 'index_task']
        """
        return {**asdict(self), "fingerprint": self.fingerprint}

    @classmethod
    def from_dict(cls, value: Mapping[str, Any]) -> EmbeddingSpace:
        """Read what `to_dict` wrote.

        Args:
            value: The fields by name, and `fingerprint`.

        Returns:
            An equal space.

        Raises:
            SpaceError: A field is missing, or the fingerprint does not match the fields.

        Example:
            >>> nestvec.EmbeddingSpace.from_dict(docs.space.to_dict()) == docs.space
            True
        """
        known = {item.name for item in fields(cls)}
        try:
            space = cls(**{key: value[key] for key in known})
            fingerprint = space.fingerprint
        except DAMAGED as error:
            raise SpaceError(f"the stored space cannot be read: {error!r} is missing or wrong") from error
        if value.get("fingerprint") != fingerprint:
            raise SpaceError(
                f"the stored space carries fingerprint {value.get('fingerprint')} but its fields give "
                f"{fingerprint}: it was written by another version of nestvec, or altered by hand"
            )
        return space

    def differences(self, wanted: EmbeddingSpace) -> dict[str, tuple[object, object]]:
        """Tell in which fields two spaces differ.

        Args:
            wanted: The other one.

        Returns:
            By name: what it is here, and there. Empty for equal spaces.

        Example:
            >>> docs.space.differences(nv["handbook"].space)
            {'dimensions': (384, 128)}
        """
        mine, theirs = asdict(self), asdict(wanted)
        return {name: (mine[name], theirs[name]) for name in mine if mine[name] != theirs[name]}


def space_of(
    model: ModelCapabilities, dimensions: int, tasks: TaskPair, *, late_chunking: bool = False
) -> EmbeddingSpace:
    """The space of a model's vectors at a size and for a pair of tasks."""
    return EmbeddingSpace(
        model=model.model,
        dimensions=dimensions,
        normalized=model.normalized,
        late_chunking=late_chunking,
        index_task=tasks.index,
        query_task=tasks.query,
        prompts=_digest(model.prompts),
        rotation=model.rotation,
    )


def require_same(stored: EmbeddingSpace, wanted: EmbeddingSpace, collection: str, *, migrates: bool = False) -> None:
    """Raise `SpaceMismatch` unless the spaces are one, naming both field by field and what to do.

    `migrates`: whether the collection can be brought into the wanted space.
    """
    differences = stored.differences(wanted)
    if not differences:
        return
    lines = "".join(f"\n  {name}: stored {was!r}, wanted {now!r}" for name, (was, now) in differences.items())
    migrate = f"bring the collection to it with `nestvec migrate {collection}`, " if migrates else ""
    raise SpaceMismatch(
        f"collection {collection!r} holds vectors of space {stored.fingerprint}, but {wanted.fingerprint} is "
        f"wanted; their vectors cannot be compared:{lines}\n"
        f"Nothing was changed. Set the configuration back to what is stored, {migrate}or give the new settings a "
        f"collection name of their own and ingest again.",
        differences,
    )


def _digest(prompts: Mapping[str, str]) -> str | None:
    if not prompts:
        return None
    canonical = json.dumps(dict(prompts), sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()[:16]
