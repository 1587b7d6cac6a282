"""No module imports itself, through however many others. What is imported for types alone, or late, does not count."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from .sources import modules, tree


def imported(name: str) -> set[str]:
    """The modules of this repository that a module imports when it is imported."""
    return {target for node in _executed(tree(name).body) for target in _targets(name, node)}


def _executed(body: list[ast.stmt]) -> Iterator[ast.stmt]:
    for node in body:
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            continue
        yield node
        for part in ("body", "orelse", "finalbody"):
            if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                yield from _executed(getattr(node, part, []))


def _targets(importer: str, node: ast.stmt) -> Iterator[str]:
    known = modules()
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names if alias.name in known)
    if isinstance(node, ast.ImportFrom) and node.module is not None:
        for alias in node.names:
            inner = f"{node.module}.{alias.name}"
            target = inner if inner in known else node.module
            if target in known and target != importer:
                yield target


def test_imports_make_no_circles() -> None:
    graph = {name: imported(name) for name in modules()}
    assert sum(map(len, graph.values())) > len(graph), "hardly any imports were found: the search is broken"
    circles = list(_circles(graph))
    assert not circles, "import circles:\n" + "\n".join(" → ".join(circle) for circle in circles)


def _circles(graph: dict[str, set[str]]) -> Iterator[list[str]]:
    done: set[str] = set()
    for start in graph:
        path: list[str] = []
        yield from _walk(graph, start, path, done)


def _walk(graph: dict[str, set[str]], name: str, path: list[str], done: set[str]) -> Iterator[list[str]]:
    if name in path:
        yield [*path[path.index(name) :], name]
        return
    if name in done:
        return
    for target in sorted(graph[name]):
        yield from _walk(graph, target, [*path, name], done)
    done.add(name)
