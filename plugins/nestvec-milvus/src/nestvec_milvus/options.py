"""What can be configured, what is declared to be possible with it, and the limits. Imports no SDK."""

from __future__ import annotations

import re
from collections.abc import Collection
from pathlib import Path
from typing import Annotated, Any, Final, Literal, TypeAlias
from urllib.parse import SplitResult

from pydantic import AfterValidator, Field, model_validator

from nestvec.addresses import is_plain, split_address
from nestvec.capabilities import BackendCapabilities
from nestvec.names import NameRules
from nestvec.options import LocalPath, Options, Secret
from nestvec_milvus.server import OLDEST, OLDEST_CLOUD, ServerVersion, parsed

#: What errors and documentation promise. The engines' own limits, 65,535 and 65,536, lie a little above;
#: the index of newer servers leaves out strings of more than 65,530 bytes.
MAX_STRING_BYTES: Final = 65_000
MAX_JSON_BYTES: Final = 65_000
VARCHAR_LENGTH: Final = 65_535
MAX_ID_BYTES: Final = 512
MAX_FIELDS_OF_A_RECORD: Final = 4096
#: A request may have 64 MiB; smaller ones stay clear of timeouts and of the server's memory.
MAX_REQUEST_BYTES: Final = 16 * 1024 * 1024
#: What offset and limit of a search may add up to.
MAX_WINDOW: Final = 16_384
_MAX_DIMENSIONS: Final = 32_768

_PORT = 19530
_TLS_PORT = 443
_CLOUD = (".zillizcloud.com", ".cloud.zilliz.com", ".cloud.zilliz.com.cn")

MEMORY: Literal[":memory:"] = ":memory:"
IndexType: TypeAlias = Literal["HNSW", "AUTOINDEX", "FLAT", "IVF_FLAT", "IVF_SQ8", "HNSW_SQ", "IVF_RABITQ"]
Consistency: TypeAlias = Literal["strong", "bounded", "session", "eventually"]


def _split(uri: str) -> SplitResult:
    return split_address(uri, example=f"http://localhost:{_PORT}", instead="token, or user and password")


def _checked_uri(uri: str) -> str:
    parts = _split(uri)
    if parts.path.strip("/"):
        raise ValueError("the address must end after its port; the database goes into database = …")
    return uri.strip()


def _checked_version(version: str) -> str:
    if not re.fullmatch(r"\d+\.\d+(\.\d+)?", version):
        raise ValueError(f'{version!r} is no version of Milvus; write two or three numbers, such as "2.6"')
    return version


class MilvusOptions(Options):
    """`[backends.NAME]` with `use = "milvus"`: a server (`uri`), or Milvus Lite in this process (`path`)."""

    uri: Annotated[str, AfterValidator(_checked_uri)] | None = Field(
        None, description=f"Address of a server or of Zilliz Cloud; without a port: {_PORT}, for https {_TLS_PORT}."
    )
    path: Annotated[Literal[":memory:"] | LocalPath | None, Field(union_mode="left_to_right")] = Field(
        None,
        description='Where Milvus Lite keeps its data, such as "./vectors.db"; ":memory:" keeps it while it is open.',
    )
    user: str | None = Field(None, min_length=1, description="User, together with password.")
    password: Secret | None = Field(None, description='{ env = "NAME" } or { file = "path" }.')
    token: Secret | None = Field(None, description="API key or token, instead of user and password.")
    allow_plain_secret: bool = Field(False, description="Send secrets unencrypted to a host other than this one.")
    database: str | None = Field(None, min_length=1, description="Database on the server; default: the server's own.")
    version: Annotated[str, AfterValidator(_checked_version)] | None = Field(
        None,
        description='The server\'s version or an older one, such as "2.6", so that it is known what it can do before '
        "connecting; default: 2.3, on Zilliz Cloud 2.4.",
    )
    ca: LocalPath | None = Field(None, description="PEM file of the authority that signed the server's certificate.")
    client_cert: LocalPath | None = Field(None, description="PEM file of this client's certificate (mutual TLS).")
    client_key: LocalPath | None = Field(None, description="PEM file of its private key.")
    server_name: str | None = Field(None, description="Name in the server's certificate, where it is not the host's.")
    timeout: float = Field(30, gt=0, description="Seconds that a request may take.")
    load_timeout: float = Field(120, gt=0, description="Seconds that loading a collection into memory may take.")

    @model_validator(mode="after")
    def _one_place(self) -> MilvusOptions:
        if (self.uri is None) == (self.path is None):
            raise ValueError(
                f'set exactly one of uri = "http://localhost:{_PORT}" (a server) and path = "./file.db" (Milvus Lite)'
            )
        return self

    @model_validator(mode="after")
    def _server_options_need_a_server(self) -> MilvusOptions:
        given = self.model_fields_set - {"path", "uri"}
        if self.uri is None and given:
            raise ValueError(f"{', '.join(sorted(given))}: only for a server; set uri instead of path, or leave it out")
        return self

    @model_validator(mode="after")
    def _whole_credentials(self) -> MilvusOptions:
        if (self.user is None) != (self.password is None):
            raise ValueError("user and password belong together; give both, or a token")
        if self.user is not None and self.token is not None:
            raise ValueError("give either token, or user and password")
        if (self.client_cert is None) != (self.client_key is None):
            raise ValueError("client_cert and client_key belong together")
        return self

    @model_validator(mode="after")
    def _safe(self) -> MilvusOptions:
        if self.uri is None:
            return self
        parts = _split(self.uri)
        tls = {"ca", "client_cert", "client_key", "server_name"} & self.model_fields_set
        if tls and parts.scheme != "https":
            raise ValueError(f"{', '.join(sorted(tls))}: only for https; write uri = https://…, or leave it out")
        if (self.token or self.password) and is_plain(parts) and not self.allow_plain_secret:
            raise ValueError(
                f"the secret would travel unencrypted to {parts.hostname}; write uri = https://…, or, in a network "
                f"that you trust, allow_plain_secret = true"
            )
        return self

    @property
    def embedded(self) -> bool:
        """Whether the engine runs in this process."""
        return self.path is not None

    @property
    def secure(self) -> bool:
        """Whether the connection is encrypted."""
        return self.uri is not None and _split(self.uri).scheme == "https"

    @property
    def cloud(self) -> bool:
        """Whether this is Zilliz Cloud, which chooses indexes by itself."""
        return self.uri is not None and (_split(self.uri).hostname or "").endswith(_CLOUD)

    @property
    def target(self) -> str:
        """Host and port, for gRPC."""
        parts = _split(self.uri or "")
        host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname
        return f"{host}:{parts.port or (_TLS_PORT if parts.scheme == 'https' else _PORT)}"

    @property
    def place(self) -> str:
        """What errors call it. Holds no secret."""
        if self.path is not None:
            return "Milvus Lite in memory" if self.path == MEMORY else f"the Milvus Lite store {self.path}"
        return f"Milvus at {self.uri}" + (f" (database {self.database})" if self.database else "")


class MilvusCollectionOptions(Options):
    """`[collections.NAME.milvus]`: taken when the collection is created."""

    index: IndexType | None = Field(
        None, description="Default: HNSW, or what storage needs; AUTOINDEX on Zilliz Cloud; FLAT on Milvus Lite."
    )
    hnsw_m: int = Field(16, ge=2, le=2048, description="HNSW: edges of a node in the search graph.")
    hnsw_ef_construction: int = Field(200, ge=8, description="HNSW: neighbours considered while building it.")
    hnsw_ef: int = Field(64, ge=1, le=32768, description="HNSW: neighbours considered in a search, at least its limit.")
    nlist: int = Field(128, ge=1, le=65536, description="IVF: clusters.")
    nprobe: int = Field(
        16, ge=1, le=65536, description="IVF: clusters that a search looks into; half of them if quantised."
    )
    consistency: Consistency = Field("strong", description="What a search sees of recent writes.")
    shards: int = Field(1, ge=1, le=16, description="Shards that share the writes.")
    replicas: int = Field(1, ge=1, description="Copies in memory that share the searches.")
    partitions: int = Field(16, ge=1, le=1024, description="Partitions that the tenants are spread over.")

    @model_validator(mode="after")
    def _fitting_parameters(self) -> MilvusCollectionOptions:
        wrong = self.unused({self.index or "HNSW"})
        if wrong:
            raise ValueError(f"{', '.join(sorted(wrong))}: not for index = {self.index or 'HNSW'}; leave it out")
        return self

    def unused(self, indexes: Collection[str]) -> set[str]:
        """The parameters that are set and that none of these indexes has."""
        given = {name for name in self.model_fields_set if name.startswith("hnsw_")}
        if any(index.startswith("HNSW") for index in indexes):
            given = set()
        if not any(index.startswith("IVF") for index in indexes):
            given |= self.model_fields_set & {"nlist", "nprobe"}
        return given

    def build_parameters(self, index: str) -> dict[str, Any]:
        """Parameters for building that index."""
        if index.startswith("HNSW"):
            graph = {"M": self.hnsw_m, "efConstruction": self.hnsw_ef_construction}
            return {**graph, "sq_type": "SQ8"} if index == "HNSW_SQ" else graph
        return {"nlist": self.nlist} if index.startswith("IVF") else {}

    def search_parameters(self, index: str) -> dict[str, int]:
        """Parameters for searching it."""
        if index.startswith("HNSW"):
            return {"ef": self.hnsw_ef}
        if not index.startswith("IVF"):
            return {}
        if index != "IVF_FLAT" and "nprobe" not in self.model_fields_set:
            # Storage is to save memory, not to lose records: on 1,500 passages of 384 dimensions, an eighth of the
            # clusters held 56 to 68 % of the ten best, half of them 88 to 95 %.
            return {"nprobe": max(1, self.nlist // 2)}
        return {"nprobe": min(self.nprobe, self.nlist)}


def embedded_options(path: Path | None) -> dict[str, str | Path]:
    """Options of a Milvus Lite store at a path, or in memory."""
    return {"path": MEMORY if path is None else path}


def made(path: Path) -> bool:
    """Whether Milvus Lite made a folder."""
    return (path / "LOCK").is_file() and (path / "collections").is_dir()


def capabilities(options: MilvusOptions) -> BackendCapabilities:
    """Declared capabilities: what every version can do from the one on that the options state."""
    declared = BackendCapabilities(
        embedded=options.embedded,
        exact=options.embedded,
        max_dimensions=_MAX_DIMENSIONS,
        names=NameRules(hyphen=False),
        max_write_bytes=MAX_REQUEST_BYTES,
        max_limit=MAX_WINDOW,
        max_metadata_bytes=MAX_JSON_BYTES,
        in_flight=1 if options.embedded else _IN_FLIGHT,
    )
    hint = "" if options.embedded or options.cloud else "; say which version yours is with version in [backends.NAME]"
    return _least(options).refine(declared, hint)


#: A strong read waits for the server's clock, some 0.2 to 0.4 seconds in which it works for others.
_IN_FLIGHT = 16


def _least(options: MilvusOptions) -> ServerVersion:
    """The least that there may be on the other side."""
    if options.embedded:
        return ServerVersion("Milvus Lite", OLDEST, lite=True)
    stated = parsed(options.version) if options.version is not None else None
    return ServerVersion("Milvus", stated or (OLDEST_CLOUD if options.cloud else OLDEST), cloud=options.cloud)
