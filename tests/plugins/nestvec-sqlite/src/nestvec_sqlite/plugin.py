"""What nestvec imports first: options, declared capabilities and the hook. No driver, no numpy."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import Field, ValidatorFunctionWrapHandler, field_validator

from nestvec.capabilities import BackendCapabilities
from nestvec.contract import BackendPlugin
from nestvec.hookspecs import hookimpl
from nestvec.options import LocalPath, Options

if TYPE_CHECKING:
    from nestvec.contract import Adapter

MEMORY = ":memory:"
CAPABILITIES = BackendCapabilities(
    embedded=True,
    exact=True,
    stores_exact=True,
    why_not={
        "funnels": "every search reads all vectors anyway, so choosing candidates by shorter ones would save nothing",
        "storage": "vectors are kept bit for bit as they were written",
    },
)


class SqliteOptions(Options):
    """What may stand in a `[backends.NAME]` block with `use = "sqlite"`."""

    path: LocalPath = Field(description='The database file; ":memory:" keeps everything in memory.')

    @field_validator("path", mode="wrap")
    @classmethod
    def _memory_is_no_file(cls, value: Any, handler: ValidatorFunctionWrapHandler) -> Path:
        path: Path = Path(MEMORY) if value == MEMORY else handler(value)
        return path


def open_adapter(options: SqliteOptions) -> Adapter:
    """Open the file, creating it if need be. Raises `BackendError`."""
    from nestvec_sqlite.adapter import SqliteAdapter  # late: listing and planning need no driver

    return SqliteAdapter(options.path)


@hookimpl
def nestvec_backend() -> BackendPlugin:
    """Register the backend `sqlite`."""
    return BackendPlugin(
        name="sqlite",
        summary="One SQLite file, exact search.",
        options=SqliteOptions,
        capabilities=lambda _: CAPABILITIES,
        open=open_adapter,
        embedded=lambda path: {"path": str(path) if path else MEMORY},
    )
