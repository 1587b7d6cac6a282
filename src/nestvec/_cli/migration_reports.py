"""What migrating prints for people."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from nestvec._cli.output import amount, clean, misfit_told, say, warn
from nestvec._migration.report import MigrationStage
from nestvec._migration.routes import Way

if TYPE_CHECKING:
    from nestvec._migration.report import MigrationPlan, MigrationReport, Overlap

_FAILED = 5
_WOULD = {
    Way.COPY: "vectors would be copied as they are",
    Way.DERIVE: "vectors would be computed from those that are stored; nothing would be embedded",
    Way.EMBED: "every document would be embedded anew",
}
_DID = {
    Way.COPY: "vectors copied as they are",
    Way.DERIVE: "vectors computed from those that were stored, nothing embedded",
    Way.EMBED: "documents embedded anew",
}


def show_plan(plan: MigrationPlan) -> None:
    """What a migration would do and cost."""
    if plan.way is None:
        say(f"{clean(plan.collection)}: nothing to migrate: {plan.reason}")
    else:
        why = f" ({plan.reason})" if plan.reason else ""
        say(f"{clean(plan.collection)}: {_WOULD[plan.way]}{why}")
        for line in _plan_lines(plan):
            say(f"    {line}")
    for sentence in plan.advice:
        say(f"note: {sentence}")


def _plan_lines(plan: MigrationPlan) -> Iterator[str]:
    yield f"from {plan.source} to {plan.target}"
    yield from plan.changes
    yield f"{amount(plan.documents, 'document')}, {amount(plan.chunks, 'chunk')}"
    if plan.way is Way.EMBED:
        yield _effort(plan)
    if plan.seconds is not None:
        yield f"at least {_duration(plan.seconds)}: the embedder's quota allows no less"
    yield f"writers wait {plan.writers_wait:g} s at most, plus the time of the last pass; readers never wait"


def _effort(plan: MigrationPlan) -> str:
    if plan.tokens is None or plan.requests is None:
        return "tokens, requests and cost are not known"
    cost = "" if plan.money is None else f", which cost about {_sum(plan.money)} at the price in the configuration"
    return f"about {amount(plan.tokens, 'token')} in {amount(plan.requests, 'request')}{cost}"


def _sum(money: float) -> str:
    """`1,234.50`; below 1 two digits that count: `0.016`."""
    return f"{money:,.2f}" if money >= 1 or money == 0 else f"{money:.2g}"


def _duration(seconds: float) -> str:
    """`45 s`, `12 min`, `3.5 h`."""
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def show_report(report: MigrationReport, *, shrunk: int | None = None, back: bool = False) -> None:
    """What was done, and what can be done next."""
    for misfit in report.misfits:
        warn(f"warning: {misfit_told(misfit)}")
    if report.failed:
        _show_failed(report)
        return
    if not report.switched:
        say(f"{clean(report.collection)}: {report.reason}")
        return
    say(f"{clean(report.collection)} is {'back ' if back else ''}at {report.target} now:")
    for line in _report_lines(report):
        say(f"    {line}")
    say(f"The generation before is {report.source}:")
    name = clean(report.collection)
    if back:
        say(f"    nestvec migrate {name}     goes there again, with its configuration (or shrink, if that made it)")
    else:
        say(f"    nestvec rollback {name}    goes back to it")
    say(f"    nestvec cleanup {name}     removes it, and the way back with it")
    if shrunk is not None:
        say(f"Write into the configuration: [collections.{name}] dimensions = {shrunk}")
    elif back:
        say(f"Where [collections.{name}] of the configuration says otherwise, set it back to what it was.")


def _report_lines(report: MigrationReport) -> Iterator[str]:
    size = f"{amount(report.documents, 'document')}, {amount(report.chunks, 'chunk')}"
    if report.way is None:
        yield f"{size}: {report.reason}"
        return
    why = f" ({report.reason})" if report.reason else ""
    yield f"{size}: {_DID[report.way]}{why}" if report.brought else size
    yield (
        f"{report.brought:,} brought over by this run, {report.changed:,} of them because they changed meanwhile, "
        f"{report.deleted:,} deleted"
    )
    yield f"{amount(report.verified, 'document')} compared one by one, and all counted"
    if report.overlap is not None:
        yield _overlap(report.overlap)
    usage = report.usage
    tokens = f"{amount(usage.tokens, 'token')} in " if usage.tokens else ""  # not every embedder counts them
    used = f"; {tokens}{amount(usage.requests, 'request')}" if usage.requests else ""
    yield f"writers waited {report.writers_waited:.1f} s at most; all took {report.seconds:.1f} s{used}"


def _overlap(overlap: Overlap) -> str:
    asked = amount(overlap.questions, "question" if overlap.asked else "stored document")
    return (
        f"of the {overlap.k} nearest to {asked}, {_share(overlap.mean)} are the same before and after (at the "
        f"least {_share(overlap.least)})"
    )


def _share(part: float) -> str:
    """`65 %`."""
    return f"{100 * part:.0f} %"


def _show_failed(report: MigrationReport) -> None:
    warn(
        f"error: {amount(len(report.failed), 'document')} cannot be brought over, so nothing was switched: "
        f"{clean(report.collection)} is as it was"
    )
    for failure in report.failed[:_FAILED]:
        warn("  " + clean(failure.error))
    if len(report.failed) > _FAILED:
        warn(f"  … and {len(report.failed) - _FAILED:,} more (--json names all of them)")
    warn("mend or delete them, then run the same command again: it goes on with the others done")


def interruption(collection: str, stage: MigrationStage | None) -> str:
    """What Ctrl-C left, and what helps."""
    if stage is MigrationStage.DONE:
        return f"interrupted after {clean(collection)} was switched; run the same command again to complete it"
    again = "run the same command again to go on, nothing is done twice"
    if stage is MigrationStage.SWITCHING:
        return (
            f"interrupted while it switched: the name may lead to the new generation already (`nestvec generations "
            f"{clean(collection)}` tells); run the same command again to bring it to its end"
        )
    if stage is MigrationStage.DRAINING:
        return f"interrupted: nothing was switched, and writers go on after a moment; {again}"
    return f"interrupted: nothing was switched; {again}"
