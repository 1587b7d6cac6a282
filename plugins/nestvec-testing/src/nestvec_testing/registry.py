"""A registry with the kit's own plugins beside the installed ones: memory, discarding and recording."""

from __future__ import annotations

from importlib.metadata import EntryPoint

from nestvec.registry import BACKENDS, EMBEDDERS, LISTENERS, Registry

_OWN = {
    BACKENDS: {"memory": "nestvec_testing.memory", "discarding": "nestvec_testing.discarding"},
    EMBEDDERS: {"recording": "nestvec_testing.recording"},
}


def test_registry(**more: str) -> Registry:
    """The kit's plugins, the installed ones, and `more`: `backend_acme="module"`, `embedder_…`, `listener_…`."""
    groups = {"backend": BACKENDS, "embedder": EMBEDDERS, "listener": LISTENERS}
    extra = {group: [EntryPoint(name, value, group) for name, value in own.items()] for group, own in _OWN.items()}
    for key, value in more.items():
        kind, name = key.split("_", 1)
        extra.setdefault(groups[kind], []).append(EntryPoint(name, value, groups[kind]))
    return Registry(extra)


test_registry.__test__ = False  # type: ignore[attr-defined]  # pytest: a helper, not a test
