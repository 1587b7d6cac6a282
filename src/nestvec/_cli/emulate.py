"""`emulate`: services for tests and trials, found by the entry points of the group `nestvec.emulators`.

Each entry point is a click command. They are part of other distributions, nestvec's own or somebody else's, which the
core does not import: the kit's, and those of vendors in the vendors' plugins.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from nestvec._cli.invocation import command
from nestvec.errors import NestvecError, PluginBroken, PluginConflict

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

GROUP = "nestvec.emulators"
#: The emulator of the API whose client comes with the core, and what to install for it.
OWN = ("jina", "nestvec-testing[emulators]")
_VENDORS = ("a vendor's", "nestvec-VENDOR[testing]")


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
            ctx.fail(_unknown(name, names))
        return super().resolve_command(ctx, args)

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        super().format_epilog(ctx, formatter)
        own = [OWN] if OWN[0] not in self.list_commands(ctx) else []
        with formatter.section("To install"):
            formatter.write_dl([(name, f"pip install '{package}'") for name, package in (*own, _VENDORS)])


@click.group(cls=_Emulators, subcommand_metavar="NAME [OPTIONS]")
def emulate() -> None:
    """Run an emulated service, for tests and trials without keys and bills. Ctrl-C ends it."""


def package_of(name: str) -> str:
    """What to install for an emulator of this name: a vendor's comes with the vendor's plugin."""
    return OWN[1] if name == OWN[0] else f"nestvec-{name}[testing]"


def _unknown(name: str, installed: Sequence[str]) -> str:
    told = f"there is no emulator {name!r}; installed: {', '.join(installed) or 'none'}"
    return f"{told}. If it is one of nestvec's own: pip install '{package_of(name)}'"


def _load(entries: list[EntryPoint]) -> click.Command:
    entry = entries[0]
    label = f"emulator {entry.name!r} ({entry.value})"
    if len(entries) > 1:
        values = " and ".join(each.value for each in entries)
        raise PluginConflict(f"emulator {entry.name!r} is claimed by {values}; uninstall one of them")
    try:
        loaded = entry.load()
    except ModuleNotFoundError as error:
        raise PluginBroken(f"{label} cannot be imported: {type(error).__name__}: {error}; {_remedy(entry)}") from error
    except Exception as error:  # whatever a foreign module raises on import, it is broken
        raise PluginBroken(
            f"{label} cannot be imported: {type(error).__name__}: {error}; reinstall or remove it"
        ) from error
    if not isinstance(loaded, click.Command):
        raise PluginBroken(f"{label} must be a click command, not {loaded!r}; reinstall or remove it")
    return loaded


def _remedy(entry: EntryPoint) -> str:
    """A plugin's emulator may be there without what it needs, which is an extra."""
    return f"pip install '{package_of(entry.name)}' if it is one of nestvec's own; else reinstall or remove it"


def _failing(name: str, error: NestvecError) -> click.Command:
    """In place of a command that cannot be had: tells why, as every command does."""

    @click.command(name, help=str(error), context_settings={"ignore_unknown_options": True})
    @click.argument("arguments", nargs=-1)
    @command
    def fail(*_: object, **__: object) -> None:
        raise error

    return fail
