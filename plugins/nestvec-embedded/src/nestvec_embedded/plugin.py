"""What nestvec loads to get to know this backend. Imports neither SQLite nor numpy."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nestvec.contract import BackendPlugin
from nestvec.hookspecs import hookimpl
from nestvec_embedded.options import CAPABILITIES, EmbeddedOptions, embedded_options, made

if TYPE_CHECKING:
    from nestvec.contract import Adapter


def _open(options: EmbeddedOptions) -> Adapter:
    from nestvec_embedded.adapter import open_adapter

    return open_adapter(options)


@hookimpl
def nestvec_backend() -> BackendPlugin:
    """Register the backend."""
    return BackendPlugin(
        name="embedded",
        summary="A folder on this machine: exact search of hundreds of thousands of records, no server.",
        options=EmbeddedOptions,
        capabilities=lambda _: CAPABILITIES,
        open=_open,
        embedded=embedded_options,
        path_option="path",
        made=made,
        default=True,
    )
