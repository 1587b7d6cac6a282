"""What a client has opened of its configuration, and the sessions that it gives: one code for both clients."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from contextlib import AsyncExitStack, contextmanager
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar

from nestvec._client.places import Family, Lease, settings_of
from nestvec._session.session import Blocking, Component, Session, Suspending
from nestvec.config.problems import did_you_mean
from nestvec.errors import ConfigError, NestvecError, PluginBroken

if TYPE_CHECKING:
    import asyncio

    from nestvec._caching.cache import Cache
    from nestvec._chunking import Splitter
    from nestvec._client.ingestion import DocumentTurns
    from nestvec._collections.looking import LookRequest
    from nestvec.config import Config, Connection
    from nestvec.contract import Embedder, FullAdapter
    from nestvec.runtime import RetryPolicy, Runtime
    from nestvec.types import FloatArray

T = TypeVar("T")
#: What is heard of a client that was closed.
CLOSED: Final = "this client is closed; connect again"


class Pool(Generic[T]):
    """Components of one kind by name: each is opened once, when it is first needed."""

    def __init__(self, open_it: Callable[[str, Component[T]], Awaitable[T]]) -> None:
        self._open = open_it
        self._components: dict[str, Component[T]] = {}

    def __getitem__(self, name: str) -> Component[T]:
        if name not in self._components:
            component: Component[T] = Component(lambda: self._open(name, component))
            self._components.setdefault(name, component)
        return self._components[name]

    def put(self, name: str, component: T, *, native: bool = False) -> None:
        """Use one that was opened elsewhere. Whoever closes this client closes it."""
        mine = self[name]
        mine.opened, mine.native, mine.close = component, native, getattr(component, "close", None)

    @property
    def opened(self) -> dict[str, T]:
        """What is open."""
        return {name: each.opened for name, each in self._components.items() if each.opened is not None}

    def take(self) -> list[Component[T]]:
        """All that is open, to be closed: nothing is open any more."""
        taken = []
        for each in self._components.values():
            if each.opened is not None:
                gone = Component[T](each.open)
                gone.opened, gone.native, gone.lease, gone.close = each.opened, each.native, each.lease, each.close
                each.opened = each.lease = each.close = None
                taken.append(gone)
        return taken


class Connections:
    """Opens adapters and embedders and makes sessions over them, for a client that blocks or one that suspends.

    `first`: of a face, what the client has that it is a face of. What is open in this process is shared within the
    `family`; what awaits an event loop is the face's own.
    """

    def __init__(
        self,
        config: Config,
        runtime: Runtime,
        waiting: Blocking | Suspending,
        family: Family | None = None,
        first: Connections | None = None,
    ) -> None:
        self.config = config
        self.family = family or Family()
        self.first = first
        #: Leases of stores in memory, which last until the client is closed, whichever face opened them.
        self.kept: list[Lease] = []
        #: The event loop in which something was opened last.
        self.loop: asyncio.AbstractEventLoop | None = None
        self.runtime = runtime
        self.waiting = waiting
        self.adapters: Pool[FullAdapter] = Pool(self._open_adapter)
        self.embedders: Pool[Embedder] = Pool(self._open_embedder)
        self._lock: Any = waiting.lock()
        self._closed = False
        #: What could not be closed yet: the next call tries again.
        self._unclosed: list[Component[Any]] = []

    @property
    def closed(self) -> bool:
        """Whether nothing can be opened any more."""
        return self._closed or (self.first is not None and self.first.closed)

    def turns(self, backends: Iterable[str]) -> list[DocumentTurns]:
        """What a writer of documents takes turns by on these backends, in the one order in which they are taken."""
        places = {name: self.family.place(self.config.backends[name]) for name in backends}
        return sorted({place.turns for place in places.values()}, key=id)

    def session(
        self, backend: str, embedder: str, *, make_splitter: Callable[[], Awaitable[Splitter]] | None = None
    ) -> Session:
        """A session over a backend and an embedder of the configuration; nothing is opened yet."""
        return Session(
            self.adapters[backend],
            self.embedders[embedder],
            self.config.embedder(embedder).capabilities,
            self.runtime.registry.notify,
            self.waiting,
            self._retry(backend),
            self.runtime.clock,
            make_splitter,
        )

    def _retry(self, backend: str) -> RetryPolicy:
        """How requests to a backend are repeated: as its block says, and else as the client was told."""
        connection = self.config.backends.get(backend)
        block = connection.retry if connection is not None else None
        return replace(self.runtime.retry, **(block.model_dump(exclude_none=True) if block is not None else {}))

    def looking(self, collection: str, backend: str | None, vector: str | None, namespace: str | None) -> LookRequest:
        """What to look at: a block's collection with what the block says, or one by its own name.

        Raises `ConfigError` where the configuration has no such backend, or several, or no embedder.
        """
        from nestvec._collections.looking import LookRequest

        spec = self.config.collections.get(collection)
        if spec is not None and spec.foreign is not None and backend in (None, spec.backend):
            collection, backend = spec.foreign.collection, spec.backend
            vector = vector if vector is not None else spec.foreign.vector
            namespace = namespace if namespace is not None else spec.foreign.namespace
        if backend is None and len(self.config.backends) != 1:
            raise ConfigError(f"say which backend: the configuration has {', '.join(self.config.backends) or 'none'}")
        name = backend if backend is not None else next(iter(self.config.backends))
        self._require("backend", name, self.config.backends)
        embedders = list(self.config.embedders)
        if not embedders:
            raise ConfigError("the configuration has no embedder: add the block of the model that made the vectors")
        session = self.session(name, embedders[0])
        return LookRequest(session, self.config.backends[name], embedders, collection, vector, namespace)

    def embedding(self, embedder: str) -> Session:
        """A session for embedding alone: asking its backend is an error of the core's own."""
        return self.session("", embedder)

    async def adapter(self, backend: str) -> FullAdapter:
        """The opened adapter of a backend block. Raises `ConfigError` where there is no such block."""
        self._require("backend", backend, self.config.backends)
        component = self.adapters[backend]
        return component.opened or await component.open()

    async def embedder(self, name: str) -> Embedder:
        """The opened embedder of an embedder block. Raises `ConfigError` where there is no such block."""
        self._require("embedder", name, self.config.embedders)
        component = self.embedders[name]
        return component.opened or await component.open()

    async def rotation(self, connection: Connection[Any]) -> FloatArray | None:
        """What an embedder's stored vectors are turned by. It is opened only if the rotation is its plugin's own."""
        if connection.nesting is not None:
            return await self.outside(connection.nesting.artifact.load)
        from nestvec.nesting.embedder import own_rotation

        return own_rotation(await self.embedder(connection.name)) if connection.declared.rotation else None

    async def outside(self, work: Callable[..., T], *arguments: Any) -> T:
        """Read files or compute for long: under the asynchronous client in a worker thread."""
        return await self.waiting.outside(work, *arguments)

    async def close(self) -> None:
        """Close everything that was opened; afterwards nothing can be, but by a face. Safe to call twice.

        Where something cannot be closed, everything else is, and the next call tries it again.
        """
        self._closed = self.first is None
        await self.waiting.acquire(self._lock)  # what is being opened is closed, too
        try:
            opened = self.take()
        finally:
            self._lock.release()
        async with AsyncExitStack() as last:
            if self.first is None:
                last.push_async_callback(self._end, self.kept)
            for component in reversed(opened):
                last.push_async_callback(self._close_one, component)

    async def _close_one(self, component: Component[Any]) -> None:
        try:
            if component.close is not None:
                await self.waiting.call(component.native, component.close)
        except BaseException:
            self._unclosed.append(component)
            raise

    async def _end(self, leases: list[Lease]) -> None:
        while leases:
            await self.waiting.call(False, leases.pop().end)

    def take(self) -> list[Component[Any]]:
        """All that is open, to be closed."""
        unclosed, self._unclosed = self._unclosed, []
        return [*unclosed, *self.adapters.take(), *self.embedders.take()]

    def _require_open(self) -> None:
        if self.closed:
            raise NestvecError(CLOSED)

    def _require(self, kind: str, name: str, blocks: Mapping[str, object]) -> None:
        if name not in blocks:
            raise ConfigError(f"the configuration has no {kind} {name!r}{did_you_mean(name, blocks)}")

    async def _open_adapter(self, name: str, component: Component[FullAdapter]) -> FullAdapter:
        from nestvec._session.defaults import complete_powers

        connection = self.config.backends[name]

        async def prepare() -> Callable[[Any], FullAdapter]:
            return partial(complete_powers, declared=connection.capabilities)

        return await self.waiting.to_its_end(self._opened(component, connection, prepare))

    async def _open_embedder(self, name: str, component: Component[Embedder]) -> Embedder:
        connection = self.config.embedder(name)

        async def prepare() -> Callable[[Any], Embedder]:
            wrap = await self.outside(wrapping, connection, self.runtime)
            return lambda made: wrap(made, component)

        return await self.waiting.to_its_end(self._opened(component, connection, prepare))

    async def _opened(
        self, component: Component[T], connection: Connection[Any], prepare: Callable[[], Awaitable[Callable[[Any], T]]]
    ) -> T:
        await self.waiting.acquire(self._lock)
        try:
            self._require_open()
            if component.opened is None:
                wrap = await prepare()
                with importing(connection.plugin.name):
                    made = await self._made(component, connection)
                component.opened = await self._wrapped(component, made, wrap)
            return component.opened
        finally:
            self._lock.release()

    async def _wrapped(self, component: Component[T], made: Any, wrap: Callable[[Any], T]) -> T:
        """What was made, as it is used; closed again where that fails, or where the client was closed meanwhile."""
        try:
            if self.first is not None:
                self.first.kept += self.family.in_memory()
                self._require_open()  # asked after that: one of the two ends those leases
            return wrap(made)
        except BaseException:
            if self.first is not None and self.closed:
                await self._end(self.first.kept)
            if component.close is not None:
                await self.waiting.call(component.native, component.close)
            component.lease = component.close = None
            raise

    async def _made(self, component: Component[Any], connection: Connection[Any]) -> Any:
        """What a plugin opens: to be awaited in the event loop, or at a place that others may use, too."""
        plugin, options = connection.plugin, connection.options
        if isinstance(self.waiting, Suspending):
            import asyncio

            self.loop = asyncio.get_running_loop()
            native = plugin.open_async(options) if plugin.open_async is not None else None
            component.native = native is not None
            if native is not None:
                component.close = native.close
                return native
        place = self.family.place(connection)
        settings = settings_of(connection) if place.path is not None else {}
        lease = await self.outside(place.enter, partial(plugin.open, options), settings, component)
        component.lease, component.close = lease, lease.end
        return lease.component


@contextmanager
def importing(plugin: str) -> Iterator[None]:
    """Say which plugin's library is missing, where one is."""
    try:
        yield
    except ImportError as error:
        raise PluginBroken(
            f"plugin {plugin!r} cannot be used: its library cannot be imported ({error}); reinstall the plugin"
        ) from error


def wrapping(connection: Connection[Any], runtime: Runtime) -> Callable[..., Embedder]:
    """What the core puts around a component when it is opened: its cache, and around that the user's own rotation.

    Made before it is opened, so that nothing is loaded in vain. Raises `ConfigError` where something that the block
    asks for is missing or damaged.
    """
    cache = _open_cache(connection, runtime)
    rotation = connection.nesting.artifact.load() if connection.nesting is not None else None

    def wrap(made: Embedder, component: Component[Embedder]) -> Embedder:
        whole = made
        if cache is not None:
            from nestvec._caching.embedder import CachedEmbedder

            native, closing = component.native, component.close
            whole = CachedEmbedder(whole, connection.capabilities, cache, native=native, closing=closing)
            component.close = whole.close
        if rotation is not None:
            from nestvec.nesting.embedder import NestedEmbedder

            whole = NestedEmbedder(whole, rotation, component.close)
            component.close = whole.close
        return whole

    return wrap


def _open_cache(connection: Connection[Any], runtime: Runtime) -> Cache | None:
    """The cache that an embedder's block asks for; nothing is touched yet. Raises `ConfigError` without its library."""
    if connection.cache is None:
        return None
    from nestvec._caching.cache import Cache

    return Cache(connection.cache.path, connection.cache.size, runtime.notify)
