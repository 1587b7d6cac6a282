"""`emulate`: services for tests and trials, found by the entry points of the group `nestvec.emulators`.

Each entry point is a click command. They are part of a test kit, of nestvec's own or of somebody else's, which the
core does not import.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from nestvec._cli.invocation import command
from nestvec.errors import NestvecError, PluginBroken, PluginConflict

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

GROUP = "nestvec.emulators"


def found() -> dict[str, list[EntryPoint]]:
    """What is installed, by name; not imported. Several for one name are a conflict."""
    from importlib.metadata import entry_points

    by_name: dict[str, list[EntryPoint]] = {}
    for entry in sorted(entry_points(group=GROUP), key=lambda each: each.name):
        same = by_name.setdefault(entry.name, [])
        if entry.value not in [other.value for other in same]:
            same.append(entry)
    return by_name


class _Emulators(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        return list(found())

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002 - click's
        entries = found().get(cmd_name)
        if entries is None:
            return None
        try:
            return _load(entries)
        except NestvecError as error:
            return _failing(cmd_name, error)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        name, names = args[0], self.list_commands(ctx)
        if name not in names and not name.startswith("-") and not ctx.resilient_parsing:
            ctx.fail(
                f"there is no emulator {name!r}; installed: {', '.join(names) or 'none'}. The one of jina comes with "
                f"pip install 'nestvec-testing[emulators]', others with the plugins of their vendors."
            )
        return super().resolve_command(ctx, args)


@click.group(cls=_Emulators, subcommand_metavar="NAME [OPTIONS]")
def emulate() -> None:
    """Run an emulated service, for tests and trials without keys and bills. Ctrl-C ends it.

    Needs: pip install 'nestvec-testing[emulators]'
    """


def _load(entries: list[EntryPoint]) -> click.Command:
    entry = entries[0]
    label = f"emulator {entry.name!r} ({entry.value})"
    if len(entries) > 1:
        values = " and ".join(each.value for each in entries)
        raise PluginConflict(f"emulator {entry.name!r} is claimed by {values}; uninstall one of them")
    try:
        loaded = entry.load()
    except Exception as error:  # whatever a foreign module raises on import, it is broken
        raise PluginBroken(
            f"{label} cannot be imported: {type(error).__name__}: {error}; reinstall or remove it"
        ) from error
    if not isinstance(loaded, click.Command):
        raise PluginBroken(f"{label} must be a click command, not {loaded!r}; reinstall or remove it")
    return loaded


def _failing(name: str, error: NestvecError) -> click.Command:
    """In place of a command that cannot be had: tells why, as every command does."""

    @click.command(name, help=str(error), context_settings={"ignore_unknown_options": True})
    @click.argument("arguments", nargs=-1)
    @command
    def fail(*_: object, **__: object) -> None:
        raise error

    return fail
