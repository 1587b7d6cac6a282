"""`nestvec convert`."""

from __future__ import annotations

from dataclasses import replace

import pytest

from nestvec import Document, connect


@pytest.fixture
def old(shell):
    """A folder of Qdrant's engine with one collection."""
    values = {
        "backends": {"qdrant": {"use": "qdrant", "path": str(shell.folder / "old")}},
        "embedders": {"words": {"use": "recording"}},
        "collections": {"docs": {"dimensions": 32}, "shared": {"dimensions": 32, "namespaces": True}},
    }
    with connect(values, shell.runtime) as nv:
        nv.apply()
        nv["docs"].upsert([Document("a", "one"), Document("b", "two")])
        nv["shared"].namespace("acme").upsert(Document("a", "three"))
    shell.config.unlink()  # nothing is read of it
    return shell.folder / "old"


def test_converts_and_says_what_to_write_into_the_configuration(shell, old):
    new = shell.folder / "new"
    run = shell("convert", str(old), str(new))
    assert run.code == 0, run.err
    assert run.out == (
        "- docs_1: 2 records\n"
        "- shared_1: 1 record of 1 tenant\n"
        f"3 records converted from qdrant to embedded, and compared. {old} is still there. Now write into the "
        "backend's block of the configuration, whose name stays:\n"
        f'  use = "embedded"\n  path = "{new}"\n'
    )
    assert "3 records converted (100 %)\n" in run.err
    assert run.err.endswith("3 records compared (100 %)\n")


def test_json(shell, old):
    run = shell("convert", str(old), str(shell.folder / "new"), "--from", "qdrant", "--to", "embedded", "--json")
    assert run.code == 0, run.err
    assert run.json == {
        "source": "qdrant",
        "target": "embedded",
        "path": str(shell.folder / "new"),
        "collections": [
            {"physical": "docs_1", "name": "docs", "records": 2, "tenants": 0},
            {"physical": "shared_1", "name": "shared", "records": 1, "tenants": 1},
        ],
        "left_out": [],
        "renamed": False,
        "replaced": None,
        "records": 3,
        "config": f'use = "embedded"\npath = "{shell.folder / "new"}"',
    }


def test_what_was_left_out_replaced_and_renamed_is_told(shell, old):
    from qdrant_client import QdrantClient, models

    client = QdrantClient(path=str(old))
    client.create_collection("theirs", models.VectorParams(size=3, distance=models.Distance.DOT))
    client.close()
    left = shell.folder / "new.converting"
    (left / "store").mkdir(parents=True)
    run = shell("convert", str(old), str(shell.folder / "new"))
    assert (run.code, "'theirs'" in run.err, "--leave-foreign" in run.err) == (1, True, True)
    run = shell("convert", str(old), str(shell.folder / "new"), "--leave-foreign")
    assert run.code == 0, run.err
    assert "- theirs: left out, other programs made it\n" in run.out
    assert f"removed {left}, which an interrupted conversion had left\n" in run.err
    assert not left.exists()


def test_a_block_that_is_called_as_the_backend_is_is_to_be_renamed(shell, old, monkeypatch):
    from nestvec._migration import converting

    report = converting.Inventory.report
    monkeypatch.setattr(converting.Inventory, "report", lambda *given: replace(report(*given), renamed=True))
    run = shell("convert", str(old), str(shell.folder / "new"))
    assert "But a block that is called qdrant must be called embedded from now on" in run.out


@pytest.mark.parametrize("arguments", [("nothing", "new"), ("old", "old"), (".", "../elsewhere")])
def test_what_cannot_be_converted_is_one_message(shell, old, monkeypatch, arguments):
    monkeypatch.chdir(shell.folder)
    run = shell("convert", *arguments)
    assert (run.code, run.out, len(run.err.splitlines())) == (1, "", 1)
    assert run.err.startswith("error: ")
    run = shell("convert", *arguments, "--json")
    assert (run.code, run.json["error"]["type"]) == (1, "InvalidInput")


def test_ctrl_c_leaves_nothing(shell, old, monkeypatch):
    def stop(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("nestvec._client.converting.compare", stop)
    run = shell("convert", str(old), str(shell.folder / "new"))
    assert run.code == 130
    assert sorted(path.name for path in shell.folder.iterdir()) == ["old"]
