"""An embedded store that cannot be written to: on a read-only file system, or of somebody else. It can be searched."""

from __future__ import annotations

import errno
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

import nestvec
from nestvec import Document
from nestvec.contract import disk_advice, forbids_writing
from nestvec.runtime import Runtime
from nestvec_testing.registry import test_registry

#: The name of each engine, and its options for a place in a folder.
STORES = {
    "sqlite": lambda folder: {"use": "sqlite", "path": str(folder / "store.db")},
    "embedded": lambda folder: {"use": "embedded", "path": str(folder / "store")},
    "qdrant": lambda folder: {"use": "qdrant", "path": str(folder / "store")},
    "milvus": lambda folder: {"use": "milvus", "path": str(folder / "store")},
}
#: Reads in every way, tries to write in every way, and says what came of it.
SCRIPT = """
import json, sys
import nestvec
from nestvec import Document
from nestvec.runtime import RetryPolicy, Runtime
from nestvec_testing.registry import test_registry

values = json.loads(sys.argv[1])
found, refused = {}, {}
with nestvec.connect(values, Runtime(test_registry(), retry=RetryPolicy(attempts=1))) as nv:
    docs = nv["docs"]
    found["search"] = [hit.document_id for hit in docs.search("text 3", limit=1, where={"n": {"$gte": 1}})]
    found["count"] = docs.count()
    found["get"] = docs.get("d2").text
    found["scroll"] = sorted(record.document_id for page in docs.scroll() for record in page.records)
    found["status"] = nv.status("docs")[0].documents
    found["plan"] = nv.plan("docs")[0].action
    writes = {
        "upsert": lambda: docs.upsert([Document("new", "text")]),
        "delete": lambda: docs.delete(["d1"]),
        "copy": lambda: nv.copy("docs", "other"),
    }
    for name, write in writes.items():
        try:
            write()
        except nestvec.NestvecError as error:
            refused[name] = [type(error).__name__, str(error)]
    found["after"] = docs.count()
print(json.dumps([found, refused]))
"""


def values(block: dict[str, Any]) -> dict[str, Any]:
    fields = {"fields": {"n": "integer"}}
    return {
        "embedders": {"model": {"use": "recording"}},
        "backends": {"store": block},
        "collections": {"docs": fields, "other": fields},
    }


def works(command: list[str]) -> bool:
    return (
        shutil.which(command[0]) is not None
        and not subprocess.run(command, capture_output=True, check=False).returncode
    )


POWERS = ["setpriv", "--bounding-set", "-dac_override,-dac_read_search,-fowner", "--"]
MOUNT = 'mount --bind "$0" "$0" && mount -o remount,ro,bind "$0" "$0" && exec "$@"'


def forbidden(folder: Path) -> tuple[list[str], str]:
    """Nobody may write; and root, which may do everything, has to do without that."""
    prefix = POWERS if os.geteuid() == 0 else []
    if prefix and not works([*prefix, "true"]):
        pytest.skip("root may write everywhere, and cannot be kept from it here")
    for path in [*folder.rglob("*"), folder]:
        path.chmod(0o555 if path.is_dir() else 0o444)
    return prefix, "this user may not write there"


def mounted(folder: Path) -> tuple[list[str], str]:
    """In a process of its own that has the folder mounted for reading."""
    prefix = ["unshare", "--mount", "sh", "-c", MOUNT, str(folder)]
    if not works([*prefix, "true"]):
        pytest.skip("nothing can be mounted here")
    return prefix, "its file system is read-only"


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    made = tmp_path / "data"
    made.mkdir()
    yield made
    for path in [made, *made.rglob("*")]:
        path.chmod(0o755)


@pytest.mark.parametrize("hindrance", [forbidden, mounted])
@pytest.mark.parametrize("name", STORES)
def test_it_can_be_searched_and_not_changed(name: str, hindrance: Any, folder: Path) -> None:
    configuration = values(STORES[name](folder))
    with nestvec.connect(configuration, Runtime(test_registry())) as nv:
        nv.apply()
        nv["docs"].upsert([Document(f"d{number}", f"text {number}", {"n": number}) for number in range(5)])
    before = contents(folder)
    prefix, advice = hindrance(folder)
    done = subprocess.run(
        [*prefix, sys.executable, "-c", SCRIPT, json.dumps(configuration)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    found, refused = json.loads(done.stdout)
    assert found == {
        "search": ["d3"],
        "count": 5,
        "get": "text 2",
        "scroll": [f"d{number}" for number in range(5)],
        "status": 5,
        "plan": "none",
        "after": 5,
    }
    assert set(refused) == {"upsert", "delete", "copy"}
    for kind, message in refused.values():
        assert kind == "BackendFull"
        assert "free some space" not in message
        assert name == "sqlite" or advice in message or "may not write there" in message
    assert contents(folder) == before


def contents(folder: Path) -> Mapping[str, bytes]:
    return {str(path): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


@pytest.mark.parametrize(
    ("error", "advice"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), "free some space on its disk"),
        (OSError(errno.EDQUOT, "Disk quota exceeded"), "quota"),
        (OSError(errno.EROFS, "Read-only file system"), "mount it for writing"),
        (PermissionError(errno.EACCES, "Permission denied"), "permissions"),
        (RuntimeError("IO error: No space left on device"), "free some space on its disk"),
        (RuntimeError("database or disk is full"), "free some space on its disk"),
        (RuntimeError("attempt to write a readonly database"), "permissions"),
        (RuntimeError("disk quota exceeded"), "quota"),
        (OSError(errno.ENOENT, "No such file"), None),
        (RuntimeError("no such table"), None),
    ],
)
def test_space_is_to_be_freed_only_where_that_helps(error: Exception, advice: str | None) -> None:
    told = disk_advice(error)
    assert (told is None) == (advice is None)
    assert advice is None or advice in str(told)
    if advice not in (None, "free some space on its disk"):
        assert "space on its disk" not in str(told)
    assert forbids_writing(error) == (getattr(error, "errno", None) in (errno.EROFS, errno.EACCES))
