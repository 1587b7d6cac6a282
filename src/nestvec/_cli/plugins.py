"""`plugins`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields
from typing import TYPE_CHECKING, Any

import click

from nestvec._cli.invocation import Invocation, command
from nestvec._cli.output import clean, print_json, say, table, terminal_width, wrap
from nestvec.errors import NestvecError, PluginBroken

if TYPE_CHECKING:
    from nestvec.capabilities import BackendCapabilities
    from nestvec.contract import BackendPlugin
    from nestvec.registry import Listed, Registry

Matrix = dict[str, dict[str, Any]]


@click.command()
@click.option("--capabilities", is_flag=True, help="Load the plugins, and show what each backend can do.")
@command
def plugins(invocation: Invocation, capabilities: bool) -> None:
    """List the installed plugins. None of them is imported, unless --capabilities asks for it."""
    installed = invocation.registry.installed()
    errors = load_all(invocation.registry, installed) if capabilities else {}
    matrix = declared(invocation.registry, errors) if capabilities else {}
    rows = [_row(item, clashes(installed), errors) for item in installed]
    if invocation.json:
        print_json({"plugins": rows} | ({"capabilities": matrix} if capabilities else {}))
    else:
        _show(rows, matrix)


def clashes(installed: Sequence[Listed]) -> set[tuple[str, str]]:
    """(kind, name) pairs that several distributions claim."""
    counted = Counter((item.kind, item.name) for item in installed)
    return {key for key, count in counted.items() if count > 1}


def load_all(registry: Registry, installed: Sequence[Listed]) -> dict[tuple[str, str], NestvecError]:
    """Load every backend and embedder; returns what went wrong, by kind and name."""
    loaders = {"backend": registry.backend, "embedder": registry.embedder}
    errors: dict[tuple[str, str], NestvecError] = {}
    for item in installed:
        try:
            if item.kind in loaders:
                loaders[item.kind](item.name)
        except NestvecError as error:
            errors[item.kind, item.name] = error
    return errors


def declared(registry: Registry, errors: dict[tuple[str, str], NestvecError]) -> Matrix:
    """Declared capabilities of each backend that loads, in each of its forms. Adds to `errors` what goes wrong."""
    from nestvec.registry import BACKENDS

    matrix: Matrix = {}
    for name in registry.names(BACKENDS):
        if ("backend", name) not in errors:
            try:
                matrix |= forms_of(registry.backend(name))
            except NestvecError as error:
                errors["backend", name] = error
    return matrix


def forms_of(plugin: BackendPlugin) -> Matrix:
    """What a backend declares in each of its forms. Those that can do what the usual one can are left out.

    Raises `PluginBroken` where the options of a form are not valid.
    """
    forms = {name: dict(options) for name, options in plugin.forms.items()}
    if plugin.embedded is not None:
        # The only form there is needs no other name than the plugin's.
        forms["embedded" if forms else ""] = dict(plugin.embedded(None))
    found: Matrix = {}
    for form, options in (forms or {"": {}}).items():
        values = _plain(_capabilities(plugin, form, options))
        if values not in found.values():
            found[f"{plugin.name} ({form})" if form else plugin.name] = values
    return found


def _capabilities(plugin: BackendPlugin, form: str, options: Mapping[str, Any]) -> BackendCapabilities:
    from pydantic import ValidationError

    try:
        return plugin.capabilities(plugin.options.model_validate(options))
    except ValidationError as error:
        raise PluginBroken(
            f"backend {plugin.name!r} names no valid options of its {form or 'usual'} form, so what it can do is not "
            f"known; BackendPlugin.forms must name some: {error.errors(include_input=False)[0]['msg']}"
        ) from error


def _plain(capabilities: BackendCapabilities) -> dict[str, Any]:
    values = asdict(capabilities)
    return {
        name: sorted(map(_item, value)) if isinstance(value, frozenset) else value
        for name, value in ((item.name, values[item.name]) for item in fields(capabilities))
    }


def _item(value: object) -> str:
    return " to ".join(map(str, value)) if isinstance(value, tuple) else str(value)


def _row(
    item: Listed, clashing: set[tuple[str, str]], errors: Mapping[tuple[str, str], NestvecError]
) -> dict[str, Any]:
    error = errors.get((item.kind, item.name))
    return {
        "kind": item.kind,
        "name": item.name,
        "distribution": item.distribution,
        "version": item.version,
        "module": item.module,
        "clash": (item.kind, item.name) in clashing,
        "error": str(error) if error is not None else None,
    }


def _show(rows: Sequence[Mapping[str, Any]], matrix: Matrix) -> None:
    if not rows:
        say("No plugins are installed; the embedded default comes with: pip install 'nestvec[default]'")
        return
    headers = ("kind", "name", "distribution", "version")
    say(table((*headers, ""), [[*(row[key] for key in headers), _note(row)] for row in rows]))
    for row in rows:
        if row["error"]:
            say("", f"{row['kind']} {row['name']}: {clean(row['error'])}")
    if matrix:
        say("", _matrix_table(matrix))


def _note(row: Mapping[str, Any]) -> str:
    if row["clash"]:
        return "CLASH: claimed twice; uninstall one"
    return "FAILED to load" if row["error"] else ""


def _matrix_table(matrix: Matrix) -> str:
    from nestvec.capabilities import Power

    names = list(matrix)
    room = max(12, (terminal_width() - 22) // len(names) - 2)
    keys = [key for key in next(iter(matrix.values())) if key != "powers"]
    rows = [[f"power {power}", *(_word(power in matrix[name]["powers"]) for name in names)] for power in Power]
    rows += [[key, *(wrap(_word(matrix[name][key]), room, 6) for name in names)] for key in keys]
    return table(("capability", *names), rows)


def _word(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if value is None:
        return "–"
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {_word(item)}" for key, item in value.items())
    if isinstance(value, list):
        return ", ".join(value)
    return f"{value:,}" if isinstance(value, int) else str(value)
