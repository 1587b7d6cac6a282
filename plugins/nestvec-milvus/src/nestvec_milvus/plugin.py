"""What nestvec loads to get to know this backend. Imports no SDK."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nestvec.contract import BackendPlugin
from nestvec.hookspecs import hookimpl
from nestvec_milvus.options import MilvusCollectionOptions, MilvusOptions, capabilities, embedded_options, made
from nestvec_milvus.presets import PRESETS

if TYPE_CHECKING:
    from nestvec.contract import Adapter

_EXAMPLE = "http://localhost:19530"


def _open(options: MilvusOptions) -> Adapter:
    from nestvec_milvus.adapter import open_adapter

    return open_adapter(options, blocking=True)


def _open_async(options: MilvusOptions) -> Adapter | None:
    """None for Milvus Lite: it has no asynchronous form."""
    if options.embedded:
        return None
    from nestvec_milvus.adapter import open_adapter

    return open_adapter(options, blocking=False)


@hookimpl
def nestvec_backend() -> BackendPlugin:
    """Register the backend."""
    return BackendPlugin(
        name="milvus",
        summary="Milvus: a server, Zilliz Cloud, or Milvus Lite in this process.",
        options=MilvusOptions,
        capabilities=capabilities,
        open=_open,
        open_async=_open_async,
        collection_options=MilvusCollectionOptions,
        embedded=embedded_options,
        path_option="path",
        made=made,
        forms={
            "": {"uri": _EXAMPLE},
            **{f"version {version}": {"uri": _EXAMPLE, "version": version} for version in ("2.4", "2.6")},
        },
        presets=PRESETS,
    )
