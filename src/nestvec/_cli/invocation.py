"""What every command shares: the configuration's place, the plugins, `--json`, and how errors are told."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from nestvec._cli.output import print_json, warn
from nestvec.errors import ConfigError, NestvecError

if TYPE_CHECKING:
    from nestvec._client.sync import Nestvec
    from nestvec.config import Config
    from nestvec.registry import Registry
    from nestvec.runtime import Runtime

DEFAULT_CONFIG = "nestvec.toml"
INTERRUPTED = 130
Command = Callable[..., int | None]


@dataclass(frozen=True, slots=True)
class Invocation:
    """One run of the command line. `given` is a runtime handed to `main(obj=…)`, to embed or test the commands."""

    path: Path = Path(DEFAULT_CONFIG)
    given: Runtime | None = None
    json: bool = False

    @property
    def registry(self) -> Registry:
        """The plugins, none of them loaded."""
        from nestvec.registry import default_registry

        return self.given.registry if self.given is not None else default_registry()

    @property
    def runtime(self) -> Runtime:
        """How clients behave."""
        from nestvec.runtime import Runtime

        return self.given if self.given is not None else Runtime()

    def load(self) -> Config:
        """Read the configuration file. Raises `ConfigError`."""
        from nestvec.config import load_config

        return load_config(self.path, self.registry)

    def connect(self) -> Nestvec:
        """A client of the configuration file; nothing is connected yet."""
        from nestvec._client.sync import Nestvec

        return Nestvec(self.load(), self.runtime)

    def fail(self, error: NestvecError) -> int:
        """Tell an error; returns the exit code."""
        warn(f"error: {error}")
        if self.json:
            print_json({"error": describe(error)})
        return 1


def describe(error: NestvecError) -> dict[str, Any]:
    """An error as it stands in JSON output."""
    told: dict[str, Any] = {"type": type(error).__name__, "message": str(error), "retryable": error.retryable}
    if isinstance(error, ConfigError):
        told["problems"] = list(error.problems)
    return told


def describe_interrupt(message: str) -> dict[str, Any]:
    """Ctrl-C, in the same form."""
    return {"type": "Interrupted", "message": message, "retryable": True}


def command(function: Command) -> Callable[..., None]:
    """Make a function of a invocation a click callback: with `--json`, exit codes, and errors told in one place."""

    @click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of text for people.")
    @click.option("--config", "-c", "late", type=click.Path(path_type=Path), hidden=True)
    @functools.wraps(function)
    def callback(as_json: bool, late: Path | None, **arguments: Any) -> None:
        context = click.get_current_context()
        invocation: Invocation = replace(context.obj, json=as_json)
        if late is not None:  # people write -c on either side of the command
            invocation = replace(invocation, path=late)
        context.exit(_guarded(invocation, function, arguments))

    return callback


def _guarded(invocation: Invocation, function: Command, arguments: dict[str, Any]) -> int:
    try:
        return function(invocation, **arguments) or 0
    except NestvecError as error:
        return invocation.fail(error)
    except KeyboardInterrupt:
        warn("interrupted")
        if invocation.json:
            print_json({"error": describe_interrupt("interrupted")})
        return INTERRUPTED


def refuse_file(invocation: Invocation, source: str) -> None:
    """Say what is missing where a file is named and a collection is meant. Wrong usage."""
    if Path(source).exists() and source not in invocation.load().collections:
        raise click.UsageError(f"{source} is a file: --embedder NAME says what embeds its texts. Or name a COLLECTION.")


def json_object(_: click.Context, parameter: click.Parameter, value: str | None) -> dict[str, Any] | None:
    """Callback of an option whose value is a JSON object; anything else is wrong usage."""
    import json

    if value is None:
        return None
    try:
        parsed = json.loads(value)
    except (ValueError, RecursionError) as error:
        message = f"this is no valid JSON ({_one_line(error)}): {value!r:.100}; {_EXAMPLE}"
        raise click.BadParameter(message, param=parameter) from error
    if not isinstance(parsed, dict):
        raise click.BadParameter(f"expected a JSON object, not {value!r:.100}; {_EXAMPLE}", param=parameter)
    return parsed


_EXAMPLE = """write it like '{"lang": "de", "year": {"$gte": 2020}}'"""


def _one_line(error: Exception) -> str:
    return re.sub(r"\s+", " ", str(error))
