"""The note beside a collection: its canaries' vectors in little room, who made them, and who was found to agree."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from nestvec.contract import MAX_NOTE
from nestvec.encoding.matryoshka import normalize
from nestvec.errors import SpaceUnknown, Unsupported
from nestvec.parity.agreement import Agreement
from nestvec.parity.canaries import TEXTS, VERSION, Leg, legs_of

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
class Canaries:
    """What a collection's note says: `vectors` has shape (texts, dimensions) for each leg of its space."""

    host: str
    vectors: Mapping[Leg, FloatArray]
    accepted: Mapping[str, Agreement] = field(default_factory=dict)
    version: int = VERSION

    @property
    def texts(self) -> tuple[str, ...]:
        """The texts that were embedded."""
        count = len(next(iter(self.vectors.values())))
        return TEXTS[self.version][:count]

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
        legs = [{"task": leg.task, "late": leg.late, **_packed(rows)} for leg, rows in self.vectors.items()]
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
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise SpaceUnknown(
                f"the canaries of collection {collection!r} are damaged ({error!r:.200}): which host its vectors come "
                f"from is not known. Nothing was changed. If you know that the configured embedder gives such vectors, "
                f"remove the canaries with `nestvec delete {collection} --canaries`; the next ingestion makes others"
            ) from error

    @classmethod
    def _parse(cls, note: Mapping[str, Any], space: EmbeddingSpace) -> Canaries:
        expected = legs_of(space)
        vectors = {Leg(leg["task"], leg["late"]): _unpacked(leg, space.dimensions) for leg in note["legs"]}
        counts = {len(rows) for rows in vectors.values()}
        if tuple(vectors) != expected or len(counts) != 1 or not 1 <= min(counts) <= len(TEXTS[note["version"]]):
            raise ValueError(f"it has {[str(leg) for leg in vectors]} and not {[str(leg) for leg in expected]}")
        accepted = {str(host): Agreement(*map(float, figures)) for host, figures in note["accepted"].items()}
        return cls(_text(note["host"]), vectors, accepted, note["version"])


def texts_for(dimensions: int, legs: Sequence[Leg], version: int = VERSION) -> tuple[str, ...]:
    """As many canary texts as a note has room for: all of them up to 1,696 dimensions, five at 2,048.

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


def _packed(rows: FloatArray) -> dict[str, Any]:
    lengths = np.linalg.norm(rows.astype(np.float64), axis=1)
    text = base64.b64encode(pack(rows)).decode("ascii")
    return {"lengths": [float(f"{length:.5g}") for length in lengths], "vectors": text}


def _unpacked(leg: Mapping[str, Any], dimensions: int) -> FloatArray:
    try:
        packed = base64.b64decode(leg["vectors"], validate=True)
    except binascii.Error as error:
        raise ValueError(f"its vectors are no base64: {error}") from error
    rows, lengths = unpack(packed, dimensions), np.asarray(leg["lengths"], np.float32)
    if lengths.shape != (len(rows),) or not (np.isfinite(rows).all() and np.isfinite(lengths).all()):
        raise ValueError(f"{len(rows)} vectors have {lengths.shape} lengths, or are not finite")
    return np.ascontiguousarray(normalize(rows) * lengths[:, None])


def _packed_size(dimensions: int) -> int:
    """Characters that one more vector takes, at most."""
    return -(-(-(-dimensions // _BLOCK) * (2 + _BLOCK)) // 3) * 4


def _text(value: object) -> str:
    if not isinstance(value, str) or not value:
        raise ValueError(f"its host is {value!r}")
    return value
