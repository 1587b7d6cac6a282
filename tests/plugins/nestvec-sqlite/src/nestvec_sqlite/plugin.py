"""The hook: what nestvec imports first, also to plan and to list plugins. No driver, no numpy."""

from nestvec.contract import Adapter, BackendPlugin
from nestvec.hookspecs import hookimpl
from nestvec_sqlite.options import CAPABILITIES, SqliteOptions


@hookimpl
def nestvec_backend() -> BackendPlugin:
    """Register the backend `sqlite`."""
    return BackendPlugin(
        name="sqlite",
        summary="One SQLite file, exact search.",
        options=SqliteOptions,
        capabilities=lambda _: CAPABILITIES,
        open=open_adapter,
        embedded=lambda path: {"path": str(path or ":memory:")},
        path_option="path",
    )


def open_adapter(options: SqliteOptions) -> Adapter:
    """Open the file, creating it if need be. Raises `BackendError`."""
    from nestvec_sqlite.adapter import SqliteAdapter  # late: listing and planning need no driver
    from nestvec_sqlite.client import SqliteClient

    return SqliteAdapter(SqliteClient(options.path))
