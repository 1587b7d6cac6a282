"""What a migration takes from the configuration: an embedder that gives a space, rotations, a splitter, texts."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nestvec._artifacts import Artifact, is_fingerprint
from nestvec._collections.describing import counts_tokens, make_splitter
from nestvec._documents.layout import hash_text
from nestvec._migration.routes import Route, Transform, transform
from nestvec.capabilities import TaskPair
from nestvec.encoding.estimate import counter
from nestvec.errors import ConfigError, InvalidInput
from nestvec.options import Secret
from nestvec.spaces import space_of
from nestvec.types import Document
from nestvec.values import is_unicode

if TYPE_CHECKING:
    from nestvec._chunking import Splitter
    from nestvec._collections.services import ClientServices
    from nestvec._specs import CollectionSpec
    from nestvec.capabilities import ModelCapabilities
    from nestvec.config import Config, Connection
    from nestvec.spaces import EmbeddingSpace
    from nestvec.types import FloatArray


@dataclass(frozen=True, slots=True)
class MigrationResources:
    """For one collection of a configuration."""

    client: ClientServices
    name: str

    @property
    def config(self) -> Config:
        """The client's."""
        return self.client.config

    def with_embedder(self, spec: CollectionSpec) -> CollectionSpec | None:
        """The spec with an embedder of the configuration that gives its space; None where there is none."""
        described = (self.config.previous.get(self.name), self.config.collections.get(self.name))
        configured = [each.embedder for each in described if each is not None]
        for name in dict.fromkeys([spec.embedder, *configured, *self.config.embedders]):
            model = self.config.embedder(name).capabilities
            if gives(model, spec.space):
                return replace(spec, embedder=name, model=model)
        return None

    async def transform(self, way: Route, source: CollectionSpec, target: CollectionSpec) -> Transform:
        """What makes wanted vectors of stored ones. Raises `ConfigError` where a rotation is not to be had."""
        if not way.rotated:
            return transform(way, target, None, None)
        was = await self._rotation(source.space.rotation)
        now = await self._rotation(target.space.rotation)
        return transform(way, target, was, now)

    async def splitter(self, spec: CollectionSpec, *, needed: bool) -> Splitter:
        """What splits documents; where it is not `needed`, no embedder is opened to count tokens."""
        count: Callable[[str], int] | None = None
        if counts_tokens(spec):
            count = (await self.client.embedder(spec.embedder)).count_tokens() if needed else len
        return make_splitter(self.config, spec, count)

    async def token_counter(self, embedder: str) -> Callable[[str], int] | None:
        """What counts tokens for an estimate, as far as nothing has to be downloaded or signed in for that."""
        connection = self.config.embedder(embedder)
        if at_hand(connection):
            return (await self.client.embedder(embedder)).count_tokens()
        path = getattr(connection.options, "tokenizer", None)
        return await self.client.outside(counter, path) if isinstance(path, Path) else None

    async def _rotation(self, fingerprint: str | None) -> FloatArray | None:
        """The matrix with this fingerprint. Raises `ConfigError` where it is not to be had."""
        if fingerprint is None:
            return None
        for connection in self._connections():
            if connection.capabilities.rotation == fingerprint:
                return await self.client.rotation(connection)
        if not is_fingerprint(fingerprint):
            raise ConfigError(
                f"collection {self.name!r}: no embedder of the configuration has rotation {fingerprint!r}, by which "
                f"the stored vectors are turned; put its block back"
            )
        return await self.client.outside(Artifact(self.config.artifacts, fingerprint).load)

    def _connections(self) -> Iterator[Connection[Any]]:
        """The embedders; those with a rotation of the user's also without it: vectors may be stored under their own."""
        for connection in self.config.embedders.values():
            yield connection
            if connection.nesting is not None:
                yield replace(connection, nesting=None)


def gives(model: ModelCapabilities, space: EmbeddingSpace) -> bool:
    """Whether a model's vectors may be those of a space."""
    if not model.min_dimensions <= space.dimensions <= model.dimensions:
        return False
    if space.late_chunking and not model.late_chunking:
        return False
    tasks = TaskPair(space.index_task, space.query_task)
    known = all(task is None or task in model.tasks for task in (tasks.index, tasks.query))
    return known and space_of(model, space.dimensions, tasks, late_chunking=space.late_chunking) == space


def at_hand(connection: Connection[Any]) -> bool:
    """Whether an embedder opens without a key, a server or a download: its plugin says how, and it is set so."""
    embedded, options = connection.plugin.embedded, connection.options
    if embedded is None or any(isinstance(value, Secret) for _, value in options):
        return False
    usual = connection.plugin.options.model_validate(dict(embedded))
    return all(getattr(options, name) == getattr(usual, name) for name in embedded)


def texts_of(documents: Iterable[Document]) -> dict[str, str]:
    """Texts by the hash that documents are stored with. Raises `InvalidInput` for what can be no stored document."""
    found = {}
    for document in documents:
        if not isinstance(document, Document):
            raise InvalidInput(f"documents are nestvec.Document objects, not {type(document).__name__}")
        if not isinstance(document.text, str) or not is_unicode(document.text):
            what = "has a lone surrogate" if isinstance(document.text, str) else f"is {type(document.text).__name__}"
            raise InvalidInput(f"the text of document {ascii(document.id)[:80]} {what}: give valid Unicode, a string")
        found[hash_text(document.text)] = document.text
    return found
