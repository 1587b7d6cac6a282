"""Strict option blocks and secrets: what every part of the configuration is made of."""

from __future__ import annotations

import os
import re
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ByteSize, ConfigDict, ValidationInfo, WithJsonSchema, model_validator

from nestvec._files import read_file
from nestvec._limits import CERTIFICATES, SECRET
from nestvec.errors import SecretError
from nestvec.masking import remember


class Options(BaseModel):
    """A block of options. Unknown keys are errors; values are frozen."""

    # Inputs may be secrets that stand in the wrong place: no error may print them.
    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


def _from_folder(path: Path, info: ValidationInfo) -> Path:
    folder = (info.context or {}).get("folder")
    return Path(folder) / path if folder and not path.is_absolute() else path


_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")

#: A path on this machine; a relative one counts from the folder of the configuration file.
LocalPath = Annotated[Path, AfterValidator(_from_folder)]


def _some(size: ByteSize) -> ByteSize:
    if size < 1:
        raise ValueError("expected a size of at least 1 byte")
    return size


#: An amount of bytes: `"32 MB"`, or their number.
Bytes = Annotated[
    ByteSize,
    AfterValidator(_some),
    WithJsonSchema(
        {"anyOf": [{"type": "string", "pattern": "^[0-9.]+ ?[A-Za-z]+$"}, {"type": "integer", "minimum": 1}]}
    ),
]


#: Bytes of a server's reply, unless a setting says otherwise: thousands of vectors as text, or a page of records.
MAX_REPLY = "128 MB"


def read_certificates(path: Path) -> bytes:
    """A file of certificates or keys. Raises `OSError` for what is none, without waiting for it."""
    return read_file(path, CERTIFICATES)


class Secret(Options):
    """A reference to a secret: `{ env = "NAME" }` or `{ file = "path" }`. The value is read on `reveal`.

    A literal is refused when the configuration is read. The value is not kept here, so it cannot appear in a repr; what
    was read is masked in errors (see `nestvec.masking`).
    """

    env: str | None = None
    file: LocalPath | None = None

    @model_validator(mode="before")
    @classmethod
    def _no_literal(cls, value: Any) -> Any:
        if isinstance(value, str | bytes | int | float):
            # Chained validation errors print their input: this message must be all there is.
            raise ValueError('a secret cannot stand here literally; write { env = "NAME" } or { file = "path" }')  # noqa: TRY004
        return value

    @model_validator(mode="after")
    def _one_place(self) -> Secret:
        if (self.env is None) == (self.file is None):
            raise ValueError('a secret needs exactly one of env = "NAME" and file = "path"')
        if self.env is not None and not _VARIABLE.fullmatch(self.env):
            # Perhaps the secret itself: not printed.
            raise ValueError("env must be the name of an environment variable: letters, digits and _")
        return self

    def reveal(self, what: str) -> str:
        """Read the secret now. `what` says in errors which option needs it. Raises `SecretError`."""
        value = self._from_env(what) if self.env is not None else self._from_file(what)
        if not value.strip():
            raise SecretError(f"{what}: the secret in {self._place} is empty")
        remember(value.strip())
        return value.strip()

    @property
    def _place(self) -> str:
        return f"the environment variable {self.env}" if self.env else f"the file {self.file}"

    def _from_env(self, what: str) -> str:
        value = os.environ.get(self.env or "")
        if value is None:
            raise SecretError(f"{what}: the environment variable {self.env} is not set; set it and try again")
        return value

    def _from_file(self, what: str) -> str:
        assert self.file is not None  # noqa: S101 - _one_place guarantees it
        try:
            stored = read_file(self.file, SECRET)
        except OSError as error:
            raise SecretError(f"{what}: {self._place} cannot be read: {error}") from error
        with suppress(UnicodeDecodeError):  # it holds the file's bytes, so the error below is not chained to it
            return stored.decode("utf-8")
        raise SecretError(f"{what}: {self._place} is not UTF-8 text")
