"""`nestvec copy`."""

from __future__ import annotations

MOVED = """
[backends.elsewhere]
use = "sqlite"
path = "elsewhere.db"

[collections.moved]
backend = "elsewhere"
embedder = "model"
dimensions = {dimensions}
"""


def test_copies_and_says_so(shell):
    name = _prepare(shell)
    run = shell("copy", name, "moved", "--json")
    assert run.code == 0, run.err
    assert run.json == {
        "source": name,
        "target": "moved",
        "records": 2,
        "written": 2,
        "unchanged": 0,
        "verified": 2,
        "unread": [],
        "leftovers": 0,
    }
    again = shell("copy", name, "moved")
    assert "0 copied, 2 were there already; 2 compared" in again.out


def test_what_cannot_be_copied_is_one_message(shell):
    name = _prepare(shell, dimensions=7)
    run = shell("copy", name, "moved")
    assert run.code == 1
    assert "dimensions: stored" in run.err
    assert "Traceback" not in run.err
    run = shell("copy", name, "mvoed")
    assert run.code == 1
    assert "did you mean 'moved'" in run.err


def test_a_collection_with_namespaces_is_copied_whole_or_in_part(shell):
    name = _prepare(shell, namespaces=True)
    run = shell("copy", name, "moved", "--namespace", "two", "--json")
    assert run.code == 0, run.err
    assert (run.json["records"], run.json["written"]) == (2, 2)
    run = shell("copy", name, "moved", "--json")
    assert run.code == 0, run.err
    assert run.json == {
        "source": name,
        "target": "moved",
        "records": 4,
        "written": 2,
        "unchanged": 2,
        "verified": 4,
        "unread": [],
        "leftovers": 0,
    }
    again = shell("copy", name, "moved")
    assert "4 records in moved: 0 copied, 4 were there already; 4 compared" in again.out


def _prepare(shell, dimensions=None, *, namespaces=False):
    import tomllib

    config = tomllib.loads(shell.config.read_text())
    name = next(iter(config["collections"]))
    own = config["collections"][name].get("dimensions", 64)
    (embedder,) = config["embedders"]
    text = MOVED.format(dimensions=dimensions or own).replace('"model"', f'"{embedder}"')
    (backend,) = config["backends"]
    head = shell.config.read_text()
    if f'backend = "{backend}"' not in head:
        head = head.replace(f"[collections.{name}]", f'[collections.{name}]\nbackend = "{backend}"')
    if namespaces:
        head = head.replace(f"[collections.{name}]", f"[collections.{name}]\nnamespaces = true")
        text += "namespaces = true\n"
    shell.config.write_text(head + text)
    assert shell("apply", name).code == 0
    lines = '{"id": "a", "text": "one text"}\n{"id": "b", "text": "another text"}\n'
    for tenant in ("one", "two") if namespaces else (None,):
        run = shell("ingest", name, "-", *(["--namespace", tenant] if tenant else []), stdin=lines)
        assert run.code == 0, run.err
    return name
