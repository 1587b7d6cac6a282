"""Filters as SQL conditions.

SQL has AND, OR and NOT, but its JSON knows neither moments nor lists of a type. So each leaf is a function of Python's
that SQLite calls. It is true or false and never NULL: so NOT is the exact complement. No value becomes part of the SQL.
"""

import sqlite3

from nestvec.filters import Filter, Leaf, fold, matches
from nestvec_sqlite.records import from_json


def compile_filter(where: Filter, db: sqlite3.Connection) -> str:
    """The condition of a resolved filter, for the connection's next statement."""
    leaves: list[Leaf] = []

    def leaf(node: Leaf) -> str:
        leaves.append(node)
        name = f"leaf_{len(leaves)}"
        db.create_function(name, 1, lambda stored: matches(node, values := from_json(stored), values))
        return f"{name}({node.field.scope})"  # the column, `metadata` or `system`

    return fold(
        where,
        leaf=leaf,
        and_=lambda parts: f"({' AND '.join(parts)})",
        or_=lambda parts: f"({' OR '.join(parts)})",
        not_=lambda part: f"NOT {part}",
    )
