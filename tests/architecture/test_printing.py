"""Everything that is printed goes through one module, which makes it visible."""

from __future__ import annotations

import ast
from collections.abc import Iterator

import pytest

from .sources import modules, tree

HERE = "nestvec._cli.output"
#: What writes to a terminal without it.
CALLS = {"print", "click.echo", "click.secho", "click.echo_via_pager", "click.confirm", "click.prompt", "click.style"}
STREAMS = {"sys.stdout", "sys.stderr", "sys.__stdout__", "sys.__stderr__"}
#: Bars of tqdm, which are fed numbers and words of our own; and what asks whether there is a terminal.
BARS = {"nestvec._cli.progress", "nestvec._cli.stages"}
#: Emulators and their servers talk to whoever develops, not to users.
CHECKED = [name for name in modules() if name != HERE and ".testing" not in name and "nestvec_testing" not in name]


def faults(name: str) -> Iterator[str]:
    """What a module prints past the one place."""
    allowed = STREAMS if name in BARS else set()
    for node in ast.walk(tree(name)):
        where = f"{name}, line {getattr(node, 'lineno', '?')}"
        if isinstance(node, ast.Call) and ast.unparse(node.func) in CALLS:
            yield f"{where}: {ast.unparse(node.func)}"
        if (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Attribute)
            and node.func.attr in ("write", "buffer")
        ):
            yield from (f"{where}: writes to {stream}" for stream in STREAMS if stream in ast.unparse(node.func.value))
        if isinstance(node, ast.keyword) and node.arg == "file" and ast.unparse(node.value) in STREAMS - allowed:
            yield f"{where}: {ast.unparse(node.value)} is handed over"


@pytest.mark.parametrize("name", CHECKED)
def test_nothing_prints_past_the_one_place(name: str) -> None:
    assert not list(faults(name)), f"say it through {HERE}:\n" + "\n".join(faults(name))


def test_blocks_are_laid_out_in_that_place_only() -> None:
    """A block is printed as it is: whoever makes one vouches for its texts."""
    made = [
        name
        for name in modules()
        for node in ast.walk(tree(name))
        if isinstance(node, ast.Call) and ast.unparse(node.func) in ("Block", "output.Block")
    ]
    assert set(made) == {HERE}
