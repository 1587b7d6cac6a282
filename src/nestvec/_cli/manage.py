"""`plan`, `apply`, `status` and `delete`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from nestvec._cli.invocation import Invocation, command, json_object
from nestvec._cli.output import amount, clean, print_json, say, table
from nestvec.errors import InvalidInput

if TYPE_CHECKING:
    from nestvec._client.sync import Nestvec
    from nestvec._client.sync_collection import Collection
    from nestvec._collections.apply import Change, Status

CHANGES = 3
_MARKS = {"create": "+", "update": "~", "adopt": "+", "migrate": ">", "conflict": "!", "none": "="}
_DONE = {
    "create": "created",
    "update": "updated",
    "adopt": "adopted",
    "migrate": "left as it is: run nestvec migrate",
    "none": "nothing to do",
}
_STATES = {
    "create": "missing",
    "update": "update pending",
    "adopt": "foreign",
    "migrate": "migration pending",
    "conflict": "conflict",
    "none": "ok",
}


@click.command()
@click.argument("collections", nargs=-1)
@command
def plan(invocation: Invocation, collections: tuple[str, ...]) -> int:
    """Show what `apply` would do (to some COLLECTIONS only, if named). Changes nothing.

    Exits with 0 if there is nothing to do, 3 if there are changes or migrations to run, 1 if there are conflicts.
    """
    with invocation.connect() as nv:
        changes = nv.plan(*collections)
    if invocation.json:
        print_json({"changes": [change.to_dict() for change in changes]})
    else:
        _show(changes, {action: action for action in _MARKS} | {"none": "nothing to do"})
    actions = {change.action for change in changes}
    if "conflict" in actions:
        return 1
    return CHANGES if actions - {"none"} else 0


@click.command()
@click.argument("collections", nargs=-1)
@command
def apply(invocation: Invocation, collections: tuple[str, ...]) -> None:
    """Create and update collections (or only those named), and refuse what would destroy.

    If any of them is in conflict with what the database holds, nothing is changed. One that is still what its block
    `previous` says is left to `nestvec migrate`.
    """
    with invocation.connect() as nv:
        changes = nv.apply(*collections)
    if invocation.json:
        print_json({"changes": [change.to_dict() for change in changes]})
    else:
        _show(changes, _DONE)


def _show(changes: Sequence[Change], words: dict[str, str]) -> None:
    if not changes:
        say("The configuration has no collections.")
    for change in changes:
        say(f"{_MARKS[change.action]} {change.collection}: {words[change.action]}")
        for detail in change.details:
            say("    " + detail.replace("\n", "\n    "))


@click.command()
@click.argument("collections", nargs=-1)
@command
def status(invocation: Invocation, collections: tuple[str, ...]) -> None:
    """Show what is there: documents, chunks, embedding spaces, tasks, and whether the configuration still fits."""
    with invocation.connect() as nv:
        found = nv.status(*collections)
    if invocation.json:
        print_json({"collections": [_status_json(item) for item in found]})
        return
    if not found:
        say("The configuration has no collections.")
        return
    headers = ("collection", "backend", "documents", "chunks", "outdated", "space", "tasks", "state")
    say(table(headers, [_status_row(item) for item in found]))
    for item in found:
        if item.leftovers:
            say(f"{item.collection}: {amount(item.leftovers, 'document')} left by writers that died: nestvec repair")
        for detail in item.change.details if item.change.action not in ("create", "adopt") else ():
            say(f"{item.collection}: {detail}")


def _status_json(item: Status) -> dict[str, Any]:
    return {
        "collection": item.collection,
        "backend": item.backend,
        "physical": item.physical,
        "generation": item.generation,
        "space": item.space,
        "tasks": asdict(item.tasks) if item.tasks is not None else None,
        "documents": item.documents,
        "chunks": item.chunks,
        "outdated": item.outdated,
        "leftovers": item.leftovers,
        "change": {"action": item.change.action, "details": list(item.change.details)},
    }


def _status_row(item: Status) -> list[str]:
    counts = [("" if count is None else f"{count:,}") for count in (item.documents, item.chunks, item.outdated)]
    return [item.collection, item.backend, *counts, item.space or "", _tasks(item), _STATES[item.change.action]]


def _tasks(item: Status) -> str:
    if item.tasks is None:
        return ""
    return " / ".join(dict.fromkeys(task or "none" for task in (item.tasks.index, item.tasks.query)))


@click.command()
@click.argument("collection")
@click.argument("ids", metavar="[ID]...", nargs=-1)
@click.option("--where", callback=json_object, metavar="JSON", help="Delete the documents that match this filter.")
@click.option("--all", "everything", is_flag=True, help="Delete every document; the empty collection stays.")
@click.option("--canaries", is_flag=True, help="Delete no document, but the vectors that tell hosts apart.")
@click.option("--namespace", metavar="NAME", help="The tenant whose documents to delete.")
@command
def delete(
    invocation: Invocation,
    collection: str,
    ids: tuple[str, ...],
    where: dict[str, Any] | None,
    everything: bool,
    canaries: bool,
    namespace: str | None,
) -> None:
    """Delete documents of COLLECTION, by id or by filter. Ids that are not there are no error."""
    if bool(ids) + (where is not None) + everything + canaries != 1:
        raise click.UsageError("Say what to delete: ids, --where, --all or --canaries (exactly one of them).")
    if where == {}:
        raise InvalidInput("an empty filter selects every document; to delete all of them, say --all")
    with invocation.connect() as nv:
        target = open_collection(nv, collection, namespace)
        if canaries:
            target.forget_canaries()
            _tell_forgotten(invocation, collection)
            return
        deleted = target.delete(ids) if ids else target.delete(where=where, everything=everything)
    if invocation.json:
        print_json({"collection": collection, "deleted": deleted})
        return
    wanted = len(set(ids))
    absent = f" ({wanted - deleted} of {wanted} were not there)" if ids and deleted < wanted else ""
    say(f"{amount(deleted, 'document')} deleted from {clean(collection)}{absent}")


def _tell_forgotten(invocation: Invocation, collection: str) -> None:
    if invocation.json:
        print_json({"collection": collection, "deleted": 0, "canaries": True})
    else:
        say(f"the canaries of {clean(collection)} are removed; the next ingestion makes others")


@click.command()
@click.argument("collection")
@click.option(
    "--timeout", type=click.FloatRange(min=0), default=120.0, show_default=True, metavar="SECONDS", help="Wait at most."
)
@command
def settle(invocation: Invocation, collection: str, timeout: float) -> None:
    """Wait until searches of COLLECTION find everything that was written, whoever wrote it.

    Where searches find it at once, there is nothing to wait for. `ingest` does this by itself.
    """
    with invocation.connect() as nv:
        nv[collection].settle(timeout)
    if invocation.json:
        print_json({"collection": collection, "settled": timeout > 0})
    else:
        done = "searches find everything" if timeout > 0 else "settling has begun"
        say(f"{clean(collection)}: {done}")


def open_collection(nv: Nestvec, name: str, namespace: str | None) -> Collection:
    """The handle of a collection, or of one tenant in it. Raises `InvalidName`."""
    return nv[name] if namespace is None else nv[name].namespace(namespace)
