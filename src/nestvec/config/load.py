"""Reading a configuration: strictly, and with all problems of a file at once.

No secret is read and no SDK imported here; plugins are loaded by the names that the file uses.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from pydantic import ValidationError

from nestvec._artifacts import DEFAULT_FOLDER
from nestvec._files import read_file
from nestvec._limits import CONFIGURATION, ReadLimits
from nestvec._specs import NO_EMBEDDER, CollectionSpec
from nestvec.capabilities import BackendCapabilities, ModelCapabilities, TaskPair
from nestvec.config.blocks import (
    BackendBlock,
    CollectionBlock,
    EmbedderBlock,
    FileBlock,
    PluginBlock,
)
from nestvec.config.plain import TOO_DEEP, check_plain
from nestvec.config.problems import did_you_mean, sentences
from nestvec.contract import BackendPlugin, EmbedderPlugin
from nestvec.encoding.sizes import check_dimensions
from nestvec.encoding.tasks import explicit_pair, pair_for
from nestvec.errors import ConfigError, NestvecError
from nestvec.names import check_logical, check_unambiguous
from nestvec.options import Options
from nestvec.registry import Registry, default_registry
from nestvec.spaces import space_of
from nestvec.types import Purpose

if TYPE_CHECKING:
    from nestvec.config.additions import CacheBlock, RetryBlock
    from nestvec.config.nesting import Nesting

P = TypeVar("P", BackendPlugin, EmbedderPlugin)
B = TypeVar("B", bound=Options)


#: What a backend's block may say of how its requests are repeated.
_REPETITION = tuple(name for name in BackendBlock.model_fields if name not in PluginBlock.model_fields)
#: Dots in a line. Reading a dotted key takes as long as the square of its parts.
_DOTS = 1000


@dataclass(frozen=True, slots=True)
class Connection(Generic[P]):
    """A plugin with validated options: enough to describe it, and to open it.

    `cache` and `nesting` are for embedders only: the core puts them around what the plugin opens. So is `price`, of a
    million tokens.
    """

    name: str
    plugin: P
    options: Options
    cache: CacheBlock | None = None
    nesting: Nesting | None = None
    price: float | None = None
    #: What a backend's block says of how its requests are repeated.
    retry: RetryBlock | None = None

    @property
    def declared(self) -> Any:
        """The plugin's own capabilities."""
        return self.plugin.capabilities(self.options)

    @property
    def capabilities(self) -> Any:
        """Declared capabilities, under the rotation that the block names."""
        return self.declared if self.nesting is None else self.nesting.applied(self.declared)


@dataclass(frozen=True, slots=True)
class Config:
    """A configuration that holds together. Safe to share; opens nothing."""

    backends: Mapping[str, Connection[BackendPlugin]] = field(default_factory=dict)
    embedders: Mapping[str, Connection[EmbedderPlugin]] = field(default_factory=dict)
    collections: Mapping[str, CollectionSpec] = field(default_factory=dict)
    path: Path | None = None
    #: Where rotations are kept.
    artifacts: Path = Path(DEFAULT_FOLDER)
    #: How much is read of files of documents and questions.
    limits: ReadLimits = field(default_factory=ReadLimits)
    #: What collections were before a migration, by name, where the file says so.
    previous: Mapping[str, CollectionSpec] = field(default_factory=dict)
    #: What it was read from: the file's whole path, or the values as they were given. May hold a plugin's own secrets.
    source: Path | Mapping[str, Any] | None = field(default=None, repr=False, compare=False)
    #: Embedders that are objects of the program, by name.
    given: Mapping[str, object] = field(default_factory=dict, repr=False, compare=False)

    def embedder(self, name: str) -> Connection[EmbedderPlugin]:
        """How an embedder is opened: of a block, handed over, or none at all."""
        return nobody_at_all() if name == NO_EMBEDDER else self.embedders[name]


def nobody_at_all() -> Connection[EmbedderPlugin]:
    """What stands where a collection has no embedder."""
    from nestvec.config.given import NoOptions, nobody

    return Connection(NO_EMBEDDER, nobody(), NoOptions())


def load_config(
    path: str | Path, registry: Registry | None = None, *, embedders: Mapping[str, object] | None = None
) -> Config:
    """Read a TOML file. Raises `ConfigError` naming the file and everything that is wrong with it."""
    import tomllib  # late: plain values need no parser

    file = Path(path)
    try:
        text = read_file(file, CONFIGURATION).decode("utf-8-sig")
        if max(line.count(".") for line in text.split("\n")) > _DOTS:
            raise ConfigError(f"{file} {TOO_DEEP}")
        data = tomllib.loads(text)
    except FileNotFoundError as error:
        raise ConfigError(f"there is no configuration file {file}; write one with `nestvec init`") from error
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"the configuration file {file} cannot be read: {error}") from error
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{file} is not valid TOML: {error}") from error
    except RecursionError as error:
        raise ConfigError(f"{file} {TOO_DEEP}") from error
    except ValueError as error:  # Python refuses to convert thousands of digits
        raise ConfigError(f"{file} holds a number with too many digits; write it as a string, or less of it") from error
    return parse_config(data, registry, path=file, embedders=embedders)


def parse_config(
    data: Mapping[str, Any],
    registry: Registry | None = None,
    *,
    path: Path | None = None,
    folder: Path | None = None,
    embedders: Mapping[str, object] | None = None,
) -> Config:
    """Check a configuration given as plain values. `embedders` are objects that stand for blocks of these names.

    Relative paths in it count from the file's folder, or else from `folder`; without either, from where the process is.
    """
    check_plain(data, str(path or "the configuration"))
    reader = _Reader(registry or default_registry(), path.parent.absolute() if path else folder, embedders or {})
    config = reader.read(data, path)
    if reader.problems:
        # No validation error is chained: it would keep what was written, perhaps a secret in the wrong place.
        raise ConfigError(f"{path or 'the configuration'} has mistakes:", reader.problems)
    return replace(config, source=path.absolute() if path else deepcopy(dict(data)))


class _Reader:
    """Collects problems while it builds a `Config`."""

    def __init__(self, registry: Registry, folder: Path | None, given: Mapping[str, object]) -> None:
        self.problems: list[str] = []
        self._given = given
        self._registry = registry
        self._folder = folder
        self._declared: dict[str, list[str]] = {}

    def read(self, data: Mapping[str, Any], path: Path | None) -> Config:
        self._declared = {group: _names(data, group) for group in FileBlock.model_fields}
        self._declared["embedders"] = list(dict.fromkeys([*self._declared["embedders"], *self._given]))
        blocks, broken = self._blocks(data)
        backends = self._connections("backends", blocks.backends, self._registry.backend)
        embedders = self._connections("embedders", blocks.embedders, self._registry.embedder)
        backends = self._retrying(backends, blocks.backends)
        embedders = self._cached(embedders, blocks.embedders)
        embedders = self._nested(embedders, blocks.embedders, blocks.artifacts)
        embedders = self._priced(embedders, blocks.embedders)
        embedders |= self._handed_over()
        config = Config(backends, embedders, {}, path, blocks.artifacts, blocks.limits.limits(), given=self._given)
        specs: dict[str, CollectionSpec] = {}
        before: dict[str, CollectionSpec] = {}
        with self._noting("collections"):
            check_unambiguous(self._declared["collections"])
        for name, block in blocks.collections.items():
            with self._noting(f"collections.{name}"):
                spec = self._collection(name, block, config, broken=name in broken)
                if spec is not None:
                    specs[name] = spec
                previous = self._previous(name, block, spec, config) if spec is not None else None
                if previous is not None:
                    before[name] = previous
        used = {block.embedder for block in blocks.collections.values()}
        for name in self._given:
            if name not in used and not (None in used and len(self._declared["embedders"]) == 1):
                self.problems.append(f"embedders.{name}: no collection uses the embedder that was handed over")
        return replace(config, collections=specs, previous=before)

    def _handed_over(self) -> dict[str, Connection[EmbedderPlugin]]:
        """The embedders that are objects of the program."""
        found: dict[str, Connection[EmbedderPlugin]] = {}
        for name, embedder in self._given.items():
            from nestvec.config.given import NoOptions, plugin_of

            with self._noting(f"embedders.{name}"):
                if name == NO_EMBEDDER:
                    raise ConfigError(f"{NO_EMBEDDER!r} means that there is no embedder; give it another name")
                found[name] = Connection(name, plugin_of(name, embedder), NoOptions())
        return found

    def _blocks(self, data: Mapping[str, Any]) -> tuple[FileBlock, set[str]]:
        """The blocks, and the names of broken collections, of which only the references are kept.

        So that one mistake does not hide those in other blocks.
        """
        try:
            return self._file(data), set()
        except ValidationError as error:
            self.problems += sentences(error, FileBlock)
            places = {tuple(item["loc"][:2]) for item in error.errors(include_url=False, include_input=False)}
        broken = _broken_collections(data, places)
        return self._file(_sound(data, places, broken)), set(broken)

    def _file(self, data: Mapping[str, Any]) -> FileBlock:
        return FileBlock.model_validate(dict(data), context={"folder": self._folder})

    @contextmanager
    def _noting(self, key: str) -> Iterator[None]:
        try:
            yield
        except NestvecError as error:
            self.problems.append(f"{key}: {error}")

    def _connections(self, group: str, blocks: Mapping[str, PluginBlock], load: Any) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for name, block in blocks.items():
            key = f"{group}.{name}"
            with self._noting(f"{key}.use"):
                plugin = load(block.use)
                options = self._options(plugin.options, block.options, key)
                if options is not None:
                    found[name] = Connection(name, plugin, options)
        return found

    def _cached(
        self, connections: Mapping[str, Connection[EmbedderPlugin]], blocks: Mapping[str, EmbedderBlock]
    ) -> dict[str, Connection[EmbedderPlugin]]:
        """The embedders with their caches. A folder has one size, whoever shares it."""
        if all(block.cache is None for block in blocks.values()):
            return dict(connections)
        from nestvec.config.additions import CacheBlock

        caches = {
            name: self._options(CacheBlock, block.cache, f"embedders.{name}.cache")
            for name, block in blocks.items()
            if block.cache is not None
        }
        first: dict[Path, str] = {}
        for name, cache in caches.items():
            other = caches[first.setdefault(cache.path, name)] if cache is not None else None
            if cache is not None and other is not None and other.size != cache.size:
                self.problems.append(
                    f"embedders.{name}.cache.size: {first[cache.path]!r} shares this folder and gives it another size; "
                    f"write the same in both, or another path"
                )
        return {name: replace(connection, cache=caches.get(name)) for name, connection in connections.items()}

    def _nested(
        self,
        connections: Mapping[str, Connection[EmbedderPlugin]],
        blocks: Mapping[str, EmbedderBlock],
        folder: Path,
    ) -> dict[str, Connection[EmbedderPlugin]]:
        """The embedders with their rotations. One whose rotation is not to be had cannot be used."""
        found = dict(connections)
        for name, written in blocks.items():
            if written.nesting is None:
                continue
            from nestvec.config.additions import NestingBlock

            key, connection = f"embedders.{name}.nesting", found.pop(name, None)
            block = self._options(NestingBlock, written.nesting, key)
            if block is not None and connection is not None:
                from nestvec.config.nesting import find_nesting

                with self._noting(key):
                    found[name] = replace(connection, nesting=find_nesting(block, folder, connection.declared))
        return found

    def _retrying(
        self, connections: Mapping[str, Connection[BackendPlugin]], blocks: Mapping[str, BackendBlock]
    ) -> dict[str, Connection[BackendPlugin]]:
        """The backends with what their blocks say of repetitions."""
        found = dict(connections)
        for name, written in blocks.items():
            given = {key: value for key in _REPETITION if (value := getattr(written, key)) is not None}
            if not given:
                continue
            from nestvec.config.additions import RetryBlock

            retry = self._options(RetryBlock, given, f"backends.{name}")
            if retry is not None and name in found:
                found[name] = replace(found[name], retry=retry)
        return found

    def _priced(
        self, connections: Mapping[str, Connection[EmbedderPlugin]], blocks: Mapping[str, EmbedderBlock]
    ) -> dict[str, Connection[EmbedderPlugin]]:
        found = dict(connections)
        for name, written in blocks.items():
            if written.price is None:
                continue
            from nestvec.config.additions import PriceBlock

            price = self._options(PriceBlock, {"price": written.price}, f"embedders.{name}")
            if price is not None and name in found:
                found[name] = replace(found[name], price=price.price)
        return found

    def _options(self, model: type[B], values: Any, key: str) -> B | None:
        try:
            return model.model_validate(values, context={"folder": self._folder})
        except ValidationError as error:
            self.problems += sentences(error, model, key.split("."))
            return None

    def _previous(
        self, name: str, block: CollectionBlock, spec: CollectionSpec, config: Config
    ) -> CollectionSpec | None:
        """What the collection was before, if the file says so."""
        before = block.before(config.backends[spec.backend].plugin.name)
        if before is None:
            return None
        previous = self._collection(name, before, config, broken=False, key=f"collections.{name}.previous")
        if previous is not None and previous == spec:
            self.problems.append(
                f"collections.{name}.previous: nothing in it differs from what the collection is now; write into it "
                f"what was otherwise, or take it out"
            )
        return previous

    def _collection(
        self, name: str, block: CollectionBlock, config: Config, *, broken: bool, key: str = ""
    ) -> CollectionSpec | None:
        key = key or f"collections.{name}"
        backend = self._choose(f"{key}.backend", block.backend, config.backends, "backends")
        if block.embedder == NO_EMBEDDER:
            embedder: Connection[EmbedderPlugin] | None = nobody_at_all()
        else:
            embedder = self._choose(f"{key}.embedder", block.embedder, config.embedders, "embedders")
            if block.model is not None or block.normalized is not None:
                self.problems.append(
                    f'{key}: model and normalized say what made the vectors of a collection with embedder = "none"; '
                    f"an embedder knows its own: leave them out"
                )
        options = self._collection_options(key, block, backend)
        if backend is None or embedder is None or broken:
            check_logical(name)
            return None
        return self._spec(key, name, block, backend, embedder, options)

    def _choose(self, key: str, wanted: str | None, usable: Mapping[str, Any], group: str) -> Any:
        declared = self._declared[group]
        if wanted is None and len(declared) != 1:
            self.problems.append(f"{key}: is missing; the file has {group}: {', '.join(declared) or 'none'}")
            return None
        name = wanted if wanted is not None else declared[0]
        if name not in declared:
            self.problems.append(f"{key}: there is no [{group}.{name}]{did_you_mean(name, declared)}")
        return usable.get(name)

    def _collection_options(
        self, key: str, block: CollectionBlock, backend: Connection[BackendPlugin] | None
    ) -> Options | None:
        extra = dict(block.model_extra or {})
        if backend is None:
            # A table may be the options of the backend that could not be loaded; anything else is a mistake.
            extra = {name: value for name, value in extra.items() if not isinstance(value, Mapping)}
        plugin = backend.plugin if backend is not None else None
        own = extra.pop(plugin.name, {}) if plugin is not None and plugin.collection_options else {}
        known = [*CollectionBlock.model_fields, *([plugin.name] if plugin and plugin.collection_options else [])]
        self.problems += [f"{key}.{name}: unknown key{did_you_mean(name, known)}" for name in extra]
        if plugin is None or plugin.collection_options is None:
            return None
        return self._options(plugin.collection_options, own, f"{key}.{plugin.name}")

    def _spec(
        self,
        key: str,
        name: str,
        block: CollectionBlock,
        backend: Connection[BackendPlugin],
        embedder: Connection[EmbedderPlugin],
        options: Options | None,
    ) -> CollectionSpec | None:
        """The spec that a block describes, or None where model and backend cannot do it: all reasons are noted."""
        model, can = embedder.capabilities, backend.capabilities
        if embedder.name == NO_EMBEDDER:
            from nestvec.config.given import model_without_embedder

            try:
                model = model_without_embedder(block)
            except ConfigError as error:
                self.problems.append(f"{key}: {error}")
                return None
        dimensions = tasks = None
        with self._noting(key):
            can.names.encode(name)
        with self._noting(f"{key}.dimensions"):
            dimensions = model.dimensions if block.dimensions is None else check_dimensions(model, block.dimensions)
        with self._noting(f"{key}.tasks" if block.tasks else f"{key}.purpose"):
            tasks = _tasks(model, block)
        layout = None
        with self._noting(f"{key}.foreign"):
            layout = block.layout(name, backend.plugin.presets)
        self.problems += [f"{key}.{reason}" for reason in _impossible(block, dimensions, model, backend.name, can)]
        if dimensions is None or tasks is None:
            return None
        return CollectionSpec(
            name=name,
            space=space_of(model, dimensions, tasks, late_chunking=block.late_chunking),
            model=model,
            backend=backend.name,
            embedder=embedder.name,
            metric=block.metric,
            fields=block.declared,
            paths=block.paths,
            open_fields=block.open_fields,
            strict_fields=block.strict_fields,
            keep_empty=block.empty == "keep",
            chunking=block.chunking.chunking(),
            namespaces=block.namespaces,
            store_text=block.store_text,
            options=options,
            foreign=layout,
            verify=block.foreign is None or block.foreign.verify,
            storage=block.storage,
            funnel=block.funnel,
            oversampling=block.candidates(),
        )


def _names(data: Mapping[str, Any], group: str) -> list[str]:
    """The names of a group's blocks, sound or not."""
    blocks = data.get(group)
    return [name for name in blocks if isinstance(name, str)] if isinstance(blocks, Mapping) else []


def _sound(data: Mapping[str, Any], places: set[Any], broken: Mapping[str, Any]) -> dict[str, Any]:
    """The file without what stands in the places of mistakes."""
    kept: dict[str, Any] = {}
    for group, blocks in data.items():
        if (group,) in places:
            continue
        if not isinstance(blocks, Mapping):
            kept[group] = blocks
        else:
            kept[group] = {name: block for name, block in blocks.items() if (group, name) not in places}
    if broken:
        kept["collections"] |= broken
    return kept


def _broken_collections(data: Mapping[str, Any], places: set[Any]) -> dict[str, dict[str, Any]]:
    collections = data.get("collections") if ("collections",) not in places else None
    return {
        name: _references(block)
        for name, block in (collections or {}).items()
        if ("collections", name) in places and isinstance(name, str) and isinstance(block, Mapping)
    }


def _references(block: Mapping[str, Any]) -> dict[str, Any]:
    """What a broken collection block says about other blocks and plugins."""
    own = {name: block[name] for name in ("backend", "embedder") if isinstance(block.get(name), str)}
    return own | {name: value for name, value in block.items() if name not in CollectionBlock.model_fields}


def _tasks(model: ModelCapabilities, block: CollectionBlock) -> TaskPair:
    if block.tasks is not None:
        return explicit_pair(model, block.tasks.index, block.tasks.query)
    return pair_for(model, block.purpose or Purpose.RETRIEVAL)


def _impossible(
    block: CollectionBlock, dimensions: int | None, model: ModelCapabilities, backend: str, can: BackendCapabilities
) -> Iterator[str]:
    if block.late_chunking and not model.late_chunking:
        yield f"late_chunking: {model.model} does not offer it; set late_chunking = false"
    if block.metric not in can.metrics:
        yield f"metric: backend {backend!r} has no {block.metric.value!r}; it has {', '.join(sorted(can.metrics))}"
    if can.max_dimensions is not None and dimensions is not None and dimensions > can.max_dimensions:
        yield (
            f"dimensions: backend {backend!r} stores at most {can.max_dimensions} dimensions; "
            f"set dimensions = {can.max_dimensions} or less instead of {dimensions}"
        )
    if block.adopt and not can.adopts:
        yield f"adopt: backend {backend!r} reads only what nestvec made; leave adopt out"
    if block.storage not in can.storage:
        yield (
            f"storage: backend {backend!r} has no {block.storage.value!r}; it has {', '.join(sorted(can.storage))}"
            f"{_because(can, 'storage')}"
        )
    if block.funnel:
        yield from _no_funnel(block.funnel, dimensions, model, backend, can)


def _no_funnel(
    funnel: Sequence[int],
    dimensions: int | None,
    model: ModelCapabilities,
    backend: str,
    can: BackendCapabilities,
) -> Iterator[str]:
    """Why this model and this backend cannot search coarse to fine."""
    if not can.funnels:
        yield f"funnel: backend {backend!r} cannot search coarse to fine; leave funnel out{_because(can, 'funnels')}"
    elif can.max_vectors is not None and len(funnel) >= can.max_vectors:
        yield (
            f"funnel: backend {backend!r} keeps at most {can.max_vectors} vectors a record; give the funnel at most "
            f"{can.max_vectors - 1} lengths{_because(can, 'max_vectors')}"
        )
    if not model.matryoshka:
        yield f"funnel: {model.model} has no Matryoshka prefixes, by which candidates are chosen; leave funnel out"
        return
    full = model.dimensions if dimensions is None else dimensions
    wrong = [size for size in funnel if not model.min_dimensions <= size < full]
    if wrong:
        yield (
            f"funnel: {', '.join(map(str, wrong))} cannot be used; {model.model} gives prefixes of at least "
            f"{model.min_dimensions} dimensions, and they are shorter than the collection's {full}"
        )


def _because(can: BackendCapabilities, what: str) -> str:
    reason = can.why_not.get(what)
    return f" ({reason})" if reason else ""
