"""Vectors as the bodies of replies."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Final

import numpy as np

from nestvec_testing.emulators.jina.request import Ask

if TYPE_CHECKING:
    from nestvec.types import FloatArray


def reply_body(ask: Ask, vectors: FloatArray) -> bytes:
    """The whole reply, as JSON. Put together by hand: it is most of what a large request costs."""
    encode = _ENCODERS[ask.kind]
    repeated = vectors.strides[0] == 0
    encoded = [encode(vectors[0])] * len(vectors) if repeated else [encode(row) for row in vectors]
    data = ",".join(f'{{"object":"embedding","index":{n},"embedding":{row}}}' for n, row in enumerate(encoded))
    usage = f'{{"total_tokens":{ask.tokens},"prompt_tokens":{ask.tokens}}}'
    return f'{{"model":"{ask.model}","object":"list","usage":{usage},"data":[{data}]}}'.encode()


def _float(row: FloatArray) -> str:
    return json.dumps(row.tolist(), separators=(",", ":"))


def _base64(row: FloatArray) -> str:
    return f'"{base64.b64encode(row.astype("<f4", copy=False).tobytes()).decode()}"'


def _ubinary(row: FloatArray) -> str:
    """Eight signs a byte, the first one in the highest bit."""
    return json.dumps(np.packbits(row > 0).tolist(), separators=(",", ":"))


def _binary(row: FloatArray) -> str:
    """The same less 128, as signed bytes."""
    return json.dumps((np.packbits(row > 0).astype(np.int16) - 128).tolist(), separators=(",", ":"))


_ENCODERS: Final[Mapping[str, Callable[[FloatArray], str]]] = {
    "float": _float,
    "base64": _base64,
    "binary": _binary,
    "ubinary": _ubinary,
}
