"""From the folder of one engine to that of another."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from nestvec._client.configuring import default_backend
from nestvec._client.sync import Nestvec, connect
from nestvec._migration.converting import Conversion, ConversionReport, convert
from nestvec._migration.copy import CopyProgress
from nestvec._session.session import complete
from nestvec.capabilities import BackendCapabilities
from nestvec.contract import BackendPlugin
from nestvec.errors import InvalidInput
from nestvec.registry import BACKENDS, Registry
from nestvec.runtime import Runtime


def convert_store(
    old: str | Path,
    new: str | Path,
    *,
    source: str | None = None,
    to: str | None = None,
    leave_foreign: bool = False,
    progress: Callable[[CopyProgress], object] | None = None,
    runtime: Runtime | None = None,
) -> ConversionReport:
    """Convert the folder of an embedded store into one of another backend: all generations, vectors and all.

    Nothing is embedded. The new folder is built beside its place and takes it at the end, when both sides were
    compared; the old one is only read.

    Args:
        old: The folder of a store that no process has open.
        new: A folder that is not there, or empty.
        source: The backend that made the old one; None: it is told by what is in it.
        to: The backend that the new one is for; None: the embedded default.
        leave_foreign: Leave out collections that other programs made, instead of refusing them.
        progress: Hears how many records are carried, after each page.
        runtime: Retries and plugins, where the defaults do not suit.

    Returns:
        What was carried.

    Raises:
        InvalidInput: A folder is not there, not empty, of no known backend, or of this one already.
        CollectionConflict: Other programs made some of the collections.
        Unsupported: The new backend cannot keep something.
        BackendError: A folder cannot be opened: another process has it, or it is damaged.

    Example:
        >>> with nestvec.collection("guides", path="here") as guides:
        ...     report = guides.upsert([Document("a", "One.")])
        >>> nestvec.convert_store("here", "there", to="sqlite").records
        1
    """
    runtime = runtime if runtime is not None else Runtime()
    before, after = Path(old), Path(new)
    made_by, made_for = _plugins(runtime.registry, before, source, to)
    _require_room(before, after)
    part = after.with_name(f"{after.name}.nestvec-converting")
    _remove(part)  # of a run that was killed
    try:
        report = _converted((made_by, before), (made_for, part), leave_foreign, progress, runtime)
    except BaseException:
        _remove(part)
        raise
    if after.exists():
        after.rmdir()
    part.rename(after)
    return report


def _remove(part: Path) -> None:
    """What is half done: a folder, or the one file that some backends make."""
    if part.is_dir():
        shutil.rmtree(part)
    else:
        part.unlink(missing_ok=True)


def _converted(
    source: tuple[BackendPlugin, Path],
    target: tuple[BackendPlugin, Path],
    leave_foreign: bool,
    progress: Callable[[CopyProgress], object] | None,
    runtime: Runtime,
) -> ConversionReport:
    with connect({"backends": {"old": _block(*source), "new": _block(*target)}, "embedders": {}}, runtime) as nv:
        return complete(convert(_job(nv, progress), leave_foreign=leave_foreign))


def _job(nv: Nestvec, progress: Callable[[CopyProgress], object] | None) -> Conversion:
    opened = nv._connections
    before, after = (_capabilities(nv, name) for name in ("old", "new"))
    return Conversion(opened.storing("old"), opened.storing("new"), before, after, progress)


def _capabilities(nv: Nestvec, backend: str) -> BackendCapabilities:
    found: Any = nv.adapter(backend).capabilities()  # called plainly, so nothing is to be awaited
    assert isinstance(found, BackendCapabilities)  # noqa: S101 - see above
    return found


def _block(plugin: BackendPlugin, folder: Path) -> dict[str, Any]:
    assert plugin.embedded is not None  # noqa: S101 - looked at before
    return {"use": plugin.name, **plugin.embedded(folder.absolute())}


def _plugins(registry: Registry, old: Path, source: str | None, to: str | None) -> tuple[BackendPlugin, BackendPlugin]:
    if not old.is_dir():
        raise InvalidInput(f"{old} is no folder: name the folder of a store")
    after = registry.backend(to) if to is not None else default_backend(registry)
    before = registry.backend(source) if source is not None else _maker(registry, old)
    for plugin in (before, after):
        if plugin.embedded is None:
            raise InvalidInput(f"the backend {plugin.name} has no embedded form, so it has no folders")
    if before.name == after.name:
        raise InvalidInput(f"{old} is a folder of {before.name} already; use it as it is")
    return before, after


def _maker(registry: Registry, folder: Path) -> BackendPlugin:
    plugins = [registry.backend(name) for name in registry.names(BACKENDS)]
    found = [plugin for plugin in plugins if plugin.made is not None and plugin.made(folder)]
    if len(found) == 1:
        return found[0]
    known = ", ".join(plugin.name for plugin in plugins if plugin.made is not None)
    raise InvalidInput(
        f"{folder} cannot be told as the folder of one backend ({known}): say which one made it, or name another folder"
    )


def _require_room(old: Path, new: Path) -> None:
    one, two = old.resolve(), new.resolve()
    if one == two or one in two.parents or two in one.parents:
        raise InvalidInput(f"{new} must lie beside {old}, neither in it nor around it")
    if new.exists() and (not new.is_dir() or any(new.iterdir())):
        raise InvalidInput(f"{new} is there already, and not empty; name a folder that is not there")
