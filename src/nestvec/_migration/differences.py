"""In what a stored collection differs from the wanted one, and what could be done about it instead. No I/O."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from nestvec._migration.routes import Way
from nestvec.encoding.models import MODELS

if TYPE_CHECKING:
    from nestvec._chunking import Chunking
    from nestvec._migration.routes import Route
    from nestvec._specs import CollectionSpec
    from nestvec.capabilities import ModelCapabilities


def changes(was: CollectionSpec, now: CollectionSpec, way: Way) -> tuple[str, ...]:
    """Everything that a migration changes: `dimensions: 1024 → 256`."""
    one, two = was.space, now.space
    pairs: list[tuple[str, Any, Any]] = [
        ("backend", was.backend, now.backend),
        ("model", one.model, two.model),
        ("task of stored texts", one.index_task or "none", two.index_task or "none"),
        ("task of questions", one.query_task or "none", two.query_task or "none"),
        ("dimensions", one.dimensions, two.dimensions),
        ("late chunking", _yes(one.late_chunking), _yes(two.late_chunking)),
        ("vectors of length 1", _yes(one.normalized), _yes(two.normalized)),
        ("prompts", one.prompts or "none", two.prompts or "none"),
        ("rotation", one.rotation or "none", two.rotation or "none"),
        ("metric", was.metric, now.metric),
        ("storage", was.storage, now.storage),
        ("funnel", _sizes(was.funnel), _sizes(now.funnel)),
    ]
    if way is Way.EMBED:
        pairs.append(("chunking", _split(was.chunking), _split(now.chunking)))
        pairs.append(("texts are stored", _yes(was.store_text), _yes(now.store_text)))
    pairs += [(f"field {name!r}", was.fields.get(name, kind), kind) for name, kind in now.fields.items()]
    return tuple(f"{what}: {before} → {after}" for what, before, after in pairs if before != after)


def advice(
    was: CollectionSpec, now: CollectionSpec, found: Route, models: Iterable[ModelCapabilities]
) -> Iterator[str]:
    """What would do instead, or comes on top."""
    differing = was.space.differences(now.space)
    if set(differing) == {"dimensions"} and found.way is Way.DERIVE and len(changes(was, now, found.way)) == 1:
        yield (
            f"only the dimensions shrink, so nothing is embedded; `nestvec shrink {now.name} --dimensions "
            f"{now.space.dimensions}` does the same without any change of the configuration first"
        )
    if "model" in differing and now.space.dimensions < was.space.dimensions:
        yield from _for_size_alone(was, now, models)
    if found.way is not Way.EMBED and was.chunking != now.chunking:
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


def _yes(value: bool) -> str:
    return "yes" if value else "no"


def _sizes(sizes: Sequence[int]) -> str:
    return ", ".join(map(str, sizes)) or "none"


def _split(chunking: Chunking) -> str:
    overlap = f", {chunking.overlap:,} shared" if chunking.overlap else ""
    form = f", as {chunking.format}" if chunking.format != "auto" else ""
    counted = f", counted by {chunking.tokenizer}" if chunking.tokenizer else ""
    return f"{chunking.size:,} {chunking.unit}{overlap}{form}{counted}"
