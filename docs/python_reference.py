"""The pages of the Python API, from signatures and docstrings: the synchronous client's, and the asynchronous one's."""

from __future__ import annotations

import dataclasses
import enum
import inspect
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from awaiting import awaited
from docstrings import Docstring, parse, single

import nestvec
from nestvec import errors, filters
from nestvec.filters.fields import FieldExpression

#: What the examples start from: these two files, in one folder.
EXAMPLES = Path(__file__).parent / "reference" / "examples"
WIDTH = 100
#: Names in signatures, with what they stand for.
TYPES = {
    "FilterLike": "a filter made with `F`, or its dict form: `Filter | Mapping[str, object]`",
    "FloatArray": "`numpy.typing.NDArray[numpy.float32]`",
    "Metadata": "`Mapping[str, MetadataValue]`: `str`, `int`, `float`, `bool`, `datetime`, or lists of them",
    "OnFailure": '`Literal["raise", "report"]`',
    "ProgressCallback": "`Callable[[MigrationProgress], object]`",
    "Config": "`nestvec.config.Config`: what `nestvec.config.load_config(path)` reads",
    "Span": "`tuple[int, int]`",
    "Registry": "`nestvec.registry.Registry`",
    "FullAdapter": "`nestvec.contract.FullAdapter`: see [the contract](hooks.md#the-contract-of-a-backend)",
    "Embedder": "`nestvec.contract.Embedder`: see [the contract](hooks.md#the-contract-of-an-embedder)",
}

#: Methods by subject. Every public one is named in one place; a test looks.
CHAPTERS: Mapping[str, tuple[str, ...]] = {
    "Connecting": (
        *("connect", "collection", "Nestvec", "Nestvec.__getitem__", "Nestvec.adapter", "Nestvec.embedder"),
        *("Nestvec.aio", "Nestvec.close", "shared_client", "close_shared_clients", "Runtime", "RetryPolicy"),
    ),
    "Collections": ("Collection", "Collection.aio", "Collection.close"),
    "Collections: writing": (
        "Document",
        "Chunk",
        "Collection.upsert",
        "Collection.upsert_records",
        "Collection.settle",
        "Collection.update_metadata",
        "Collection.delete",
        *("Collection.export_to", "Collection.import_from"),
        "Collection.repair",
    ),
    "Collections: searching": (
        *("Collection.search", "Collection.search_many", "Collection.search_vector", "Collection.search_vectors"),
        *("Collection.embed", "Nestvec.embed"),
    ),
    "Collections: reading": (
        *("Collection.get", "Collection.get_many", "Collection.documents", "Collection.count"),
        *("Collection.distinct", "Collection.value_range", "Collection.scroll", "Collection.matrix"),
    ),
    "Collections: tenants, spaces and hosts": (
        *("Collection.namespace", "Collection.tenants", "Collection.space", "EmbeddingSpace", "TaskPair", "Metric"),
        *("Collection.hosts", "Collection.forget_canaries"),
    ),
    "Configuration changes": ("Nestvec.plan", "Nestvec.apply", "Nestvec.status", "Nestvec.look"),
    "Migration": (
        *("Nestvec.plan_migration", "Nestvec.migrate", "Nestvec.shrink", "Nestvec.rollback", "Nestvec.generations"),
        *("Nestvec.cleanup", "Nestvec.drop", "Nestvec.copy", "convert_store"),
    ),
    "Measuring": ("Nestvec.dimensions", "DimensionsOptions", "Question", "Nestvec.nest"),
    "Results": tuple(sorted(nestvec.results.__all__)),
}
#: The asynchronous chapters: the same names, of the twins.
TWINS = {"Nestvec": "AsyncNestvec", "Collection": "AsyncCollection", "connect": "aconnect", "collection": "acollection"}
#: Properties that lead from one client to the other.
FACES = {"Nestvec.aio": "AsyncNestvec.sync", "Collection.aio": "AsyncCollection.sync"}
#: Classes that come from a function or a method, not from their constructor.
GIVEN = ("Nestvec", "Collection", "AsyncNestvec", "AsyncCollection")


def python_page() -> str:
    """Every public name but the asynchronous ones, by subject."""
    chapters = [(title, [line for name in named for line in entry(name)]) for title, named in CHAPTERS.items()]
    chapters += [("Filters", list(_filters())), ("Errors", _errors()), ("Types in signatures", list(_types()))]
    intro = [
        *_lines(inspect.getdoc(nestvec) or ""),
        "",
        "The same, awaited: [the asynchronous client](python-async.md).",
    ]
    return _page("Python API", [*intro, "", *_start()], chapters)


def async_page() -> str:
    """The asynchronous names, explained by their twins, with `await` in the examples."""
    chapters = []
    for title, named in CHAPTERS.items():
        twins = [twin for name in named if (twin := _twin(name)) is not None]
        if twins:
            chapters.append((title, [line for name in twins for line in entry(name)]))
    intro = [
        "The methods of [the synchronous client](python.md), awaited: results, filters and errors are the same.",
        'The examples start from the same files, with `nv = nestvec.aconnect("nestvec.toml")`.',
    ]
    return _page("Python API, asynchronous", intro, chapters)


def _start() -> Iterator[str]:
    """What examples start from."""
    yield "The examples start from these two files; `docs` holds three documents then."
    for name, language in (("nestvec.toml", "toml"), ("start.py", "python")):
        yield from ("", f"```{language}", *(EXAMPLES / name).read_text(encoding="utf-8").splitlines(), "```")


def _twin(name: str) -> str | None:
    """The asynchronous name, where there is one."""
    first, dot, rest = name.partition(".")
    return FACES.get(name, f"{TWINS[first]}{dot}{rest}") if first in TWINS else None


def _filters() -> Iterator[str]:
    """The rules, `F`, fields and filters."""
    rules, _, _ = (inspect.getdoc(filters) or "").partition("\n\nFilters are immutable")
    first, code, rest = rules.split("\n\n", 2)
    yield from [*_lines(first), "", "```python", *inspect.cleandoc(code).splitlines(), "```", "", *_bullets(rest), ""]
    told = parse(type(nestvec.F))
    yield from ["### `F`", "", *_lines(told.prose), "", *_example("F", told)]
    yield from [
        "### `ID`",
        "",
        'The ids of documents, compared as a keyword field is: `ID == "hr-7"`, `ID.in_(["a", "b"])`.',
        "",
    ]
    for kind in ("FieldExpression", "Filter"):
        yield from entry(kind)


def _bullets(text: str) -> list[str]:
    """Paragraphs, and items of lists, in a line each."""
    return re.sub(r"\n  (?=\S)", " ", re.sub(r"(?<=[^\n])\n(?=[^\n -])", " ", text)).splitlines()


def _errors() -> list[str]:
    """The tree, and what the errors carry."""
    first, tree, rest = (inspect.getdoc(errors) or "").split("\n\n", 2)
    where = "All are in `nestvec.errors`; `nestvec.NestvecError` is there, too."
    return [f"{first} {where}", "", "```", *inspect.cleandoc(tree).splitlines(), "```", "", *_lines(rest), ""]


def _types() -> Iterator[str]:
    yield from ("| name | stands for |", "|---|---|", *(f"| `{name}` | {text} |" for name, text in TYPES.items()))


def _page(title: str, intro: list[str], chapters: Iterable[tuple[str, list[str]]]) -> str:
    listed, body = list[str](), list[str]()
    for chapter, lines in chapters:
        found = [line.removeprefix("### ") for line in lines if line.startswith("### ")]
        listed.append(f"- [{chapter}](#{anchor(chapter)})" + (": " if found else ""))
        listed[-1] += ", ".join(f"[{each}](#{anchor(each)})" for each in found)
        body += ["", f"## {chapter}", "", *lines]
    return "\n".join([f"# {title}", "", *intro, "", *listed, *_squeezed(body)]) + "\n"


def _squeezed(lines: Iterable[str]) -> Iterator[str]:
    """Without doubled empty lines."""
    before: str | None = "the beginning"
    for line in lines:
        if line or before:
            yield line
        before = line


def anchor(heading: str) -> str:
    """The name by which a heading can be linked, as GitHub makes it."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


# ---------------------------------------------------------------- one name


def find(name: str) -> Any:
    """What a name such as `Collection.search` or `nestvec.connect` stands for; of a class, as it is looked up there."""
    first, _, rest = name.removeprefix("nestvec.").partition(".")
    value = {"FieldExpression": FieldExpression, "Filter": filters.Filter}.get(first) or getattr(nestvec, first)
    return inspect.getattr_static(value, rest) if rest else value


def function_of(member: Any) -> Any:
    """The function that a class method wraps, or the member itself."""
    return member.__func__ if isinstance(member, classmethod | staticmethod) else member


def explained(name: str) -> Docstring:
    """What explains a name: its docstring, or that of its twin."""
    told = parse(function_of(find(name)))
    return parse(function_of(find(told.twin))) if told.twin is not None else told


def methods_of(kind: type) -> list[str]:
    """The names of public methods and class methods, also inherited ones within nestvec."""
    special = ["__getitem__"] if kind.__name__ in GIVEN else []
    found = [name for name in dir(kind) if not name.startswith("_") or name in special]
    members = ((name, function_of(inspect.getattr_static(kind, name))) for name in found)
    return [name for name, member in members if inspect.isfunction(member) and member.__module__.startswith("nestvec")]


def properties_of(kind: type) -> dict[str, property]:
    """Public properties, also inherited ones."""
    members = {name: inspect.getattr_static(kind, name) for name in dir(kind) if not name.startswith("_")}
    return {name: member for name, member in members.items() if isinstance(member, property)}


def entry(name: str) -> list[str]:
    """Everything about a name, under its heading."""
    value = function_of(find(name))
    told = explained(name)
    lines = [f"### {_heading(name)}", ""]
    if isinstance(value, property):
        return [*lines, _linked(_annotated(value, told.summary)), ""]
    if not inspect.isclass(value) or _constructed(name, value):
        lines += ["```python", *signature(_heading(name, plain=True), value), "```", ""]
    lines += [*_prose(name, told), ""]
    lines += _listed("Parameters", _arguments(told)) + _attributes(value, told)
    answers = (("Returns", told.returns), ("Yields", told.yields))
    lines += [line for kind, text in answers if text for line in (f"**{kind}** {_linked(text)}", "")]
    lines += _raises(told) + _example(name, told)
    if inspect.isclass(value) and name not in GIVEN:
        lines += [line for each in methods_of(value) for line in _minor(f"{name}.{each}")]
    return lines


def _minor(name: str) -> list[str]:
    """A method of a value, under a smaller heading."""
    return [line.replace("### ", "#### ", 1) if line.startswith("### ") else line for line in entry(name)]


def _heading(name: str, *, plain: bool = False) -> str:
    shown = "nestvec." + name if name[0].islower() else name
    if name.endswith(".__getitem__"):
        shown = "nv[name]"
    return shown if plain else f"`{shown}`"


def _prose(name: str, told: Docstring) -> list[str]:
    own = parse(function_of(find(name)))
    said = own.prose.partition(": ")[2] or own.prose.partition("; ")[2] if own.twin else ""
    text = told.prose
    if said:
        text += f"\n\n{said[0].upper()}{said[1:]}"
    return [_linked(line) for line in _lines(text)]


def _lines(text: str) -> list[str]:
    """Paragraphs in a line each; blocks as they are."""
    parts = (part if part.startswith((" ", "-", "|")) else part.replace("\n", " ") for part in text.split("\n\n"))
    return "\n\n".join(parts).split("\n")


def _constructed(name: str, kind: type) -> bool:
    """Whether people make such values themselves."""
    given = (*GIVEN, "FieldExpression", "Filter")
    return bool(parse(kind).example) and name not in given and not issubclass(kind, enum.Enum)


# ---------------------------------------------------------------- signatures


def signature(shown: str, value: Any) -> list[str]:
    """A call as people write it, wrapped: one parameter a line where it is long."""
    given = inspect.signature(value)
    parameters = [each for name, each in given.parameters.items() if name not in ("self", "cls")]
    returned = "" if inspect.isclass(value) else given.return_annotation
    if shown.endswith("[name]"):
        return [f"{shown} -> {_type(returned)}"]
    start = "await " if inspect.iscoroutinefunction(value) else ""
    end = f") -> {_type(returned)}" if returned else ")"
    items = list(_items(parameters, value))
    line = f"{start}{shown}({', '.join(items)}{end}"
    if len(line) <= WIDTH:
        return [line]
    return [f"{start}{shown}(", *(f"    {item}," for item in items), end]


def _items(parameters: Iterable[inspect.Parameter], value: Any) -> Iterator[str]:
    starred = False
    for each in parameters:
        if each.kind is each.KEYWORD_ONLY and not starred:
            starred = True
            yield "*"
        starred = starred or each.kind is each.VAR_POSITIONAL
        prefix = {each.VAR_POSITIONAL: "*", each.VAR_KEYWORD: "**"}.get(each.kind, "")
        default = "" if each.default is each.empty else f" = {default_of(each, value)}"
        yield f"{prefix}{each.name}: {_type(each.annotation)}{default}"


def default_of(parameter: inspect.Parameter, value: Any) -> str:
    """A default as people would write it."""
    parts = dataclasses.fields(value) if dataclasses.is_dataclass(value) else ()
    made = {each.name: each.default_factory for each in parts}
    factory = made.get(parameter.name, dataclasses.MISSING)
    if factory is not dataclasses.MISSING:
        return {dict: "{}"}.get(factory, f"{factory.__name__}()")
    if callable(parameter.default):
        return f"{parameter.default.__module__}.{parameter.default.__name__}"
    text = repr(parameter.default).replace("'", '"')
    return f"{parameter.default:_}" if type(parameter.default) is int and len(text) > 4 else text


def _type(annotation: object) -> str:
    return re.sub(r"(?:\w+\.)+(?=[A-Z])", "", str(annotation))


# ---------------------------------------------------------------- parts


def _arguments(told: Docstring) -> Iterator[tuple[str, str]]:
    for name, text, elsewhere in single(told.args):
        there = {} if elsewhere is None else {one: said for one, said, _ in single(explained(elsewhere).args)}
        yield name, there.get(name, text)


def _listed(title: str, rows: Iterable[tuple[str, str]]) -> list[str]:
    lines = [f"- `{name}`: {_linked(text)}" for name, text in rows]
    return [f"**{title}**", "", *lines, ""] if lines else []


def _attributes(kind: Any, told: Docstring) -> list[str]:
    if not inspect.isclass(kind) or not (told.attributes or properties_of(kind)):
        return []
    if issubclass(kind, enum.Enum):
        values = single(told.attributes)
        return _table("value", ((f"{kind.__name__}.{name}", repr(kind[name].value), text) for name, text, _ in values))
    types = {each.name: _type(each.type) for each in dataclasses.fields(kind)} if dataclasses.is_dataclass(kind) else {}
    rows = [(name, types.get(name, ""), text) for name, text, _ in single(told.attributes)]
    if kind.__name__ not in GIVEN:
        rows += [
            (name, _type(member.fget.__annotations__.get("return", "")), parse(member).summary.replace("\n", " "))
            for name, member in properties_of(kind).items()
            if member.fget is not None
        ]
    return _table("attribute", rows)


def _table(title: str, rows: Iterable[tuple[str, str, str]]) -> list[str]:
    lines = [f"| `{name}` | {_code(kind)} | {_linked(text)} |" for name, kind, text in rows]
    return [f"| {title} | | |", "|---|---|---|", *lines, ""] if lines else []


def _code(text: str) -> str:
    return "" if not text else "`" + text.replace("|", "\\|") + "`"


def _raises(told: Docstring) -> list[str]:
    coded = {", ".join(f"`{each}`" for each in names.split(", ")): text for names, text in told.raises.items()}
    lines = [f"- {_linked(names)}: {_linked(text)}" for names, text in coded.items()]
    return ["**Raises**", "", *lines, ""] if lines else []


def _example(name: str, told: Docstring) -> list[str]:
    if not told.example:
        return []
    example = awaited(told.example) if name.startswith(("Async", "aco")) else told.example
    return ["```python", *example.splitlines(), "```", ""]


_CODE = re.compile(r"`([A-Za-z_]\w*(?:\.\w+)*)`")


def _linked(text: str) -> str:
    """The text, with links from public names to where they are explained."""
    return _CODE.sub(lambda found: _link(found.group(1)), text)


def _link(name: str) -> str:
    short = name.removeprefix("nestvec.")
    if any(short in named for named in CHAPTERS.values()):
        heading = _heading(short)
    elif name.startswith("Async") or short in TWINS.values():
        return f"[`{name}`](python-async.md#{anchor(_heading(short))})"
    elif inspect.isclass(getattr(errors, name, None)):
        heading = "errors"
    else:
        return f"`{name}`"
    return f"[`{name}`](python.md#{anchor(heading)})"


def _annotated(member: property, text: str) -> str:
    kind = _type(member.fget.__annotations__.get("return", "")) if member.fget is not None else ""
    return f"`{kind}`. {text}".replace("\n", " ")
