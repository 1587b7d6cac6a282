"""The note beside a collection: its canaries' vectors in little room, who made them, and who was found to agree."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from nestvec._damaged import DAMAGED
from nestvec._hosts.agreement import Agreement
from nestvec._hosts.canaries import TEXTS, VERSION, Leg, legs_of
from nestvec.contract import MAX_NOTE
from nestvec.encoding.vectors import normalize
from nestvec.errors import SpaceUnknown, Unsupported

if TYPE_CHECKING:
    from nestvec.spaces import EmbeddingSpace
    from nestvec.types import FloatArray

#: The note's name.
NOTE = "canaries"
#: Bytes for everything but vectors.
_REST = 2048
#: Numbers that share a scale. A vector is off by a cosine of 1.3e-4 at most, and usually by 1e-5.
_BLOCK, _STEPS = 16, 127
#: The most that storing takes from a cosine.
QUANTIZATION = 1.3e-4


@dataclass(frozen=True, slots=True)
class Packed:
    """Vectors as the note keeps them: their lengths, and their directions in base64. See `pack`."""

    dimensions: int
    lengths: tuple[float, ...]
    directions: str

    @classmethod
    def of(cls, rows: FloatArray) -> Packed:
        """Shape (texts, dimensions)."""
        lengths = np.linalg.norm(rows.astype(np.float64), axis=1)
        rounded = tuple(float(f"{length:.5g}") for length in lengths)
        return cls(rows.shape[1], rounded, base64.b64encode(pack(rows)).decode("ascii"))

    def rows(self) -> FloatArray:
        """The vectors, nearly: shape (texts, dimensions). Raises ValueError where this is not what `of` made."""
        directions = unpack(base64.b64decode(self.directions, validate=True), self.dimensions)
        lengths = np.asarray(self.lengths, np.float32)
        if len(directions) != len(lengths) or not (np.isfinite(directions).all() and np.isfinite(lengths).all()):
            raise ValueError(f"{len(directions)} vectors have {len(lengths)} lengths, or are not finite")
        rows: FloatArray = normalize(directions) * lengths[:, None]
        return rows


@dataclass(frozen=True, slots=True)
class Canaries:
    """What a collection's note says: who made it, vectors for each leg of its space, and who was found to agree."""

    host: str
    legs: Mapping[Leg, Packed]
    accepted: Mapping[str, Agreement] = field(default_factory=dict)
    version: int = VERSION

    @classmethod
    def of(cls, host: str, vectors: Mapping[Leg, FloatArray], version: int = VERSION) -> Canaries:
        """Those of a host: shape (texts, dimensions) for each leg."""
        return cls(host, {leg: Packed.of(rows) for leg, rows in vectors.items()}, version=version)

    @property
    def vectors(self) -> dict[Leg, FloatArray]:
        """Shape (texts, dimensions) for each leg."""
        return {leg: packed.rows() for leg, packed in self.legs.items()}

    @property
    def texts(self) -> tuple[str, ...]:
        """The texts that were embedded."""
        return TEXTS[self.version][: len(next(iter(self.legs.values())).lengths)]

    def vouches_for(self, host: str) -> bool:
        """Whether this host made the canaries or was found to agree with them."""
        return host == self.host or host in self.accepted

    def accepting(self, host: str, agreement: Agreement) -> Canaries:
        """The same, with one more host."""
        return replace(self, accepted={**self.accepted, host: agreement})

    def to_text(self) -> str:
        """At most `MAX_NOTE` bytes. Where there is no room, the hosts accepted first are left out: they are compared
        again when they come back."""
        accepted = {host: list(agreement.to_dict().values()) for host, agreement in self.accepted.items()}
        legs = [
            {"task": leg.task, "late": leg.late, "lengths": packed.lengths, "vectors": packed.directions}
            for leg, packed in self.legs.items()
        ]
        while True:
            note = {"version": self.version, "host": self.host, "accepted": accepted, "legs": legs}
            text = json.dumps(note, separators=(",", ":"))
            if len(text) <= MAX_NOTE or not accepted:  # ASCII: a character is a byte
                return text
            del accepted[next(iter(accepted))]

    @classmethod
    def read(cls, text: str, space: EmbeddingSpace, collection: str) -> Canaries:
        """Read what `to_text` wrote. Raises `SpaceUnknown` for a damaged note, or one of a later version."""
        try:
            note = json.loads(text)
            if note["version"] not in TEXTS:
                raise SpaceUnknown(
                    f"the canaries of collection {collection!r} have version {note['version']!r}; this nestvec knows "
                    f"{', '.join(map(str, TEXTS))}: use the version of nestvec that made them"
                )
            return cls._parse(note, space)
        except DAMAGED as error:
            raise SpaceUnknown(
                f"the canaries of collection {collection!r} are damaged ({error!r:.200}): which host its vectors come "
                f"from is not known. Nothing was changed. If you know that the configured embedder gives such vectors, "
                f"remove the canaries with `nestvec delete {collection} --canaries`; the next ingestion makes others"
            ) from error

    @classmethod
    def _parse(cls, note: Mapping[str, Any], space: EmbeddingSpace) -> Canaries:
        legs = {
            Leg(leg["task"], leg["late"]): Packed(space.dimensions, tuple(map(float, leg["lengths"])), leg["vectors"])
            for leg in note["legs"]
        }
        accepted = {str(host): Agreement(*map(float, figures)) for host, figures in note["accepted"].items()}
        read = cls(note["host"], legs, accepted, note["version"])
        counts = {len(rows) for rows in read.vectors.values()}
        if tuple(legs) != legs_of(space) or len(counts) != 1 or not 1 <= min(counts) <= len(TEXTS[read.version]):
            raise ValueError(f"it has {[str(leg) for leg in legs]}, each with {sorted(counts)} vectors")
        if not isinstance(read.host, str) or not read.host:
            raise ValueError(f"its host is {read.host!r}")
        return read


def texts_for(dimensions: int, legs: Sequence[Leg], version: int = VERSION) -> tuple[str, ...]:
    """As many canary texts of a version as a note has room for: all of them up to 1,696 dimensions, five at 2,048.

    Raises `Unsupported` where there is room for none.
    """
    count = (MAX_NOTE - _REST) // (_packed_size(dimensions) * len(legs))
    if count < 1:
        raise Unsupported(f"vectors of {dimensions} dimensions are too long to be kept as canaries")
    return TEXTS[version][:count]


def pack(rows: FloatArray) -> bytes:
    """Directions in about 9 bits a number: blocks of 16 numbers of one byte, with a float16 scale each.

    Shape (n, d); lengths are lost. See `QUANTIZATION` for how far off they are afterwards.
    """
    unit = normalize(rows)
    blocks = np.pad(unit, ((0, 0), (0, -unit.shape[1] % _BLOCK))).reshape(len(unit), -1, _BLOCK)
    scales = (np.abs(blocks).max(axis=2, keepdims=True) / _STEPS).astype("<f2")
    steps = np.divide(blocks, scales, out=np.zeros_like(blocks), where=scales > 0)
    numbers = np.clip(np.rint(steps), -_STEPS, _STEPS).astype(np.int8)
    return bytes(scales.tobytes() + numbers.tobytes())


def unpack(packed: bytes, dimensions: int) -> FloatArray:
    """What `pack` packed: shape (n, dimensions). Raises ValueError where the size is wrong."""
    blocks = -(-dimensions // _BLOCK)
    rows, rest = divmod(len(packed), blocks * (2 + _BLOCK))
    if rest:
        raise ValueError(f"{len(packed)} bytes are no vectors of {dimensions} dimensions")
    scales = np.frombuffer(packed, "<f2", rows * blocks).astype(np.float32)
    numbers = np.frombuffer(packed, np.int8, offset=2 * rows * blocks).astype(np.float32)
    whole = numbers.reshape(rows, blocks, _BLOCK) * scales.reshape(rows, blocks, 1)
    return np.ascontiguousarray(whole.reshape(rows, -1)[:, :dimensions])


def _packed_size(dimensions: int) -> int:
    """Characters that one more vector takes, at most."""
    return -(-(-(-dimensions // _BLOCK) * (2 + _BLOCK)) // 3) * 4
