"""Examples of the synchronous client, as they read with the asynchronous one."""

from __future__ import annotations

import ast
import doctest
import inspect
from collections.abc import Iterator

import nestvec

#: What is made otherwise by the asynchronous client.
FUNCTIONS = {"connect": "aconnect", "collection": "acollection"}
#: Methods that are awaited, and those whose answers are read with `async for`.
AWAITED, ITERATED = (
    {
        name
        for kind in (nestvec.AsyncNestvec, nestvec.AsyncCollection)
        for name, member in inspect.getmembers(kind, test)
        if not name.startswith("_")
    }
    for test in (inspect.iscoroutinefunction, inspect.isasyncgenfunction)
)


def awaited(example: str) -> str:
    """The same statements with `await`, `async for` and `async with`, and the same outputs."""
    lines = list[str]()
    for each in doctest.DocTestParser().get_examples(example):
        source = _awaited(each.source.rstrip("\n"))
        lines += [("... " if number else ">>> ") + line for number, line in enumerate(source.splitlines())]
        lines += each.want.splitlines()
    return "\n".join(lines)


def _awaited(source: str) -> str:
    lines = source.splitlines()
    edits = sorted(_edits(ast.parse(source), source), reverse=True)
    for line, column, order, old, new in edits:
        text = lines[line - 1]
        assert text[column:].startswith(old), (text, old, order)  # noqa: S101
        lines[line - 1] = text[:column] + new + text[column + len(old) :]
    return "\n".join(lines)


def _edits(tree: ast.AST, source: str) -> Iterator[tuple[int, int, int, str, str]]:
    """What to replace: line, column, order among edits of one place, the old text and the new one."""
    bare = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Attribute | ast.Subscript)}
    for node in ast.walk(tree):
        if isinstance(node, ast.With):
            yield node.lineno, node.col_offset, 0, "", "async "
        elif isinstance(node, ast.comprehension) and _method(node.iter) in ITERATED:
            column = source.splitlines()[node.target.lineno - 1].rindex("for ", 0, node.target.col_offset)
            yield node.target.lineno, column, 0, "", "async "
        elif isinstance(node, ast.Call):
            name = _method(node)
            if name in FUNCTIONS:
                assert isinstance(node.func, ast.Attribute)  # noqa: S101
                assert node.func.end_col_offset is not None  # noqa: S101
                yield node.func.lineno, node.func.end_col_offset - len(name), 0, name, FUNCTIONS[name]
            if name in AWAITED or name == "collection":
                inner = id(node) in bare
                outermost_first = -(node.end_col_offset or 0)
                yield node.lineno, node.col_offset, outermost_first, "", "(await " if inner else "await "
                if inner and node.end_lineno is not None and node.end_col_offset is not None:
                    yield node.end_lineno, node.end_col_offset, 0, "", ")"


def _method(node: ast.AST) -> str:
    return node.func.attr if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) else ""
