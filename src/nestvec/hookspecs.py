"""Everything a plugin can hook into.

A distribution offers a backend named `acme` with an entry point `acme = "its_module"` in the group
`nestvec.backends` (embedders: `nestvec.embedders`; listeners, under any name: `nestvec.listeners`). The
module is imported only when the name is used; it must not import its SDK at the top.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pluggy

if TYPE_CHECKING:
    from nestvec.contract import BackendPlugin, EmbedderPlugin, Event

hookspec = pluggy.HookspecMarker("nestvec")
hookimpl = pluggy.HookimplMarker("nestvec")


@hookspec
def nestvec_backend() -> BackendPlugin:  # type: ignore[empty-body]  # a specification has no body
    """Register a backend."""


@hookspec
def nestvec_embedder() -> EmbedderPlugin:  # type: ignore[empty-body]
    """Register an embedder."""


@hookspec
def nestvec_event(event: Event) -> None:
    """Hear what happens. Called synchronously after the fact; must be quick."""
