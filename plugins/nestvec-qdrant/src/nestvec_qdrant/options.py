"""What can be configured: the backend's block, and its table inside a collection's block. What it then can do."""

from __future__ import annotations

from itertools import permutations
from pathlib import Path
from typing import Annotated, Final, Literal
from urllib.parse import SplitResult

from pydantic import AfterValidator, Field, model_validator

from nestvec.addresses import is_plain, split_address
from nestvec.capabilities import BackendCapabilities, Power
from nestvec.options import MAX_REPLY, Bytes, LocalPath, Options, Secret

#: What a server takes in one request (its default), minus some room.
MAX_REQUEST_BYTES = 32 * 1024 * 1024 - 64 * 1024
MEMORY: Literal[":memory:"] = ":memory:"
#: What marks a folder of nestvec's embedded backend.
EMBEDDED_FILE = "store.sqlite3"
_REST_PORT = 6333
_MAX_DIMENSIONS = 65536


def _split(url: str) -> SplitResult:
    return split_address(url, example=f"http://localhost:{_REST_PORT}")


def _checked_url(url: str) -> str:
    _split(url)
    return url.strip()


class QdrantOptions(Options):
    """`[backends.NAME]` with `use = "qdrant"`: a server (`url`), or an embedded store (`path`)."""

    url: Annotated[str, AfterValidator(_checked_url)] | None = Field(
        None, description="Address of a server; without a port it is 6333, for https, too."
    )
    path: Annotated[Literal[":memory:"] | LocalPath | None, Field(union_mode="left_to_right")] = Field(
        None, description='Folder of an embedded store, or ":memory:".'
    )
    api_key: Secret | None = Field(None, description='{ env = "NAME" } or { file = "path" }.')
    allow_http_key: bool = Field(False, description="Send the key unencrypted to a host other than this one.")
    grpc: bool = Field(False, description="Use gRPC for everything that it can do.")
    grpc_port: int = Field(6334, ge=1, le=65535, description="Port of gRPC, on the host of url.")
    ca: LocalPath | None = Field(None, description="PEM file of the authority that signed the server's certificate.")
    timeout: int = Field(30, ge=1, description="Seconds that a request may take.")
    max_reply: Bytes = Field(MAX_REPLY, validate_default=True, description="Most bytes of a reply, unpacked.")

    @model_validator(mode="after")
    def _one_place(self) -> QdrantOptions:
        if (self.url is None) == (self.path is None):
            raise ValueError(
                f'set exactly one of url = "http://localhost:{_REST_PORT}" (a server), path = "./folder" and '
                f'path = "{MEMORY}"'
            )
        return self

    @model_validator(mode="after")
    def _server_options_need_a_server(self) -> QdrantOptions:
        given = self.model_fields_set & {"api_key", "allow_http_key", "grpc", "grpc_port", "ca", "timeout", "max_reply"}
        if self.url is None and given:
            raise ValueError(f"{', '.join(sorted(given))}: only for a server; set url instead of path, or leave it out")
        return self

    @model_validator(mode="after")
    def _safe(self) -> QdrantOptions:
        if self.url is None:
            return self
        parts = _split(self.url)
        if self.ca is not None and parts.scheme != "https":
            raise ValueError("ca is for https; write url = https://…, or leave ca out")
        if self.api_key is not None and is_plain(parts) and not self.allow_http_key:
            raise ValueError(
                f"the api_key would travel unencrypted to {parts.hostname}; write url = https://…, or, in a network "
                f"that you trust, allow_http_key = true"
            )
        return self

    @property
    def embedded(self) -> bool:
        """Whether the store runs in this process."""
        return self.path is not None

    @property
    def place(self) -> str:
        """What errors call it. Holds no secret."""
        if self.path is not None:
            return "Qdrant in memory" if self.path == MEMORY else f"the Qdrant folder {self.path}"
        return f"Qdrant at {self.url}" + (f" (gRPC on port {self.grpc_port})" if self.grpc else "")


class QdrantCollectionOptions(Options):
    """`[collections.NAME.qdrant]`: taken when the collection is created. For servers only."""

    hnsw_m: int | None = Field(None, ge=0, description="Edges of a node in the search graph.")
    hnsw_ef_construct: int | None = Field(None, ge=4, description="Neighbours considered while building it.")
    on_disk: bool | None = Field(None, description="Keep vectors on disk instead of in memory.")
    on_disk_payload: bool | None = Field(None, description="Keep texts and metadata on disk.")
    shard_number: int | None = Field(None, ge=1, description="Shards of the collection.")
    replication_factor: int | None = Field(None, ge=1, description="Copies of each shard.")


def embedded_options(path: Path | None) -> dict[str, str | Path]:
    """Options of an embedded store: in a folder, or in memory."""
    return {"path": MEMORY if path is None else path}


def made(path: Path) -> bool:
    """Whether the engine in this process made a folder."""
    return (path / "meta.json").is_file() and not (path / EMBEDDED_FILE).exists()


#: Segments that are not indexed yet are searched exhaustively, so there is nothing to settle.
_POWERS: Final = frozenset(Power) - {Power.SETTLING}


def declared_capabilities(options: QdrantOptions) -> BackendCapabilities:
    """What a store with these options can do. A server that is too old is found out only by asking it."""
    if options.embedded:
        return BackendCapabilities(
            powers=_POWERS - {Power.STORAGE},
            embedded=True,
            exact=True,
            max_dimensions=_MAX_DIMENSIONS,
            max_vectors=None,
            why_not={Power.STORAGE: "an embedded store has no quantisation and keeps float32: use a server"},
        )
    return BackendCapabilities(
        powers=_POWERS,
        max_dimensions=_MAX_DIMENSIONS,
        max_vectors=None,
        storage=frozenset({"float32", "float16", "int8", "binary"}),
        storage_updates=frozenset(permutations(("float32", "int8", "binary"), 2)),
        max_write_bytes=MAX_REQUEST_BYTES,
    )
