"""The bench on which the kit puts a backend: clients, faults, a clock, and everything cleared away afterwards."""

from __future__ import annotations

import importlib
import threading
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Protocol, Self

from nestvec._session.retry import RetryPolicy
from nestvec.capabilities import BackendCapabilities
from nestvec.contract import (
    BackendPlugin,
    CollectionInfo,
    Create,
    Describe,
    Drop,
    Event,
    ForeignLayout,
    ResolveAlias,
)
from nestvec.errors import PluginNotFound
from nestvec.options import Secret
from nestvec.registry import BACKENDS, Registry
from nestvec_testing.loop import Driver, Facade, Loop
from nestvec_testing.recording import RecordingEmbedder
from nestvec_testing.registry import test_registry
from nestvec_testing.requests import addressed, bare, view_of
from nestvec_testing.tap import Intercept, tap

if TYPE_CHECKING:
    from nestvec.types import FloatArray

FULL = 64
#: The fields that the kit's collections declare.
FIELDS: Mapping[str, str] = {
    "lang": "keyword",
    "year": "integer",
    "price": "float",
    "open": "boolean",
    "seen": "datetime",
    "tags": "keyword[]",
    "sizes": "integer[]",
    "rates": "float[]",
    "flags": "boolean[]",
    "visits": "datetime[]",
}


class MakeForeign(Protocol):
    """Make a collection with a cosine metric and say how to read it; `adapter` is the open adapter under test.

    `rows` has shape (records, dimensions). Each record's payload is flat: `key` (its id), `body` (its text) and some of
    the fields `lang`, `year`, `price`, `open` and `tags`. What the engine needs besides is the maker's business.
    """

    def __call__(
        self, adapter: Any, name: str, rows: FloatArray, payloads: Sequence[Mapping[str, Any]]
    ) -> ForeignLayout:
        """Returns the layout, with all of the fields' names."""


@dataclass(frozen=True, slots=True)
class BackendUnderTest:
    """What the `backend` fixture returns.

    `plugin` is the name of a backend that `registry` (by default: the installed plugins) knows, the name of its
    module, or the `BackendPlugin` itself. `options` is its `[backends.NAME]` block without `use`. `reopens` says
    that a client which opens the same options later, in this process, finds the data again. `prefix` begins the
    names of the collections that the kit makes (and drops). `foreign` makes a collection as another program would,
    with the database's own client: of each payload, `key` and `body` become id and text, and no other value is left
    out, though only the fields of the kit stand in the layout. Without it, adoption cannot be checked.
    """

    plugin: str | BackendPlugin
    options: Mapping[str, Any] = field(default_factory=dict)
    registry: Registry | None = None
    reopens: bool = False
    prefix: str = "kit"
    foreign: MakeForeign | None = None

    def load(self) -> BackendPlugin:
        """The plugin. Raises `PluginNotFound` or `PluginBroken`."""
        if isinstance(self.plugin, BackendPlugin):
            return self.plugin
        registry = self.registry or test_registry()
        if self.plugin in registry.names(BACKENDS):
            return registry.backend(self.plugin)
        plugin: BackendPlugin = load_module(self.plugin, "nestvec_backend", BackendPlugin)
        return plugin


def load_module(name: str, hook: str, kind: type[Any]) -> Any:
    """A plugin by its module's name. Raises `PluginNotFound`."""
    try:
        offer = getattr(importlib.import_module(name), hook)()
    except (ImportError, AttributeError) as error:
        raise PluginNotFound(f"{name!r} names neither an installed plugin nor a module with a hook {hook}()") from error
    if not isinstance(offer, kind):
        raise PluginNotFound(f"{name}.{hook}() returned {offer!r}; expected a {kind.__name__}")
    return offer


def open_plugin(plugin: Any, options: Any, driver: Driver) -> tuple[Any, bool]:
    """The opened adapter or embedder, and whether it is awaited: for the asynchronous driver, if it has that form."""
    native = plugin.open_async(options) if driver == "async" and plugin.open_async is not None else None
    return (plugin.open(options), False) if native is None else (native, True)


def client_of(driver: Driver, values: Mapping[str, Any], registry: Registry, **settings: Any) -> Any:
    """A client of the driver's kind; `settings` are those of its runtime."""
    from nestvec._client import aconnect, connect
    from nestvec.runtime import Runtime

    return (aconnect if driver == "async" else connect)(values, Runtime(registry, **settings))


class Clock:
    """A clock that is moved by hand. Seconds."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class _BenchRegistry(Registry):
    """The bench's own plugins under their names, and a record of every event."""

    def __init__(self, bench: Bench) -> None:
        super().__init__()
        self._bench = bench

    def backend(self, name: str) -> BackendPlugin:
        return self._bench.front if name == self._bench.front.name else super().backend(name)

    def embedder(self, name: str) -> Any:
        return self._bench.recording if name == "recording" else super().embedder(name)

    def notify(self, event: Event) -> None:
        self._bench.events.append(event)


class Bench:
    """One backend, one driver, any number of clients that share one open adapter. Use it in a `with` statement."""

    def __init__(self, subject: BackendUnderTest, driver: Driver = "sync", *, effort: int = 1) -> None:
        self.subject = subject
        self.driver = driver
        self.effort = effort
        self.plugin = subject.load()
        self.options = self.plugin.options.model_validate(dict(subject.options))
        self.clock = Clock()
        self.requests: list[Any] = []
        self.events: list[Event] = []
        self.embedders: list[RecordingEmbedder] = []
        self.intercept: Intercept | None = None
        self.name = f"{subject.prefix}{uuid.uuid4().hex[:10]}"
        self.loop = Loop()
        self._registry = _BenchRegistry(self)
        self._clients: list[BenchClient] = []
        self._made: dict[str, None] = {}
        self._inner: Any = None
        self._native = False
        self._lock = threading.RLock()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    @property
    def capabilities(self) -> BackendCapabilities:
        """What the plugin declares for these options."""
        declared: BackendCapabilities = self.plugin.capabilities(self.options)
        return declared

    @property
    def secrets(self) -> dict[str, str]:
        """The values of the options that are secrets."""
        fields = {name: getattr(self.options, name) for name in type(self.options).model_fields}
        return {name: value.reveal(name) for name, value in fields.items() if isinstance(value, Secret)}

    @property
    def front(self) -> BackendPlugin:
        """The plugin, with the bench between it and every client."""
        native = self.plugin.open_async is not None
        return replace(
            self.plugin,
            open=self._front,
            open_async=self._front_async if native else None,
        )

    @property
    def recording(self) -> Any:
        """The recording embedder, of which the bench keeps every instance."""
        from nestvec_testing.recording import nestvec_embedder

        def make(options: Any) -> RecordingEmbedder:
            self.embedders.append(RecordingEmbedder(options))
            return self.embedders[-1]

        return replace(nestvec_embedder(), open=make)

    # ------------------------------------------------------------ clients

    def session(
        self,
        settings: Mapping[str, Any] | None = None,
        *,
        embedder: Mapping[str, Any] | None = None,
        collections: Mapping[str, Mapping[str, Any]] | None = None,
        attempts: int = 1,
    ) -> BenchClient:
        """A client with the collection `bench.name` (or the named ones). It retries only if `attempts` says so."""
        blocks = collections or {self.name: {"dimensions": 32, "fields": FIELDS, **(settings or {})}}
        values = {
            "backends": {"store": {"use": self.plugin.name, **self.subject.options}},
            "embedders": {"model": {"use": "recording", "dimensions": FULL, **(embedder or {})}},
            "collections": {name: dict(block) for name, block in blocks.items()},
        }
        retry = RetryPolicy(attempts, 30.0, 0.0, 0.0)
        times = {"clock": self.clock, "wall": self.clock, "lease": 30.0}
        client = client_of(self.driver, values, self._registry, retry=retry, **times)
        self._clients.append(BenchClient(self, client))
        return self._clients[-1]

    def applied(self, settings: Mapping[str, Any] | None = None, **options: Any) -> BenchClient:
        """The same, with its collections created."""
        session = self.session(settings, **options)
        session.apply()
        return session

    @property
    def tasks(self) -> list[str | None]:
        """The tasks that reached embedders, in order."""
        return [task for embedder in self.embedders for task in embedder.tasks]

    @property
    def embedded(self) -> list[str]:
        """The texts that reached embedders, in order."""
        asked = [request for embedder in self.embedders for request in embedder.requests]
        return [text for request in asked for group in request.groups for text in group.texts()]

    # ------------------------------------------------------------ the raw contract

    def raw(self, request: Any, *, tenant: str | None = None, layout: ForeignLayout | None = None) -> Any:
        """Ask the adapter itself, with the core's defaults for the powers that it does not have.

        With `tenant` or `layout`, ask its view of that tenant, or of somebody else's collection.
        """
        self.remember(request)
        view = view_of(self._complete(), addressed(request, tenant, layout))
        return self.loop.ask(self._native, getattr(view, request.method), request)

    def describe(self, name: str | None = None) -> CollectionInfo:
        """The collection behind the alias. It must be there."""
        physical = self.physical(name)
        info = self.raw(Describe(physical))
        assert isinstance(info, CollectionInfo), (
            f"describe must know the collection {physical!r} that an alias leads to"
        )
        return info

    def physical(self, name: str | None = None) -> str:
        """The physical collection behind the alias."""
        alias = self.capabilities.names.encode(name or self.name)
        found = self.raw(ResolveAlias(alias))
        assert isinstance(found, str), f"resolving must follow the alias {alias!r}, but it answered {found!r}"
        return found

    def generation(self) -> int:
        """The generation behind the alias, as its record says."""
        return int((self.describe().record or {}).get("generation", 0))

    def make_foreign(self, rows: FloatArray, payloads: Sequence[Mapping[str, Any]]) -> ForeignLayout:
        """A collection that nestvec did not make; dropped after the test."""
        assert self.subject.foreign is not None, "a backend that adopts needs a maker of foreign collections"
        layout = self.subject.foreign(self._opened(), f"{self.name}theirs", rows, payloads)
        self._made[layout.collection] = None
        return layout

    @property
    def adapter(self) -> Any:
        """The open adapter itself."""
        return self._opened()

    @property
    def native(self) -> bool:
        """Whether the adapter under test is awaited in an event loop; else it never suspends."""
        self._opened()
        return self._native

    def effective(self) -> BackendCapabilities:
        """What the opened adapter says that it can do."""
        answer: BackendCapabilities = self.loop.ask(self.native, self._opened().capabilities)
        return answer

    # ------------------------------------------------------------ lifetime

    def reopen(self) -> None:
        """Close the adapter; what comes next opens another with the same options."""
        self._close_clients()
        self._close_adapter()

    def close(self) -> None:
        """Drop what was made, close everything. Safe to call twice."""
        self.intercept = None
        try:
            if self._inner is not None:
                for physical in self._made:
                    self.raw(Drop(physical))
            self.reopen()
        finally:
            self.loop.close()

    def remember(self, request: Any) -> None:
        """Drop, after the test, what this request creates."""
        if isinstance(request, Create):
            self._made[request.physical] = None

    def _close_clients(self) -> None:
        while self._clients:
            self._clients.pop().close()

    def _close_adapter(self) -> None:
        inner, self._inner = self._inner, None
        if inner is not None:
            self.loop.ask(self._native, inner.close)

    def _opened(self) -> Any:
        with self._lock:
            if self._inner is None:
                self._inner, self._native = open_plugin(self.plugin, self.options, self.driver)
            return self._inner

    def _complete(self) -> Any:
        from nestvec._session.defaults import complete_powers

        return complete_powers(self._opened(), self.capabilities)

    def _front(self, _: Any) -> Any:
        return tap(self._opened(), self._on_request)

    def _front_async(self, _: Any) -> Any:
        # None where the plugin has no asynchronous form for these options, just as the plugin itself answers.
        inner = self._opened()
        return tap(inner, self._on_request, native=True) if self._native else None

    def _on_request(self, request: Any, perform: Callable[[Any], Any]) -> Any:
        self.requests.append(request)
        self.remember(bare(request))
        return perform(request) if self.intercept is None else self.intercept(request, perform)


class BenchClient(Facade):
    """A client of either kind, as one synchronous surface; `client[name]` is a handle."""

    def __init__(self, bench: Bench, client: Any) -> None:
        super().__init__(client, bench.loop)
        self._bench = bench

    def __getitem__(self, name: str) -> Facade:
        return Facade(self.target[name], self._loop)

    @property
    def docs(self) -> Facade:
        """The handle of the bench's own collection."""
        return self[self._bench.name]
