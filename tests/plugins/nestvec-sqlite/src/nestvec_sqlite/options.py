"""What people may configure, and what the backend declares."""

from typing import Literal

from pydantic import Field

from nestvec.capabilities import BackendCapabilities, Power
from nestvec.filters import TextOp
from nestvec.options import LocalPath, Options

CAPABILITIES = BackendCapabilities(
    powers=frozenset({Power.ALIASES, Power.NOTES, Power.UPDATES, Power.TENANCY}),
    embedded=True,
    exact=True,
    stores_exact=True,
    text_filters=frozenset(TextOp),
    why_not={
        "funnels": "every search reads all vectors anyway, so choosing candidates by shorter ones would save nothing",
        "storage": "vectors are kept bit for bit as they were written",
    },
)


class SqliteOptions(Options):
    """What may stand in a `[backends.NAME]` block with `use = "sqlite"`."""

    path: Literal[":memory:"] | LocalPath = Field(description='The database file; ":memory:" keeps all in memory.')
