"""The checks of `nestvec doctor`. Each gives its result as soon as it is known."""

from __future__ import annotations

import platform
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from nestvec import __version__
from nestvec._cli.output import amount, megabytes
from nestvec._cli.plugins import clashes, load_all
from nestvec._client.configuring import default_values
from nestvec._client.sync import Nestvec
from nestvec._collections.apply import late_cost
from nestvec._session.session import finished
from nestvec.config import Config, parse_config
from nestvec.contract import ListCollections
from nestvec.errors import ConfigError, NestvecError, SecretError
from nestvec.options import Options, Secret

if TYPE_CHECKING:
    from nestvec._cli.invocation import Invocation
    from nestvec._client.sync_collection import Collection
    from nestvec._collections.apply import Status
    from nestvec.capabilities import ModelCapabilities
    from nestvec.config import Connection
    from nestvec.types import FloatArray

_TEXT = "The library opens at nine in the morning."


@dataclass(frozen=True, slots=True)
class Check:
    """One result; `mend` says what to do where the detail does not say it already."""

    status: Literal["ok", "warn", "fail"]
    subject: str
    detail: str
    mend: str | None = None

    def to_dict(self) -> dict[str, str | None]:
        """As printed by `nestvec doctor --json`."""
        return {"status": self.status, "subject": self.subject, "detail": self.detail, "mend": self.mend}


def failed(subject: str, error: NestvecError, mend: str | None = None) -> Check:
    """An error of nestvec's own says itself what to do."""
    return Check("fail", subject, str(error), mend)


def examine(invocation: Invocation) -> Iterator[Check]:
    """Everything, in the order in which one thing needs another."""
    yield Check("ok", "python", f"{platform.python_version()} ({platform.machine()})")
    yield Check("ok", "nestvec", __version__)
    config: Config | None = None
    problem: ConfigError | None = None
    present = invocation.path.is_file()
    try:
        config = configured(invocation)
    except ConfigError as error:
        problem = error
    yield from _plugins(invocation, config)
    yield _configuration(invocation, config, problem, present=present)
    if config is not None:
        yield from _components(invocation, config)


def configured(invocation: Invocation) -> Config:
    """The configuration file, or the embedded default where there is none. Raises `ConfigError`."""
    if invocation.path.is_file():
        return invocation.load()
    return parse_config(default_values(invocation.registry, "check", None, {}), invocation.registry)


def _configuration(
    invocation: Invocation, config: Config | None, problem: ConfigError | None, *, present: bool
) -> Check:
    if present:
        if problem is not None:
            return failed(f"configuration {invocation.path}", problem)
        assert config is not None  # noqa: S101 - read, or a problem
        return Check(
            "ok", f"configuration {invocation.path}", f"valid, {amount(len(config.collections), 'collection')}"
        )
    missing = f"there is no {invocation.path}"
    if problem is not None:
        return Check("warn", "configuration", f"{missing}, and no embedded default to check instead: {problem}")
    return Check(
        "warn", "configuration", f"{missing}; the embedded default is checked instead", "write one: nestvec init"
    )


def _plugins(invocation: Invocation, config: Config | None) -> Iterator[Check]:
    installed = invocation.registry.installed()
    if not installed:
        yield Check("fail", "plugins", "none is installed", "pip install 'nestvec[default]', or the ones you need")
    errors = load_all(invocation.registry, installed)
    used = _used(config)
    clashing = clashes(installed)
    for item in {(item.kind, item.name): item for item in installed}.values():
        key = (item.kind, item.name)
        subject = f"{item.kind} plugin {item.name}"
        error = errors.get(key)
        if error is None and key not in clashing:
            yield Check("ok", subject, f"{item.distribution} {item.version}".strip())
            continue
        detail = str(error) if error is not None else "several distributions claim this name"
        # What the configuration does not use cannot do harm.
        harmless = config is not None and item.kind != "listener" and key not in used
        yield Check("warn" if harmless else "fail", subject, detail)


def _used(config: Config | None) -> set[tuple[str, str]]:
    if config is None:
        return set()
    backends = {("backend", connection.plugin.name) for connection in config.backends.values()}
    return backends | {("embedder", connection.plugin.name) for connection in config.embedders.values()}


def _components(invocation: Invocation, config: Config) -> Iterator[Check]:
    for group in (config.backends, config.embedders):
        for connection in group.values():
            yield from _secrets(connection)
    with Nestvec(config, invocation.runtime) as nv:
        answering = set()
        for name in config.backends:
            check = _backend(nv, name)
            if check.status == "ok":
                answering.add(name)
            yield check
        for name, connection in config.embedders.items():
            yield from _embedder(nv, name)
            yield from _cache(connection)
            yield from _nesting(connection)
        if config.path is not None:
            for name, spec in config.collections.items():
                yield _collection(nv, name, reachable=spec.backend in answering)


def _secrets(connection: Connection[Any]) -> Iterator[Check]:
    for option, secret in _secrets_in(connection.options):
        what = f"{connection.plugin.name} {connection.name}: {option}"
        place = f"environment variable {secret.env}" if secret.env else f"file {secret.file}"
        try:
            secret.reveal(what)
        except SecretError as error:
            yield failed(f"secret {option} of {connection.name}", error)
        else:
            yield Check("ok", f"secret {option} of {connection.name}", f"present ({place})")


def _secrets_in(options: Options) -> Iterator[tuple[str, Secret]]:
    for name in type(options).model_fields:
        value = getattr(options, name)
        if isinstance(value, Secret):
            yield name, value
        elif isinstance(value, Options):
            yield from ((f"{name}.{inner}", secret) for inner, secret in _secrets_in(value))


def _backend(nv: Nestvec, name: str) -> Check:
    subject = f"backend {name}"
    try:
        adapter = nv.adapter(name)
        capabilities = finished(adapter.capabilities)
        collections = finished(adapter.list_collections, ListCollections())
    except NestvecError as error:
        return failed(subject, error)
    kind = "embedded" if capabilities.embedded else "server"
    return Check("ok", subject, f"answers ({kind}, {amount(len(collections), 'physical collection')})")


def _embedder(nv: Nestvec, name: str) -> Iterator[Check]:
    model: ModelCapabilities = nv.config.embedders[name].capabilities
    subject = f"embedder {name}"
    vectors: dict[str | None, FloatArray] = {}
    for task in model.tasks or (None,):
        try:
            vectors[task] = nv.embed([_TEXT], task=task, embedder=name, fresh=True)[0]
        except NestvecError as error:
            yield failed(f"{subject}, task {task}" if task else subject, error)
            return
    faults = [*_roles(model, vectors)]
    if faults:
        yield Check(
            "fail", subject, "; ".join(faults), "reinstall the embedder's plugin, or check which model it serves"
        )
    else:
        tasks = f", {len(model.tasks)} tasks" if model.tasks else ", no tasks"
        yield Check("ok", subject, f"{model.model} answers: {model.dimensions} dimensions{tasks}")


def _cache(connection: Connection[Any]) -> Iterator[Check]:
    block, subject = connection.cache, f"cache of {connection.name}"
    if block is None:
        return
    try:
        from nestvec._caching.disk import inspect
    except ConfigError as error:
        yield failed(subject, error)
        return
    state = inspect(block.path, block.size)
    if state.problem is not None:
        yield Check("warn", subject, f"{block.path} cannot be used: {state.problem}")
        return
    room = f"{megabytes(state.used)} of {megabytes(block.size)}"
    yield Check("ok", subject, f"{amount(state.vectors, 'vector')}, {room} in {block.path}")


def _nesting(connection: Connection[Any]) -> Iterator[Check]:
    if connection.nesting is None:
        return
    artifact, subject = connection.nesting.artifact, f"nesting of {connection.name}"
    try:
        size = len(artifact.load())
    except NestvecError as error:
        yield failed(subject, error)
        return
    yield Check("ok", subject, f"rotation {artifact.fingerprint} of {size} dimensions is intact: {artifact.matrix}")


def _roles(model: ModelCapabilities, vectors: dict[str | None, FloatArray]) -> Iterator[str]:
    """A model that promises two tasks for one purpose must not give the same vector for both."""
    pairs = {pair for pair in model.purposes.values() if pair.index != pair.query}
    for pair in sorted(pairs, key=str):
        index, query = vectors.get(pair.index), vectors.get(pair.query)
        if index is not None and query is not None and np.allclose(index, query, atol=1e-6):
            yield f"tasks {pair.index} and {pair.query} give the same vector: the task is ignored"


def _collection(nv: Nestvec, name: str, *, reachable: bool) -> Check:
    subject = f"collection {name}"
    if not reachable:
        return Check("warn", subject, "not checked: its backend does not answer")
    try:
        status = nv.status(name)[0]
    except NestvecError as error:
        return failed(subject, error)
    details = "; ".join(status.change.details)
    if status.change.action == "none":
        try:
            known = _hosts(nv[name])
        except NestvecError as error:
            return failed(subject, error)
        return _counted(subject, status, late_cost(nv[name].spec), known)
    if status.change.action == "conflict":
        return Check("fail", subject, details)
    if status.change.action == "migrate":
        return Check("warn", subject, f"a migration is pending: {details}", f"nestvec migrate {name}")
    verb = "does not exist yet" if status.change.action == "create" else f"differs: {details}"
    return Check("warn", subject, verb, f"nestvec apply {name}")


def _counted(subject: str, status: Status, *more: str | None) -> Check:
    counts = f"{status.documents or 0:,} documents, {status.chunks or 0:,} chunks"
    old = f"{status.outdated:,} with earlier settings" if status.outdated else None
    detail = "; ".join(filter(None, (counts, old, *more)))
    return Check("warn", subject, detail, "ingest those documents again") if old else Check("ok", subject, detail)


def _hosts(target: Collection) -> str | None:
    """Whose vectors a collection holds, and whose may join them."""
    known = target.hosts()
    if not known:
        return None
    parts = [f"{host} agrees ({found})" if found else f"embedded by {host}" for host, found in known.items()]
    host = target.spec.model.host
    return "; ".join(parts if host in known or not host else [*parts, f"{host} will be compared"])
