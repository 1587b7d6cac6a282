"""What holds for every rule: it waits in its session only, swallows nothing, and `yield` drives nothing."""

from __future__ import annotations

import ast
from collections.abc import Iterator

import pytest

from .sources import in_rooms, modules, tree

#: The packages that hold rules.
ROOMS = (
    "nestvec._collections",
    "nestvec._documents",
    "nestvec._hosts",
    "nestvec._evaluation",
    "nestvec._migration",
    "nestvec.nesting",
)
RULES = in_rooms(*ROOMS)
#: All but what steps rules by hand, and pytest's fixtures.
EVERYTHING = [name for name in modules() if not name.startswith("nestvec_testing")]
#: What waits, or would: rules have a session for that.
WAITING = {"time.sleep", "asyncio.sleep", "threading.Lock", "asyncio.to_thread", "asyncio.wait_for"}


def faults(name: str) -> Iterator[str]:
    """What a module of rules does that no rule may."""
    for node in ast.walk(tree(name)):
        where = f"{name}, line {getattr(node, 'lineno', '?')}"
        if isinstance(node, ast.ExceptHandler):
            yield from (f"{where}: {fault}" for fault in _caught_too_much(node))
        if isinstance(node, ast.Try) and any(_awaits(each) for each in node.finalbody):
            yield f"{where}: a finally that awaits keeps a rule from being broken off"
        if isinstance(node, ast.Call) and ast.unparse(node.func) in WAITING:
            yield f"{where}: {ast.unparse(node.func)}: wait through the session"


def _caught_too_much(handler: ast.ExceptHandler) -> Iterator[str]:
    caught = "everything" if handler.type is None else ast.unparse(handler.type)
    if caught in ("everything", "Exception"):
        yield f"catches {caught}: name what is expected"
    if caught == "BaseException" and not _ends_with_raise(handler):
        yield "catches BaseException and does not raise it again"


def _ends_with_raise(handler: ast.ExceptHandler) -> bool:
    last = handler.body[-1]
    return isinstance(last, ast.Raise) and last.exc is None


def _awaits(node: ast.AST) -> bool:
    return any(isinstance(each, ast.Await | ast.AsyncWith | ast.AsyncFor) for each in ast.walk(node))


@pytest.mark.parametrize("name", RULES)
def test_rules_catch_what_they_name_and_wait_in_their_session(name: str) -> None:
    assert not list(faults(name)), "\n".join(faults(name))


def test_there_are_rules_in_every_room() -> None:
    for room in ROOMS:
        found = [each for name in in_rooms(room) for each in ast.walk(tree(name))]
        assert any(isinstance(each, ast.AsyncFunctionDef) for each in found), f"{room} has no rule"


@pytest.mark.parametrize("name", EVERYTHING)
def test_yield_makes_iterators_and_drives_nothing(name: str) -> None:
    for node in ast.walk(tree(name)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and any(_own_yields(node)):
            given = ast.unparse(node.returns) if node.returns is not None else "nothing"
            kind = given.partition("[")[0]
            assert kind in ("Iterator", "AsyncIterator", "Iterable", "Generator", "AsyncGenerator"), (
                f"{name}.{node.name} gives {given}"
            )
            assert not list(_used_yields(node)), f"{name}.{node.name} takes answers of yield"
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in ("send", "throw"):
            assert name == "nestvec._session.session" or ast.unparse(node.func.value) not in ("rule", "flow", "step"), (
                f"{name}, line {node.lineno}: only `complete` drives a coroutine"
            )


def _own_yields(function: ast.AST) -> Iterator[ast.Yield | ast.YieldFrom]:
    for child in ast.iter_child_nodes(function):
        if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            continue
        if isinstance(child, ast.Yield | ast.YieldFrom):
            yield child
        yield from _own_yields(child)


def _used_yields(function: ast.AST) -> Iterator[ast.AST]:
    """What takes an answer from a yield: one that is no statement of its own."""
    for parent in ast.walk(function):
        for child in ast.iter_child_nodes(parent):
            if isinstance(child, ast.Yield | ast.YieldFrom) and not isinstance(parent, ast.Expr):
                yield parent
