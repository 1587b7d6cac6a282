"""Turning validation errors into sentences that name the key and suggest what to write."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError

from nestvec._similar import closest

#: Pydantic's wording where a plainer one helps more.
_WORDING = {
    "missing": "is missing",
    "int_type": "expected a whole number",
    "int_parsing": "expected a whole number",
    "int_from_float": "expected a whole number",
    "float_type": "expected a number",
    "bool_type": "expected true or false",
    "bool_parsing": "expected true or false",
    "string_type": "expected a string in quotes",
    "dict_type": "expected a table",
    "model_type": "expected a table",
    "model_attributes_type": "expected a table",
    "byte_size": 'expected a size, such as "500 MB" or "2 GB"',
    "byte_size_unit": 'expected a size, such as "500 MB" or "2 GB"',
}


def sentences(error: ValidationError, model: type[BaseModel], prefix: Sequence[str] = ()) -> list[str]:
    """One sentence for each error: the dotted key, what was expected, a suggestion. Inputs are never printed."""
    return [_sentence(item, model, prefix) for item in error.errors(include_url=False, include_input=False)]


def _sentence(item: Any, model: type[BaseModel], prefix: Sequence[str]) -> str:
    location = [str(part) for part in item["loc"] if part != "[key]"]
    key = ".".join([*prefix, *location]) or "file"
    if item["type"] == "extra_forbidden":
        return f"{key}: unknown key{did_you_mean(location[-1], _known(model, location[:-1]))}"
    text = _WORDING.get(item["type"]) or item["msg"].removeprefix("Value error, ")
    return f"{key}: {text[0].lower() + text[1:]}"


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """`; did you mean 'x'?`, or the list of what is known."""
    known = list(known)
    close = closest(name, known)
    if close is not None:
        return f"; did you mean {close!r}?"
    return f"; known: {', '.join(known)}" if known else ""


def _known(model: type[BaseModel], path: Sequence[str]) -> list[str]:
    """The keys of the table at `path`; none where nothing is known of it."""
    current: Any = model
    for part in path:
        current = _inside(current, part)
    found = _model_in(current)
    return list(found.model_fields) if found is not None else []


def _inside(annotation: Any, key: str) -> Any:
    """What stands under a key of a table of this type."""
    found = _model_in(annotation)
    if found is not None:
        field = found.model_fields.get(key)
        # Not a field: pydantic names the member of a union that it tried, which is the table itself.
        return field.annotation if field is not None else annotation
    return get_args(annotation)[-1] if get_origin(annotation) in (dict, Mapping) else None


def _model_in(annotation: Any) -> type[BaseModel] | None:
    """The model that a type is, or that a union has; not one inside a mapping."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    if get_origin(annotation) in (Annotated, Union, UnionType):
        return next(filter(None, map(_model_in, get_args(annotation))), None)
    return None
