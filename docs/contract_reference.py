"""The contract's chapters of the page about hooks: what a backend and an embedder answer, from `nestvec.contract`."""

from __future__ import annotations

import dataclasses
import inspect
import re
from collections.abc import Iterator
from typing import Any, get_args

from nestvec import contract
from nestvec.contract import POWERS, Adapter, BackendRequest, Embedder, Encode

#: What each method of a backend is asked with.
REQUESTS = {request.method: request for request in get_args(BackendRequest)}
#: Values that requests carry, and answers.
VALUES = ("Batch", "Found", "CollectionInfo", "Stage", "ForeignLayout", "ForeignPreset")
BEGIN, END = "<!-- From nestvec.contract, by docs/generate.py: -->", "<!-- So far. -->"


def contract_chapters() -> str:
    """From the obligatory methods to the values that requests carry."""
    return "\n".join([BEGIN, "", *_backend(), *_powers(), *_values(), *_embedder(), END])


def methods_of(kind: type) -> list[str]:
    """Methods that a class demands: its own abstract ones, and those of bases that are no powers themselves."""
    shared = [base for base in kind.__mro__[1:] if base not in (*POWERS, Adapter)] if kind in POWERS else []
    found = {name: None for each in (kind, *shared) for name in vars(each) if _abstract(each, name)}
    return list(found)


def _abstract(kind: type, name: str) -> bool:
    return bool(getattr(vars(kind)[name], "__isabstractmethod__", False))


def _backend() -> Iterator[str]:
    yield from ("## The contract of a backend", "")
    yield from _paragraphs(inspect.getdoc(Adapter))
    yield from (
        "",
        "Obligatory are `capabilities` and ten methods that answer a request each; `close()` may be there, too.",
        "",
    )
    yield from _methods(Adapter, methods_of(Adapter), "###")


def _methods(kind: type, names: list[str], heading: str) -> Iterator[str]:
    for name in names:
        function = getattr(kind, name)
        answer = re.sub(r"^Answer\[(.*)\]$", r"\1", str(inspect.signature(function).return_annotation))
        request = REQUESTS.get(name)
        taken = f"request: {request.__name__}" if request is not None else _taken(function)
        line = f"def {name}(self, {taken}) -> {answer}" if taken else f"def {name}(self) -> {answer}"
        yield from (f"{heading} `{name}`", "", "```python", line, "```", "")
        yield from _paragraphs(inspect.getdoc(request or function))
        yield from ("", *(_fields(request) if request is not None else ()))


def _taken(function: Any) -> str:
    parameters = [each for name, each in inspect.signature(function).parameters.items() if name != "self"]
    return ", ".join(f"{each.name}: {each.annotation}" for each in parameters)


def _fields(kind: Any) -> Iterator[str]:
    """A class as it is constructed."""
    items = [f"{each.name}: {each.type}{_default(each)}" for each in dataclasses.fields(kind)]
    line = f"{kind.__name__}({', '.join(items)})"
    wrapped = [line] if len(line) <= 100 else [f"{kind.__name__}(", *(f"    {item}," for item in items), ")"]
    yield from ("```python", *wrapped, "```", "")


def _default(field: dataclasses.Field[Any]) -> str:
    if field.default_factory is not dataclasses.MISSING:
        return " = {}" if field.default_factory is dict else " = ..."
    return "" if field.default is dataclasses.MISSING else f" = {_shown(field.default)}"


def _shown(value: object) -> str:
    return f'"{value}"' if isinstance(value, str) else str(value)


def _powers() -> Iterator[str]:
    told = inspect.getdoc(inspect.getmodule(POWERS[0]))
    yield from ("## Powers", "", *_paragraphs(told), "")
    shown = set[str]()
    for kind in POWERS:
        yield from (f"### `{kind.__name__}`", "", *_paragraphs(inspect.getdoc(kind)), "")
        new = [name for name in methods_of(kind) if name not in shown]
        known = [name for name in methods_of(kind) if name in shown]
        shown.update(new)
        if known:
            yield from (f"Also needs {', '.join(f'[`{name}`](#{name})' for name in known)}.", "")
        yield from _methods(kind, new, "####")


def _values() -> Iterator[str]:
    yield from ("## Values of requests and answers", "")
    for name in VALUES:
        kind = getattr(contract, name)
        yield from (f"### `{name}`", "", *_paragraphs(inspect.getdoc(kind)), "", *_fields(kind))


def _embedder() -> Iterator[str]:
    yield from ("## The contract of an embedder", "", *_paragraphs(inspect.getdoc(Embedder)), "")
    for name in ("encode", "rotation", "count_tokens", "close"):
        function = getattr(Embedder, name)
        yield from (f"### `Embedder.{name}`", "", "```python")
        yield from (f"def {name}{inspect.signature(function)}".replace("'", ""), "```", "")
        yield from (*_paragraphs(inspect.getdoc(function)), "")
    for kind in (Encode, contract.Group, contract.Encoded, contract.EncodeFailure):
        yield from (f"### `{kind.__name__}`", "", *_paragraphs(inspect.getdoc(kind)), "", *_fields(kind))


def _paragraphs(text: str | None) -> list[str]:
    parts = (part if part.startswith(("|", "-")) else part.replace("\n", " ") for part in (text or "").split("\n\n"))
    return "\n\n".join(parts).split("\n")
