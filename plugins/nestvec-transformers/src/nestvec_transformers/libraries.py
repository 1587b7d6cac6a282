"""torch, transformers and PEFT: whether they are there, and how they behave while they load."""

from __future__ import annotations

import importlib
import sys
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from typing import Any

from nestvec.errors import PluginBroken

#: The switches of `quiet` are the process's own.
_LOADING = threading.RLock()
_INSTALL = "pip install 'nestvec-transformers' brings them (torch >= 2.6, transformers >= 5.8, peft >= 0.18)"


def imported(*names: str, install: str = _INSTALL) -> list[Any]:
    """The modules of these names, or names in them ("transformers:JinaEmbeddingsV3Model").

    Raises `PluginBroken` with how to `install` them.
    """
    found = []
    for name in names:
        module, _, inside = name.partition(":")
        try:
            loaded = importlib.import_module(module)
            found.append(getattr(loaded, inside) if inside else loaded)
        except (ImportError, AttributeError, OSError, RuntimeError) as error:
            raise PluginBroken(f"{name} cannot be imported: {error}; {install}") from error
    return found


def check_versions() -> None:
    """Raises `PluginBroken` where transformers wants a newer PEFT: it says so only when an adapter is switched on."""
    check, least = imported(
        "transformers.utils.peft_utils:check_peft_version", "transformers.integrations.peft:MIN_PEFT_VERSION"
    )
    try:
        check(min_version=least)
    except ValueError as error:
        raise PluginBroken(
            f"transformers {version('transformers')} needs peft >= {least}, and {version('peft')} is installed; "
            f"pip install -U peft, or an older transformers: pip install 'transformers<5.24'"
        ) from error


@contextmanager
def quiet() -> Iterator[None]:
    """While weights are loaded: progress bars on a terminal only, and no reports of what is checked here anyway."""
    (logs,) = imported("transformers.utils.logging")
    with _LOADING, warnings.catch_warnings():
        verbosity, bars = logs.get_verbosity(), logs.is_progress_bar_enabled()
        warnings.filterwarnings("ignore", message="Already found a `peft_config` attribute")
        logs.set_verbosity_error()
        if not sys.stderr.isatty():
            logs.disable_progress_bar()  # the hub's, too
        try:
            yield
        finally:
            logs.set_verbosity(verbosity)
            if bars:
                logs.enable_progress_bar()
