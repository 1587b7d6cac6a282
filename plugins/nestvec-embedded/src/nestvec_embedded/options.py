"""What people may configure, and what the backend declares."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Final, Literal

from pydantic import Field

from nestvec.capabilities import BackendCapabilities, Power
from nestvec.filters import TextOp
from nestvec.options import LocalPath, Options

MEMORY: Final = ":memory:"
#: The file that every store has.
STORE_FILE: Final = "store.sqlite3"

CAPABILITIES: Final = BackendCapabilities(
    powers=frozenset({Power.ALIASES, Power.NOTES, Power.UPDATES, Power.TENANCY, Power.FUNNELS}),
    embedded=True,
    exact=True,
    stores_exact=True,
    max_dimensions=65536,
    max_vectors=None,
    text_filters=frozenset(TextOp),
    why_not={
        Power.STORAGE: "vectors are kept bit for bit as they were written; a server quantises them",
        Power.ADOPTION: "nobody but nestvec writes these folders",
    },
)


class EmbeddedOptions(Options):
    """`[backends.NAME]` with `use = "embedded"`: a folder, or nothing but memory."""

    path: Annotated[Literal[":memory:"] | LocalPath, Field(union_mode="left_to_right")] = Field(
        description='Folder of the store, made where it is missing; ":memory:" keeps all in memory.'
    )

    @property
    def folder(self) -> Path | None:
        """The folder; None for a store in memory."""
        return None if self.path == MEMORY else Path(self.path)

    @property
    def place(self) -> str:
        """What errors call it."""
        return "the embedded store in memory" if self.folder is None else f"the embedded store {self.path}"


def embedded_options(path: Path | None) -> dict[str, str | Path]:
    """Options of a store in a folder, or in memory."""
    return {"path": MEMORY if path is None else path}


def made(path: Path) -> bool:
    """Whether this backend made a folder."""
    return (path / STORE_FILE).is_file()
