"""`nestvec emulate jina`, and what such commands share. Light: the server is imported late."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import click

from nestvec._cli.invocation import Invocation, command
from nestvec._cli.output import print_json, say, warn
from nestvec.errors import SecretError

if TYPE_CHECKING:
    CommandT = TypeVar("CommandT", bound=Callable[..., Any])


class Emulator(Protocol):
    """What can be served."""

    def run(self, host: str, port: int, announce: Callable[[str], object]) -> None:
        """In the foreground, until SIGINT or SIGTERM."""


def serve(
    invocation: Invocation, name: str, emulator: Emulator, address: tuple[str, int], config: Callable[[str], str]
) -> None:
    """Run an emulator, and say where; `config` makes the block for a configuration file of its URL."""

    def announce(url: str) -> None:
        if invocation.json:
            print_json({"emulator": name, "url": url, "config": config(url)})
        else:
            say(f"the {name} emulator listens on {url}; Ctrl-C ends it. For nestvec.toml:", "")
            say(*config(url).split("\n"))

    emulator.run(*address, announce)
    warn("stopped")


def address(port: int) -> Callable[[CommandT], CommandT]:
    """The options that all have."""

    def decorate(function: CommandT) -> CommandT:
        key = click.option("--key-env", metavar="VAR", help="The environment variable with the only key that it takes.")
        late = click.option("--latency", type=click.FloatRange(0), default=0.0, help="Seconds that a reply takes.")
        at = click.option(
            "--port", type=click.IntRange(0, 65535), default=port, show_default=True, help="0 finds a free one."
        )
        on = click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
        return on(at(late(key(function))))

    return decorate


def key_from(variable: str | None) -> str | None:
    """What the variable holds. Raises `SecretError`."""
    if variable is None:
        return None
    key = os.environ.get(variable, "").strip()
    if not key:
        raise SecretError(f"--key-env: the environment variable {variable} is not set or empty; export it first")
    return key


_LIMIT = click.IntRange(1)


@click.command()
@address(8765)
@click.option("--requests-per-minute", type=_LIMIT, help="Quota of a key; default: none.")
@click.option("--tokens-per-minute", type=_LIMIT, help="Quota of a key; default: none.")
@click.option("--concurrency", type=_LIMIT, help="Most requests in flight; default: any number.")
@click.option("--embedder", metavar="NAME", help="Vectors of an installed embedder, such as e5, instead of stand-ins.")
@command
def jina(invocation: Invocation, host: str, port: int, key_env: str | None, **dials: Any) -> None:
    """The Jina embeddings API. Without --key-env it takes any key, and none."""
    from nestvec_testing.emulators.jina.emulator import JinaEmulator

    key = key_from(key_env)

    def config(url: str) -> str:
        lines = ["[embedders.jina]", 'use = "jina"', f'base_url = "{url}/v1"']
        return "\n".join(lines if key is None else [*lines, f'api_key = {{ env = "{key_env}" }}'])

    emulator = JinaEmulator(keys=None if key is None else (key,), **dials)
    serve(invocation, "jina", emulator, (host, port), config)
