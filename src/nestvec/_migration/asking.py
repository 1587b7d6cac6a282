"""What plans of migrations and the care for generations need, of both clients: everything but the waiting."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nestvec._client.base import Runtime, make_binding, spec_named
from nestvec._documents.layout import hash_text
from nestvec._migration.estimate import Asked
from nestvec._migration.scenes import Sides
from nestvec.encoding.estimate import counter
from nestvec.errors import InvalidInput
from nestvec.options import Secret
from nestvec.types import Document
from nestvec.values import is_unicode

if TYPE_CHECKING:
    from nestvec.config import Config, Connection


def sides_of(config: Config, name: str, runtime: Runtime) -> Sides:
    """Where a collection is wanted, and where it was. Raises `InvalidName`."""
    wanted = make_binding(config, spec_named(config, name), runtime)
    previous = config.previous.get(name)
    return Sides(wanted, None if previous is None else make_binding(config, previous, runtime))


def backends_of(sides: Sides) -> tuple[str, str]:
    """The backends to which requests for "source" and "target" go."""
    return sides.binding("source").spec.backend, sides.wanted.spec.backend


def own_names(config: Config, names: Iterable[str]) -> list[str]:
    """The collections to look at: those named, or all that nestvec made."""
    return list(names) or [name for name, spec in config.collections.items() if spec.foreign is None]


def at_hand(connection: Connection[Any]) -> bool:
    """Whether an embedder opens without a key, a server or a download: its plugin says how, and it is set so."""
    embedded, options = connection.plugin.embedded, connection.options
    if embedded is None or any(isinstance(value, Secret) for _, value in options):
        return False
    usual = connection.plugin.options.model_validate(dict(embedded))
    return all(getattr(options, name) == getattr(usual, name) for name in embedded)


def asked_of(
    config: Config,
    sides: Sides,
    opened: Any | None,
    documents: Iterable[Document],
) -> Asked:
    """What a plan needs to know; `opened` is the embedder, if it was at hand."""
    connection = config.embedders[sides.wanted.spec.embedder]
    count: Callable[[str], int] | None
    if opened is not None:
        count = opened.count_tokens()
    else:
        path = getattr(connection.options, "tokenizer", None)
        count = counter(path) if isinstance(path, Path) else None
    folder = config.path.parent if config.path is not None else None
    models = [each.capabilities for each in config.embedders.values()]
    return Asked(sides, connection.price, count, folder, models, texts_of(documents))


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
