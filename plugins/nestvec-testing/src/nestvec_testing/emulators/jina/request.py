"""Requests, checked against what their model declares."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from nestvec_testing.emulators.jina.errors import Invalid, JinaRefusal
from nestvec_testing.emulators.jina.models import MODELS, Model
from nestvec_testing.emulators.jina.settings import JinaSettings
from nestvec_testing.emulators.jina.tokens import cut
from nestvec_testing.emulators.jina.words import LEXICON

KINDS: Final = ("float", "base64", "binary", "ubinary")
_FLAGS: Final = ("normalized", "truncate", "late_chunking", "return_multivector", "return_tokenized_input")


@dataclass(frozen=True)
class Ask:
    """A request that can be carried out. `texts` are cut where that was asked for; `tokens` are what it costs."""

    model: str
    texts: tuple[str, ...]
    tokens: int
    task: str | None
    dimensions: int
    kind: str
    normalized: bool
    late: bool


def read(raw: bytes, settings: JinaSettings) -> Ask:
    """Raises `JinaRefusal`."""
    body = _parsed(raw)
    name, model = _model(body)
    known = {key: value for key, value in body.items() if key in model.fields}
    if settings.closed and (unknown := sorted(set(body) - model.fields)):
        declared = ", ".join(sorted(model.fields))
        raise Invalid(
            unknown[0], f"{name} declares no such field, only {declared}", "extra_forbidden", body[unknown[0]]
        )
    for flag in _FLAGS:
        if not isinstance(known.get(flag), bool | None):
            raise Invalid(flag, "must be true or false", "bool_type", known[flag])
    _check_multivector(known)
    late = bool(known.get("late_chunking"))
    texts, tokens = _fitting(known, model, settings, late)
    return Ask(
        model=name,
        texts=texts,
        tokens=tokens,
        task=_task(known, model),
        dimensions=_dimensions(known, model),
        kind=_kind(known),
        normalized=known.get("normalized") is not False,
        late=late,
    )


def _parsed(raw: bytes) -> dict[str, Any]:
    try:
        body = json.loads(raw)
    except (ValueError, RecursionError) as error:
        raise Invalid("body", f"is no valid JSON: {error}", "json_invalid") from error
    if not isinstance(body, dict):
        raise Invalid("body", "must be an object", "model_attributes_type", body)
    return body


def _model(body: Mapping[str, Any]) -> tuple[str, Model]:
    name = body.get("model")
    if not isinstance(name, str):
        raise Invalid("model", "is required, as a string", "missing" if name is None else "string_type", name)
    if name not in MODELS:
        raise JinaRefusal(
            400, f"Model {name!r} not found. Available models: {', '.join(MODELS)}", "INPUT_MODEL_NOT_FOUND"
        )
    return name, MODELS[name]


def _task(body: Mapping[str, Any], model: Model) -> str | None:
    task = body.get("task")
    if task is None:
        return model.default_task
    if task not in model.tasks:
        raise Invalid("task", f"must be one of {', '.join(model.tasks)}", "literal_error", task)
    return str(task)


def _dimensions(body: Mapping[str, Any], model: Model) -> int:
    size = body.get("dimensions")
    if size is None:
        return model.dimensions
    if not isinstance(size, int) or isinstance(size, bool):
        raise Invalid("dimensions", "must be an integer", "int_type", size)
    if not 1 <= size <= model.dimensions:
        kind = "greater_than" if size < 1 else "less_than_equal"
        raise Invalid("dimensions", f"must be from 1 to {model.dimensions}", kind, size)
    return size


def _kind(body: Mapping[str, Any]) -> str:
    given = body.get("embedding_type")
    kinds = dict.fromkeys(given if isinstance(given, list) else [given or "float"]) or {"float": None}
    if unknown := [kind for kind in kinds if kind not in KINDS]:
        raise Invalid("embedding_type", f"must be of {', '.join(KINDS)}", "literal_error", unknown[0])
    if len(kinds) > 1:
        raise Invalid(
            "embedding_type", "several at once are not emulated: no form of reply is described", "emulator", given
        )
    return str(next(iter(kinds)))


def _check_multivector(body: Mapping[str, Any]) -> None:
    if body.get("return_multivector"):
        if body.get("dimensions") is not None:
            raise Invalid("return_multivector", "cannot be used with dimensions", "value_error", True)
        raise Invalid("return_multivector", "is not emulated", "emulator", True)
    if body.get("return_tokenized_input"):
        raise Invalid("return_tokenized_input", "requires return_multivector", "value_error", True)


# ---------------------------------------------------------------- input


def _texts(body: Mapping[str, Any], settings: JinaSettings) -> dict[str, str]:
    """The texts by their places in the request, such as `input.3`, or `input` alone."""
    if body.get("input") is None:
        raise Invalid("input", "is required", "missing")
    given = body["input"]
    if not isinstance(given, list):
        return {"input": _text("input", given)}
    if not 1 <= len(given) <= settings.max_inputs:
        kind = "too_long" if given else "too_short"
        raise Invalid("input", f"must have from 1 to {settings.max_inputs} items, but has {len(given)}", kind)
    return {f"input.{number}": _text(f"input.{number}", item) for number, item in enumerate(given)}


def _text(place: str, item: Any) -> str:
    if isinstance(item, str):
        return item
    if not isinstance(item, dict):
        raise Invalid(place, 'must be a string or {"text": …}', "string_type", item)
    if not isinstance(item.get("text"), str):
        raise Invalid(f"{place}.text", "is required, as a string (only texts are emulated)", "missing", item)
    if unknown := sorted(set(item) - {"text"}):
        raise Invalid(f"{place}.{unknown[0]}", "is no field of a text", "extra_forbidden", item[unknown[0]])
    return str(item["text"])


def _fitting(body: Mapping[str, Any], model: Model, settings: JinaSettings, late: bool) -> tuple[tuple[str, ...], int]:
    """The texts, and the sum of their tokens."""
    placed = _texts(body, settings)
    counts = {place: LEXICON.count(text) for place, text in placed.items()}
    truncate, total = bool(body.get("truncate")), sum(counts.values())
    if late:
        limit = settings.late_tokens
        if settings.strict_late and not truncate and total > limit:
            raise Invalid("input", f"has {total} tokens together; late chunking takes {limit}", "too_long")
        return tuple(placed.values()), min(total, limit)
    limit = settings.max_tokens or model.max_tokens
    for place in [place for place, count in counts.items() if count > limit]:
        if not truncate:
            raise Invalid(
                place, f"has {counts[place]} tokens; the model takes {limit}", "too_long", placed[place][:100]
            )
        placed[place] = cut(placed[place], limit)
        counts[place] = LEXICON.count(placed[place])
    return tuple(placed.values()), sum(counts.values())
