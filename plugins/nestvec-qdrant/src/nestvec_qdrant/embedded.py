"""The engine in this process, opening its folder in a way that is safe when somebody else made it.

qdrant-client unpickles whatever it finds there, in the folders that `meta.json` names. Here both are checked first;
what is not expected is refused, and nothing of it is run.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any, Final

from pydantic import ValidationError
from qdrant_client import models
from qdrant_client.local.local_collection import LocalCollection
from qdrant_client.local.persistence import STORAGE_FILE_NAME, CollectionPersistence
from qdrant_client.local.qdrant_local import META_INFO_FILENAME, QdrantLocal

from nestvec.errors import BackendRefused
from nestvec.folders import Untrusted, check_tree, leads_out
from nestvec_qdrant import points
from nestvec_qdrant.options import EMBEDDED_FILE

_FRESH: Final[Mapping[str, Any]] = {"collections": {}, "aliases": {}}
#: Keys that earlier versions of the client wrote.
_OLD_KEYS: Final = ("init_from",)
_ADVICE: Final = "nothing of it was run; restore it from a copy that you trust, or choose another path"


class StoredPoints(CollectionPersistence):
    """A collection's points in SQLite."""

    def load(self) -> Iterator[models.PointStruct]:
        """The newest row of each point. Raises `points.UnexpectedPoint`.

        Like the client's own: earlier versions of it could store a point several times, in rows whose keys differ.
        """
        _check_schema(self.storage)
        self._legacy_keys: dict[Any, str] = {}
        seen: set[Any] = set()
        outdated: list[tuple[int]] = []
        for number, key, value in self.storage.execute("SELECT rowid, id, point FROM points ORDER BY rowid DESC"):
            point = points.load(value)
            if point.id in seen:
                outdated.append((number,))
                continue
            seen.add(point.id)
            if key != self.encode_key(point.id):
                self._legacy_keys[point.id] = key
            yield point
        if outdated:
            with self.storage:
                self.storage.executemany("DELETE FROM points WHERE rowid = ?", outdated)


class FolderCollection(LocalCollection):
    """A collection from a folder. The client's own class would have unpickled it before anybody could look."""

    def __init__(self, config: models.CreateCollection, location: str) -> None:
        super().__init__(config)  # of a collection in memory, which reads nothing
        self.persistent = True
        self.storage = StoredPoints(location, True)
        with ExitStack() as undo:
            undo.callback(self.close)
            self.load_vectors()
            undo.pop_all()


class CheckedLocal(QdrantLocal):
    """The engine. Raises `BackendRefused` for a folder that is not as qdrant-client leaves it."""

    def create_collection(self, collection_name: str, *arguments: Any, **more: Any) -> bool:
        """Create a collection: in a folder without points, because the client would load them."""
        path = self._collection_path(collection_name)
        if path is not None and _has_points(Path(path)):
            raise BackendRefused(
                f"the Qdrant folder {self.location} has points of a collection {collection_name!r} that its "
                f"{META_INFO_FILENAME} does not list: {_ADVICE}, or remove {path}"
            )
        created: bool = super().create_collection(collection_name, *arguments, **more)
        return created

    def _load(self) -> None:
        if not self.persistent:
            return
        folder = Path(self.location)
        with ExitStack() as undo:
            undo.callback(self.close)
            folder.mkdir(parents=True, exist_ok=True)
            self._require_own(folder)
            self._checked(folder)
            self._lock(folder / ".lock")
            self._read(_read_meta(folder))
            undo.pop_all()

    def _require_own(self, folder: Path) -> None:
        if (folder / EMBEDDED_FILE).exists():
            raise BackendRefused(
                f"the folder {folder} is not Qdrant's: nestvec's embedded backend made it. Open it with "
                f'use = "embedded", or choose another path'
            )

    def _checked(self, folder: Path) -> None:
        try:
            check_tree(folder)
        except Untrusted as error:
            raise BackendRefused(f"the Qdrant folder {folder} is not as Qdrant leaves it: {error}") from error

    def _lock(self, path: Path) -> None:
        import portalocker  # when it is imported, it looks for a folder that can be written to

        if not path.exists():
            path.write_text("tmp lock file")
        self._flock_file = path.open("r+")
        try:
            portalocker.lock(self._flock_file, portalocker.LockFlags.EXCLUSIVE | portalocker.LockFlags.NON_BLOCKING)
        except portalocker.exceptions.LockException as error:
            raise RuntimeError(f"{self.location} is already accessed by another instance of Qdrant client") from error

    def _read(self, meta: Mapping[str, Any]) -> None:
        for name, config in meta["collections"].items():
            self.collections[name] = self._opened(name, config)
        self.aliases = dict(meta["aliases"])
        for name, indexes in meta.get("text_indexes", {}).items():
            self.collections[name].text_indexes = {
                field: models.TextIndexParams(**parameters) for field, parameters in indexes.items()
            }

    def _opened(self, name: str, config: Mapping[str, Any]) -> FolderCollection:
        known = {key: value for key, value in config.items() if key not in _OLD_KEYS}
        try:
            return FolderCollection(models.CreateCollection(**known), str(self._collection_path(name)))
        except (points.UnexpectedPoint, ValidationError, TypeError, KeyError, AttributeError) as error:
            told = f"it holds {error}" if isinstance(error, points.UnexpectedPoint) else "its description is damaged"
            raise BackendRefused(
                f"collection {name!r} in the Qdrant folder {self.location} is not what qdrant-client writes "
                f"({told}): {_ADVICE}"
            ) from error


def _read_meta(folder: Path) -> Mapping[str, Any]:
    """What the folder says that it holds; a new one is made to say that it holds nothing."""
    path = folder / META_INFO_FILENAME
    if not path.exists():
        path.write_text(json.dumps(_FRESH))
        return _FRESH
    try:
        meta = json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise _odd(folder, f"cannot be read ({type(error).__name__}: {error})") from error
    _check_meta(meta, folder)
    return dict(meta)


def _check_meta(meta: Any, folder: Path) -> None:
    if not isinstance(meta, dict) or not _is_table_of(meta.get("collections"), dict):
        raise _odd(folder, "has no table of collections")
    if not _is_table_of(meta.get("aliases"), str) or not _is_table_of(meta.get("text_indexes", {}), dict):
        raise _odd(folder, "has no table of aliases, or one of something else")
    for name in meta["collections"]:
        if leads_out(name) or set(name.split("/")) & {"", "."}:
            raise _odd(folder, f"names a collection {name!r:.100}, which would lie outside of its folder")
    for name in {*meta["aliases"].values(), *meta.get("text_indexes", {})} - set(meta["collections"]):
        raise _odd(folder, f"speaks of a collection {name!r:.100} that it does not list")


def _is_table_of(value: object, kind: type) -> bool:
    return isinstance(value, dict) and all(isinstance(each, kind) for each in value.values())


def _odd(folder: Path, what: str) -> BackendRefused:
    return BackendRefused(
        f"the Qdrant folder {folder} is damaged, or not Qdrant's: {META_INFO_FILENAME} {what}: {_ADVICE}"
    )


def _check_schema(connection: sqlite3.Connection) -> None:
    """Raises `points.UnexpectedPoint` for anything but one table: views and triggers run SQL of their own."""
    for kind, name, sql in connection.execute("SELECT type, name, sql FROM sqlite_master"):
        plain = kind == "table" and name == "points" and str(sql).upper().startswith("CREATE TABLE")
        if not plain and name != "sqlite_autoindex_points_1":
            raise points.UnexpectedPoint(f"a {kind} {name!r:.100} in its database")


def _has_points(folder: Path) -> bool:
    path = folder / STORAGE_FILE_NAME
    if not path.exists():
        return False
    with closing(sqlite3.connect(path)) as connection:
        if not list(connection.execute("SELECT 1 FROM sqlite_master")):
            return False
        _check_schema(connection)
        return bool(list(connection.execute("SELECT 1 FROM points LIMIT 1")))
