"""What a plugin registers, and what it can listen to."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from nestvec.capabilities import BackendCapabilities, ModelCapabilities
    from nestvec.contract.adapters import Adapter
    from nestvec.contract.embedding import Embedder
    from nestvec.contract.foreign import ForeignPreset
    from nestvec.options import Options


@dataclass(frozen=True, slots=True)
class BackendPlugin:
    """A backend, as its plugin registers it. Building one must not import an SDK.

    `options` validates the `[backends.NAME]` block (without `use`), `collection_options` the table of the
    same name inside a `[collections.NAME]` block. `open` returns an adapter whose
    methods never suspend; `open_async` one for an event loop. It is None, or returns None for options that have no
    asynchronous form (embedded engines): worker threads then run the other one.
    """

    name: str
    summary: str
    options: type[Options]
    capabilities: Callable[[Any], BackendCapabilities]
    open: Callable[[Any], Adapter]
    open_async: Callable[[Any], Adapter | None] | None = None
    collection_options: type[Options] | None = None
    #: Options of an embedded store at a path (None: in memory); None for a backend without one.
    embedded: Callable[[Path | None], Mapping[str, Any]] | None = None
    #: The option that says where an embedded store lies. Clients of one process that give it the same path share one
    #: adapter; None: each opens its own. A value that is no path means: in memory, and nobody else's.
    path_option: str | None = None
    #: Whether a folder (or file) was made by the embedded form: by names of files alone, without an SDK. It is there,
    #: and nothing is opened or changed. None: `nestvec convert` is told with `--from` whose folder it is.
    made: Callable[[Path], bool] | None = None
    #: Options of each other form in which it can be used, and may do other things: a server, a shared index. The usual
    #: one has the empty name. `nestvec plugins --capabilities` shows what each declares; nothing is opened.
    forms: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    #: Offers itself as the default, to be used without a configuration. One installed plugin may.
    default: bool = False
    #: A TOML block that `nestvec init` offers, commented out: another way to use this plugin.
    example: str = ""
    #: How frameworks lay out what they write to this database, by the name that `foreign = "NAME"` has for it.
    presets: Mapping[str, ForeignPreset] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class EmbedderPlugin:
    """An embedder, as its plugin registers it. Building one must not import an SDK.

    `capabilities(options)` needs no secret, file or network: `plan` calls it.
    """

    name: str
    summary: str
    options: type[Options]
    capabilities: Callable[[Any], ModelCapabilities]
    open: Callable[[Any], Embedder]
    open_async: Callable[[Any], Embedder | None] | None = None
    #: Options under which this embedder needs no key, server or download; None if it always needs one.
    embedded: Mapping[str, Any] | None = None
    #: Offers itself as the default, to be used without a configuration. One installed plugin may.
    default: bool = False
    #: A TOML block that `nestvec init` offers, commented out: another way to use this plugin.
    example: str = ""


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened, for metrics and audit. `name` is stable; `data` holds plain values, no secrets.

    Names: `document_written`, `document_superseded`, `document_failed`, `document_deleted`, `metadata_updated`,
    `search_done`,
    `request_retried`, `alias_moved`, `collection_created`, `collection_updated`, `collection_copied`,
    `collection_adopted`, `collection_migrated`, `generation_removed`, `collection_forgotten`, `cache_failed`,
    `canaries_stored`, `host_accepted`, `collection_unsettled`, `vectors_measured`.
    """

    name: str
    collection: str | None = None
    data: Mapping[str, Any] = field(default_factory=dict)
