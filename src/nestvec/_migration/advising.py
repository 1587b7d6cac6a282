"""What a migration changes, told, and what could be done about it instead. No I/O."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from nestvec._chunking import Chunking
from nestvec._collections.differences import Aspect
from nestvec._migration.routes import Way
from nestvec.encoding.models import MODELS

if TYPE_CHECKING:
    from nestvec._collections.differences import Difference
    from nestvec._migration.routes import Route
    from nestvec._specs import CollectionSpec
    from nestvec.capabilities import ModelCapabilities

#: What a migration changes, beside fields, in the order and the words in which it is told.
_LABELS: Mapping[str, str] = {
    "backend": "backend",
    "model": "model",
    "index_task": "task of stored texts",
    "query_task": "task of questions",
    "dimensions": "dimensions",
    "late_chunking": "late chunking",
    "normalized": "vectors of length 1",
    "prompts": "prompts",
    "rotation": "rotation",
    "metric": "metric",
    "storage": "storage",
    "funnel": "funnel",
}
#: The same, of what changes only where documents are embedded anew.
_OF_EMBEDDING: Mapping[str, str] = {"chunking": "chunking", "store_text": "texts are stored"}


def changes(found: Sequence[Difference], way: Way) -> tuple[str, ...]:
    """Everything of what differs that a migration changes: `dimensions: 1024 → 256`."""
    labels = {**_LABELS, **_OF_EMBEDDING} if way is Way.EMBED else _LABELS
    by_name = {each.what: each for each in found if each.what in labels}
    told = [f"{labels[what]}: {_change(by_name[what])}" for what in labels if what in by_name]
    fields = [each for each in found if each.aspect is Aspect.FIELD and not each.in_place]
    return (*told, *(f"{each.what}: {_change(each)}" for each in fields))


def _change(difference: Difference) -> str:
    return f"{_shown(difference.stored)} → {_shown(difference.wanted)}"


def _shown(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, Chunking):
        return _split(value)
    if isinstance(value, list):
        return ", ".join(map(str, value)) or "none"
    return "none" if value is None else str(value)


def advice(
    was: CollectionSpec, now: CollectionSpec, route: Route, told: Sequence[str], models: Iterable[ModelCapabilities]
) -> Iterator[str]:
    """What would do instead, or comes on top. `told` is what the migration changes."""
    differing = was.space.differences(now.space)
    if set(differing) == {"dimensions"} and route.way is Way.DERIVE and len(told) == 1:
        yield (
            f"only the dimensions shrink, so nothing is embedded; `nestvec shrink {now.name} --dimensions "
            f"{now.space.dimensions}` does the same without any change of the configuration first"
        )
    if "model" in differing and now.space.dimensions < was.space.dimensions:
        yield from _for_size_alone(was, now, models)
    if route.way is not Way.EMBED and was.chunking != now.chunking:
        yield "chunks stay as they are: the new chunking holds for what is ingested next"


def _for_size_alone(was: CollectionSpec, now: CollectionSpec, models: Iterable[ModelCapabilities]) -> Iterator[str]:
    """Whoever changes the model to have smaller vectors may not need to."""
    name, size = was.space.model, now.space.dimensions
    model = _model(was, models)
    if model is None:
        return
    if model.matryoshka and model.min_dimensions <= size:
        yield (
            f"if only the size matters, keep {name} in the configuration and shrink instead: nestvec shrink "
            f"{now.name} --dimensions {size}; nothing is embedded"
        )
    elif not model.matryoshka and was.space.dimensions == model.dimensions:
        yield (
            f"if only the size matters, keep {name}: it has no Matryoshka prefixes, but a rotation gives it some "
            f"(nestvec nest {now.name}, then dimensions = {size}); nothing is embedded"
        )


def _model(was: CollectionSpec, models: Iterable[ModelCapabilities]) -> ModelCapabilities | None:
    """The stored space's model: one that the configuration has, else one that is known."""
    space = was.space
    for model in models:
        if (model.model, model.rotation) == (space.model, space.rotation):
            return model
    known = MODELS.get(space.model) if space.rotation is None else None
    return known.capabilities(space.model) if known is not None else None


def _split(chunking: Chunking) -> str:
    overlap = f", {chunking.overlap:,} shared" if chunking.overlap else ""
    form = f", as {chunking.format}" if chunking.format != "auto" else ""
    counted = f", counted by {chunking.tokenizer}" if chunking.tokenizer else ""
    return f"{chunking.size:,} {chunking.unit}{overlap}{form}{counted}"
