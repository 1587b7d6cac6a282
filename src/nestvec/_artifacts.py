"""Artifacts: data that belongs to an embedding space and is too large for the database, found by its fingerprint.

A nesting rotation is two files, `<fingerprint>.npy` with the matrix and `<fingerprint>.json`, which says what it is a
rotation of. Both are written whole or not at all, the small one last; neither is ever overwritten with something else.
"""

from __future__ import annotations

import json
import os
import re
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from tokenize import TokenError
from typing import TYPE_CHECKING, Any, BinaryIO

from nestvec._damaged import DAMAGED
from nestvec._files import open_file, read_file
from nestvec._limits import DESCRIPTION
from nestvec.errors import ConfigError

if TYPE_CHECKING:
    from nestvec.types import FloatArray

#: The folder beside the configuration file.
DEFAULT_FOLDER = "nestvec-artifacts"
#: How many vectors a rotation is fitted and measured on, unless told otherwise: 20 for each of 1,024 dimensions.
DEFAULT_SAMPLE = 20_000
_FINGERPRINT = re.compile(r"[0-9a-f]{16}")
_ANOTHER = "write the key `artifacts` with a folder that can be written to"
_MEND = (
    "copy both files of the artifact into that folder (the key `artifacts` names another); if they are lost, fit "
    "another rotation with `nestvec nest`, for new collections"
)


@dataclass(frozen=True, slots=True)
class About:
    """What is known of a rotation: whose vectors it turns, and what it was fitted on.

    `model` is the canonical name, `dimensions` its full length. `vectors` is how many it was fitted on, `source` where
    they came from, `created` the moment in ISO 8601.
    """

    model: str
    dimensions: int
    source: str = ""
    vectors: int = 0
    created: str = ""


@dataclass(frozen=True, slots=True)
class Artifact:
    """The place of a rotation's files. Making one touches nothing."""

    folder: Path
    fingerprint: str

    @property
    def matrix(self) -> Path:
        """The file with the numbers."""
        return self.folder / f"{self.fingerprint}.npy"

    @property
    def about(self) -> Path:
        """The file that says what they are."""
        return self.folder / f"{self.fingerprint}.json"

    @property
    def exists(self) -> bool:
        """Whether both files are there."""
        return self.matrix.is_file() and self.about.is_file()

    def describe(self) -> About:
        """What it is, without reading the matrix, which has to be there. Raises `ConfigError`."""
        try:
            there = self.matrix.is_file()
        except OSError as error:
            raise ConfigError(f"rotation {self.fingerprint}: {self.matrix} cannot be reached: {error}") from error
        if not there:
            raise ConfigError(f"rotation {self.fingerprint}: there is no file {self.matrix}; {_MEND}")
        return self.read_about()

    def read_about(self) -> About:
        """What the small file says. Raises `ConfigError`."""
        try:
            return _about(json.loads(read_file(self.about, DESCRIPTION)), self.fingerprint)
        except FileNotFoundError as error:
            raise ConfigError(f"rotation {self.fingerprint}: there is no file {self.about}; {_MEND}") from error
        except (OSError, *DAMAGED) as error:
            why = f"it has no {error}" if isinstance(error, KeyError) else error
            raise ConfigError(f"rotation {self.fingerprint}: {self.about} cannot be read: {why}; {_MEND}") from error

    def load(self) -> FloatArray:
        """The matrix, read-only float32 of shape (d, d), proved intact. Raises `ConfigError`."""
        return self.proved(self.describe().dimensions)

    def proved(self, dimensions: int) -> FloatArray:
        """The matrix alone, proved to be the rotation of that many dimensions with this fingerprint."""
        from nestvec.encoding.rotation import fault, fingerprint

        rotation = self._read(dimensions)
        wrong = fault(rotation, dimensions)
        if wrong is None and (found := fingerprint(rotation)) != self.fingerprint:
            wrong = f"its content has the fingerprint {found}"
        if wrong is not None:
            raise ConfigError(f"rotation {self.fingerprint}: {self.matrix} is damaged: {wrong}; {_MEND}")
        rotation.flags.writeable = False
        return rotation

    def _read(self, dimensions: int) -> FloatArray:
        try:
            return _matrix(self.matrix, dimensions)
        except (OSError, EOFError, MemoryError, SyntaxError, TokenError, *DAMAGED) as error:
            raise ConfigError(f"rotation {self.fingerprint}: {self.matrix} cannot be read: {error}; {_MEND}") from error


def _matrix(path: Path, dimensions: int) -> FloatArray:
    """The numbers of a file, which says itself how many there are: it is asked before room is made for them.

    Raises `ValueError`, `EOFError` or `OSError`.
    """
    import numpy as np

    with open_file(path) as file:
        if file.read(6) != np.lib.format.MAGIC_PREFIX:
            raise ValueError("it holds no single matrix")
        file.seek(0)
        version = np.lib.format.read_magic(file)
        if version != (1, 0):
            raise ValueError(f"it has version {version[0]}.{version[1]} of its format, not 1.0")
        shape, _, kind = np.lib.format.read_array_header_1_0(file)
        if shape != (dimensions, dimensions) or kind.hasobject or not kind.itemsize:
            raise ValueError(f"it holds {kind} of shape {shape}, not a matrix of {dimensions} rows and columns")
        if os.fstat(file.fileno()).st_size < dimensions**2 * kind.itemsize:
            raise ValueError("it is shorter than it says")
        file.seek(0)
        stored: FloatArray = np.load(file, allow_pickle=False)
    return np.ascontiguousarray(stored)


def is_fingerprint(text: str) -> bool:
    """Whether this may be the fingerprint of an artifact, and so part of a file name."""
    return _FINGERPRINT.fullmatch(text) is not None


def check_folder(folder: Path) -> None:
    """Raise `ConfigError` where no files can be written to that folder, which need not be there; writes nothing."""
    there = next(path for path in (folder, *folder.parents) if path.exists())
    if not there.is_dir():
        raise ConfigError(f"rotations cannot be kept in {folder}: {there} is no folder; {_ANOTHER}")
    if not os.access(there, os.W_OK | os.X_OK):
        raise ConfigError(f"rotations cannot be kept in {folder}: {there} cannot be written to; {_ANOTHER}")


def save(folder: Path, rotation: FloatArray, about: About) -> Artifact:
    """Write a rotation, unless it is there; returns its place.

    Raises `InvalidInput` for a matrix that is no rotation of `about.dimensions`, and `ConfigError` where the files
    cannot be written, or are there and hold something else.
    """
    import numpy as np

    from nestvec.encoding.rotation import fault, fingerprint
    from nestvec.errors import InvalidInput

    wrong = fault(rotation, about.dimensions)
    if wrong is not None:
        raise InvalidInput(f"a matrix cannot be kept as a rotation: {wrong}")
    artifact = Artifact(folder, fingerprint(rotation))
    if artifact.matrix.exists():
        artifact.proved(about.dimensions)
    if artifact.about.exists():
        _require_same(artifact, about)
    matrix = np.ascontiguousarray(rotation, dtype="<f4")
    text = json.dumps({"fingerprint": artifact.fingerprint, **asdict(about)}, indent=2, ensure_ascii=False) + "\n"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _write(artifact.matrix, lambda file: np.save(file, matrix, allow_pickle=False))
        _write(artifact.about, lambda file: file.write(text.encode()))
    except OSError as error:
        raise ConfigError(
            f"rotation {artifact.fingerprint} cannot be written to {folder}: {error}; {_ANOTHER}"
        ) from error
    return artifact


def _require_same(artifact: Artifact, about: About) -> None:
    there = artifact.read_about()
    if (there.model, there.dimensions) != (about.model, about.dimensions):
        raise ConfigError(
            f"{artifact.about} says that rotation {artifact.fingerprint} is of {there.model} with {there.dimensions} "
            f"dimensions, not of {about.model} with {about.dimensions}; nothing was overwritten: use another folder"
        )


def _write(path: Path, fill: Callable[[BinaryIO], object]) -> None:
    """All or nothing, also if the machine stops meanwhile: a temporary file beside it takes its name at the end.

    What is there already is left alone.
    """
    if path.exists():
        return
    handle, name = tempfile.mkstemp(prefix=f".{path.name}-", suffix=".tmp", dir=path.parent)
    temporary = Path(name)
    try:
        with os.fdopen(handle, "wb") as file:
            fill(file)
            file.flush()
            os.fsync(file.fileno())
        temporary.chmod(0o644)  # mkstemp makes it private; others have to read an artifact, too
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def _about(values: Mapping[str, Any], expected: str) -> About:
    """Raises `KeyError`, `TypeError` or `ValueError` for what is none."""
    if values["fingerprint"] != expected:
        raise ValueError(f"it describes {values['fingerprint']}")
    about = About(**{key: values[key] for key in About.__slots__})
    if not isinstance(about.model, str) or type(about.dimensions) is not int or about.dimensions < 1:
        raise ValueError("model is a name and dimensions a positive whole number")
    return about
