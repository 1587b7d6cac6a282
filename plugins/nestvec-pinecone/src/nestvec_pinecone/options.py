"""What can be configured, and what Pinecone can do and takes at most."""

from __future__ import annotations

from typing import Annotated, Final, Literal
from urllib.parse import SplitResult

from pydantic import AfterValidator, Field, model_validator

from nestvec.addresses import is_plain, split_address
from nestvec.capabilities import BackendCapabilities, Power
from nestvec.names import NameRules
from nestvec.options import MAX_REPLY, Bytes, Options, Secret

#: Pinecone's documented limits, each inclusive.
MAX_REQUEST_BYTES: Final = 2 * 1024 * 1024
MAX_RECORDS: Final = 1000
MAX_IDS: Final = 1000
MAX_TOP_K: Final = 10_000
MAX_METADATA_BYTES: Final = 40 * 1024
#: Of one $in or $nin; the adapter makes several of longer lists.
MAX_IN_VALUES: Final = 10_000
MAX_DIMENSIONS: Final = 20_000
_WHY_NOT: Final = {
    "funnels": "a record has one dense vector, and prefixes in a namespace of their own would make two writes of each, "
    "one of which can fail alone",
    "storage": "Pinecone itself decides how vectors are kept, and no other way can be asked for",
}
_POWERS: Final = frozenset({Power.ALIASES, Power.NOTES, Power.UPDATES, Power.TENANCY, Power.ADOPTION})


def _split(address: str) -> SplitResult:
    return split_address(address, example="https://docs-1a2b3c4.svc.pinecone.io")


def checked_address(address: str) -> str:
    """With a scheme: Pinecone's console shows hosts without one. Raises ValueError."""
    full = address if "://" in address else f"https://{address}"
    return _split(full).geturl().rstrip("/")


Address = Annotated[str, AfterValidator(checked_address)]


class PineconeOptions(Options):
    """`[backends.NAME]` with `use = "pinecone"`.

    Without `index_host`, each collection is an index of its own, made by the control plane. With `index_host`,
    collections are namespaces of that one index, and the control plane is never asked.
    """

    api_key: Secret = Field(Secret(env="PINECONE_API_KEY"), description='{ env = "NAME" } or { file = "path" }.')
    cloud: Literal["aws", "gcp", "azure"] = Field("aws", description="Where new indexes run.")
    region: str = Field("us-east-1", min_length=1, description="Region of that cloud.")
    control_host: Address | None = Field(None, description="Another control plane than Pinecone's own.")
    index_host: Address | None = Field(None, description="The host of one existing index to work in.")
    allow_http_key: bool = Field(False, description="Send the key unencrypted to a public host.")
    timeout: int = Field(30, ge=1, description="Seconds that a request may take.")
    max_reply: Bytes = Field(MAX_REPLY, validate_default=True, description="Most bytes of a reply, unpacked.")
    ready_timeout: int = Field(300, ge=1, description="Seconds to wait for an index to be created or deleted.")
    visible_timeout: int = Field(60, ge=1, description="Seconds to wait for a write to become visible.")
    concurrency: int = Field(8, ge=1, le=64, description="Requests that one operation may have in flight.")
    scan: bool = Field(False, description="Count and filter by listing ids: for servers that cannot fetch by metadata.")

    @model_validator(mode="after")
    def _one_place(self) -> PineconeOptions:
        given = sorted(self.model_fields_set & {"control_host", "cloud", "region", "ready_timeout"})
        if self.index_host is not None and given:
            raise ValueError(
                f"{', '.join(given)}: only for indexes that nestvec makes itself; leave it out, or leave index_host out"
            )
        return self

    @model_validator(mode="after")
    def _safe(self) -> PineconeOptions:
        for address in filter(None, (self.control_host, self.index_host)):
            self.check_key_is_safe(address)
        return self

    def check_key_is_safe(self, address: str) -> None:
        """Raises ValueError where the key would travel to this address unencrypted, and may not."""
        parts = _split(address)
        # A private network is near enough, as in a compose file.
        if is_plain(parts, private_is_safe=True) and not self.allow_http_key:
            raise ValueError(
                f"the api_key would travel unencrypted to {parts.hostname}; write https://…, or, in a network that "
                f"you trust, allow_http_key = true"
            )

    @property
    def place(self) -> str:
        """What errors call it. Holds no secret."""
        if self.index_host is not None:
            return f"the Pinecone index at {self.index_host}"
        return "Pinecone" if self.control_host is None else f"Pinecone at {self.control_host}"


def capabilities(options: PineconeOptions) -> BackendCapabilities:
    """Declared capabilities."""
    return BackendCapabilities(
        powers=_POWERS,
        scans=options.scan,
        max_dimensions=MAX_DIMENSIONS,
        names=NameRules(underscore=False, uppercase=False, max_length=45),
        max_write_records=MAX_RECORDS,
        max_write_bytes=MAX_REQUEST_BYTES,
        max_fetch_ids=MAX_IDS,
        max_limit=MAX_TOP_K,
        max_metadata_bytes=MAX_METADATA_BYTES,
        why_not=_WHY_NOT,
    )
