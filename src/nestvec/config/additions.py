"""What the core reads in the blocks of plugins. A model of these is made for files that say so, and for the schema."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import AfterValidator, ByteSize, Field, StrictFloat, StrictInt, WithJsonSchema, model_validator

from nestvec._artifacts import is_fingerprint
from nestvec.options import LocalPath, Options


class RetryBlock(Options):
    """What `attempts` and `deadline` in a backend's block are read as."""

    attempts: StrictInt | None = Field(
        default=None,
        ge=1,
        description="How often a request is tried at most; default: as often as the deadline allows, but 4 times where "
        "the backend has not answered this client yet.",
    )
    deadline: StrictFloat | None = Field(
        default=None,
        gt=0,
        allow_inf_nan=False,
        description="Seconds after which a request is not tried again: a server that restarts within them ends "
        "nothing; default 60.",
    )


_LEAST = 1_000_000


def _enough(size: ByteSize) -> ByteSize:
    if size < _LEAST:
        raise ValueError('a cache needs room: write at least "1 MB"')
    return size


_SIZE = "^[0-9.]+ ?[A-Za-z]+$"
Size = Annotated[
    ByteSize,
    AfterValidator(_enough),
    WithJsonSchema({"anyOf": [{"type": "string", "pattern": _SIZE}, {"type": "integer", "minimum": _LEAST}]}),
]


class CacheBlock(Options):
    """`[embedders.NAME.cache]`: vectors that were computed before, kept on this machine's disk."""

    path: LocalPath = Field(description="Folder, made if it is not there. Several embedders may share it.")
    size: Size = Field(
        default="1 GB",
        validate_default=True,
        description='What it may grow to, such as "500 MB"; then what was not used for most days makes room.',
    )


def _rotation(value: str) -> str:
    if not is_fingerprint(value):
        raise ValueError("expected the fingerprint of a rotation: 16 digits, as `nestvec nest` prints them")
    return value


class NestingBlock(Options):
    """`[embedders.NAME.nesting]`, or `nesting = "FINGERPRINT"`: a rotation that was fitted by `nestvec nest`."""

    rotation: Annotated[
        str, AfterValidator(_rotation), WithJsonSchema({"type": "string", "pattern": "^[0-9a-f]{16}$"})
    ] = Field(description="Fingerprint of the rotation.")
    min_dimensions: StrictInt | None = Field(
        default=None,
        ge=1,
        description="Shortest prefix to allow; default: a quarter of the full length, at most 32.",
    )
    path: LocalPath | None = Field(default=None, description="Folder of its files; default: that of `artifacts`.")

    @model_validator(mode="before")
    @classmethod
    def _short(cls, value: Any) -> Any:
        return {"rotation": value} if isinstance(value, str) else value


class PriceBlock(Options):
    """What `price = 0.02` in an embedder's block is read as."""

    price: StrictFloat = Field(ge=0, allow_inf_nan=False, description="Price of a million tokens, for plans.")
