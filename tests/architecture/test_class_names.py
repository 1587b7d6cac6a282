"""One word, one meaning: no two public classes share a name."""

from __future__ import annotations

import ast
from collections import defaultdict

from .sources import modules, tree


def test_no_two_public_classes_share_a_name() -> None:
    homes: dict[str, list[str]] = defaultdict(list)
    for name in modules():
        for node in tree(name).body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                homes[node.name].append(name)
    assert homes, "no classes were found: the search is broken"
    shared = {name: where for name, where in homes.items() if len(where) > 1}
    assert not shared, "give each a name of its own:\n" + "\n".join(
        f"  {each}: {where}" for each, where in shared.items()
    )
