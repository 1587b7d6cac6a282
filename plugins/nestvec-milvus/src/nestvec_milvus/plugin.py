"""What nestvec loads to get to know this backend. Imports no SDK."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from nestvec.capabilities import BackendCapabilities
from nestvec.contract import BackendPlugin
from nestvec.hookspecs import hookimpl
from nestvec.names import NameRules
from nestvec_milvus.layout import MAX_JSON_BYTES, MAX_REQUEST_BYTES, MAX_WINDOW
from nestvec_milvus.options import MilvusCollectionOptions, MilvusOptions, embedded_options
from nestvec_milvus.server import OLDEST, OLDEST_CLOUD, Server, parsed

if TYPE_CHECKING:
    from nestvec.contract import Adapter, AsyncAdapter

_MAX_DIMENSIONS = 32768
_EXAMPLE = "http://localhost:19530"


def capabilities(options: MilvusOptions) -> BackendCapabilities:
    """Declared capabilities: what every version can do from the one on that the options state."""
    declared = BackendCapabilities(
        embedded=options.embedded,
        native_async=not options.embedded,
        exact=options.embedded,
        max_dimensions=_MAX_DIMENSIONS,
        names=NameRules(hyphen=False),
        adopts=True,
        max_write_bytes=MAX_REQUEST_BYTES,
        max_limit=MAX_WINDOW,
        max_metadata_bytes=MAX_JSON_BYTES,
    )
    hint = "" if options.embedded or options.cloud else "; say which version yours is with version in [backends.NAME]"
    return _least(options).refine(declared, hint)


def _least(options: MilvusOptions) -> Server:
    """The least that there may be on the other side."""
    if options.embedded:
        return Server("Milvus Lite", OLDEST, lite=True)
    stated = parsed(options.version) if options.version is not None else None
    return Server("Milvus", stated or (OLDEST_CLOUD if options.cloud else OLDEST), cloud=options.cloud)


def _open(options: MilvusOptions) -> Adapter:
    from nestvec_milvus.adapter import MilvusAdapter

    return MilvusAdapter(options)


def _open_async(options: MilvusOptions) -> AsyncAdapter | None:
    """None for Milvus Lite: it has no asynchronous form."""
    if options.embedded:
        return None
    from nestvec_milvus.adapter import AsyncMilvusAdapter

    return AsyncMilvusAdapter(options)


@hookimpl
def nestvec_backend() -> BackendPlugin:
    """Register the backend."""
    return BackendPlugin(
        name="milvus",
        summary="Milvus: a server, Zilliz Cloud, or Milvus Lite in this process.",
        options=MilvusOptions,
        capabilities=capabilities,
        open=_open,
        open_async=cast("Any", _open_async),
        collection_options=MilvusCollectionOptions,
        embedded=embedded_options,
        forms={
            "": {"uri": _EXAMPLE},
            **{f"version {version}": {"uri": _EXAMPLE, "version": version} for version in ("2.4", "2.6")},
        },
    )
