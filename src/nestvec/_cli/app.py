"""The command group and its global options."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from nestvec import __version__
from nestvec._cli import (
    adopting,
    cache,
    config,
    converting,
    copying,
    demo,
    dimensions,
    doctor,
    dropping,
    emulate,
    exporting,
    ingest,
    init,
    manage,
    migrating,
    nesting,
    plugins,
    repairing,
    search,
    tidying,
)
from nestvec._cli.invocation import DEFAULT_CONFIG, Invocation
from nestvec._cli.output import forgive_streams, guard_logs, refuse


class _Commands(click.Group):
    """Errors of usage repeat what was written on the command line."""

    def make_context(self, *arguments: Any, **more: Any) -> click.Context:
        try:
            return super().make_context(*arguments, **more)
        except click.ClickException as error:
            raise refuse(error) from None

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except click.ClickException as error:
            raise refuse(error) from None


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.option(
    "--config",
    "-c",
    "path",
    type=click.Path(path_type=Path),
    envvar="NESTVEC_CONFIG",
    default=DEFAULT_CONFIG,
    show_default=True,
    show_envvar=True,
    help="The configuration file.",
)
@click.version_option(__version__, prog_name="nestvec")
@click.pass_context
def main(context: click.Context, path: Path) -> None:
    """Task-aware, dimension-configurable embeddings in the vector database you already run.

    Exit codes: 0 done, 1 refused or failed (with one message on standard error), 2 wrong usage, 3 `plan` found
    changes, 130 interrupted.
    """
    forgive_streams()
    guard_logs()
    context.obj = Invocation(path, context.obj)


for _command in (
    init.init,
    manage.plan,
    manage.apply,
    manage.status,
    manage.settle,
    ingest.ingest,
    search.search,
    manage.delete,
    adopting.adopt,
    copying.copy_collection,
    converting.convert,
    nesting.nest,
    migrating.migrate,
    migrating.shrink,
    migrating.rollback,
    tidying.generations,
    tidying.cleanup,
    dropping.drop,
    exporting.export_collection,
    exporting.import_collection,
    repairing.repair,
    dimensions.dimensions,
    plugins.plugins,
    doctor.doctor,
    config.config,
    cache.cache,
    demo.demo,
    emulate.emulate,
):
    main.add_command(_command)
